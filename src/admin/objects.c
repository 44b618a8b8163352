/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying and checking objects, several at a time. The hard thing is to tell failures apart: an object that is
 * missing or damaged at the source is reported and left out, anything else (a full disk, an unreachable store) ends
 * the run.
 */
#include "admin/objects.h"
#include "admin/objects_item.h"
#include "storage/storage.h"

#include <stdio.h>
#include <unistd.h>

#define CHUNK       ((size_t)256 << 10)
#define DERIVED_MAX ((size_t)64 << 20)
#define THREADS_MAX 32

struct run {
        const struct objects_opts *o;
        struct lock lock; /* guards the rest, and the caller's functions */
        struct objects_report *r;
        struct err e;
        bool stop;
};

enum did { COPIED, THERE, CHECKED, HASHED };

struct done {
        enum did did;
        unsigned derived;
        bool mended;
};

/* ---- one object --------------------------------------------------------------------------- */

/* An object's bytes, from a file or from a store. */
struct reader {
        int fd;
        struct storage_read *r;
        uint64_t at;
};

static int reader_open(struct reader *r, struct storage *s, struct sha256 key, uint64_t size, struct err *e)
{
        *r = (struct reader){.fd = -1};
        return storage_read_begin(s, key, size, &r->fd, &r->r, e);
}

static int64_t reader_next(struct reader *r, char *chunk, struct err *e)
{
        int64_t n = r->r ? storage_read_at(r->r, r->at, chunk, CHUNK, e) : pread(r->fd, chunk, CHUNK, (off_t)r->at);

        if (n < 0 && !r->r)
                return err_set(e, ERR_CORRUPT, "it cannot be read: the disk reports an error");
        r->at += (uint64_t)n;
        return n;
}

static void reader_close(struct reader *r)
{
        fd_close(&r->fd);
        storage_read_end(r->r);
}

static int same_hash(struct sha256 key, struct sha256 found, struct err *e)
{
        char hex[SHA256_TEXT_LEN];

        return sha256_eq(key, found) ? 0
                                     : err_set(e, ERR_CORRUPT, "object %s holds other bytes", sha256_format(key, hex));
}

static int check_object(struct run *run, struct storage *s, struct sha256 key, uint64_t size, char *chunk,
                        struct err *e)
{
        struct sha256_ctx *sha = NULL;
        struct reader r;
        int64_t n = 0;
        int rc = reader_open(&r, s, key, size, e);

        if (rc == 0 && run->o->hash) {
                sha = sha256_new();
                while (sha && (n = reader_next(&r, chunk, e)) > 0)
                        sha256_update(sha, chunk, (size_t)n);
                rc = !sha ? err_oom(e) : n < 0 ? -1 : same_hash(key, sha256_final(sha), e);
        }
        sha256_free(sha);
        reader_close(&r);
        return rc;
}

/* 1 the target has it, 0 not (any more), -1. */
static int is_there(struct run *run, struct sha256 key, uint64_t size, char *chunk, struct done *d, struct err *e)
{
        struct err why = {0};
        int rc = check_object(run, run->o->to, key, size, chunk, &why);

        if (rc < 0 && why.code == ERR_CORRUPT && run->o->replace) {
                d->mended = true;
                return storage_remove_object(run->o->to, key, e);
        }
        if (rc < 0 && why.code != ERR_NOT_FOUND)
                return err_set(e, why.code, "at the target: %.150s; remove it there and run again", why.msg);
        return rc == 0;
}

static int read_small(int fd, uint64_t size, struct buf *out, struct err *e)
{
        char chunk[16384];
        ssize_t n;

        if (size > DERIVED_MAX)
                return err_set(e, ERR_TOO_LARGE, "a derived file of %llu bytes", (unsigned long long)size);
        while ((n = read(fd, chunk, sizeof chunk)) > 0)
                buf_put(out, chunk, (size_t)n);
        if (n < 0)
                return err_set(e, ERR_CORRUPT, "a derived file cannot be read: the disk reports an error");
        return buf_failed(out) ? err_oom(e) : 0;
}

static int copy_derived(struct run *run, struct sha256 key, const char *name, struct done *d, struct err *e)
{
        struct err why = {0};
        struct buf b;
        uint64_t size;
        int fd = -1, rc;

        if (storage_open_derived(run->o->from, key, name, &fd, &size, &why)) {
                if (why.code == ERR_NOT_FOUND)
                        return 0;
                *e = why;
                return -1;
        }
        buf_init(&b, DERIVED_MAX);
        rc = read_small(fd, size, &b, e);
        fd_close(&fd);
        if (rc == 0)
                rc = storage_put_derived(run->o->to, key, name, buf_span(&b), e);
        buf_done(&b);
        d->derived += rc == 0;
        return rc;
}

/* The hash that counts is the one over what the target took. */
static int copy_bytes(struct run *run, struct reader *r, struct sha256 key, char *chunk, struct err *e)
{
        struct storage_put *p = NULL;
        struct stored is;
        int64_t n = 0;
        int rc = storage_put_begin(run->o->to, &p, e);

        while (rc == 0 && (n = reader_next(r, chunk, e)) > 0)
                rc = storage_put_write(p, chunk, (size_t)n, e);
        if (rc == 0 && n == 0)
                rc = storage_put_seal(p, &is, e) || same_hash(key, is.sha256, e) || storage_put_commit(p, &is, e) ? -1
                                                                                                                  : 0;
        else
                rc = -1;
        storage_put_end(p);
        return rc;
}

static int copy_all_derived(struct run *run, const struct objects_item *item, struct done *d, struct err *e)
{
        struct span rest = span_of(item->products), one;
        struct err ignored;
        int rc = 0;

        while (rc == 0 && product_next(&rest, &one)) {
                char name[STORAGE_DERIVED_NAME_LEN];
                snprintf(name, sizeof name, "%.*s", (int)one.n, one.p);
                if (d->did == COPIED || storage_has_derived(run->o->to, item->key, name, &ignored) <= 0)
                        rc = copy_derived(run, item->key, name, d, e);
        }
        return rc;
}

/*
 * Derived files are copied first: an object that is present then needs no second look, unless all derived files are
 * wanted.
 */
static int copy_object(struct run *run, const struct objects_item *item, char *chunk, struct done *d, struct err *e)
{
        bool derived = run->o->derived != DERIVED_NONE;
        struct reader r;
        int rc = is_there(run, item->key, item->size, chunk, d, e);

        d->did = rc > 0 ? run->o->hash ? HASHED : THERE : COPIED;
        if (rc > 0 && derived && run->o->derived == DERIVED_ALL)
                return copy_all_derived(run, item, d, e);
        if (rc != 0)
                return rc < 0 ? -1 : 0;
        rc = reader_open(&r, run->o->from, item->key, item->size, e);
        if (rc == 0 && derived)
                rc = copy_all_derived(run, item, d, e);
        if (rc == 0)
                rc = copy_bytes(run, &r, item->key, chunk, e);
        reader_close(&r);
        return rc;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool is_objects_own(enum err_code code)
{
        return code == ERR_NOT_FOUND || code == ERR_CORRUPT;
}

/* Lock held. */
static void end_run(struct run *run, const struct err *e)
{
        if (run->e.code == ERR_NONE)
                run->e = *e;
        run->stop = true;
}

/* Lock held. */
static void note_lost(struct run *run, const struct objects_item *item, const struct err *why)
{
        struct err e;

        run->r->bad++;
        if (run->o->lost && run->o->lost(run->o->ctx, item, why, &e))
                end_run(run, &e);
        else if (!run->o->lost && run->o->bad)
                run->o->bad(run->o->ctx, why->msg);
}

/* Lock held. */
static void note_result(struct run *run, const struct objects_item *item, int rc, const struct done *d,
                        const struct err *e)
{
        struct objects_report *r = run->r;

        if (rc < 0 && !is_objects_own(e->code)) {
                end_run(run, e);
                return;
        }
        r->seen++;
        r->bytes += item->size;
        r->derived += d->derived;
        if (rc < 0) {
                note_lost(run, item, e);
        } else if (d->did == COPIED) {
                r->copied++;
                r->mended += d->mended;
                r->copied_bytes += item->size;
        } else {
                r->there++;
                r->hashed += d->did == HASHED;
        }
        if (run->o->progress)
                run->o->progress(run->o->ctx, r);
}

static void *objects_worker(void *arg)
{
        struct run *run = arg;
        char *chunk = mem_alloc(CHUNK);
        struct err e = {0};
        bool more = chunk != NULL;

        if (!chunk)
                err_oom(&e);
        lock_take(&run->lock);
        if (!chunk)
                note_result(run, &(struct objects_item){.size = 0}, -1, &(struct done){0}, &e);
        while (more && !run->stop) {
                struct objects_item item = {.size = 0};
                int rc = run->o->next(run->o->ctx, &item, &e);
                if (rc < 0)
                        run->e = e;
                more = rc > 0;
                run->stop |= rc <= 0; /* one thread's failure ends all of them */
                if (!more)
                        break;
                lock_drop(&run->lock);
                struct done d = {.did = run->o->hash ? HASHED : CHECKED};
                rc = run->o->to ? copy_object(run, &item, chunk, &d, &e)
                                : check_object(run, run->o->from, item.key, item.size, chunk, &e);
                lock_take(&run->lock);
                note_result(run, &item, rc, &d, &e);
        }
        lock_drop(&run->lock);
        mem_free(chunk);
        return NULL;
}

int objects_run(const struct objects_opts *opts, struct objects_report *r, struct err *e)
{
        struct run run = {.o = opts, .r = r};
        pthread_t threads[THREADS_MAX];
        unsigned n = opts->threads < 1 ? 1 : opts->threads > THREADS_MAX ? THREADS_MAX : opts->threads, started = 1;

        *r = (struct objects_report){0};
        lock_init(&run.lock, "admin objects", RANK_APP);
        while (started < n && thread_start(&threads[started], "objects", objects_worker, &run) == 0)
                started++;
        objects_worker(&run); /* this thread is one of them, and enough */
        for (unsigned i = 1; i < started; i++)
                pthread_join(threads[i], NULL);
        lock_done(&run.lock);
        if (run.e.code == ERR_NONE)
                return 0;
        *e = run.e;
        return -1;
}
