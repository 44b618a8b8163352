/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entry to the backends. The hard thing is that a caller's mistake must not become a backend's: the order of
 * calls and the names are checked here, once.
 */
#include "storage/storage_priv.h"

#include "metrics/metrics.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct storage_ops *const backends[] = {&storage_fs_ops, &storage_s3_ops};

static const struct storage_ops *backend_of(const char *url)
{
        for (size_t i = 0; i < COUNT_OF(backends); i++) {
                size_t n = strlen(backends[i]->name);
                if (strncmp(url, backends[i]->name, n) == 0 && strncmp(url + n, "://", 3) == 0)
                        return backends[i];
        }
        return NULL;
}

int storage_open(const struct storage_opts *opts, struct storage **out, struct err *e)
{
        const struct storage_ops *ops = backend_of(opts->url ? opts->url : "");

        /* The message does not repeat the URL, which may hold a password. */
        if (!ops)
                return err_set(e, ERR_INVALID,
                               "the storage URL names no backend of this build (expected fs:// or s3://bucket/prefix)");
        return ops->open(opts, out, e);
}

void storage_close(struct storage *s)
{
        if (s)
                s->ops->close(s);
}

const char *storage_backend_name(const struct storage *s)
{
        return s->ops->name;
}

/* ---- writing ------------------------------------------------------------------ */

int storage_put_begin(struct storage *s, struct storage_put **out, struct err *e)
{
        *out = NULL;
        if (s->ops->put_begin(s, out, e))
                return -1;
        (*out)->storage = s;
        (*out)->stage = PUT_OPEN;
        return 0;
}

/* A failed upload stays failed: a file with a hole must not get an address. */
static int advance_put(struct storage_put *p, int rc, enum put_stage next)
{
        p->stage = rc < 0 ? PUT_FAILED : next;
        return rc;
}

static int failed_before(struct err *e)
{
        return err_set(e, ERR_IO, "this upload failed before");
}

int storage_put_write(struct storage_put *p, const void *bytes, size_t n, struct err *e)
{
        assert(p->stage == PUT_OPEN || p->stage == PUT_FAILED);
        if (p->stage == PUT_FAILED)
                return failed_before(e);
        if (n == 0)
                return 0;
        return advance_put(p, p->storage->ops->put_write(p, bytes, n, e), PUT_OPEN);
}

uint64_t storage_put_size(const struct storage_put *p)
{
        return p->size;
}

int64_t storage_put_peek(struct storage_put *p, uint64_t offset, void *out, size_t n, struct err *e)
{
        if (p->stage == PUT_FAILED)
                return failed_before(e);
        if (offset >= p->size)
                return 0;
        if (n > p->size - offset)
                n = (size_t)(p->size - offset);
        return p->storage->ops->put_peek(p, offset, out, n, e) ? -1 : (int64_t)n;
}

int storage_put_seal(struct storage_put *p, struct stored *out, struct err *e)
{
        assert(p->stage == PUT_OPEN || p->stage == PUT_FAILED);
        if (p->stage == PUT_FAILED)
                return failed_before(e);
        if (advance_put(p, p->storage->ops->put_seal(p, e), PUT_SEALED))
                return -1;
        *out = p->is;
        return 0;
}

int storage_put_commit(struct storage_put *p, struct stored *out, struct err *e)
{
        assert(p->stage == PUT_SEALED || p->stage == PUT_FAILED);
        if (p->stage == PUT_FAILED)
                return failed_before(e);
        if (advance_put(p, p->storage->ops->put_commit(p, e), PUT_COMMITTED))
                return -1;
        metrics_add(METRIC_STORAGE_BYTES, (double)p->size, "write");
        *out = p->is;
        return 0;
}

int storage_put_ensure(struct storage_put *p, bool replace, struct err *e)
{
        assert(p->stage == PUT_SEALED || p->stage == PUT_COMMITTED || p->stage == PUT_FAILED);
        if (p->stage == PUT_FAILED)
                return failed_before(e);
        return advance_put(p, p->storage->ops->put_ensure(p, replace, e), PUT_COMMITTED);
}

void storage_put_end(struct storage_put *p)
{
        if (p)
                p->storage->ops->put_end(p);
}

/* ---- reading -------------------------------------------------------------------- */

static int check_size(struct sha256 key, uint64_t found, uint64_t size, struct err *e)
{
        char hex[SHA256_TEXT_LEN];

        if (size == UINT64_MAX || found == size)
                return 0;
        return err_set(e, ERR_CORRUPT, "object %s has %llu bytes and should have %llu", sha256_format(key, hex),
                       (unsigned long long)found, (unsigned long long)size);
}

int storage_open_object(struct storage *s, struct sha256 key, uint64_t size, int *fd, struct err *e)
{
        uint64_t found;

        if (s->ops->open_object(s, key, fd, &found, e))
                return -1;
        if (check_size(key, found, size, e)) {
                fd_close(fd);
                return -1;
        }
        metrics_add(METRIC_STORAGE_BYTES, (double)found, "read");
        return 0;
}

static int begin_read(struct storage *s, storage_read_begin_fn *begin, struct sha256 key, uint64_t *size, int *fd,
                      struct storage_read **out, struct err *e)
{
        *fd = -1;
        *out = NULL;
        if (begin ? begin(s, key, fd, size, out, e) : s->ops->open_object(s, key, fd, size, e))
                return -1;
        if (*out)
                (*out)->storage = s;
        else
                metrics_add(METRIC_STORAGE_BYTES, (double)*size, "read");
        return 0;
}

int storage_read_begin(struct storage *s, struct sha256 key, uint64_t size, int *fd, struct storage_read **out,
                       struct err *e)
{
        uint64_t found;

        if (begin_read(s, s->ops->read_begin, key, &found, fd, out, e))
                return -1;
        if (check_size(key, found, size, e)) {
                fd_close(fd);
                storage_read_end(*out);
                *out = NULL;
                return -1;
        }
        return 0;
}

int storage_verify_begin(struct storage *s, struct sha256 key, uint64_t *size, int *fd, struct storage_read **out,
                         struct err *e)
{
        return begin_read(s, s->ops->verify_begin, key, size, fd, out, e);
}

int64_t storage_read_at(struct storage_read *r, uint64_t offset, void *out, size_t n, struct err *e)
{
        int64_t got = n ? r->storage->ops->read_at(r, offset, out, n, e) : 0;

        if (got > 0)
                metrics_add(METRIC_STORAGE_BYTES, (double)got, "read");
        return got;
}

void storage_read_end(struct storage_read *r)
{
        if (r)
                r->storage->ops->read_end(r);
}

bool storage_has_object(struct storage *s, struct sha256 key)
{
        return s->ops->has_object(s, key);
}

int storage_remove_object(struct storage *s, struct sha256 key, struct err *e)
{
        return s->ops->remove_object(s, key, e);
}

void storage_uri(const struct storage *s, struct sha256 key, char *out, size_t n)
{
        char hex[SHA256_TEXT_LEN];

        sha256_format(key, hex);
        snprintf(out, n, "%s://%sobjects/%.2s/%s", s->ops->name, s->place ? s->place : "", hex, hex);
}

/* ---- derived ---------------------------------------------------------------------- */

static int check_derived_name(const char *name, struct err *e)
{
        if (storage_derived_named(name))
                return 0;
        return err_set(e, ERR_INVALID, "\"%.64s\" cannot name a derived file: 1 to %d of [a-z0-9.-], no leading dot",
                       name, STORAGE_DERIVED_NAME_LEN - 1);
}

int storage_put_derived(struct storage *s, struct sha256 key, const char *name, struct span bytes, struct err *e)
{
        if (check_derived_name(name, e) || s->ops->put_derived(s, key, name, bytes, e))
                return -1;
        metrics_add(METRIC_STORAGE_BYTES, (double)bytes.n, "derived");
        return 0;
}

int storage_open_derived(struct storage *s, struct sha256 key, const char *name, int *fd, uint64_t *size, struct err *e)
{
        if (check_derived_name(name, e))
                return -1;
        return s->ops->open_derived(s, key, name, fd, size, e);
}

int storage_has_derived(struct storage *s, struct sha256 key, const char *name, struct err *e)
{
        struct err why;
        uint64_t size;
        int fd;

        if (storage_open_derived(s, key, name, &fd, &size, &why) == 0) {
                fd_close(&fd);
                return 1;
        }
        if (why.code == ERR_NOT_FOUND)
                return 0;
        if (e)
                *e = why;
        return -1;
}

void storage_state(struct storage *s, struct storage_state *out)
{
        *out = (struct storage_state){0};
        s->ops->state(s, out);
        metrics_set(METRIC_STORAGE_FREE, (double)out->free_bytes);
}
