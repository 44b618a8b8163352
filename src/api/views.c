/* SPDX-License-Identifier: Apache-2.0 */
/* How assets, folders, jobs and hits look in JSON: one place for each shape of API.md. */
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"
#include "jobs/jobs.h"

#define ANSWER_MAX (32u << 20)

void answer_begin(struct json_out *j, struct buf *b)
{
        buf_init(b, ANSWER_MAX);
        json_out_init(j, b);
}

void answer_end(struct http_request *r, unsigned status, struct buf *b)
{
        http_reply_json(r, status, b);
        buf_done(b);
}

/* Tags and cluster: shared by assets and hits. */
static void view_asset_refs(struct json_out *j, const struct asset *a)
{
        json_key(j, "cluster");
        if (id_is_nil(a->cluster_id)) {
                json_put_null(j);
        } else {
                json_obj(j);
                json_kv_id(j, "id", a->cluster_id);
                json_kv_str(j, "name", a->cluster_name);
                json_kv_bool(j, "provisional", a->cluster_provisional);
                if (a->cluster_similarity >= 0)
                        json_kv_fixed(j, "similarity", (double)a->cluster_similarity, 4);
                else
                        json_kv_null(j, "similarity");
                json_end(j);
        }
        json_key(j, "tags");
        json_arr(j);
        for (size_t i = 0; i < a->ntags; i++) {
                json_obj(j);
                json_kv_str(j, "name", a->tags[i].name);
                json_kv_str(j, "source", tag_source_name(a->tags[i].source));
                json_kv_fixed(j, "confidence", (double)a->tags[i].confidence, 4);
                json_end(j);
        }
        json_end(j);
}

static bool is_place(const char *key)
{
        return !strncmp(key, "GPS", 3) || !strcmp(key, "gps") || !strcmp(key, "latitude") ||
               !strcmp(key, "longitude") || !strcmp(key, "altitude");
}

/* Copies a JSON value leaving out everything that tells where a picture was taken. */
static void put_without_places(struct json_out *j, const struct json *v)
{
        if (!json_is_object(v)) {
                struct buf b;
                buf_init(&b, 1 << 20);
                json_dump(v, &b);
                json_put_raw(j, buf_failed(&b) ? NULL : buf_str(&b));
                buf_done(&b);
                return;
        }
        json_obj(j);
        for (void *it = json_iter(v); it; it = json_next(v, it)) {
                if (is_place(json_iter_key(it)))
                        continue;
                json_key(j, json_iter_key(it));
                put_without_places(j, json_iter_value(it));
        }
        json_end(j);
}

/*
 * Fields that a vision-language model has not filled (yet): they are present all the same, and vlm_model null says
 * that no model looked.
 */
static void put_unsaid(struct json_out *j, const struct json *doc)
{
        static const struct {
                const char *name, *value;
        } unsaid[] = {{"exif", "{}"},          {"color_palette", "[]"},
                      {"description", "\"\""}, {"detected_objects", "[]"},
                      {"scene_type", "\"\""},  {"vlm_model", "null"}};
        for (size_t i = 0; i < COUNT_OF(unsaid); i++) {
                if (json_get(doc, unsaid[i].name))
                        continue;
                json_key(j, unsaid[i].name);
                json_put_raw(j, unsaid[i].value);
        }
}

static bool tells_of_analysis(const char *name)
{
        return strcmp(name, "analysis") == 0 || strcmp(name, "analysis_reason") == 0;
}

static void put_metadata(struct http_request *r, struct json_out *j, const struct asset *a)
{
        const char *metadata = a->metadata, *note = a->analysis_note;
        struct err e;
        struct json *doc = metadata ? json_parse(span_of(metadata), &e) : NULL;
        json_obj(j);
        for (void *it = json_iter(doc); it; it = json_next(doc, it)) {
                if (!api_of(r)->o.exif_gps && is_place(json_iter_key(it)))
                        continue;
                if (note && tells_of_analysis(json_iter_key(it))) /* that it has none is said below */
                        continue;
                json_key(j, json_iter_key(it));
                if (api_of(r)->o.exif_gps) {
                        struct buf b;
                        buf_init(&b, 1 << 20);
                        json_dump(json_iter_value(it), &b);
                        json_put_raw(j, buf_failed(&b) ? NULL : buf_str(&b));
                        buf_done(&b);
                } else {
                        put_without_places(j, json_iter_value(it));
                }
        }
        if (a->kind == KIND_MEDIA && a->status == ASSET_DONE && !note)
                put_unsaid(j, doc);
        json_free(doc);
        if (note) {
                json_kv_str(j, "analysis", "skipped");
                json_kv_str(j, "analysis_reason", note);
        }
        json_end(j);
}

/* The names without their endings, which tell the format only. */
static void put_products(struct json_out *j, const struct asset *a)
{
        struct span rest = span_of(a->products), name;
        json_key(j, "products");
        json_arr(j);
        while (product_next(&rest, &name)) {
                char text[STORAGE_DERIVED_NAME_LEN];
                snprintf(text, sizeof text, "%.*s", (int)name.n, name.p);
                text[strcspn(text, ".")] = '\0';
                json_put_str(j, text);
        }
        json_end(j);
}

static void put_near(struct json_out *j, const struct asset *a)
{
        json_key(j, "near_duplicates");
        json_arr(j);
        for (size_t i = 0; i < a->nnear; i++)
                json_put_id(j, a->near_duplicates[i]);
        json_end(j);
}

static void put_failure(struct json_out *j, const char *code, const char *message, const char *stage)
{
        json_key(j, "error");
        json_obj(j);
        json_kv_str(j, "code", code);
        json_kv_str(j, "message", message);
        json_kv_str(j, "stage", stage);
        json_end(j);
}

static void put_error(struct json_out *j, const struct asset *a)
{
        if (a->error)
                put_failure(j, a->error_code, a->error, a->stage);
        else
                json_kv_null(j, "error");
}

static void put_tasks(struct json_out *j, const struct asset *a)
{
        json_key(j, "tasks");
        json_arr(j);
        for (size_t i = 0; i < a->ntasks; i++) {
                const struct asset_task *t = &a->tasks[i];
                json_obj(j);
                json_kv_str(j, "purpose", task_purpose_name(t->purpose));
                json_kv_str(j, "status", asset_task_status(t->state));
                if (t->error)
                        put_failure(j, t->error_code, t->error, t->stage);
                if (t->attempts)
                        json_kv_int(j, "attempts", t->attempts);
                json_end(j);
        }
        json_end(j);
}

void view_asset(struct http_request *r, struct json_out *j, const struct asset *a)
{
        char uri[160], hex[SHA256_TEXT_LEN];
        storage_uri(api_of(r)->o.storage, a->sha256, uri, sizeof uri);
        json_obj(j);
        json_kv_id(j, "id", a->id);
        json_kv_id(j, "job_id", a->job_id);
        json_kv_str(j, "kind", asset_kind_name(a->kind));
        json_kv_str(j, "filename", a->filename);
        json_kv_str(j, "uri", uri);
        json_kv_str(j, "content_type", a->content_type);
        json_kv_int(j, "size_bytes", (int64_t)a->size);
        json_kv_str(j, "sha256", sha256_format(a->sha256, hex));
        json_kv_str(j, "owner", a->owner);
        json_kv_str(j, "comments", a->comments);
        json_kv_str(j, "status", asset_status_name(a->status));
        json_kv_str(j, "stage", a->stage);
        put_error(j, a);
        if (a->tasks)
                put_tasks(j, a);
        json_kv_wall(j, "created_at", a->created);
        json_kv_wall(j, "updated_at", a->updated);
        if (a->trashed.us)
                json_kv_wall(j, "trashed_at", a->trashed);
        view_asset_refs(j, a);
        json_kv_bool(j, "pinned", a->pinned);
        json_key(j, "embedding");
        if (a->model_id) {
                json_obj(j);
                json_kv_int(j, "dimension", a->dimension);
                json_kv_str(j, "model", a->model_id);
                json_end(j);
        } else {
                json_put_null(j);
        }
        json_kv_id(j, "duplicate_of", a->duplicate_of);
        put_near(j, a);
        put_products(j, a);
        json_key(j, "metadata");
        put_metadata(r, j, a);
        json_end(j);
}

void view_cluster(struct json_out *j, const struct cluster *c)
{
        json_obj(j);
        json_kv_id(j, "id", c->id);
        json_kv_str(j, "name", c->name);
        json_kv_str(j, "owner", c->owner);
        json_kv_str(j, "status", cluster_status_name(c->status));
        json_kv_bool(j, "provisional", c->status == CLUSTER_PROVISIONAL);
        json_kv_fixed(j, "threshold", (double)c->threshold, 4);
        json_kv_bool(j, "locked", c->locked);
        json_kv_int(j, "asset_count", (int64_t)c->asset_count);
        json_kv_id(j, "cover", c->cover);
        json_kv_wall(j, "created_at", c->created);
        json_kv_wall(j, "updated_at", c->updated);
        json_end(j);
}

static void view_job_asset(struct json_out *j, const struct asset *a)
{
        json_obj(j);
        json_kv_id(j, "system_id", a->id);
        json_kv_str(j, "filename", a->filename);
        json_kv_str(j, "status", asset_status_name(a->status));
        json_kv_str(j, "stage", a->stage);
        json_kv_id(j, "cluster_id", a->cluster_id);
        json_kv_null(j, "schema_id");
        put_error(j, a);
        json_end(j);
}

void view_job(struct json_out *j, const struct job_view *v, bool with_assets)
{
        json_obj(j);
        json_kv_id(j, "job_id", v->id);
        json_kv_str(j, "owner", v->owner);
        json_kv_str(j, "status", job_status_name(v->status));
        json_key(j, "progress");
        json_obj(j);
        json_kv_int(j, "queued", (int64_t)v->queued);
        json_kv_int(j, "processing", (int64_t)v->processing);
        json_kv_int(j, "done", (int64_t)v->done);
        json_kv_int(j, "failed", (int64_t)v->failed);
        json_kv_int(j, "total", (int64_t)v->total);
        json_end(j);
        if (with_assets) {
                json_key(j, "assets");
                json_arr(j);
                for (size_t i = 0; i < v->nassets; i++)
                        view_job_asset(j, &v->assets[i]);
                json_end(j);
        }
        json_kv_wall(j, "created_at", v->created);
        json_kv_wall(j, "updated_at", v->updated);
        json_key(j, "completed_at");
        if (v->completed.us)
                json_put_wall(j, v->completed);
        else
                json_put_null(j);
        json_end(j);
}

static void view_part(struct json_out *j, const struct search_hit *h)
{
        json_key(j, "part");
        json_obj(j);
        json_kv_str(j, "kind", part_kind_name(h->part));
        json_key(j, "time");
        if (h->part == PART_FRAME)
                json_put_fixed(j, (double)h->time_us / 1e6, 3);
        else
                json_put_null(j);
        json_key(j, "page");
        if (h->page)
                json_put_int(j, h->page);
        else
                json_put_null(j);
        json_end(j);
}

static void view_hit(struct http_request *r, struct json_out *j, const struct search_hit *h)
{
        const struct asset *a = h->asset;
        char uri[160], id[ID_TEXT_LEN];
        storage_uri(api_of(r)->o.storage, a->sha256, uri, sizeof uri);
        json_obj(j);
        json_kv_id(j, "id", a->id);
        json_kv_str(j, "kind", asset_kind_name(a->kind));
        json_kv_str(j, "filename", a->filename);
        json_kv_str(j, "uri", uri);
        json_kv_fixed(j, "similarity", (double)h->similarity, 4);
        json_key(j, "matched");
        json_obj(j);
        json_key(j, "vector");
        if (h->vector >= 0)
                json_put_fixed(j, (double)h->vector, 4);
        else
                json_put_null(j);
        json_kv_bool(j, "text", h->text);
        json_kv_bool(j, "tags", h->tags);
        json_kv_bool(j, "filename", h->filename);
        json_end(j);
        json_kv_str(j, "snippet", h->snippet);
        view_part(j, h);
        view_asset_refs(j, a);
        json_key(j, "thumbnail");
        if (*a->products) {
                char url[96];
                snprintf(url, sizeof url, "/api/v1/objects/%s/thumbnail", id_format(a->id, id));
                json_put_str(j, url);
        } else {
                json_put_null(j);
        }
        json_kv_str(j, "owner", a->owner);
        json_kv_str(j, "content_type", a->content_type);
        json_kv_int(j, "size_bytes", (int64_t)a->size);
        json_kv_wall(j, "created_at", a->created);
        json_end(j);
}

void view_search(struct http_request *r, struct json_out *j, const char *query, const struct search_result *s)
{
        json_obj(j);
        json_kv_str(j, "query", query);
        json_key(j, "results");
        json_arr(j);
        for (size_t i = 0; i < s->n; i++)
                view_hit(r, j, &s->hits[i]);
        json_end(j);
        json_kv_int(j, "total", (int64_t)s->total);
        json_kv_fixed(j, "threshold", (double)s->threshold, 4);
        json_kv_str(j, "model", s->model);
        json_kv_fixed(j, "query_time_ms", s->took_ms, 3);
        if (s->warming)
                json_kv_bool(j, "warming", true);
        json_end(j);
}
