/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate as a table: a request's head in, the verdict out, no socket. What
 * libmicrohttpd would never pass on is tried here too, since another version may.
 */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "http/gate.h"

#define KEY_READ  "X-API-Key: reader\n"
#define KEY_ADMIN "Authorization: bearer admin\n"
#define HOST      "Host: 127.0.0.1:8000\n"

static const struct http_route routes[] = {
        {.method = HTTP_GET, .path = "/live", .while_draining = true},
        {.method = HTTP_GET, .path = "/api/v1/things", .scope = HTTP_SCOPE_READ, .while_draining = true},
        {.method = HTTP_POST, .path = "/api/v1/things", .scope = HTTP_SCOPE_WRITE, .body = HTTP_BODY_JSON},
        {.method = HTTP_GET, .path = "/api/v1/things/{id}", .scope = HTTP_SCOPE_READ},
        {.method = HTTP_GET, .path = "/api/v1/things/special", .scope = HTTP_SCOPE_READ},
        {.method = HTTP_DELETE, .path = "/api/v1/things/{id}", .scope = HTTP_SCOPE_ADMIN},
        {.method = HTTP_DELETE, .path = "/api/v1/all", .scope = HTTP_SCOPE_ADMIN, .unbound = true},
        {.method = HTTP_POST, .path = "/api/v1/door"},
        {.method = HTTP_PUT,
         .path = "/api/v1/files/{name}",
         .scope = HTTP_SCOPE_WRITE,
         .body = HTTP_BODY_STREAM,
         .max_body = 1000},
};

static int authenticate(void *ctx, struct span key, struct http_caller *out)
{
        (void)ctx;
        if (span_eq(key, "reader"))
                out->scope = HTTP_SCOPE_READ;
        else if (span_eq(key, "admin") || span_eq(key, "token"))
                out->scope = HTTP_SCOPE_ADMIN;
        else if (span_eq(key, "bound"))
                *out = (struct http_caller){.scope = HTTP_SCOPE_ADMIN, .owner = "ann"};
        else if (span_eq(key, "nobody knows"))
                return -1;
        else
                return 0;
        snprintf(out->key_id, sizeof out->key_id, "key of %.*s", (int)key.n, key.p);
        return 1;
}

static bool required(void *ctx)
{
        (void)ctx;
        return true;
}

struct world {
        struct route_table *table;
        struct arena *arena;
        struct gate_config config;
        struct in6_addr peer;
};

static int open_world(void **state)
{
        static struct world w;
        const struct http_route *list[COUNT_OF(routes)];
        for (size_t i = 0; i < COUNT_OF(routes); i++)
                list[i] = &routes[i];
        w.table = route_table_new(list, COUNT_OF(routes));
        w.arena = arena_new(1 << 20);
        w.config = (struct gate_config){.routes = w.table,
                                        .allowed_origins = "https://app.example, http://b.example:81",
                                        .allowed_hosts = "files.lan,other.lan:99",
                                        .authenticate = authenticate};
        *state = &w;
        return w.table && w.arena ? 0 : -1;
}

static int close_world(void **state)
{
        struct world *w = *state;
        arena_free(w->arena);
        route_table_free(w->table);
        return 0;
}

/* "METHOD uri" and header lines "Name: value" each ended by LF. */
static struct gate_verdict judge(struct world *w, const char *line, const char *head)
{
        struct gate_field fields[64];
        struct gate_verdict v;
        struct span text = span_of(line), method, rest = span_of(head), row, name;
        struct gate_request q = {.version = SPAN("HTTP/1.1"), .fields = fields, .peer = w->peer};
        span_cut(&text, ' ', &method);
        q.method = method;
        q.uri = text;
        while (span_cut(&rest, '\n', &row) && row.n > 0 && q.nfields < COUNT_OF(fields)) {
                span_cut(&row, ':', &name);
                fields[q.nfields++] = (struct gate_field){name, span_trim(row)};
        }
        gate_judge(&w->config, &q, w->arena, &v);
        return v;
}

struct row {
        const char *line, *head;
        unsigned status;
};

static void expect_rows(struct world *w, const struct row *rows, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                struct gate_verdict v = judge(w, rows[i].line, rows[i].head);
                if (v.status != rows[i].status)
                        fail_msg("%s\n%swanted %u, got %u %s", rows[i].line, rows[i].head, rows[i].status, v.status,
                                 v.message);
                assert_true(v.status != 0 || v.match.route != NULL);
        }
}

static void uncertain_framing_is_refused_and_closed(void **state)
{
        static const struct row rows[] = {
                {"POST /api/v1/things", HOST "Content-Length: 1\nContent-Length: 1\n", 400},
                {"POST /api/v1/things", HOST "Content-Length: 1\ncontent-length: 2\n", 400},
                {"POST /api/v1/things", HOST "Content-Length: 1\nTransfer-Encoding: chunked\n", 400},
                {"POST /api/v1/things", HOST "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n", 400},
                {"POST /api/v1/things", HOST "Transfer-Encoding: gzip, chunked\n", 400},
                {"POST /api/v1/things", HOST "Transfer-Encoding: identity\n", 400},
                {"POST /api/v1/things", HOST "Transfer-Encoding: xchunked\n", 400},
                {"POST /api/v1/things", HOST "Content-Length: +5\n", 400},
                {"POST /api/v1/things", HOST "Content-Length: 5, 5\n", 400},
                {"POST /api/v1/things", HOST "Content-Length: -1\n", 400},
                {"POST /api/v1/things", HOST "Content-Length: 0x5\n", 400},
                {"POST /api/v1/things", HOST "Content-Length: \n", 400},
                {"POST /api/v1/things", HOST "Content-Length: 99999999999999999999\n", 400},
                {"POST /api/v1/things", HOST "Content-Length : 5\n", 400},
                {"POST /api/v1/things", HOST "X(y): 5\n", 400},
                {"POST /api/v1/things",
                 HOST "X-A: a\x01"
                      "b\n",
                 400},
                {"G@T /api/v1/things", HOST, 400},
                {"GET /api/v1/things", HOST HOST, 400},
        };
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                struct gate_verdict v = judge(*state, rows[i].line, rows[i].head);
                if (v.status != 400 || !v.close)
                        fail_msg("%s\n%sgot %u, close %d", rows[i].line, rows[i].head, v.status, v.close);
        }
}

static void urls_are_decoded_by_segment(void **state)
{
        static const struct row bad[] = {
                {"GET /api/v1/things/a%00b", HOST, 400},
                {"GET /api/v1/things/a%0Ab", HOST, 400},
                {"GET /api/v1/things/%zz", HOST, 400},
                {"GET /api/v1/things/%4", HOST, 400},
                {"GET /api/v1/things/%", HOST, 400},
                {"GET /api/v1/things/%ff", HOST, 400},
                {"GET /api/v1/things/%c2%85", HOST, 400},
                {"GET /api/v1/things/..", HOST, 400},
                {"GET /api/v1/things/%2e%2e", HOST, 400},
                {"GET http://x/api/v1/things", HOST, 400},
                {"GET *", HOST, 400},
                {"GET ", HOST, 400},
                {"GET /api/v1/things?a=%00", HOST, 400},
                {"GET /api/v1/things?%ff=1", HOST, 400},
                {"GET /api/v1/things?a=b#c", HOST, 400},
                {"GET /api/v1/things/", HOST, 404},
                {"GET /api/v1/things//", HOST, 404},
                {"GET /", HOST, 404},
                {"GET /api/v1/th%69ngs", HOST, 0},
                {"GET /api/v1/things?&&a", HOST, 0},
        };
        expect_rows(*state, bad, COUNT_OF(bad));
        struct gate_verdict v = judge(*state, "GET /api/v1/things/a%2Fb+c%C3%A4", HOST);
        assert_int_equal(v.status, 0);
        assert_string_equal(v.match.params[0].name, "id");
        assert_string_equal(v.match.params[0].value, "a/b+c\xc3\xa4");
        v = judge(*state, "GET /api/v1/things?q=a+b%2Bc&q=&filter%5Bx%5D=1%0A&flag", HOST);
        assert_int_equal(v.status, 0);
        assert_int_equal(v.uri.nargs, 4);
        assert_string_equal(v.uri.args[0].value, "a b+c");
        assert_string_equal(v.uri.args[1].value, "");
        assert_string_equal(v.uri.args[2].name, "filter[x]");
        assert_string_equal(v.uri.args[2].value, "1\n");
        assert_string_equal(v.uri.args[3].value, "");
}

static void routes_are_found_and_methods_told(void **state)
{
        static const struct row rows[] = {
                {"GET /nowhere", HOST, 404},         {"GET /live/more", HOST, 404},
                {"PATCH /api/v1/things", HOST, 405}, {"BREW /api/v1/things", HOST, 405},
                {"BREW /nowhere", HOST, 404},        {"HEAD /api/v1/things", HOST, 0},
                {"HEAD /api/v1/files/x", HOST, 405}, {"OPTIONS /api/v1/things", HOST, 204},
                {"OPTIONS /nowhere", HOST, 404},
        };
        expect_rows(*state, rows, COUNT_OF(rows));
        assert_string_equal(judge(*state, "PUT /api/v1/things", HOST).allow, "GET, HEAD, POST, OPTIONS");
        assert_string_equal(judge(*state, "GET /api/v1/things/special", HOST).match.route->path,
                            "/api/v1/things/special");
        assert_string_equal(judge(*state, "DELETE /api/v1/things/special", HOST).match.route->path,
                            "/api/v1/things/{id}");
}

static void without_keys_the_host_must_be_known(void **state)
{
        static const struct row rows[] = {
                {"GET /api/v1/things", "Host: [::1]:8000\n", 0},
                {"GET /api/v1/things", "Host: LOCALHOST\n", 0},
                {"GET /api/v1/things", "Host: 192.168.1.4\n", 0},
                {"GET /api/v1/things", "Host: Files.lan:1\n", 0},
                {"GET /api/v1/things", "Host: other.lan:99\n", 0},
                {"GET /api/v1/things", "Host: other.lan:98\n", 403},
                {"GET /api/v1/things", "Host: evil.example\n", 403},
                {"GET /api/v1/things", "Host: localhost.evil.example\n", 403},
                {"GET /api/v1/things", "Host: 127.0.0.1.evil.example\n", 403},
                {"GET /api/v1/nowhere", "Host: evil.example\n", 403},
                {"GET /live", "Host: evil.example\n", 0},
                {"GET /live", "Host: a b\n", 400},
                {"GET /live", "Host: \n", 400},
                {"GET /live", "Host: x:0\n", 400},
                {"GET /live", "Host: x:99999\n", 400},
                {"GET /live", "Host: [::1\n", 400},
                {"GET /live", "Host: [evil]\n", 400},
                {"GET /live", "Host: user@x\n", 400},
                {"GET /live", "", 400},
        };
        expect_rows(*state, rows, COUNT_OF(rows));
        assert_non_null(strstr(judge(*state, "GET /api/v1/things", "Host: evil.example\n").message, "ALLOWED_HOSTS"));
}

static void without_keys_foreign_pages_are_refused(void **state)
{
        static const struct row rows[] = {
                {"POST /api/v1/things", HOST "Origin: http://127.0.0.1:8000\n", 0},
                {"POST /api/v1/things", HOST "Origin: https://127.0.0.1:8000\n", 0},
                {"POST /api/v1/things", "Host: 127.0.0.1\nOrigin: http://127.0.0.1:80\n", 0},
                {"POST /api/v1/things", "Host: 127.0.0.1:443\nOrigin: https://127.0.0.1\n", 0},
                {"POST /api/v1/things", HOST "Origin: http://127.0.0.1:8001\n", 403},
                {"POST /api/v1/things", HOST "Origin: http://localhost:8000\n", 403},
                {"POST /api/v1/things", HOST "Origin: null\n", 403},
                {"POST /api/v1/things", HOST "Origin: \n", 403},
                {"GET /api/v1/things", HOST "Origin: http://evil.example\n", 403},
                {"GET /api/v1/nowhere", HOST "Origin: http://evil.example\n", 403},
                {"GET /api/v1/things", HOST "Sec-Fetch-Site: cross-site\n", 403},
                {"GET /api/v1/things", HOST "Sec-Fetch-Site: same-site\n", 403},
                {"GET /api/v1/things", HOST "Sec-Fetch-Site: same-origin\n", 0},
                {"GET /api/v1/things", HOST "Sec-Fetch-Site: none\n", 0},
                {"GET /live", HOST "Sec-Fetch-Site: cross-site\n", 0},
                {"GET /api/v1/things", HOST "Origin: https://app.example\nSec-Fetch-Site: cross-site\n", 0},
                {"GET /api/v1/things", HOST "Origin: http://b.example:81\n", 0},
                {"GET /api/v1/things", HOST "Origin: http://b.example\n", 403},
                {"GET /api/v1/things", HOST "Origin: https://app.example\nOrigin: http://evil.example\n", 403},
                {"OPTIONS /api/v1/things", HOST "Origin: http://evil.example\nAccess-Control-Request-Method: POST\n",
                 403},
        };
        expect_rows(*state, rows, COUNT_OF(rows));
        struct gate_verdict v = judge(*state, "OPTIONS /api/v1/things",
                                      HOST "Origin: https://app.example\nAccess-Control-Request-Method: POST\n"
                                           "Access-Control-Request-Headers: x-api-key, content-type\n");
        assert_int_equal(v.status, 204);
        assert_true(v.preflight);
        assert_string_equal(v.cors_origin, "https://app.example");
        assert_string_equal(v.cors_headers, "x-api-key, content-type");
}

static void keys_open_what_their_scope_allows(void **state)
{
        struct world *w = *state;
        static const struct row rows[] = {
                {"GET /live", HOST, 0},
                {"GET /live", HOST "X-API-Key: wrong\n", 0},
                {"GET /api/v1/things", HOST, 401},
                {"GET /api/v1/things", HOST "X-API-Key: wrong\n", 401},
                {"GET /api/v1/things", HOST "X-API-Key: \n", 401},
                {"GET /api/v1/things", HOST "Authorization: Basic reader\n", 401},
                {"GET /api/v1/things", HOST "Authorization: Bearer wrong\n", 401},
                {"GET /api/v1/things", HOST KEY_READ, 0},
                {"GET /api/v1/things", HOST KEY_READ KEY_READ, 400},
                {"GET /api/v1/things", "Host: any.example\n" KEY_READ "Origin: http://evil.example\n", 0},
                {"POST /api/v1/things", HOST KEY_READ, 403},
                {"POST /api/v1/things", HOST KEY_ADMIN, 0},
                {"DELETE /api/v1/things/1", HOST KEY_ADMIN, 0},
                {"GET /api/v1/nowhere", HOST, 404},
                {"OPTIONS /api/v1/things", HOST, 204},
                {"GET /api/v1/things", HOST "Cookie: a=b; fa_session=token; c=d\n", 0},
                {"GET /api/v1/things", HOST "Cookie: fa_session=bad\n", 401},
                {"GET /api/v1/things", HOST "Cookie: xfa_session=token\n", 401},
                {"POST /api/v1/things", HOST "Cookie: fa_session=token\nOrigin: http://evil.example\n", 403},
                {"POST /api/v1/things", HOST "Cookie: fa_session=token\nSec-Fetch-Site: cross-site\n", 403},
                {"GET /api/v1/things", HOST "Cookie: fa_session=token\nSec-Fetch-Site: same-site\n", 403},
                {"GET /api/v1/things", HOST "Cookie: fa_session=token\nSec-Fetch-Site: same-origin\n", 0},
                {"GET /api/v1/things", HOST "Cookie: fa_session=token\nSec-Fetch-Site: none\n", 0},
                {"GET /api/v1/things", HOST KEY_READ "Sec-Fetch-Site: same-site\n", 0},
                {"POST /api/v1/door", HOST, 0},
                {"POST /api/v1/door", HOST "Origin: http://127.0.0.1:8000\n", 0},
                {"POST /api/v1/door", HOST "Origin: http://evil.example\n", 403},
                {"POST /api/v1/door", HOST "Sec-Fetch-Site: cross-site\n", 403},
                {"POST /api/v1/door", HOST "Sec-Fetch-Site: same-site\n", 403},
                {"GET /api/v1/things", HOST "X-API-Key: nobody knows\n", 503},
                {"DELETE /api/v1/all", HOST KEY_ADMIN, 0},
                {"DELETE /api/v1/all", HOST "X-API-Key: bound\n", 403},
        };
        w->config.keys_required = required;
        expect_rows(w, rows, COUNT_OF(rows));
        /* Open routes ask nobody who they are. */
        assert_int_equal(judge(w, "GET /live", HOST KEY_READ).caller.scope, HTTP_OPEN);
        assert_true(judge(w, "GET /api/v1/things", HOST "X-API-Key: wrong\n").key_refused);
        assert_false(judge(w, "GET /api/v1/things", HOST).key_refused);
        w->config.keys_required = NULL;
        assert_int_equal(judge(w, "GET /api/v1/things", HOST).caller.scope, HTTP_SCOPE_ADMIN);
}

static void bodies_are_judged_by_what_they_announce(void **state)
{
        struct world *w = *state;
        static const struct row rows[] = {
                {"POST /api/v1/things", HOST "Content-Length: 1048576\n", 0},
                {"POST /api/v1/things", HOST "Content-Length: 1048577\n", 413},
                {"PUT /api/v1/files/x", HOST "Content-Length: 1000\n", 0},
                {"PUT /api/v1/files/x", HOST "Content-Length: 1001\n", 413},
                {"PUT /api/v1/files/x", HOST "Transfer-Encoding: CHUNKED\n", 0},
                {"GET /api/v1/things", HOST "Content-Length: 65536\n", 0},
                {"GET /api/v1/things", HOST "Content-Length: 65537\n", 413},
                {"POST /api/v1/things", HOST "Content-Length: 2\nContent-Type: application/json\n", 0},
                {"POST /api/v1/things", HOST "Content-Length: 2\nContent-Type: Application/JSON; charset=\"UTF-8\"\n",
                 0},
                {"POST /api/v1/things", HOST "Content-Length: 2\nContent-Type: application/json; charset=latin1\n",
                 415},
                {"POST /api/v1/things", HOST "Content-Length: 2\nContent-Type: text/plain\n", 415},
                {"POST /api/v1/things", HOST "Content-Length: 2\nContent-Type: \n", 415},
                {"POST /api/v1/things", HOST "Content-Type: text/plain\n", 0},
        };
        expect_rows(w, rows, COUNT_OF(rows));
        assert_string_equal(judge(w, "PUT /api/v1/files/x", HOST "Content-Length: 1001\n").details, "{\"limit\":1000}");
        w->config.draining = true;
        static const struct row draining[] = {
                {"GET /live", HOST, 0}, {"GET /api/v1/things", HOST, 0}, {"POST /api/v1/things", HOST, 503}};
        expect_rows(w, draining, COUNT_OF(draining));
        w->config.draining = false;
}

/* A limit that lets nobody in but those who send nothing and are not "::1". */
struct turnstile {
        unsigned asked;
        uint64_t bytes;
        struct in6_addr last;
        char key[40];
};

static void admit(void *ctx, const struct http_visitor *who, uint64_t bytes, struct http_admission *out)
{
        struct turnstile *t = ctx;
        t->asked++;
        t->bytes = bytes;
        t->last = who->address;
        snprintf(t->key, sizeof t->key, "%s", who->caller->key_id);
        *out = (struct http_admission){.limit = "7 requests a second (X)"};
        if (bytes > 0 || memcmp(&who->address, &in6addr_loopback, 16) == 0)
                out->wait = dur_ms(1001);
}

static void past_a_limit_nobody_comes_in(void **state)
{
        struct world *w = *state;
        struct turnstile t = {0};
        static const struct row rows[] = {
                {"GET /api/v1/things", HOST, 0},
                {"POST /api/v1/things", HOST, 0},
                {"POST /api/v1/things", HOST "Content-Length: 5\n", 429},
                {"PUT /api/v1/files/x", HOST "Transfer-Encoding: chunked\n", 429},
                {"PUT /api/v1/files/x", HOST "Content-Length: 1001\n", 413},
                {"POST /api/v1/things", HOST "Content-Length: 2\nContent-Type: text/plain\n", 415},
                {"GET /live", HOST "Content-Length: 5\n", 0},
                {"GET /nowhere", HOST "Content-Length: 5\n", 404},
                {"OPTIONS /api/v1/things", HOST "Content-Length: 5\n", 204},
        };
        w->config.admit = admit;
        w->config.admit_ctx = &t;
        expect_rows(w, rows, COUNT_OF(rows));
        assert_int_equal(t.asked, 4); /* nobody is charged for what is refused anyhow, nor for a probe */
        struct gate_verdict v = judge(w, "POST /api/v1/things", HOST "Content-Length: 5\n");
        assert_int_equal(t.bytes, 5);
        assert_string_equal(v.code, "rate_limited");
        assert_string_equal(v.message, "past the limit of 7 requests a second (X); try again in 2 s");
        assert_string_equal(v.details, "{\"retry_after\":2}");
        assert_false(v.close);
        judge(w, "PUT /api/v1/files/x", HOST "Transfer-Encoding: chunked\n");
        assert_int_equal(t.bytes, 1);
        w->config.admit = NULL;
        assert_int_equal(judge(w, "POST /api/v1/things", HOST "Content-Length: 5\n").status, 0);
}

static void keys_count_for_themselves_and_wrong_ones_for_the_address(void **state)
{
        struct world *w = *state;
        struct turnstile t = {0};
        w->config.admit = admit;
        w->config.admit_ctx = &t;
        w->config.keys_required = required;
        assert_int_equal(judge(w, "GET /api/v1/things", HOST KEY_READ).status, 0);
        assert_string_equal(t.key, "key of reader");
        assert_int_equal(judge(w, "GET /api/v1/things", HOST "X-API-Key: wrong\nContent-Length: 5\n").status, 401);
        assert_string_equal(t.key, "");
        assert_int_equal(t.bytes, 0);
        assert_int_equal(judge(w, "DELETE /api/v1/things/1", HOST KEY_READ).status, 403);
        assert_int_equal(t.asked, 2);
        /* Keys may be tried at an open route that does something, too. */
        assert_int_equal(judge(w, "POST /api/v1/door", HOST).status, 0);
        assert_int_equal(t.asked, 3);
        assert_int_equal(judge(w, "GET /live", HOST).status, 0);
        assert_int_equal(t.asked, 3);
        w->peer = in6addr_loopback;
        assert_int_equal(judge(w, "POST /api/v1/door", HOST).status, 429);
        assert_int_equal(judge(w, "GET /api/v1/things", HOST "X-API-Key: wrong\n").status, 429);
        assert_int_equal(judge(w, "GET /api/v1/things", HOST).status, 429);
        w->peer = in6addr_any;
        w->config.keys_required = NULL;
        w->config.admit = NULL;
}

static void proxies_of_ours_speak_for_their_clients(void **state)
{
        struct world *w = *state;
        struct turnstile t = {0};
        struct networks *proxies = NULL;
        char text[INET6_ADDRSTRLEN];
        struct err e;
        static const struct {
                const char *head, *client;
        } rows[] = {
                {"X-Forwarded-For: 1.2.3.4\n", "1.2.3.4"},
                {"X-Forwarded-For: 1.2.3.4\nx-forwarded-for: 5.6.7.8\n", "5.6.7.8"},
                {"X-Forwarded-For: 1.2.3.4\nX-Forwarded-For: ::1\n", "1.2.3.4"},
                {"X-Forwarded-For: 9.9.9.9, 1.2.3.4\nX-Forwarded-For: ::1, ::1\n", "1.2.3.4"},
                {"X-Forwarded-For: 1.2.3.4\nX-Forwarded-For: nonsense\n", "::1"},
                {"X-Forwarded-For: nonsense\nX-Forwarded-For: ::1\n", "::1"},
                {"X-Forwarded-For: 1.2.3.4\nX-Forwarded-For: \n", "1.2.3.4"},
                {"X-Real-IP: 1.2.3.4\nForwarded: for=1.2.3.4\n", "::1"},
        };
        assert_int_equal(networks_parse("X", "::1", &proxies, &e), 0);
        w->config.proxies = proxies;
        w->config.admit = admit;
        w->config.admit_ctx = &t;
        w->peer = in6addr_loopback;
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                char head[200];
                snprintf(head, sizeof head, HOST "%s", rows[i].head);
                struct gate_verdict v = judge(w, "GET /api/v1/things", head);
                assert_string_equal(address_format(&v.client, text), rows[i].client);
                assert_memory_equal(&v.client, &t.last, sizeof t.last);
        }
        w->peer = (struct in6_addr){{{0x20, 1}}};
        struct gate_verdict v = judge(w, "GET /live", HOST "X-Forwarded-For: 1.2.3.4\n");
        assert_string_equal(address_format(&v.client, text), "2001::");
        /* What is refused before a header can be trusted is the peer's. */
        w->peer = in6addr_loopback;
        v = judge(w, "GET /live", HOST "A B: c\nX-Forwarded-For: 1.2.3.4\n");
        assert_string_equal(address_format(&v.client, text), "::1");
        networks_free(proxies);
        w->config.proxies = NULL;
        w->config.admit = NULL;
        w->peer = in6addr_any;
}

static void long_heads_are_refused(void **state)
{
        char *uri = mem_alloc(9000), *head = mem_alloc(20000);
        memset(uri, 'a', 9000);
        memcpy(uri, "GET /", 5);
        uri[4 + 8192] = '\0';
        assert_int_equal(judge(*state, uri, HOST).status, 404);
        uri[4 + 8192] = 'a';
        uri[5 + 8192] = '\0';
        assert_int_equal(judge(*state, uri, HOST).status, 414);
        memset(head, 'a', 20000);
        memcpy(head, HOST "X: ", sizeof HOST + 2);
        head[16380] = '\0';
        assert_int_equal(judge(*state, "GET /live", head).status, 0);
        head[16380] = 'a';
        head[16390] = '\0';
        assert_int_equal(judge(*state, "GET /live", head).status, 431);
        mem_free(uri);
        mem_free(head);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(uncertain_framing_is_refused_and_closed),
                cmocka_unit_test(urls_are_decoded_by_segment),
                cmocka_unit_test(routes_are_found_and_methods_told),
                cmocka_unit_test(without_keys_the_host_must_be_known),
                cmocka_unit_test(without_keys_foreign_pages_are_refused),
                cmocka_unit_test(keys_open_what_their_scope_allows),
                cmocka_unit_test(bodies_are_judged_by_what_they_announce),
                cmocka_unit_test(past_a_limit_nobody_comes_in),
                cmocka_unit_test(keys_count_for_themselves_and_wrong_ones_for_the_address),
                cmocka_unit_test(proxies_of_ours_speak_for_their_clients),
                cmocka_unit_test(long_heads_are_refused),
        };
        return cmocka_run_group_tests(tests, open_world, close_world);
}
