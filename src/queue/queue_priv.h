/* SPDX-License-Identifier: Apache-2.0 */
/* What a queue backend provides; queue.c only chooses one. */
#ifndef FA_QUEUE_PRIV_H
#define FA_QUEUE_PRIV_H

#include "queue/queue.h"
#include "queue/queue_spend.h"

struct queue_ops;

/* A backend's own struct begins with one of these. */
struct queue {
        const struct queue_ops *ops;
        struct queue_wakes {
                struct lock lock; /* of the fields below */
                unsigned kept[PURPOSE_COUNT];
                struct queue_waiter {
                        uint32_t purposes; /* bits 1 << task_purpose */
                        bool woken;
                        struct cond called;
                        struct queue_waiter *next;
                } * first; /* the longest waiting first */
                bool interrupted;
        } wakes;
};

void queue_wakes_init(struct queue_wakes *w);
void queue_wakes_done(struct queue_wakes *w); /* nobody may be waiting */
void queue_wakes_interrupt(struct queue_wakes *w);

/* With the lock held. Waiters of this purpose that were not given a wake-up yet. */
unsigned queue_wakes_idle(const struct queue_wakes *w, enum task_purpose p);
/* To n of them, the rest is kept. */
void queue_wakes_give(struct queue_wakes *w, enum task_purpose p, unsigned n);
/* A wait: x, which lives as long as it, is entered, with a kept wake-up if there is one; leaving gives up the lock
 * until x was given one (true), the deadline or an interrupt. */
void queue_wakes_enter(struct queue_wakes *w, struct queue_waiter *x, uint32_t purposes);
bool queue_wakes_leave(struct queue_wakes *w, struct queue_waiter *x, struct mono deadline);

typedef int queue_open_fn(const struct queue_opts *opts, struct queue **out, struct err *e);
typedef void queue_close_fn(struct queue *q);
typedef void queue_wake_fn(struct queue *q, enum task_purpose p, unsigned n);
typedef bool queue_wait_fn(struct queue *q, uint32_t purposes, struct mono deadline);
typedef void queue_state_fn(struct queue *q, struct queue_state *out);
typedef enum limit_outcome queue_spend_fn(struct queue *q, struct limit_charge *charges, size_t n, bool owed);

struct queue_ops {
        const char *name;
        queue_open_fn *open;
        queue_close_fn *close;
        queue_wake_fn *wake;
        queue_wait_fn *wait;
        queue_state_fn *state; /* NULL: nothing to be cut off from */
        queue_spend_fn *spend; /* NULL: nothing is shared */
};

extern const struct queue_ops queue_inproc_ops, queue_redis_ops;

#endif
