/* SPDX-License-Identifier: Apache-2.0 */
/* What the catalog keeps of reading objects again. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"
#include "keep/keep.h"

struct list {
        struct scrub_item *it;
        size_t n;
};

static struct scrub_state state_of(struct fix *f)
{
        struct scrub_state st;

        OK(keep_scrub_state(f->c, &st, &f->e));
        return st;
}

static struct list next(struct fix *f, bool asked, unsigned limit)
{
        struct list l;

        OK(keep_scrub_next(f->c, state_of(f).now.began, asked, limit, f->a, &l.it, &l.n, &f->e));
        return l;
}

static void seen(struct fix *f, struct list l, const char *bad)
{
        for (size_t i = 0; i < l.n; i++)
                l.it[i].bad = bad;
        OK(keep_scrub_seen(f->c, l.it, l.n, &f->e));
}

static struct bad_object *bad_ones(struct fix *f, size_t want)
{
        struct bad_object *bad;
        size_t n;

        OK(keep_bad_objects(f->c, 100, f->a, &bad, &n, &f->e));
        assert_int_equal(n, want);
        assert_int_equal(state_of(f).bad, want);
        return bad;
}

static void a_pass_reads_what_was_there_when_it_began(void **state)
{
        struct fix *f = *state;
        struct scrub_state st = state_of(f);
        struct list l;

        assert_false(st.running);
        for (int i = 0; i < 5; i++)
                put_file(f, "ann", "a", KIND_FILE);
        sleep_for(dur_ms(2));
        OK(keep_scrub_begin(f->c, false, &f->e));
        st = state_of(f);
        assert_true(st.running && !st.hurry);
        assert_int_equal(st.objects, 5);
        assert_int_equal(st.bytes, 500);
        put_file(f, "ann", "later", KIND_FILE);
        l = next(f, false, 2);
        assert_int_equal(l.n, 2);
        seen(f, l, NULL);
        fix_reopen(f); /* it goes on where it was */
        assert_int_equal(state_of(f).now.objects, 2);
        l = next(f, false, 100);
        assert_int_equal(l.n, 3);
        seen(f, l, NULL);
        assert_int_equal(next(f, false, 100).n, 0);
        OK(keep_scrub_end(f->c, &f->e));
        st = state_of(f);
        assert_false(st.running);
        assert_int_equal(st.last.objects, 5);
        assert_int_equal(st.last.bytes, 500);
        assert_true(st.last.finished.us >= st.last.began.us);
        OK(keep_scrub_end(f->c, &f->e)); /* nothing more to end */
        assert_int_equal(state_of(f).last.finished.us, st.last.finished.us);
}

static void one_that_is_asked_for_begins_anew_once(void **state)
{
        struct fix *f = *state;
        struct scrub_state a, b;

        OK(keep_scrub_begin(f->c, false, &f->e));
        a = state_of(f);
        sleep_for(dur_ms(2));
        OK(keep_scrub_begin(f->c, false, &f->e)); /* runs already */
        assert_int_equal(state_of(f).now.began.us, a.now.began.us);
        OK(keep_scrub_begin(f->c, true, &f->e));
        b = state_of(f);
        assert_true(b.hurry && b.now.began.us > a.now.began.us);
        sleep_for(dur_ms(2));
        OK(keep_scrub_begin(f->c, true, &f->e));
        assert_int_equal(state_of(f).now.began.us, b.now.began.us);
}

static void damage_is_listed_until_it_reads_well_again(void **state)
{
        struct fix *f = *state;
        struct id id = put_file(f, "ann", "a", KIND_FILE);
        struct sha256 sha = get(f, id).sha256;
        struct bad_object *bad;
        struct wall found;
        size_t n;

        sleep_for(dur_ms(2));
        OK(keep_scrub_begin(f->c, true, &f->e));
        seen(f, next(f, false, 10), "it is missing");
        bad = bad_ones(f, 1);
        assert_true(sha256_eq(bad[0].sha256, sha));
        assert_string_equal(bad[0].reason, "it is missing");
        assert_int_equal(bad[0].size, 100);
        assert_int_equal(bad[0].nassets, 1);
        assert_int_equal(bad[0].total_assets, 1);
        assert_true(id_eq(bad[0].assets[0], id));
        found = bad[0].found;
        assert_int_equal(state_of(f).now.bad, 1);
        OK(keep_scrub_ask(f->c, &sha, 1, &n, &f->e));
        assert_int_equal(n, 1);
        struct list l = next(f, true, 10);
        assert_true(l.n == 1 && l.it[0].asked);
        seen(f, l, "it is shorter");
        bad = bad_ones(f, 1);
        assert_string_equal(bad[0].reason, "it is shorter");
        assert_int_equal(bad[0].found.us, found.us); /* since when it is bad */
        assert_true(bad[0].checked.us > found.us);
        assert_int_equal(state_of(f).now.objects, 1); /* what is asked for counts to no pass */
        OK(keep_scrub_ask(f->c, &sha, 1, &n, &f->e));
        seen(f, next(f, true, 10), NULL);
        bad_ones(f, 0);
        sha.b[0] ^= 1;
        OK(keep_scrub_ask(f->c, &sha, 1, &n, &f->e));
        assert_int_equal(n, 0);
}

static void a_result_from_before_it_was_mended_counts_nothing(void **state)
{
        struct fix *f = *state;
        struct sha256 sha = get(f, put_file(f, "ann", "a", KIND_FILE)).sha256;
        struct list l;
        size_t n;

        OK(keep_scrub_ask(f->c, &sha, 1, &n, &f->e));
        l = next(f, true, 10);
        OK(catalog_object_mended(f->c, sha, &f->e)); /* an upload put the bytes meanwhile */
        seen(f, l, "it is missing");
        bad_ones(f, 0);
}

static void what_could_not_be_asked_for_stays_what_it_was(void **state)
{
        struct fix *f = *state;
        struct list l;

        put_file(f, "ann", "a", KIND_FILE);
        sleep_for(dur_ms(2));
        OK(keep_scrub_begin(f->c, false, &f->e));
        seen(f, next(f, false, 10), "it is missing");
        OK(keep_scrub_end(f->c, &f->e));
        OK(keep_scrub_begin(f->c, false, &f->e));
        l = next(f, false, 10);
        l.it[0].skipped = true;
        seen(f, l, NULL);
        bad_ones(f, 1);
        assert_int_equal(next(f, false, 10).n, 0); /* its turn is over all the same */
        assert_int_equal(state_of(f).now.objects, 0);
}

static void what_is_being_removed_is_not_read(void **state)
{
        struct fix *f = *state;
        struct doomed *o;
        struct list l;
        size_t n;

        OK(catalog_asset_purge(f->c, put_file(f, "ann", "a", KIND_FILE), NULL, "user", &f->e));
        sleep_for(dur_ms(2));
        OK(keep_scrub_begin(f->c, false, &f->e));
        l = next(f, false, 10);
        assert_int_equal(l.n, 1); /* as long as it can come back */
        OK(keep_gc_begin(f->c, dur_s(0), dur_s(60), 10, f->a, &o, &n, &f->e));
        assert_int_equal(next(f, false, 10).n, 0);
        seen(f, l, "it is missing"); /* it was listed before */
        bad_ones(f, 0);
        OK(keep_gc_end(f->c, o, n, &f->e));
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(a_pass_reads_what_was_there_when_it_began),     T(one_that_is_asked_for_begins_anew_once),
                T(damage_is_listed_until_it_reads_well_again),    T(a_result_from_before_it_was_mended_counts_nothing),
                T(what_could_not_be_asked_for_stays_what_it_was), T(what_is_being_removed_is_not_read),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
