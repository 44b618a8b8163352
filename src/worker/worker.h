/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that claim tasks under a lease, keep the lease alive while a handler
 * works, and turn its verdict into a state: done, retried with full-jitter
 * backoff, or dead. A reconciler finds what nobody was woken for and takes back
 * leases whose holder died.
 */
#ifndef FA_WORKER_H
#define FA_WORKER_H

#include "model/model.h"

struct catalog;
struct queue;
struct task;
struct worker_pool;

/* Handed to a handler; the stage it sets is what a failure is filed under. */
struct worker_run {
        const struct task *task;
        struct arena *arena;           /* dies with the task */
        const char *stage;             /* static string, set by the handler as it goes on */
        bool deferred;                 /* set by the handler with -1: it is nobody's fault, another time it may work */
        const _Atomic bool *cancelled; /* the lease was lost or the grace of a shutdown is over: stop soon */
};

/*
 * 0: the handler has committed the result itself (catalog_task_complete, with
 * the task's token). -1: e says why; INVALID, UNSUPPORTED, CORRUPT and
 * TOO_LARGE are permanent and go to the DLQ at once; CRASHED counts as a crash
 * (three quarantine); STALE means the lease is gone and nothing is written; what was deferred is handed back uncounted,
 * to be tried again after opts.defer; the rest is retried.
 */
typedef int worker_handle_fn(void *ctx, struct worker_run *run, struct err *e);

/* A share of the pool with threads and a pace of its own, so that no kind of work holds up another. */
#define WORKER_LANES_MAX 4
struct worker_lane {
        const char *name;        /* static */
        uint32_t purposes;       /* bits 1 << task_purpose; each belongs to one lane at most */
        unsigned threads;        /* none are started where no purpose of the lane has a handler */
        unsigned per_minute;     /* tasks begun in a minute at most, at even distances; 0: no limit */
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
        struct dur defer;                     /* 15 s, of which a random half */
        struct dur reconcile_every;           /* 5 s */
        worker_handle_fn *handlers[PURPOSE_COUNT][JOB_TYPE_COUNT]; /* NULL: such tasks are not claimed */
        void *ctx;
};

int worker_pool_start(const struct worker_opts *opts, struct worker_pool **out, struct err *e) MUST_CHECK;
/* Stop claiming, let running handlers finish until the deadline, then cancel; unfinished leases are handed back without
 * counting an attempt. Frees. NULL is fine. */
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

/* The backoff before the retry after errors failures (≥ 1); r is uniform in [0,1). Pure, for tests. */
struct dur worker_backoff(struct dur base, struct dur max, unsigned errors, double r);

/*
 * The pace of a lane: whether a task may begin now, every after the one before; then *next becomes the earliest time of
 * the one after it. every 0: always. Pure, for tests.
 */
bool worker_turn(struct mono *next, struct dur every, struct mono now);

#endif
