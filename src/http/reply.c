/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies: stored by handlers, sent here. There are two ways out with one set of headers: through the library when
 * the request is at rest, and directly to the socket while its body still arrives, since the library cannot answer
 * then.
 */
#include <microhttpd.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "http/http_priv.h"
#include "http/range.h"

#define RAW_BODY_MAX ((size_t)1 << 20)

static bool clean_value(const char *s)
{
        for (; *s; s++) {
                if ((unsigned char)*s < 0x20 || *s == 0x7f)
                        return false;
        }
        return true;
}

/* Both texts outlive the reply: literals, or the request's arena. */
static void put_header(struct http_request *r, const char *name, const char *value)
{
        struct reply *p = &r->reply;
        if (!value || p->nheaders == REPLY_HEADERS || !clean_value(value)) {
                r->broken = true;
                return;
        }
        p->headers[p->nheaders++] = (struct reply_header){name, value};
}

static bool has_header(const struct reply *p, const char *name)
{
        for (size_t i = 0; i < p->nheaders; i++) {
                if (strcasecmp(p->headers[i].name, name) == 0)
                        return true;
        }
        return false;
}

void http_add_header(struct http_request *r, const char *name, const char *value)
{
        assert(!r->reply.ready && clean_value(value) && gate_is_token(span_of(name)));
        const char *copy = arena_strdup(r->arena, name);
        if (!copy)
                r->broken = true;
        else
                put_header(r, copy, arena_strdup(r->arena, value));
}

bool http_replied(const struct http_request *r)
{
        return r->reply.ready;
}

void http_reply(struct http_request *r, unsigned status, const char *content_type, struct span body)
{
        struct reply *p = &r->reply;
        assert(!p->ready && status >= 200 && status < 600);
        p->ready = true;
        p->status = status;
        if (body.n > 0) {
                p->body = mem_alloc(body.n);
                if (!p->body) {
                        r->broken = true;
                        return;
                }
                memcpy(p->body, body.p, body.n);
                p->n = body.n;
        }
        if (content_type && status != 204 && status != 304)
                put_header(r, "Content-Type", arena_strdup(r->arena, content_type));
}

void http_reply_json(struct http_request *r, unsigned status, const struct buf *json)
{
        if (buf_failed(json)) {
                snprintf(r->cause, sizeof r->cause, "the answer did not fit its buffer");
                http_reply_error(r, 500, "internal", NULL, "internal error");
                return;
        }
        http_reply(r, status, "application/json; charset=utf-8", buf_span(json));
}

void http_reply_error(struct http_request *r, unsigned status, const char *code, const char *details, const char *fmt,
                      ...)
{
        struct buf text, json;
        va_list ap;
        buf_init(&text, 8192);
        buf_init(&json, 256 << 10);
        va_start(ap, fmt);
        buf_vprintf(&text, fmt, ap);
        va_end(ap);
        if (status >= 500 && !r->cause[0])
                snprintf(r->cause, sizeof r->cause, "%s", buf_str(&text));
        buf_puts(&json, "{\"error\":");
        buf_json_str(&json, buf_str(&text));
        buf_puts(&json, ",\"code\":");
        buf_json_str(&json, code);
        buf_printf(&json, ",\"details\":%s,\"request_id\":", details ? details : "null");
        buf_json_str(&json, r->id);
        buf_puts(&json, "}");
        if (status == 503 && !has_header(&r->reply, "Retry-After"))
                put_header(r, "Retry-After", "5");
        if (status == 401)
                put_header(r, "WWW-Authenticate", "Bearer");
        if (buf_failed(&json))
                r->broken = true;
        http_reply(r, status, "application/json; charset=utf-8", buf_span(&json));
        buf_done(&text);
        buf_done(&json);
}

static unsigned status_of(enum err_code code)
{
        switch (code) {
        case ERR_INVALID:
                return 400;
        case ERR_FORBIDDEN:
                return 403;
        case ERR_NOT_FOUND:
                return 404;
        case ERR_CONFLICT:
        case ERR_STALE:
                return 409;
        case ERR_TOO_LARGE:
                return 413;
        case ERR_UNSUPPORTED:
                return 415;
        case ERR_CORRUPT:
                return 422;
        case ERR_BUSY:
        case ERR_UNAVAILABLE:
        case ERR_NO_SPACE:
        case ERR_TIMEOUT:
        case ERR_OOM:
                return 503;
        default:
                return 500;
        }
}

void http_reply_err(struct http_request *r, const struct err *e)
{
        unsigned status = status_of(e->code);
        if (status >= 500)
                snprintf(r->cause, sizeof r->cause, "%s: %s", err_name(e->code), e->msg);
        http_reply_error(r, status, status == 500 ? "internal" : err_name(e->code), NULL, "%s",
                         status == 500 ? "internal error" : e->msg);
}

void http_reply_redirect(struct http_request *r, unsigned status, const char *location)
{
        struct buf b;
        buf_init(&b, 16 << 10);
        for (const char *p = location; *p; p++) {
                unsigned char c = (unsigned char)*p;
                if (c <= 0x20 || c >= 0x7f || strchr("\"<>\\^`{|}", c))
                        buf_printf(&b, "%%%02X", c);
                else
                        buf_putc(&b, (char)c);
        }
        put_header(r, "Location", buf_failed(&b) ? NULL : arena_strdup(r->arena, buf_str(&b)));
        buf_done(&b);
        http_reply(r, status, NULL, (struct span){0});
}

void reply_limits(struct http_request *r)
{
        const struct http_admission *m = &r->verdict.admission;
        if (m->wait.ns > 0)
                put_header(r, "Retry-After", arena_printf(r->arena, "%llu", gate_seconds(m->wait)));
        if (!m->quota)
                return;
        put_header(r, "RateLimit-Limit", arena_printf(r->arena, "%llu", (unsigned long long)m->quota));
        put_header(r, "RateLimit-Remaining", arena_printf(r->arena, "%llu", (unsigned long long)m->left));
        put_header(r, "RateLimit-Reset", arena_printf(r->arena, "%llu", gate_seconds(m->reset)));
}

/* Sends the gate's verdict through the same functions as any other reply. */
void reply_verdict(struct http_request *r)
{
        const struct gate_verdict *v = &r->verdict;
        if (v->allow)
                put_header(r, "Allow", v->allow);
        if (v->status != 204) {
                http_reply_error(r, v->status, v->code, v->details[0] ? v->details : NULL, "%s", v->message);
                return;
        }
        if (v->preflight && v->cors_origin) {
                put_header(r, "Access-Control-Allow-Methods", v->allow);
                put_header(r, "Access-Control-Max-Age", "600");
                if (v->cors_headers)
                        put_header(r, "Access-Control-Allow-Headers", v->cors_headers);
        }
        http_reply(r, 204, NULL, (struct span){0});
}

void reply_drop(struct reply *p)
{
        mem_free(p->body);
        p->body = NULL;
        p->n = 0;
        if (!p->has_content)
                return;
        p->has_content = false;
        fd_close(&p->content.fd);
        if (p->content.free)
                p->content.free(p->content.state);
}

/* After a failed allocation no prepared part of the reply can be trusted to be complete. */
static void settle_reply(struct http_request *r)
{
        static const char text[] = "{\"error\":\"out of memory\",\"code\":\"out_of_memory\",\"details\":null}";
        struct reply *p = &r->reply;
        assert(p->ready && !p->sent);
        if (r->broken) {
                reply_drop(p);
                p->status = 503;
                p->nheaders = 2;
                p->headers[0] = (struct reply_header){"Content-Type", "application/json; charset=utf-8"};
                p->headers[1] = (struct reply_header){"Retry-After", "5"};
                p->body = mem_strdup(text);
                p->n = p->body ? sizeof text - 1 : 0;
                snprintf(r->cause, sizeof r->cause, "out of memory");
        }
        p->sent = true;
        request_count(r, p->status);
}

/* The built-in headers of every response, then the reply's own. */
typedef void reply_header_fn(void *ctx, const char *name, const char *value);
static void reply_each_header(const struct http_request *r, reply_header_fn *put, void *ctx)
{
        const struct reply *p = &r->reply;
        put(ctx, "X-Request-ID", r->id);
        put(ctx, "X-Content-Type-Options", "nosniff");
        put(ctx, "Referrer-Policy", "no-referrer");
        if (r->server->origins[0])
                put(ctx, "Vary", "Origin");
        if (r->verdict.cors_origin) {
                put(ctx, "Access-Control-Allow-Origin", r->verdict.cors_origin);
                put(ctx, "Access-Control-Expose-Headers", "*");
        }
        for (size_t i = 0; i < p->nheaders; i++)
                put(ctx, p->headers[i].name, p->headers[i].value);
        if (r->must_close)
                put(ctx, "Connection", "close");
}

struct reader {
        struct http_content content;
        uint64_t first, left;
};

static ssize_t read_content(void *cls, uint64_t pos, char *out, size_t max)
{
        struct reader *d = cls;
        if (d->left == 0)
                return MHD_CONTENT_READER_END_OF_STREAM;
        size_t want = max < d->left ? max : (size_t)d->left;
        int64_t n = d->content.read(d->content.state, d->first + pos, out, want);
        if (n > 0 && (uint64_t)n <= want) {
                if (d->left != UINT64_MAX)
                        d->left -= (uint64_t)n;
                return (ssize_t)n;
        }
        return n == 0 && d->left == UINT64_MAX ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_content(void *cls)
{
        struct reader *d = cls;
        if (d->content.free)
                d->content.free(d->content.state);
        mem_free(d);
}

static struct MHD_Response *content_response(struct reply *p)
{
        struct MHD_Response *m;
        if (p->content.fd >= 0) {
                m = MHD_create_response_from_fd_at_offset64(p->length, p->content.fd, p->first);
                if (m)
                        p->content.fd = -1;
                return m;
        }
        struct reader *d = mem_alloc(sizeof *d);
        if (!d)
                return NULL;
        *d = (struct reader){p->content, p->first, p->length};
        m = MHD_create_response_from_callback(p->length, 64 << 10, read_content, d, free_content);
        if (m)
                p->content = (struct http_content){.fd = -1};
        else
                mem_free(d);
        return m;
}

static struct MHD_Response *response_of(struct reply *p)
{
        if (p->has_content && p->length > 0)
                return content_response(p);
        struct MHD_Response *m = MHD_create_response_from_buffer_with_free_callback(p->n, p->body, mem_free);
        if (m)
                p->body = NULL;
        return m;
}

static void put_mhd(void *ctx, const char *name, const char *value)
{
        MHD_add_response_header(ctx, name, value);
}

bool reply_queue(struct http_request *r)
{
        if (atomic_load(&r->server->draining))
                r->must_close = true;
        settle_reply(r);
        struct MHD_Response *m = response_of(&r->reply);
        if (!m)
                return false;
        reply_each_header(r, put_mhd, m);
        bool ok = MHD_queue_response(r->connection, r->reply.status, m) == MHD_YES;
        MHD_destroy_response(m);
        return ok;
}

static void put_raw(void *ctx, const char *name, const char *value)
{
        buf_printf(ctx, "%s: %s\r\n", name, value);
}

void reply_write(struct http_request *r)
{
        struct reply *p = &r->reply;
        struct buf b;
        char date[HTTP_DATE_LEN];
        if (p->has_content) /* a refusal in the middle of a body is text, never a file */
                r->broken = true;
        r->must_close = true;
        settle_reply(r);
        buf_init(&b, RAW_BODY_MAX);
        buf_printf(&b, "HTTP/1.1 %u %s\r\nDate: %s\r\n", p->status, MHD_get_reason_phrase_for(p->status),
                   http_date_format(wall_now(), date));
        reply_each_header(r, put_raw, &b);
        buf_printf(&b, "Content-Length: %zu\r\n\r\n", p->n);
        if (!r->verdict.head)
                buf_put(&b, p->body, p->n);
        if (!buf_failed(&b) && conn_write(r->fd, buf_span(&b), r->server->tuning.drain)) {
                shutdown(r->fd, SHUT_WR);
                conn_drain(r->fd, r->server->tuning.drain, &r->server->stopping);
        }
        r->drained = true;
        buf_done(&b);
}
