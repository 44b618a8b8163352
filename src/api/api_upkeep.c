/* SPDX-License-Identifier: Apache-2.0 */
/* Scrubbing: the result of reading stored objects again, and requests for it. */
#include "api/api_priv.h"
#include "catalog/catalog_asset.h"

#define NAMED_MAX 1000

static void reply_scrub(struct http_request *r, unsigned status)
{
        struct err e;
        struct buf b;
        buf_init(&b, 4 << 20);
        if (admin_scrub_report(api_of(r)->o.admin, &b, &e)) {
                buf_done(&b);
                http_reply_err(r, &e);
                return;
        }
        answer_end(r, status, &b);
}

void get_scrub(struct http_request *r)
{
        reply_scrub(r, 200);
}

static bool refuse_objects(struct http_request *r, const char *why, struct span value)
{
        http_reply_error(r, 400, "invalid", NULL, "objects: %s%.*s", why, (int)(value.n < 80 ? value.n : 80), value.p);
        return false;
}

/* A system_id or a hash. */
static bool object_of(struct http_request *r, struct span text, struct sha256 *out)
{
        struct asset a;
        struct id id;
        struct err e;
        if (sha256_parse(text, out))
                return true;
        if (!id_parse(text, &id))
                return refuse_objects(r, "must be ids of files or SHA-256 hashes, not ",
                                      utf8_valid(text) ? text : SPAN("?"));
        if (catalog_asset_get(api_of(r)->o.catalog, id, NULL, http_arena(r), &a, &e)) {
                if (e.code == ERR_NOT_FOUND)
                        return refuse_objects(r, "there is no file ", text);
                http_reply_err(r, &e);
                return false;
        }
        *out = a.sha256;
        return true;
}

/* *objects NULL: all. */
static bool objects_of(struct http_request *r, const struct json *doc, struct sha256 **objects, size_t *n)
{
        const struct json *list = json_get(doc, "objects");
        *objects = NULL;
        *n = 0;
        if (!body_members(r, doc, "objects"))
                return false;
        if (!list || json_is_null(list))
                return true;
        *n = json_is_array(list) ? json_count(list) : 0;
        if (*n < 1 || *n > NAMED_MAX)
                return refuse_objects(r, "must be an array of 1 to 1000 ids of files or SHA-256 hashes", SPAN(""));
        *objects = arena_array(http_arena(r), *n, sizeof **objects);
        if (!*objects) {
                http_reply_error(r, 503, "oom", NULL, "out of memory");
                return false;
        }
        for (size_t i = 0; i < *n; i++)
                if (!object_of(r, json_span(json_at(list, i)), &(*objects)[i]))
                        return false;
        return true;
}

void post_scrub(struct http_request *r)
{
        struct json *doc = body_object(r);
        struct sha256 *objects;
        struct err e;
        size_t n, found = 0;
        if (!doc)
                return;
        bool ok = objects_of(r, doc, &objects, &n);
        json_free(doc);
        if (!ok)
                return;
        if (admin_scrub(api_of(r)->o.admin, objects, n, &found, &e))
                http_reply_err(r, &e);
        else if (objects && found == 0)
                refuse_objects(r, "the catalog knows none of these hashes", SPAN(""));
        else
                reply_scrub(r, 202);
}
