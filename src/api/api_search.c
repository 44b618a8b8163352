/* SPDX-License-Identifier: Apache-2.0 */
/* Search by text (GET and POST), by an asset, and by a picture sent along. */
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"
#include "catalog/catalog_asset.h"

static const char *const type_words[] = {"media", "json", "document", "audio", "all"};
static const char *const mode_words[] = {"hybrid", "vector", "text"};
#define TYPE_ALL 4

static void set_type(struct asset_filter *f, int type)
{
        static const uint32_t kinds[] = {1u << KIND_MEDIA, 1u << KIND_JSON, 1u << KIND_DOCUMENT, 1u << KIND_FILE, 0};
        f->kinds = kinds[type];
        f->content_type = type == 3 ? "audio/" : NULL;
}

static bool common_args(struct http_request *r, struct search_query *q)
{
        const struct api_opts *o = &api_of(r)->o;
        int type, mode;
        memset(q, 0, sizeof *q);
        if (!arg_owner(r, &q->filter.owner) ||
            !arg_word(r, "type", type_words, COUNT_OF(type_words), TYPE_ALL, &type) ||
            !arg_word(r, "mode", mode_words, COUNT_OF(mode_words), SEARCH_HYBRID, &mode) ||
            !arg_uint(r, "limit", 1, o->search_max_limit, o->search_default_limit, &q->limit) ||
            !arg_uint(r, "offset", 0, 10000, 0, &q->offset) ||
            !arg_float(r, "threshold", 0, 1, o->search_default_threshold, &q->threshold) ||
            !arg_list(r, "tags", 20, &q->filter.tags, &q->filter.ntags))
                return false;
        const char *cluster = http_query(r, "cluster_id");
        if (cluster) {
                struct id *id = arena_alloc(http_arena(r), sizeof *id);
                if (!id || !id_parse(span_of(cluster), id)) {
                        http_reply_error(r, 400, "invalid", NULL, "cluster_id: '%.80s' is not a UUID", cluster);
                        return false;
                }
                q->filter.cluster_id = id;
        }
        set_type(&q->filter, type);
        q->mode = (enum search_mode)mode;
        return true;
}

static void reply_result(struct http_request *r, const char *query, int rc, const struct search_result *s,
                         const struct err *e)
{
        struct buf b;
        struct json_out j;
        if (rc) {
                http_reply_err(r, e);
                return;
        }
        answer_begin(&j, &b);
        view_search(r, &j, query, s);
        answer_end(r, 200, &b);
}

static void run_text(struct http_request *r, const struct search_query *q)
{
        struct search_result s;
        struct err e = {0};
        if (!q->text || !span_trim(span_of(q->text)).n) {
                http_reply_error(r, 400, "invalid", NULL, "query: empty; say what to look for");
                return;
        }
        if (strlen(q->text) > 1000) {
                http_reply_error(r, 400, "invalid", NULL, "query: %zu bytes, at most 1000 are allowed",
                                 strlen(q->text));
                return;
        }
        int rc = search_text(api_of(r)->o.search, q, http_arena(r), &s, &e);
        reply_result(r, q->text, rc, &s, &e);
}

void get_search(struct http_request *r)
{
        struct search_query q;
        if (!common_args(r, &q))
                return;
        q.text = http_query(r, "query");
        if (!q.text)
                q.text = http_query(r, "q");
        run_text(r, &q);
}

/* ---- POST /search: the same as JSON ----------------------------------------------------------- */

static int word_index(const char *v, const char *const *words, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (!strcmp(v, words[i]))
                        return (int)i;
        return -1;
}

static bool body_word(struct http_request *r, const struct json *o, const char *name, const char *const *words,
                      size_t n, int *out)
{
        const struct json *v = json_get(o, name);
        if (!v)
                return true;
        int i = json_is_string(v) ? word_index(json_str(v), words, n) : -1;
        if (i < 0) {
                http_reply_error(r, 400, "invalid", NULL, "%s: '%.60s' is not allowed here; see /api/docs", name,
                                 json_is_string(v) ? json_str(v) : "?");
                return false;
        }
        *out = i;
        return true;
}

static bool body_num(struct http_request *r, const struct json *o, const char *name, double min, double max, bool whole,
                     double *out)
{
        const struct json *v = json_get(o, name);
        if (!v)
                return true;
        if (!json_is_number(v) || (whole && !json_is_integer(v)) || json_num(v) < min || json_num(v) > max) {
                http_reply_error(r, 400, "invalid", NULL, "%s: must be a %snumber from %g to %g", name,
                                 whole ? "whole " : "", min, max);
                return false;
        }
        *out = json_num(v);
        return true;
}

static bool body_tags(struct http_request *r, const struct json *v, struct asset_filter *f)
{
        size_t n = json_count(v);
        const char **tags = arena_array(http_arena(r), n + 1, sizeof *tags);
        bool ok = tags && n <= 20;
        if (json_is_string(v)) {
                struct span rest = json_span(v), part;
                tags = arena_array(http_arena(r), 20, sizeof *tags);
                for (n = 0; tags && n < 20 && span_cut(&rest, ',', &part);)
                        if (span_trim(part).n)
                                tags[n++] = arena_strndup(http_arena(r), span_trim(part));
        } else {
                for (size_t i = 0; ok && i < n; i++) {
                        ok = json_is_string(json_at(v, i));
                        tags[i] = ok ? arena_strndup(http_arena(r), json_span(json_at(v, i))) : NULL;
                }
                ok = ok && json_is_array(v);
        }
        if (!ok) {
                http_reply_error(r, 400, "invalid", NULL, "tags: must be an array of at most 20 strings");
                return false;
        }
        f->tags = tags;
        f->ntags = n;
        return true;
}

static bool body_owner(struct http_request *r, const struct json *o, struct asset_filter *f)
{
        const char *v = json_get_str(o, "owner", NULL), *own = bound_owner(r);
        f->owner = own;
        if (!v || !*v)
                return true;
        if (!owner_valid(span_of(v))) {
                http_reply_error(r, 400, "invalid", NULL, "owner: '%.80s' is not 1-64 of A-Z a-z 0-9 . _ @ -", v);
                return false;
        }
        if (own && strcmp(own, v)) {
                http_reply_error(r, 403, "forbidden", NULL, "owner: this key sees only '%s'", own);
                return false;
        }
        f->owner = arena_strdup(http_arena(r), v);
        return true;
}

#define FILTER_MEMBERS "type,owner,cluster_id,tags"

/* Filters may stand at the top, as in GET, or inside "filters"; the inner one wins. */
static bool body_filters(struct http_request *r, const struct json *o, struct search_query *q, int *type)
{
        const struct json *cluster = json_get(o, "cluster_id"), *tags = json_get(o, "tags");
        if (!body_word(r, o, "type", type_words, COUNT_OF(type_words), type))
                return false;
        if ((json_get(o, "owner") || !q->filter.owner) && !body_owner(r, o, &q->filter))
                return false;
        if (tags && !body_tags(r, tags, &q->filter))
                return false;
        if (cluster && !json_is_null(cluster)) {
                struct id *id = arena_alloc(http_arena(r), sizeof *id);
                if (!id || !id_parse(json_span(cluster), id)) {
                        http_reply_error(r, 400, "invalid", NULL, "cluster_id: must be a UUID");
                        return false;
                }
                q->filter.cluster_id = id;
        }
        return true;
}

static bool query_of_body(struct http_request *r, const struct json *doc, struct search_query *q)
{
        const struct api_opts *o = &api_of(r)->o;
        double limit = o->search_default_limit, offset = 0, threshold = (double)o->search_default_threshold;
        int type = TYPE_ALL, mode = SEARCH_HYBRID;
        const struct json *filters = json_get(doc, "filters");
        memset(q, 0, sizeof *q);
        if (!body_members(r, doc, "query,limit,offset,threshold,mode,filters," FILTER_MEMBERS) ||
            !body_num(r, doc, "limit", 1, o->search_max_limit, true, &limit) ||
            !body_num(r, doc, "offset", 0, 10000, true, &offset) ||
            !body_num(r, doc, "threshold", 0, 1, false, &threshold) ||
            !body_word(r, doc, "mode", mode_words, COUNT_OF(mode_words), &mode) || !body_filters(r, doc, q, &type))
                return false;
        if (filters && (!body_members(r, filters, FILTER_MEMBERS) || !body_filters(r, filters, q, &type)))
                return false;
        set_type(&q->filter, type);
        q->limit = (unsigned)limit;
        q->offset = (unsigned)offset;
        q->threshold = (float)threshold;
        q->mode = (enum search_mode)mode;
        q->text = arena_strdup(http_arena(r), json_get_str(doc, "query", ""));
        return true;
}

void post_search(struct http_request *r)
{
        struct search_query q;
        struct json *doc = body_object(r);
        if (!doc)
                return;
        bool ok = query_of_body(r, doc, &q);
        json_free(doc);
        if (ok)
                run_text(r, &q);
}

/* ---- by example --------------------------------------------------------------------------------- */

void get_similar(struct http_request *r)
{
        struct id id;
        struct err e = {0};
        struct search_query q;
        struct search_result s;
        if (!arg_id(r, "id", &id) || !common_args(r, &q))
                return;
        /* The id of another owner's asset must look like an unknown one before any vector is read. */
        struct asset a;
        if (catalog_asset_get(api_of(r)->o.catalog, id, bound_owner(r), http_arena(r), &a, &e)) {
                http_reply_err(r, &e);
                return;
        }
        if (!q.filter.owner)
                q.filter.owner = a.owner;
        int rc = search_similar(api_of(r)->o.search, id, &q, http_arena(r), &s, &e);
        if (rc && e.code == ERR_NOT_FOUND) {
                http_reply_error(r, 422, "no_vector", NULL, "%s has no vector: it is %s%s%s", a.filename,
                                 asset_status_name(a.status), a.analysis_note ? "; " : "",
                                 a.analysis_note ? a.analysis_note : "");
                return;
        }
        reply_result(r, NULL, rc, &s, &e);
}

struct probe {
        struct multipart *mp;
        struct ingest_probe *image;
        struct search_query q;
        bool in_file, seen;
};

static void probe_end(void *state)
{
        struct probe *p = state;
        if (!p)
                return;
        multipart_free(p->mp);
        ingest_probe_free(p->image);
        mem_free(p);
}

static int probe_part_begin(void *ctx, const struct multipart_part *part, struct err *e)
{
        struct probe *p = ctx;
        if (strcmp(part->name, "file") && strcmp(part->name, "files"))
                return err_set(e, ERR_INVALID, "unknown field '%.60s'; allowed: file", part->name);
        if (p->seen)
                return err_set(e, ERR_INVALID, "file: only one picture may be sent");
        p->seen = true;
        return 0;
}

static int probe_part_data(void *ctx, struct span bytes, struct err *e)
{
        return ingest_probe_data(((struct probe *)ctx)->image, bytes, e);
}

static int probe_part_end(void *ctx, struct err *e)
{
        (void)ctx;
        (void)e;
        return 0;
}

static void *probe_begin(struct http_request *r)
{
        static const struct multipart_events ev = {probe_part_begin, probe_part_data, probe_part_end};
        static const struct multipart_limits lim = {.max_parts = 4, .max_header_bytes = 8192};
        struct err e;
        const char *type = http_header(r, "Content-Type");
        struct search_query q;
        if (!common_args(r, &q))
                return NULL;
        struct probe *p = mem_calloc(1, sizeof *p);
        if (!p) {
                http_reply_error(r, 503, "oom", NULL, "out of memory");
                return NULL;
        }
        p->q = q;
        if (ingest_probe_begin(api_of(r)->o.ingest, &p->image, &e) ||
            multipart_new(span_of(type), &lim, &ev, p, &p->mp, &e)) {
                probe_end(p);
                http_reply_err(r, &e);
                return NULL;
        }
        return p;
}

static int probe_data(struct http_request *r, void *state, struct span bytes)
{
        struct probe *p = state;
        struct err e;
        if (multipart_feed(p->mp, bytes, &e) == 0)
                return 0;
        http_reply_err(r, &e);
        return -1;
}

static void probe_finish(struct http_request *r, void *state)
{
        struct probe *p = state;
        struct err e = {0};
        struct search_result s;
        float *v = arena_array(http_arena(r), api_of(r)->o.embed_dim, sizeof *v);
        if (!v) {
                http_reply_error(r, 503, "oom", NULL, "out of memory");
                return;
        }
        if (multipart_finish(p->mp, &e) || ingest_probe_image(p->image, v, &e)) {
                http_reply_err(r, &e);
                return;
        }
        int rc = search_vector(api_of(r)->o.search, v, &p->q, http_arena(r), &s, &e);
        reply_result(r, NULL, rc, &s, &e);
}

const struct http_stream search_image_stream = {
        .begin = probe_begin, .data = probe_data, .finish = probe_finish, .end = probe_end};
