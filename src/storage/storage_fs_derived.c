/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derived files such as thumbnails: written whole or not at all, but not synced, since they can be made again. The
 * hard thing follows from that: after a power cut a file may exist and be empty, which counts as absent.
 */
#include "storage/storage_fs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* "aa/<sha256>/<name>" below derived/ */
#define DERIVED_PATH_LEN 160

static void directory_of(struct sha256 key, char out[DERIVED_PATH_LEN])
{
        char hex[SHA256_TEXT_LEN];

        sha256_format(key, hex);
        snprintf(out, DERIVED_PATH_LEN, "%.2s/%s", hex, hex);
}

static void path_of(struct sha256 key, const char *name, char out[DERIVED_PATH_LEN])
{
        size_t n;

        directory_of(key, out);
        n = strlen(out);
        snprintf(out + n, DERIVED_PATH_LEN - n, "/%s", name);
}

static int make_directories(struct fs *fs, struct sha256 key)
{
        char dir[DERIVED_PATH_LEN], shard[3];

        directory_of(key, dir);
        if (mkdirat(fs->derived, dir, 0700) == 0 || errno == EEXIST)
                return 0;
        if (errno != ENOENT)
                return -1;
        snprintf(shard, sizeof shard, "%.2s", dir);
        if (mkdirat(fs->derived, shard, 0700) && errno != EEXIST)
                return -1;
        return mkdirat(fs->derived, dir, 0700) && errno != EEXIST ? -1 : 0;
}

int fs_put_derived(struct storage *s, struct sha256 key, const char *name, struct span bytes, struct err *e)
{
        struct fs *fs = (struct fs *)s;
        char temp[FS_NAME_LEN], path[DERIVED_PATH_LEN];
        int fd = fs_temp_open(fs, FS_WAY_LINK, "dv-", temp), rc;

        if (fd < 0)
                return err_errno(e, errno, "cannot begin a file in %.100s/tmp", fs->path);
        rc = fault_err(FAULT("storage.derived"), "cannot write a derived file", e)
                     ? -1
                     : fd_write_all(fd, bytes.p, bytes.n, e);
        fd_close(&fd);
        path_of(key, name, path);
        /* The directory exists already except for an object's first derived file; its removal may come in between. */
        if (rc == 0 && renameat(fs->tmp, temp, fs->derived, path) &&
            (errno != ENOENT || make_directories(fs, key) || renameat(fs->tmp, temp, fs->derived, path)))
                rc = err_errno(e, errno, "cannot name the derived file %s", name);
        if (rc < 0)
                unlinkat(fs->tmp, temp, 0);
        else
                rc = fault_err(FAULT("storage.derived.after"), "cannot name a derived file", e);
        return rc;
}

int fs_open_derived(struct storage *s, struct sha256 key, const char *name, int *out, uint64_t *size, struct err *e)
{
        struct fs *fs = (struct fs *)s;
        char path[DERIVED_PATH_LEN];
        struct stat st;
        int fd;

        path_of(key, name, path);
        fd = openat(fs->derived, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0 && errno != ENOENT)
                return err_errno(e, errno, "cannot open the derived file %s", name);
        if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size == 0) {
                fd_close(&fd);
                return err_set(e, ERR_NOT_FOUND, "there is no %s of this object", name);
        }
        *size = (uint64_t)st.st_size;
        *out = fd;
        return 0;
}

int fs_remove_derived(struct fs *fs, struct sha256 key, struct err *e)
{
        char path[DERIVED_PATH_LEN];
        int fd, rc = 0;
        struct dirent *d;
        DIR *dir;

        directory_of(key, path);
        fd = openat(fs->derived, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return errno == ENOENT ? 0 : err_errno(e, errno, "cannot open the directory of derived files");
        dir = fdopendir(fd);
        if (!dir) {
                fd_close(&fd);
                return err_oom(e);
        }
        while (rc == 0 && (d = readdir(dir)) != NULL)
                if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 && unlinkat(fd, d->d_name, 0) &&
                    errno != ENOENT)
                        rc = err_errno(e, errno, "cannot remove a derived file");
        closedir(dir);
        /* Not empty: a derived file was made again meanwhile; the next removal takes it. */
        if (rc == 0 && unlinkat(fs->derived, path, AT_REMOVEDIR) && errno != ENOENT && errno != ENOTEMPTY)
                rc = err_errno(e, errno, "cannot remove the directory of derived files");
        return rc;
}
