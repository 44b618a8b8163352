/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write-back: an object is acknowledged when it is durable under its hash in <spool>/waiting, and sent to the store
 * afterwards. The directory is the truth, and the list in memory only the order of sending. The hard thing is the end
 * of waiting: the name is removed when the store has confirmed the object, while this process holds the key's claim,
 * so that neither a removal nor a reader ever finds it in neither place.
 */
#include "storage/storage_s3_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "waiting"

/* ---- the list, lock held ---------------------------------------------------------- */

static void append_waiting(struct s3 *s, struct s3_waiting *w)
{
        *s->last = w;
        s->last = &w->next;
}

void s3_back_cut(struct s3 *s, struct s3_waiting **at)
{
        struct s3_waiting *w = *at;

        *at = w->next;
        if (s->last == &w->next)
                s->last = at;
        mem_free(w);
}

static void count_waiting(struct s3 *s, int by, uint64_t size)
{
        s->nwaiting += (uint64_t)(int64_t)by;
        s->waiting_bytes += by > 0 ? size : -size;
}

/* ---- opening ------------------------------------------------------------------------- */

static int found_one(struct s3 *s, const char *name, struct s3_waiting ***all, size_t *n, size_t *cap, struct err *e)
{
        struct sha256 key;
        struct stat st;

        if (!sha256_parse(span_of(name), &key) || fstatat(s->waiting, name, &st, AT_SYMLINK_NOFOLLOW) ||
            !S_ISREG(st.st_mode))
                return 0;
        if (mem_grow((void **)all, cap, *n + 1, sizeof **all))
                return err_oom(e);
        struct s3_waiting *w = (*all)[*n] = mem_calloc(1, sizeof *w);
        if (!w)
                return err_oom(e);
        w->sha256 = key;
        w->size = (uint64_t)st.st_size;
        w->since.us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
        ++*n;
        return 0;
}

static int by_age(const void *a, const void *b)
{
        int64_t x = (*(struct s3_waiting *const *)a)->since.us, y = (*(struct s3_waiting *const *)b)->since.us;

        return (x > y) - (x < y);
}

static int scan_folder(struct s3 *s, struct err *e)
{
        int fd = openat(s->waiting, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct s3_waiting **all = NULL;
        size_t n = 0, cap = 0;
        struct dirent *d;

        if (!dir) {
                err_errno(e, errno, "cannot read the spool %.120s", s->spool_path);
                fd_close(&fd);
                return -1;
        }
        while (rc == 0 && (errno = 0, d = readdir(dir)) != NULL)
                rc = found_one(s, d->d_name, &all, &n, &cap, e);
        if (rc == 0 && errno)
                rc = err_errno(e, errno, "cannot read the spool %.120s", s->spool_path);
        closedir(dir);
        if (n > 0)
                qsort(all, n, sizeof(struct s3_waiting *), by_age);
        for (size_t i = 0; i < n; i++) {
                append_waiting(s, all[i]);
                count_waiting(s, 1, all[i]->size);
                s->used += all[i]->size;
        }
        mem_free(all);
        return rc;
}

int s3_back_list(struct s3 *s, storage_found_fn *found, void *ctx, struct err *e)
{
        int fd = s->waiting < 0 ? -1 : openat(s->waiting, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *d;

        if (s->waiting < 0)
                return 0;
        if (!dir) {
                err_errno(e, errno, "cannot read the spool %.120s", s->spool_path);
                fd_close(&fd);
                return -1;
        }
        while (rc == 0 && (errno = 0, d = readdir(dir)) != NULL) {
                char path[SHA256_TEXT_LEN + 3];
                struct storage_found f = {.path = path, .regular = true};
                struct sha256 key;
                struct stat st;
                if (!sha256_parse(span_of(d->d_name), &key) || fstatat(s->waiting, d->d_name, &st, AT_SYMLINK_NOFOLLOW))
                        continue;
                snprintf(path, sizeof path, "%.2s/%.64s", d->d_name, d->d_name);
                f.size = (uint64_t)st.st_size;
                f.mtime.us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
                rc = found(ctx, &f, e);
                errno = 0;
        }
        if (rc == 0 && errno)
                rc = err_errno(e, errno, "cannot read the spool %.120s", s->spool_path);
        closedir(dir);
        return rc;
}

/* Not every file system can give an unnamed file a name later. */
static int try_link(struct s3 *s, struct err *e)
{
        int fd = -1, rc;

        if (s3_spool_file(s, &fd, e))
                return -1;
        unlinkat(s->waiting, "try", 0);
        rc = storage_link_unnamed(fd, s->waiting, "try");
        if (rc < 0)
                err_errno(e, errno,
                          "S3_WRITE_BACK needs a SPOOL_PATH on a file system such as ext4, xfs or btrfs; in %.100s no "
                          "unnamed file can be named",
                          s->spool_path);
        unlinkat(s->waiting, "try", 0);
        fd_close(&fd);
        return rc;
}

/* The folder and all folders above it are durable before anything in it is acknowledged. */
static int make_folder(struct s3 *s, struct err *e)
{
        if (mkdirat(s->spool, FOLDER, 0700) && errno != EEXIST)
                return err_errno(e, errno, "cannot make a folder in the spool %.120s", s->spool_path);
        if (fsync(s->spool))
                return err_errno(e, errno, "cannot sync the spool %.120s", s->spool_path);
        return dir_sync_above(s->spool_path, e);
}

int s3_back_open(struct s3 *s, struct err *e)
{
        if (s->write_back && make_folder(s, e))
                return -1;
        s->waiting = openat(s->spool, FOLDER, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (s->waiting < 0 && errno == ENOENT)
                return 0; /* and no write-back */
        if (s->waiting < 0)
                return err_errno(e, errno, "cannot open the spool %.120s", s->spool_path);
        if (flock(s->waiting, LOCK_EX | LOCK_NB))
                return err_set(e, ERR_CONFLICT,
                               "another process uses the spool %.120s: with S3_WRITE_BACK each needs its own",
                               s->spool_path);
        if (scan_folder(s, e))
                return -1;
        if (s->write_back)
                return try_link(s, e);
        if (s->nwaiting == 0 && unlinkat(s->spool, FOLDER, AT_REMOVEDIR) == 0)
                fd_close(&s->waiting);
        return 0;
}

/* ---- acknowledging ---------------------------------------------------------------------- */

/* One sync at a time: a failure is reported once per descriptor, so every thread it concerns must learn of it. */
static int sync_waiting(struct s3 *s, struct err *e)
{
        int rc;

        lock_take(&s->syncing);
        rc = atomic_load(&s->sync_errno);
        if (rc == 0) {
                rc = FAULT("storage.dirsync");
                if (rc == 0 && fsync(s->waiting))
                        rc = errno;
                atomic_store(&s->sync_errno, rc);
        }
        lock_drop(&s->syncing);
        return rc ? err_errno(e, rc, "cannot sync the spool %.120s", s->spool_path) : 0;
}

int s3_back_put(const struct s3_body *b, uint64_t *promised, bool *existed, struct err *e)
{
        struct s3 *s = b->s;
        struct s3_waiting *w = mem_calloc(1, sizeof *w);
        char hex[SHA256_TEXT_LEN], key[S3_KEY_MAX];
        int rc;

        if (!w)
                return err_oom(e);
        w->sha256 = b->sha256;
        w->size = b->size;
        w->since = wall_now();
        sha256_format(b->sha256, hex);
        s3_object_key(b->sha256, key);
        lock_take(&s->lock);
        rc = FAULT("storage.link");
        if (rc == 0 && storage_link_unnamed(b->fd, s->waiting, hex))
                rc = errno;
        /*
         * A copy only proves that the object was in the store: another instance may have removed it. So it waits to
         * be sent again.
         */
        *existed = rc == EEXIST || s3_copy_known(s, key);
        if (rc == 0) {
                append_waiting(s, w);
                w = NULL;
                count_waiting(s, 1, b->size);
                *promised = 0;
                cond_signal(&s->work);
        }
        lock_drop(&s->lock);
        mem_free(w);
        if (rc && rc != EEXIST)
                return err_errno(e, rc, "cannot name an upload in the spool %.100s", s->spool_path);
        /* Also when it existed: the thread that put it there may not have synced it yet. */
        return sync_waiting(s, e);
}

bool s3_back_waits(struct s3 *s, struct sha256 key)
{
        char hex[SHA256_TEXT_LEN];
        struct stat st;
        bool waits;

        if (s->waiting < 0)
                return false;
        sha256_format(key, hex);
        lock_take(&s->lock);
        waits = fstatat(s->waiting, hex, &st, AT_SYMLINK_NOFOLLOW) == 0;
        for (struct s3_waiting *w = s->first; waits && w; w = w->next)
                if (w->busy && sha256_eq(w->sha256, key))
                        w->again = true;
        lock_drop(&s->lock);
        return waits;
}

/* ---- until it is sent --------------------------------------------------------------------- */

int s3_back_find(struct s3 *s, struct sha256 key, int *fd, uint64_t *size, struct err *e)
{
        char hex[SHA256_TEXT_LEN];
        struct stat st;
        int rc;

        *fd = -1;
        if (s->waiting < 0)
                return 0;
        *fd = openat(s->waiting, sha256_format(key, hex), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
        if (*fd < 0)
                return errno == ENOENT ? 0 : err_errno(e, errno, "cannot open object %s in the spool", hex);
        /* The file becomes a copy when it is sent, and a copy with readers stays. */
        lock_take(&s->lock);
        rc = flock(*fd, LOCK_SH | LOCK_NB) || fstat(*fd, &st) ? errno : 0;
        lock_drop(&s->lock);
        if (rc) {
                fd_close(fd);
                return err_errno(e, rc, "cannot read object %s in the spool", hex);
        }
        *size = (uint64_t)st.st_size;
        return 1;
}

int s3_back_take(struct s3 *s, struct sha256 key, uint64_t size)
{
        char hex[SHA256_TEXT_LEN];
        int rc = unlinkat(s->waiting, sha256_format(key, hex), 0);

        if (rc == 0)
                count_waiting(s, -1, size);
        return rc;
}

int s3_back_remove(struct s3 *s, struct sha256 key, struct err *e)
{
        uint64_t size;
        int fd, rc = s3_back_find(s, key, &fd, &size, e);

        if (rc <= 0)
                return rc;
        fd_close(&fd);
        lock_take(&s->lock);
        rc = s3_back_take(s, key, size) ? errno : 0;
        if (rc == 0) {
                s->used -= size;
                for (struct s3_waiting **at = &s->first; *at; at = &(*at)->next) {
                        /* A thread that waits for this claim finds out by itself. */
                        if (!sha256_eq((*at)->sha256, key) || (*at)->busy)
                                continue;
                        s3_back_cut(s, at);
                        break;
                }
        }
        lock_drop(&s->lock);
        if (rc)
                return err_errno(e, rc, "cannot remove an object from the spool");
        return sync_waiting(s, e); /* or it came back after a power cut */
}

void s3_back_state(const struct s3 *s, struct storage_state *out)
{
        out->write_back = s->waiting >= 0;
        out->waiting = s->nwaiting;
        out->waiting_bytes = s->waiting_bytes;
        out->waiting_since = s->first ? s->first->since : (struct wall){0};
}

void s3_back_close(struct s3 *s)
{
        while (s->first)
                s3_back_cut(s, &s->first);
        fd_close(&s->waiting);
}
