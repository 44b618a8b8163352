/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts and stops the pool. The hard part is stopping: every task is finished, its failure recorded, or its lease
 * given back before the threads are joined, and a handler that outlives the grace period finds its token invalid.
 */
#include "worker/worker_priv.h"
#include "catalog/catalog_task.h"

#include "log/log.h"

#include <stdio.h>

#define LOGGER       "worker"
#define CANCEL_GRACE 1 /* seconds that a cancelled handler may take before its lease is given back */

static void check_opts(const struct worker_opts *o)
{
        uint32_t taken = 0;

        assert(o->catalog && o->queue && o->nlanes > 0 && o->nlanes <= WORKER_LANES_MAX);
        for (size_t i = 0; i < o->nlanes; i++) {
                assert(o->lanes[i].name && !(taken & o->lanes[i].purposes));
                taken |= o->lanes[i].purposes;
        }
        assert(o->lease.ns > 0 && o->reconcile_every.ns > 0 && o->max_errors > 0 && o->max_crashes > 0);
}

static void init_lane(struct worker_pool *p, struct lane *lane, const struct worker_lane *o)
{
        *lane = (struct lane){.opts = o};
        for (enum task_purpose purpose = 0; purpose < PURPOSE_COUNT; purpose++)
                for (enum job_type t = 0; t < JOB_TYPE_COUNT; t++)
                        if (o->purposes >> purpose & 1 && p->opts.handlers[purpose][t])
                                lane->kinds |= TASK_KIND(purpose, t);
        if (lane->kinds)
                lane->threads = o->threads;
        if (o->per_minute)
                lane->every = (struct dur){dur_s(60).ns / o->per_minute};
        p->threads += lane->threads;
}

static struct worker_pool *pool_new(const struct worker_opts *opts)
{
        struct worker_pool *p = mem_calloc(1, sizeof *p);
        char id[ID_TEXT_LEN];
        unsigned n = 0;

        if (!p)
                return NULL;
        p->opts = *opts;
        for (size_t i = 0; i < opts->nlanes; i++)
                init_lane(p, &p->lanes[i], &p->opts.lanes[i]);
        p->slots = mem_calloc(p->threads + 1, sizeof p->slots[0]);
        if (!p->slots) {
                mem_free(p);
                return NULL;
        }
        lock_init(&p->lock, "worker pool", RANK_WORKER);
        cond_init(&p->changed);
        cond_init(&p->beat);
        cond_init(&p->look);
        id_format(id_new(), id);
        for (size_t i = 0; i < opts->nlanes; i++)
                for (unsigned k = 0; k < p->lanes[i].threads; k++, n++) {
                        p->slots[n].pool = p;
                        p->slots[n].lane = &p->lanes[i];
                        p->slots[n].index = n;
                        snprintf(p->slots[n].name, sizeof p->slots[n].name, "%s/%u", id, n);
                }
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
        while (p->has_look && p->started < p->threads) {
                struct worker_slot *s = &p->slots[p->started];
                char name[16];
                snprintf(name, sizeof name, "worker-%u", s->index);
                if (thread_start(&s->thread, name, worker_slot_run, s))
                        break;
                p->started++;
        }
        if (!p->has_look || p->started < p->threads) {
                unsigned started = p->started, wanted = p->threads;
                worker_pool_stop(p, mono_now());
                return err_set(e, ERR_UNAVAILABLE, "only %u of %u worker threads could be started", started, wanted);
        }
        *out = p;
        return 0;
}

/* ---- stopping --------------------------------------------------------------------------- */

/*
 * A thread inside queue_wait is woken through the queue, which is not interrupted, since it may outlive this pool. A
 * waiter of another pool may take the wake-up, so it is sent again until none of this pool's threads waits. Called
 * with the lock held.
 */
static void wake_lane(struct worker_pool *p, const struct lane *lane)
{
        enum task_purpose any = (enum task_purpose)__builtin_ctz(lane->opts->purposes);

        while (lane->waiting > 0) {
                unsigned n = lane->waiting;
                lock_drop(&p->lock);
                queue_wake(p->opts.queue, any, n);
                lock_take(&p->lock);
                if (lane->waiting > 0)
                        cond_wait_until(&p->changed, &p->lock, mono_add(mono_now(), dur_ms(20)));
        }
}

static void wake_all(struct worker_pool *p)
{
        p->stopping = true;
        cond_broadcast(&p->changed);
        cond_broadcast(&p->look);
        for (size_t i = 0; i < p->opts.nlanes; i++)
                wake_lane(p, &p->lanes[i]);
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
        for (unsigned i = 0; i < p->threads; i++) {
                struct worker_slot *s = &p->slots[i];
                if (s->held) {
                        s->drained = true;
                        atomic_store(&s->cancelled, true);
                }
        }
}

/* Their handlers go on running, but the token is invalid: what they still write is refused. */
static void hand_back_held(struct worker_pool *p)
{
        for (unsigned i = 0; i < p->threads; i++) {
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

/* restarts stays 0: a worker thread cannot die without the process. */
void worker_pool_state(struct worker_pool *p, struct worker_state *out)
{
        lock_take(&p->lock);
        *out = (struct worker_state){.configured = p->threads, .active = p->active, .busy = p->busy};
        for (size_t i = 0; i < p->opts.nlanes; i++) {
                const struct lane *l = &p->lanes[i];
                if (l->threads)
                        out->lanes[out->nlanes++] = (struct worker_lane_state){
                                .name = l->opts->name, .configured = l->threads, .active = l->active, .busy = l->busy};
        }
        lock_drop(&p->lock);
}
