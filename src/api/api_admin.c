/* SPDX-License-Identifier: Apache-2.0 */
/* The dead-letter queue, an organiser's pass on request, counts and settings. */
#include <string.h>

#include "api/api_priv.h"
#include "jobs/counts.h"
#include "jobs/jobs.h"

static void view_dead(struct json_out *j, const struct dead_task *d)
{
        json_obj(j);
        json_kv_id(j, "job_id", d->job_id);
        json_kv_id(j, "system_id", d->asset_id);
        json_kv_str(j, "filename", d->filename);
        json_kv_str(j, "owner", d->owner);
        json_kv_str(j, "job_type", job_type_name(d->type));
        json_kv_str(j, "purpose", task_purpose_name(d->purpose));
        json_kv_str(j, "stage", d->stage);
        json_kv_str(j, "error", d->error);
        json_kv_str(j, "code", d->code);
        json_kv_int(j, "attempts", d->errors);
        json_kv_int(j, "crashes", d->crashes);
        json_kv_int(j, "deliveries", d->deliveries);
        json_kv_wall(j, "first_failed_at", d->first_failed);
        json_kv_wall(j, "last_failed_at", d->last_failed);
        if (d->nhistory) {
                json_key(j, "history");
                json_arr(j);
                for (size_t i = 0; i < d->nhistory; i++) {
                        json_obj(j);
                        json_kv_wall(j, "at", d->history[i].at);
                        json_kv_str(j, "stage", d->history[i].stage);
                        json_kv_str(j, "code", d->history[i].code);
                        json_kv_str(j, "message", d->history[i].message);
                        json_kv_bool(j, "crash", d->history[i].crash);
                        json_end(j);
                }
                json_end(j);
        }
        json_end(j);
}

void get_dlq(struct http_request *r)
{
        unsigned limit;
        struct err e;
        struct dead_task *items;
        size_t n;
        uint64_t total;
        const char *next;
        struct buf b;
        struct json_out j;
        if (!arg_uint(r, "limit", 1, 500, 50, &limit))
                return;
        if (catalog_dlq_list(api_of(r)->o.catalog, bound_owner(r), http_query(r, "stage"), limit,
                             http_query(r, "cursor"), http_arena(r), &items, &n, &total, &next, &e)) {
                http_reply_err(r, &e);
                return;
        }
        answer_begin(&j, &b);
        json_obj(&j);
        json_key(&j, "items");
        json_arr(&j);
        for (size_t i = 0; i < n; i++)
                view_dead(&j, &items[i]);
        json_end(&j);
        json_kv_int(&j, "total", (int64_t)total);
        json_kv_str(&j, "next_cursor", next);
        json_end(&j);
        answer_end(r, 200, &b);
}

void get_dlq_job(struct http_request *r)
{
        struct id id;
        struct err e;
        struct dead_task *items;
        size_t n;
        struct buf b;
        struct json_out j;
        if (!arg_id(r, "job_id", &id))
                return;
        if (catalog_dlq_get(api_of(r)->o.catalog, id, bound_owner(r), http_arena(r), &items, &n, &e)) {
                http_reply_err(r, &e);
                return;
        }
        answer_begin(&j, &b);
        json_obj(&j);
        json_kv_id(&j, "job_id", id);
        json_key(&j, "items");
        json_arr(&j);
        for (size_t i = 0; i < n; i++)
                view_dead(&j, &items[i]);
        json_end(&j);
        json_end(&j);
        answer_end(r, 200, &b);
}

/* The optional {"system_ids": […]} of a body; *n 0 and *ids NULL mean all entries of the job. */
static bool ids_of_body(struct http_request *r, struct id **ids, size_t *n)
{
        struct json *doc = body_object(r);
        *ids = NULL;
        *n = 0;
        if (!doc)
                return false;
        const struct json *list = json_get(doc, "system_ids");
        bool ok = body_members(r, doc, "system_ids,fallback");
        if (ok && json_get(doc, "fallback") && json_bool(json_get(doc, "fallback"))) {
                http_reply_error(r, 400, "invalid", NULL,
                                 "fallback: this version has no fallback to retry with; leave it out");
                ok = false;
        }
        if (ok && list && !json_is_null(list)) {
                size_t count = json_count(list);
                *ids = arena_array(http_arena(r), count ? count : 1, sizeof **ids);
                ok = json_is_array(list) && count >= 1 && count <= 1000 && *ids;
                for (size_t i = 0; ok && i < count; i++)
                        ok = id_parse(json_span(json_at(list, i)), &(*ids)[i]);
                *n = count;
                if (!ok)
                        http_reply_error(r, 400, "invalid", NULL, "system_ids: must be an array of 1 to 1000 UUIDs");
        }
        json_free(doc);
        return ok;
}

typedef int dlq_fn(struct catalog *c, const struct dlq_choice *which, uint64_t *moved, struct err *e);

/* Calls fn for the chosen entries and answers with their count; word says what became of them. */
static void change_dlq(struct http_request *r, struct dlq_choice *which, const char *word, dlq_fn *fn)
{
        uint64_t moved = 0;
        struct err e;
        struct buf b;
        struct json_out j;
        which->owner = bound_owner(r);
        which->actor = actor_of(r);
        if (fn(api_of(r)->o.catalog, which, &moved, &e)) {
                http_reply_err(r, &e);
                return;
        }
        if (which->job && moved == 0) {
                http_reply_error(r, 404, "not_found", NULL, "no such entry in the dead-letter queue");
                return;
        }
        answer_begin(&j, &b);
        json_obj(&j);
        if (which->job)
                json_kv_id(&j, "job_id", *which->job);
        json_kv_str(&j, "status", word);
        json_kv_int(&j, "count", (int64_t)moved);
        json_end(&j);
        answer_end(r, 200, &b);
}

/* The entries of the path's job, or those of its assets that the body names. */
static void change_dlq_job(struct http_request *r, const char *word, dlq_fn *fn)
{
        struct id job, *ids;
        struct dlq_choice which = {.job = &job};
        if (!arg_id(r, "job_id", &job) || !ids_of_body(r, &ids, &which.n))
                return;
        which.assets = ids;
        change_dlq(r, &which, word, fn);
}

static void change_dlq_all(struct http_request *r, const char *word, dlq_fn *fn)
{
        struct dlq_choice all = {0};
        change_dlq(r, &all, word, fn);
}

void retry_dlq_job(struct http_request *r)
{
        change_dlq_job(r, "retried", catalog_dlq_retry);
}

void delete_dlq_job(struct http_request *r)
{
        change_dlq_job(r, "discarded", catalog_dlq_discard);
}

void retry_dlq_all(struct http_request *r)
{
        change_dlq_all(r, "retried", catalog_dlq_retry);
}

void delete_dlq_all(struct http_request *r)
{
        change_dlq_all(r, "discarded", catalog_dlq_discard);
}

/* ---- a pass of the organiser -------------------------------------------------------------- */

static void reply_organised(struct http_request *r, bool dry_run)
{
        struct organise_report rep;
        struct err e;
        struct buf b;
        struct json_out j;
        if (organise_pass(api_of(r)->o.organise, bound_owner(r), dry_run, http_arena(r), &rep, &e)) {
                http_reply_err(r, &e);
                return;
        }
        answer_begin(&j, &b);
        json_obj(&j);
        json_kv_bool(&j, "dry_run", dry_run);
        json_key(&j, "changes");
        json_arr(&j);
        for (size_t i = 0; i < rep.n; i++) {
                const struct organise_change *c = &rep.changes[i];
                json_obj(&j);
                json_kv_str(&j, "action", c->action);
                json_kv_str(&j, "owner", c->owner);
                json_kv_id(&j, "cluster_id", c->cluster);
                json_kv_id(&j, "other_id", c->other);
                json_kv_str(&j, "name", c->name);
                json_kv_fixed(&j, "similarity", (double)c->similarity, 4);
                json_end(&j);
        }
        json_end(&j);
        json_end(&j);
        answer_end(r, 200, &b);
}

void post_organise(struct http_request *r)
{
        struct json *doc = body_object(r);
        if (!doc)
                return;
        const struct json *v = json_get(doc, "dry_run");
        bool ok = body_members(r, doc, "dry_run"), dry = json_bool(v);
        if (ok && v && !json_is_bool(v)) {
                http_reply_error(r, 400, "invalid", NULL, "dry_run: must be true or false");
                ok = false;
        }
        json_free(doc);
        if (ok)
                reply_organised(r, dry);
}

void get_merge_candidates(struct http_request *r)
{
        reply_organised(r, true);
}

/* ---- counts and settings --------------------------------------------------------------------- */

void get_stats(struct http_request *r)
{
        struct err e;
        struct buf b;
        buf_init(&b, 64 << 10);
        if (admin_stats(api_of(r)->o.admin, bound_owner(r), &b, &e)) {
                buf_done(&b);
                http_reply_err(r, &e);
                return;
        }
        answer_end(r, 200, &b);
}

void get_cluster_statistics(struct http_request *r)
{
        struct catalog_counts c;
        struct err e;
        struct buf b;
        struct json_out j;
        if (catalog_counts(api_of(r)->o.catalog, bound_owner(r), &c, &e)) {
                http_reply_err(r, &e);
                return;
        }
        uint64_t media = 0;
        for (int s = 0; s < ASSET_STATUS_COUNT; s++)
                media += c.assets[KIND_MEDIA][s];
        answer_begin(&j, &b);
        json_obj(&j);
        json_kv_int(&j, "clusters", (int64_t)c.clusters);
        json_kv_int(&j, "media", (int64_t)media);
        json_kv_int(&j, "unsorted", (int64_t)c.unsorted);
        json_kv_int(&j, "sorted", (int64_t)(media > c.unsorted ? media - c.unsorted : 0));
        json_end(&j);
        answer_end(r, 200, &b);
}

void get_config(struct http_request *r)
{
        struct buf b;
        buf_init(&b, 256 << 10);
        admin_config(api_of(r)->o.admin, &b);
        answer_end(r, 200, &b);
}
