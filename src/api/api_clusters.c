/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders: list, show, create, change, merge. The admin route of an action has the same body, so both share the code.
 */
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"
#include "catalog/catalog_asset.h"
#include "folders/folders.h"

/* Replies 308 to the survivor of a merge, or the error. */
static void reply_gone(struct http_request *r, struct id survivor, const struct err *e)
{
        char where[96], id[ID_TEXT_LEN];
        if (e->code != ERR_NOT_FOUND || id_is_nil(survivor)) {
                http_reply_err(r, e);
                return;
        }
        bool admin = !strncmp(http_route_of(r)->path, "/api/v1/admin/", 14);
        snprintf(where, sizeof where, "/api/v1/%sclusters/%s", admin ? "admin/" : "", id_format(survivor, id));
        http_reply_redirect(r, 308, where);
}

static bool load_cluster(struct http_request *r, struct cluster *c)
{
        struct id id, survivor = {0};
        struct err e;
        if (!arg_id(r, "id", &id))
                return false;
        if (catalog_cluster_get(api_of(r)->o.catalog, id, bound_owner(r), http_arena(r), c, &survivor, &e)) {
                reply_gone(r, survivor, &e);
                return false;
        }
        return true;
}

void get_clusters(struct http_request *r)
{
        static const char *const statuses[] = {"provisional", "active"}, *const sorts[] = {"name", "-asset_count",
                                                                                           "-updated_at",
                                                                                           "-created_at"};
        struct cluster_filter f;
        struct cluster *list;
        size_t n;
        uint64_t total;
        const char *next;
        int sort;
        unsigned limit;
        struct err e;
        struct buf b;
        struct json_out j;
        if (!arg_owner(r, &f.owner) || !arg_word(r, "status", statuses, COUNT_OF(statuses), -1, &f.status) ||
            !arg_word(r, "sort", sorts, COUNT_OF(sorts), CLUSTERS_BY_COUNT, &sort) ||
            !arg_uint(r, "limit", 1, 500, 100, &limit))
                return;
        if (catalog_cluster_list(api_of(r)->o.catalog, &f, (enum cluster_sort)sort, limit, http_query(r, "cursor"),
                                 http_arena(r), &list, &n, &total, &next, &e)) {
                http_reply_err(r, &e);
                return;
        }
        answer_begin(&j, &b);
        json_obj(&j);
        json_key(&j, "clusters");
        json_arr(&j);
        for (size_t i = 0; i < n; i++)
                view_cluster(&j, &list[i]);
        json_end(&j);
        json_kv_int(&j, "total", (int64_t)total);
        json_kv_str(&j, "next_cursor", next);
        json_end(&j);
        answer_end(r, 200, &b);
}

static void reply_cluster(struct http_request *r, unsigned status, const struct cluster *c,
                          const struct asset_page *page)
{
        struct buf b;
        struct json_out j;
        answer_begin(&j, &b);
        json_obj(&j);
        json_key(&j, "cluster");
        view_cluster(&j, c);
        if (page) {
                json_key(&j, "assets");
                json_arr(&j);
                for (size_t i = 0; i < page->n; i++)
                        view_asset(r, &j, &page->assets[i]);
                json_end(&j);
                json_kv_int(&j, "total", (int64_t)page->total);
                json_kv_str(&j, "next_cursor", page->next);
        }
        json_end(&j);
        answer_end(r, status, &b);
}

void get_cluster(struct http_request *r)
{
        struct cluster c;
        struct asset_page page;
        struct err e;
        unsigned limit;
        if (!load_cluster(r, &c) || !arg_uint(r, "limit", 1, 500, 50, &limit))
                return;
        struct asset_filter f = {.owner = c.owner, .cluster_id = &c.id};
        if (catalog_asset_list(api_of(r)->o.catalog, &f, SORT_CREATED_DESC, limit, http_query(r, "cursor"),
                               http_arena(r), &page, &e))
                http_reply_err(r, &e);
        else
                reply_cluster(r, 200, &c, &page);
}

static bool name_of(struct http_request *r, const struct json *doc, bool required, const char **out)
{
        const struct json *v = json_get(doc, "name");
        char clean[NAME_MAX_BYTES + 1];
        struct err e;
        *out = NULL;
        if ((!v || json_is_null(v)) && !required)
                return true;
        struct span s = span_trim(json_span(v));
        if (!json_is_string(v) || !s.n || s.n > 120 || filename_clean(s, clean, &e) || !span_eq(s, clean)) {
                http_reply_error(r, 400, "invalid", NULL,
                                 "name: must be a string of 1 to 120 bytes without slashes or control characters");
                return false;
        }
        *out = arena_strdup(http_arena(r), clean);
        return true;
}

void post_cluster(struct http_request *r)
{
        struct json *doc = body_object(r);
        const char *name, *owner = bound_owner(r);
        struct id id;
        struct err e;
        struct cluster c;
        if (!doc)
                return;
        bool ok = body_members(r, doc, "name,owner") && name_of(r, doc, true, &name);
        const char *asked = arena_strdup(http_arena(r), json_get_str(doc, "owner", owner ? owner : DEFAULT_OWNER));
        json_free(doc);
        if (!ok)
                return;
        if (!asked || !owner_valid(span_of(asked))) {
                http_reply_error(r, 400, "invalid", NULL, "owner: '%.80s' is not 1-64 of A-Z a-z 0-9 . _ @ -",
                                 asked ? asked : "");
                return;
        }
        if (owner && strcmp(owner, asked)) {
                http_reply_error(r, 403, "forbidden", NULL, "owner: this key may write only as '%s'", owner);
                return;
        }
        if (catalog_cluster_create(api_of(r)->o.catalog, asked, name, api_of(r)->o.cluster_threshold, actor_of(r), &id,
                                   &e) ||
            catalog_cluster_get(api_of(r)->o.catalog, id, asked, http_arena(r), &c, NULL, &e))
                http_reply_err(r, &e);
        else
                reply_cluster(r, 201, &c, NULL);
}

void delete_cluster(struct http_request *r)
{
        struct cluster c;
        struct err e;
        struct id op;
        if (!load_cluster(r, &c))
                return;
        if (catalog_cluster_delete(api_of(r)->o.catalog, c.id, bound_owner(r), actor_of(r), &op, &e))
                http_reply_err(r, &e);
        else
                http_reply(r, 204, NULL, (struct span){0});
}

/* ---- changes -------------------------------------------------------------------------------- */

static void reply_changed(struct http_request *r, struct id cluster, const char *action, struct id op,
                          struct wall updated)
{
        struct buf b;
        struct json_out j;
        answer_begin(&j, &b);
        json_obj(&j);
        json_kv_id(&j, "cluster_id", cluster);
        json_kv_str(&j, "action", action);
        json_kv_str(&j, "status", "success");
        json_kv_id(&j, "operation_id", op);
        json_kv_wall(&j, "updated_at", updated);
        json_end(&j);
        answer_end(r, 200, &b);
}

static void change_cluster(struct http_request *r, const char *action, const struct cluster_change *ch)
{
        struct cluster c;
        struct err e;
        struct id op;
        struct wall updated;
        if (!load_cluster(r, &c))
                return;
        if (catalog_cluster_change(api_of(r)->o.catalog, c.id, bound_owner(r), ch, actor_of(r), &op, &updated, &e))
                http_reply_err(r, &e);
        else
                reply_changed(r, c.id, action, op, updated);
}

static void do_rename(struct http_request *r, const struct json *doc)
{
        struct cluster_change ch = {.kind = CHANGE_RENAME, .by_person = true};
        if (name_of(r, doc, true, &ch.name))
                change_cluster(r, "rename", &ch);
}

static void do_threshold(struct http_request *r, const struct json *doc)
{
        const struct json *v = json_get(doc, "threshold");
        struct cluster_change ch = {.kind = CHANGE_THRESHOLD, .threshold = (float)json_num(v)};
        if (!json_is_number(v) || json_num(v) < 0 || json_num(v) > 1)
                http_reply_error(r, 400, "invalid", NULL, "threshold: must be a number from 0 to 1");
        else
                change_cluster(r, "update_threshold", &ch);
}

static bool flag_of(struct http_request *r, const struct json *doc, const char *name, bool fallback, bool *out)
{
        const struct json *v = json_get(doc, name);
        *out = v ? json_bool(v) : fallback;
        if (!v || json_is_bool(v))
                return true;
        http_reply_error(r, 400, "invalid", NULL, "%s: must be true or false", name);
        return false;
}

static void do_confirm(struct http_request *r, const struct json *doc)
{
        struct cluster_change ch = {.kind = CHANGE_CONFIRM};
        if (flag_of(r, doc, "provisional", false, &ch.provisional))
                change_cluster(r, "confirm", &ch);
}

static void do_lock(struct http_request *r, const struct json *doc)
{
        struct cluster_change ch = {.kind = CHANGE_LOCK};
        if (flag_of(r, doc, "locked", true, &ch.locked))
                change_cluster(r, "lock", &ch);
}

static void do_merge(struct http_request *r, const struct json *doc)
{
        const struct json *v = json_get(doc, "source_cluster_ids");
        size_t n = json_count(v);
        struct cluster c;
        struct err e;
        struct id op;
        struct wall updated;
        struct id *sources = arena_array(http_arena(r), n ? n : 1, sizeof *sources);
        bool ok = json_is_array(v) && n >= 1 && n <= 100 && sources;
        for (size_t i = 0; ok && i < n; i++)
                ok = id_parse(json_span(json_at(v, i)), &sources[i]);
        if (!ok) {
                http_reply_error(r, 400, "invalid", NULL, "source_cluster_ids: must be an array of 1 to 100 UUIDs");
                return;
        }
        if (!load_cluster(r, &c))
                return;
        if (catalog_cluster_merge(api_of(r)->o.catalog, c.id, sources, n, NULL, bound_owner(r), actor_of(r), &op,
                                  &updated, &e))
                http_reply_err(r, &e);
        else
                reply_changed(r, c.id, "merge", op, updated);
}

typedef void change_fn(struct http_request *r, const struct json *doc);

static void with_body(struct http_request *r, const char *members, change_fn *fn)
{
        struct json *doc = body_object(r);
        if (!doc)
                return;
        if (body_members(r, doc, members))
                fn(r, doc);
        json_free(doc);
}

void patch_cluster(struct http_request *r)
{
        static const struct {
                const char *action, *members;
                change_fn *fn;
        } actions[] = {
                {"rename", "action,name", do_rename},
                {"merge", "action,source_cluster_ids", do_merge},
                {"update_threshold", "action,threshold", do_threshold},
                {"confirm", "action,provisional", do_confirm},
                {"lock", "action,locked", do_lock},
        };
        struct json *doc = body_object(r);
        if (!doc)
                return;
        const char *action = json_get_str(doc, "action", "");
        for (size_t i = 0; i < COUNT_OF(actions); i++)
                if (!strcmp(action, actions[i].action) && body_members(r, doc, actions[i].members))
                        actions[i].fn(r, doc);
        if (!http_replied(r))
                http_reply_error(r, 400, "invalid", NULL,
                                 "action: '%.40s' is not one of rename, merge, update_threshold, confirm, lock",
                                 action);
        json_free(doc);
}

/* Approving confirms the folder, with a name if one is given. */
static void do_approve(struct http_request *r, const struct json *doc)
{
        struct cluster c;
        struct err e;
        struct cluster_change rename = {.kind = CHANGE_RENAME, .by_person = true}, confirm = {.kind = CHANGE_CONFIRM};
        struct id op;
        struct wall updated;
        if (!name_of(r, doc, false, &rename.name) || !load_cluster(r, &c))
                return;
        struct catalog *cat = api_of(r)->o.catalog;
        if ((rename.name &&
             catalog_cluster_change(cat, c.id, bound_owner(r), &rename, actor_of(r), &op, &updated, &e)) ||
            catalog_cluster_change(cat, c.id, bound_owner(r), &confirm, actor_of(r), &op, &updated, &e))
                http_reply_err(r, &e);
        else
                reply_changed(r, c.id, "approve", op, updated);
}

void approve_cluster(struct http_request *r)
{
        with_body(r, "name", do_approve);
}

void get_admin_clusters(struct http_request *r)
{
        get_clusters(r);
}

void get_admin_cluster(struct http_request *r)
{
        get_cluster(r);
}

void post_cluster_rename(struct http_request *r)
{
        with_body(r, "action,name", do_rename);
}

void post_cluster_merge(struct http_request *r)
{
        with_body(r, "action,source_cluster_ids", do_merge);
}

void post_cluster_threshold(struct http_request *r)
{
        with_body(r, "action,threshold", do_threshold);
}

void post_cluster_confirm(struct http_request *r)
{
        with_body(r, "action,provisional", do_confirm);
}
