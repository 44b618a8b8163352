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
};

typedef int queue_open_fn(const struct queue_opts *opts, struct queue **out, struct err *e);
typedef void queue_close_fn(struct queue *q);
typedef void queue_wake_fn(struct queue *q, unsigned n);
typedef bool queue_wait_fn(struct queue *q, struct mono deadline);
typedef void queue_interrupt_fn(struct queue *q);
typedef void queue_state_fn(struct queue *q, struct queue_state *out);
typedef enum limit_outcome queue_spend_fn(struct queue *q, struct limit_charge *charges, size_t n, bool owed);

struct queue_ops {
        const char *name;
        queue_open_fn *open;
        queue_close_fn *close;
        queue_wake_fn *wake;
        queue_wait_fn *wait;
        queue_interrupt_fn *interrupt;
        queue_state_fn *state; /* NULL: nothing to be cut off from */
        queue_spend_fn *spend; /* NULL: nothing is shared */
};

extern const struct queue_ops queue_inproc_ops, queue_redis_ops;

#endif
