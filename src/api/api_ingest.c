/* SPDX-License-Identifier: Apache-2.0 */
/* POST /ingest and PUT /files/{name}: body bytes to the ingest service as they come, and the state of jobs. */
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"
#include "catalog/catalog_ingest.h"
#include "jobs/jobs.h"
#include "metrics/metrics.h"

struct upload {
        struct http_request *r;
        struct ingest_request *req;
        struct multipart *mp;
        bool in_file, skip; /* skip: a file input of a form that was left empty */
        char field[64];     /* the plain field under way */
        struct buf value;
};

#define FIELD_MAX (64u << 10)

static void count_ingest(struct http_request *r, const char *type, const char *status)
{
        (void)r;
        metrics_add(METRIC_INGEST_REQUESTS, 1, type, status);
}

static void upload_end(void *state)
{
        struct upload *u = state;
        if (!u)
                return;
        multipart_free(u->mp);
        ingest_free(u->req);
        buf_done(&u->value);
        mem_free(u);
}

static struct upload *upload_new(struct http_request *r, struct err *e)
{
        struct upload *u = mem_calloc(1, sizeof *u);
        const struct http_caller *c = http_caller(r);
        struct ingest_caller who = {
                .owner = c->owner, .key_id = c->key_id, .idempotency_key = http_header(r, "Idempotency-Key")};
        if (!u) {
                err_oom(e);
                return NULL;
        }
        u->r = r;
        buf_init(&u->value, FIELD_MAX);
        if (ingest_begin(api_of(r)->o.ingest, &who, &u->req, e)) {
                upload_end(u);
                return NULL;
        }
        return u;
}

/* ---- multipart events ------------------------------------------------------------------ */

static bool is_file_field(const char *name)
{
        return !strcmp(name, "files") || !strcmp(name, "files[]") || !strcmp(name, "file");
}

static int part_begin(void *ctx, const struct multipart_part *p, struct err *e)
{
        struct upload *u = ctx;
        u->in_file = u->skip = false;
        buf_reset(&u->value);
        if (p->filename || is_file_field(p->name)) {
                if (!is_file_field(p->name))
                        return err_set(e, ERR_INVALID, "a file came in field '%.60s'; allowed: files, files[], file",
                                       p->name);
                u->in_file = true;
                /* Browsers send an empty name for a file input nobody filled. */
                u->skip = p->filename && !*p->filename;
                return u->skip ? 0 : ingest_file_begin(u->req, p->filename ? p->filename : "", p->content_type, e);
        }
        if (!*p->name)
                return err_set(e, ERR_INVALID,
                               "a part has no name; allowed: files, owner, comments, tags, folder, idempotency_key");
        int n = snprintf(u->field, sizeof u->field, "%s", p->name);
        if (n < 0 || (size_t)n >= sizeof u->field)
                return err_set(e, ERR_INVALID, "field name '%.60s…' is too long", p->name);
        return 0;
}

static int part_data(void *ctx, struct span bytes, struct err *e)
{
        struct upload *u = ctx;
        if (u->in_file)
                return u->skip ? err_set(e, ERR_INVALID, "files: a part has bytes but an empty filename")
                               : ingest_file_data(u->req, bytes, e);
        buf_put(&u->value, bytes.p, bytes.n);
        if (buf_failed(&u->value) && u->value.n + bytes.n <= FIELD_MAX)
                return err_oom(e);
        return buf_failed(&u->value)
                       ? err_set(e, ERR_TOO_LARGE, "field '%s' is larger than %u bytes", u->field, FIELD_MAX)
                       : 0;
}

static int part_end(void *ctx, struct err *e)
{
        struct upload *u = ctx;
        if (u->in_file)
                return u->skip ? 0 : ingest_file_end(u->req, e);
        return ingest_field(u->req, u->field, buf_span(&u->value), e);
}

static const struct multipart_events events = {part_begin, part_data, part_end};
static const struct multipart_limits limits = {.max_parts = 1000, .max_header_bytes = 8192};

/* ---- POST /ingest ------------------------------------------------------------------------ */

static void refuse_ingest(struct http_request *r, const char *type, const struct err *e)
{
        bool ours = e->code == ERR_IO || e->code == ERR_OOM || e->code == ERR_INTERNAL || e->code == ERR_NO_SPACE;
        count_ingest(r, type, ours ? "error" : "rejected");
        http_reply_err(r, e);
}

static void *ingest_stream_begin(struct http_request *r)
{
        struct err e;
        const char *type = http_header(r, "Content-Type");
        if (!type || strncasecmp(type, "multipart/form-data", 19)) {
                count_ingest(r, "multipart", "rejected");
                http_reply_error(r, 415, "unsupported", NULL, "Content-Type: '%.80s' is not multipart/form-data",
                                 type ? type : "");
                return NULL;
        }
        struct upload *u = upload_new(r, &e);
        if (!u || multipart_new(span_of(type), &limits, &events, u, &u->mp, &e)) {
                upload_end(u);
                refuse_ingest(r, "multipart", &e);
                return NULL;
        }
        return u;
}

static int ingest_stream_data(struct http_request *r, void *state, struct span bytes)
{
        struct upload *u = state;
        struct err e;
        if (multipart_feed(u->mp, bytes, &e) == 0)
                return 0;
        refuse_ingest(r, "multipart", &e);
        return -1;
}

static void reply_receipt(struct http_request *r, const struct job_receipt *rc)
{
        struct buf b;
        struct json_out j;
        answer_begin(&j, &b);
        json_obj(&j);
        json_kv_id(&j, "job_id", rc->job_id);
        json_key(&j, "system_ids");
        json_arr(&j);
        for (size_t i = 0; i < rc->nassets; i++)
                json_put_id(&j, rc->assets[i]);
        json_end(&j);
        json_kv_str(&j, "status", "accepted");
        json_kv_str(&j, "request_id", http_request_id(r));
        json_kv_wall(&j, "created_at", rc->created);
        json_key(&j, "duplicates");
        json_arr(&j);
        for (size_t i = 0; i < rc->nduplicates; i++) {
                json_obj(&j);
                json_kv_id(&j, "system_id", rc->duplicates[i].asset);
                json_kv_id(&j, "of", rc->duplicates[i].of);
                json_end(&j);
        }
        json_end(&j);
        json_end(&j);
        if (rc->replayed)
                http_add_header(r, "Idempotency-Replayed", "true");
        char location[96], id[ID_TEXT_LEN];
        snprintf(location, sizeof location, "/api/v1/ingest/%s/status", id_format(rc->job_id, id));
        http_add_header(r, "Location", location);
        answer_end(r, 202, &b);
}

static void commit_upload(struct http_request *r, struct upload *u, const char *type)
{
        struct err e;
        struct job_receipt rc = {0};
        if (ingest_commit(u->req, http_arena(r), &rc, &e)) {
                if (rc.other_content) {
                        char id[ID_TEXT_LEN], details[96];
                        snprintf(details, sizeof details, "{\"existing_job_id\":\"%s\"}", id_format(rc.job_id, id));
                        count_ingest(r, type, "rejected");
                        http_reply_error(r, 409, "conflict", details,
                                         "idempotency_key: was used with other content by job %s", id);
                        return;
                }
                refuse_ingest(r, type, &e);
                return;
        }
        count_ingest(r, type, rc.replayed ? "replayed" : "accepted");
        reply_receipt(r, &rc);
        metrics_observe(METRIC_INGEST_LATENCY, dur_seconds(mono_since(http_body_end(r))), type);
}

static void ingest_stream_finish(struct http_request *r, void *state)
{
        struct upload *u = state;
        struct err e;
        if (multipart_finish(u->mp, &e))
                refuse_ingest(r, "multipart", &e);
        else
                commit_upload(r, u, "multipart");
}

const struct http_stream ingest_stream = {
        .begin = ingest_stream_begin, .data = ingest_stream_data, .finish = ingest_stream_finish, .end = upload_end};

/* ---- PUT /files/{name} --------------------------------------------------------------------- */

static int query_fields(struct http_request *r, struct upload *u, struct err *e)
{
        static const char *const names[] = {"owner", "comments", "folder", "tags"};
        for (size_t i = 0; i < COUNT_OF(names); i++) {
                const char *v;
                for (size_t k = 0; (v = http_query_nth(r, names[i], k)); k++)
                        if (ingest_field(u->req, names[i], span_of(v), e))
                                return -1;
        }
        return 0;
}

static void *put_begin(struct http_request *r)
{
        struct err e;
        struct upload *u = upload_new(r, &e);
        if (!u || query_fields(r, u, &e) ||
            ingest_file_begin(u->req, http_path_param(r, "name"), http_header(r, "Content-Type"), &e)) {
                upload_end(u);
                refuse_ingest(r, "put", &e);
                return NULL;
        }
        return u;
}

static int put_data(struct http_request *r, void *state, struct span bytes)
{
        struct upload *u = state;
        struct err e;
        if (ingest_file_data(u->req, bytes, &e) == 0)
                return 0;
        refuse_ingest(r, "put", &e);
        return -1;
}

static void put_finish(struct http_request *r, void *state)
{
        struct upload *u = state;
        struct err e;
        if (ingest_file_end(u->req, &e))
                refuse_ingest(r, "put", &e);
        else
                commit_upload(r, u, "put");
}

const struct http_stream put_file_stream = {
        .begin = put_begin, .data = put_data, .finish = put_finish, .end = upload_end};

/* ---- jobs ------------------------------------------------------------------------------------- */

void get_job_status(struct http_request *r)
{
        struct id id;
        struct err e;
        struct job_view v;
        struct buf b;
        struct json_out j;
        if (!arg_id(r, "job_id", &id))
                return;
        if (catalog_job_get(api_of(r)->o.catalog, id, bound_owner(r), http_arena(r), &v, &e)) {
                http_reply_err(r, &e);
                return;
        }
        answer_begin(&j, &b);
        view_job(&j, &v, true);
        answer_end(r, 200, &b);
}

void get_jobs(struct http_request *r)
{
        static const char *const words[] = {"queued", "processing", "done", "failed", "partial"};
        const char *owner, *next;
        int status;
        unsigned limit;
        struct err e;
        struct job_view *jobs;
        size_t n;
        struct buf b;
        struct json_out j;
        if (!arg_owner(r, &owner) || !arg_word(r, "status", words, COUNT_OF(words), -1, &status) ||
            !arg_uint(r, "limit", 1, 500, 50, &limit))
                return;
        if (catalog_job_list(api_of(r)->o.catalog, owner, status, limit, http_query(r, "cursor"), http_arena(r), &jobs,
                             &n, &next, &e)) {
                http_reply_err(r, &e);
                return;
        }
        answer_begin(&j, &b);
        json_obj(&j);
        json_key(&j, "jobs");
        json_arr(&j);
        for (size_t i = 0; i < n; i++)
                view_job(&j, &jobs[i], false);
        json_end(&j);
        json_kv_str(&j, "next_cursor", next);
        json_end(&j);
        answer_end(r, 200, &b);
}
