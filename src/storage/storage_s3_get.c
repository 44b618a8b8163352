/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading: whole, as a file of the spool for callers that need a descriptor (then the hash is checked), or in ranges
 * as they are asked for. The hard thing about ranges is their size: small ones cost a round trip each, and of large
 * ones a seek discards most; so they grow while the reader reads on.
 */
#include "storage/storage_s3_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DERIVED_TTL  60 /* seconds until another instance's better thumbnail is seen */
#define WINDOW_LEAST ((uint64_t)256 << 10)
#define WINDOW_MOST  ((uint64_t)4 << 20)

/* ---- whole ------------------------------------------------------------------- */

int s3_check_hash(int fd, struct sha256 key, uint64_t size, struct err *e)
{
        char piece[32 << 10], hex[SHA256_TEXT_LEN];
        struct sha256_ctx *sha = sha256_new();
        uint64_t at = 0;
        bool same;

        if (!sha)
                return err_oom(e);
        for (ssize_t n; (n = pread(fd, piece, sizeof piece, (off_t)at)) != 0; at += (uint64_t)n) {
                if (n < 0 && errno == EINTR) {
                        n = 0;
                } else if (n < 0) {
                        err_errno(e, errno, "cannot read the spool");
                        sha256_free(sha);
                        return -1;
                }
                sha256_update(sha, piece, (size_t)n);
        }
        same = sha256_eq(sha256_final(sha), key) && at == size;
        sha256_free(sha);
        return same ? 0
                    : err_set(e, ERR_CORRUPT, "object %s is damaged: its bytes are something else",
                              sha256_format(key, hex));
}

static int download_to_spool(struct s3 *s, const char *path, struct sha256 key, uint64_t size, struct err *e)
{
        struct httpc_response r;
        int fd = -1, rc = s3_spool_reserve(s, 0, size, e);

        if (rc < 0)
                return -1;
        rc = s3_spool_file(s, &fd, e);
        if (rc == 0) {
                rc = s3_do(s, &(struct s3_request){.method = "GET", .key = path, .out_fd = fd}, &r, e);
                if (rc == 0 && r.status != 200)
                        rc = s3_refused(&r, "cannot read", path, e);
                httpc_response_done(&r);
        }
        if (rc == 0)
                rc = s3_check_hash(fd, key, size, e);
        if (rc == 0) {
                s3_copy_keep(s, path, fd, size, (struct dur){0});
                return 0;
        }
        fd_close(&fd);
        s3_spool_release(s, size);
        return rc;
}

static int spool_full(const char *path, struct err *e)
{
        return err_set(e, ERR_BUSY, "the spool has no room for %.100s; try again later", path);
}

/* 1: a descriptor of bytes on this disk, 0: there are none, -1. */
static int find_here(struct s3 *s, struct sha256 key, const char *path, int *fd, uint64_t *size, struct err *e)
{
        int found = s3_back_find(s, key, fd, size, e);

        /* In this order: an object that is sent becomes a copy before it ceases to wait. */
        return found ? found : s3_copy_open(s, path, fd, size);
}

/* The caller has the key from the catalog, so some instance has acknowledged it. */
static int find_there(struct s3 *s, const char *path, uint64_t *size, struct err *e)
{
        struct err why = {0};
        int rc = s3_head(s, path, size, &why);

        if (rc < 0 && why.code == ERR_NOT_FOUND && s->write_back)
                return err_set(e, ERR_UNAVAILABLE,
                               "%.100s is not in the object store: the instance that took it may still have to send it",
                               path);
        if (rc < 0 && e)
                *e = why;
        return rc;
}

int s3_open_object(struct storage *base, struct sha256 key, int *fd, uint64_t *size, struct err *e)
{
        struct s3 *s = (struct s3 *)base;
        char path[S3_KEY_MAX];
        struct s3_claim claim;
        int rc;

        s3_object_key(key, path);
        rc = find_here(s, key, path, fd, size, e);
        if (rc)
                return rc < 0 ? -1 : 0;
        s3_claim(s, &claim, path);
        /* Another thread may have fetched it meanwhile. */
        if (!s3_copy_open(s, path, fd, size)) {
                rc = find_there(s, path, size, e);
                if (rc == 0)
                        rc = download_to_spool(s, path, key, *size, e);
                if (rc == 0 && !s3_copy_open(s, path, fd, size))
                        rc = spool_full(path, e);
        }
        s3_unclaim(s, &claim);
        return rc;
}

/* ---- derived -------------------------------------------------------------------- */

static int keep_derived(struct s3 *s, const char *path, struct span bytes, struct err *e)
{
        int fd = -1, rc = s3_spool_reserve(s, 0, bytes.n, e);

        if (rc < 0)
                return -1;
        rc = s3_spool_file(s, &fd, e);
        if (rc == 0)
                rc = fd_write_all(fd, bytes.p, bytes.n, e);
        if (rc == 0) {
                s3_copy_keep(s, path, fd, bytes.n, dur_s(DERIVED_TTL));
                return 0;
        }
        fd_close(&fd);
        s3_spool_release(s, bytes.n);
        return rc;
}

static int fetch_derived(struct s3 *s, const char *path, const char *name, struct err *e)
{
        struct httpc_response r;
        int rc = s3_do(s, &(struct s3_request){.method = "GET", .key = path, .max_body = S3_SMALL_MAX}, &r, e);

        if (rc == 0 && r.status != 200 && r.status != 404)
                rc = s3_refused(&r, "cannot read", path, e);
        else if (rc == 0 && (r.status == 404 || r.body.n == 0))
                rc = err_set(e, ERR_NOT_FOUND, "there is no %s of this object", name);
        else if (rc == 0)
                rc = keep_derived(s, path, buf_span(&r.body), e);
        httpc_response_done(&r);
        return rc;
}

int s3_open_derived(struct storage *base, struct sha256 key, const char *name, int *fd, uint64_t *size, struct err *e)
{
        struct s3 *s = (struct s3 *)base;
        char path[S3_KEY_MAX];
        struct s3_claim claim;
        int rc = 0;

        s3_derived_key(key, name, path);
        if (s3_copy_open(s, path, fd, size))
                return 0;
        s3_claim(s, &claim, path);
        if (!s3_copy_open(s, path, fd, size)) {
                rc = fetch_derived(s, path, name, e);
                if (rc == 0 && !s3_copy_open(s, path, fd, size))
                        rc = spool_full(path, e);
        }
        s3_unclaim(s, &claim);
        return rc;
}

/* ---- ranges ------------------------------------------------------------------------ */

struct s3_read {
        struct storage_read base;
        struct s3 *s;
        char path[S3_KEY_MAX];
        uint64_t size;
        uint64_t start; /* of the window */
        struct buf window;
        uint64_t next_size;
};

static int read_there(struct s3 *s, const char *path, uint64_t *size, struct storage_read **out, struct err *e)
{
        struct s3_read *r;

        if (find_there(s, path, size, e))
                return -1;
        r = mem_calloc(1, sizeof *r);
        if (!r)
                return err_oom(e);
        r->s = s;
        r->size = *size;
        r->next_size = WINDOW_LEAST;
        snprintf(r->path, sizeof r->path, "%s", path);
        buf_init(&r->window, 1);
        *out = &r->base;
        return 0;
}

int s3_read_begin(struct storage *base, struct sha256 key, int *fd, uint64_t *size, struct storage_read **out,
                  struct err *e)
{
        struct s3 *s = (struct s3 *)base;
        char path[S3_KEY_MAX];
        int found;

        s3_object_key(key, path);
        found = find_here(s, key, path, fd, size, e);
        return found ? (found < 0 ? -1 : 0) : read_there(s, path, size, out, e);
}

/* An object that waits to be sent is nowhere else yet. */
int s3_verify_begin(struct storage *base, struct sha256 key, int *fd, uint64_t *size, struct storage_read **out,
                    struct err *e)
{
        struct s3 *s = (struct s3 *)base;
        char path[S3_KEY_MAX];
        int found = s3_back_find(s, key, fd, size, e);

        s3_object_key(key, path);
        return found ? (found < 0 ? -1 : 0) : read_there(s, path, size, out, e);
}

static int fetch_window(struct s3_read *r, uint64_t offset, struct err *e)
{
        uint64_t n = r->next_size < r->size - offset ? r->next_size : r->size - offset;
        struct httpc_response got;
        int rc = s3_do(r->s, &(struct s3_request){.method = "GET", .key = r->path, .range_from = offset, .range_n = n},
                       &got, e);
        bool whole = rc == 0 && got.status == 200 && n == r->size;

        if (rc == 0 && got.status != 206 && !whole)
                rc = got.status == 200 ? err_set(e, ERR_UNAVAILABLE, "the object store does not support ranges")
                                       : s3_refused(&got, "cannot read", r->path, e);
        else if (rc == 0 && got.body.n != n)
                rc = err_set(e, ERR_IO, "the object store gives %zu bytes of %.80s instead of %llu", got.body.n,
                             r->path, (unsigned long long)n);
        if (rc == 0) {
                struct buf old = r->window;
                r->window = got.body;
                got.body = old;
                r->start = offset;
                r->next_size = n * 2 < WINDOW_MOST ? n * 2 : WINDOW_MOST;
        }
        httpc_response_done(&got);
        return rc;
}

int64_t s3_read_at(struct storage_read *base, uint64_t offset, void *out, size_t n, struct err *e)
{
        struct s3_read *r = (struct s3_read *)base;

        if (offset >= r->size)
                return 0;
        if (offset < r->start || offset - r->start >= r->window.n) {
                if (offset != r->start + r->window.n)
                        r->next_size = WINDOW_LEAST;
                if (fetch_window(r, offset, e))
                        return -1;
        }
        if (n > r->window.n - (offset - r->start))
                n = r->window.n - (size_t)(offset - r->start);
        memcpy(out, r->window.p + (offset - r->start), n);
        return (int64_t)n;
}

void s3_read_end(struct storage_read *base)
{
        struct s3_read *r = (struct s3_read *)base;

        buf_done(&r->window);
        mem_free(r);
}
