/* SPDX-License-Identifier: Apache-2.0 */
/* The trash: what comes back as it was, what goes for good, and what the rest of the catalog says then. */
#include "keep/keep_check.h"
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

static void say(void *ctx, const char *check, const char *what)
{
        (void)ctx;
        print_message("%s: %s\n", check, what);
}

/* Counts, sums, tasks and indexes all fit. */
static void assert_consistent(struct fix *f)
{
        struct keep_check_opts o = {.tell = say};
        struct keep_check_result r[KEEP_CHECKS_MAX];
        size_t n;

        OK(keep_check(f->c, &o, r, &n, &f->e));
        for (size_t i = 0; i < n; i++)
                assert_int_equal(r[i].found, 0);
}

static struct id new_folder(struct fix *f, const char *name)
{
        struct id id;

        OK(catalog_cluster_create(f->c, "ann", name, 0.5f, "user", &id, &f->e));
        return id;
}

static struct id put_into(struct fix *f, struct id to, unsigned seed)
{
        struct asset_patch p = {.set_cluster = true,
                                .cluster_id = to,
                                .set_tags = true,
                                .tags = (const char *const[]){"beach"},
                                .ntags = 1,
                                .set_comments = true,
                                .comments = "by the sea"};
        float v[DIM];
        struct id id;

        unit_vector(seed, v);
        id = put_done(f, "ann", "a.jpg", v);
        OK(catalog_asset_patch(f->c, id, "ann", &p, "user", NULL, &f->e));
        return id;
}

static void trash(struct fix *f, struct id id)
{
        OK(catalog_asset_trash(f->c, id, "ann", "user", &f->e));
}

static void restore(struct fix *f, struct id id)
{
        OK(catalog_asset_restore(f->c, id, "ann", "user", &f->e));
}

static void what_is_restored_is_as_it_was(void **state)
{
        struct fix *f = *state;
        struct id to = new_folder(f, "Sea"), a, b;
        struct text_match m[5];
        size_t n;

        fix_warm(f, MODEL);
        a = put_into(f, to, 1);
        b = put_into(f, to, 2);
        (void)b;
        trash(f, a);
        assert_int_equal(folder(f, to).asset_count, 1);
        assert_consistent(f);
        restore(f, a);
        assert_int_equal(folder(f, to).asset_count, 2);
        assert_true(id_eq(get(f, a).cluster_id, to));
        assert_int_equal(get(f, a).ntags, 1);
        assert_string_equal(get(f, a).tags[0].name, "beach");
        assert_string_equal(get(f, a).comments, "by the sea");
        assert_int_equal(get(f, a).trashed.us, 0);
        OK(catalog_text_search(f->c, "beach", NULL, 5, m, &n, &f->e));
        assert_int_equal(n, 2);
        restore(f, a); /* again changes nothing */
        assert_int_equal(folder(f, to).asset_count, 2);
        assert_consistent(f);
}

static void a_folder_that_is_gone_is_not_missed(void **state)
{
        struct fix *f = *state;
        struct id gone = new_folder(f, "Gone"), from = new_folder(f, "From"), into = new_folder(f, "Into");
        struct id a = put_into(f, gone, 1), b = put_into(f, from, 2);
        struct id op;
        struct wall t;

        trash(f, a);
        trash(f, b);
        OK(catalog_cluster_delete(f->c, gone, "ann", "user", &op, &f->e));
        OK(catalog_cluster_merge(f->c, into, &from, 1, NULL, "ann", "user", &op, &t, &f->e));
        restore(f, a);
        restore(f, b);
        assert_true(id_is_nil(get(f, a).cluster_id)); /* unsorted, as all that was in it */
        assert_true(id_eq(get(f, b).cluster_id, into));
        assert_int_equal(folder(f, into).asset_count, 1);
        assert_int_equal(get(f, a).ntags, 1);
        assert_consistent(f);
}

static void results_reach_what_is_in_the_trash(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a.jpg", KIND_MEDIA, true);
        struct new_job j = new_job_of("ann", &x, 1);
        struct job_receipt r;
        struct task t;
        float v[DIM];
        struct id to;

        j.folder = "Wanted";
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        to = get(f, x.id).cluster_id;
        t = claim(f);
        trash(f, x.id);
        unit_vector(3, v);
        OK(finish(f, &t, v, (struct placement){.kind = PLACE_KEEP}));
        assert_int_equal(folder(f, to).asset_count, 0);
        assert_consistent(f);
        restore(f, x.id);
        assert_int_equal(get(f, x.id).status, ASSET_DONE);
        assert_int_equal(folder(f, to).asset_count, 1);
        assert_consistent(f);
}

static void purging_takes_a_leased_task_along(void **state)
{
        struct fix *f = *state;
        struct id a = put_file(f, "ann", "a.jpg", KIND_MEDIA);
        struct task t = claim(f);
        struct task_failure bad = {.stage = "decode", .code = ERR_IO, .reason = "x", .retry_at = wall_now()};
        struct catalog_counts n;
        float v[DIM];

        unit_vector(1, v);
        OK(catalog_asset_purge(f->c, a, "ann", "user", &f->e));
        FAILS(ERR_STALE, catalog_task_extend(f->c, &t, dur_s(60), &f->e));
        FAILS(ERR_STALE, finish(f, &t, v, (struct placement){0}));
        FAILS(ERR_STALE, catalog_task_fail(f->c, &t, &bad, &f->e));
        OK(catalog_task_release(f->c, &t, dur_s(0), &f->e));
        OK(catalog_counts(f->c, NULL, &n, &f->e));
        assert_int_equal(n.waiting[JOB_IMAGE], 0);
        assert_int_equal(n.assets[KIND_MEDIA][ASSET_PROCESSING], 0);
        assert_consistent(f);
}

static void the_next_duplicate_takes_the_firsts_place(void **state)
{
        struct fix *f = *state;
        struct new_asset x[3] = {new_file("a", KIND_FILE, false)};
        struct job_receipt r;

        x[1] = x[2] = x[0];
        for (int i = 0; i < 3; i++) {
                struct new_job j = new_job_of("ann", &x[i], 1);
                x[i].id = id_new();
                OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        }
        assert_true(id_eq(get(f, x[2].id).duplicate_of, x[0].id));
        OK(catalog_asset_purge(f->c, x[0].id, "ann", "user", &f->e));
        assert_true(id_is_nil(get(f, x[1].id).duplicate_of));
        assert_true(id_eq(get(f, x[2].id).duplicate_of, x[1].id));
        OK(catalog_asset_purge(f->c, x[2].id, "ann", "user", &f->e));
        assert_true(id_is_nil(get(f, x[1].id).duplicate_of));
        assert_consistent(f);
}

static struct id put_hash(struct fix *f, uint64_t phash)
{
        struct id id = put_file(f, "ann", "p.jpg", KIND_MEDIA);
        struct task t = claim(f);
        struct task_result r = {.task = &t, .metadata = "{}", .has_phash = true, .phash = phash};

        OK(catalog_task_complete(f->c, &r, &f->e));
        return id;
}

static void what_came_meanwhile_is_near_what_comes_back(void **state)
{
        struct fix *f = *state;
        struct id a = put_hash(f, 0xFF00FF00FF00FF00), b;

        trash(f, a);
        b = put_hash(f, 0xFF00FF00FF00FF01);
        assert_int_equal(get(f, b).nnear, 0);
        restore(f, a);
        assert_int_equal(get(f, b).nnear, 1);
        assert_true(id_eq(get(f, b).near_duplicates[0], a));
        assert_true(id_eq(get(f, a).near_duplicates[0], b));
        assert_consistent(f);
}

static void the_oldest_in_the_trash_go_first(void **state)
{
        struct fix *f = *state;
        struct id all[3], *due;
        struct wall first = {0};
        size_t n;

        for (int i = 0; i < 3; i++)
                all[i] = put_file(f, "ann", "a", KIND_FILE);
        for (int i = 2; i >= 0; i--) {
                trash(f, all[i]);
                if (i == 2)
                        first = get(f, all[2]).trashed;
                sleep_for(dur_ms(2));
        }
        OK(catalog_trash_due(f->c, wall_add(wall_now(), dur_s(5)), 2, f->a, &due, &n, &f->e));
        assert_int_equal(n, 2);
        assert_true(id_eq(due[0], all[2]) && id_eq(due[1], all[1]));
        OK(catalog_trash_due(f->c, wall_add(first, dur_ms(1)), 10, f->a, &due, &n, &f->e));
        assert_int_equal(n, 1);
        OK(catalog_trash_due(f->c, first, 10, f->a, &due, &n, &f->e));
        assert_int_equal(n, 0);
}

static void what_a_person_restores_at_the_last_moment_stays(void **state)
{
        struct fix *f = *state;
        struct id a = put_file(f, "ann", "a", KIND_FILE), b = put_file(f, "ann", "b", KIND_FILE), *due;
        struct wall t = wall_add(wall_now(), dur_s(5));
        struct asset none;
        size_t n;

        trash(f, a);
        trash(f, b);
        OK(catalog_trash_due(f->c, t, 10, f->a, &due, &n, &f->e));
        assert_int_equal(n, 2);
        restore(f, a);
        FAILS(ERR_NOT_FOUND, catalog_trash_purge(f->c, a, t, "service", &f->e));
        FAILS(ERR_NOT_FOUND, catalog_trash_purge(f->c, b, get(f, b).trashed, "service", &f->e));
        OK(catalog_trash_purge(f->c, b, t, "service", &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, b, NULL, f->a, &none, &f->e));
        assert_int_equal(get(f, a).trashed.us, 0);
        assert_consistent(f);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(what_is_restored_is_as_it_was),
                T(a_folder_that_is_gone_is_not_missed),
                T(results_reach_what_is_in_the_trash),
                T(purging_takes_a_leased_task_along),
                T(the_next_duplicate_takes_the_firsts_place),
                T(what_came_meanwhile_is_near_what_comes_back),
                T(the_oldest_in_the_trash_go_first),
                T(what_a_person_restores_at_the_last_moment_stays),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
