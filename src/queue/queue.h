/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What instances tell each other, and nothing that must not be lost. Wake-ups:
 * the catalog's rows are the truth, so a lost one delays a task until the
 * reconciler looks. Shared rate limits: without them each instance counts alone.
 */
#ifndef FA_QUEUE_H
#define FA_QUEUE_H

#include "model/model.h"

struct queue;

struct queue_opts {
        const char *backend;   /* "inproc" or "redis" */
        const char *redis_url; /* of "redis"; refused when malformed, but its Redis may be away */
        const char *instance;  /* of "redis": this process's name, the same after a restart; NULL or "": one is made */
};

int queue_open(const struct queue_opts *opts, struct queue **out, struct err *e) MUST_CHECK;
void queue_close(struct queue *q); /* nobody may be waiting */
const char *queue_backend_name(const struct queue *q);

struct queue_state {
        bool connected; /* false: other processes are not told, tasks wait for their reconcilers */
        char note[320]; /* why not, for people; "" when connected */
};
void queue_state(struct queue *q, struct queue_state *out);

/* n tasks of a purpose became ready: wakes up to n waiters for it, those of this process first. Never blocks on work or
 * a network. */
void queue_wake(struct queue *q, enum task_purpose p, unsigned n);
/* Wait for a wake-up of one of the purposes (bits 1 << task_purpose) or the deadline. True when woken: each wake-up is
 * given to one waiter for its purpose; those without are kept, up to a limit. Where they are kept elsewhere, having one
 * takes a moment. */
bool queue_wait(struct queue *q, uint32_t purposes, struct mono deadline);
/* All waiters return at once, now and in future: shutdown. */
void queue_interrupt(struct queue *q);

#endif
