/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue on a real redis-server, which the tests start, stop, freeze and
 * empty. The hard thing is that most promises are about what happens without
 * one, so each test leaves a running, empty Redis behind.
 */
#include "queue_suite.h"
#include "redis_server.h"

#include <stdio.h>
#include <string.h>

#define STREAM "file-allocator:wake"

/* ---- queues and waiters ------------------------------------------------------------------------ */

static struct queue *open_at(const char *where, const char *instance)
{
        struct queue *q = NULL;
        struct err e = {0};

        if (queue_open(&(struct queue_opts){"redis", where, instance}, &q, &e) < 0)
                fail_msg("%s", e.msg);
        return q;
}

static struct queue *suite_open(void)
{
        assert_int_equal(command("FLUSHALL"), 0);
        return open_at(url, "suite");
}

static void await_state(struct queue *q, bool connected)
{
        struct queue_state st;
        int tries = 0;

        do {
                queue_state(q, &st);
                if (st.connected == connected)
                        break;
                sleep_for(dur_ms(10));
        } while (tries++ < 1500);
        assert_int_equal(st.connected, connected);
        assert_int_equal(st.note[0] == '\0', connected);
}

static void await(long long value, const char *cmd)
{
        long long n = command(cmd);

        for (int i = 0; i < 1000 && n > value; i++) {
                sleep_for(dur_ms(10));
                n = command(cmd);
        }
        assert_in_range(n, 0, value);
}

/* Waits in a until it gives up, so that it has one waiter the test can count. */
struct listener {
        struct queue *q;
        pthread_t t;
        atomic_bool stop;
        atomic_int heard;
};

static void *listen_on(void *arg)
{
        struct listener *l = arg;

        while (!atomic_load(&l->stop))
                if (queue_wait(l->q, ANALYSE, in_ms(500)))
                        atomic_fetch_add(&l->heard, 1);
        return NULL;
}

static void listen_start(struct listener *l, struct queue *q)
{
        l->q = q;
        assert_int_equal(thread_start(&l->t, "listener", listen_on, l), 0);
        sleep_for(dur_ms(50));
}

static int listen_end(struct listener *l)
{
        atomic_store(&l->stop, true);
        pthread_join(l->t, NULL);
        return atomic_load(&l->heard);
}

static void hears_within(struct listener *l, int before, int ms)
{
        for (int i = 0; i < ms && atomic_load(&l->heard) == before; i++)
                sleep_for(dur_ms(1));
        assert_int_equal(atomic_load(&l->heard), before + 1);
}

/* ---- the address --------------------------------------------------------------------------------- */

static void a_malformed_url_is_refused_without_repeating_it(void **state)
{
        static const char *const bad[] = {
                "",
                "127.0.0.1:6379",
                "http://hush/",
                "rediss://:hush@localhost",
                "redis://",
                "redis://:hush@",
                "redis://hush@localhost",
                "redis://me:@localhost",
                "redis://:hush%2@localhost",
                "redis://:hush%00@localhost",
                "redis://:hush@local host",
                "redis://:hush@localhost:",
                "redis://:hush@localhost:0",
                "redis://:hush@localhost:65536",
                "redis://:hush@localhost:80x",
                "redis://:hush@localhost/one",
                "redis://:hush@localhost/-1",
                "redis://:hush@localhost/1/2",
                "redis://:hush@[::1",
                "redis://:hush@[::1]6379",
                "unix://:hush@relative",
                "unix://:hush@/sock?hush=1",
                "unix://:hush@/sock?db=",
        };

        (void)state;
        for (size_t i = 0; i < COUNT_OF(bad); i++) {
                struct queue *q = NULL;
                struct err e = {0};
                if (queue_open(&(struct queue_opts){"redis", bad[i], "one"}, &q, &e) == 0)
                        fail_msg("accepted: %s", bad[i]);
                assert_int_equal(e.code, ERR_INVALID);
                assert_non_null(strstr(e.msg, "REDIS_URL"));
                assert_non_null(strstr(e.msg, "allowed is redis://"));
                assert_null(strstr(e.msg, "hush"));
        }
}

static void passwords_databases_and_sockets_are_used(void **state)
{
        char with_password[96], local[128], wrong[96];
        struct queue_state st;
        struct queue *q;

        (void)state;
        kill_server();
        start_server("--requirepass", "p@ss/1");
        snprintf(with_password, sizeof with_password, "redis://:p%%40ss%%2f1@127.0.0.1:%u/3", port);
        snprintf(wrong, sizeof wrong, "redis://:wrong@127.0.0.1:%u", port);
        snprintf(local, sizeof local, "unix://default:p%%40ss%%2F1@%s/r.sock?db=4", folder);
        q = open_at(with_password, "one");
        await_state(q, true);
        queue_close(q);
        q = open_at(local, "one");
        await_state(q, true);
        queue_close(q);
        q = open_at(wrong, "one");
        queue_state(q, &st);
        assert_false(st.connected);
        assert_null(strstr(st.note, "wrong@"));
        queue_close(q);
        kill_server();
        start_server(NULL, NULL);
}

/* ---- several instances ------------------------------------------------------------------------------ */

/* Every wake-up comes from another instance: it travels with its purpose. */
static void lanes_of_another_instance_hear_their_own(void **state)
{
        struct queue *here, *there;
        struct lane analyse, enrich;

        (void)state;
        command("FLUSHALL");
        here = open_at(url, "here");
        there = open_at(url, "there");
        lane_start(&analyse, there, ANALYSE);
        lane_start(&enrich, there, ENRICH);
        for (int i = 1; i <= 300; i++) {
                queue_wake(here, PURPOSE_ENRICH, 1);
                reach(&enrich.heard, i);
        }
        for (int i = 1; i <= 50; i++) {
                queue_wake(here, PURPOSE_ANALYSE, 1);
                reach(&analyse.heard, i);
        }
        assert_int_equal(lane_end(&analyse), 50);
        assert_int_equal(lane_end(&enrich), 300);
        queue_close(here);
        queue_close(there);
}

static void a_wake_reaches_the_one_who_waits_elsewhere_once(void **state)
{
        struct queue *a, *b, *api;
        struct listener at_b = {0};

        (void)state;
        command("FLUSHALL");
        a = open_at(url, "a");
        b = open_at(url, "b");
        api = open_at(url, "api"); /* nobody ever waits there: it must not take what others can use */
        listen_start(&at_b, b);
        for (int i = 0; i < 20; i++) {
                queue_wake(i % 2 ? a : api, PURPOSE_ANALYSE, 1);
                hears_within(&at_b, i, 5000);
        }
        sleep_for(dur_ms(100));
        assert_false(queue_wait(a, ANALYSE, in_ms(50)));
        assert_int_equal(listen_end(&at_b), 20);
        queue_close(a);
        queue_close(b);
        queue_close(api);
}

static void who_is_busy_leaves_wakes_to_who_is_idle(void **state)
{
        struct queue *a, *b;
        struct listener at_b = {0};

        (void)state;
        command("FLUSHALL");
        a = open_at(url, "a");
        b = open_at(url, "b");
        /* a's reader now waits in Redis, ahead of b's, for a thread that has gone. */
        assert_false(queue_wait(a, ANALYSE, in_ms(50)));
        listen_start(&at_b, b);
        queue_wake(a, PURPOSE_ANALYSE, 1);
        hears_within(&at_b, 0, 5000);
        assert_int_equal(listen_end(&at_b), 1);
        queue_close(a);
        queue_close(b);
}

static void many_wakes_wake_all_waiters_of_all(void **state)
{
        atomic_int woken = 0, returned = 0;
        struct queue *a, *b, *c;
        struct waiter wb[3], wc[3];

        (void)state;
        command("FLUSHALL");
        a = open_at(url, "a");
        b = open_at(url, "b");
        c = open_at(url, "c");
        start(wb, 3, b, 20000, &woken, &returned);
        start(wc, 3, c, 20000, &woken, &returned);
        sleep_for(dur_ms(50));
        queue_wake(a, PURPOSE_ANALYSE, 100);
        reach(&woken, 6);
        join(wb, 3);
        join(wc, 3);
        queue_close(a);
        queue_close(b);
        queue_close(c);
}

/* ---- Redis goes and comes ------------------------------------------------------------------------------ */

static void an_emptied_redis_goes_on(void **state)
{
        struct queue *a, *b;
        struct listener at_b = {0};

        (void)state;
        command("FLUSHALL");
        a = open_at(url, "a");
        b = open_at(url, "b");
        listen_start(&at_b, b);
        for (int i = 0; i < 3; i++) {
                queue_wake(a, PURPOSE_ANALYSE, 1);
                hears_within(&at_b, i, 5000);
                assert_int_equal(command("FLUSHALL"), 0);
        }
        assert_int_equal(listen_end(&at_b), 3);
        /* With nobody waiting, too. */
        assert_int_equal(command("FLUSHALL"), 0);
        queue_wake(a, PURPOSE_ANALYSE, 1);
        assert_true(queue_wait(b, ANALYSE, in_ms(5000)));
        queue_close(a);
        queue_close(b);
}

static void a_killed_redis_that_comes_back_goes_on(void **state)
{
        struct queue_state st;
        struct queue *a, *b;
        struct listener at_b = {0};

        (void)state;
        command("FLUSHALL");
        a = open_at(url, "a");
        b = open_at(url, "b");
        listen_start(&at_b, b);
        kill_server();
        await_state(b, false);
        queue_state(b, &st);
        assert_non_null(strstr(st.note, "127.0.0.1"));
        queue_wake(b, PURPOSE_ANALYSE, 1);
        hears_within(&at_b, 0, 1000);
        start_server(NULL, NULL);
        await_state(a, true);
        await_state(b, true);
        queue_wake(a, PURPOSE_ANALYSE, 1);
        hears_within(&at_b, 1, 5000);
        assert_int_equal(listen_end(&at_b), 2);
        queue_close(a);
        queue_close(b);
}

static void without_redis_wakes_stay_here(void **state)
{
        atomic_int woken = 0, returned = 0;
        struct queue_state st;
        struct waiter w[4];
        struct mono began;
        struct queue *q;

        (void)state;
        kill_server();
        q = open_at(url, "one");
        queue_state(q, &st);
        assert_false(st.connected);
        assert_true(st.note[0] != '\0');
        queue_wake(q, PURPOSE_ANALYSE, 2);
        assert_true(queue_wait(q, ANALYSE, (struct mono){0}));
        assert_true(queue_wait(q, ANALYSE, (struct mono){0}));
        assert_false(queue_wait(q, ANALYSE, in_ms(5)));
        start(w, 4, q, 20000, &woken, &returned);
        sleep_for(dur_ms(20));
        began = mono_now();
        queue_wake(q, PURPOSE_ANALYSE, 4);
        assert_true(mono_since(began).ns < dur_ms(1500).ns); /* a command may take 2 s */
        reach(&woken, 4);
        join(w, 4);
        began = mono_now();
        queue_close(q);
        assert_true(mono_since(began).ns < dur_s(10).ns);
        start_server(NULL, NULL);
}

static void a_frozen_redis_holds_up_nobody(void **state)
{
        struct queue_state st;
        struct mono began;
        struct queue *q;

        (void)state;
        command("FLUSHALL");
        q = open_at(url, "one");
        kill(server, SIGSTOP);
        began = mono_now();
        queue_wake(q, PURPOSE_ANALYSE, 1);
        assert_true(mono_since(began).ns < dur_ms(1500).ns); /* a command may take 2 s */
        assert_true(queue_wait(q, ANALYSE, in_ms(15000)));   /* it is given here when the command has timed out */
        await_state(q, false);
        queue_state(q, &st);
        kill(server, SIGCONT);
        await_state(q, true);
        queue_close(q);
}

/* ---- what readers leave behind --------------------------------------------------------------------------- */

/* A reader takes what is there and dies. */
static void die_reading(const char *consumer, unsigned wakes)
{
        command("XADD " STREAM " * n %u", wakes);
        assert_int_equal(command("XREADGROUP GROUP workers %s STREAMS " STREAM " >", consumer), 1);
}

static void what_a_dead_reader_took_is_taken_over(void **state)
{
        struct queue *q;

        (void)state;
        command("FLUSHALL");
        q = open_at(url, "one");
        die_reading("dead", 2);
        assert_true(queue_wait(q, ANALYSE, in_ms(15000)));
        assert_true(queue_wait(q, ANALYSE, in_ms(5000)));
        queue_close(q);
        await(0, "XPENDING " STREAM " workers - + 10");
}

static void ones_own_is_taken_at_the_start(void **state)
{
        bool before_it_is_stale = false;

        (void)state;
        /* After 3 s anybody takes it: a machine that was busy for so long has shown nothing. */
        for (int i = 0; i < 5 && !before_it_is_stale; i++) {
                struct mono began;
                struct queue *q;
                command("FLUSHALL");
                queue_close(open_at(url, "one"));
                die_reading("one", 1);
                began = mono_now();
                q = open_at(url, "one");
                before_it_is_stale = queue_wait(q, ANALYSE, in_ms(2500)) && mono_since(began).ns < dur_ms(2800).ns;
                queue_close(q);
                await(0, "XPENDING " STREAM " workers - + 10");
        }
        assert_true(before_it_is_stale);
}

static void the_stream_stays_short(void **state)
{
        struct queue *a, *b;
        struct listener at_b[2] = {0};

        (void)state;
        command("FLUSHALL");
        a = open_at(url, "a");
        b = open_at(url, "b");
        listen_start(&at_b[0], b);
        listen_start(&at_b[1], b);
        for (int i = 0; i < 10000; i++) {
                queue_wake(a, PURPOSE_ANALYSE, 1);
                if (i % 1000 == 0)
                        assert_in_range(command("XLEN " STREAM), 0, 128);
        }
        await(1, "XLEN " STREAM); /* what was acknowledged is deleted but for the last */
        listen_end(&at_b[0]);
        listen_end(&at_b[1]);
        queue_close(b);
        /* Nobody waits anywhere. */
        for (int i = 0; i < 500; i++) {
                queue_wake(a, PURPOSE_ANALYSE, 1);
                sleep_for(dur_ms(1));
        }
        sleep_for(dur_ms(100));
        assert_in_range(command("XLEN " STREAM), 2, 128);
        queue_close(a);
}

static void trimming_spares_what_is_pending(void **state)
{
        struct listener at_q = {0};
        struct queue *q;

        (void)state;
        command("FLUSHALL");
        queue_close(open_at(url, "one"));
        die_reading("dead", 1);
        command("XADD " STREAM " * n 1");
        q = open_at(url, "one");
        listen_start(&at_q, q);
        for (int i = 0; i < 1500 && atomic_load(&at_q.heard) < 2; i++)
                sleep_for(dur_ms(10));
        assert_int_equal(listen_end(&at_q), 2);
        queue_close(q);
}

static void nonsense_in_the_stream_is_passed_over(void **state)
{
        struct queue *q;

        (void)state;
        command("FLUSHALL");
        q = open_at(url, "one");
        command("XADD " STREAM " * n lots");
        assert_true(queue_wait(q, ANALYSE, in_ms(5000)));
        command("XADD " STREAM " * n 0");
        assert_false(queue_wait(q, ANALYSE, in_ms(200)));
        queue_wake(q, PURPOSE_ANALYSE, 1);
        assert_true(queue_wait(q, ANALYSE, in_ms(5000)));
        queue_close(q);
        command("DEL " STREAM);
        command("SET " STREAM " word");
        q = open_at(url, "one");
        await_state(q, false);
        command("DEL " STREAM);
        await_state(q, true);
        queue_close(q);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_malformed_url_is_refused_without_repeating_it),
                cmocka_unit_test(passwords_databases_and_sockets_are_used),
                cmocka_unit_test(lanes_of_another_instance_hear_their_own),
                cmocka_unit_test(a_wake_reaches_the_one_who_waits_elsewhere_once),
                cmocka_unit_test(who_is_busy_leaves_wakes_to_who_is_idle),
                cmocka_unit_test(many_wakes_wake_all_waiters_of_all),
                cmocka_unit_test(an_emptied_redis_goes_on),
                cmocka_unit_test(a_killed_redis_that_comes_back_goes_on),
                cmocka_unit_test(without_redis_wakes_stay_here),
                cmocka_unit_test(a_frozen_redis_holds_up_nobody),
                cmocka_unit_test(what_a_dead_reader_took_is_taken_over),
                cmocka_unit_test(ones_own_is_taken_at_the_start),
                cmocka_unit_test(the_stream_stays_short),
                cmocka_unit_test(trimming_spares_what_is_pending),
                cmocka_unit_test(nonsense_in_the_stream_is_passed_over),
        };
        int failed;

        if (set_up_server(NULL))
                return 1;
        failed = run_suite("redis") + cmocka_run_group_tests_name("queue on redis", tests, NULL, NULL);
        tear_down_server(NULL);
        return failed;
}
