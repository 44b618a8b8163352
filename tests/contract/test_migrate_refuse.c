/* SPDX-License-Identifier: Apache-2.0 */
/* What is no source and what is no place for a copy is refused, and a copy that was changed is noticed. */
#include "contract/migrate_world.h"

static void expect_refusal(struct world *w, const char *words)
{
        assert_int_equal(copy(w), -1);
        if (!strstr(w->e.msg, words))
                fail_msg("\"%s\" does not say \"%s\"", w->e.msg, words);
}

static void a_changed_source_is_refused(void **state)
{
        struct world *w = *state;

        fill(&w->from);
        shut(&w->from);
        expect_copy(w, COPY_NEW);
        fix_open(&w->from);
        ingest(&w->from, "ann", new_named("late", KIND_FILE, "late"), NULL, NULL);
        shut(&w->from);
        expect_refusal(w, "the source has changed since its copy was finished");
        assert_int_equal(in_target(w, "SELECT count(*) FROM asset WHERE filename = 'late'"), 0);
}

static void another_source_is_refused(void **state)
{
        struct world *w = *state;

        shut(&w->from);
        expect_copy(w, COPY_NEW);
        assert_int_equal(unlink(w->path), 0);
        fix_open(&w->from);
        shut(&w->from);
        expect_refusal(w, "begun from another catalog");
}

static void a_target_with_content_is_refused(void **state)
{
        struct world *w = *state;
        struct fix *f = &w->to;

        ingest(&w->from, "ann", new_named("a", KIND_FILE, "a"), NULL, NULL);
        shut(&w->from);
        fix_open(f);
        ingest(f, "ann", new_named("foreign", KIND_FILE, "f"), NULL, NULL);
        expect_refusal(w, "stop it first");
        shut(f);
        backend_quiet(f->url);
        expect_refusal(w, "an empty database");
        assert_int_equal(in_target(w, "SELECT count(*) FROM asset"), 1);
}

static void a_damaged_target_is_noticed(void **state)
{
        struct world *w = *state;
        struct keep_copy_opts opts = copy_opts(w);
        const struct keep_copy_table *t;
        struct keep_copy *c;
        unsigned differ = 0;
        bool equal = true;
        size_t n;

        fill(&w->from);
        shut(&w->from);
        expect_copy(w, COPY_NEW);
        pgtest_exec(pgtest_database(w->to.url), "UPDATE lineage SET detail = '{}' WHERE n = 3");
        assert_int_equal(keep_copy_open(&opts, &c, &w->e), 0);
        assert_int_equal(keep_copy_verify(c, &equal, &w->e), 0);
        assert_false(equal);
        t = keep_copy_tables(c, &n);
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(t[i].rows, t[i].target_rows);
                differ += !sha256_eq(t[i].hash, t[i].target_hash);
        }
        assert_int_equal(differ, 1);
        keep_copy_close(c);
}

static void what_is_no_source_is_named(void **state)
{
        struct world *w = *state;
        FILE *file;

        shut(&w->from);
        source_exec(w, "INSERT INTO schema_version VALUES (9999, 'x', 0)");
        expect_refusal(w, "schema version 9999");
        source_exec(w, "DROP TABLE schema_version");
        expect_refusal(w, "is not a catalog of File Allocator");
        file = fopen(w->path, "w");
        assert_non_null(file);
        for (int i = 0; i < 500; i++)
                fputs("no database at all ", file);
        fclose(file);
        expect_refusal(w, "is not a catalog of File Allocator");
        unlink(w->path);
        expect_refusal(w, "there is no catalog at");
        assert_int_equal(in_target(w, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"), 0);
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)
        const struct CMUnitTest tests[] = {
                TEST(a_changed_source_is_refused),      TEST(another_source_is_refused),
                TEST(a_target_with_content_is_refused), TEST(a_damaged_target_is_noticed),
                TEST(what_is_no_source_is_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
