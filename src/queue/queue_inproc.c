/* SPDX-License-Identifier: Apache-2.0 */
/* Wake-ups inside one process; queue_wakes.c counts them. */
#include "queue/queue_priv.h"
#include "queue/queue_wakes_priv.h"

struct inproc {
        struct queue base;
        struct lock lock;
        struct queue_wakes wakes;
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
        queue_wakes_init(&q->wakes);
        *out = &q->base;
        return 0;
}

static void inproc_close(struct queue *base)
{
        struct inproc *q = (struct inproc *)base;

        queue_wakes_done(&q->wakes);
        lock_done(&q->lock);
        mem_free(q);
}

static void inproc_wake(struct queue *base, unsigned n)
{
        struct inproc *q = (struct inproc *)base;

        lock_take(&q->lock);
        queue_wakes_give(&q->wakes, n);
        lock_drop(&q->lock);
}

static bool inproc_wait(struct queue *base, struct mono deadline)
{
        struct inproc *q = (struct inproc *)base;
        bool woken;

        lock_take(&q->lock);
        queue_wakes_enter(&q->wakes);
        woken = queue_wakes_wait(&q->wakes, &q->lock, deadline);
        lock_drop(&q->lock);
        return woken;
}

static void inproc_interrupt(struct queue *base)
{
        struct inproc *q = (struct inproc *)base;

        lock_take(&q->lock);
        queue_wakes_interrupt(&q->wakes);
        lock_drop(&q->lock);
}
