/* SPDX-License-Identifier: Apache-2.0 */
/* What one instance at a time does for all. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

#define NEVER dur_s(3600)

static bool takes(struct fix *f, const char *holder, struct dur lease, struct dur every)
{
        int rc = catalog_duty_take(f->c, "sweep", holder, lease, every, &f->e);

        if (rc < 0)
                fail_msg("duty: %s", f->e.msg);
        return rc == 1;
}

static void a_duty_has_one_holder_until_its_lease_is_over(void **state)
{
        struct fix *f = *state;

        assert_true(takes(f, "a", dur_s(60), dur_ms(0)));
        assert_false(takes(f, "b", dur_s(60), dur_ms(0)));
        assert_true(takes(f, "a", dur_ms(100), dur_ms(0))); /* renewed, now a short one */
        assert_int_equal(catalog_duty_take(f->c, "other", "b", dur_s(60), NEVER, &f->e), 1);
        sleep_for(dur_ms(150));
        assert_true(takes(f, "b", dur_s(60), dur_ms(0)));
        assert_false(takes(f, "a", dur_s(60), dur_ms(0)));
        /* Who lost it cannot end it for the new holder. */
        OK(catalog_duty_done(f->c, "sweep", "a", &f->e));
        assert_false(takes(f, "a", dur_s(60), dur_ms(0)));
        OK(catalog_duty_done(f->c, "sweep", "b", &f->e));
        assert_true(takes(f, "a", dur_s(60), dur_ms(0)));
}

static void what_was_done_is_not_done_again_before_its_time(void **state)
{
        struct fix *f = *state;

        assert_true(takes(f, "a", dur_s(60), NEVER));
        OK(catalog_duty_done(f->c, "sweep", "a", &f->e));
        assert_false(takes(f, "a", dur_s(60), NEVER));
        assert_false(takes(f, "b", dur_s(60), NEVER));
        fix_reopen(f);
        assert_false(takes(f, "a", dur_s(60), NEVER));
        assert_true(takes(f, "b", dur_s(60), dur_ms(0)));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(a_duty_has_one_holder_until_its_lease_is_over),
                T(what_was_done_is_not_done_again_before_its_time),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
