/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker thread: it claims a task, runs the handler and records its result. The hard part is to write nothing
 * once another worker may hold the lease: success is written by the handler under its token, failure under the same
 * token, and while a failure is being recorded the lease is not extended.
 */
#include "worker/worker_priv.h"
#include "catalog/catalog_task.h"

#include "log/log.h"
#include "metrics/metrics.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define LOGGER     "worker"
#define ARENA_MAX  ((size_t)64 << 20)
#define QUEUE_WAIT 30 /* seconds; bounds the wait when the queue loses a wake-up */

struct dur worker_backoff(struct dur base, struct dur max, unsigned errors, double r)
{
        double top = ldexp((double)base.ns, errors < 64 ? (int)errors : 64);

        if (top > (double)max.ns)
                top = (double)max.ns;
        return (struct dur){(int64_t)(top * r)};
}

static double random_unit(void)
{
        return (double)(random_u64() >> 11) * 0x1p-53;
}

/* Full-jitter delay of attempt n (from 0), for the pool's own retries. */
static struct dur worker_pause(unsigned n)
{
        struct dur d = worker_backoff(dur_ms(50), dur_s(5), n, random_unit());

        return d.ns < dur_ms(10).ns ? dur_ms(10) : d;
}

/* ---- the slot's task, seen by heartbeat and shutdown ------------------------------- */

/* Returns false when the pool stopped while the task was being claimed. */
static bool hold_task(struct worker_slot *s, const struct task *t, struct mono claimed)
{
        struct worker_pool *p = s->pool;
        bool held;

        lock_take(&p->lock);
        held = !p->stopping;
        s->task = *t;
        s->task.owner = s->task.filename = s->task.content_type = NULL;
        s->expires = mono_add(claimed, p->opts.lease);
        s->held = held;
        s->lost = s->drained = false;
        atomic_store(&s->cancelled, false);
        p->busy++;
        s->lane->busy++;
        s->lane->worked = true;
        metrics_set(METRIC_BUSY_WORKERS, p->busy);
        lock_drop(&p->lock);
        return held;
}

struct outcome {
        bool lost, drained;
        struct mono expires;
};

/* From here on the lease is no longer extended. */
static struct outcome let_go(struct worker_slot *s)
{
        struct worker_pool *p = s->pool;
        struct outcome o;

        lock_take(&p->lock);
        s->held = false;
        o = (struct outcome){.lost = s->lost, .drained = s->drained, .expires = s->expires};
        lock_drop(&p->lock);
        return o;
}

static void finish_task(struct worker_slot *s)
{
        struct worker_pool *p = s->pool;

        lock_take(&p->lock);
        p->busy--;
        s->lane->busy--;
        metrics_set(METRIC_BUSY_WORKERS, p->busy);
        cond_broadcast(&p->changed);
        lock_drop(&p->lock);
        log_context_clear();
}

/* ---- verdicts --------------------------------------------------------------------------- */

static bool is_permanent(enum err_code code)
{
        return code == ERR_INVALID || code == ERR_UNSUPPORTED || code == ERR_CORRUPT || code == ERR_TOO_LARGE;
}

static struct task_failure judge_failure(const struct worker_pool *p, const struct task *t, const char *stage,
                                         const struct err *e)
{
        struct task_failure f = {.stage = stage ? stage : "claim", .code = e->code, .reason = e->msg};
        unsigned count;

        f.crash = e->code == ERR_CRASHED;
        count = (f.crash ? t->crashes : t->errors) + 1;
        f.dead = is_permanent(e->code) || count >= (f.crash ? p->opts.max_crashes : p->opts.max_errors);
        if (!f.dead)
                f.retry_at = wall_add(wall_now(),
                                      worker_backoff(p->opts.backoff_base, p->opts.backoff_max, count, random_unit()));
        return f;
}

/* Waits for that time; returns true when a shutdown leaves no time for it. */
static bool wait_or_hurry(struct worker_pool *p, struct dur pause)
{
        struct mono deadline = mono_add(mono_now(), pause);
        bool hurry;

        lock_take(&p->lock);
        while (!p->hurry && !mono_reached(deadline))
                cond_wait_until(&p->changed, &p->lock, deadline);
        hurry = p->hurry;
        lock_drop(&p->lock);
        return hurry;
}

/*
 * The lease is not extended meanwhile: when the catalog stays unreachable, it expires and the reconciler takes the
 * task back.
 */
static int record_failure(struct worker_pool *p, const struct task *t, const struct task_failure *f,
                          struct mono expires, struct err *e)
{
        for (unsigned n = 0;; n++) {
                struct dur pause = worker_pause(n);
                if (catalog_task_fail(p->opts.catalog, t, f, e) == 0)
                        return 0;
                if (e->code == ERR_STALE || mono_reached(mono_add(expires, (struct dur){-pause.ns})))
                        return -1;
                if (wait_or_hurry(p, pause))
                        return -1;
        }
}

static void tell_failure(const struct task *t, const struct task_failure *f, double seconds)
{
        const struct log_field fields[] = {
                LOG_STR("job_type", task_label(t->purpose, t->type)),
                LOG_STR("stage", f->stage),
                LOG_STR("error", err_name(f->code)),
                LOG_NUM("errors", t->errors + !f->crash),
                LOG_NUM("crashes", t->crashes + f->crash),
                LOG_NUM("seconds", seconds),
        };

        log_write(LOG_WARNING, LOGGER, fields, COUNT_OF(fields), "task failed, %s: %s",
                  f->dead ? "given up" : "will be retried", f->reason);
        metrics_add(METRIC_JOBS_PROCESSED, 1, task_label(t->purpose, t->type), f->dead ? "failure" : "retry");
}

static void file_failure(struct worker_pool *p, const struct task *t, const char *stage, const struct err *why,
                         struct mono expires, double seconds)
{
        struct task_failure f = judge_failure(p, t, stage, why);
        struct err e;

        if (record_failure(p, t, &f, expires, &e) == 0) {
                tell_failure(t, &f, seconds);
                if (!f.dead)
                        worker_look_by(p, f.retry_at);
        } else if (e.code == ERR_STALE) {
                log_info(LOGGER, "lease lost before the failure was recorded: %s", why->msg);
        } else {
                log_warning(LOGGER, "failure not recorded (%s), the lease runs out: %s", e.msg, why->msg);
        }
}

static void hand_back(struct worker_pool *p, const struct task *t, struct dur delay, const char *why)
{
        struct err e;

        if (catalog_task_release(p->opts.catalog, t, delay, &e))
                log_warning(LOGGER, "task not handed back, its lease runs out: %s", e.msg);
        else
                log_info(LOGGER, "task handed back: %s", why);
}

static void defer_task(struct worker_pool *p, const struct task *t, const char *why)
{
        struct dur delay = {p->opts.defer.ns / 2 + (int64_t)((double)p->opts.defer.ns / 2 * random_unit())};

        hand_back(p, t, delay, why);
        worker_look_by(p, wall_add(wall_now(), delay));
}

static void settle_task(struct worker_slot *s, const struct task *t, const struct worker_run *run, int rc,
                        const struct err *e, double seconds)
{
        struct worker_pool *p = s->pool;
        struct outcome o = let_go(s);

        if (rc == 0) {
                const struct log_field fields[] = {LOG_STR("job_type", task_label(t->purpose, t->type)),
                                                   LOG_NUM("deliveries", t->deliveries), LOG_NUM("seconds", seconds)};
                log_write(LOG_INFO, LOGGER, fields, COUNT_OF(fields), "task done");
                metrics_add(METRIC_JOBS_PROCESSED, 1, task_label(t->purpose, t->type), "success");
                metrics_observe(METRIC_JOB_DURATION, seconds, task_label(t->purpose, t->type));
        } else if (e->code == ERR_STALE || o.lost) {
                log_info(LOGGER, "lease lost, nothing written: %s", e->msg);
        } else if (o.drained && !is_permanent(e->code)) {
                hand_back(p, t, (struct dur){0}, "the service ends");
        } else if (run->deferred) {
                defer_task(p, t, e->msg);
        } else {
                file_failure(p, t, run->stage, e, o.expires, seconds);
        }
}

static void run_task(struct worker_slot *s, const struct task *t, struct arena *a, struct mono claimed)
{
        struct worker_pool *p = s->pool;
        struct worker_run run = {.task = t, .arena = a, .cancelled = &s->cancelled};
        struct err e = {.code = ERR_INTERNAL, .msg = "the handler gave no reason"};
        struct log_context *ctx = log_context();
        int rc;

        id_format(t->job_id, ctx->job_id);
        id_format(t->asset_id, ctx->asset_id);
        if (hold_task(s, t, claimed)) {
                rc = p->opts.handlers[t->purpose][t->type](p->opts.ctx, &run, &e);
                settle_task(s, t, &run, rc, &e, dur_seconds(mono_since(claimed)));
        } else {
                hand_back(p, t, (struct dur){0}, "the service ends");
        }
        finish_task(s);
}

/* ---- the loop ---------------------------------------------------------------------------- */

/* Returns 1 when a task was run, 0 when nothing is ready, -1 when the catalog fails. */
static int claim_and_run(struct worker_slot *s, struct err *e)
{
        struct worker_pool *p = s->pool;
        struct arena *a = arena_new(ARENA_MAX);
        struct mono now = mono_now();
        struct task t = {0};
        int rc;

        if (!a)
                return err_oom(e);
        rc = catalog_task_claim(p->opts.catalog, s->name, p->opts.lease, s->lane->kinds, a, &t, e);
        if (rc > 0)
                run_task(s, &t, a, now);
        arena_free(a);
        return rc;
}

/* Waits until that time, or until the pool stops. */
static void rest_awhile(struct worker_pool *p, struct dur d)
{
        struct mono deadline = mono_add(mono_now(), d);

        lock_take(&p->lock);
        while (!p->stopping && cond_wait_until(&p->changed, &p->lock, deadline) && !mono_reached(deadline))
                ;
        lock_drop(&p->lock);
}

/* The last thread to find nothing reports that its lane is idle. */
static void wait_for_work(struct worker_slot *s)
{
        struct worker_pool *p = s->pool;
        struct lane *lane = s->lane;
        struct mono deadline = mono_add(mono_now(), dur_s(QUEUE_WAIT));
        bool idle, woken;

        lock_take(&p->lock);
        if (p->stopping) {
                lock_drop(&p->lock);
                return;
        }
        lane->waiting++;
        idle = lane->worked && lane->waiting == lane->threads;
        if (idle)
                lane->worked = false;
        lock_drop(&p->lock);
        if (idle && lane->opts->idle)
                lane->opts->idle(p->opts.ctx);
        woken = queue_wait(p->opts.queue, lane->opts->purposes, deadline);
        lock_take(&p->lock);
        lane->waiting--;
        cond_broadcast(&p->changed);
        lock_drop(&p->lock);
        /* An interrupted queue no longer blocks: this keeps the thread from spinning. */
        if (!woken && !mono_reached(deadline))
                rest_awhile(p, dur_ms(500));
}

/* ---- the lane's pace ---------------------------------------------------------------------- */

bool worker_turn(struct mono *next, struct dur every, struct mono now)
{
        if (every.ns == 0)
                return true;
        if (now.ns < next->ns)
                return false;
        *next = mono_add(now, every);
        return true;
}

/* Waits until the lane may begin another task, and counts that task. Returns false when the pool stops. */
static bool take_turn(struct worker_slot *s)
{
        struct worker_pool *p = s->pool;
        struct lane *lane = s->lane;
        bool mine = false;

        lock_take(&p->lock);
        while (!p->stopping && !(mine = worker_turn(&lane->next, lane->every, mono_now())))
                cond_wait_until(&p->changed, &p->lock, lane->next);
        s->turn = lane->next;
        lock_drop(&p->lock);
        return mine;
}

/* There was no task to begin. */
static void give_turn_back(struct worker_slot *s)
{
        lock_take(&s->pool->lock);
        if (s->lane->next.ns == s->turn.ns) /* otherwise another thread has taken a turn meanwhile */
                s->lane->next = (struct mono){0};
        lock_drop(&s->pool->lock);
}

static void count_active(struct worker_slot *s, int by)
{
        struct worker_pool *p = s->pool;

        lock_take(&p->lock);
        p->active = (unsigned)((int)p->active + by);
        s->lane->active = (unsigned)((int)s->lane->active + by);
        metrics_set(METRIC_ACTIVE_WORKERS, p->active);
        cond_broadcast(&p->changed);
        lock_drop(&p->lock);
}

void *worker_slot_run(void *arg)
{
        struct worker_slot *s = arg;
        struct worker_pool *p = s->pool;
        unsigned failures = 0;

        thread_stand_back();
        count_active(s, 1);
        while (take_turn(s)) {
                struct err e;
                int rc = claim_and_run(s, &e);

                if (rc <= 0)
                        give_turn_back(s);
                if (rc < 0) {
                        if (failures == 0)
                                log_warning(LOGGER, "cannot claim a task, trying again: %s", e.msg);
                        rest_awhile(p, worker_pause(failures++));
                        continue;
                }
                failures = 0;
                if (rc == 0)
                        wait_for_work(s);
        }
        count_active(s, -1);
        return NULL;
}
