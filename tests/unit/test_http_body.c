/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies and connections under strain: refusals that a client must see although
 * it is still sending, slow and vanishing clients, caps, draining. What is
 * repeated is repeated because the fault it looks for is a race.
 */
#include "test_http_server.h"

#define REPEAT 50

static struct http_server *server;
static uint16_t port;
static const struct http_tuning quick = {
        .body_window = {300000000}, .head_window = {400000000}, .idle_seconds = 2, .drain = {2000000000}};

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
        assert_int_equal(atomic_load(&streams_open), 0);
        return 0;
}

static void expect_refusal(const struct answer *a, int status, const char *word)
{
        if (a->status != status || !strstr(a->body, word))
                fail_msg("wanted %d with %s, got %d: %s%s", status, word, a->status, a->head, a->body);
        assert_non_null(answer_header(a, "X-Request-ID"));
        assert_string_equal(answer_header(a, "Connection"), "close");
}

static void a_declared_length_over_the_limit_is_refused_while_sending(void **state)
{
        (void)state;
        for (int i = 0; i < REPEAT; i++)
                expect_refusal(client_push(port, "PUT /api/v1/up HTTP/1.1\r\n" HOST "Content-Length: 8388608\r\n\r\n",
                                           8 << 20, false),
                               413, "{\"limit\":2000000}");
}

static void a_chunked_body_over_the_limit_is_refused_while_sending(void **state)
{
        (void)state;
        for (int i = 0; i < REPEAT; i++)
                expect_refusal(client_push(port,
                                           "PUT /api/v1/up HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
                                           8 << 20, true),
                               413, "{\"limit\":2000000}");
        for (int i = 0; i < 5; i++)
                expect_refusal(client_push(port,
                                           "POST /api/v1/echo HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
                                           8 << 20, true),
                               413, "{\"limit\":100000}");
        assert_true(becomes(&streams_open, 0));
}

static void a_handler_may_refuse_in_mid_body(void **state)
{
        (void)state;
        int finished = atomic_load(&streams_finished);
        for (int i = 0; i < REPEAT; i++)
                expect_refusal(client_push(port,
                                           "PUT /api/v1/up HTTP/1.1\r\n" HOST
                                           "X-Full: 1\r\nContent-Length: 1900000\r\n\r\n",
                                           1900000, false),
                               503, "no space");
        assert_true(becomes(&streams_open, 0));
        assert_int_equal(atomic_load(&streams_finished), finished);
}

static void begin_may_refuse_a_body_unread(void **state)
{
        (void)state;
        for (int i = 0; i < REPEAT; i++)
                expect_refusal(client_push(port,
                                           "PUT /api/v1/up HTTP/1.1\r\n" HOST
                                           "X-Refuse: 1\r\nContent-Length: 1900000\r\n\r\n",
                                           1900000, false),
                               409, "not this one");
}

static void a_body_within_the_limit_arrives(void **state)
{
        (void)state;
        struct answer *a =
                client_push(port, "PUT /api/v1/up HTTP/1.1\r\n" HOST "Content-Length: 1966080\r\n\r\n", 1966080, false);
        assert_int_equal(a->status, 201);
        assert_string_equal(a->body, "1966080");
}

static void expect_100_is_answered_or_refused(void **state)
{
        (void)state;
        int fd = client_open(port);
        client_say(fd, "PUT /api/v1/up HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
        assert_int_equal(client_read(fd, false)->status, 100);
        client_say(fd, "abc");
        assert_int_equal(client_read(fd, false)->status, 201);
        close(fd);
        fd = client_open(port);
        client_say(fd, "PUT /api/v1/up HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3000000\r\n\r\n");
        expect_refusal(client_read(fd, false), 413, "limit");
        assert_true(client_closed(fd));
        close(fd);
}

static void a_vanished_client_ends_its_stream(void **state)
{
        (void)state;
        int finished = atomic_load(&streams_finished), ended = atomic_load(&streams_ended);
        for (int i = 0; i < 10; i++) {
                int fd = client_open(port);
                client_say(fd, "PUT /api/v1/up HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\nsome");
                assert_true(becomes(&streams_open, 1));
                close(fd);
                assert_true(becomes(&streams_open, 0));
        }
        assert_int_equal(atomic_load(&streams_finished), finished);
        assert_int_equal(atomic_load(&streams_ended), ended + 10);
}

static void a_slow_body_is_refused(void **state)
{
        struct http_opts o = server_opts();
        (void)state;
        o.min_body_rate = 10000;
        struct http_server *s = server_start(&o, &quick);
        int fd = client_open(http_server_port(s));
        client_say(fd, "PUT /api/v1/up HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\n");
        struct pollfd p = {.fd = fd, .events = POLLIN};
        for (int i = 0; i < 40 && poll(&p, 1, 20) == 0; i++)
                client_say(fd, "x");
        expect_refusal(client_read(fd, false), 408, "slower");
        close(fd);
        fd = client_open(http_server_port(s));
        int sent = 0;
        while (sent < 250 && client_say(fd, "G")) { /* a head that never ends */
                sleep_for(dur_ms(20));
                sent++;
        }
        assert_true(sent < 250);
        close(fd);
        http_server_stop(s);
        assert_true(becomes(&streams_open, 0));
}

static void *ask_held(void *arg)
{
        int *status = arg;
        int fd = client_open(port);
        char line[256] = {0};
        client_say(fd, "GET /api/v1/hold HTTP/1.1\r\n" HOST "\r\n");
        if (recv(fd, line, 12, MSG_WAITALL) == 12)
                *status = (int)strtol(line + 9, NULL, 10);
        close(fd);
        return NULL;
}

static void two_hundred_connections_are_served_at_once(void **state)
{
        enum { N = 200 };
        pthread_t threads[N];
        int status[N] = {0};
        (void)state;
        atomic_store(&hold, true);
        for (int i = 0; i < N; i++)
                assert_int_equal(thread_start(&threads[i], "client", ask_held, &status[i]), 0);
        for (int i = 0; i < 500 && http_server_wait_idle(server, mono_now()) < N; i++)
                sleep_for(dur_ms(10));
        assert_int_equal(http_server_wait_idle(server, mono_now()), N);
        assert_int_equal(client_ask(port, "GET /live HTTP/1.1\r\n" HOST "\r\n")->status,
                         200); /* nobody stalls the others */
        atomic_store(&hold, false);
        for (int i = 0; i < N; i++) {
                pthread_join(threads[i], NULL);
                assert_int_equal(status[i], 200);
        }
        assert_int_equal(http_server_wait_idle(server, mono_add(mono_now(), dur_s(5))), 0);
}

static int count_refused(uint16_t to, int n)
{
        int fds[64], refused = 0;
        assert_true(n <= 64);
        for (int i = 0; i < n; i++) {
                fds[i] = client_open(to);
                client_say(fds[i], "GET /live HTTP/1.1\r\n" HOST "\r\n");
                refused += client_read(fds[i], false)->status != 200;
        }
        for (int i = 0; i < n; i++)
                close(fds[i]);
        return refused;
}

static void connections_over_a_cap_are_closed_and_counted(void **state)
{
        enum { N = 10 };
        struct http_opts o = server_opts();
        pthread_t threads[N];
        int status[N] = {0};
        uint16_t before_port = port;
        (void)state;
        o.max_connections = N;
        double before = metrics_get(METRIC_HTTP_REJECTED_CONNECTIONS);
        struct http_server *s = server_start(&o, NULL);
        port = http_server_port(s);
        atomic_store(&hold, true); /* all at work: nobody gives way */
        for (int i = 0; i < N; i++)
                assert_int_equal(thread_start(&threads[i], "client", ask_held, &status[i]), 0);
        for (int i = 0; i < 500 && http_server_wait_idle(s, mono_now()) < N; i++)
                sleep_for(dur_ms(10));
        assert_int_equal(http_server_wait_idle(s, mono_now()), N);
        assert_int_equal(count_refused(port, 5), 5);
        assert_true(metrics_get(METRIC_HTTP_REJECTED_CONNECTIONS) == before + 5);
        atomic_store(&hold, false);
        for (int i = 0; i < N; i++) {
                pthread_join(threads[i], NULL);
                assert_int_equal(status[i], 200);
        }
        int refused = 1;
        for (int i = 0; i < 1000 && refused; i++, sleep_for(dur_ms(10))) /* room again once those are gone */
                refused = count_refused(port, N);
        assert_int_equal(refused, 0);
        http_server_stop(s);
        o.max_connections = 100;
        o.max_connections_per_ip = 3;
        s = server_start(&o, NULL);
        assert_int_equal(count_refused(http_server_port(s), 5), 2);
        http_server_stop(s);
        port = before_port;
}

/* A client knows that it is connected before the server has taken the connection from the listening socket. */
static bool refusals_become(double n)
{
        for (int i = 0; i < 1000 && metrics_get(METRIC_HTTP_REJECTED_CONNECTIONS) < n; i++)
                sleep_for(dur_ms(10));
        return metrics_get(METRIC_HTTP_REJECTED_CONNECTIONS) == n;
}

/* Who only holds connections keeps nobody out: the one idle longest gives way to each newcomer. */
static void idle_connections_give_way(void **state)
{
        enum { N = 10, MORE = 25 };
        struct http_opts o = server_opts();
        int fds[N + MORE];
        char c;
        (void)state;
        o.max_connections = N;
        double before = metrics_get(METRIC_HTTP_REJECTED_CONNECTIONS);
        struct http_server *s = server_start(&o, NULL);
        for (int i = 0; i < N + MORE; i++) {
                fds[i] = client_open(http_server_port(s));
                if (i % 2) { /* has asked and been answered, or has said half of a head */
                        client_say(fds[i], "GET /live HTTP/1.1\r\n" HOST "\r\n");
                        assert_int_equal(client_read(fds[i], false)->status, 200);
                } else {
                        client_say(fds[i], "GET /live HTTP/1.1\r\nX-Slow: ");
                }
                assert_true(refusals_become(before + (i < N ? 0 : i - N + 1)));
        }
        for (int i = 0; i < MORE; i++) /* the oldest are closed, in order */
                assert_true(recv(fds[i], &c, 1, 0) <= 0);
        for (int i = MORE + 1; i < N + MORE; i++) {
                assert_int_equal(recv(fds[i], &c, 1, MSG_DONTWAIT), -1);
                assert_int_equal(errno, EAGAIN);
        }
        for (int i = 0; i < N + MORE; i++)
                close(fds[i]);
        http_server_stop(s);
}

static void a_draining_server_finishes_what_it_has(void **state)
{
        struct http_opts o = server_opts();
        pthread_t held;
        int status = 0;
        uint16_t before = port;
        (void)state;
        struct http_server *s = server_start(&o, NULL);
        port = http_server_port(s);
        atomic_store(&hold, true);
        assert_int_equal(thread_start(&held, "client", ask_held, &status), 0);
        for (int i = 0; i < 500 && http_server_wait_idle(s, mono_now()) == 0; i++)
                sleep_for(dur_ms(10));
        http_server_drain(s);
        struct answer *a = client_ask(port, "GET /api/v1/echo HTTP/1.1\r\n" HOST "\r\n");
        assert_int_equal(a->status, 503);
        assert_non_null(answer_header(a, "Retry-After"));
        assert_int_equal(client_ask(port, "GET /live HTTP/1.1\r\n" HOST "\r\n")->status, 200);
        assert_int_equal(http_server_wait_idle(s, mono_add(mono_now(), dur_ms(50))), 1);
        atomic_store(&hold, false);
        assert_int_equal(http_server_wait_idle(s, mono_add(mono_now(), dur_s(5))), 0);
        pthread_join(held, NULL);
        assert_int_equal(status, 200);
        port = before;
        http_server_stop(s);
}

static void stopping_closes_what_is_open(void **state)
{
        struct http_opts o = server_opts();
        (void)state;
        struct http_server *s = server_start(&o, NULL);
        int idle = client_open(http_server_port(s)), busy = client_open(http_server_port(s));
        client_say(busy, "PUT /api/v1/up HTTP/1.1\r\n" HOST "Content-Length: 1000\r\n\r\nsome");
        assert_true(becomes(&streams_open, 1));
        struct mono begun = mono_now();
        http_server_stop(s);
        assert_true(dur_seconds(mono_since(begun)) < 10);
        assert_true(client_closed(idle) && client_closed(busy));
        assert_int_equal(atomic_load(&streams_open), 0);
        close(idle);
        close(busy);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_declared_length_over_the_limit_is_refused_while_sending),
                cmocka_unit_test(a_chunked_body_over_the_limit_is_refused_while_sending),
                cmocka_unit_test(a_handler_may_refuse_in_mid_body),
                cmocka_unit_test(begin_may_refuse_a_body_unread),
                cmocka_unit_test(a_body_within_the_limit_arrives),
                cmocka_unit_test(expect_100_is_answered_or_refused),
                cmocka_unit_test(a_vanished_client_ends_its_stream),
                cmocka_unit_test(a_slow_body_is_refused),
                cmocka_unit_test(two_hundred_connections_are_served_at_once),
                cmocka_unit_test(connections_over_a_cap_are_closed_and_counted),
                cmocka_unit_test(idle_connections_give_way),
                cmocka_unit_test(a_draining_server_finishes_what_it_has),
                cmocka_unit_test(stopping_closes_what_is_open),
        };
        return cmocka_run_group_tests(tests, start, stop);
}
