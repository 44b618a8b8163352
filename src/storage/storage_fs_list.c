/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walking an area of the directory. The hard thing is to keep none of it in memory: one open directory per level,
 * whatever it holds, and no name is followed that is not a directory itself.
 */
#include "storage/storage_fs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEVELS   3 /* of directories, the area itself being the first */
#define PATH_LEN (LEVELS * (NAME_MAX + 1) + 1)

struct walk {
        DIR *dirs[LEVELS];
        size_t ends[LEVELS]; /* how much of path leads to each */
        unsigned depth;      /* open ones */
        char path[PATH_LEN];
};

static int open_level(struct walk *w, int parent, const char *name)
{
        int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);

        if (!dir) {
                int why = errno;
                fd_close(&fd);
                errno = why;
                return -1;
        }
        w->ends[w->depth] = strlen(w->path);
        w->dirs[w->depth++] = dir;
        return 0;
}

/* One entry of the innermost directory. */
static int visit_entry(struct walk *w, const char *name, storage_found_fn *found, void *ctx, struct err *e)
{
        int dir = dirfd(w->dirs[w->depth - 1]);
        struct stat st;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
                return 0;
        snprintf(w->path + w->ends[w->depth - 1], sizeof w->path - w->ends[w->depth - 1], "%s", name);
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW))
                return errno == ENOENT ? 0 : err_errno(e, errno, "cannot look at %.160s", w->path);
        if (S_ISDIR(st.st_mode) && w->depth < LEVELS) {
                size_t n = strlen(w->path);
                snprintf(w->path + n, sizeof w->path - n, "/");
                return open_level(w, dir, name) == 0 || errno == ENOENT
                               ? 0
                               : err_errno(e, errno, "cannot read the directory %.160s", w->path);
        }
        struct storage_found f = {.path = w->path,
                                  .regular = S_ISREG(st.st_mode),
                                  .size = (uint64_t)st.st_size,
                                  .mtime = {(int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000}};
        return found(ctx, &f, e);
}

int fs_list(struct storage *s, const char *folder, storage_found_fn *found, void *ctx, struct err *e)
{
        struct fs *fs = (struct fs *)s;
        struct walk w = {.depth = 0};
        int rc = 0;

        if (open_level(&w, fs->root, folder))
                return errno == ENOENT ? 0 : err_errno(e, errno, "cannot read %s in %.120s", folder, fs->path);
        while (rc == 0 && w.depth > 0) {
                struct dirent *d;
                errno = 0;
                d = readdir(w.dirs[w.depth - 1]);
                if (d)
                        rc = visit_entry(&w, d->d_name, found, ctx, e);
                else if (errno)
                        rc = err_errno(e, errno, "cannot read %s in %.120s", folder, fs->path);
                else
                        closedir(w.dirs[--w.depth]);
        }
        while (w.depth > 0)
                closedir(w.dirs[--w.depth]);
        return rc;
}
