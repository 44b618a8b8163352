/* SPDX-License-Identifier: Apache-2.0 */
/* The queue inside one process, and the door: the suite, and what only holds where wake-ups do not travel. */
#include "queue/queue_spend.h"
#include "queue_suite.h"

static struct queue *suite_open(void)
{
        struct queue *q = NULL;
        struct err e = {0};

        if (queue_open(&(struct queue_opts){.backend = "inproc"}, &q, &e) < 0)
                fail_msg("%s", e.msg);
        return q;
}

static void backends_are_known_by_name(void **state)
{
        struct queue *q = NULL;
        struct err e;

        (void)state;
        assert_int_equal(queue_open(&(struct queue_opts){.backend = "carrier-pigeon"}, &q, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        mem_fail_after(0);
        assert_int_equal(queue_open(&(struct queue_opts){.backend = "inproc"}, &q, &e), -1);
        assert_int_equal(e.code, ERR_OOM);
        mem_fail_after(-1);
        assert_int_equal(queue_open(&(struct queue_opts){.backend = "inproc"}, &q, &e), 0);
        assert_string_equal(queue_backend_name(q), "inproc");
        queue_close(q);
        queue_close(NULL);
}

static void a_kept_wake_is_given_even_to_one_who_is_late(void **state)
{
        struct queue *q = suite_open();
        unsigned kept = 0;

        (void)state;
        queue_wake(q, PURPOSE_ANALYSE, 2);
        assert_true(queue_wait(q, ANALYSE, in_ms(5000)));
        assert_true(queue_wait(q, ANALYSE, (struct mono){0}));
        assert_false(queue_wait(q, ANALYSE, (struct mono){0}));
        queue_wake(q, PURPOSE_ANALYSE, 1000000);
        while (kept < 100000 && queue_wait(q, ANALYSE, (struct mono){0}))
                kept++;
        assert_in_range(kept, 3, 1000);
        queue_close(q);
}

static void it_is_never_cut_off(void **state)
{
        struct queue *q = suite_open();
        struct queue_state st;

        (void)state;
        queue_state(q, &st);
        assert_true(st.connected);
        assert_string_equal(st.note, "");
        queue_close(q);
}

static void it_shares_no_limits(void **state)
{
        struct queue *q = suite_open();
        struct limit_charge c = {.bucket = "requests:a", .cost = 1, .depth = 10};

        (void)state;
        assert_int_equal(queue_spend(q, &c, 1, false), LIMIT_UNREACHABLE);
        queue_close(q);
}

int main(void)
{
        const struct CMUnitTest once[] = {
                cmocka_unit_test(backends_are_known_by_name),
                cmocka_unit_test(a_kept_wake_is_given_even_to_one_who_is_late),
                cmocka_unit_test(it_is_never_cut_off),
                cmocka_unit_test(it_shares_no_limits),
        };

        return cmocka_run_group_tests_name("queue", once, NULL, NULL) + run_suite("inproc");
}
