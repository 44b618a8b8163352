/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A wake-up channel and nothing more: the catalog's rows are the truth, so a
 * lost wake-up delays a task until the reconciler looks, and loses nothing.
 */
#ifndef FA_QUEUE_H
#define FA_QUEUE_H

#include "base/base.h"

struct queue;

struct queue_opts {
        const char *backend; /* "inproc" */
};

int queue_open(const struct queue_opts *opts, struct queue **out, struct err *e) MUST_CHECK;
void queue_close(struct queue *q); /* nobody may be waiting */
const char *queue_backend_name(const struct queue *q);
/* n tasks became ready: wakes up to n waiters. Never blocks on work. */
void queue_wake(struct queue *q, unsigned n);
/* Wait for a wake-up or the deadline. True when woken (each wake is given to one waiter; wakes without a waiter are
 * kept, at most one per waiter that could come: saturating count). */
bool queue_wait(struct queue *q, struct mono deadline);
/* All waiters return at once, now and in future: shutdown. */
void queue_interrupt(struct queue *q);

#endif
