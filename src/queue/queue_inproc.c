/* SPDX-License-Identifier: Apache-2.0 */
/* Wake-ups inside one process: only the part that all backends share. */
#include "queue/queue_priv.h"

static queue_open_fn inproc_open;
static queue_close_fn inproc_close;
static queue_wake_fn inproc_wake;
static queue_wait_fn inproc_wait;

const struct queue_ops queue_inproc_ops = {
        .name = "inproc",
        .open = inproc_open,
        .close = inproc_close,
        .wake = inproc_wake,
        .wait = inproc_wait,
};

static int inproc_open(const struct queue_opts *opts, struct queue **out, struct err *e)
{
        struct queue *q = mem_calloc(1, sizeof *q);

        (void)opts;
        if (!q)
                return err_oom(e);
        q->ops = &queue_inproc_ops;
        queue_wakes_init(&q->wakes);
        *out = q;
        return 0;
}

static void inproc_close(struct queue *q)
{
        queue_wakes_done(&q->wakes);
        mem_free(q);
}

static void inproc_wake(struct queue *q, enum task_purpose p, unsigned n)
{
        lock_take(&q->wakes.lock);
        queue_wakes_give(&q->wakes, p, n);
        lock_drop(&q->wakes.lock);
}

static bool inproc_wait(struct queue *q, uint32_t purposes, struct mono deadline)
{
        struct queue_waiter x;
        bool woken;

        lock_take(&q->wakes.lock);
        queue_wakes_enter(&q->wakes, &x, purposes);
        woken = queue_wakes_leave(&q->wakes, &x, deadline);
        lock_drop(&q->wakes.lock);
        return woken;
}
