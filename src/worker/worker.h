/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Worker threads that claim tasks under a lease, keep the lease alive while a handler works, and turn its result into
 * a state: done, retried with full-jitter backoff, or dead. A reconciler finds tasks that no wake-up announced and
 * takes back leases whose holder died.
 */
#ifndef FA_WORKER_H
#define FA_WORKER_H

#include "model/model.h"

struct catalog;
struct queue;
struct task;
struct worker_pool;

/* Passed to a handler. A failure is recorded under the stage that the handler has set last. */
struct worker_run {
        const struct task *task;
        struct arena *arena; /* freed when the task ends */
        const char *stage;   /* static string, set by the handler as it goes on */
        bool deferred;       /* set by the handler that returns -1: the task is not at fault and may succeed later */
        const _Atomic bool *cancelled; /* the lease was lost or the grace period of a shutdown is over: return soon */
};

/*
 * Returns 0: the handler has committed the result itself (catalog_task_complete, with the task's token). -1: e says
 * why. INVALID, UNSUPPORTED, CORRUPT and TOO_LARGE are permanent and send the task to the DLQ at once; CRASHED counts
 * as a crash (three quarantine the file); STALE means that the lease is gone, and nothing is written; a deferred task
 * is given back without counting an attempt, to be tried again after opts.defer; any other error is retried.
 */
typedef int worker_handle_fn(void *ctx, struct worker_run *run, struct err *e);

/* A part of the pool with its own threads and rate, so that no kind of work holds up another. */
#define WORKER_LANES_MAX 4
struct worker_lane {
        const char *name;        /* static */
        uint32_t purposes;       /* bits 1 << task_purpose; each belongs to one lane at most */
        unsigned threads;        /* none are started when no purpose of the lane has a handler */
        unsigned per_minute;     /* most tasks begun in a minute, evenly spaced; 0: no limit */
        void (*idle)(void *ctx); /* called once when the lane runs dry; may be NULL */
};

struct worker_opts {
        struct catalog *catalog;
        struct queue *queue;
        struct worker_lane lanes[WORKER_LANES_MAX];
        size_t nlanes;
        struct dur lease;
        unsigned max_errors, max_crashes;     /* 5, 3 */
        struct dur backoff_base, backoff_max; /* 1 s, 5 min: full jitter, uniform in [0, min(max, base·2^errors)] */
        struct dur defer;                     /* 15 s, half of it random */
        struct dur reconcile_every;           /* 5 s */
        worker_handle_fn *handlers[PURPOSE_COUNT][JOB_TYPE_COUNT]; /* NULL: such tasks are not claimed */
        void *ctx;
};

int worker_pool_start(const struct worker_opts *opts, struct worker_pool **out, struct err *e) MUST_CHECK;
/*
 * Stops claiming, lets running handlers finish until the deadline, then cancels them; leases of unfinished tasks are
 * given back without counting an attempt. Frees the pool. NULL is fine.
 */
void worker_pool_stop(struct worker_pool *p, struct mono deadline);

struct worker_state {
        unsigned configured, active, busy;
        uint64_t restarts;
        struct worker_lane_state {
                const char *name;
                unsigned configured, active, busy;
        } lanes[WORKER_LANES_MAX]; /* those with threads */
        size_t nlanes;
};
void worker_pool_state(struct worker_pool *p, struct worker_state *out);

/* The delay before the retry after errors failures (≥ 1); r is uniform in [0,1). Pure, for tests. */
struct dur worker_backoff(struct dur base, struct dur max, unsigned errors, double r);

/*
 * The rate limit of a lane: returns whether a task may begin now, when tasks are at least every apart; if so, *next
 * becomes the earliest start of the next one. every 0: always. Pure, for tests.
 */
bool worker_turn(struct mono *next, struct dur every, struct mono now);

#endif
