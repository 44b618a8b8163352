/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages between instances; none of them may be essential. Wake-ups: the catalog's rows are authoritative, so a
 * lost wake-up only delays a task until the reconciler looks. Shared rate limits: without them each instance counts
 * by itself.
 */
#ifndef FA_QUEUE_H
#define FA_QUEUE_H

#include "model/model.h"

struct queue;

struct queue_opts {
        const char *backend;   /* "inproc" or "redis" */
        const char *redis_url; /* for "redis"; a malformed URL is refused, but the server may be unreachable */
        const char *instance;  /* for "redis": a name that outlives restarts; NULL or "": one is generated */
};

int queue_open(const struct queue_opts *opts, struct queue **out, struct err *e) MUST_CHECK;
void queue_close(struct queue *q); /* nobody may be waiting */
const char *queue_backend_name(const struct queue *q);

struct queue_state {
        bool connected; /* false: other processes receive no wake-ups, so tasks wait for their reconcilers */
        char note[320]; /* the reason in plain text; "" when connected */
};
void queue_state(struct queue *q, struct queue_state *out);

/*
 * Reports that n tasks of a purpose became ready: wakes up to n of its waiters, those of this process first. Never
 * blocks on work or the network.
 */
void queue_wake(struct queue *q, enum task_purpose p, unsigned n);
/*
 * Waits for a wake-up of one of the purposes (bits 1 << task_purpose) or until the deadline. Returns true when woken.
 * Each wake-up is given to one waiter of its purpose; wake-ups without a waiter are kept, up to a limit. When they
 * are kept in Redis, it takes a moment to receive one.
 */
bool queue_wait(struct queue *q, uint32_t purposes, struct mono deadline);
/* Makes all waiters return at once, now and in future; for shutdown. */
void queue_interrupt(struct queue *q);

#endif
