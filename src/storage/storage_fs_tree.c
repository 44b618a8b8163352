/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory tree and its sentinel. The hard thing is the first use: the
 * tree is synced from the root of the file system down before the sentinel is
 * written, so a sentinel says that every directory under it is durable, and a
 * missing one tells an empty mount point from the volume that belongs there.
 */
#include "storage/storage_fs_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* The directory's descriptor; *made tells that it was not there. */
static int open_dir(struct fs *fs, int parent, const char *name, bool *made, struct err *e)
{
        int fd, why = fs->read_only ? EROFS : mkdirat(parent, name, 0700) ? errno : 0;

        if (why == 0)
                *made = true;
        fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
                return err_errno(e, errno == ENOENT && why ? why : errno,
                                 "cannot make or open the directory %s in %.100s", name, fs->path);
        return fd;
}

static int sync_dir(struct fs *fs, int fd, struct err *e)
{
        if (fsync(fd) && errno != EINVAL)
                return err_errno(e, errno, "cannot sync a directory in %.100s", fs->path);
        return 0;
}

static int open_shards(struct fs *fs, bool first, struct err *e)
{
        bool made = first;

        for (unsigned i = 0; i < FS_SHARDS; i++) {
                char name[3];
                bool made_this = first;
                int fd;

                snprintf(name, sizeof name, "%02x", i);
                fd = open_dir(fs, fs->objects, name, &made_this, e);
                if (fd < 0)
                        return -1;
                fs_shard_init(&fs->shards[fs->shard_count++], fd);
                if (made_this && sync_dir(fs, fd, e))
                        return -1;
                made |= made_this;
        }
        return made ? sync_dir(fs, fs->objects, e) : 0;
}

static int write_sentinel(struct fs *fs, struct err *e)
{
        char text[128], id[ID_TEXT_LEN];
        int fd, n, rc;

        if (fault_err(FAULT("storage.sentinel"), "cannot write the sentinel", e))
                return -1;
        n = snprintf(text, sizeof text, "file-allocator storage 1\ninstallation %s\n", id_format(id_new(), id));
        unlinkat(fs->root, FS_SENTINEL ".new", 0); /* of a first use that was cut short */
        fd = openat(fs->root, FS_SENTINEL ".new", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0440);
        if (fd < 0)
                return err_errno(e, errno, "cannot write in the storage directory %.120s", fs->path);
        rc = fd_write_all(fd, text, (size_t)n, e);
        if (rc == 0 && fsync(fd))
                rc = err_errno(e, errno, "cannot sync the sentinel in %.120s", fs->path);
        fd_close(&fd);
        if (rc == 0 && renameat(fs->root, FS_SENTINEL ".new", fs->root, FS_SENTINEL))
                rc = err_errno(e, errno, "cannot name the sentinel in %.120s", fs->path);
        if (rc < 0 || fault_err(FAULT("storage.sentinel.after"), "cannot name the sentinel", e))
                return -1;
        return sync_dir(fs, fs->root, e);
}

/*
 * Removes the leftovers of uploads that died. A second process on the same directory (a command beside the server)
 * must not take the first one's uploads for leftovers, so every process holds a shared lock on tmp/, and only a
 * process that finds itself alone removes files.
 */
static void sweep_tmp(struct fs *fs)
{
        int fd = -1;
        DIR *dir;
        struct dirent *d;

        if (flock(fs->tmp, LOCK_EX | LOCK_NB) && errno == EWOULDBLOCK)
                goto share;
        fd = openat(fs->tmp, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir) {
                fd_close(&fd);
                goto share;
        }
        while ((d = readdir(dir)) != NULL)
                if (d->d_name[0] != '.')
                        unlinkat(fs->tmp, d->d_name, 0);
        closedir(dir);
share:
        while (flock(fs->tmp, LOCK_SH) && errno == EINTR)
                ;
}

static int try_rename(struct fs *fs, const char *from, const char *to)
{
        return renameat2(fs->tmp, from, fs->tmp, to, RENAME_NOREPLACE);
}

/* Tries one way with a real file. 0, or an errno. */
static int try_way(struct fs *fs, enum fs_way way)
{
        char name[FS_NAME_LEN], to[FS_NAME_LEN], id[ID_TEXT_LEN];
        int rc = FAULT(way == FS_WAY_UNNAMED ? "storage.unnamed" : "storage.hardlink"), fd;

        if (rc)
                return rc; /* tests: a file system that cannot */
        fd = fs_temp_open(fs, way, "try", name);
        if (fd < 0)
                return errno;
        snprintf(to, sizeof to, "to-%s", id_format(id_new(), id));
        if (way == FS_WAY_UNNAMED)
                rc = storage_link_unnamed(fd, fs->tmp, to);
        else if (way == FS_WAY_LINK)
                rc = linkat(fs->tmp, name, fs->tmp, to, 0);
        else
                rc = try_rename(fs, name, to);
        rc = rc < 0 ? errno : 0;
        fd_close(&fd);
        if (name[0])
                unlinkat(fs->tmp, name, 0);
        unlinkat(fs->tmp, to, 0);
        return rc;
}

/* A full disk is no reason to refuse the opening: stored objects can still be read. */
static int choose_way(struct fs *fs, struct err *e)
{
        static const enum fs_way ways[] = {FS_WAY_UNNAMED, FS_WAY_LINK, FS_WAY_RENAME};
        int rc = 0;

        for (size_t i = 0; i < COUNT_OF(ways); i++) {
                rc = try_way(fs, ways[i]);
                fs->way = ways[i];
                if (rc == 0 || rc == ENOSPC || rc == EDQUOT)
                        return 0;
                if (rc == EROFS || rc == EACCES)
                        break;
        }
        return err_errno(e, rc, "the storage directory %.120s is not writable", fs->path);
}

static int open_root(struct fs *fs, bool expect_content, bool *first, struct err *e)
{
        struct stat st;

        fs->root = open(fs->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        *first = fs->root < 0 || fstatat(fs->root, FS_SENTINEL, &st, 0);
        if (*first && fs->read_only)
                return err_set(e, ERR_NOT_FOUND, "%.160s is no storage: it holds no " FS_SENTINEL " file", fs->path);
        if (*first && expect_content)
                return err_set(e, ERR_UNAVAILABLE,
                               "%.120s holds no " FS_SENTINEL " file but the catalog knows objects: "
                               "its volume looks unmounted",
                               fs->path);
        if (fs->root >= 0)
                return 0;
        if (dir_make(fs->path, e))
                return -1;
        fs->root = open(fs->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return fs->root < 0 ? err_errno(e, errno, "cannot open the storage directory %.120s", fs->path) : 0;
}

int fs_tree_open(struct fs *fs, bool expect_content, struct err *e)
{
        bool first, made;

        if (open_root(fs, expect_content, &first, e))
                return -1;
        made = first;
        if ((fs->objects = open_dir(fs, fs->root, "objects", &made, e)) < 0 ||
            (fs->derived = open_dir(fs, fs->root, "derived", &made, e)) < 0 || open_shards(fs, first, e))
                return -1;
        if (fs->read_only) {
                /* A directory of an earlier version has none. */
                fs->sidecar = openat(fs->root, "sidecar", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
                return 0;
        }
        if ((fs->sidecar = open_dir(fs, fs->root, "sidecar", &made, e)) < 0 ||
            (fs->tmp = open_dir(fs, fs->root, "tmp", &made, e)) < 0)
                return -1;
        sweep_tmp(fs);
        if (choose_way(fs, e) || (made && sync_dir(fs, fs->root, e)))
                return -1;
        if (!first)
                return 0;
        return dir_sync_above(fs->path, e) ? -1 : write_sentinel(fs, e);
}
