/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The hard thing is the count of wake-ups that nobody waited for: with too few
 * a task waits until the reconciler looks, with too many idle workers ask the
 * catalog in vain; so the count saturates.
 */
#include "queue/queue_wakes_priv.h"

/* Kept for waiters that are still on their way. A pool with more threads than this finds the rest by claiming on. */
#define KEPT_MAX 64

void queue_wakes_init(struct queue_wakes *w)
{
        *w = (struct queue_wakes){0};
        cond_init(&w->woken);
}

void queue_wakes_done(struct queue_wakes *w)
{
        assert(w->waiters == 0);
        cond_done(&w->woken);
}

unsigned queue_add_up_to(unsigned a, unsigned b, unsigned most)
{
        if (a >= most)
                return a;
        return b < most - a ? a + b : most;
}

void queue_wakes_give(struct queue_wakes *w, unsigned n)
{
        w->pending = queue_add_up_to(w->pending, n, w->waiters > KEPT_MAX ? w->waiters : KEPT_MAX);
        if (n >= w->waiters)
                cond_broadcast(&w->woken);
        else
                for (unsigned i = 0; i < n; i++)
                        cond_signal(&w->woken);
}

unsigned queue_wakes_wanted(const struct queue_wakes *w)
{
        return w->waiters > w->pending ? w->waiters - w->pending : 0;
}

void queue_wakes_enter(struct queue_wakes *w)
{
        w->waiters++;
}

bool queue_wakes_wait(struct queue_wakes *w, struct lock *lock, struct mono deadline)
{
        bool taken;

        while (w->pending == 0 && !w->interrupted && cond_wait_until(&w->woken, lock, deadline))
                ;
        w->waiters--;
        taken = w->pending > 0 && !w->interrupted;
        if (taken)
                w->pending--;
        return taken;
}

void queue_wakes_interrupt(struct queue_wakes *w)
{
        w->interrupted = true;
        cond_broadcast(&w->woken);
}
