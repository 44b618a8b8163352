/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server does with the answer of its admit callback: refusals that reach
 * a client which is still sending, and the bytes of bodies that announce none.
 */
#include "test_http_server.h"

#define LENGTH  "Content-Length: 8388608\r\n"
#define CHUNKED "Transfer-Encoding: chunked\r\n"

static struct http_server *server;
static uint16_t port;

/* Refuses what has more than a million bytes to come, and counts. */
static atomic_ullong asked, announced, arrived;

static void admit(void *ctx, const struct http_visitor *who, uint64_t bytes, struct http_admission *out)
{
        (void)ctx;
        assert(IN6_IS_ADDR_V4MAPPED(&who->address));
        if (!out) {
                atomic_fetch_add(&arrived, bytes);
                return;
        }
        atomic_fetch_add(&asked, 1);
        atomic_fetch_add(&announced, bytes);
        *out = (struct http_admission){
                .quota = 40, .left = 7, .reset = dur_ms(2001), .limit = "5 bytes a second (RATE_LIMIT_BYTES)"};
        if (bytes > 1000000)
                out->wait = dur_ms(3000);
}

static int start(void **state)
{
        (void)state;
        log_init(LOG_ERROR, LOG_TEXT);
        if (metrics_init())
                return -1;
        struct http_opts o = server_opts();
        o.admit = admit;
        o.trusted_proxies = "127.0.0.0/8";
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

static void forget(void)
{
        atomic_store(&asked, 0);
        atomic_store(&announced, 0);
        atomic_store(&arrived, 0);
}

static void a_refused_body_is_answered_while_it_is_sent(void **state)
{
        (void)state;
        for (int i = 0; i < 50; i++) {
                const struct answer *a = client_push(
                        port, "PUT /api/v1/up HTTP/1.1\r\n" HOST "Content-Length: 1900000\r\n\r\n", 1900000, false);
                assert_int_equal(a->status, 429);
                assert_non_null(strstr(a->body, "\"code\":\"rate_limited\""));
                assert_non_null(strstr(a->body, "RATE_LIMIT_BYTES"));
                assert_string_equal(answer_header(a, "Retry-After"), "3");
                assert_string_equal(answer_header(a, "RateLimit-Limit"), "40");
                assert_string_equal(answer_header(a, "RateLimit-Remaining"), "7");
                assert_string_equal(answer_header(a, "RateLimit-Reset"), "3");
                assert_string_equal(answer_header(a, "Connection"), "close");
        }
        assert_int_equal(atomic_load(&streams_open), 0);
}

static void what_is_let_in_is_told_what_is_left(void **state)
{
        (void)state;
        forget();
        const struct answer *a = client_ask(port, "GET /api/v1/echo HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(a->status, 200);
        assert_string_equal(answer_header(a, "RateLimit-Remaining"), "7");
        assert_null(answer_header(a, "Retry-After"));
        a = client_ask(port, "GET /live HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(a->status, 200);
        assert_null(answer_header(a, "RateLimit-Remaining"));
        assert_int_equal(atomic_load(&asked), 1);
        assert_int_equal(atomic_load(&announced), 0);
}

static void an_announced_body_is_charged_once_at_the_gate(void **state)
{
        (void)state;
        forget();
        const struct answer *a =
                client_push(port, "PUT /api/v1/up HTTP/1.1\r\n" HOST "Content-Length: 983040\r\n\r\n", 983040, false);
        assert_int_equal(a->status, 201);
        assert_int_equal(atomic_load(&announced), 983040);
        assert_int_equal(atomic_load(&arrived), 0);
}

static void an_unannounced_body_is_charged_as_it_comes(void **state)
{
        (void)state;
        forget();
        int fd = client_open(port);
        client_say(fd, "PUT /api/v1/up HTTP/1.1\r\n" HOST CHUNKED "\r\n");
        client_say(fd, "3\r\nabc\r\n0\r\n\r\n");
        assert_int_equal(client_read(fd, false)->status, 201);
        assert_int_equal(atomic_load(&announced) + atomic_load(&arrived), 3);
        forget();
        client_say(fd, "PUT /api/v1/up HTTP/1.1\r\n" HOST CHUNKED "\r\n");
        static char block[65536 + 9];
        memcpy(block, "10000\r\n", 7);
        memcpy(block + 7 + 65536, "\r\n", 2);
        for (int i = 0; i < 8; i++)
                client_send(fd, block, sizeof block);
        for (int i = 0; i < 500 && atomic_load(&arrived) == 0; i++)
                sleep_for(dur_ms(10));
        assert_in_range(atomic_load(&arrived), 1, 524287); /* while the body is still coming */
        /* The client goes away: what came is charged all the same. */
        close(fd);
        for (int i = 0; i < 500 && atomic_load(&arrived) + 1 < 524288; i++)
                sleep_for(dur_ms(10));
        assert_int_equal(atomic_load(&announced) + atomic_load(&arrived), 524288);
}

static void an_empty_chunked_body_costs_next_to_nothing(void **state)
{
        (void)state;
        forget();
        int fd = client_open(port);
        client_say(fd, "PUT /api/v1/up HTTP/1.1\r\n" HOST CHUNKED "\r\n0\r\n\r\n");
        assert_int_equal(client_read(fd, false)->status, 201);
        close(fd);
        assert_int_equal(atomic_load(&announced), 1);
        assert_int_equal(atomic_load(&arrived), 0);
}

static void a_refusal_over_the_size_is_not_charged(void **state)
{
        (void)state;
        forget();
        const struct answer *a = client_push(port, "PUT /api/v1/up HTTP/1.1\r\n" HOST LENGTH "\r\n", 8 << 20, false);
        assert_int_equal(a->status, 413);
        assert_int_equal(atomic_load(&asked), 0);
}

static void refusals_are_counted_from_zero_on(void **state)
{
        static const char line[] = "http_requests_total{method=\"DELETE\",route=\"/api/v1/echo\",status=\"429\"} 0";
        struct buf b;
        (void)state;
        buf_init(&b, 4 << 20);
        metrics_render(&b);
        assert_non_null(strstr(buf_str(&b), line));
        assert_null(strstr(buf_str(&b), "route=\"/live\",status=\"429\""));
        buf_done(&b);
}

static void a_bad_network_stops_the_start(void **state)
{
        struct http_opts o = server_opts();
        struct http_server *s = NULL;
        struct err e;
        (void)state;
        o.trusted_proxies = "127.0.0.1, 10.0.0.0/40";
        assert_int_equal(http_server_start(&o, &s, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        assert_non_null(strstr(e.msg, "TRUSTED_PROXIES"));
        assert_non_null(strstr(e.msg, "10.0.0.0/40"));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_refused_body_is_answered_while_it_is_sent),
                cmocka_unit_test(what_is_let_in_is_told_what_is_left),
                cmocka_unit_test(an_announced_body_is_charged_once_at_the_gate),
                cmocka_unit_test(an_unannounced_body_is_charged_as_it_comes),
                cmocka_unit_test(an_empty_chunked_body_costs_next_to_nothing),
                cmocka_unit_test(a_refusal_over_the_size_is_not_charged),
                cmocka_unit_test(refusals_are_counted_from_zero_on),
                cmocka_unit_test(a_bad_network_stops_the_start),
        };
        return cmocka_run_group_tests(tests, start, stop);
}
