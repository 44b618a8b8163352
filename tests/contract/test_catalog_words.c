/* SPDX-License-Identifier: Apache-2.0 */
/* What a search by words knows of files that were acknowledged a moment ago. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

#define CROWD 600 /* more than an engine indexes at a time */

static size_t by_text(struct fix *f, const char *query)
{
        static struct text_match m[1000];
        size_t n;

        OK(catalog_text_search(f->c, query, NULL, COUNT_OF(m), m, &n, &f->e));
        for (size_t i = 0; i < n; i++)
                for (size_t k = 0; k < i; k++)
                        assert_false(id_eq(m[i].asset, m[k].asset));
        return n;
}

static size_t by_name(struct fix *f, const char *name)
{
        struct asset_filter only = {.name = name};
        struct asset_page p;

        OK(catalog_asset_list(f->c, &only, SORT_CREATED_DESC, 1, NULL, f->a, &p, &f->e));
        return (size_t)p.total;
}

static void put_crowd(struct fix *f, unsigned n)
{
        struct new_asset *x = arena_array(f->a, n, sizeof *x);
        struct new_job j = new_job_of("ann", x, n);
        struct job_receipt r;

        for (unsigned i = 0; i < n; i++)
                x[i] = new_file(arena_printf(f->a, "heron %u.bin", i), KIND_DOCUMENT, false);
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
}

static void what_was_just_acknowledged_is_found(void **state)
{
        struct fix *f = *state;

        for (size_t i = 1; i <= 20; i++) {
                put_file(f, "ann", "quiet-heron.bin", KIND_DOCUMENT);
                assert_int_equal(by_text(f, "heron"), i);
                assert_int_equal(by_name(f, "et-her"), i);
        }
        put_crowd(f, CROWD);
        assert_int_equal(by_name(f, "heron"), CROWD + 20);
        assert_int_equal(by_text(f, "hero"), CROWD + 20);
}

static void a_filter_by_name_counts_new_files_in_a_search_by_vector(void **state)
{
        struct fix *f = *state;
        struct asset_filter only = {.name = "heron"};
        struct vector_match m[10];
        float v[DIM];
        size_t n;

        fix_warm(f, MODEL);
        unit_vector(1, v);
        put_done(f, "ann", "heron.jpg", v);
        put_done(f, "ann", "crane.jpg", v);
        OK(catalog_vector_search(f->c, MODEL, v, &only, 10, m, &n, &f->e));
        assert_int_equal(n, 1);
}

/* Closed at once, before anything was indexed behind the acknowledgements. */
static void what_is_due_is_found_after_reopening(void **state)
{
        struct fix *f = *state;

        put_crowd(f, 3);
        fix_reopen(f);
        put_crowd(f, CROWD);
        fix_reopen(f);
        assert_int_equal(by_text(f, "heron"), CROWD + 3);
        fix_reopen(f);
        assert_int_equal(by_text(f, "heron"), CROWD + 3);
        assert_int_equal(by_name(f, "heron 1"), 2 + 10 + 100);
}

static void changes_before_the_first_search_count(void **state)
{
        static const char *const tags[] = {"wading"};
        struct asset_patch tagged = {.set_tags = true, .tags = tags, .ntags = 1};
        struct asset_patch named = {.filename = "crane.bin"};
        struct fix *f = *state;
        struct id a = put_file(f, "ann", "heron.bin", KIND_DOCUMENT),
                  b = put_file(f, "ann", "heron.bin", KIND_DOCUMENT);

        OK(catalog_asset_patch(f->c, a, "ann", &tagged, "user", NULL, &f->e));
        OK(catalog_asset_patch(f->c, b, "ann", &named, "user", NULL, &f->e));
        assert_int_equal(by_text(f, "wading"), 1);
        assert_int_equal(by_text(f, "heron"), 1);
        assert_int_equal(by_name(f, "crane"), 1);
        /* The newest goes before it was ever indexed, and the next one takes no notice. */
        b = put_file(f, "ann", "stork.bin", KIND_DOCUMENT);
        OK(catalog_asset_trash(f->c, b, "ann", "user", &f->e));
        OK(catalog_asset_purge(f->c, b, "ann", "user", &f->e));
        assert_int_equal(by_text(f, "stork"), 0);
        put_file(f, "ann", "stork.bin", KIND_DOCUMENT);
        assert_int_equal(by_text(f, "stork"), 1);
        fix_reopen(f);
        assert_int_equal(by_text(f, "stork"), 1);
        assert_int_equal(by_text(f, "heron"), 1);
}

static void a_search_finds_what_is_there_when_nothing_can_be_written(void **state)
{
        struct fix *f = *state;

        put_file(f, "ann", "heron.bin", KIND_DOCUMENT);
        assert_int_equal(by_text(f, "heron"), 1);
        put_file(f, "ann", "crane.bin", KIND_DOCUMENT);
        setenv("FILE_ALLOCATOR_FAULT", "catalog.commit=enospc", 1);
        fault_init();
        assert_int_equal(by_text(f, "heron"), 1);
        unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
        assert_int_equal(by_text(f, "crane"), 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(what_was_just_acknowledged_is_found),
                T(a_filter_by_name_counts_new_files_in_a_search_by_vector),
                T(what_is_due_is_found_after_reopening),
                T(changes_before_the_first_search_count),
                T(a_search_finds_what_is_there_when_nothing_can_be_written),
        };

        return cmocka_run_group_tests_name("catalog words (" ENGINE ")", tests, NULL, NULL);
}
