/* SPDX-License-Identifier: Apache-2.0 */
/* Questions and answers over a real socket: what each kind of request gets back, headers and all. */
#include "test_http_server.h"

static struct http_server *server;
static uint16_t port;

static int start(void **state)
{
        (void)state;
        log_init(getenv("HTTP_TEST_LOG") ? LOG_DEBUG : LOG_ERROR, LOG_TEXT);
        if (metrics_init())
                return -1;
        struct http_opts o = server_opts();
        server = server_start(&o, NULL);
        port = http_server_port(server);
        return 0;
}

static int stop(void **state)
{
        (void)state;
        http_server_stop(server);
        return 0;
}

static void expect_status(const char *request, int status)
{
        struct answer *a = client_ask(port, request);
        if (a->status != status)
                fail_msg("wanted %d, got %d for:\n%s\n%s%s", status, a->status, request, a->head, a->body);
        /* libmicrohttpd 1.0 refuses more by itself than 0.9.75 does; what it answers then is bare. */
        if (status == 400 && !answer_header(a, "X-Request-ID"))
                return;
        assert_non_null(answer_header(a, "X-Request-ID"));
        assert_string_equal(answer_header(a, "X-Content-Type-Options"), "nosniff");
        assert_string_equal(answer_header(a, "Referrer-Policy"), "no-referrer");
        assert_null(answer_header(a, "Server"));
}

static void requests_get_their_status(void **state)
{
        static const struct {
                const char *request;
                int status;
        } rows[] = {
                {"GET /live HTTP/1.1\r\n" HOST "\r\n", 200},
                {"GET /live HTTP/1.0\r\n\r\n", 200},
                {"GET /nope HTTP/1.1\r\n" HOST "\r\n", 404},
                {"PUT /live HTTP/1.1\r\n" HOST "\r\n", 405},
                {"BREW /live HTTP/1.1\r\n" HOST "\r\n", 405},
                {"G@T /live HTTP/1.1\r\n" HOST "\r\n", 400},
                {"GET /live HTTP/1.1\r\n" HOST HOST "\r\n", 400},
                {"GET /live HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
                {"GET /live HTTP/1.1\r\n" HOST "Bad Name: x\r\n\r\n", 400},
                {"GET /live HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\nabc", 400},
                {"GET /api/v1/name/%00 HTTP/1.1\r\n" HOST "\r\n", 400},
                {"GET /api/v1/name/%zz HTTP/1.1\r\n" HOST "\r\n", 400},
                {"POST /api/v1/echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400},
                {"POST /api/v1/echo HTTP/1.1\r\n" HOST
                 "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 400},
                {"POST /api/v1/echo HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
                {"POST /api/v1/echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\nContent-Type: text/plain\r\n\r\n{}", 415},
                {"POST /api/v1/echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", 200},
                {"POST /api/v1/echo HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 200},
                {"POST /api/v1/echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200},
                {"GET /api/v1/echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}", 200},
                {"GET /api/v1/echo HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403},
                {"GET /api/v1/echo HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\n\r\n", 403},
                {"GET /api/v1/echo HTTP/1.1\r\n" HOST "Sec-Fetch-Site: cross-site\r\n\r\n", 403},
                {"GET /api/v1/silent HTTP/1.1\r\n" HOST "\r\n", 500},
                {"OPTIONS /api/v1/echo HTTP/1.1\r\n" HOST "\r\n", 204},
                {"PUT /api/v1/up HTTP/1.1\r\n" HOST "X-Refuse: 1\r\nContent-Length: 0\r\n\r\n", 409},
                {"PUT /api/v1/up HTTP/1.1\r\n" HOST "\r\n", 201},
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++)
                expect_status(rows[i].request, rows[i].status);
        assert_string_equal(answer_header(client_ask(port, "PUT /live HTTP/1.1\r\n" HOST "\r\n"), "Allow"),
                            "GET, HEAD, OPTIONS");
}

static void long_heads_are_refused(void **state)
{
        char *text = mem_alloc(40000);
        (void)state;
        memset(text, 'a', 40000);
        memcpy(text, "GET /", 5);
        memcpy(text + 9000, " HTTP/1.1\r\n" HOST "\r\n", sizeof " HTTP/1.1\r\n" HOST "\r\n");
        expect_status(text, 414);
        memset(text, 'a', 40000);
        memcpy(text, "GET / HTTP/1.1\r\n" HOST "X: ", sizeof "GET / HTTP/1.1\r\n" HOST "X: " - 1);
        memcpy(text + 17000, "\r\n\r\n", 5);
        expect_status(text, 431);
        memset(text, 'a', 40000);
        memcpy(text, "GET / HTTP/1.1\r\n" HOST "X: ", sizeof "GET / HTTP/1.1\r\n" HOST "X: " - 1);
        memcpy(text + 39000, "\r\n\r\n", 5);
        assert_int_equal(client_ask(port, text)->status, 431); /* the library's own, without our headers */
        mem_free(text);
}

static void errors_have_one_shape(void **state)
{
        static const struct {
                enum err_code code;
                int status;
        } rows[] = {{ERR_INVALID, 400},   {ERR_FORBIDDEN, 403},   {ERR_NOT_FOUND, 404}, {ERR_CONFLICT, 409},
                    {ERR_TOO_LARGE, 413}, {ERR_UNSUPPORTED, 415}, {ERR_CORRUPT, 422},   {ERR_STALE, 409},
                    {ERR_BUSY, 503},      {ERR_TIMEOUT, 503},     {ERR_NO_SPACE, 503},  {ERR_UNAVAILABLE, 503},
                    {ERR_CRASHED, 500},   {ERR_IO, 500},          {ERR_OOM, 503},       {ERR_INTERNAL, 500}};
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                char request[128];
                snprintf(request, sizeof request, "GET /api/v1/err/%d HTTP/1.1\r\n" HOST "X-Request-ID: me-7\r\n\r\n",
                         rows[i].code);
                struct answer *a = client_ask(port, request);
                assert_int_equal(a->status, rows[i].status);
                assert_string_equal(answer_header(a, "Content-Type"), "application/json; charset=utf-8");
                assert_string_equal(answer_header(a, "X-Request-ID"), "me-7");
                assert_non_null(strstr(a->body, "\"request_id\":\"me-7\""));
                assert_int_equal(strstr(a->body, "secret") != NULL, rows[i].status != 500);
                assert_int_equal(answer_header(a, "Retry-After") != NULL, rows[i].status == 503);
        }
        struct answer *a = client_ask(port, "GET /nope HTTP/1.1\r\n" HOST "X-Request-ID: a\"b\r\n\r\n");
        assert_int_equal(strlen(answer_header(a, "X-Request-ID")), 36);
}

static void names_keep_their_slashes(void **state)
{
        (void)state;
        struct answer *a = client_ask(port, "GET /api/v1/name/a%2fb%20c+d HTTP/1.1\r\n" HOST "\r\n");
        assert_string_equal(a->body, "a/b c+d");
        a = client_ask(port, "GET /api/v1/echo?q=%22a+b%2B HTTP/1.1\r\n" HOST "\r\n");
        assert_string_equal(a->body, "{\"n\":0,\"scope\":3,\"q\":\"\\\"a b+\"}");
}

static void a_connection_carries_many_requests(void **state)
{
        (void)state;
        int fd = client_open(port);
        for (int i = 0; i < 20; i++) { /* a refusal without a body keeps the connection too */
                client_say(fd, i % 3 ? "GET /live HTTP/1.1\r\n" HOST "\r\n" : "GET /nope HTTP/1.1\r\n" HOST "\r\n");
                assert_int_equal(client_read(fd, false)->status, i % 3 ? 200 : 404);
        }
        client_say(fd, "POST /api/v1/echo HTTP/1.1\r\n" HOST "Content-Length: 2\r\n\r\n{}"
                       "HEAD /live HTTP/1.1\r\n" HOST "\r\n"
                       "GET /nope HTTP/1.1\r\n" HOST "\r\n"
                       "GET /api/v1/name/x HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n");
        assert_int_equal(client_read(fd, false)->status, 200);
        assert_int_equal(client_read(fd, true)->status, 200);
        assert_int_equal(client_read(fd, false)->status, 404);
        assert_string_equal(client_read(fd, false)->body, "x");
        assert_true(client_closed(fd));
        close(fd);
}

static void expect_bytes(const struct answer *a, uint64_t first, size_t n)
{
        assert_int_equal(a->n, n);
        for (size_t i = 0; i < n && i < sizeof a->body - 1; i++)
                assert_int_equal(a->body[i], content_at(first + i));
}

static struct answer *ask_content(const char *method, const char *how, const char *headers)
{
        char request[2048];
        snprintf(request, sizeof request, "%s /api/v1/content/%s HTTP/1.1\r\n" HOST "%s\r\n", method, how, headers);
        return client_ask(port, request);
}

static void stored_bytes_come_whole_in_part_or_not(void **state)
{
        static const char *const ways[] = {"fd", "read"};
        (void)state;
        for (size_t i = 0; i < 2; i++) {
                struct answer *a = ask_content("GET", ways[i], "");
                assert_int_equal(a->status, 200);
                expect_bytes(a, 0, CONTENT_SIZE);
                assert_string_equal(answer_header(a, "ETag"), "\"tag\"");
                assert_string_equal(answer_header(a, "Accept-Ranges"), "bytes");
                assert_string_equal(answer_header(a, "Cache-Control"), "private, no-cache");
                assert_string_equal(answer_header(a, "Last-Modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
                a = ask_content("HEAD", ways[i], "");
                assert_int_equal(a->status, 200);
                assert_string_equal(answer_header(a, "Content-Length"), "100000");
                a = ask_content("GET", ways[i], "Range: bytes=1000-1999\r\n");
                assert_int_equal(a->status, 206);
                assert_string_equal(answer_header(a, "Content-Range"), "bytes 1000-1999/100000");
                expect_bytes(a, 1000, 1000);
                a = ask_content("GET", ways[i], "Range: bytes=-7\r\nIf-Range: \"tag\"\r\n");
                assert_int_equal(a->status, 206);
                expect_bytes(a, CONTENT_SIZE - 7, 7);
                a = ask_content("GET", ways[i], "Range: bytes=0-1\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
                assert_int_equal(a->status, 206);
                a = ask_content("GET", ways[i], "Range: bytes=0-1\r\nIf-Range: \"old\"\r\n");
                assert_int_equal(a->status, 200);
                a = ask_content("GET", ways[i], "Range: bytes=0-1,5-6\r\n");
                assert_int_equal(a->status, 200);
                a = ask_content("GET", ways[i], "Range: bytes=100000-\r\n");
                assert_int_equal(a->status, 416);
                assert_string_equal(answer_header(a, "Content-Range"), "bytes */100000");
                a = ask_content("GET", ways[i], "If-None-Match: \"x\", W/\"tag\"\r\n");
                assert_int_equal(a->status, 304);
                assert_string_equal(answer_header(a, "ETag"), "\"tag\"");
                assert_int_equal(ask_content("GET", ways[i], "If-None-Match: *\r\n")->status, 304);
                assert_int_equal(ask_content("GET", ways[i], "If-None-Match: \"x\"\r\n")->status, 200);
                a = ask_content("GET", ways[i], "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
                assert_int_equal(a->status, 304);
        }
        struct answer *a = ask_content("GET", "unsized", "Range: bytes=0-1\r\n");
        assert_int_equal(a->status, 200);
        expect_bytes(a, 0, CONTENT_SIZE);
        assert_null(answer_header(a, "Accept-Ranges"));
}

static void no_filename_adds_a_header(void **state)
{
        (void)state;
        struct answer *a = ask_content("HEAD", "fd?attachment&name=a%0D%0ASet-Cookie:%20x=1%22;%C3%A4", "");
        assert_int_equal(a->status, 200);
        assert_null(answer_header(a, "Set-Cookie"));
        assert_string_equal(answer_header(a, "Content-Disposition"),
                            "attachment; filename=\"a__Set-Cookie: x=1___\"; "
                            "filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x%3D1%22%3B%C3%A4");
        assert_string_equal(answer_header(a, "Content-Security-Policy"), "sandbox; default-src 'none'");
        assert_string_equal(answer_header(ask_content("HEAD", "fd?name=x", ""), "Content-Security-Policy"),
                            "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'");
        a = client_ask(port, "GET /api/v1/redirect?to=/x%0D%0ASet-Cookie:%20y HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(a->status, 308);
        assert_string_equal(answer_header(a, "Location"), "/x%0D%0ASet-Cookie:%20y");
}

static void allowed_origins_get_cors_headers(void **state)
{
        (void)state;
        struct answer *a = client_ask(port, "GET /api/v1/echo HTTP/1.1\r\n" HOST "Origin: https://app.example\r\n\r\n");
        assert_int_equal(a->status, 200);
        assert_string_equal(answer_header(a, "Access-Control-Allow-Origin"), "https://app.example");
        assert_string_equal(answer_header(a, "Vary"), "Origin");
        a = client_ask(port,
                       "OPTIONS /api/v1/echo HTTP/1.1\r\n" HOST "Origin: https://app.example\r\n"
                       "Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-api-key\r\n\r\n");
        assert_int_equal(a->status, 204);
        assert_string_equal(answer_header(a, "Access-Control-Allow-Methods"), "GET, HEAD, POST, DELETE, OPTIONS");
        assert_string_equal(answer_header(a, "Access-Control-Allow-Headers"), "x-api-key");
        a = client_ask(port, "GET /api/v1/echo HTTP/1.1\r\n" HOST "\r\n");
        assert_null(answer_header(a, "Access-Control-Allow-Origin"));
}

static void keys_are_asked_for_once_there_are_any(void **state)
{
        (void)state;
        server_keys_needed = true;
        struct answer *a = client_ask(port, "GET /api/v1/echo HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(a->status, 401);
        assert_string_equal(answer_header(a, "WWW-Authenticate"), "Bearer");
        expect_status("GET /live HTTP/1.1\r\n" HOST "\r\n", 200);
        expect_status("GET /api/v1/echo HTTP/1.1\r\n" HOST "X-API-Key: x\r\n\r\n", 401);
        expect_status("GET /api/v1/echo HTTP/1.1\r\nHost: any.example\r\nX-API-Key: reader\r\n\r\n", 200);
        expect_status("DELETE /api/v1/echo HTTP/1.1\r\n" HOST "X-API-Key: reader\r\n\r\n", 403);
        expect_status("DELETE /api/v1/echo HTTP/1.1\r\n" HOST "Authorization: Bearer admin\r\n\r\n", 200);
        expect_status("GET /api/v1/echo HTTP/1.1\r\n" HOST "Cookie: fa_session=reader\r\n\r\n", 200);
        server_keys_needed = false;
}

static void answers_are_counted_before_they_are_read(void **state)
{
        (void)state;
        double before = metrics_get(METRIC_HTTP_REQUESTS, "GET", "/api/v1/name/{name}", "200");
        client_ask(port, "GET /api/v1/name/y HTTP/1.1\r\n" HOST "\r\n");
        client_ask(port, "HEAD /api/v1/name/y HTTP/1.1\r\n" HOST "\r\n");
        assert_true(metrics_get(METRIC_HTTP_REQUESTS, "GET", "/api/v1/name/{name}", "200") == before + 2);
        before = metrics_get(METRIC_HTTP_REQUESTS, "GET", "unmatched", "404");
        client_ask(port, "GET /nowhere HTTP/1.1\r\n" HOST "\r\n");
        assert_true(metrics_get(METRIC_HTTP_REQUESTS, "GET", "unmatched", "404") == before + 1);
}

static void a_taken_port_is_reported_by_name(void **state)
{
        struct http_opts o = server_opts();
        struct http_server *s = NULL;
        struct err e;
        (void)state;
        o.port = port;
        assert_int_equal(http_server_start(&o, &s, &e), -1);
        assert_non_null(strstr(e.msg, "Address already in use"));
        o.host = "no such host";
        assert_int_equal(http_server_start(&o, &s, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        o.host = "::1";
        o.port = 0;
        if (http_server_start(&o, &s, &e) == 0)
                http_server_stop(s);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(requests_get_their_status),
                cmocka_unit_test(long_heads_are_refused),
                cmocka_unit_test(errors_have_one_shape),
                cmocka_unit_test(names_keep_their_slashes),
                cmocka_unit_test(a_connection_carries_many_requests),
                cmocka_unit_test(stored_bytes_come_whole_in_part_or_not),
                cmocka_unit_test(no_filename_adds_a_header),
                cmocka_unit_test(allowed_origins_get_cors_headers),
                cmocka_unit_test(keys_are_asked_for_once_there_are_any),
                cmocka_unit_test(answers_are_counted_before_they_are_read),
                cmocka_unit_test(a_taken_port_is_reported_by_name),
        };
        return cmocka_run_group_tests(tests, start, stop);
}
