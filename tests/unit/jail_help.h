/* SPDX-License-Identifier: Apache-2.0 */
/* What the jail's tests share: opening files, finding the child, counting what must not leak. */
#ifndef FA_TEST_JAIL_HELP_H
#define FA_TEST_JAIL_HELP_H

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>
#include "jail/jail.h"
#include "metrics/metrics.h"

#define REAL BIN_DIR "/file-allocator-decode"
#define FAKE BIN_DIR "/../tests/fake_decoder"

static const struct decode_request everything = {
        .max_pixels = 100 * 1000 * 1000,
        .product = {{.name = "thumb.webp", .type = JAIL_WEBP, .size = 32},
                    {.name = "preview.jpg", .type = JAIL_JPEG, .size = 48}},
        .input = {{.width = 26, .height = 26, .crop_num = 260, .crop_den = 292}},
};
/* What the fake decoder's shortest answer fits. */
static const struct decode_request bare = {.max_pixels = 1000};

/* The product of this name; empty when there is none. */
static inline struct span product_named(const struct decode_result *r, const char *name)
{
        for (size_t i = 0; i < r->nproducts; i++)
                if (!strcmp(r->products[i].name, name))
                        return r->products[i].bytes;
        return (struct span){0};
}

static inline struct jail *open_jail(const char *program, unsigned children, double seconds, unsigned recycle)
{
        struct jail *j;
        struct err e;
        const struct jail_opts o = {.decoder_path = program,
                                    .children = children,
                                    .timeout = dur_s(seconds),
                                    .cpu = dur_s(240),
                                    .recycle_after = recycle};
        if (jail_open(&o, &j, &e))
                fail_msg("%s", e.msg);
        return j;
}

static inline int open_data(const char *name)
{
        char path[512];
        snprintf(path, sizeof path, TEST_DATA "/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                fail_msg("no %s", path);
        return fd;
}

static inline int file_of(const char *text)
{
        struct err e;
        int fd = memfd_create("input", MFD_CLOEXEC);
        assert_true(fd >= 0 && !fd_write_all(fd, text, strlen(text), &e));
        return fd;
}

static inline enum err_code decode_fd(struct jail *j, int fd, const struct decode_request *req, struct err *e)
{
        struct decode_result r;
        *e = (struct err){0};
        int rc = jail_decode(j, fd, req, &r, e);
        close(fd);
        if (!rc)
                decode_result_done(&r);
        return rc ? e->code : ERR_NONE;
}

/* Processes whose parent is this one; *first is one of them. */
static inline int children(pid_t *first)
{
        DIR *d = opendir("/proc");
        int n = 0;
        for (struct dirent *e; d && (e = readdir(d));) {
                char path[300], line[512], *after;
                snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
                FILE *f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "re") : NULL;
                if (f && fgets(line, sizeof line, f) && (after = strrchr(line, ')')) &&
                    strtol(after + 4, NULL, 10) == getpid()) {
                        n++;
                        if (first)
                                *first = (pid_t)strtol(e->d_name, NULL, 10);
                }
                if (f)
                        fclose(f);
        }
        closedir(d);
        return n;
}

static inline int open_fds(void)
{
        DIR *d = opendir("/proc/self/fd");
        int n = 0;
        while (readdir(d))
                n++;
        closedir(d);
        return n;
}

#endif
