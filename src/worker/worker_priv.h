/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the pool share: worker.c starts and stops the pool, worker_run.c is one worker thread,
 * worker_lease.c the heartbeat and the reconciler.
 */
#ifndef FA_WORKER_PRIV_H
#define FA_WORKER_PRIV_H

#include "queue/queue.h"
#include "worker/worker.h"

/* One thread and the task it holds. The fields from held on are guarded by the pool's lock. */
struct worker_slot {
        struct worker_pool *pool;
        struct lane *lane;
        unsigned index;
        pthread_t thread;
        char name[56]; /* as the catalog knows it */
        _Atomic bool cancelled;
        bool held;           /* a handler works on task: the lease is kept alive */
        bool lost;           /* the lease is gone, whichever thread noticed: nothing may be written */
        bool drained;        /* cancelled by a shutdown, not by a fault of its own */
        struct task task;    /* without its strings, which die with the run */
        struct mono expires; /* of the lease, at the earliest */
        struct mono turn;    /* the lane's next as this slot's turn left it */
};

/* The fields after threads are guarded by the pool's lock. */
struct lane {
        const struct worker_lane *opts;
        uint64_t kinds;   /* bits of the tasks that have a handler */
        unsigned threads; /* 0: no thread serves this lane */
        struct dur every; /* least time between the starts of two tasks; 0: no limit */
        struct mono next; /* when the next one may begin */
        unsigned active;  /* threads running */
        unsigned busy;    /* with a task */
        unsigned waiting; /* inside queue_wait */
        bool worked;      /* a task ran since the lane last went idle */
};

struct worker_pool {
        struct worker_opts opts;
        struct lane lanes[WORKER_LANES_MAX];
        unsigned threads; /* of all lanes */
        struct lock lock;
        struct cond changed; /* stopping, hurry, a task ended, a waiter gone */
        struct cond beat;    /* wakes the heartbeat: stopping */
        struct cond look;    /* wakes the reconciler: stopping, a retry that is due early */
        bool stopping;       /* claim nothing more */
        bool hurry;          /* the grace period is over: no more attempts to record a failure */
        bool ending;         /* heartbeat and reconciler end too */
        unsigned started;    /* threads to join */
        unsigned active;     /* threads running */
        unsigned busy;       /* with a task */
        struct mono due;     /* a retry known to become ready then; 0 none */
        bool has_beat, has_look;
        pthread_t beat_thread, look_thread;
        struct worker_slot *slots;
};

/* worker_run.c: the thread of a slot. */
void *worker_slot_run(void *slot);

/* worker_lease.c */
void *worker_beat_run(void *pool);
void *worker_look_run(void *pool);
/* Tells the reconciler that a task becomes ready at t, so that it looks again by then. */
void worker_look_by(struct worker_pool *p, struct wall t);

#endif
