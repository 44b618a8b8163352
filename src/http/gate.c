/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All refusals that need only the header list, in a fixed order: first what makes the end of the request uncertain
 * (request smuggling), then who asks from where, then the route, the key, the announced body, and last the rate
 * limit. A refusal of the first kind closes the connection; the others may keep it open.
 */
#include <stdio.h>
#include <string.h>
#include "http/gate.h"

static bool out_of_memory(struct gate_verdict *v)
{
        return gate_refuse(v, 503, "out_of_memory", "out of memory");
}

bool gate_is_token(struct span s)
{
        for (size_t i = 0; i < s.n; i++) {
                unsigned char c = (unsigned char)s.p[i];
                if (c <= 0x20 || c >= 0x7f || strchr("\"(),/:;<=>?@[\\]{}", c))
                        return false;
        }
        return s.n > 0;
}

static bool value_ok(struct span s)
{
        for (size_t i = 0; i < s.n; i++) {
                unsigned char c = (unsigned char)s.p[i];
                if ((c < 0x20 && c != '\t') || c == 0x7f)
                        return false;
        }
        return true;
}

static bool check_line(const struct gate_request *q, struct gate_verdict *v)
{
        if (!gate_is_token(q->method))
                return gate_refuse(v, 400, "bad_request", "the method is not a token");
        if (!span_eq(q->version, "HTTP/1.1") && !span_eq(q->version, "HTTP/1.0"))
                return gate_refuse(v, 505, "bad_version", "only HTTP/1.1 and HTTP/1.0 are spoken here");
        if (q->uri.n > GATE_MAX_URI)
                return gate_refuse(v, 414, "uri_too_long", "the URL has %zu bytes, the limit is %d", q->uri.n,
                                   GATE_MAX_URI);
        return true;
}

static bool check_fields(const struct gate_request *q, struct gate_verdict *v)
{
        size_t bytes = 0;
        for (size_t i = 0; i < q->nfields; i++) {
                const struct gate_field *f = &q->fields[i];
                bytes += f->name.n + f->value.n + 4; /* ": " and CRLF */
                if (!gate_is_token(f->name))
                        return gate_refuse(v, 400, "bad_header", "a header name is not a token");
                if (!value_ok(f->value))
                        return gate_refuse(v, 400, "bad_header", "the value of header %.*s holds a control character",
                                           (int)(f->name.n < 64 ? f->name.n : 64), f->name.p);
        }
        if (bytes > GATE_MAX_HEADERS)
                return gate_refuse(v, 431, "headers_too_large", "the headers have %zu bytes, the limit is %d", bytes,
                                   GATE_MAX_HEADERS);
        return true;
}

/* RFC 9112 section 6: every case in which two readers could disagree about where the body ends. */
static bool check_framing(const struct gate_request *q, struct gate_verdict *v)
{
        size_t lengths, codings;
        const struct gate_field *length = gate_field(q, "Content-Length", &lengths);
        const struct gate_field *coding = gate_field(q, "Transfer-Encoding", &codings);
        if (lengths > 1)
                return gate_refuse(v, 400, "bad_framing", "the request has %zu Content-Length headers", lengths);
        if (lengths && codings)
                return gate_refuse(v, 400, "bad_framing", "the request has both Content-Length and Transfer-Encoding");
        if (codings > 1 || (coding && !span_ieq(coding->value, "chunked")))
                return gate_refuse(v, 400, "bad_framing", "Transfer-Encoding must be exactly \"chunked\"");
        if (coding && span_eq(q->version, "HTTP/1.0"))
                return gate_refuse(v, 400, "bad_framing", "HTTP/1.0 has no Transfer-Encoding");
        if (length && (!span_u64(length->value, &v->content_length) || v->content_length > INT64_MAX))
                return gate_refuse(v, 400, "bad_framing", "Content-Length is not a decimal number");
        v->chunked = coding != NULL;
        if (v->chunked)
                v->content_length = UINT64_MAX;
        v->has_body = v->content_length > 0;
        return true;
}

static enum http_method method_of(const struct gate_request *q, struct gate_verdict *v)
{
        v->method = "OTHER";
        if (span_eq(q->method, "HEAD")) {
                v->head = true;
                v->method = "GET";
                return HTTP_GET;
        }
        if (span_eq(q->method, "OPTIONS"))
                v->method = "OPTIONS";
        for (int m = 0; m < HTTP_METHODS; m++) {
                if (!span_eq(q->method, http_method_name((enum http_method)m)))
                        continue;
                v->method = http_method_name((enum http_method)m);
                return (enum http_method)m;
        }
        return HTTP_METHODS;
}

static bool find_route(const struct gate_config *c, const struct gate_request *q, struct arena *a,
                       struct gate_verdict *v)
{
        struct err e;
        if (uri_parse(a, q->uri, &v->uri, &e))
                return e.code == ERR_OOM ? out_of_memory(v) : gate_refuse(v, 400, "bad_url", "%s", e.msg);
        if (route_find(c->routes, &v->uri, method_of(q, v), a, &v->match))
                return out_of_memory(v);
        return true;
}

/* A preflight's list of headers is echoed only if it holds nothing but tokens and commas. */
static bool note_preflight(const struct gate_request *q, struct arena *a, struct gate_verdict *v)
{
        const struct gate_field *wanted = gate_field(q, "Access-Control-Request-Headers", NULL);
        v->preflight = gate_field(q, "Access-Control-Request-Method", NULL) != NULL;
        if (!v->preflight || !wanted)
                return true;
        struct span rest = wanted->value, item;
        while (span_cut(&rest, ',', &item)) {
                if (!gate_is_token(span_trim(item)))
                        return true;
        }
        v->cors_headers = arena_strndup(a, wanted->value);
        return v->cors_headers ? true : out_of_memory(v);
}

static bool check_route(const struct gate_request *q, struct arena *a, struct gate_verdict *v)
{
        if (v->match.methods == 0)
                return gate_refuse(v, 404, "not_found", "there is nothing at this path");
        if (v->match.route)
                return true;
        v->allow = route_allow(v->match.methods, a);
        if (!v->allow)
                return out_of_memory(v);
        if (span_eq(q->method, "OPTIONS"))
                return note_preflight(q, a, v) && gate_refuse(v, 204, "", "%s", "");
        return gate_refuse(v, 405, "method_not_allowed", "this path has only %s", v->allow);
}

struct span gate_session(const struct gate_request *q)
{
        const struct gate_field *cookie = gate_field(q, "Cookie", NULL);
        struct span rest = cookie ? cookie->value : (struct span){0}, pair, name;
        while (span_cut(&rest, ';', &pair)) {
                pair = span_trim(pair);
                if (span_cut(&pair, '=', &name) && span_eq(name, HTTP_SESSION_COOKIE))
                        return pair;
        }
        return (struct span){0};
}

/* The key of either header; a browser session's token only when there is none. */
static struct span key_of(const struct gate_request *q, bool *from_cookie)
{
        const struct gate_field *key = gate_field(q, "X-API-Key", NULL);
        const struct gate_field *auth = gate_field(q, "Authorization", NULL);
        *from_cookie = false;
        if (key)
                return span_trim(key->value);
        if (auth && auth->value.n > 7 && strncasecmp(auth->value.p, "Bearer ", 7) == 0)
                return span_trim((struct span){auth->value.p + 7, auth->value.n - 7});
        *from_cookie = true;
        return gate_session(q);
}

static bool check_scope(const struct http_route *route, struct gate_verdict *v)
{
        static const char *const names[] = {"no key", "read", "write", "admin"};
        if (v->caller.scope < route->scope)
                return gate_refuse(v, 403, "scope", "this needs the scope %s, the key has %s", names[route->scope],
                                   names[v->caller.scope]);
        if (route->unbound && v->caller.owner[0])
                return gate_refuse(v, 403, "owner", "this needs a key that is bound to no owner");
        return true;
}

/* The rightmost address that is not one of the trusted proxies. */
static struct in6_addr client_of(const struct gate_config *c, const struct gate_request *q)
{
        struct in6_addr at = q->peer;
        for (size_t i = q->nfields; i-- > 0;) {
                if (span_ieq(q->fields[i].name, "X-Forwarded-For") &&
                    !address_walk_back(c->proxies, q->fields[i].value, &at))
                        return q->peer;
        }
        return at;
}

/* Probes are not limited. A client that calls an open route that changes something may be guessing keys. */
bool gate_limited(const struct http_route *route)
{
        return route->scope != HTTP_OPEN || route->method != HTTP_GET;
}

unsigned long long gate_seconds(struct dur d)
{
        return d.ns > 0 ? (unsigned long long)(d.ns - 1) / 1000000000 + 1 : 0;
}

static bool check_limits(const struct gate_config *c, uint64_t bytes, struct gate_verdict *v)
{
        struct http_visitor who = {&v->caller, v->client};
        if (!c->admit)
                return true;
        c->admit(c->admit_ctx, &who, bytes, &v->admission);
        unsigned long long wait = gate_seconds(v->admission.wait);
        if (wait == 0)
                return true;
        snprintf(v->details, sizeof v->details, "{\"retry_after\":%llu}", wait);
        return gate_refuse(v, 429, "rate_limited", "past the limit of %s; try again in %llu s", v->admission.limit,
                           wait);
}

static bool check_known(const struct gate_config *c, struct span key, struct gate_verdict *v)
{
        struct http_caller who = {0};
        int known = key.n > 0 && c->authenticate ? c->authenticate(c->ctx, key, &who) : 0;
        if (known > 0) {
                v->caller = who;
                return true;
        }
        if (known < 0)
                return gate_refuse(v, 503, "unavailable", "the key cannot be checked at the moment");
        v->key_refused = key.n > 0;
        memcpy(v->refused_key, who.key_id, sizeof v->refused_key);
        if (!check_limits(c, 0, v)) /* guesses of keys count against the address */
                return false;
        return gate_refuse(v, 401, "unauthorized", "%s",
                           key.n ? "the API key is not known"
                                 : "an API key is needed: X-API-Key or Authorization: Bearer");
}

static bool check_key(const struct gate_config *c, const struct gate_request *q, struct gate_verdict *v)
{
        const struct http_route *route = v->match.route;
        size_t keys, auths;
        bool cookie;
        /*
         * An open route that changes something accepts only this origin's pages: no other page may log a browser in
         * or out.
         */
        if (route->scope == HTTP_OPEN)
                return route->method == HTTP_GET || gate_check_origin(q, v);
        if (!gate_keys_required(c)) {
                v->caller.scope = HTTP_SCOPE_ADMIN;
                return true;
        }
        gate_field(q, "X-API-Key", &keys);
        gate_field(q, "Authorization", &auths);
        if (keys > 1 || auths > 1)
                return gate_refuse(v, 400, "bad_header", "the request has more than one key header of a kind");
        struct span key = key_of(q, &cookie);
        if (!check_known(c, key, v) || (cookie && !gate_check_origin(q, v)))
                return false;
        return check_scope(route, v);
}

static bool is_json(struct span type)
{
        struct span media, param, name;
        if (!span_cut(&type, ';', &media) || !span_ieq(span_trim(media), "application/json"))
                return false;
        while (span_cut(&type, ';', &param)) {
                param = span_trim(param);
                if (!span_cut(&param, '=', &name) || !span_ieq(span_trim(name), "charset"))
                        continue;
                param = span_trim(param);
                if (!span_ieq(param, "utf-8") && !span_ieq(param, "\"utf-8\"") && !span_ieq(param, "utf8"))
                        return false;
        }
        return true;
}

static bool check_body(const struct gate_request *q, struct gate_verdict *v)
{
        const struct http_route *route = v->match.route;
        v->max_body = route->max_body;
        if (route->body == HTTP_BODY_NONE)
                v->max_body = GATE_STRAY_BODY;
        else if (v->max_body == 0)
                v->max_body = route->body == HTTP_BODY_JSON ? (uint64_t)1 << 20 : UINT64_MAX;
        const struct gate_field *type = gate_field(q, "Content-Type", NULL);
        if (route->body == HTTP_BODY_JSON && v->has_body && type && !is_json(type->value))
                return gate_refuse(v, 415, "unsupported_media_type",
                                   "the Content-Type must be application/json in UTF-8");
        if (v->chunked || v->content_length <= v->max_body)
                return true;
        snprintf(v->details, sizeof v->details, "{\"limit\":%llu}", (unsigned long long)v->max_body);
        return gate_refuse(v, 413, "too_large", "the body has %llu bytes, the limit is %llu",
                           (unsigned long long)v->content_length, (unsigned long long)v->max_body);
}

static bool check_draining(const struct gate_config *c, struct gate_verdict *v)
{
        if (!c->draining || v->match.route->while_draining)
                return true;
        return gate_refuse(v, 503, "draining", "the server is shutting down");
}

void gate_judge(const struct gate_config *c, const struct gate_request *q, struct arena *a, struct gate_verdict *v)
{
        *v = (struct gate_verdict){.close = true, .method = "OTHER", .client = q->peer};
        if (!check_line(q, v) || !check_fields(q, v) || !check_framing(q, v))
                return;
        v->close = false;
        v->client = client_of(c, q);
        if (!gate_check_host(q, v) || !find_route(c, q, a, v) || !gate_check_site(c, q, a, v))
                return;
        if (!check_route(q, a, v) || !check_key(c, q, v) || !check_draining(c, v) || !check_body(q, v))
                return;
        if (gate_limited(v->match.route))
                check_limits(c, v->chunked ? 1 : v->content_length, v);
}
