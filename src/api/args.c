/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments of a request, checked: every refusal names the field, the value and what is allowed. */
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"

static bool refuse_arg(struct http_request *r, const char *name, const char *value, const char *allowed)
{
        http_reply_error(r, 400, "invalid", NULL, "%s: '%.80s' is not %s", name, value, allowed);
        return false;
}

bool arg_id(struct http_request *r, const char *name, struct id *out)
{
        const char *v = http_path_param(r, name);
        return id_parse(span_of(v), out) ? true : refuse_arg(r, name, v, "a UUID");
}

bool arg_uint(struct http_request *r, const char *name, unsigned min, unsigned max, unsigned fallback, unsigned *out)
{
        const char *v = http_query(r, name);
        uint64_t n;
        char allowed[64];
        *out = fallback;
        if (!v)
                return true;
        snprintf(allowed, sizeof allowed, "a whole number from %u to %u", min, max);
        if (!span_u64(span_of(v), &n) || n < min || n > max)
                return refuse_arg(r, name, v, allowed);
        *out = (unsigned)n;
        return true;
}

bool arg_float(struct http_request *r, const char *name, float min, float max, float fallback, float *out)
{
        const char *v = http_query(r, name);
        double d;
        char allowed[64];
        *out = fallback;
        if (!v)
                return true;
        snprintf(allowed, sizeof allowed, "a number from %g to %g", (double)min, (double)max);
        if (!span_f64(span_of(v), &d) || d < (double)min || d > (double)max)
                return refuse_arg(r, name, v, allowed);
        *out = (float)d;
        return true;
}

bool arg_bool(struct http_request *r, const char *name, bool fallback, bool *out)
{
        const char *v = http_query(r, name);
        *out = fallback;
        if (!v)
                return true;
        struct span s = span_of(v);
        if (span_ieq(s, "true") || span_eq(s, "1") || s.n == 0)
                *out = true;
        else if (span_ieq(s, "false") || span_eq(s, "0"))
                *out = false;
        else
                return refuse_arg(r, name, v, "true or false");
        return true;
}

bool arg_time(struct http_request *r, const char *name, struct wall *out)
{
        const char *v = http_query(r, name);
        out->us = 0;
        if (!v)
                return true;
        return wall_parse(span_of(v), out) ? true
                                           : refuse_arg(r, name, v, "an RFC 3339 time such as 2026-01-31T12:00:00Z");
}

bool arg_word(struct http_request *r, const char *name, const char *const *words, size_t n, int fallback, int *out)
{
        const char *v = http_query(r, name);
        *out = fallback;
        if (!v)
                return true;
        struct buf allowed;
        buf_init(&allowed, 1024);
        buf_puts(&allowed, "one of ");
        for (size_t i = 0; i < n; i++) {
                if (!strcmp(v, words[i])) {
                        buf_done(&allowed);
                        *out = (int)i;
                        return true;
                }
                buf_printf(&allowed, "%s%s", i ? ", " : "", words[i]);
        }
        refuse_arg(r, name, v, buf_str(&allowed));
        buf_done(&allowed);
        return false;
}

const char *bound_owner(const struct http_request *r)
{
        const struct http_caller *c = http_caller(r);
        return *c->owner ? c->owner : NULL;
}

const char *actor_of(const struct http_request *r)
{
        const struct http_caller *c = http_caller(r);
        return *c->key_id ? c->key_id : "user";
}

bool arg_owner(struct http_request *r, const char **out)
{
        const char *v = http_query(r, "owner"), *own = bound_owner(r);
        *out = own;
        if (!v || !*v)
                return true;
        if (!owner_valid(span_of(v)))
                return refuse_arg(r, "owner", v, "1-64 of A-Z a-z 0-9 . _ @ - (not beginning with a dot)");
        if (own && strcmp(own, v)) {
                http_reply_error(r, 403, "forbidden", NULL, "owner: this key sees only '%s'", own);
                return false;
        }
        *out = v;
        return true;
}

bool arg_list(struct http_request *r, const char *name, size_t max, const char *const **out, size_t *n)
{
        const char **list = arena_array(http_arena(r), max, sizeof *list);
        const char *v;
        *n = 0;
        *out = list;
        for (size_t i = 0; list && (v = http_query_nth(r, name, i)); i++) {
                struct span rest = span_of(v), part;
                while (span_cut(&rest, ',', &part)) {
                        part = span_trim(part);
                        if (part.n == 0)
                                continue;
                        if (*n == max) {
                                http_reply_error(r, 400, "invalid", NULL, "%s: more than %zu values", name, max);
                                return false;
                        }
                        list[*n] = arena_strndup(http_arena(r), part);
                        if (!list[*n])
                                break;
                        (*n)++;
                }
        }
        if (!list)
                http_reply_error(r, 503, "oom", NULL, "out of memory");
        return list != NULL;
}

struct json *body_object(struct http_request *r)
{
        struct err e;
        struct span text = http_body(r);
        struct json *doc = json_parse(text.n ? text : SPAN("{}"), &e);
        if (!doc) {
                if (e.code == ERR_OOM)
                        http_reply_err(r, &e);
                else
                        http_reply_error(r, 400, "invalid_json", NULL, "body: %s", e.msg);
                return NULL;
        }
        if (!json_is_object(doc)) {
                json_free(doc);
                http_reply_error(r, 400, "invalid", NULL, "body: must be a JSON object");
                return NULL;
        }
        return doc;
}

bool body_members(struct http_request *r, const struct json *o, const char *allowed)
{
        for (void *it = json_iter(o); it; it = json_next(o, it)) {
                struct span rest = span_of(allowed), part;
                bool known = false;
                while (!known && span_cut(&rest, ',', &part))
                        known = span_eq(part, json_iter_key(it));
                if (!known) {
                        http_reply_error(r, 400, "invalid", NULL, "unknown member '%.60s'; allowed: %s",
                                         json_iter_key(it), allowed);
                        return false;
                }
        }
        return true;
}
