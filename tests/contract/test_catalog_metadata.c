/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata by source: each replaces what it said itself, and who reads or searches is given what all say. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

#include "catalog/catalog_rules.h"

#define ENRICH_KINDS TASK_KIND(PURPOSE_ENRICH, JOB_IMAGE)

static struct task claim_enrich(struct fix *f, struct id id)
{
        struct task t;

        OK(catalog_task_add(f->c, id, NULL, PURPOSE_ENRICH, &f->e));
        assert_int_equal(catalog_task_claim(f->c, "w", dur_s(60), ENRICH_KINDS, f->a, &t, &f->e), 1);
        return t;
}

static void analyse_with(struct fix *f, struct id id, const char *metadata)
{
        struct task task;

        OK(catalog_asset_reprocess(f->c, id, NULL, NULL, "user", &f->e));
        task = claim(f);
        OK(catalog_task_complete(
                f->c, &(struct task_result){.task = &task, .metadata = metadata, .placement = {.kind = PLACE_KEEP}},
                &f->e));
}

static void say(struct fix *f, struct id id, const char *metadata)
{
        struct task task = claim_enrich(f, id);

        OK(catalog_task_finish(f->c, &(struct task_finding){.task = &task, .source = TAG_VLM, .metadata = metadata},
                               &f->e));
}

static void expect_metadata(struct fix *f, struct id id, const char *want)
{
        struct asset *many;
        struct asset_page page;
        size_t n;

        assert_string_equal(get(f, id).metadata, want);
        OK(catalog_asset_get_many(f->c, &id, 1, NULL, f->a, &many, &n, &f->e));
        assert_int_equal(n, 1);
        assert_string_equal(many[0].metadata, want);
        OK(catalog_asset_list(f->c, &(struct asset_filter){.owner = "ann"}, SORT_CREATED_DESC, 1, NULL, f->a, &page,
                              &f->e));
        assert_true(id_eq(page.assets[0].id, id));
        assert_string_equal(page.assets[0].metadata, want);
}

static size_t found_by(struct fix *f, const char *text)
{
        struct text_match m[4];
        size_t n;

        OK(catalog_text_search(f->c, text, NULL, 4, m, &n, &f->e));
        return n;
}

static int64_t rows_of_metadata(struct fix *f)
{
        struct mono began = mono_now();
        struct db *db = read_begin(f->c, &f->e);
        int64_t n = -1;

        assert_non_null(db);
        assert_int_equal(db_int(db, &f->e, &n, "SELECT count(*) FROM asset_metadata", ""), 1);
        read_end(f->c, db, began);
        return n;
}

static void metadata_is_merged_by_source(void **state)
{
        struct fix *f = *state;
        struct id other = put_done(f, "ann", "b.jpg", NULL), id = put_done(f, "ann", "a.jpg", NULL);
        struct asset before = get(f, other);

        analyse_with(f, id, "{ \"width\": 7, \"description\": \"an animal\" }");
        expect_metadata(f, id, "{ \"width\": 7, \"description\": \"an animal\" }"); /* nothing to merge */
        assert_int_equal(found_by(f, "animal"), 1);
        say(f, id, "{\"description\": \"a beagle\", \"scene\": \"park\"}");
        expect_metadata(f, id, "{\"width\":7,\"description\":\"a beagle\",\"scene\":\"park\"}");
        assert_int_equal(get(f, id).status, ASSET_DONE);
        assert_int_equal(found_by(f, "beagle"), 1);
        assert_int_equal(found_by(f, "animal"), 0);
        /* A new analysis replaces its own words, and those alone. */
        analyse_with(f, id, "{\"width\":9,\"description\":\"a creature\"}");
        expect_metadata(f, id, "{\"width\":9,\"description\":\"a beagle\",\"scene\":\"park\"}");
        assert_int_equal(found_by(f, "beagle"), 1);
        /* So does the other one: what it does not say again is gone. */
        say(f, id, "{\"mood\": \"calm\"}");
        expect_metadata(f, id, "{\"width\":9,\"description\":\"a creature\",\"mood\":\"calm\"}");
        assert_int_equal(found_by(f, "beagle"), 0);
        assert_int_equal(found_by(f, "creature"), 1);
        say(f, id, NULL);
        expect_metadata(f, id, "{\"width\":9,\"description\":\"a creature\",\"mood\":\"calm\"}");
        assert_int_equal(rows_of_metadata(f), 1);
        assert_string_equal(get(f, other).metadata, before.metadata);
        OK(catalog_asset_purge(f->c, id, NULL, "user", &f->e));
        assert_int_equal(rows_of_metadata(f), 0);
}

static int do_put_human(struct tx *tx, void *arg, struct err *e)
{
        const struct id *id = arg;
        int64_t n;

        if (db_int(tx->db, e, &n, "SELECT n FROM asset WHERE id = ?", "u", id) <= 0)
                return -1;
        return metadata_put(tx, n, &(struct source_metadata){TAG_HUMAN, "{\"mood\":\"happy\"}"}, e);
}

static void a_person_has_the_last_word(void **state)
{
        struct fix *f = *state;
        struct id id = put_done(f, "ann", "a.jpg", NULL);

        analyse_with(f, id, "{\"mood\":\"none\",\"width\":1}");
        OK(write_do(f->c, LANE_RESULT, do_put_human, &id, &f->e));
        say(f, id, "{\"mood\":\"calm\",\"scene\":\"park\",\"width\":2}");
        assert_int_equal(rows_of_metadata(f), 2);
        expect_metadata(f, id, "{\"mood\":\"happy\",\"width\":2,\"scene\":\"park\"}");
}

static void metadata_that_is_no_object_is_refused(void **state)
{
        struct fix *f = *state;
        struct id id = put_done(f, "ann", "a.jpg", NULL);
        char *before = mem_strdup(get(f, id).metadata), *big = mem_alloc(METADATA_MAX + 2);
        struct task task;
        struct task_finding r = {.task = &task, .source = TAG_VLM};
        const char *const bad[] = {"", "[]", "{\"a\":1,\"a\":2}", "{\"a\"", big};

        memset(big, ' ', METADATA_MAX + 1);
        big[0] = '{';
        big[METADATA_MAX] = '}';
        big[METADATA_MAX + 1] = '\0';
        task = claim_enrich(f, id);
        for (size_t i = 0; i < COUNT_OF(bad); i++) {
                r.metadata = bad[i];
                FAILS(ERR_INVALID, catalog_task_finish(f->c, &r, &f->e));
        }
        r.metadata = "{}";
        for (r.source = TAG_ZERO_SHOT; r.source <= TAG_EXIF; r.source++) /* the analysis' to say */
                FAILS(ERR_INVALID, catalog_task_finish(f->c, &r, &f->e));
        assert_int_equal(rows_of_metadata(f), 0);
        r.source = TAG_VLM;
        r.metadata = "{\"a\":1}";
        OK(catalog_task_release(f->c, &task, dur_ms(0), &f->e));
        FAILS(ERR_STALE, catalog_task_finish(f->c, &r, &f->e));
        assert_int_equal(rows_of_metadata(f), 0);
        assert_string_equal(get(f, id).metadata, before);
        mem_free(before);
        mem_free(big);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(metadata_is_merged_by_source),
                T(a_person_has_the_last_word),
                T(metadata_that_is_no_object_is_refused),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
