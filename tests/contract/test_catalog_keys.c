/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of the API: who may make and end which, and what is still known of them afterwards. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

struct wish {
        enum key_scope scope;
        const char *owner;
        struct id by;
        struct wall expires;
        bool first, alone;
};

static char last_prefix[KEY_PREFIX_LEN];

static int make(struct fix *f, const struct wish *w, struct id *id, struct wall *expires)
{
        struct new_key k = {.id = id_new(),
                            .name = "n",
                            .owner = w->owner,
                            .prefix = last_prefix,
                            .scope = w->scope,
                            .expires = w->expires,
                            .by = w->by,
                            .actor = "tester",
                            .first = w->first,
                            .alone = w->alone};

        snprintf(last_prefix, sizeof last_prefix, "%08x", (unsigned)random_u64());
        k.hash = sha256_of(last_prefix, 8);
        if (id)
                *id = k.id;
        return access_key_create(f->c, &k, expires, &f->e);
}

static struct id made(struct fix *f, struct wish w)
{
        struct id id;

        OK(make(f, &w, &id, NULL));
        return id;
}

static int found(struct fix *f, const char *prefix, struct known_key *out)
{
        int rc = access_key_find(f->c, prefix, out, &f->e);

        if (rc < 0)
                fail_msg("find: %s", f->e.msg);
        return rc;
}

static size_t listed(struct fix *f, const char *owner, bool revoked, struct api_key **out)
{
        size_t n;
        uint64_t total;

        OK(access_key_list(f->c, owner, revoked, f->a, out, &n, &total, &f->e));
        assert_int_equal(n, total);
        return n;
}

static void the_first_key_is_an_admins_of_no_owner_and_only_one_is_first(void **state)
{
        struct fix *f = *state;
        bool any = true;

        OK(access_keys_exist(f->c, &any, &f->e));
        assert_false(any);
        FAILS(ERR_INVALID, make(f, &(struct wish){.scope = KEY_WRITE, .first = true, .alone = true}, NULL, NULL));
        FAILS(ERR_INVALID,
              make(f, &(struct wish){.scope = KEY_ADMIN, .owner = "ann", .first = true, .alone = true}, NULL, NULL));
        OK(access_keys_exist(f->c, &any, &f->e));
        assert_false(any);
        made(f, (struct wish){.scope = KEY_ADMIN, .first = true, .alone = true});
        OK(access_keys_exist(f->c, &any, &f->e));
        assert_true(any);
        FAILS(ERR_CONFLICT, make(f, &(struct wish){.scope = KEY_ADMIN, .first = true, .alone = true}, NULL, NULL));
        /* With API_KEY any key may be the first. */
        made(f, (struct wish){.scope = KEY_READ, .owner = "ann"});
        fix_reopen(f);
        OK(access_keys_exist(f->c, &any, &f->e));
        assert_true(any);
}

static void a_key_is_found_by_its_prefix_while_it_holds(void **state)
{
        struct fix *f = *state;
        struct known_key k;
        struct api_key *all;
        struct id id = made(f, (struct wish){.scope = KEY_WRITE, .owner = "ann"});
        char prefix[KEY_PREFIX_LEN];

        memcpy(prefix, last_prefix, sizeof prefix);
        assert_int_equal(found(f, prefix, &k), 1);
        assert_true(id_eq(k.id, id));
        assert_true(sha256_eq(k.hash, sha256_of(prefix, 8)));
        assert_int_equal(k.scope, KEY_WRITE);
        assert_string_equal(k.owner, "ann");
        assert_true(k.idle);
        assert_int_equal(found(f, "00000000", &k), 0);
        OK(access_key_used(f->c, id, &f->e));
        assert_int_equal(found(f, prefix, &k), 1);
        assert_false(k.idle);
        assert_int_equal(listed(f, NULL, false, &all), 1);
        assert_true(all[0].last_used.us > 0);
        assert_string_equal(all[0].created_by, "tester");

        OK(access_key_revoke(f->c, &(struct key_end){.id = id, .actor = "ender"}, &f->e));
        OK(access_key_revoke(f->c, &(struct key_end){.id = id, .actor = "again"}, &f->e));
        assert_int_equal(found(f, prefix, &k), 0);
        assert_int_equal(listed(f, NULL, false, &all), 0);
        assert_int_equal(listed(f, NULL, true, &all), 1);
        assert_string_equal(all[0].revoked_by, "ender");
        assert_true(all[0].revoked.us > 0);
        FAILS(ERR_NOT_FOUND, access_key_revoke(f->c, &(struct key_end){.id = id_new(), .actor = "x"}, &f->e));

        /* One that expires is unknown from then on. */
        made(f, (struct wish){.scope = KEY_READ, .expires = wall_add(wall_now(), dur_s(2))});
        memcpy(prefix, last_prefix, sizeof prefix);
        assert_int_equal(found(f, prefix, &k), 1);
        for (int i = 0; i < 100 && found(f, prefix, &k); i++)
                sleep_for(dur_ms(100));
        assert_int_equal(found(f, prefix, &k), 0);
        FAILS(ERR_INVALID,
              make(f, &(struct wish){.scope = KEY_READ, .expires = wall_add(wall_now(), dur_s(-60))}, NULL, NULL));
}

static void a_prefix_is_one_keys_alone(void **state)
{
        struct fix *f = *state;
        struct new_key k = {
                .id = id_new(), .prefix = "aaaaaaaa", .hash = sha256_of("a", 1), .scope = KEY_READ, .actor = "x"};
        struct known_key out;

        OK(access_key_create(f->c, &k, NULL, &f->e));
        k.id = id_new();
        k.hash = sha256_of("b", 1);
        FAILS(ERR_STALE, access_key_create(f->c, &k, NULL, &f->e));
        assert_int_equal(found(f, "aaaaaaaa", &out), 1);
        assert_true(sha256_eq(out.hash, sha256_of("a", 1)));
}

static void no_key_makes_one_that_may_do_more_than_itself(void **state)
{
        struct fix *f = *state;
        struct wall later = wall_add(wall_now(), dur_s(3600)), sooner = wall_add(wall_now(), dur_s(60)), got;
        struct id root = made(f, (struct wish){.scope = KEY_ADMIN});
        struct id ann = made(f, (struct wish){.scope = KEY_ADMIN, .owner = "ann", .by = root, .expires = later});
        struct id writer = made(f, (struct wish){.scope = KEY_WRITE, .owner = "ann", .by = ann});
        const struct wish refused[] = {
                {.scope = KEY_READ, .by = writer, .owner = "ann"},
                {.scope = KEY_READ, .by = ann, .owner = "bob"},
                {.scope = KEY_READ, .by = ann},
                {.scope = KEY_READ, .by = ann, .owner = "ann", .expires = wall_add(later, dur_s(1))},
                {.scope = KEY_READ, .by = id_new(), .owner = "ann"},
        };

        for (size_t i = 0; i < COUNT_OF(refused); i++)
                FAILS(ERR_FORBIDDEN, make(f, &refused[i], NULL, NULL));
        OK(make(f, &(struct wish){.scope = KEY_ADMIN, .by = ann, .owner = "ann"}, NULL, &got));
        assert_int_equal(got.us, later.us);
        OK(make(f, &(struct wish){.scope = KEY_READ, .by = ann, .owner = "ann", .expires = sooner}, NULL, &got));
        assert_int_equal(got.us, sooner.us);
        /* Revoked meanwhile: it makes and ends nothing more. */
        OK(access_key_revoke(f->c, &(struct key_end){.id = ann, .by = root, .actor = "r"}, &f->e));
        FAILS(ERR_FORBIDDEN, make(f, &(struct wish){.scope = KEY_READ, .by = ann, .owner = "ann"}, NULL, NULL));
        FAILS(ERR_FORBIDDEN,
              access_key_revoke(f->c, &(struct key_end){.id = writer, .by = ann, .owner = "ann", .actor = "a"}, &f->e));
}

static void an_owner_sees_and_ends_its_own_keys_only(void **state)
{
        struct fix *f = *state;
        struct api_key *all;
        struct id root = made(f, (struct wish){.scope = KEY_ADMIN});
        struct id ann = made(f, (struct wish){.scope = KEY_ADMIN, .owner = "ann"});
        struct id bob = made(f, (struct wish){.scope = KEY_READ, .owner = "bob"});

        assert_int_equal(listed(f, NULL, false, &all), 3);
        assert_int_equal(listed(f, "ann", false, &all), 1);
        assert_true(id_eq(all[0].id, ann));
        FAILS(ERR_NOT_FOUND,
              access_key_revoke(f->c, &(struct key_end){.id = bob, .by = ann, .owner = "ann", .actor = "a"}, &f->e));
        FAILS(ERR_NOT_FOUND,
              access_key_revoke(f->c, &(struct key_end){.id = root, .by = ann, .owner = "ann", .actor = "a"}, &f->e));
        assert_int_equal(listed(f, NULL, false, &all), 3);
}

static void the_last_admin_key_stays_unless_there_is_another_way_in(void **state)
{
        struct fix *f = *state;
        struct id root = made(f, (struct wish){.scope = KEY_ADMIN, .first = true, .alone = true}), second;
        struct key_end end = {.id = root, .by = root, .actor = "r", .alone = true};

        made(f, (struct wish){.scope = KEY_ADMIN, .owner = "ann"});
        FAILS(ERR_CONFLICT, access_key_revoke(f->c, &end, &f->e));
        second = made(f, (struct wish){.scope = KEY_ADMIN});
        OK(access_key_revoke(f->c, &end, &f->e));
        end.id = end.by = second;
        FAILS(ERR_CONFLICT, access_key_revoke(f->c, &end, &f->e));
        end.alone = false;
        OK(access_key_revoke(f->c, &end, &f->e));
        bool any = false;
        OK(access_keys_exist(f->c, &any, &f->e));
        assert_true(any); /* revoked ones count: the API never opens again by itself */
}

static int session(struct fix *f, const char *cookie, struct id key, struct dur lifetime)
{
        struct new_session s = {.hash = sha256_of(cookie, strlen(cookie)), .key = key, .lifetime = lifetime};

        s.proof = sha256_of("proof", 5);
        return access_session_add(f->c, &s, &f->e);
}

static int holds(struct fix *f, const char *cookie, struct known_key *k, struct sha256 *proof)
{
        int rc = access_session_find(f->c, sha256_of(cookie, strlen(cookie)), k, proof, &f->e);

        if (rc < 0)
                fail_msg("session: %s", f->e.msg);
        return rc;
}

static void a_session_ends_with_its_time_its_key_or_on_request(void **state)
{
        struct fix *f = *state;
        struct id key = made(f, (struct wish){.scope = KEY_WRITE, .owner = "ann"});
        struct known_key k;
        struct sha256 proof = {{0}};

        OK(session(f, "one", key, dur_s(60)));
        OK(session(f, "two", key, dur_s(60)));
        OK(session(f, "short", key, dur_ms(300)));
        fix_reopen(f);
        assert_int_equal(holds(f, "one", &k, &proof), 1);
        assert_true(id_eq(k.id, key));
        assert_int_equal(k.scope, KEY_WRITE);
        assert_string_equal(k.owner, "ann");
        sleep_for(dur_ms(400));
        assert_int_equal(holds(f, "short", &k, &proof), 0);
        OK(access_session_end(f->c, sha256_of("two", 3), &f->e));
        OK(access_session_end(f->c, sha256_of("two", 3), &f->e));
        assert_int_equal(holds(f, "two", &k, &proof), 0);
        OK(access_key_revoke(f->c, &(struct key_end){.id = key, .actor = "r"}, &f->e));
        assert_int_equal(holds(f, "one", &k, &proof), 0);
        FAILS(ERR_NOT_FOUND, session(f, "late", key, dur_s(60)));
        /* Of API_KEY: no key, but the proof. */
        OK(session(f, "env", (struct id){{0}}, dur_s(60)));
        assert_int_equal(holds(f, "env", &k, &proof), 1);
        assert_true(id_is_nil(k.id));
        assert_true(sha256_eq(proof, sha256_of("proof", 5)));
}

static void a_key_has_a_hundred_sessions_and_no_more(void **state)
{
        struct fix *f = *state;
        struct id key = made(f, (struct wish){.scope = KEY_READ}), other = made(f, (struct wish){.scope = KEY_READ});
        struct known_key k;
        struct sha256 proof;
        char cookie[24];

        OK(session(f, "other", other, dur_s(60)));
        for (int i = 0; i < 102; i++) {
                snprintf(cookie, sizeof cookie, "cookie %d", i);
                OK(session(f, cookie, key, dur_s(60)));
        }
        assert_int_equal(holds(f, "cookie 1", &k, &proof), 0);
        assert_int_equal(holds(f, "cookie 2", &k, &proof), 1);
        assert_int_equal(holds(f, "cookie 101", &k, &proof), 1);
        assert_int_equal(holds(f, "other", &k, &proof), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(the_first_key_is_an_admins_of_no_owner_and_only_one_is_first),
                T(a_key_is_found_by_its_prefix_while_it_holds),
                T(a_prefix_is_one_keys_alone),
                T(no_key_makes_one_that_may_do_more_than_itself),
                T(an_owner_sees_and_ends_its_own_keys_only),
                T(the_last_admin_key_stays_unless_there_is_another_way_in),
                T(a_session_ends_with_its_time_its_key_or_on_request),
                T(a_key_has_a_hundred_sessions_and_no_more),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
