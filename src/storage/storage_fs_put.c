/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing one object: write, sync the file, give it its address, sync the
 * directory; an error at any step fails the upload and is never tried again,
 * because a second fsync after a failed one may succeed over lost pages.
 * docs/internals/durable-writes.md has the argument for each step.
 */
#include "storage/storage_fs_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define CHUNK        ((size_t)64 << 10)
#define TRIES        3
#define WRITE_BEHIND ((uint64_t)4 << 20) /* written back in such steps, so that the final fsync has little left */

struct fs_put {
        struct storage_put base;
        struct fs *fs;
        int fd;
        char name[FS_NAME_LEN]; /* in tmp/; "" when the file has no name there (any more) */
        struct sha256_ctx *sha;
        uint64_t flushed; /* bytes hashed and handed to the kernel */
        uint64_t started; /* bytes whose write-back was started */
        size_t held;      /* bytes in chunk */
        bool placed;      /* it has, or had, its address */
        dev_t dev;        /* of the entry that was synced at the commit, with ino and ctime */
        ino_t ino;
        struct timespec ctime;
        char chunk[CHUNK];
};

int fs_temp_open(struct fs *fs, enum fs_way way, const char *prefix, char name[FS_NAME_LEN])
{
        char id[ID_TEXT_LEN];

        name[0] = '\0';
        if (way == FS_WAY_UNNAMED)
                return openat(fs->tmp, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, FS_OBJECT_MODE);
        snprintf(name, FS_NAME_LEN, "%.3s%s", prefix, id_format(id_new(), id));
        return openat(fs->tmp, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FS_OBJECT_MODE);
}

/* Through /proc, since linkat(AT_EMPTY_PATH) asks for a capability. */
int storage_link_unnamed(int fd, int dir, const char *name)
{
        char proc[40];

        snprintf(proc, sizeof proc, "/proc/self/fd/%d", fd);
        return linkat(AT_FDCWD, proc, dir, name, AT_SYMLINK_FOLLOW);
}

/*
 * The space that uploads leave is for the catalog on the same volume. Without it nothing could be deleted either, so
 * no space could be made.
 */
static int check_room(struct fs *fs, struct err *e)
{
        struct statvfs v;
        uint64_t free_bytes;

        if (fs->min_free == 0 || fstatvfs(fs->root, &v))
                return 0;
        free_bytes = (uint64_t)v.f_bavail * v.f_frsize;
        if (free_bytes >= fs->min_free)
                return 0;
        return err_set(e, ERR_NO_SPACE, "%.80s has %llu bytes free, less than MIN_FREE_SPACE (%llu)", fs->path,
                       (unsigned long long)free_bytes, (unsigned long long)fs->min_free);
}

int fs_put_begin(struct storage *s, struct storage_put **out, struct err *e)
{
        struct fs *fs = (struct fs *)s;
        struct fs_put *p;

        if (check_room(fs, e))
                return -1;
        p = mem_alloc(sizeof *p);
        if (!p)
                return err_oom(e);
        memset(p, 0, offsetof(struct fs_put, chunk));
        p->base.storage = s;
        p->fs = fs;
        p->fd = -1;
        p->sha = sha256_new();
        if (!p->sha) {
                fs_put_end(&p->base);
                return err_oom(e);
        }
        p->fd = fs_temp_open(fs, fs->way, "up-", p->name);
        if (p->fd < 0) {
                err_errno(e, errno, "cannot begin a file in %.100s/tmp", fs->path);
                p->name[0] = '\0';
                fs_put_end(&p->base);
                return -1;
        }
        *out = &p->base;
        return 0;
}

static int write_out(struct fs_put *p, const void *bytes, size_t n, struct err *e)
{
        int rc = FAULT("storage.write");

        if (rc)
                return err_errno(e, rc, "cannot write an upload in %.100s", p->fs->path);
        sha256_update(p->sha, bytes, n);
        if (fd_write_all(p->fd, bytes, n, e))
                return -1;
        p->flushed += n;
        if (p->flushed - p->started >= WRITE_BEHIND) {
                /* A hint: its failure shows at the fsync. */
                sync_file_range(p->fd, (off_t)p->started, (off_t)(p->flushed - p->started), SYNC_FILE_RANGE_WRITE);
                p->started = p->flushed;
                if (check_room(p->fs, e))
                        return -1;
        }
        rc = FAULT("storage.write.after");
        return rc ? err_errno(e, rc, "cannot write an upload in %.100s", p->fs->path) : 0;
}

static int flush_held(struct fs_put *p, struct err *e)
{
        size_t n = p->held;

        p->held = 0;
        return n ? write_out(p, p->chunk, n, e) : 0;
}

/* The kernel is given whole, aligned chunks however small the pieces of a request are. */
int fs_put_write(struct storage_put *base, const void *bytes, size_t n, struct err *e)
{
        struct fs_put *p = (struct fs_put *)base;
        const char *from = bytes;

        base->size += n;
        while (n > 0) {
                size_t part = CHUNK - p->held;
                if (p->held == 0 && n >= CHUNK) {
                        part = n / CHUNK * CHUNK;
                        if (write_out(p, from, part, e))
                                return -1;
                } else {
                        part = part < n ? part : n;
                        memcpy(p->chunk + p->held, from, part);
                        p->held += part;
                        if (p->held == CHUNK && flush_held(p, e))
                                return -1;
                }
                from += part;
                n -= part;
        }
        return 0;
}

int fs_put_peek(struct storage_put *base, uint64_t offset, void *out, size_t n, struct err *e)
{
        struct fs_put *p = (struct fs_put *)base;
        char *to = out;

        while (n > 0 && offset < p->flushed) {
                size_t part = n < p->flushed - offset ? n : (size_t)(p->flushed - offset);
                ssize_t got = pread(p->fd, to, part, (off_t)offset);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return err_errno(e, got < 0 ? errno : EIO, "cannot read an upload back");
                to += got;
                offset += (uint64_t)got;
                n -= (size_t)got;
        }
        if (n > 0)
                memcpy(to, p->chunk + (offset - p->flushed), n);
        return 0;
}

/* The umask may have cleared bits, and the size is the cheapest proof that no write is missing. */
static int check_file(struct fs_put *p, struct err *e)
{
        struct stat st;

        if (fstat(p->fd, &st))
                return err_errno(e, errno, "cannot look at an upload in %.100s", p->fs->path);
        if ((uint64_t)st.st_size != p->base.size)
                return err_set(e, ERR_IO, "an upload of %llu bytes has %lld on the disk",
                               (unsigned long long)p->base.size, (long long)st.st_size);
        if ((st.st_mode & 07777) != FS_OBJECT_MODE && fchmod(p->fd, FS_OBJECT_MODE))
                return err_errno(e, errno, "cannot make an upload in %.100s read-only", p->fs->path);
        return 0;
}

int fs_put_seal(struct storage_put *base, struct err *e)
{
        struct fs_put *p = (struct fs_put *)base;
        int rc;

        if (flush_held(p, e) || check_file(p, e))
                return -1;
        rc = FAULT("storage.fsync");
        if (rc == 0 && fsync(p->fd))
                rc = errno;
        if (rc == 0)
                rc = FAULT("storage.fsync.after");
        if (rc)
                return err_errno(e, rc, "cannot sync an upload in %.100s; it is not kept", p->fs->path);
        base->is = (struct stored){.sha256 = sha256_final(p->sha), .size = base->size};
        return 0;
}

/* ---- the address ---------------------------------------------------------------- */

/* Only for file systems without RENAME_NOREPLACE: replacing equal bytes by equal bytes does no harm. */
static int rename_gently(struct fs_put *p, int dir, const char *hex)
{
        struct stat st;

        if (renameat2(p->fs->tmp, p->name, dir, hex, RENAME_NOREPLACE) == 0)
                return 0;
        if (errno != EINVAL && errno != ENOSYS)
                return -1;
        if (fstatat(dir, hex, &st, AT_SYMLINK_NOFOLLOW) == 0) {
                errno = EEXIST;
                return -1;
        }
        return renameat(p->fs->tmp, p->name, dir, hex);
}

static int name_file(struct fs_put *p, int dir, const char *hex)
{
        int rc;

        switch (p->fs->way) {
        case FS_WAY_UNNAMED:
                return storage_link_unnamed(p->fd, dir, hex);
        case FS_WAY_LINK:
                return linkat(p->fs->tmp, p->name, dir, hex, 0);
        case FS_WAY_RENAME:
                rc = rename_gently(p, dir, hex);
                if (rc == 0)
                        p->name[0] = '\0';
                return rc;
        }
        errno = EINVAL;
        return -1;
}

/*
 * The existing entry may be one whose sync failed: the kernel then holds it as clean, and syncing again would prove
 * nothing. A new entry is dirty again. Readers keep the file they opened, which has the same bytes.
 */
static int replace_file(struct fs_put *p, int dir, const char *hex)
{
        char id[ID_TEXT_LEN];

        if (!p->name[0]) {
                snprintf(p->name, sizeof p->name, "up-%s", id_format(id_new(), id));
                if (storage_link_unnamed(p->fd, p->fs->tmp, p->name)) {
                        p->name[0] = '\0';
                        return -1;
                }
        }
        if (renameat(p->fs->tmp, p->name, dir, hex))
                return -1;
        p->name[0] = '\0';
        p->placed = true;
        return 0;
}

static bool right_size(const struct fs_put *p, const struct stat *st)
{
        return S_ISREG(st->st_mode) && (uint64_t)st->st_size == p->base.size;
}

static void remember_stat(struct fs_put *p, const struct stat *st)
{
        p->dev = st->st_dev;
        p->ino = st->st_ino;
        p->ctime = st->st_ctim;
}

static bool is_remembered(const struct fs_put *p, const struct stat *st)
{
        return p->ino == st->st_ino && p->dev == st->st_dev && p->ctime.tv_sec == st->st_ctim.tv_sec &&
               p->ctime.tv_nsec == st->st_ctim.tv_nsec;
}

/* The name exists. These bytes are right, so they also replace a file of another size. 0 or an errno. */
static int meet_existing(struct fs_put *p, struct fs_shard *d, const char *hex, bool over)
{
        struct stat st;

        if (fstatat(d->fd, hex, &st, AT_SYMLINK_NOFOLLOW))
                return errno;
        if (!S_ISREG(st.st_mode))
                return EEXIST;
        if (over || !right_size(p, &st) || fs_shard_suspect(d))
                return replace_file(p, d->fd, hex) ? errno : 0;
        return 0;
}

/*
 * Notes the entry that a sync of the directory will cover, before the sync, so that a later look tells whether it is
 * still that entry.
 */
static int stat_target(struct fs_put *p, int dir, const char *hex)
{
        struct stat st;

        if (fstatat(dir, hex, &st, AT_SYMLINK_NOFOLLOW))
                return errno;
        remember_stat(p, &st);
        return 0;
}

/* 0 or an errno. Tries once more when the entry in its way was removed meanwhile. */
static int take_address(struct fs_put *p, struct fs_shard *d, const char *hex, bool over)
{
        int rc = ENOENT;

        for (int tries = 0; rc == ENOENT && tries < TRIES; tries++) {
                p->placed = name_file(p, d->fd, hex) == 0;
                rc = p->placed ? 0 : errno;
                p->base.is.existed = rc == EEXIST;
                if (rc == EEXIST)
                        rc = meet_existing(p, d, hex, over);
        }
        return rc;
}

static int give_address(struct fs_put *p, bool over, struct err *e)
{
        struct fs_shard *d = fs_shard_of(p->fs, p->base.is.sha256);
        char hex[SHA256_TEXT_LEN];
        int rc = FAULT("storage.link");

        sha256_format(p->base.is.sha256, hex);
        if (rc == 0)
                rc = take_address(p, d, hex, over);
        if (rc == 0)
                rc = FAULT("storage.link.after");
        /* It was removed again already: the look after the catalog's transaction deals with that. */
        if (rc == 0 && (rc = stat_target(p, d->fd, hex)) == ENOENT)
                rc = 0;
        if (rc)
                return err_errno(e, rc, "cannot name object %s", hex);
        /* Also when it existed: the upload that made the entry may not have synced it yet. */
        return fs_shard_sync(p->fs, d, e);
}

int fs_put_commit(struct storage_put *base, struct err *e)
{
        return give_address((struct fs_put *)base, false, e);
}

/* A file whose last name was removed cannot have another one: the bytes go to a new file. */
static int copy_to_new_file(struct fs_put *p, struct err *e)
{
        char name[FS_NAME_LEN], *piece;
        int fd, rc = 0;

        fd = fs_temp_open(p->fs, p->fs->way, "up-", name);
        if (fd < 0)
                return err_errno(e, errno, "cannot begin a file in %.100s/tmp", p->fs->path);
        piece = mem_alloc(CHUNK);
        if (!piece)
                rc = err_oom(e);
        for (uint64_t at = 0; rc == 0 && at < p->base.size;) {
                ssize_t n = pread(p->fd, piece, CHUNK, (off_t)at);
                if (n < 0 && errno == EINTR)
                        continue;
                rc = n <= 0 ? err_errno(e, n < 0 ? errno : EIO, "cannot read an upload back")
                            : fd_write_all(fd, piece, (size_t)n, e);
                at += n > 0 ? (uint64_t)n : 0;
        }
        mem_free(piece);
        if (p->name[0])
                unlinkat(p->fs->tmp, p->name, 0);
        fd_close(&p->fd);
        p->fd = fd;
        memcpy(p->name, name, sizeof name);
        p->placed = false;
        if (rc < 0 || check_file(p, e))
                return -1;
        return fsync(fd) ? err_errno(e, errno, "cannot sync an upload in %.100s; it is not kept", p->fs->path) : 0;
}

int fs_put_ensure(struct storage_put *base, bool over, struct err *e)
{
        struct fs_put *p = (struct fs_put *)base;
        struct fs_shard *d = fs_shard_of(p->fs, base->is.sha256);
        char hex[SHA256_TEXT_LEN];
        struct stat st, mine;
        bool there = fstatat(d->fd, sha256_format(base->is.sha256, hex), &st, AT_SYMLINK_NOFOLLOW) == 0;

        if (!there && errno != ENOENT)
                return err_errno(e, errno, "cannot look at object %s", hex);
        /* This upload's own file was hashed while it was written. */
        if (there && p->placed && fstat(p->fd, &mine) == 0 && mine.st_ino == st.st_ino && mine.st_dev == st.st_dev)
                return 0;
        if (there && !over && right_size(p, &st))
                return is_remembered(p, &st)
                               ? 0
                               : fs_shard_sync(p->fs, d,
                                               e); /* the entry of another upload, which may not have synced it */
        if (p->placed && copy_to_new_file(p, e))
                return -1;
        return give_address(p, over, e);
}

void fs_put_end(struct storage_put *base)
{
        struct fs_put *p = (struct fs_put *)base;

        if (p->name[0])
                unlinkat(p->fs->tmp, p->name, 0);
        fd_close(&p->fd);
        sha256_free(p->sha);
        mem_free(p);
}
