/* SPDX-License-Identifier: Apache-2.0 */
/* The routes and the server that the tests of the http room talk to. */
#ifndef TEST_HTTP_SERVER_H
#define TEST_HTTP_SERVER_H

#include "test_http_client.h"
#include "http/http_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define HOST         "Host: 127.0.0.1\r\n"
#define CONTENT_SIZE 100000

static atomic_int streams_open, streams_ended, streams_finished;
static atomic_bool hold;

static char content_at(uint64_t i)
{
        return (char)('a' + i % 23);
}

static inline void handle_echo(struct http_request *r)
{
        struct buf b;
        buf_init(&b, 2 << 20);
        const char *q = http_query(r, "q");
        buf_printf(&b, "{\"n\":%zu,\"scope\":%d,\"q\":", http_body(r).n, (int)http_caller(r)->scope);
        buf_json_str(&b, q);
        buf_puts(&b, "}");
        http_reply_json(r, 200, &b);
        buf_done(&b);
}

static inline void handle_name(struct http_request *r)
{
        http_reply(r, 200, "text/plain", span_of(http_path_param(r, "name")));
}

static inline void handle_hold(struct http_request *r)
{
        while (atomic_load(&hold))
                sleep_for(dur_ms(5));
        http_reply(r, 200, "text/plain", SPAN("held"));
}

static inline void handle_err(struct http_request *r)
{
        struct err e = {.msg = "the secret of /var/lib"};
        uint64_t code = 0;
        span_u64(span_of(http_path_param(r, "code")), &code);
        e.code = (enum err_code)code;
        http_reply_err(r, &e);
}

static inline void handle_silent(struct http_request *r)
{
        (void)r;
}

static inline void handle_redirect(struct http_request *r)
{
        http_reply_redirect(r, 308, http_query(r, "to") ? http_query(r, "to") : "/");
}

static inline int64_t read_content_bytes(void *state, uint64_t offset, char *out, size_t n)
{
        (void)state;
        if (offset >= CONTENT_SIZE)
                return 0;
        if (n > CONTENT_SIZE - offset)
                n = (size_t)(CONTENT_SIZE - offset);
        for (size_t i = 0; i < n; i++)
                out[i] = content_at(offset + i);
        return (int64_t)n;
}

static inline void count_free(void *state)
{
        atomic_fetch_add((atomic_int *)state, 1);
}

static atomic_int content_freed;

static inline void handle_content(struct http_request *r)
{
        const char *how = http_path_param(r, "how");
        struct http_content c = {.fd = -1,
                                 .size = CONTENT_SIZE,
                                 .content_type = "image/png",
                                 .etag = "tag",
                                 .modified = {784111777000000},
                                 .filename = http_query(r, "name"),
                                 .attachment = http_query(r, "attachment") != NULL};
        if (strcmp(how, "fd") == 0) {
                FILE *f = tmpfile();
                for (uint64_t i = 0; i < CONTENT_SIZE; i++)
                        fputc(content_at(i), f);
                fflush(f);
                c.fd = dup(fileno(f));
                fclose(f);
        } else {
                c.read = read_content_bytes;
                c.free = count_free;
                c.state = &content_freed;
        }
        if (strcmp(how, "unsized") == 0)
                c.size = UINT64_MAX;
        http_reply_content(r, &c);
}

struct upload {
        uint64_t n;
};

static inline void *upload_begin(struct http_request *r)
{
        if (http_header(r, "X-Refuse")) {
                http_reply_error(r, 409, "refused", NULL, "not this one");
                return NULL;
        }
        atomic_fetch_add(&streams_open, 1);
        return mem_calloc(1, sizeof(struct upload));
}

static inline int upload_data(struct http_request *r, void *state, struct span bytes)
{
        struct upload *u = state;
        u->n += bytes.n;
        if (u->n <= 1000000 || !http_header(r, "X-Full"))
                return 0;
        http_reply_error(r, 503, "full", NULL, "no space");
        return -1;
}

static inline void upload_finish(struct http_request *r, void *state)
{
        struct upload *u = state;
        char text[32];
        atomic_fetch_add(&streams_finished, 1);
        snprintf(text, sizeof text, "%llu", (unsigned long long)u->n);
        http_reply(r, 201, "text/plain", span_of(text));
}

static inline void upload_end(void *state)
{
        mem_free(state);
        atomic_fetch_add(&streams_ended, 1);
        atomic_fetch_sub(&streams_open, 1);
}

static const struct http_stream upload = {upload_begin, upload_data, upload_finish, upload_end};

#define GET_ROUTE(p, h)                                                                                                \
        {                                                                                                              \
                .method = HTTP_GET, .path = p, .scope = HTTP_SCOPE_READ, .handle = h, .statuses = "200"                \
        }
static const struct http_route server_routes[] = {
        {.method = HTTP_GET,
         .path = "/live",
         .handle = handle_echo,
         .statuses = "200",
         .while_draining = true,
         .quiet = true},
        GET_ROUTE("/api/v1/echo", handle_echo),
        GET_ROUTE("/api/v1/name/{name}", handle_name),
        GET_ROUTE("/api/v1/hold", handle_hold),
        GET_ROUTE("/api/v1/err/{code}", handle_err),
        GET_ROUTE("/api/v1/silent", handle_silent),
        GET_ROUTE("/api/v1/redirect", handle_redirect),
        GET_ROUTE("/api/v1/content/{how}", handle_content),
        {.method = HTTP_POST,
         .path = "/api/v1/echo",
         .scope = HTTP_SCOPE_WRITE,
         .body = HTTP_BODY_JSON,
         .max_body = 100000,
         .handle = handle_echo,
         .statuses = "200 413"},
        {.method = HTTP_DELETE,
         .path = "/api/v1/echo",
         .scope = HTTP_SCOPE_ADMIN,
         .handle = handle_echo,
         .statuses = "200"},
        {.method = HTTP_PUT,
         .path = "/api/v1/up",
         .scope = HTTP_SCOPE_WRITE,
         .body = HTTP_BODY_STREAM,
         .max_body = 2000000,
         .stream = &upload,
         .statuses = "201 413"},
};

static bool server_keys_needed;

static inline bool server_keys_required(void *ctx)
{
        (void)ctx;
        return server_keys_needed;
}

static inline int server_key(void *ctx, struct span key, struct http_caller *out)
{
        (void)ctx;
        out->scope = span_eq(key, "admin") ? HTTP_SCOPE_ADMIN : HTTP_SCOPE_READ;
        return span_eq(key, "admin") || span_eq(key, "reader");
}

static inline struct http_opts server_opts(void)
{
        static const struct http_route *list[COUNT_OF(server_routes)];
        for (size_t i = 0; i < COUNT_OF(server_routes); i++)
                list[i] = &server_routes[i];
        return (struct http_opts){.host = "127.0.0.1",
                                  .max_connections = 256,
                                  .allowed_origins = "https://app.example",
                                  .allowed_hosts = "",
                                  .keys_required = server_keys_required,
                                  .authenticate = server_key,
                                  .routes = list,
                                  .nroutes = COUNT_OF(server_routes)};
}

static inline struct http_server *server_start(const struct http_opts *o, const struct http_tuning *t)
{
        struct http_server *s = NULL;
        struct err e;
        if (http_server_start_tuned(o, t ? t : &http_tuning_default, &s, &e))
                fail_msg("%s", e.msg);
        return s;
}

/* True once *what is value; waits up to 5 s. */
static inline bool becomes(atomic_int *what, int value)
{
        for (int i = 0; i < 500 && atomic_load(what) != value; i++)
                sleep_for(dur_ms(10));
        return atomic_load(what) == value;
}

#endif
