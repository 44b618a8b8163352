/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and stopping the pool. The hard thing is the end: every lease is
 * either finished, filed, or handed back before the threads are joined, and a
 * handler that overran its grace finds its token worthless.
 */
#include "worker/worker_priv.h"
#include "catalog/catalog_task.h"

#include "log/log.h"

#include <stdio.h>

#define LOGGER       "worker"
#define CANCEL_GRACE 1 /* seconds a cancelled handler is waited for before its lease is handed back */

static void check_opts(const struct worker_opts *o)
{
        assert(o->catalog && o->queue && o->threads > 0);
        assert(o->lease.ns > 0 && o->reconcile_every.ns > 0 && o->max_errors > 0 && o->max_crashes > 0);
}

static struct worker_pool *pool_new(const struct worker_opts *opts)
{
        struct worker_pool *p = mem_calloc(1, sizeof *p);
        char id[ID_TEXT_LEN];

        if (!p)
                return NULL;
        p->opts = *opts;
        p->slots = mem_calloc(opts->threads, sizeof p->slots[0]);
        if (!p->slots) {
                mem_free(p);
                return NULL;
        }
        lock_init(&p->lock, "worker pool", RANK_WORKER);
        cond_init(&p->changed);
        cond_init(&p->beat);
        cond_init(&p->look);
        id_format(id_new(), id);
        for (unsigned i = 0; i < opts->threads; i++) {
                p->slots[i].pool = p;
                p->slots[i].index = i;
                snprintf(p->slots[i].name, sizeof p->slots[i].name, "%s/%u", id, i);
        }
        for (unsigned t = 0; t < JOB_TYPE_COUNT; t++)
                if (opts->handlers[t])
                        p->types |= 1u << t;
        return p;
}

int worker_pool_start(const struct worker_opts *opts, struct worker_pool **out, struct err *e)
{
        struct worker_pool *p;

        check_opts(opts);
        p = pool_new(opts);
        if (!p)
                return err_oom(e);
        p->has_beat = thread_start(&p->beat_thread, "heartbeat", worker_beat_run, p) == 0;
        p->has_look = p->has_beat && thread_start(&p->look_thread, "reconciler", worker_look_run, p) == 0;
        while (p->has_look && p->started < opts->threads) {
                struct worker_slot *s = &p->slots[p->started];
                char name[16];
                snprintf(name, sizeof name, "worker-%u", s->index);
                if (thread_start(&s->thread, name, worker_slot_run, s))
                        break;
                p->started++;
        }
        if (p->started < opts->threads) {
                unsigned started = p->started;
                worker_pool_stop(p, mono_now());
                return err_set(e, ERR_UNAVAILABLE, "only %u of %u worker threads could be started", started,
                               opts->threads);
        }
        *out = p;
        return 0;
}

/* ---- stopping --------------------------------------------------------------------------- */

/*
 * A thread inside queue_wait is woken through the queue, not interrupted: the
 * queue may outlive this pool. Another pool's waiter may take the wake-up, so
 * it is given again until nobody of ours waits. Called with the lock.
 */
static void wake_all(struct worker_pool *p)
{
        p->stopping = true;
        cond_broadcast(&p->changed);
        cond_broadcast(&p->look);
        while (p->waiting > 0) {
                unsigned n = p->waiting;
                lock_drop(&p->lock);
                queue_wake(p->opts.queue, n);
                lock_take(&p->lock);
                if (p->waiting > 0)
                        cond_wait_until(&p->changed, &p->lock, mono_add(mono_now(), dur_ms(20)));
        }
}

/* Called with the lock. */
static void wait_idle(struct worker_pool *p, struct mono deadline)
{
        while (p->busy > 0 && cond_wait_until(&p->changed, &p->lock, deadline))
                ;
}

/* Called with the lock. */
static void cancel_held(struct worker_pool *p)
{
        p->hurry = true;
        cond_broadcast(&p->changed);
        for (unsigned i = 0; i < p->opts.threads; i++) {
                struct worker_slot *s = &p->slots[i];
                if (s->held) {
                        s->drained = true;
                        atomic_store(&s->cancelled, true);
                }
        }
}

/* Their handlers run on, but the token is void: what they still write is refused. */
static void hand_back_held(struct worker_pool *p)
{
        for (unsigned i = 0; i < p->opts.threads; i++) {
                struct worker_slot *s = &p->slots[i];
                struct err e;
                struct task t;
                bool held;
                lock_take(&p->lock);
                held = s->held && !s->lost;
                s->lost |= held;
                t = s->task;
                lock_drop(&p->lock);
                if (!held)
                        continue;
                if (catalog_task_release(p->opts.catalog, &t, (struct dur){0}, &e))
                        log_warning(LOGGER, "a task was not handed back, its lease runs out: %s", e.msg);
                else
                        log_warning(LOGGER, "a handler did not stop in time; its task was handed back");
        }
}

void worker_pool_stop(struct worker_pool *p, struct mono deadline)
{
        if (!p)
                return;
        lock_take(&p->lock);
        wake_all(p);
        wait_idle(p, deadline);
        cancel_held(p);
        wait_idle(p, mono_add(mono_now(), dur_s(CANCEL_GRACE)));
        lock_drop(&p->lock);
        hand_back_held(p);
        for (unsigned i = 0; i < p->started; i++)
                pthread_join(p->slots[i].thread, NULL);
        lock_take(&p->lock);
        p->ending = true;
        cond_broadcast(&p->beat);
        lock_drop(&p->lock);
        if (p->has_beat)
                pthread_join(p->beat_thread, NULL);
        if (p->has_look)
                pthread_join(p->look_thread, NULL);
        cond_done(&p->changed);
        cond_done(&p->beat);
        cond_done(&p->look);
        lock_done(&p->lock);
        mem_free(p->slots);
        mem_free(p);
}

/* restarts stays 0: a worker thread has no way to die but with the process. */
void worker_pool_state(struct worker_pool *p, struct worker_state *out)
{
        lock_take(&p->lock);
        *out = (struct worker_state){.configured = p->opts.threads, .active = p->active, .busy = p->busy};
        lock_drop(&p->lock);
}
