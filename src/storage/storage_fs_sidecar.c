/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sidecars, in batches: all are written to tmp/, then synced, then named, then the names are synced. The hard thing
 * is to make many of them durable without one sync for each, which would delay uploads that wait for their own: a
 * batch of more than a few syncs the whole file system twice instead.
 */
#include "storage/storage_fs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYNC_EACH_MAX 4 /* of more, the file system as a whole */

struct entry {
        char name[STORAGE_SIDECAR_NAME_LEN];
        char temp[FS_NAME_LEN]; /* "": to be removed, or named by now */
};

struct fs_batch {
        struct storage_batch base;
        struct fs *fs;
        unsigned n;
        bool made; /* directories that were not there */
        struct entry entries[STORAGE_BATCH_MAX];
};

int fs_batch_begin(struct storage *s, struct storage_batch **out, struct err *e)
{
        struct fs_batch *b = mem_calloc(1, sizeof *b);

        if (!b)
                return err_oom(e);
        b->fs = (struct fs *)s;
        *out = &b->base;
        return 0;
}

static struct entry *add_entry(struct fs_batch *b, const char *name)
{
        struct entry *en = &b->entries[b->n++];

        snprintf(en->name, sizeof en->name, "%s", name);
        return en;
}

int fs_batch_put(struct storage_batch *base, const char *name, struct span bytes, struct err *e)
{
        struct fs_batch *b = (struct fs_batch *)base;
        struct entry *en = add_entry(b, name);
        int fd = fs_temp_open(b->fs, FS_WAY_LINK, "sc-", en->temp), rc = FAULT("storage.sidecar");

        if (fd < 0) {
                en->temp[0] = '\0';
                return err_errno(e, errno, "cannot begin a file in %.100s/tmp", b->fs->path);
        }
        rc = rc ? err_errno(e, rc, "cannot write the sidecar %s", name) : fd_write_all(fd, bytes.p, bytes.n, e);
        fd_close(&fd);
        return rc;
}

int fs_batch_remove(struct storage_batch *base, const char *name, struct err *e)
{
        (void)e;
        add_entry((struct fs_batch *)base, name);
        return 0;
}

/* ---- the commit --------------------------------------------------------------------- */

static int entry_failed(const struct fs_batch *b, int errnum, const char *what, const char *name, struct err *e)
{
        return err_errno(e, errnum, "cannot %s %.60s in %.100s", what, name, b->fs->path);
}

static int sync_one(int parent, const char *name, int flags)
{
        int fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | flags), rc;

        if (fd < 0)
                return -1;
        rc = fsync(fd) && !(flags & O_DIRECTORY && errno == EINVAL) ? -1 : 0;
        fd_close(&fd);
        return rc;
}

static int sync_all(struct fs_batch *b, struct err *e)
{
        int rc = FAULT("storage.sidecar.sync");

        if (rc == 0 && syncfs(b->fs->sidecar))
                rc = errno;
        return rc ? err_errno(e, rc, "cannot sync the sidecars in %.100s", b->fs->path) : 0;
}

static int sync_files(struct fs_batch *b, struct err *e)
{
        if (b->n > SYNC_EACH_MAX)
                return sync_all(b, e);
        for (unsigned i = 0; i < b->n; i++)
                if (b->entries[i].temp[0] && sync_one(b->fs->tmp, b->entries[i].temp, 0))
                        return entry_failed(b, errno, "sync the sidecar", b->entries[i].name, e);
        return 0;
}

/* "assets/aa" of "assets/aa/<id>.json" */
static void directory_of(const char *name, char out[STORAGE_SIDECAR_NAME_LEN])
{
        const char *slash = strrchr(name, '/');

        snprintf(out, STORAGE_SIDECAR_NAME_LEN, "%.*s", slash ? (int)(slash - name) : 1, slash ? name : ".");
}

static int make_directories(struct fs_batch *b, const char *name)
{
        char dir[STORAGE_SIDECAR_NAME_LEN];

        b->made = true;
        directory_of(name, dir);
        if (mkdirat(b->fs->sidecar, dir, 0700) == 0 || errno == EEXIST)
                return 0;
        if (errno != ENOENT || (mkdirat(b->fs->sidecar, "assets", 0700) && errno != EEXIST))
                return -1;
        return mkdirat(b->fs->sidecar, dir, 0700) && errno != EEXIST ? -1 : 0;
}

static int apply_entry(struct fs_batch *b, struct entry *en, struct err *e)
{
        const struct fs *fs = b->fs;
        int rc = FAULT("storage.sidecar.rename");

        if (rc)
                return entry_failed(b, rc, "name the sidecar", en->name, e);
        if (!en->temp[0])
                return unlinkat(fs->sidecar, en->name, 0) && errno != ENOENT
                               ? entry_failed(b, errno, "remove the sidecar", en->name, e)
                               : 0;
        /* The directory exists already except for its first sidecar. */
        if (renameat(fs->tmp, en->temp, fs->sidecar, en->name) &&
            (errno != ENOENT || make_directories(b, en->name) || renameat(fs->tmp, en->temp, fs->sidecar, en->name)))
                return entry_failed(b, errno, "name the sidecar", en->name, e);
        en->temp[0] = '\0';
        return 0;
}

static int sync_names(struct fs_batch *b, struct err *e)
{
        char dir[STORAGE_SIDECAR_NAME_LEN];

        if (b->made || b->n > SYNC_EACH_MAX)
                return sync_all(b, e);
        for (unsigned i = 0; i < b->n; i++) {
                directory_of(b->entries[i].name, dir);
                /* ENOENT: nothing was removed from a directory that is not there. */
                if (sync_one(b->fs->sidecar, dir, O_DIRECTORY) && errno != ENOENT)
                        return entry_failed(b, errno, "sync the directory of the sidecar", b->entries[i].name, e);
        }
        return 0;
}

int fs_batch_commit(struct storage_batch *base, struct err *e)
{
        struct fs_batch *b = (struct fs_batch *)base;

        if (sync_files(b, e))
                return -1;
        for (unsigned i = 0; i < b->n; i++)
                if (apply_entry(b, &b->entries[i], e))
                        return -1;
        return sync_names(b, e);
}

void fs_batch_end(struct storage_batch *base)
{
        struct fs_batch *b = (struct fs_batch *)base;

        for (unsigned i = 0; i < b->n; i++)
                if (b->entries[i].temp[0])
                        unlinkat(b->fs->tmp, b->entries[i].temp, 0);
        mem_free(b);
}

/* ---- reading ------------------------------------------------------------------------- */

int fs_get_sidecar(struct storage *s, const char *name, struct buf *out, struct err *e)
{
        struct fs *fs = (struct fs *)s;
        char piece[16 << 10];
        struct stat st;
        ssize_t n = 0;
        int fd = fs->sidecar < 0 ? -1 : openat(fs->sidecar, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (fs->sidecar < 0 || (fd < 0 && errno == ENOENT))
                return err_set(e, ERR_NOT_FOUND, "there is no sidecar %s", name);
        if (fd < 0 || fstat(fd, &st)) {
                err_errno(e, errno, "cannot open the sidecar %s", name);
                fd_close(&fd);
                return -1;
        }
        while (S_ISREG(st.st_mode) && !buf_failed(out) && (n = read(fd, piece, sizeof piece)) != 0) {
                if (n < 0 && errno != EINTR)
                        break;
                if (n > 0)
                        buf_put(out, piece, (size_t)n);
        }
        if (n < 0)
                err_errno(e, errno, "cannot read the sidecar %s", name);
        fd_close(&fd);
        if (n < 0)
                return -1;
        if (!S_ISREG(st.st_mode))
                return err_set(e, ERR_CORRUPT, "the sidecar %s is not a regular file", name);
        return buf_failed(out) ? err_set(e, ERR_TOO_LARGE, "the sidecar %s is too large", name) : 0;
}
