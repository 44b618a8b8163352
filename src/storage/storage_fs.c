/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory backend: opening, reading, removing, health. The hard thing here is to notice that a disk stopped
 * accepting writes without writing to it at every health check.
 */
#include "storage/storage_fs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PROBE_SECONDS 5

static storage_open_fn fs_open;
static storage_close_fn fs_close;
static storage_open_object_fn fs_open_object;
static storage_has_object_fn fs_has_object;
static storage_remove_object_fn fs_remove_object;
static storage_state_fn fs_state;

const struct storage_ops storage_fs_ops = {
        .name = "fs",
        .open = fs_open,
        .close = fs_close,
        .put_begin = fs_put_begin,
        .put_write = fs_put_write,
        .put_peek = fs_put_peek,
        .put_seal = fs_put_seal,
        .put_commit = fs_put_commit,
        .put_ensure = fs_put_ensure,
        .put_end = fs_put_end,
        .open_object = fs_open_object,
        .has_object = fs_has_object,
        .remove_object = fs_remove_object,
        .put_derived = fs_put_derived,
        .open_derived = fs_open_derived,
        .batch_begin = fs_batch_begin,
        .batch_put = fs_batch_put,
        .batch_remove = fs_batch_remove,
        .batch_commit = fs_batch_commit,
        .batch_end = fs_batch_end,
        .get_sidecar = fs_get_sidecar,
        .list = fs_list,
        .state = fs_state,
};

static int fs_open(const struct storage_opts *opts, struct storage **out, struct err *e)
{
        struct fs *fs;
        int rc = -1;

        if (!opts->path || !opts->path[0])
                return err_set(e, ERR_INVALID, "the storage path is empty");
        fs = mem_calloc(1, sizeof *fs);
        if (!fs)
                return err_oom(e);
        fs->base.ops = &storage_fs_ops;
        fs->root = fs->tmp = fs->objects = fs->derived = fs->sidecar = -1;
        lock_init(&fs->state_lock, "storage state", RANK_STORAGE);
        fs->path = mem_strdup(opts->path);
        fs->read_only = opts->read_only;
        fs->min_free = opts->min_free;
        if (!fs->path) {
                err_oom(e);
                goto out;
        }
        if (fs_tree_open(fs, opts->expect_content, e))
                goto out;
        *out = (struct storage *)fs;
        fs = NULL; /* the caller's now */
        rc = 0;
out:
        fs_close((struct storage *)fs);
        return rc;
}

static void fs_close(struct storage *s)
{
        struct fs *fs = (struct fs *)s;

        if (!fs)
                return;
        for (unsigned i = 0; i < fs->shard_count; i++)
                fs_shard_done(&fs->shards[i]);
        fd_close(&fs->root);
        fd_close(&fs->tmp);
        fd_close(&fs->objects);
        fd_close(&fs->derived);
        fd_close(&fs->sidecar);
        lock_done(&fs->state_lock);
        mem_free(fs->path);
        mem_free(fs);
}

/* ---- objects ------------------------------------------------------------------ */

static int fs_open_object(struct storage *s, struct sha256 key, int *out, uint64_t *size, struct err *e)
{
        char hex[SHA256_TEXT_LEN];
        struct stat st;
        int fd = openat(fs_shard_of((struct fs *)s, key)->fd, sha256_format(key, hex),
                        O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

        if (fd < 0 && errno == ENOENT)
                return err_set(e, ERR_NOT_FOUND, "object %s is not in the storage", hex);
        if (fd < 0 || fstat(fd, &st)) {
                err_errno(e, errno, "cannot open object %s", hex);
                fd_close(&fd);
                return -1;
        }
        if (!S_ISREG(st.st_mode)) {
                fd_close(&fd);
                return err_set(e, ERR_CORRUPT, "object %s is not a regular file", hex);
        }
        *size = (uint64_t)st.st_size;
        *out = fd;
        return 0;
}

static bool fs_has_object(struct storage *s, struct sha256 key)
{
        char hex[SHA256_TEXT_LEN];
        struct stat st;

        return fstatat(fs_shard_of((struct fs *)s, key)->fd, sha256_format(key, hex), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
               S_ISREG(st.st_mode);
}

/* Synced as well: a purged object must not come back after a power cut. */
static int fs_remove_object(struct storage *s, struct sha256 key, struct err *e)
{
        struct fs *fs = (struct fs *)s;
        struct fs_shard *d = fs_shard_of(fs, key);
        char hex[SHA256_TEXT_LEN];

        if (fault_err(FAULT("storage.remove"), "cannot remove an object", e) || fs_remove_derived(fs, key, e))
                return -1;
        if (unlinkat(d->fd, sha256_format(key, hex), 0))
                return errno == ENOENT ? 0 : err_errno(e, errno, "cannot remove object %s", hex);
        if (fault_err(FAULT("storage.remove.after"), "cannot remove an object", e))
                return -1;
        return fs_shard_sync(fs, d, e);
}

/* ---- state ---------------------------------------------------------------------- */

static int probe_writing(struct fs *fs)
{
        char name[FS_NAME_LEN];
        int fd = fs_temp_open(fs, fs->way, "try", name), rc = 0;

        if (fd < 0)
                return errno;
        if (write(fd, "x", 1) != 1)
                rc = errno;
        fd_close(&fd);
        if (name[0])
                unlinkat(fs->tmp, name, 0);
        return rc;
}

/* The lock is held while probing: concurrent health checks share one write. */
static int probe_cached(struct fs *fs)
{
        int rc;

        lock_take(&fs->state_lock);
        if (fs->state_until.ns == 0 || mono_reached(fs->state_until)) {
                fs->state_errno = probe_writing(fs);
                fs->state_until = mono_add(mono_now(), dur_s(PROBE_SECONDS));
        }
        rc = fs->state_errno;
        lock_drop(&fs->state_lock);
        return rc;
}

static void fs_state(struct storage *s, struct storage_state *out)
{
        struct fs *fs = (struct fs *)s;
        struct statvfs v;
        struct err e;
        int rc = probe_cached(fs);
        unsigned suspects = 0;

        if (fstatvfs(fs->root, &v) == 0) {
                out->free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
                out->total_bytes = (uint64_t)v.f_blocks * v.f_frsize;
        }
        out->writable = rc == 0;
        for (unsigned i = 0; i < FS_SHARDS; i++)
                suspects += fs_shard_suspect(&fs->shards[i]);
        if (rc != 0) {
                err_errno(&e, rc, "cannot write to %.80s", fs->path);
                snprintf(out->note, sizeof out->note, "%.*s", (int)sizeof out->note - 1, e.msg);
        } else if (fs->min_free > 0 && out->free_bytes < fs->min_free) {
                snprintf(out->note, sizeof out->note,
                         "less than MIN_FREE_SPACE is free: nothing is taken until there is room");
        } else if (suspects > 0) {
                snprintf(out->note, sizeof out->note,
                         "%u directories could not be synced since the start: check the disk", suspects);
        }
}
