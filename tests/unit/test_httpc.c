/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client against a server that says exactly what a test wants, over a raw socket. */
#include <setjmp.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "httpc/httpc.h"
#include "unit/test_httpc_fake.h"

static struct httpc *client;

static int setup(void **state)
{
        struct err e;

        (void)state;
        return httpc_new(&client, &e);
}

static int teardown(void **state)
{
        (void)state;
        httpc_free(client);
        return 0;
}

/* One request to a server with one answer. */
static int ask(const char *answer, struct httpc_request q, struct httpc_response *r, struct err *e, struct buf *seen)
{
        struct fake f;
        char url[128];
        int rc;

        fake_start(&f, &answer, 1);
        q.url = url_of(&f, "/x", url);
        rc = httpc_do(client, &q, r, e);
        if (seen) {
                buf_init(seen, 8 << 20);
                buf_put(seen, f.seen[0].p, f.seen[0].n);
        }
        fake_stop(&f);
        return rc;
}

#define OK(extra, body) "HTTP/1.1 200 OK\r\nConnection: close\r\n" extra "\r\n" body

static void test_an_answer_brings_status_type_and_body(void **state)
{
        struct httpc_response r;
        struct err e;

        (void)state;
        assert_int_equal(ask("HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Type: application/json\r\n"
                             "Content-Length: 2\r\n\r\n{}",
                             (struct httpc_request){.method = "GET"}, &r, &e, NULL),
                         0);
        assert_int_equal(r.status, 503);
        assert_string_equal(r.retry_after, "7");
        assert_string_equal(r.content_type, "application/json");
        assert_string_equal(buf_str(&r.body), "{}");
        httpc_response_done(&r);
}

static void test_headers_and_body_are_sent_as_given(void **state)
{
        static const char *const headers[] = {"X-API-Key: k", "Content-Type: application/json"};
        struct httpc_response r;
        struct buf seen;
        struct err e;

        (void)state;
        assert_int_equal(ask(OK("", ""),
                             (struct httpc_request){
                                     .method = "PATCH", .headers = headers, .nheaders = 2, .body = SPAN("{\"a\":1}")},
                             &r, &e, &seen),
                         0);
        assert_int_equal(strncmp(buf_str(&seen), "PATCH /x HTTP/1.1\r\n", 19), 0);
        assert_non_null(strstr(buf_str(&seen), "\r\nX-API-Key: k\r\n"));
        assert_non_null(strstr(buf_str(&seen), "\r\nContent-Type: application/json\r\n"));
        assert_null(strstr(buf_str(&seen), "urlencoded"));
        assert_non_null(strstr(buf_str(&seen), "\r\n\r\n{\"a\":1}"));
        buf_done(&seen);
        httpc_response_done(&r);
}

static void test_a_line_break_in_a_header_is_refused(void **state)
{
        static const char *const headers[] = {"X-A: b\r\nX-API-Key: evil"};
        struct httpc_request q = {.url = "http://127.0.0.1:1/", .headers = headers, .nheaders = 1};
        struct httpc_response r;
        struct err e;

        (void)state;
        assert_int_equal(httpc_do(client, &q, &r, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        httpc_response_done(&r);
}

struct temp {
        char path[32];
        int fd;
};

static struct temp temp_file(const char *text, size_t n)
{
        struct temp t = {.path = "/tmp/test_httpc.XXXXXX"};
        struct err e;

        t.fd = mkstemp(t.path);
        assert_true(t.fd > 0);
        assert_int_equal(fd_write_all(t.fd, text, n, &e), 0);
        return t;
}

static void temp_done(struct temp *t)
{
        unlink(t->path);
        close(t->fd);
}

static void note_progress(void *ctx, uint64_t done, uint64_t total)
{
        uint64_t *seen = ctx;

        if (done > seen[0])
                seen[0] = done;
        if (total > seen[1])
                seen[1] = total;
}

static void test_a_multipart_body_streams_the_file(void **state)
{
        enum { SIZE = 3 << 20 };
        char *big = mem_alloc(SIZE);
        struct temp t;
        uint64_t progress[2] = {0};
        struct httpc_response r;
        struct buf seen;
        struct err e;

        (void)state;
        assert_non_null(big);
        memset(big, 'q', SIZE);
        t = temp_file(big, SIZE);
        const struct httpc_part parts[] = {{.name = "owner", .value = "me"},
                                           {.name = "files", .file = t.path, .filename = "K\"\303\244tzchen.jpg"}};
        assert_int_equal(
                ask(OK("", "done"),
                    (struct httpc_request){
                            .method = "POST", .parts = parts, .nparts = 2, .progress = note_progress, .ctx = progress},
                    &r, &e, &seen),
                0);
        assert_int_equal(r.status, 200);
        assert_string_equal(buf_str(&r.body), "done");
        assert_true(seen.n > SIZE);
        assert_non_null(strstr(buf_str(&seen), "name=\"owner\"\r\n\r\nme\r\n"));
        assert_non_null(strstr(buf_str(&seen), "name=\"files\"; filename=\"K%22\303\244tzchen.jpg\"\r\n"));
        assert_non_null(memmem(seen.p, seen.n, big, SIZE));
        assert_true(progress[0] > SIZE);
        assert_int_equal(progress[0], progress[1]);
        buf_done(&seen);
        httpc_response_done(&r);
        temp_done(&t);
        mem_free(big);
}

static void test_a_file_that_cannot_be_read_is_told_apart_from_the_network(void **state)
{
        static const struct {
                const char *path;
                enum err_code code;
        } cases[] = {{"/nonexistent/file", ERR_NOT_FOUND}, {"/tmp", ERR_INVALID}, {"/dev/null", ERR_INVALID}};
        struct httpc_response r;
        struct err e;

        (void)state;
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
                const struct httpc_part part = {.name = "files", .file = cases[i].path, .filename = "x"};
                struct httpc_request q = {.method = "POST", .url = "http://127.0.0.1:1/", .parts = &part, .nparts = 1};
                assert_int_equal(httpc_do(client, &q, &r, &e), -1);
                assert_int_equal(e.code, cases[i].code);
                httpc_response_done(&r);
        }
}

static void test_nobody_listening_is_unavailable(void **state)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof a;
        int fd =
                socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound but not listening: nobody else gets the port */
        struct httpc_response r;
        struct err e;
        char url[64];

        (void)state;
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
        snprintf(url, sizeof url, "http://127.0.0.1:%u/", ntohs(a.sin_port));
        struct httpc_request q = {.url = url};
        assert_int_equal(httpc_do(client, &q, &r, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        httpc_response_done(&r);
        close(fd);
}

static void test_a_silent_server_times_out(void **state)
{
        struct httpc_response r;
        struct err e;
        struct mono start = mono_now();

        (void)state;
        assert_int_equal(ask("", (struct httpc_request){.idle_timeout = dur_s(1)}, &r, &e, NULL), -1);
        assert_int_equal(e.code, ERR_TIMEOUT);
        assert_true(dur_seconds(mono_since(start)) < 10);
        httpc_response_done(&r);
}

static void test_an_answer_broken_off_is_unavailable(void **state)
{
        struct httpc_response r;
        struct err e;

        (void)state;
        assert_int_equal(
                ask("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", (struct httpc_request){0}, &r, &e, NULL),
                -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        httpc_response_done(&r);
}

/* What Swift sends too much after a HEAD stands before the next answer, if the connection was taken again meanwhile. */
static void test_an_answer_that_is_not_http_is_unavailable(void **state)
{
        struct httpc_response r;
        struct err e;

        (void)state;
        assert_int_equal(
                ask("0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", (struct httpc_request){0}, &r, &e, NULL),
                -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        httpc_response_done(&r);
}

static void test_an_answer_past_the_limit_is_refused(void **state)
{
        struct httpc_response r;
        struct err e;

        (void)state;
        assert_int_equal(ask(OK("", "0123456789"), (struct httpc_request){.max_body = 9}, &r, &e, NULL), -1);
        assert_int_equal(e.code, ERR_TOO_LARGE);
        httpc_response_done(&r);
        assert_int_equal(ask(OK("", "0123456789"), (struct httpc_request){.max_body = 10}, &r, &e, NULL), 0);
        httpc_response_done(&r);
}

static void test_only_a_good_answer_reaches_the_descriptor(void **state)
{
        struct temp t = temp_file("", 0);
        char got[16] = "";
        struct httpc_response r;
        struct err e;

        (void)state;
        assert_int_equal(ask("HTTP/1.1 404 No\r\nContent-Length: 4\r\n\r\ngone", (struct httpc_request){.out_fd = t.fd},
                             &r, &e, NULL),
                         0);
        assert_string_equal(buf_str(&r.body), "gone");
        assert_int_equal(pread(t.fd, got, sizeof got, 0), 0);
        httpc_response_done(&r);
        /* The limit holds for memory, not for the descriptor. */
        assert_int_equal(ask(OK("", "content"), (struct httpc_request){.out_fd = t.fd, .max_body = 2}, &r, &e, NULL),
                         0);
        assert_int_equal(r.body.n, 0);
        assert_int_equal(pread(t.fd, got, sizeof got, 0), 7);
        assert_memory_equal(got, "content", 7);
        httpc_response_done(&r);
        temp_done(&t);
}

static void test_a_full_disk_is_named_as_such(void **state)
{
        int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
        struct httpc_response r;
        struct err e;

        (void)state;
        if (fd < 0)
                skip();
        assert_int_equal(ask(OK("", "content"), (struct httpc_request){.out_fd = fd}, &r, &e, NULL), -1);
        assert_int_equal(e.code, ERR_NO_SPACE);
        httpc_response_done(&r);
        close(fd);
}

static void test_the_suggested_name_is_safe(void **state)
{
        static const struct {
                const char *header, *name;
        } cases[] = {
                {"attachment; filename=\"a b.jpg\"", "a b.jpg"},
                {"inline; filename=plain.txt", "plain.txt"},
                {"ATTACHMENT; FileName = \"x.txt\" ; size=3", "x.txt"},
                {"attachment; filename=\"old.jpg\"; filename*=UTF-8''K%C3%A4tzchen.jpg", "K\303\244tzchen.jpg"},
                {"attachment; filename*=utf-8'de'K%C3%A4tzchen.jpg; filename=\"old.jpg\"", "K\303\244tzchen.jpg"},
                {"attachment; filename*=ISO-8859-1''K%E4tzchen.jpg", "K\303\244tzchen.jpg"},
                {"attachment; filename*=UTF-8''%FF; filename=\"fallback\"", "fallback"},
                {"attachment; filename*=KOI8-R''x; filename=\"fallback\"", "fallback"},
                {"attachment; filename=\"../../etc/passwd\"", "passwd"},
                {"attachment; filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"},
                {"attachment; filename=\"C:\\temp\\x.doc\"", "x.doc"},
                {"attachment; filename=\"say \\\"hi\\\".txt\"", "say \"hi\".txt"},
                {"attachment; filename*=UTF-8''a%1B%0A%00b", "ab"},
                {"attachment; filename=\"..\"", ""},
                {"attachment; filename=\"a/\"", ""},
                {"attachment; filename=\"caf\351.txt\"", "caf_.txt"},
                {"attachment; filename=\"unterminated", "unterminated"},
                {"attachment", ""},
                {"attachment; filename", ""},
        };

        (void)state;
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
                char answer[512];
                struct httpc_response r;
                struct err e;

                snprintf(answer, sizeof answer, OK("Content-Disposition: %s\r\n", ""), cases[i].header);
                assert_int_equal(ask(answer, (struct httpc_request){0}, &r, &e, NULL), 0);
                assert_string_equal(r.filename, cases[i].name);
                httpc_response_done(&r);
        }
}

/* Two servers: the first redirects to the second, which is another origin. */
static void test_the_key_stays_behind_when_the_origin_changes(void **state)
{
        static const char *const headers[] = {"X-API-Key: secret"};
        const char *first_answers[2] = {"HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /here\r\n\r\n"};
        const char *second_answers[] = {OK("", "moved")};
        struct fake first, second;
        char redirect[256], url[128], target[128];
        struct httpc_response r;
        struct err e;

        (void)state;
        fake_start(&second, second_answers, 1);
        snprintf(redirect, sizeof redirect, "HTTP/1.1 307 Go\r\nConnection: close\r\nLocation: %s\r\n\r\n",
                 url_of(&second, "/there", target));
        first_answers[1] = redirect;
        fake_start(&first, first_answers, 2);
        struct httpc_request q = {.url = url_of(&first, "/", url), .headers = headers, .nheaders = 1};
        assert_int_equal(httpc_do(client, &q, &r, &e), 0);
        assert_string_equal(buf_str(&r.body), "moved");
        assert_int_equal(strncmp(buf_str(&first.seen[1]), "GET /here ", 10), 0);
        assert_non_null(strstr(buf_str(&first.seen[1]), "X-API-Key"));
        assert_int_equal(strncmp(buf_str(&second.seen[0]), "GET /there ", 11), 0);
        assert_null(strstr(buf_str(&second.seen[0]), "X-API-Key"));
        httpc_response_done(&r);
        fake_stop(&first);
        fake_stop(&second);
}

static void test_redirects_to_other_schemes_and_of_bodies_are_not_followed(void **state)
{
        struct httpc_response r;
        struct err e;

        (void)state;
        assert_int_equal(ask("HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: file:///etc/passwd\r\n\r\n",
                             (struct httpc_request){0}, &r, &e, NULL),
                         -1);
        assert_int_equal(e.code, ERR_INVALID);
        httpc_response_done(&r);
        assert_int_equal(ask("HTTP/1.1 307 Go\r\nConnection: close\r\nLocation: /again\r\n\r\n",
                             (struct httpc_request){.method = "POST", .body = SPAN("x")}, &r, &e, NULL),
                         0);
        assert_int_equal(r.status, 307);
        httpc_response_done(&r);
}

static void test_an_endless_redirect_ends(void **state)
{
        const char *loop = "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: /\r\n\r\n";
        const char *answers[MAX_ANSWERS] = {loop, loop, loop, loop, loop, loop, loop, loop};
        struct fake f;
        char url[128];
        struct httpc_response r;
        struct err e;

        (void)state;
        fake_start(&f, answers, MAX_ANSWERS);
        struct httpc_request q = {.url = url_of(&f, "/", url)};
        assert_int_equal(httpc_do(client, &q, &r, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        httpc_response_done(&r);
        fake_stop(&f);
}

static void test_other_schemes_are_refused(void **state)
{
        static const char *const urls[] = {"file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/", "",
                                           "http://"};

        (void)state;
        for (size_t i = 0; i < COUNT_OF(urls); i++) {
                struct httpc_request q = {.url = urls[i]};
                struct httpc_response r;
                struct err e;
                assert_int_equal(httpc_do(client, &q, &r, &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
                httpc_response_done(&r);
        }
}

static void test_loopback_needs_no_proxy(void **state)
{
        struct httpc_response r;
        struct err e;

        (void)state;
        setenv("http_proxy", "http://127.0.0.1:1", 1);
        assert_int_equal(ask(OK("", "direct"), (struct httpc_request){0}, &r, &e, NULL), 0);
        assert_string_equal(buf_str(&r.body), "direct");
        httpc_response_done(&r);
        unsetenv("http_proxy");
}

static void test_escape_leaves_unreserved_characters_alone(void **state)
{
        struct buf b;

        (void)state;
        buf_init(&b, 256);
        httpc_escape(&b, "Az09-._~ /?&=+%\303\244");
        assert_string_equal(buf_str(&b), "Az09-._~%20%2F%3F%26%3D%2B%25%C3%A4");
        buf_done(&b);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_an_answer_brings_status_type_and_body),
                cmocka_unit_test(test_headers_and_body_are_sent_as_given),
                cmocka_unit_test(test_a_line_break_in_a_header_is_refused),
                cmocka_unit_test(test_a_multipart_body_streams_the_file),
                cmocka_unit_test(test_a_file_that_cannot_be_read_is_told_apart_from_the_network),
                cmocka_unit_test(test_nobody_listening_is_unavailable),
                cmocka_unit_test(test_a_silent_server_times_out),
                cmocka_unit_test(test_an_answer_broken_off_is_unavailable),
                cmocka_unit_test(test_an_answer_that_is_not_http_is_unavailable),
                cmocka_unit_test(test_an_answer_past_the_limit_is_refused),
                cmocka_unit_test(test_only_a_good_answer_reaches_the_descriptor),
                cmocka_unit_test(test_a_full_disk_is_named_as_such),
                cmocka_unit_test(test_the_suggested_name_is_safe),
                cmocka_unit_test(test_the_key_stays_behind_when_the_origin_changes),
                cmocka_unit_test(test_redirects_to_other_schemes_and_of_bodies_are_not_followed),
                cmocka_unit_test(test_an_endless_redirect_ends),
                cmocka_unit_test(test_other_schemes_are_refused),
                cmocka_unit_test(test_loopback_needs_no_proxy),
                cmocka_unit_test(test_escape_leaves_unreserved_characters_alone),
        };

        return cmocka_run_group_tests(tests, setup, teardown);
}
