/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads of this process that wait for wake-ups, and wake-ups that nobody has waited for yet. The hard part is
 * that a wake-up must reach a thread that can use it: so it is given to one waiter of its purpose, the longest
 * waiting first, and to no other. The number kept is bounded: with too few, a task lies until the reconciler looks;
 * with too many, idle workers query the catalog in vain.
 */
#include "queue/queue_priv.h"

/*
 * Most wake-ups kept for each purpose, for threads that are about to wait. A pool with more threads than this finds
 * the remaining tasks because each worker goes on claiming.
 */
#define KEPT_MAX 64

void queue_wakes_init(struct queue_wakes *w)
{
        lock_init(&w->lock, "queue", RANK_QUEUE);
}

void queue_wakes_done(struct queue_wakes *w)
{
        assert(!w->first);
        lock_done(&w->lock);
}

static bool waits_for(const struct queue_waiter *x, enum task_purpose p)
{
        return !x->woken && x->purposes >> p & 1;
}

unsigned queue_wakes_idle(const struct queue_wakes *w, enum task_purpose p)
{
        unsigned n = 0;

        for (const struct queue_waiter *x = w->first; x; x = x->next)
                n += waits_for(x, p);
        return n;
}

void queue_wakes_give(struct queue_wakes *w, enum task_purpose p, unsigned n)
{
        unsigned room = KEPT_MAX - w->kept[p];

        lock_assert_held(&w->lock);
        for (struct queue_waiter *x = w->first; x && n > 0; x = x->next)
                if (waits_for(x, p)) {
                        x->woken = true;
                        cond_signal(&x->called);
                        n--;
                }
        w->kept[p] += n < room ? n : room;
}

static bool take_kept(struct queue_wakes *w, uint32_t purposes)
{
        for (enum task_purpose p = 0; p < PURPOSE_COUNT; p++)
                if (purposes >> p & 1 && w->kept[p] > 0) {
                        w->kept[p]--;
                        return true;
                }
        return false;
}

void queue_wakes_enter(struct queue_wakes *w, struct queue_waiter *x, uint32_t purposes)
{
        struct queue_waiter **last = &w->first;

        lock_assert_held(&w->lock);
        *x = (struct queue_waiter){.purposes = purposes, .woken = take_kept(w, purposes)};
        cond_init(&x->called);
        while (*last)
                last = &(*last)->next;
        *last = x;
}

bool queue_wakes_leave(struct queue_wakes *w, struct queue_waiter *x, struct mono deadline)
{
        struct queue_waiter **at = &w->first;

        while (!x->woken && !w->interrupted && cond_wait_until(&x->called, &w->lock, deadline))
                ;
        while (*at != x)
                at = &(*at)->next;
        *at = x->next;
        cond_done(&x->called);
        return x->woken && !w->interrupted;
}

void queue_wakes_interrupt(struct queue_wakes *w)
{
        lock_take(&w->lock);
        w->interrupted = true;
        for (struct queue_waiter *x = w->first; x; x = x->next)
                cond_signal(&x->called);
        lock_drop(&w->lock);
}
