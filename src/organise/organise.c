/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The door of the room: placing at the end of a task, and the thread that runs
 * passes. The hard thing is the owner's lock: it spans the look at the
 * prototypes, the decision and the commit, so that eight workers with eight
 * dogs found one folder; two owners may share a stripe, which costs waiting only.
 */
#include "organise_priv.h"
#include "jobs/counts.h"
#include "catalog/catalog_part.h"
#include "catalog/catalog_place.h"
#include "catalog/catalog_task.h"
#include "catalog/catalog_upkeep.h"

#include "log/log.h"
#include "metrics/metrics.h"

#include <string.h>

/*
 * Tries to place: at the first ones other instances take precedence, at the last but one they do not, and the last
 * leaves the asset unsorted.
 */
#define PLACE_TRIES   6
#define PLACE_CHECKED 4

#define DUTY "organise"

int organise_open(const struct organise_opts *opts, struct organise **out, struct err *e)
{
        if (!(opts->threshold > 0) || opts->threshold >= 1 || !(opts->margin >= 0) || opts->margin >= 1)
                return err_set(e, ERR_INVALID,
                               "clustering: threshold %.3g and margin %.3g: the threshold must lie between 0 and 1, "
                               "the margin from 0 to 1",
                               (double)opts->threshold, (double)opts->margin);
        if (opts->min_size < 2)
                return err_set(e, ERR_INVALID, "clustering: minimum size %u: a folder is founded by 2 or more files",
                               opts->min_size);
        struct organise *o = mem_calloc(1, sizeof *o);
        if (!o)
                return err_oom(e);
        o->opts = *opts;
        for (size_t i = 0; i < OWNER_STRIPES; i++)
                lock_init(&o->owners[i], "organise owner", RANK_ORGANISE_OWNER);
        lock_init(&o->lock, "organise", RANK_ORGANISE_OWNER);
        cond_init(&o->wake);
        *out = o;
        return 0;
}

void organise_close(struct organise *o)
{
        if (!o)
                return;
        lock_take(&o->lock);
        atomic_store_explicit(&o->stopping, true, memory_order_relaxed);
        cond_broadcast(&o->wake);
        lock_drop(&o->lock);
        if (o->started)
                pthread_join(o->thread, NULL);
        for (size_t i = 0; i < o->nresume; i++)
                mem_free(o->resume[i].cursor);
        mem_free(o->resume);
        cond_done(&o->wake);
        lock_done(&o->lock);
        for (size_t i = 0; i < OWNER_STRIPES; i++)
                lock_done(&o->owners[i]);
        mem_free(o);
}

/* ---- placing -------------------------------------------------------------------------- */

static void count_placed(struct organise *o, const struct placement *p)
{
        atomic_fetch_add_explicit(&o->changes, 1, memory_order_relaxed);
        if (p->kind == PLACE_FOUND)
                metrics_add(METRIC_CLUSTERS_CREATED, 1);
}

/* Decides and commits once. At the last try a failed placement is left to the next pass. */
static int place_once(struct organise *o, struct task_result *r, int try, struct arena *a, struct err *e)
{
        struct lock *lock = owner_lock(o, r->task->owner);
        const float *vector = part_list_vector(&r->parts, embed_model_id(o->opts.embed));
        const struct place_input in = {r->task->owner, r->task->asset_id, vector, r->tags, r->ntags};
        struct mono start = mono_now();
        int rc = 0;
        lock_take(lock);
        if (try == PLACE_TRIES - 1)
                r->placement = (struct placement){.similarity = -1, .why = "others were faster, again and again"};
        else
                rc = place_decide(o, &in, NULL, a, &r->placement, e);
        if (try >= PLACE_CHECKED)
                r->placement.seen = 0;
        metrics_observe(METRIC_STAGE_DURATION, dur_seconds(mono_since(start)), "place");
        if (!rc)
                rc = catalog_task_complete(o->opts.catalog, r, e);
        lock_drop(lock);
        if (!rc)
                count_placed(o, &r->placement);
        return rc;
}

int organise_complete(struct organise *o, struct task_result *r, float sure, struct arena *a, struct err *e)
{
        const float *vector = part_list_vector(&r->parts, embed_model_id(o->opts.embed));
        struct err why = {0};
        int rc = -1;
        place_learn(o, r->tags, r->ntags);
        if (r->task->pinned || !id_is_nil(r->task->cluster_id) || !vector || !(sure >= SURE_MIN)) {
                bool keep = r->task->pinned || !id_is_nil(r->task->cluster_id);
                r->placement = (struct placement){.kind = keep ? PLACE_KEEP : PLACE_UNSORTED, .similarity = -1};
                r->placement.why = keep     ? "a person's choice"
                                   : vector ? "the model is not sure what it shows"
                                            : "nothing to compare";
                rc = catalog_task_complete(o->opts.catalog, r, e);
                if (!rc)
                        count_placed(o, &r->placement);
                return rc;
        }
        for (int i = 0; i < PLACE_TRIES && rc; i++) {
                why = (struct err){0};
                rc = place_once(o, r, i, a, &why);
                if (rc && why.code != ERR_CONFLICT)
                        break;
        }
        if (rc && e)
                *e = why;
        return rc;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Number of changes that a pass would look at: placements through this room, and people's changes elsewhere. */
struct seen {
        uint64_t changes, clusters, unsorted;
};

static bool seen_now(struct organise *o, struct seen *s)
{
        struct catalog_counts counts;
        struct err e = {0};
        s->changes = atomic_load_explicit(&o->changes, memory_order_relaxed);
        if (catalog_counts(o->opts.catalog, NULL, &counts, &e))
                return false;
        s->clusters = counts.clusters;
        s->unsorted = counts.unsorted;
        return true;
}

static bool seen_equal(const struct seen *a, const struct seen *b)
{
        return a->changes == b->changes && a->clusters == b->clusters && a->unsorted == b->unsorted;
}

/* Of several instances one runs the passes: the first one when an interval is over. */
static bool take_duty(struct organise *o)
{
        const struct dur lease = dur_s(60);
        struct dur every = {o->opts.interval.ns / 10 * 9}; /* the clocks need not agree on the last moment */
        struct err e = {0};
        int rc = catalog_duty_take(o->opts.catalog, DUTY, o->opts.instance, lease, every, &e);
        if (rc < 0)
                log_debug("organise", "pass put off: %s", e.msg);
        o->renew = mono_add(mono_now(), (struct dur){lease.ns / 3});
        return rc > 0;
}

/* An instance that was paused past its lease must not continue beside the one that took over. */
static bool still_on_duty(struct organise *o)
{
        return organise_runs(o) && (!mono_reached(o->renew) || take_duty(o));
}

static void leave_duty(struct organise *o)
{
        struct err e;
        if (catalog_duty_done(o->opts.catalog, DUTY, o->opts.instance, &e))
                log_debug("organise", "the lease of the duty runs out: %s", e.msg);
}

/* True when there is nothing left to do until something changes. */
static bool run_pass(struct organise *o)
{
        struct organise_report report = {0};
        struct err e = {0};
        struct mono start = mono_now();
        struct arena *a = arena_new((size_t)256 << 20);
        int rc = a ? pass_run(o, NULL, false, still_on_duty, a, &report, &e) : err_oom(&e);
        if (rc && e.code == ERR_UNAVAILABLE)
                log_debug("organise", "pass put off: %s", e.msg);
        else if (rc)
                log_error("organise", "pass failed: %s", e.msg);
        else if (report.n)
                log_info("organise", "pass made %zu changes in %.1f s", report.n, dur_seconds(mono_since(start)));
        arena_free(a);
        return !rc && !report.n;
}

static void *pass_thread(void *arg)
{
        struct organise *o = arg;
        struct seen last = {0};
        bool settled = false;
        struct mono due = mono_add(mono_now(), o->opts.interval);
        thread_stand_back();
        lock_take(&o->lock);
        while (organise_runs(o)) {
                if (!mono_reached(due)) {
                        cond_wait_until(&o->wake, &o->lock, due);
                        continue;
                }
                lock_drop(&o->lock);
                struct seen now;
                bool known = seen_now(o, &now);
                if (known && !(settled && seen_equal(&last, &now)) && take_duty(o)) {
                        settled = run_pass(o);
                        leave_duty(o);
                        last = now;
                }
                due = mono_add(mono_now(), o->opts.interval);
                lock_take(&o->lock);
        }
        lock_drop(&o->lock);
        return NULL;
}

int organise_start(struct organise *o, struct err *e)
{
        if (o->started || o->opts.interval.ns <= 0)
                return 0;
        if (thread_start(&o->thread, "organise", pass_thread, o))
                return err_set(e, ERR_INTERNAL, "cannot start the organising thread");
        o->started = true;
        return 0;
}
