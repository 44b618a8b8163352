/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wake-ups inside one process. The hard thing is the count of wake-ups nobody
 * waited for: too few and a task lies until the reconciler looks, too many and
 * idle workers ask the catalog in vain; so it saturates.
 */
#include "queue/queue_priv.h"

/* Kept for waiters that are still on their way. A pool with more threads than this finds the rest by claiming on. */
#define KEPT_MAX 64

struct inproc {
        struct queue base;
        struct lock lock; /* of the fields below */
        struct cond woken;
        unsigned wakes;
        unsigned waiters;
        bool interrupted;
};

static queue_open_fn inproc_open;
static queue_close_fn inproc_close;
static queue_wake_fn inproc_wake;
static queue_wait_fn inproc_wait;
static queue_interrupt_fn inproc_interrupt;

const struct queue_ops queue_inproc_ops = {
        .name = "inproc",
        .open = inproc_open,
        .close = inproc_close,
        .wake = inproc_wake,
        .wait = inproc_wait,
        .interrupt = inproc_interrupt,
};

static int inproc_open(const struct queue_opts *opts, struct queue **out, struct err *e)
{
        struct inproc *q = mem_calloc(1, sizeof *q);

        (void)opts;
        if (!q)
                return err_oom(e);
        q->base.ops = &queue_inproc_ops;
        lock_init(&q->lock, "queue", RANK_QUEUE);
        cond_init(&q->woken);
        *out = &q->base;
        return 0;
}

static void inproc_close(struct queue *base)
{
        struct inproc *q = (struct inproc *)base;

        assert(q->waiters == 0);
        cond_done(&q->woken);
        lock_done(&q->lock);
        mem_free(q);
}

static void inproc_wake(struct queue *base, unsigned n)
{
        struct inproc *q = (struct inproc *)base;
        unsigned most;

        lock_take(&q->lock);
        most = q->waiters > KEPT_MAX ? q->waiters : KEPT_MAX;
        q->wakes = n < most - (q->wakes < most ? q->wakes : most) ? q->wakes + n : most;
        if (n >= q->waiters)
                cond_broadcast(&q->woken);
        else
                for (unsigned i = 0; i < n; i++)
                        cond_signal(&q->woken);
        lock_drop(&q->lock);
}

static bool inproc_wait(struct queue *base, struct mono deadline)
{
        struct inproc *q = (struct inproc *)base;
        bool woken;

        lock_take(&q->lock);
        q->waiters++;
        while (q->wakes == 0 && !q->interrupted && cond_wait_until(&q->woken, &q->lock, deadline))
                ;
        q->waiters--;
        woken = q->wakes > 0 && !q->interrupted;
        if (woken)
                q->wakes--;
        lock_drop(&q->lock);
        return woken;
}

static void inproc_interrupt(struct queue *base)
{
        struct inproc *q = (struct inproc *)base;

        lock_take(&q->lock);
        q->interrupted = true;
        cond_broadcast(&q->woken);
        lock_drop(&q->lock);
}
