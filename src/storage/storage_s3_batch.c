/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sidecars, which are keys like any other. A request is a round trip during which nothing happens but waiting, so a
 * batch has several requests on the way: each lane holds one that is to be sent, and a thread that sends it. An
 * answer to a PUT means that it is durable, so a commit only waits for the last answer.
 */
#include "storage/storage_s3_priv.h"

#include <stdio.h>
#include <string.h>

#define LANES 8

struct lane {
        struct s3_batch *batch;
        pthread_t thread;
        bool started, taken;
        char key[S3_KEY_MAX];
        char *text; /* NULL: it is to be removed */
        size_t n;
};

struct s3_batch {
        struct storage_batch base;
        struct lane lanes[LANES];
        struct lock
                lock; /* guards the following members, and whether a lane is taken; not held during network requests */
        struct cond changed;
        bool over, failed;
        struct err why; /* of the first failure */
};

static void sidecar_key(const char *name, char out[S3_KEY_MAX])
{
        snprintf(out, S3_KEY_MAX, "sidecar/%s", name);
}

static int send_one(struct s3 *s, const struct lane *l, struct err *e)
{
        struct span body = {l->text, l->n};
        struct httpc_response r;
        int rc;

        if (!l->text)
                return s3_remove_key(s, l->key, e);
        rc = s3_do(s, &(struct s3_request){.method = "PUT", .key = l->key, .body = body}, &r, e);
        if (rc == 0 && r.status != 200 && r.status != 201)
                rc = s3_refused(&r, "cannot store", l->key, e);
        httpc_response_done(&r);
        return rc;
}

/* After a failure the others are not sent any more. */
static void serve_entry(struct lane *l)
{
        struct s3_batch *b = l->batch;
        struct err e = {.msg = ""};
        bool failed;

        lock_assert_held(&b->lock);
        failed = b->failed;
        lock_drop(&b->lock);
        failed = !failed && send_one((struct s3 *)b->base.storage, l, &e);
        mem_free(l->text);
        lock_take(&b->lock);
        l->text = NULL;
        l->taken = false;
        if (failed && !b->failed) {
                b->failed = true;
                b->why = e;
        }
        cond_broadcast(&b->changed);
}

static void *lane_run(void *arg)
{
        struct lane *l = arg;
        struct s3_batch *b = l->batch;

        lock_take(&b->lock);
        while (!b->over || l->taken) {
                if (l->taken)
                        serve_entry(l);
                else
                        cond_wait(&b->changed, &b->lock);
        }
        lock_drop(&b->lock);
        return NULL;
}

/* Lock held. A lane whose thread runs already is preferred. */
static struct lane *free_lane(struct s3_batch *b)
{
        struct lane *found = NULL;

        for (size_t i = 0; i < LANES; i++)
                if (!b->lanes[i].taken && (!found || (b->lanes[i].started && !found->started)))
                        found = &b->lanes[i];
        return found;
}

/* Takes over text. */
static int hand_to_lane(struct s3_batch *b, const char *name, char *text, size_t n, struct err *e)
{
        struct lane *l = NULL;
        int rc = 0;

        lock_take(&b->lock);
        while (!b->failed && !(l = free_lane(b)))
                cond_wait(&b->changed, &b->lock);
        if (b->failed) {
                *e = b->why;
                mem_free(text);
                rc = -1;
        } else {
                sidecar_key(name, l->key);
                l->text = text;
                l->n = n;
                l->taken = true;
                if (!l->started)
                        l->started = thread_start(&l->thread, "sidecar-send", lane_run, l) == 0;
                if (l->started)
                        cond_broadcast(&b->changed);
                else
                        serve_entry(l);
        }
        lock_drop(&b->lock);
        return rc;
}

int s3_batch_begin(struct storage *s, struct storage_batch **out, struct err *e)
{
        struct s3_batch *b = mem_calloc(1, sizeof *b);

        (void)s;
        if (!b)
                return err_oom(e);
        lock_init(&b->lock, "storage.sidecars", RANK_STORAGE);
        cond_init(&b->changed);
        for (size_t i = 0; i < LANES; i++)
                b->lanes[i].batch = b;
        *out = &b->base;
        return 0;
}

int s3_batch_put(struct storage_batch *base, const char *name, struct span bytes, struct err *e)
{
        char *text = mem_alloc(bytes.n + 1);

        if (!text)
                return err_oom(e);
        if (bytes.n)
                memcpy(text, bytes.p, bytes.n);
        return hand_to_lane((struct s3_batch *)base, name, text, bytes.n, e);
}

int s3_batch_remove(struct storage_batch *base, const char *name, struct err *e)
{
        return hand_to_lane((struct s3_batch *)base, name, NULL, 0, e);
}

static bool all_answered(const struct s3_batch *b)
{
        for (size_t i = 0; i < LANES; i++)
                if (b->lanes[i].taken)
                        return false;
        return true;
}

int s3_batch_commit(struct storage_batch *base, struct err *e)
{
        struct s3_batch *b = (struct s3_batch *)base;
        int rc = 0;

        lock_take(&b->lock);
        while (!all_answered(b))
                cond_wait(&b->changed, &b->lock);
        if (b->failed) {
                *e = b->why;
                rc = -1;
        }
        lock_drop(&b->lock);
        return rc;
}

void s3_batch_end(struct storage_batch *base)
{
        struct s3_batch *b = (struct s3_batch *)base;

        lock_take(&b->lock);
        b->over = true;
        cond_broadcast(&b->changed);
        lock_drop(&b->lock);
        for (size_t i = 0; i < LANES; i++)
                if (b->lanes[i].started)
                        pthread_join(b->lanes[i].thread, NULL);
        cond_done(&b->changed);
        lock_done(&b->lock);
        mem_free(b);
}

int s3_get_sidecar(struct storage *base, const char *name, struct buf *out, struct err *e)
{
        char key[S3_KEY_MAX];
        struct httpc_response r;
        int rc;

        sidecar_key(name, key);
        rc = s3_do((struct s3 *)base,
                   &(struct s3_request){.method = "GET", .key = key, .max_body = STORAGE_SIDECAR_MAX}, &r, e);
        if (rc == 0 && r.status != 200)
                rc = s3_refused(&r, "cannot read", key, e);
        else if (rc == 0)
                buf_put(out, r.body.p, r.body.n);
        httpc_response_done(&r);
        return rc == 0 && buf_failed(out) ? err_set(e, ERR_TOO_LARGE, "the sidecar %s is too large", name) : rc;
}
