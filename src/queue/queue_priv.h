/* SPDX-License-Identifier: Apache-2.0 */
/* The interface of a queue backend; queue.c only selects one. */
#ifndef FA_QUEUE_PRIV_H
#define FA_QUEUE_PRIV_H

#include "queue/queue.h"
#include "queue/queue_spend.h"

struct queue_ops;

/* First member of a backend's own struct. */
struct queue {
        const struct queue_ops *ops;
        struct queue_wakes {
                struct lock lock; /* guards the fields below */
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

/* Number of waiters of this purpose that have not been given a wake-up yet. The lock must be held. */
unsigned queue_wakes_idle(const struct queue_wakes *w, enum task_purpose p);
/* Gives a wake-up to n of them and keeps the rest. The lock must be held. */
void queue_wakes_give(struct queue_wakes *w, enum task_purpose p, unsigned n);
/*
 * A wait has two calls. enter adds x, which must live until leave returns, and gives it a kept wake-up if there is
 * one. leave waits with the lock released until x is given a wake-up (true), the deadline passes or the queue is
 * interrupted.
 */
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
        queue_state_fn *state; /* NULL: there is no connection that could be lost */
        queue_spend_fn *spend; /* NULL: rate limits are not shared */
};

extern const struct queue_ops queue_inproc_ops, queue_redis_ops;

#endif
