/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the pool share: worker.c starts and stops it, worker_run.c
 * is the life of one thread, worker_lease.c the heartbeat and the reconciler.
 */
#ifndef FA_WORKER_PRIV_H
#define FA_WORKER_PRIV_H

#include "queue/queue.h"
#include "worker/worker.h"

/* One thread and the task it holds. Fields from held on are under the pool's lock. */
struct worker_slot {
        struct worker_pool *pool;
        struct lane *lane;
        unsigned index;
        pthread_t thread;
        char name[56]; /* as the catalog knows it */
        _Atomic bool cancelled;
        bool held;           /* a handler works on task: the lease is kept alive */
        bool lost;           /* the lease is gone, whoever noticed: nothing may be written */
        bool drained;        /* cancelled by a shutdown, not by its own fault */
        struct task task;    /* without its strings, which die with the run */
        struct mono expires; /* of the lease, at the earliest */
        struct mono turn;    /* lane's next, as this slot's turn left it */
};

/* What follows threads is under the pool's lock. */
struct lane {
        const struct worker_lane *opts;
        uint64_t kinds;   /* of tasks that have a handler */
        unsigned threads; /* 0 when there are none */
        struct dur every; /* between two tasks begun; 0: no limit */
        struct mono next; /* when the next one may */
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
        bool hurry;          /* the grace is over: no more tries to record a failure */
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
/* A task becomes ready at t: the reconciler must not oversleep it. */
void worker_look_by(struct worker_pool *p, struct wall t);

#endif
