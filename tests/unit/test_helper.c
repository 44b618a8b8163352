/* SPDX-License-Identifier: Apache-2.0 */
#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define ROUNDS 20000

static void count(void *arg)
{
        ++*(unsigned *)arg; /* not atomic: helper_end orders it */
}

/* Whether it came to run is chance; that it then ran once, and otherwise never, is not. */
static void what_is_lent_runs_once_or_never(void **state)
{
        struct helper *h;
        unsigned ran = 0, said = 0;

        (void)state;
        assert_int_equal(helper_open("helper", &h), 0);
        for (int i = 0; i < ROUNDS; i++) {
                assert_true(helper_lend(h, count, &ran));
                if (i % 7 == 0)
                        sched_yield();
                if (i % 1000 == 0)
                        sleep_for(dur_ms(2));
                said += helper_end(h);
                assert_int_equal(ran, said);
        }
        sleep_for(dur_ms(2));
        assert_int_equal(ran, said);
        assert_true(said > 0);
        helper_close(h);
}

struct gate {
        atomic_bool begun, open;
};

static void wait_at(void *arg)
{
        struct gate *g = arg;

        atomic_store(&g->begun, true);
        while (!atomic_load(&g->open))
                sleep_for(dur_ms(1));
}

static void it_is_lent_to_one_at_a_time(void **state)
{
        struct gate g = {0};
        struct helper *h;
        unsigned ran = 0, said;

        (void)state;
        assert_false(helper_lend(NULL, count, &ran));
        assert_int_equal(helper_open("helper", &h), 0);
        assert_true(helper_lend(h, wait_at, &g));
        assert_false(helper_lend(h, count, &ran));
        while (!atomic_load(&g.begun))
                sleep_for(dur_ms(1));
        assert_false(helper_lend(h, count, &ran));
        atomic_store(&g.open, true);
        assert_true(helper_end(h));
        assert_int_equal(ran, 0);
        assert_true(helper_lend(h, count, &ran));
        said = helper_end(h);
        assert_int_equal(ran, said);
        helper_close(h);
        helper_close(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_lent_runs_once_or_never),
                cmocka_unit_test(it_is_lent_to_one_at_a_time),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
