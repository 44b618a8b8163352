/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits that instances share, on a real redis-server. Costs are hours of a
 * bucket's time, so that the seconds a test takes change nothing.
 */
#include "queue/queue.h"
#include "queue/queue_spend.h"
#include "redis_server.h"

#define HOUR   ((int64_t)3600 * 1000000)
#define BUCKET "file-allocator:limit:requests:a"

static struct queue *open_at(const char *where)
{
        struct queue *q = NULL;
        struct err e = {0};

        if (queue_open(&(struct queue_opts){"redis", where, NULL}, &q, &e) < 0)
                fail_msg("%s", e.msg);
        return q;
}

static struct limit_charge charge(const char *bucket, int64_t hours, int64_t depth)
{
        struct limit_charge c = {.cost = hours * HOUR, .depth = depth * HOUR};

        snprintf(c.bucket, sizeof c.bucket, "%s", bucket);
        return c;
}

static enum limit_outcome spend(struct queue *q, int64_t hours, int64_t depth)
{
        struct limit_charge c = charge("requests:a", hours, depth);

        return queue_spend(q, &c, 1, false);
}

/* Until it is reached. */
static void spend_at_last(struct queue *q)
{
        unsigned tries = 0;

        while (spend(q, 1, 10) == LIMIT_UNREACHABLE && tries++ < 2000)
                sleep_for(dur_ms(10));
        assert_in_range(tries, 0, 2000);
}

static bool near_hours(int64_t us, int64_t hours)
{
        return us <= hours * HOUR && us > hours * HOUR - HOUR / 2;
}

static void two_instances_have_one_bucket(void **state)
{
        struct queue *a, *b;
        struct limit_charge c;

        (void)state;
        command("FLUSHALL");
        a = open_at(url);
        b = open_at(url);
        for (int i = 0; i < 10; i++) {
                c = charge("requests:a", 1, 10);
                assert_int_equal(queue_spend(i % 2 ? a : b, &c, 1, false), LIMIT_SPENT);
                assert_true(near_hours(c.ahead, i + 1));
        }
        for (int i = 0; i < 4; i++) {
                c = charge("requests:a", 1, 10);
                assert_int_equal(queue_spend(i % 2 ? a : b, &c, 1, false), LIMIT_REFUSED);
                assert_true(near_hours(c.ahead, 10));
                assert_true(near_hours(limit_wait(&c), 1));
        }
        c = charge("requests:b", 1, 10);
        assert_int_equal(queue_spend(a, &c, 1, false), LIMIT_SPENT);
        queue_close(a);
        queue_close(b);
}

static void databases_keep_installations_apart(void **state)
{
        char other[80];
        struct queue *a, *b;

        (void)state;
        command("FLUSHALL");
        snprintf(other, sizeof other, "%s/3", url);
        a = open_at(url);
        b = open_at(other);
        assert_int_equal(spend(a, 1, 1), LIMIT_SPENT);
        assert_int_equal(spend(a, 1, 1), LIMIT_REFUSED);
        assert_int_equal(spend(b, 1, 1), LIMIT_SPENT);
        assert_int_equal(spend(b, 1, 1), LIMIT_REFUSED);
        queue_close(a);
        queue_close(b);
}

/* The script's rule against the room's own, over random charges. */
static void redis_decides_as_the_room_does(void **state)
{
        struct limit_charge here = {.depth = 8 * HOUR};
        struct queue *q;

        (void)state;
        command("FLUSHALL");
        q = open_at(url);
        for (int i = 0; i < 500; i++) {
                struct limit_charge there = charge("requests:a", (int64_t)(random_u64() % 13) + 1, 8);
                bool owed = random_u64() % 8 == 0, fits;
                if (i % 4 == 0) {
                        assert_int_equal(command("DEL " BUCKET), here.ahead > 0);
                        here.ahead = 0;
                }
                here.cost = there.cost;
                fits = owed || limit_wait(&here) == 0;
                if (fits)
                        here.ahead = here.ahead + here.cost < LIMIT_MOST ? here.ahead + here.cost : LIMIT_MOST;
                assert_int_equal(queue_spend(q, &there, 1, owed), fits ? LIMIT_SPENT : LIMIT_REFUSED);
                assert_true(near_hours(there.ahead, here.ahead / HOUR));
        }
        queue_close(q);
}

static void several_buckets_are_spent_from_together_or_not_at_all(void **state)
{
        struct limit_charge two[2];
        struct queue *q;

        (void)state;
        command("FLUSHALL");
        q = open_at(url);
        for (int i = 0; i < 5; i++) {
                two[0] = charge("requests:a", 1, 10);
                two[1] = charge("bytes:a", 6, 10);
                assert_int_equal(queue_spend(q, two, 2, false), i == 0 ? LIMIT_SPENT : LIMIT_REFUSED);
                assert_true(near_hours(two[0].ahead, 1));
                assert_true(near_hours(two[1].ahead, 6));
                assert_int_equal(limit_wait(&two[0]), 0);
        }
        assert_int_equal(queue_spend(q, two, 2, true), LIMIT_SPENT);
        assert_true(near_hours(two[0].ahead, 2));
        assert_true(near_hours(two[1].ahead, 12));
        queue_close(q);
}

static void buckets_vanish_when_they_are_full(void **state)
{
        struct limit_charge c = {.bucket = "requests:a", .cost = 50000, .depth = 100000};
        struct queue *q;
        int left = 1000;

        (void)state;
        command("FLUSHALL");
        q = open_at(url);
        assert_int_equal(queue_spend(q, &c, 1, false), LIMIT_SPENT);
        while (command("EXISTS " BUCKET) != 0 && left-- > 0)
                sleep_for(dur_ms(10));
        assert_true(left > 0);
        queue_close(q);
}

static void an_emptied_redis_has_full_buckets(void **state)
{
        struct queue *q;

        (void)state;
        command("FLUSHALL");
        q = open_at(url);
        for (int i = 0; i < 3; i++) {
                assert_int_equal(spend(q, 10, 10), LIMIT_SPENT);
                assert_int_equal(spend(q, 1, 10), LIMIT_REFUSED);
                assert_int_equal(command("FLUSHALL"), 0);
        }
        /* Without the script it is sent again, at once. */
        for (int i = 0; i < 3; i++) {
                assert_int_equal(command("SCRIPT FLUSH"), 0);
                assert_int_equal(spend(q, 1, 10), LIMIT_SPENT);
        }
        queue_close(q);
}

static void a_killed_redis_leaves_each_alone_until_it_is_back(void **state)
{
        struct queue *q;

        (void)state;
        command("FLUSHALL");
        q = open_at(url);
        assert_int_equal(spend(q, 1, 10), LIMIT_SPENT);
        kill_server();
        for (int i = 0; i < 1000; i++)
                assert_int_equal(spend(q, 1, 10), LIMIT_UNREACHABLE);
        start_server(NULL, NULL);
        spend_at_last(q);
        assert_int_equal(spend(q, 9, 10), LIMIT_SPENT);
        assert_int_equal(spend(q, 1, 10), LIMIT_REFUSED);
        queue_close(q);
        kill_server();
        q = open_at(url);
        assert_int_equal(spend(q, 1, 10), LIMIT_UNREACHABLE);
        start_server(NULL, NULL);
        spend_at_last(q);
        queue_close(q);
}

static void a_frozen_redis_is_waited_for_once_a_second(void **state)
{
        struct mono began;
        struct queue *q;

        (void)state;
        command("FLUSHALL");
        q = open_at(url);
        assert_int_equal(spend(q, 1, 10), LIMIT_SPENT);
        kill(server, SIGSTOP);
        began = mono_now();
        for (int i = 0; i < 100000; i++)
                assert_int_equal(spend(q, 1, 10), LIMIT_UNREACHABLE);
        assert_true(mono_since(began).ns < dur_s(60).ns); /* each waiting its 100 ms would be hours */
        kill(server, SIGCONT);
        spend_at_last(q);
        queue_close(q);
}

static void connections_that_died_in_silence_are_replaced_at_once(void **state)
{
        struct queue *q;

        (void)state;
        command("FLUSHALL");
        q = open_at(url);
        assert_int_equal(spend(q, 1, 10), LIMIT_SPENT);
        command("CONFIG SET timeout 1"); /* Redis hangs up on who says nothing for so long */
        sleep_for(dur_ms(3000));
        assert_int_equal(spend(q, 1, 10), LIMIT_SPENT);
        command("CONFIG SET timeout 0");
        queue_close(q);
}

static void nonsense_in_a_bucket_does_no_harm(void **state)
{
        struct queue *q;

        (void)state;
        command("FLUSHALL");
        q = open_at(url);
        command("SET " BUCKET " word");
        assert_int_equal(spend(q, 1, 10), LIMIT_SPENT);
        command("SET " BUCKET " 1e300");
        assert_int_equal(spend(q, 1, 10), LIMIT_REFUSED);
        command("DEL " BUCKET);
        command("LPUSH " BUCKET " word");
        assert_int_equal(spend(q, 1, 10), LIMIT_UNREACHABLE);
        command("DEL " BUCKET);
        spend_at_last(q);
        queue_close(q);
}

struct crowd {
        struct queue *q;
        atomic_int *spent;
};

static void *spend_on(void *arg)
{
        struct crowd *c = arg;

        for (int i = 0; i < 100; i++)
                atomic_fetch_add(c->spent, spend(c->q, 1, 20) == LIMIT_SPENT);
        return NULL;
}

static void threads_of_two_instances_get_one_burst(void **state)
{
        atomic_int spent = 0;
        struct crowd c[2];
        pthread_t t[16];

        (void)state;
        command("FLUSHALL");
        for (size_t i = 0; i < COUNT_OF(c); i++)
                c[i] = (struct crowd){open_at(url), &spent};
        for (size_t i = 0; i < COUNT_OF(t); i++)
                assert_int_equal(thread_start(&t[i], "spender", spend_on, &c[i % 2]), 0);
        for (size_t i = 0; i < COUNT_OF(t); i++)
                pthread_join(t[i], NULL);
        assert_int_equal(atomic_load(&spent), 20);
        queue_close(c[0].q);
        queue_close(c[1].q);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(two_instances_have_one_bucket),
                cmocka_unit_test(databases_keep_installations_apart),
                cmocka_unit_test(redis_decides_as_the_room_does),
                cmocka_unit_test(several_buckets_are_spent_from_together_or_not_at_all),
                cmocka_unit_test(buckets_vanish_when_they_are_full),
                cmocka_unit_test(an_emptied_redis_has_full_buckets),
                cmocka_unit_test(a_killed_redis_leaves_each_alone_until_it_is_back),
                cmocka_unit_test(a_frozen_redis_is_waited_for_once_a_second),
                cmocka_unit_test(connections_that_died_in_silence_are_replaced_at_once),
                cmocka_unit_test(nonsense_in_a_bucket_does_no_harm),
                cmocka_unit_test(threads_of_two_instances_get_one_burst),
        };
        int failed;

        if (set_up_server(NULL))
                return 1;
        failed = cmocka_run_group_tests(tests, NULL, NULL);
        tear_down_server(NULL);
        return failed;
}
