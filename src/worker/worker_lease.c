/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two threads beside the workers. The heartbeat keeps leases alive and tells a handler when its lease is gone;
 * the reconciler takes back leases of dead workers and wakes workers for tasks that nobody announced. The hard part
 * of both is never to hold the pool's lock while the catalog blocks.
 */
#include "worker/worker_priv.h"
#include "catalog/catalog_task.h"

#include "log/log.h"
#include "metrics/metrics.h"

#define LOGGER     "worker"
#define LOOK_FLOOR 10 /* ms: least time between two queries of the catalog, however many tasks become due */

/* ---- heartbeat ------------------------------------------------------------------------ */

static bool still_holds(const struct worker_slot *s, const struct task *t)
{
        return s->held && s->task.token == t->token && id_eq(s->task.id, t->id);
}

/* Called with the lock. */
static void lose_lease(struct worker_slot *s)
{
        s->lost = true;
        atomic_store(&s->cancelled, true);
        metrics_add(METRIC_TOKENS_REJECTED, 1);
}

static void extend_lease(struct worker_pool *p, struct worker_slot *s)
{
        struct mono now = mono_now();
        struct task t;
        struct err e;
        bool held;
        int rc;

        lock_take(&p->lock);
        held = s->held && !s->lost;
        t = s->task;
        lock_drop(&p->lock);
        if (!held)
                return;
        rc = catalog_task_extend(p->opts.catalog, &t, p->opts.lease, &e);
        lock_take(&p->lock);
        /* Otherwise the task has ended meanwhile, and this result is void. */
        if (still_holds(s, &t)) {
                if (rc == 0)
                        s->expires = mono_add(now, p->opts.lease);
                else if (e.code == ERR_STALE)
                        lose_lease(s);
                else if (mono_reached(s->expires))
                        atomic_store(&s->cancelled, true); /* another may hold it by now; the token decides */
        } else {
                rc = 0;
        }
        lock_drop(&p->lock);
        if (rc < 0)
                log_warning(LOGGER, "a lease could not be extended: %s", e.msg);
}

void *worker_beat_run(void *arg)
{
        struct worker_pool *p = arg;
        struct dur third = {p->opts.lease.ns / 3};
        struct mono next = mono_add(mono_now(), third);
        bool ending = false;

        while (!ending) {
                lock_take(&p->lock);
                while (!p->ending && cond_wait_until(&p->beat, &p->lock, next))
                        ;
                ending = p->ending;
                lock_drop(&p->lock);
                next = mono_add(mono_now(), third);
                for (unsigned i = 0; i < p->threads && !ending; i++)
                        extend_lease(p, &p->slots[i]);
        }
        return NULL;
}

/* ---- reconciler --------------------------------------------------------------------------- */

void worker_look_by(struct worker_pool *p, struct wall t)
{
        struct dur in = {(t.us - wall_now().us) * 1000};
        struct mono at = mono_add(mono_now(), in);

        lock_take(&p->lock);
        if (p->due.ns == 0 || at.ns < p->due.ns) {
                p->due = at;
                cond_signal(&p->look);
        }
        lock_drop(&p->lock);
}

/*
 * Wakes a lane for the ready tasks of one purpose; *next becomes the time at which more become ready, if that is
 * earlier.
 */
static int wake_for_purpose(struct worker_pool *p, const struct lane *lane, enum task_purpose purpose,
                            struct wall *next, struct err *e)
{
        uint64_t ready = 0, mine = (TASK_KIND(purpose + 1, 0) - TASK_KIND(purpose, 0)) & lane->kinds;
        struct wall at = {0};

        if (!mine || !lane->threads)
                return 0;
        if (catalog_task_ready(p->opts.catalog, mine, &ready, &at, e))
                return -1;
        if (ready > 0)
                queue_wake(p->opts.queue, purpose, ready < lane->threads ? (unsigned)ready : lane->threads);
        if (at.us && (!next->us || at.us < next->us))
                *next = at;
        return 0;
}

/* Wakes workers for ready tasks; returns when to look again. */
static struct dur wake_for_ready(struct worker_pool *p, struct dur interval)
{
        struct wall next = {0};
        struct dur in;
        struct err e;

        for (size_t i = 0; i < p->opts.nlanes; i++)
                for (enum task_purpose purpose = 0; purpose < PURPOSE_COUNT; purpose++)
                        if (wake_for_purpose(p, &p->lanes[i], purpose, &next, &e)) {
                                log_warning(LOGGER, "cannot ask for ready tasks: %s", e.msg);
                                return interval;
                        }
        if (next.us == 0)
                return interval;
        in = (struct dur){(next.us - wall_now().us) * 1000 + 1000000}; /* a millisecond late rather than early */
        return in.ns < interval.ns ? in : interval;
}

static void take_back(struct worker_pool *p)
{
        struct err e;
        int n = catalog_task_expire(p->opts.catalog, p->opts.max_crashes, &e);

        if (n < 0)
                log_warning(LOGGER, "cannot look for expired leases: %s", e.msg);
        else if (n > 0)
                log_warning(LOGGER, "%d leases ran out and were taken back", n);
}

/*
 * A time announced by worker_look_by brings the next look forward, but not below the least interval. Returns false
 * when the pool stops.
 */
static bool sleep_until_look(struct worker_pool *p, struct dur in)
{
        struct mono floor = mono_add(mono_now(), dur_ms(LOOK_FLOOR)), at = mono_add(mono_now(), in), until;
        bool go_on;

        lock_take(&p->lock);
        for (;;) {
                until = p->due.ns && p->due.ns < at.ns ? p->due : at;
                until = until.ns < floor.ns ? floor : until;
                if (p->stopping || mono_reached(until))
                        break;
                cond_wait_until(&p->look, &p->lock, until);
        }
        if (p->due.ns && mono_reached(p->due))
                p->due = (struct mono){0};
        go_on = !p->stopping;
        lock_drop(&p->lock);
        return go_on;
}

void *worker_look_run(void *arg)
{
        struct worker_pool *p = arg;
        struct mono expire_at = mono_now();
        struct dur in;

        do {
                if (mono_reached(expire_at)) {
                        expire_at = mono_add(mono_now(), p->opts.reconcile_every);
                        take_back(p);
                }
                in = wake_for_ready(p, p->opts.reconcile_every);
        } while (sleep_until_look(p, in));
        return NULL;
}
