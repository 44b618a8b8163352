/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors and small files. Nothing here is durable by itself: a caller whose file must survive a power cut syncs
 * the file and its directory.
 */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void fd_close(int *fd)
{
        int saved = errno;

        if (*fd >= 0)
                close(*fd);
        *fd = -1;
        errno = saved;
}

int fd_write_all(int fd, const void *p, size_t n, struct err *e)
{
        const char *from = p;

        while (n > 0) {
                ssize_t put = write(fd, from, n);
                if (put < 0 && errno == EINTR)
                        continue;
                if (put < 0)
                        return err_errno(e, errno, "cannot write %zu bytes", n);
                from += put;
                n -= (size_t)put;
        }
        return 0;
}

/* One byte more than max is asked for, since files under /proc and pipes do not tell their size. */
static int read_rest(int fd, const char *path, struct buf *b, struct err *e)
{
        char chunk[8192];

        for (;;) {
                ssize_t got = read(fd, chunk, sizeof chunk);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got < 0)
                        return err_errno(e, errno, "cannot read %s", path);
                if (got == 0)
                        return 0;
                if ((size_t)got > b->max - b->n)
                        return err_set(e, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, b->max);
                buf_put(b, chunk, (size_t)got);
                if (buf_failed(b))
                        return err_oom(e);
        }
}

int file_read_all(const char *path, size_t max, char **out, size_t *n, struct err *e)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
        struct buf b;

        if (fd < 0)
                return err_errno(e, errno, "cannot open %s", path);
        buf_init(&b, max);
        rc = read_rest(fd, path, &b, e);
        fd_close(&fd);
        if (rc == 0 && !b.p) {
                b.p = mem_calloc(1, 1);
                rc = b.p ? 0 : err_oom(e);
        }
        if (rc == 0) {
                *out = b.p;
                if (n)
                        *n = b.n;
                b.p = NULL; /* the caller's now */
        }
        buf_done(&b);
        return rc;
}

/* mkdir may fail with EEXIST, EROFS or EACCES for a directory that exists: only its absence counts. */
static int make_one(const char *path, struct err *e)
{
        struct stat st;
        int why;

        if (mkdir(path, 0700) == 0)
                return 0;
        why = errno;
        if (stat(path, &st) == 0) {
                if (S_ISDIR(st.st_mode))
                        return 0;
                why = ENOTDIR;
        }
        return err_errno(e, why, "cannot make the directory %s", path);
}

int dir_make(const char *path, struct err *e)
{
        char part[PATH_MAX];
        size_t n = strlen(path);

        if (n == 0 || n >= sizeof part)
                return err_set(e, ERR_INVALID, "a directory name of %zu bytes is not possible", n);
        for (size_t i = 0; i <= n; i++) {
                if (i > 0 && path[i - 1] != '/' && (path[i] == '/' || path[i] == '\0')) {
                        part[i] = '\0';
                        if (make_one(part, e))
                                return -1;
                }
                part[i] = path[i];
        }
        return 0;
}

int dir_sync(const char *path, struct err *e)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

        if (fd < 0)
                return err_errno(e, errno, "cannot open the directory %s", path);
        /* EINVAL: a file system whose directories need no sync. */
        if (fsync(fd) && errno != EINVAL)
                rc = err_errno(e, errno, "cannot sync the directory %s", path);
        fd_close(&fd);
        return rc;
}

static int sync_ancestor(const char *path, struct err *e)
{
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

        if (fd < 0)
                return 0; /* if this process cannot read it, it did not make it either */
        if (fsync(fd) && errno != EINVAL && errno != EROFS)
                rc = err_errno(e, errno, "cannot sync the directory %.120s", path);
        fd_close(&fd);
        return rc;
}

/* All of them, since dir_make may have made some in an earlier run that was cut short. */
int dir_sync_above(const char *path, struct err *e)
{
        char part[PATH_MAX];
        size_t n = strlen(path);
        int rc = path[0] == '/' ? 0 : sync_ancestor(".", e);

        if (n >= sizeof part)
                return err_set(e, ERR_INVALID, "a path is longer than %zu bytes", sizeof part - 1);
        for (size_t i = 0; i < n && rc == 0; i++) {
                part[i] = path[i];
                part[i + 1] = '\0';
                if (path[i] == '/')
                        rc = sync_ancestor(part, e);
        }
        return rc;
}
