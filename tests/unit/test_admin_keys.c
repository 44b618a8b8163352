/* SPDX-License-Identifier: Apache-2.0 */
/* How a process recognises keys: their form, what it believes and for how long. The rules are in the catalog's suite.
 */
#include "contract/catalog_backend.h"
#include "access/access.h"
#include "contract/catalog_suite.h"

#include "admin/admin.h"

static struct admin *start(struct fix *f, const char *api_key)
{
        struct admin *a = NULL;

        OK(admin_open(&(struct admin_opts){.catalog = f->c, .instance = "i", .api_key = api_key}, &a, &f->e));
        return a;
}

static int known(struct fix *f, struct admin *a, const char *text, struct admin_caller *who)
{
        int rc = admin_authenticate(a, span_of(text), who, &f->e);

        if (rc < 0)
                fail_msg("%s", f->e.msg);
        return rc;
}

static void only_one_form_is_a_keys(void **state)
{
        static const char right[] = "fa_0123abcd_0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        char prefix[KEY_PREFIX_LEN], text[sizeof right + 1];

        (void)state;
        assert_true(key_split(SPAN(right), prefix));
        assert_string_equal(prefix, "0123abcd");
        for (size_t i = 0; i < sizeof right - 1; i++) {
                memcpy(text, right, sizeof right);
                text[i] = i == 11 ? '-' : 'G';
                assert_false(key_split((struct span){text, sizeof right - 1}, prefix));
        }
        assert_false(key_split((struct span){right, sizeof right - 2}, prefix));
        snprintf(text, sizeof text, "%s0", right);
        assert_false(key_split(span_of(text), prefix));
        assert_false(key_split((struct span){0}, prefix));
}

static void a_key_is_known_by_all_of_it(void **state)
{
        struct fix *f = *state;
        struct admin *a = start(f, "");
        struct new_key k = {.scope = KEY_ADMIN, .actor = "t", .first = true};
        struct admin_caller who;
        char text[KEY_TEXT_LEN], other[KEY_TEXT_LEN], id[ID_TEXT_LEN];

        assert_false(admin_keys_required(a));
        OK(admin_key_create(a, &k, text, NULL, &f->e));
        assert_true(admin_keys_required(a));
        assert_int_equal(known(f, a, text, &who), 1);
        assert_int_equal(who.scope, KEY_ADMIN);
        assert_string_equal(who.owner, "");
        assert_string_equal(who.key_id, id_format(k.id, id));
        /* Any other digit, and it is a stranger, of whom the beginning may be logged; the first prefix is not its own.
         */
        for (size_t i = 3; i < KEY_TEXT_LEN - 1; i++) {
                if (i == 11)
                        continue;
                memcpy(other, text, sizeof other);
                other[i] = other[i] == '0' ? '1' : '0';
                assert_int_equal(known(f, a, other, &who), 0);
                assert_int_equal(strlen(who.key_id), 11);
                assert_memory_equal(who.key_id, other, 11);
                assert_int_equal(who.scope, 0);
        }
        assert_int_equal(known(f, a, "", &who), 0);
        assert_int_equal(known(f, a, "some password", &who), 0);
        assert_string_equal(who.key_id, "");
        admin_close(a);
}

static void another_instances_revocation_is_seen_within_seconds(void **state)
{
        struct fix *f = *state;
        struct admin *a = start(f, "env"), *b = start(f, "env");
        struct new_key k = {.scope = KEY_READ, .owner = "ann", .actor = "t"};
        struct key_end end = {.actor = "t"};
        struct admin_caller who;
        char text[KEY_TEXT_LEN], cookie[COOKIE_TEXT_LEN];

        OK(admin_key_create(a, &k, text, NULL, &f->e));
        OK(admin_session_begin(a, span_of(text), cookie, &who, &f->e));
        assert_int_equal(known(f, a, text, &who), 1);
        assert_int_equal(known(f, b, text, &who), 1);
        assert_int_equal(known(f, b, cookie, &who), 1);
        assert_string_equal(who.owner, "ann");
        end.id = k.id;
        OK(admin_key_revoke(a, &end, &f->e));
        assert_int_equal(known(f, a, text, &who), 0);
        assert_int_equal(known(f, a, cookie, &who), 0);
        for (int i = 0; i < 60 && (known(f, b, text, &who) || known(f, b, cookie, &who)); i++)
                sleep_for(dur_ms(100));
        assert_int_equal(known(f, b, text, &who), 0);
        assert_int_equal(known(f, b, cookie, &who), 0);
        FAILS(ERR_FORBIDDEN, admin_session_begin(b, span_of(text), cookie, &who, &f->e));
        admin_close(a);
        admin_close(b);
}

static void a_session_of_the_setting_ends_when_the_setting_changes(void **state)
{
        struct fix *f = *state;
        struct admin *a = start(f, "one"), *b = start(f, "two"), *none = start(f, "");
        struct admin_caller who;
        char cookie[COOKIE_TEXT_LEN], again[COOKIE_TEXT_LEN];

        assert_true(admin_keys_required(a));
        assert_int_equal(known(f, a, "one", &who), 1);
        assert_string_equal(who.key_id, "env");
        assert_int_equal(known(f, a, "two", &who), 0);
        assert_int_equal(known(f, none, "", &who), 0);
        OK(admin_session_begin(a, SPAN("one"), cookie, &who, &f->e));
        assert_int_equal(known(f, a, cookie, &who), 1);
        assert_int_equal(who.scope, KEY_ADMIN);
        assert_int_equal(known(f, b, cookie, &who), 0);
        assert_int_equal(known(f, none, cookie, &who), 0);
        FAILS(ERR_FORBIDDEN, admin_session_begin(a, span_of(cookie), again, &who, &f->e));
        OK(admin_session_end(a, span_of(cookie), &f->e));
        assert_int_equal(known(f, a, cookie, &who), 0);
        admin_close(a);
        admin_close(b);
        admin_close(none);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_one_form_is_a_keys),
                T(a_key_is_known_by_all_of_it),
                T(another_instances_revocation_is_seen_within_seconds),
                T(a_session_of_the_setting_ends_when_the_setting_changes),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
