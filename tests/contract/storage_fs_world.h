/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the directory backend share: a folder for each test, the
 * three ways a file gets its address, and how faults are asked for.
 */
#ifndef FA_TEST_STORAGE_FS_WORLD_H
#define FA_TEST_STORAGE_FS_WORLD_H

#include "contract/storage_put.h"
#include "remove_tree.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char root[64];

/* The three ways a file gets its address: as is, without O_TMPFILE, and without link() as well. */
static const char *const ways[] = {NULL, "storage.unnamed=eio", "storage.unnamed=eio,storage.hardlink=eio"};
static const char *way;

static inline void faults(const char *spec)
{
        if (spec)
                setenv("FILE_ALLOCATOR_FAULT", spec, 1);
        else
                unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
}

static inline int set_up(void **state)
{
        (void)state;
        snprintf(root, sizeof root, "storage-fs-XXXXXX");
        assert_non_null(mkdtemp(root));
        return 0;
}

static inline int tear_down(void **state)
{
        (void)state;
        faults(NULL);
        way = NULL;
        remove_tree(root);
        return 0;
}

/* Static: one test uses one path at a time. */
static inline const char *in_root(const char *name)
{
        static char path[256];

        snprintf(path, sizeof path, "%s/%s", root, name);
        return path;
}

static inline int open_at(const char *path, bool expect_content, struct storage **s, struct err *e)
{
        return storage_open(&(struct storage_opts){.url = "fs://", .path = path, .expect_content = expect_content}, s,
                            e);
}

static inline struct storage *opened(void)
{
        struct storage *s = NULL;
        struct err e = {0};

        faults(way);
        if (open_at(root, false, &s, &e) < 0)
                fail_msg("%s", e.msg);
        faults(NULL);
        return s;
}

static inline unsigned entries(const char *path)
{
        DIR *dir = opendir(path);
        unsigned n = 0;

        assert_non_null(dir);
        for (struct dirent *d; (d = readdir(dir)) != NULL;)
                n += d->d_name[0] != '.';
        closedir(dir);
        return n;
}

/* Relative to root, in hex. */
static inline const char *object_path(struct sha256 key)
{
        char hex[SHA256_TEXT_LEN], name[128];

        sha256_format(key, hex);
        snprintf(name, sizeof name, "objects/%.2s/%s", hex, hex);
        return in_root(name);
}

#endif
