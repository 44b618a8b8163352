/* SPDX-License-Identifier: Apache-2.0 */
/* Assets: list, show, change, trash, and their history. */
#include <string.h>

#include "api/api_priv.h"
#include "catalog/catalog_asset.h"

static bool arg_kinds(struct http_request *r, const char *name, uint32_t *kinds)
{
        static const char *const words[] = {"media", "document", "json", "file", "all"};
        int k;
        if (!arg_word(r, name, words, COUNT_OF(words), 4, &k))
                return false;
        *kinds = k == 4 ? 0 : 1u << k;
        return true;
}

static bool arg_cluster(struct http_request *r, struct asset_filter *f)
{
        const char *v = http_query(r, "cluster_id");
        if (!v)
                return true;
        struct id *id = arena_alloc(http_arena(r), sizeof *id);
        /* "none": what is in no folder. */
        if (id && strcmp(v, "none") && !id_parse(span_of(v), id)) {
                http_reply_error(r, 400, "invalid", NULL, "cluster_id: '%.80s' is not a UUID or none", v);
                return false;
        }
        f->cluster_id = id;
        return true;
}

static bool arg_sha256(struct http_request *r, struct asset_filter *f)
{
        const char *v = http_query(r, "sha256");
        if (!v)
                return true;
        struct sha256 *h = arena_alloc(http_arena(r), sizeof *h);
        if (!h || !sha256_parse(span_of(v), h)) {
                http_reply_error(r, 400, "invalid", NULL, "sha256: '%.80s' is not 64 hexadecimal digits", v);
                return false;
        }
        f->sha256 = h;
        return true;
}

static bool filter_of(struct http_request *r, struct asset_filter *f)
{
        static const char *const statuses[] = {"queued", "processing", "done", "failed"};
        int status;
        memset(f, 0, sizeof *f);
        if (!arg_owner(r, &f->owner) || !arg_kinds(r, "kind", &f->kinds) || !arg_cluster(r, f) || !arg_sha256(r, f) ||
            !arg_list(r, "tag", 20, &f->tags, &f->ntags) ||
            !arg_word(r, "status", statuses, COUNT_OF(statuses), -1, &status) ||
            !arg_time(r, "created_after", &f->after) || !arg_time(r, "created_before", &f->before))
                return false;
        f->statuses = status < 0 ? 0 : 1u << status;
        f->content_type = http_query(r, "content_type");
        f->name = http_query(r, "name");
        return true;
}

static void reply_page(struct http_request *r, const struct asset_filter *f, enum asset_sort sort)
{
        unsigned limit;
        struct err e;
        struct asset_page page;
        struct buf b;
        struct json_out j;
        if (!arg_uint(r, "limit", 1, 500, 50, &limit))
                return;
        if (catalog_asset_list(api_of(r)->o.catalog, f, sort, limit, http_query(r, "cursor"), http_arena(r), &page,
                               &e)) {
                http_reply_err(r, &e);
                return;
        }
        answer_begin(&j, &b);
        json_obj(&j);
        json_key(&j, "objects");
        json_arr(&j);
        for (size_t i = 0; i < page.n; i++)
                view_asset(r, &j, &page.assets[i]);
        json_end(&j);
        json_kv_int(&j, "total", (int64_t)page.total);
        json_kv_str(&j, "next_cursor", page.next);
        json_end(&j);
        answer_end(r, 200, &b);
}

static bool arg_sort(struct http_request *r, enum asset_sort *sort)
{
        static const char *const words[] = {"-created_at", "created_at",  "filename",
                                            "-filename",   "-size_bytes", "size_bytes"};
        int s;
        if (!arg_word(r, "sort", words, COUNT_OF(words), 0, &s))
                return false;
        *sort = (enum asset_sort)s;
        return true;
}

void get_objects(struct http_request *r)
{
        struct asset_filter f;
        enum asset_sort sort;
        if (filter_of(r, &f) && arg_sort(r, &sort))
                reply_page(r, &f, sort);
}

void get_trash(struct http_request *r)
{
        struct asset_filter f;
        enum asset_sort sort;
        if (!filter_of(r, &f) || !arg_sort(r, &sort))
                return;
        f.trashed = true;
        reply_page(r, &f, sort);
}

static void reply_asset(struct http_request *r, unsigned status, struct id id)
{
        struct err e;
        struct asset a;
        struct buf b;
        struct json_out j;
        if (catalog_asset_get(api_of(r)->o.catalog, id, bound_owner(r), http_arena(r), &a, &e)) {
                http_reply_err(r, &e);
                return;
        }
        answer_begin(&j, &b);
        view_asset(r, &j, &a);
        answer_end(r, status, &b);
}

void get_object(struct http_request *r)
{
        struct id id;
        if (arg_id(r, "id", &id))
                reply_asset(r, 200, id);
}

/* ---- PATCH -------------------------------------------------------------------------------- */

static bool patch_text(struct http_request *r, const struct json *doc, const char *name, size_t max, bool *set,
                       const char **out)
{
        const struct json *v = json_get(doc, name);
        if (!v)
                return true;
        *set = true;
        *out = NULL;
        if (json_is_null(v))
                return true;
        struct span s = json_span(v);
        if (!json_is_string(v) || s.n > max || memchr(s.p, '\0', s.n)) {
                http_reply_error(r, 400, "invalid", NULL, "%s: must be a string of at most %zu bytes or null", name,
                                 max);
                return false;
        }
        *out = s.n ? arena_strndup(http_arena(r), s) : NULL;
        return true;
}

static bool patch_filename(struct http_request *r, const struct json *doc, struct asset_patch *p)
{
        const struct json *v = json_get(doc, "filename");
        char clean[NAME_MAX_BYTES + 1];
        struct err e;
        if (!v)
                return true;
        if (!json_is_string(v) || !json_span(v).n) {
                http_reply_error(r, 400, "invalid", NULL, "filename: must be a string that is not empty");
                return false;
        }
        if (filename_clean(json_span(v), clean, &e)) {
                http_reply_err(r, &e);
                return false;
        }
        p->filename = arena_strdup(http_arena(r), clean);
        return true;
}

static bool patch_tags(struct http_request *r, const struct json *doc, struct asset_patch *p)
{
        const struct json *v = json_get(doc, "tags");
        size_t n = json_count(v);
        if (!v)
                return true;
        const char **tags = arena_array(http_arena(r), n + 1, sizeof *tags);
        bool ok = json_is_array(v) && n <= 100 && tags;
        for (size_t i = 0; ok && i < n; i++) {
                struct span s = span_trim(json_span(json_at(v, i)));
                ok = s.n > 0 && s.n <= 100 && !memchr(s.p, '\0', s.n);
                tags[i] = ok ? arena_strndup(http_arena(r), s) : NULL;
        }
        if (!ok) {
                http_reply_error(r, 400, "invalid", NULL,
                                 "tags: must be an array of at most 100 strings of 1 to 100 bytes");
                return false;
        }
        p->set_tags = true;
        p->tags = tags;
        p->ntags = n;
        return true;
}

static bool patch_cluster_id(struct http_request *r, const struct json *doc, struct asset_patch *p)
{
        const struct json *v = json_get(doc, "cluster_id");
        if (!v)
                return true;
        p->set_cluster = true;
        if (json_is_null(v) || id_parse(json_span(v), &p->cluster_id))
                return true;
        http_reply_error(r, 400, "invalid", NULL, "cluster_id: must be a UUID or null");
        return false;
}

void patch_object(struct http_request *r)
{
        struct id id;
        struct err e;
        struct asset_patch p = {0};
        struct json *doc;
        if (!arg_id(r, "id", &id) || !(doc = body_object(r)))
                return;
        bool ok = body_members(r, doc, "filename,tags,comments,cluster_id") && patch_filename(r, doc, &p) &&
                  patch_text(r, doc, "comments", 10000, &p.set_comments, &p.comments) && patch_tags(r, doc, &p) &&
                  patch_cluster_id(r, doc, &p);
        json_free(doc);
        if (!ok)
                return;
        if (catalog_asset_patch(api_of(r)->o.catalog, id, bound_owner(r), &p, actor_of(r), NULL, &e))
                http_reply_err(r, &e);
        else
                reply_asset(r, 200, id);
}

/* ---- trash ----------------------------------------------------------------------------------- */

void delete_object(struct http_request *r)
{
        struct id id;
        struct err e;
        bool permanent;
        if (!arg_id(r, "id", &id) || !arg_bool(r, "permanent", false, &permanent))
                return;
        if (permanent && http_caller(r)->scope != HTTP_SCOPE_ADMIN) {
                http_reply_error(r, 403, "forbidden", NULL, "permanent: needs a key of scope admin");
                return;
        }
        int rc = permanent ? catalog_asset_purge(api_of(r)->o.catalog, id, bound_owner(r), actor_of(r), &e)
                           : catalog_asset_trash(api_of(r)->o.catalog, id, bound_owner(r), actor_of(r), &e);
        if (rc)
                http_reply_err(r, &e);
        else
                http_reply(r, 204, NULL, (struct span){0});
}

void restore_object(struct http_request *r)
{
        struct id id;
        struct err e;
        if (!arg_id(r, "id", &id))
                return;
        if (catalog_asset_restore(api_of(r)->o.catalog, id, bound_owner(r), actor_of(r), &e))
                http_reply_err(r, &e);
        else
                reply_asset(r, 200, id);
}

void reprocess_object(struct http_request *r)
{
        struct id id;
        struct err e;
        if (!arg_id(r, "id", &id))
                return;
        if (ingest_reprocess(api_of(r)->o.ingest, id, bound_owner(r), actor_of(r), &e)) {
                if (e.code == ERR_UNSUPPORTED)
                        http_reply_error(r, 422, "not_analysable", NULL, "%s", e.msg);
                else
                        http_reply_err(r, &e);
        } else
                reply_asset(r, 202, id);
}

void get_lineage(struct http_request *r)
{
        struct id id;
        struct err e;
        struct lineage_entry *entries;
        size_t n;
        struct buf b;
        struct json_out j;
        if (!arg_id(r, "id", &id))
                return;
        if (catalog_lineage(api_of(r)->o.catalog, id, bound_owner(r), http_arena(r), &entries, &n, &e)) {
                http_reply_err(r, &e);
                return;
        }
        answer_begin(&j, &b);
        json_obj(&j);
        json_kv_id(&j, "id", id);
        json_key(&j, "lineage");
        json_arr(&j);
        for (size_t i = 0; i < n; i++) {
                json_obj(&j);
                json_kv_wall(&j, "at", entries[i].at);
                json_kv_str(&j, "action", entries[i].action);
                json_kv_str(&j, "actor", entries[i].actor);
                json_kv_raw(&j, "detail", entries[i].detail);
                json_end(&j);
        }
        json_end(&j);
        json_end(&j);
        answer_end(r, 200, &b);
}
