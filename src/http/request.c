/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request from its headers to its log line. The hard part is when to answer: a reply before the body is sent at
 * once with Connection: close, one in the middle of the body is written directly to the socket, and a request without
 * a body keeps its refusal until the library can send it, so that the connection survives.
 */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include "http/http_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define ARENA_MAX   ((size_t)64 << 20)
#define CHARGE_STEP ((uint64_t)256 << 10)

/* ---- what handlers ask ------------------------------------------------------ */

void *http_context(const struct http_request *r)
{
        return r->server->opts.ctx;
}

struct arena *http_arena(struct http_request *r)
{
        return r->arena;
}

const struct http_route *http_route_of(const struct http_request *r)
{
        return r->verdict.match.route;
}

const char *http_request_id(const struct http_request *r)
{
        return r->id;
}

const struct http_caller *http_caller(const struct http_request *r)
{
        return &r->verdict.caller;
}

void http_key_refused(const struct http_request *r, const char *what)
{
        char text[INET6_ADDRSTRLEN];
        struct log_field fields[] = {LOG_STR("client", address_format(&r->verdict.client, text)), LOG_STR("key", what)};
        log_write(LOG_WARNING, "http", fields, COUNT_OF(fields), "an unknown key%s%s from %s was refused",
                  *what ? " " : "", what, text);
        metrics_add(METRIC_HTTP_AUTH_FAILURES, 1, "unknown_key");
}

/* Counts refusals by reason. An unknown key is counted where it is logged. */
static void count_refusal(const struct gate_verdict *v)
{
        if (v->status == 401 && !v->key_refused)
                metrics_add(METRIC_HTTP_AUTH_FAILURES, 1, "no_key");
        if (v->status == 403)
                metrics_add(METRIC_HTTP_AUTH_FAILURES, 1, v->code);
}

/* A proxy on this machine forwards requests of others; it says so in one of these headers. */
bool http_is_local(const struct http_request *r)
{
        static const char *const forwarded[] = {"Forwarded", "X-Forwarded-For", "X-Real-IP", "Via"};
        const struct in6_addr *ip = &r->peer;
        for (size_t i = 0; i < COUNT_OF(forwarded); i++)
                if (http_header(r, forwarded[i]))
                        return false;
        return IN6_IS_ADDR_LOOPBACK(ip) || (IN6_IS_ADDR_V4MAPPED(ip) && ip->s6_addr[12] == 127);
}

struct span http_session(const struct http_request *r)
{
        return gate_session(&(struct gate_request){.fields = r->fields, .nfields = r->nfields});
}

const char *http_header(const struct http_request *r, const char *name)
{
        for (size_t i = 0; i < r->nfields; i++) {
                if (span_ieq(r->fields[i].name, name))
                        return r->fields[i].value.p;
        }
        return NULL;
}

const char *http_path_param(const struct http_request *r, const char *name)
{
        const struct route_match *m = &r->verdict.match;
        for (size_t i = 0; i < m->nparams; i++) {
                if (strcmp(m->params[i].name, name) == 0)
                        return m->params[i].value;
        }
        assert(!"a path parameter that the route declares");
        return "";
}

const char *http_query_nth(const struct http_request *r, const char *name, size_t i)
{
        const struct uri *u = &r->verdict.uri;
        for (size_t k = 0; k < u->nargs; k++) {
                if (strcmp(u->args[k].name, name) == 0 && i-- == 0)
                        return u->args[k].value;
        }
        return NULL;
}

struct span http_body(const struct http_request *r)
{
        return buf_span(&r->body);
}

struct mono http_body_end(const struct http_request *r)
{
        return r->body_end;
}

/* ---- life ------------------------------------------------------------------- */

struct http_request *request_new(struct http_server *s, struct MHD_Connection *c, const char *raw_uri)
{
        struct http_request *r = mem_calloc(1, sizeof *r);
        if (!r)
                return NULL;
        r->server = s;
        r->connection = c;
        r->fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        r->peer = address_of(MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr);
        r->slot = MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
        r->reply.content.fd = -1;
        buf_init(&r->body, 1);
        r->arena = arena_new(ARENA_MAX);
        r->raw_uri = r->arena ? arena_strdup(r->arena, raw_uri) : NULL;
        if (!r->raw_uri) {
                request_free(r);
                return NULL;
        }
        return r;
}

void request_free(struct http_request *r)
{
        if (!r)
                return;
        reply_drop(&r->reply);
        buf_done(&r->body);
        arena_free(r->arena);
        mem_free(r);
}

static enum MHD_Result count_field(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_n,
                                   const char *value, size_t value_n)
{
        (void)kind, (void)name, (void)name_n, (void)value, (void)value_n;
        ++*(size_t *)cls;
        return MHD_YES;
}

static enum MHD_Result copy_field(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_n,
                                  const char *value, size_t value_n)
{
        struct http_request *r = cls;
        (void)kind;
        struct span n = {name, name_n}, v = {value ? value : "", value ? value_n : 0};
        struct gate_field *f = &r->fields[r->nfields];
        f->name = (struct span){arena_strndup(r->arena, n), n.n};
        f->value = (struct span){arena_strndup(r->arena, v), v.n};
        if (!f->name.p || !f->value.p)
                return MHD_NO;
        r->nfields++;
        return MHD_YES;
}

static bool copy_fields(struct http_request *r)
{
        size_t n = 0;
        MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND, count_field, &n);
        r->fields = arena_array(r->arena, n + 1, sizeof *r->fields);
        if (!r->fields)
                return false;
        MHD_get_connection_values_n(r->connection, MHD_HEADER_KIND, copy_field, r);
        return r->nfields == n;
}

static void choose_id(struct http_request *r)
{
        const char *given = http_header(r, "X-Request-ID");
        size_t n = given ? strlen(given) : 0;
        if (n > 0 && n < sizeof r->id && gate_is_token((struct span){given, n})) {
                memcpy(r->id, given, n + 1);
        } else {
                char text[ID_TEXT_LEN];
                snprintf(r->id, sizeof r->id, "%s", id_format(id_new(), text));
        }
        snprintf(log_context()->request_id, sizeof log_context()->request_id, "%s", r->id);
}

static void enter_request(struct http_request *r)
{
        struct http_server *s = r->server;
        r->begun = true;
        r->started = r->body_end = r->wait_from = mono_now();
        conn_set_busy(&s->conns, r->slot, true);
        lock_take(&s->lock);
        s->running++;
        lock_drop(&s->lock);
}

static void internal_error(struct http_request *r, const char *cause)
{
        snprintf(r->cause, sizeof r->cause, "%s", cause);
        http_reply_error(r, 500, "internal", NULL, "internal error");
}

/* The present state as the gate needs it. */
static struct gate_config gate_config_now(struct http_server *s)
{
        return (struct gate_config){
                .routes = s->routes,
                .allowed_origins = s->origins,
                .allowed_hosts = s->hosts,
                .keys_required = s->opts.keys_required,
                .draining = atomic_load(&s->draining),
                .authenticate = s->opts.authenticate,
                .ctx = s->opts.ctx,
                .proxies = s->proxies,
                .admit = s->opts.admit,
                .admit_ctx = s->opts.admit_ctx,
        };
}

static void judge_request(struct http_request *r, const char *method, const char *version)
{
        struct gate_config c = gate_config_now(r->server);
        struct gate_request q = {span_of(method), span_of(r->raw_uri), span_of(version),
                                 r->fields,       r->nfields,          r->peer};
        gate_judge(&c, &q, r->arena, &r->verdict);
        if (r->verdict.key_refused)
                http_key_refused(r, r->verdict.refused_key);
        count_refusal(&r->verdict);
        r->charged = 1; /* the gate asks for that much when the length is unknown */
        reply_limits(r);
        if (r->verdict.status)
                reply_verdict(r);
}

static void open_body(struct http_request *r)
{
        const struct http_route *route = r->verdict.match.route;
        if (route->body == HTTP_BODY_JSON)
                buf_init(&r->body, (size_t)r->verdict.max_body + 1);
        if (route->body != HTTP_BODY_STREAM)
                return;
        r->state = route->stream->begin(r);
        r->streaming = r->state != NULL;
        if (!r->streaming && !r->reply.ready)
                internal_error(r, "the handler refused the body without a reply");
}

bool request_begin(struct http_request *r, const char *method, const char *version)
{
        enter_request(r);
        if (!copy_fields(r)) {
                r->broken = true;
                r->reply.ready = true;
                r->reply.status = 503;
                r->verdict =
                        (struct gate_verdict){.close = true, .has_body = true, .method = "OTHER", .client = r->peer};
                choose_id(r);
        } else {
                choose_id(r);
                judge_request(r, method, version);
        }
        if (!r->reply.ready)
                open_body(r);
        r->wait_from = mono_now();
        if (!r->reply.ready || !(r->verdict.has_body || r->verdict.close))
                return true;
        r->must_close = true;
        return reply_queue(r);
}

/* ---- the body --------------------------------------------------------------- */

/* Judged over windows of waiting time, so that a slow local disk is not held against the client. */
static bool too_slow(struct http_request *r, size_t n)
{
        const struct http_server *s = r->server;
        r->waited_ns += mono_since(r->wait_from).ns;
        r->window_bytes += n;
        if (!s->opts.min_body_rate || r->waited_ns < s->tuning.body_window.ns)
                return false;
        double rate = (double)r->window_bytes / dur_seconds((struct dur){r->waited_ns});
        r->waited_ns = 0;
        r->window_bytes = 0;
        return rate < (double)s->opts.min_body_rate;
}

/* The gate admitted a body of unknown length as one byte; the bytes that arrive are counted, and never cut off. */
static void charge_received(struct http_request *r, uint64_t least)
{
        const struct gate_verdict *v = &r->verdict;
        const struct http_opts *o = &r->server->opts;
        struct http_visitor who = {&v->caller, v->client};
        if (!o->admit || v->status || !v->chunked || !gate_limited(v->match.route) || r->received < r->charged + least)
                return;
        o->admit(o->admit_ctx, &who, r->received - r->charged, NULL);
        r->charged = r->received;
}

static void take_bytes(struct http_request *r, struct span bytes)
{
        const struct http_route *route = r->verdict.match.route;
        unsigned long long limit = r->verdict.max_body;
        if (r->received > r->verdict.max_body) {
                const char *details = arena_printf(r->arena, "{\"limit\":%llu}", limit);
                http_reply_error(r, 413, "too_large", details, "the body is over the limit of %llu bytes", limit);
        } else if (route->body == HTTP_BODY_JSON) {
                buf_put(&r->body, bytes.p, bytes.n);
                if (buf_failed(&r->body))
                        http_reply_error(r, 503, "out_of_memory", NULL, "out of memory");
        } else if (route->body == HTTP_BODY_STREAM) {
                if (route->stream->data(r, r->state, bytes) && !r->reply.ready)
                        internal_error(r, "the handler refused the body without a reply");
        }
}

static void close_stream(struct http_request *r)
{
        if (!r->streaming)
                return;
        r->streaming = false;
        r->verdict.match.route->stream->end(r->state);
        r->state = NULL;
}

bool request_data(struct http_request *r, struct span bytes)
{
        assert(!r->reply.ready); /* a refused body is never read */
        r->received += bytes.n;
        charge_received(r, CHARGE_STEP);
        if (too_slow(r, bytes.n))
                http_reply_error(r, 408, "body_too_slow", NULL, "the body came slower than %llu bytes a second",
                                 (unsigned long long)r->server->opts.min_body_rate);
        else
                take_bytes(r, bytes);
        r->body_end = r->wait_from = mono_now();
        if (!r->reply.ready)
                return true;
        close_stream(r);
        reply_write(r);
        return false;
}

bool request_finish(struct http_request *r)
{
        r->body_read = true;
        charge_received(r, 1);
        if (!r->reply.ready) {
                const struct http_route *route = r->verdict.match.route;
                if (route->body == HTTP_BODY_STREAM)
                        route->stream->finish(r, r->state);
                else
                        route->handle(r);
                if (!r->reply.ready)
                        internal_error(r, "the handler gave no reply");
        }
        close_stream(r);
        return reply_queue(r);
}

/* ---- afterwards ------------------------------------------------------------- */

void request_end(struct http_request *r, bool completed)
{
        struct http_server *s = r->server;
        if (!r->begun)
                return;
        close_stream(r);
        charge_received(r, 1);
        unsigned status = r->reply.sent ? r->reply.status : 499; /* the client left before there was an answer */
        if (!r->reply.sent)
                request_count(r, status);
        request_account(r, status, completed || r->drained);
        log_context_clear();
        if (r->reply.sent && !r->body_read && !r->drained && r->verdict.has_body)
                conn_drain(r->fd, s->tuning.drain, &s->stopping);
        conn_set_busy(&s->conns, r->slot, false);
        lock_take(&s->lock);
        if (--s->running == 0)
                cond_broadcast(&s->idle);
        lock_drop(&s->lock);
}
