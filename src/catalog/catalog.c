/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog's front door: picks an engine by the scheme of the URL and hands
 * every call on to it. Nothing is decided here.
 */
#include "catalog/catalog_priv.h"

#include <string.h>

int catalog_open(const struct catalog_opts *opts, struct catalog **out, struct err *e)
{
        *out = NULL;
        if (opts->url && strncmp(opts->url, "sqlite://", 9) == 0)
                return catalog_sqlite_open(opts, out, e);
        if (opts->url && (strncmp(opts->url, "postgresql:", 11) == 0 || strncmp(opts->url, "postgresql+", 11) == 0 ||
                          strncmp(opts->url, "postgres:", 9) == 0))
                return catalog_postgres_open(opts, out, e);
        return err_set(e, ERR_INVALID,
                       "catalog url: allowed is sqlite:///path/to/catalog.db or postgresql://user@host/database");
}

void catalog_close(struct catalog *c)
{
        if (c)
                c->ops->close(c);
}

const char *job_status_name(enum job_status s)
{
        static const char *const names[JOBS_STATUS_COUNT] = {"queued", "processing", "done", "failed", "partial"};

        assert((unsigned)s < COUNT_OF(names));
        return names[s];
}

bool error_is_input(enum err_code code)
{
        return code == ERR_INVALID || code == ERR_UNSUPPORTED || code == ERR_CORRUPT || code == ERR_TOO_LARGE;
}

const char *or_empty(const char *s)
{
        return s ? s : "";
}

int arena_grow(struct arena *a, void *pp, size_t *cap, size_t need, size_t elem, struct err *e)
{
        size_t want = *cap ? *cap * 2 : 16;
        void *old, *p;

        if (need <= *cap)
                return 0;
        if (want < need)
                want = need;
        p = arena_array(a, want, elem);
        if (!p)
                return err_oom(e);
        memcpy(&old, pp, sizeof(old));
        if (*cap)
                memcpy(p, old, *cap * elem);
        memcpy(pp, &p, sizeof(p));
        *cap = want;
        return 0;
}

int catalog_use_model(struct catalog *c, const char *model_id, uint32_t dim, struct err *e)
{
        return c->ops->use_model(c, model_id, dim, e);
}

bool catalog_warm(struct catalog *c)
{
        return c->ops->warm(c);
}

void catalog_state(struct catalog *c, struct catalog_state *out)
{
        c->ops->state(c, out);
}

int catalog_ingest(struct catalog *c, const struct new_job *job, struct arena *a, struct job_receipt *out,
                   struct err *e)
{
        return c->ops->ingest(c, job, a, out, e);
}

int catalog_idempotency_find(struct catalog *c, const struct new_job *job, struct arena *a, struct job_receipt *out,
                             struct err *e)
{
        return c->ops->idempotency_find(c, job, a, out, e);
}

int catalog_task_claim(struct catalog *c, const char *worker, struct dur lease, uint32_t types, struct arena *a,
                       struct task *out, struct err *e)
{
        return c->ops->task_claim(c, worker, lease, types, a, out, e);
}

int catalog_task_extend(struct catalog *c, const struct task *t, struct dur lease, struct err *e)
{
        return c->ops->task_extend(c, t, lease, e);
}

int catalog_task_release(struct catalog *c, const struct task *t, struct err *e)
{
        return c->ops->task_release(c, t, e);
}

int catalog_task_fail(struct catalog *c, const struct task *t, const struct task_failure *f, struct err *e)
{
        return c->ops->task_fail(c, t, f, e);
}

int catalog_task_expire(struct catalog *c, unsigned max_crashes, struct err *e)
{
        return c->ops->task_expire(c, max_crashes, e);
}

int catalog_task_ready(struct catalog *c, uint32_t types, uint64_t *now, struct wall *next, struct err *e)
{
        return c->ops->task_ready(c, types, now, next, e);
}

int catalog_task_complete(struct catalog *c, const struct task_result *r, struct err *e)
{
        return c->ops->task_complete(c, r, e);
}

int catalog_step_put(struct catalog *c, struct sha256 object, const char *step, const char *version, struct span data,
                     struct err *e)
{
        return c->ops->step_put(c, object, step, version, data, e);
}

int catalog_step_get(struct catalog *c, struct sha256 object, const char *step, const char *version, struct arena *a,
                     struct span *out, struct err *e)
{
        return c->ops->step_get(c, object, step, version, a, out, e);
}

int catalog_job_get(struct catalog *c, struct id job, const char *owner, struct arena *a, struct job_view *out,
                    struct err *e)
{
        return c->ops->job_get(c, job, owner, a, out, e);
}

int catalog_job_list(struct catalog *c, const char *owner, int status, unsigned limit, const char *cursor,
                     struct arena *a, struct job_view **out, size_t *n, const char **next, struct err *e)
{
        return c->ops->job_list(c, owner, status, limit, cursor, a, out, n, next, e);
}

int catalog_dlq_list(struct catalog *c, const char *stage, unsigned limit, const char *cursor, struct arena *a,
                     struct dead_task **out, size_t *n, uint64_t *total, const char **next, struct err *e)
{
        return c->ops->dlq_list(c, stage, limit, cursor, a, out, n, total, next, e);
}

int catalog_dlq_get(struct catalog *c, struct id job, struct arena *a, struct dead_task **out, size_t *n, struct err *e)
{
        return c->ops->dlq_get(c, job, a, out, n, e);
}

int catalog_dlq_retry(struct catalog *c, const struct id *job, const struct id *assets, size_t n, uint64_t *moved,
                      struct err *e)
{
        return c->ops->dlq_retry(c, job, assets, n, moved, e);
}

int catalog_dlq_discard(struct catalog *c, const struct id *job, const struct id *assets, size_t n, uint64_t *moved,
                        struct err *e)
{
        return c->ops->dlq_discard(c, job, assets, n, moved, e);
}

int catalog_asset_list(struct catalog *c, const struct asset_filter *f, enum asset_sort sort, unsigned limit,
                       const char *cursor, struct arena *a, struct asset_page *out, struct err *e)
{
        return c->ops->asset_list(c, f, sort, limit, cursor, a, out, e);
}

int catalog_asset_get(struct catalog *c, struct id id, const char *owner, struct arena *a, struct asset *out,
                      struct err *e)
{
        return c->ops->asset_get(c, id, owner, a, out, e);
}

int catalog_asset_get_many(struct catalog *c, const struct id *ids, size_t n, const char *owner, struct arena *a,
                           struct asset **out, size_t *found, struct err *e)
{
        return c->ops->asset_get_many(c, ids, n, owner, a, out, found, e);
}

int catalog_asset_patch(struct catalog *c, struct id id, const char *owner, const struct asset_patch *p,
                        const char *actor, struct id *operation, struct err *e)
{
        return c->ops->asset_patch(c, id, owner, p, actor, operation, e);
}

int catalog_asset_trash(struct catalog *c, struct id id, const char *owner, const char *actor, struct err *e)
{
        return c->ops->asset_trash(c, id, owner, actor, e);
}

int catalog_asset_restore(struct catalog *c, struct id id, const char *owner, const char *actor, struct err *e)
{
        return c->ops->asset_restore(c, id, owner, actor, e);
}

int catalog_asset_purge(struct catalog *c, struct id id, const char *owner, const char *actor, struct sha256 *object,
                        bool *orphan, struct err *e)
{
        return c->ops->asset_purge(c, id, owner, actor, object, orphan, e);
}

int catalog_asset_reprocess(struct catalog *c, struct id id, const char *owner, const char *actor, struct err *e)
{
        return c->ops->asset_reprocess(c, id, owner, actor, e);
}

int catalog_lineage(struct catalog *c, struct id asset, const char *owner, struct arena *a, struct lineage_entry **out,
                    size_t *n, struct err *e)
{
        return c->ops->lineage(c, asset, owner, a, out, n, e);
}

int catalog_vector_search(struct catalog *c, const float *q, const struct asset_filter *f, size_t k,
                          struct vector_match *out, size_t *n, struct err *e)
{
        return c->ops->vector_search(c, q, f, k, out, n, e);
}

int catalog_vector_get(struct catalog *c, struct id asset, float *out, struct err *e)
{
        return c->ops->vector_get(c, asset, out, e);
}

int catalog_text_search(struct catalog *c, const char *text, const struct asset_filter *f, size_t k,
                        struct text_match *out, size_t *n, struct err *e)
{
        return c->ops->text_search(c, text, f, k, out, n, e);
}

int catalog_prototype_search(struct catalog *c, const char *owner, const float *q, size_t k, struct arena *a,
                             struct prototype_match *out, size_t *n, struct err *e)
{
        return c->ops->prototype_search(c, owner, q, k, a, out, n, e);
}

int catalog_cluster_list(struct catalog *c, const struct cluster_filter *f, enum cluster_sort sort, unsigned limit,
                         const char *cursor, struct arena *a, struct cluster **out, size_t *n, uint64_t *total,
                         const char **next, struct err *e)
{
        return c->ops->cluster_list(c, f, sort, limit, cursor, a, out, n, total, next, e);
}

int catalog_cluster_get(struct catalog *c, struct id id, const char *owner, struct arena *a, struct cluster *out,
                        struct id *survivor, struct err *e)
{
        return c->ops->cluster_get(c, id, owner, a, out, survivor, e);
}

int catalog_cluster_create(struct catalog *c, const char *owner, const char *name, float threshold, const char *actor,
                           struct id *out, struct err *e)
{
        return c->ops->cluster_create(c, owner, name, threshold, actor, out, e);
}

int catalog_cluster_delete(struct catalog *c, struct id id, const char *owner, const char *actor, struct id *operation,
                           struct err *e)
{
        return c->ops->cluster_delete(c, id, owner, actor, operation, e);
}

int catalog_cluster_change(struct catalog *c, struct id id, const char *owner, const struct cluster_change *ch,
                           const char *actor, struct id *operation, struct wall *updated, struct err *e)
{
        return c->ops->cluster_change(c, id, owner, ch, actor, operation, updated, e);
}

int catalog_cluster_merge(struct catalog *c, struct id target, const struct id *sources, size_t n,
                          const uint64_t *versions, const char *owner, const char *actor, struct id *operation,
                          struct wall *updated, struct err *e)
{
        return c->ops->cluster_merge(c, target, sources, n, versions, owner, actor, operation, updated, e);
}

int catalog_cluster_snapshot(struct catalog *c, const char *owner, struct arena *a, struct cluster **out,
                             float **prototypes, size_t *n, struct err *e)
{
        return c->ops->cluster_snapshot(c, owner, a, out, prototypes, n, e);
}

int catalog_owners(struct catalog *c, struct arena *a, const char ***out, size_t *n, struct err *e)
{
        return c->ops->owners(c, a, out, n, e);
}

int catalog_cluster_tags(struct catalog *c, struct id cluster, size_t max, struct arena *a, struct tag_count **out,
                         size_t *n, struct err *e)
{
        return c->ops->cluster_tags(c, cluster, max, a, out, n, e);
}

int catalog_place(struct catalog *c, const char *owner, const struct placement *p, const char *actor, struct err *e)
{
        return c->ops->place(c, owner, p, actor, e);
}

int catalog_counts(struct catalog *c, const char *owner, struct catalog_counts *out, struct err *e)
{
        return c->ops->counts(c, owner, out, e);
}

int catalog_trash_due(struct catalog *c, struct wall t, unsigned limit, struct arena *a, struct id **out, size_t *n,
                      struct err *e)
{
        return c->ops->trash_due(c, t, limit, a, out, n, e);
}

int catalog_duty_take(struct catalog *c, const char *duty, const char *holder, struct dur lease, struct dur every,
                      struct err *e)
{
        return c->ops->duty_take(c, duty, holder, lease, every, e);
}

int catalog_duty_done(struct catalog *c, const char *duty, const char *holder, struct err *e)
{
        return c->ops->duty_done(c, duty, holder, e);
}

int catalog_placing_version(struct catalog *c, const char *owner, uint64_t *out, struct err *e)
{
        return c->ops->placing_version(c, owner, out, e);
}
