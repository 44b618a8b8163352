/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The delay before a retry, apart from the pool since it is pure. The hard
 * thing is its upper end: it must neither be reached nor overflow.
 */
#include "worker/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void backoff_stays_in_its_bounds(void **state)
{
        struct dur base = dur_s(1), max = dur_s(300);

        (void)state;
        assert_int_equal(worker_backoff(base, max, 1, 0).ns, 0);
        assert_int_equal(worker_backoff(base, max, 1, 0.5).ns, dur_s(1).ns);
        assert_int_equal(worker_backoff(base, max, 3, 0.5).ns, dur_s(4).ns);
        for (unsigned errors = 1; errors < 200; errors++) {
                int64_t top = errors < 9 ? base.ns << errors : max.ns;
                top = top < max.ns ? top : max.ns;
                for (double r = 0; r < 1; r += 0.09) {
                        int64_t got = worker_backoff(base, max, errors, r).ns;
                        assert_true(got >= 0 && got < top);
                }
        }
        assert_true(worker_backoff(base, max, 4000000000u, 0.999).ns < max.ns);
}

int main(void)
{
        const struct CMUnitTest tests[] = {cmocka_unit_test(backoff_stays_in_its_bounds)};

        return cmocka_run_group_tests_name("worker_backoff", tests, NULL, NULL);
}
