/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wake-ups of one process and the threads that wait for them: what both
 * queues have in common. Every function is called with the queue's lock held.
 */
#ifndef FA_QUEUE_WAKES_PRIV_H
#define FA_QUEUE_WAKES_PRIV_H

#include "base/base.h"

struct queue_wakes {
        struct cond woken; /* waiters: a wake-up, an interrupt */
        unsigned pending;  /* wake-ups that nobody has taken yet */
        unsigned waiters;
        bool interrupted;
};

void queue_wakes_init(struct queue_wakes *w);
void queue_wakes_done(struct queue_wakes *w); /* nobody may wait any more */
/* n more; they saturate at the number of waiters, or at some that are kept for waiters on their way. */
void queue_wakes_give(struct queue_wakes *w, unsigned n);
/* Waiters for whom there is no wake-up yet. */
unsigned queue_wakes_wanted(const struct queue_wakes *w);
/* The caller is a waiter from queue_wakes_enter on, until queue_wakes_wait returns: true with a wake-up taken. */
void queue_wakes_enter(struct queue_wakes *w);
bool queue_wakes_wait(struct queue_wakes *w, struct lock *lock, struct mono deadline);
/* From now on nobody waits. */
void queue_wakes_interrupt(struct queue_wakes *w);

/* a + b, at most most; a that is already past it stays. */
unsigned queue_add_up_to(unsigned a, unsigned b, unsigned most);

#endif
