/* SPDX-License-Identifier: Apache-2.0 */
/* The periodic pass: what it merges, places and renames, what it must leave alone, and the dry run. */
#include "test_organise_world.h"
#include "folders/folders.h"
#include "catalog/catalog_place.h"

static struct arena *a;

static int setup(void **state)
{
        a = arena_new(64u << 20);
        return a ? world_open(state) : -1;
}

static int teardown(void **state)
{
        arena_free(a);
        return world_close(state);
}

static struct organise_report pass(bool dry)
{
        struct organise_report r;
        OK(organise_pass(organise, DEFAULT_OWNER, dry, a, &r, &e));
        return r;
}

static size_t count(const struct organise_report *r, const char *action)
{
        size_t n = 0;
        for (size_t i = 0; i < r->n; i++)
                n += !strcmp(r->changes[i].action, action);
        return n;
}

/* n pictures in a folder of that name, which a person made. */
static struct id made_folder(const char *name, unsigned group, unsigned first, unsigned n)
{
        struct id id = {{0}};
        float v[DIM];
        for (unsigned i = 0; i < n; i++) {
                struct id x = ingest((struct upload){.name = "f.jpg", .folder = name});
                picture(v, group, first + i, 0.85f);
                finish(v, NULL, 0, 0.9f);
                id = get(a, x).cluster_id;
        }
        return id;
}

/* A founded folder of n pictures, placed directly: as two workers without a lock might have made it. */
static struct id twin_folder(unsigned group, unsigned first, unsigned n)
{
        struct id ids[16];
        float v[DIM];
        for (unsigned i = 0; i < n; i++) {
                ids[i] = ingest((struct upload){.name = "t.jpg"});
                picture(v, group, first + i, 0.85f);
                finish(v, NULL, 0, 0.1f);
        }
        const struct placement p = {.kind = PLACE_FOUND,
                                    .cluster_id = id_new(),
                                    .name = "Twin",
                                    .threshold = 0.72f,
                                    .members = ids,
                                    .nmembers = n,
                                    .why = "test"};
        OK(catalog_place(catalog, DEFAULT_OWNER, &p, "service", &e));
        return p.cluster_id;
}

static void two_folders_of_the_same_become_one(void **state)
{
        (void)state;
        struct cluster *c, gone;
        struct id small = twin_folder(1, 0, 3), large = twin_folder(1, 20, 5);
        struct organise_report r = pass(false);
        assert_int_equal(count(&r, "merge"), 1);
        assert_true(id_eq(r.changes[0].cluster, large));
        assert_true(id_eq(r.changes[0].other, small));
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_int_equal(c[0].asset_count, 8);
        struct id survivor;
        struct err e = {0};
        assert_int_equal(catalog_cluster_get(catalog, small, NULL, a, &gone, &survivor, &e), -1);
        assert_true(id_eq(survivor, large));
        assert_int_equal(pass(false).n, 0);
}

static void different_folders_stay_apart(void **state)
{
        (void)state;
        struct cluster *c;
        twin_folder(1, 0, 3);
        twin_folder(2, 0, 3);
        assert_int_equal(pass(false).n, 0);
        assert_int_equal(folders(a, NULL, &c), 2);
}

static void what_a_person_made_is_never_merged_away(void **state)
{
        (void)state;
        struct cluster *c;
        struct id mine = made_folder("Mine", 1, 0, 1);
        twin_folder(1, 20, 6);
        struct organise_report r = pass(false);
        assert_int_equal(count(&r, "merge"), 1);
        assert_true(id_eq(r.changes[0].cluster, mine));
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_string_equal(c[0].name, "Mine");

        made_folder("Also mine", 1, 40, 2);
        r = pass(false);
        assert_int_equal(count(&r, "merge"), 0);
        assert_int_equal(folders(a, NULL, &c), 2);
}

static void a_locked_folder_takes_no_part(void **state)
{
        (void)state;
        struct cluster *c;
        struct id x = twin_folder(1, 0, 3);
        twin_folder(1, 20, 5);
        const struct cluster_change lock = {.kind = CHANGE_LOCK, .locked = true};
        struct wall updated;
        OK(catalog_cluster_change(catalog, x, DEFAULT_OWNER, &lock, "user", NULL, &updated, &e));
        assert_int_equal(pass(false).n, 0);
        assert_int_equal(folders(a, NULL, &c), 2);
}

static void between_two_that_cannot_merge_the_nearer_wins(void **state)
{
        (void)state;
        float v[DIM];
        made_folder("One", 1, 0, 2);
        made_folder("Two", 1, 20, 2);
        struct id id = ingest((struct upload){.name = "x.jpg"});
        picture(v, 1, 50, 0.95f);
        finish(v, NULL, 0, 0.9f);
        assert_true(id_is_nil(get(a, id).cluster_id));
        struct organise_report r = pass(false);
        assert_int_equal(count(&r, "assign"), 1);
        assert_false(id_is_nil(get(a, id).cluster_id));
}

/* Unsorted since they came before there was a folder, or while the thresholds were others. */
static void the_unsorted_are_tried_again(void **state)
{
        (void)state;
        struct cluster *c;
        float v[DIM];
        for (unsigned i = 0; i < 5; i++) {
                ingest((struct upload){.name = "late.jpg"});
                picture(v, 1, i, 0.85f);
                finish(v, NULL, 0, 0.1f); /* left unsorted; nothing in the catalog says the model was unsure */
        }
        struct id loner = add(NULL, 5, 0);
        struct organise_report dry = pass(true);
        assert_int_equal(count(&dry, "found"), 1);
        assert_int_equal(folders(a, NULL, &c), 0);
        struct organise_report r = pass(false);
        assert_int_equal(r.n, dry.n);
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_int_equal(c[0].asset_count, 5);
        assert_true(id_is_nil(get(a, loner).cluster_id));
        assert_int_equal(pass(false).n, 0);
}

static void a_dry_run_tells_the_same_and_writes_nothing(void **state)
{
        (void)state;
        struct cluster *c;
        float v[DIM];
        twin_folder(1, 0, 3);
        twin_folder(1, 20, 5);
        for (unsigned i = 0; i < 4; i++) {
                ingest((struct upload){.name = "u.jpg"});
                picture(v, i ? 2 : 1, 60 + i, 0.85f);
                finish(v, NULL, 0, 0.1f);
        }
        struct organise_report dry = pass(true), again = pass(true);
        assert_int_equal(folders(a, NULL, &c), 2);
        assert_int_equal(dry.n, 3);
        assert_int_equal(again.n, dry.n);
        struct organise_report r = pass(false);
        assert_int_equal(r.n, dry.n);
        for (size_t i = 0; i < r.n; i++) {
                assert_string_equal(r.changes[i].action, dry.changes[i].action);
                if (strcmp(r.changes[i].action, "found"))
                        assert_true(id_eq(r.changes[i].cluster, dry.changes[i].cluster));
        }
        assert_int_equal(folders(a, NULL, &c), 2);
}

static void tag_members(unsigned group, unsigned first, unsigned n, const struct tag *tags, size_t ntags)
{
        for (unsigned i = 0; i < n; i++)
                add_tagged((struct upload){.name = "n.jpg"}, group, first + i, tags, ntags);
}

static void a_name_follows_its_members_unless_a_person_gave_it(void **state)
{
        (void)state;
        struct cluster *c;
        const struct tag beagle[] = {{"dogs", TAG_ZERO_SHOT, 0.98f}, {"beagle", TAG_ZERO_SHOT, 0.9f}};
        const struct tag pug[] = {{"dogs", TAG_ZERO_SHOT, 0.97f}, {"pug", TAG_ZERO_SHOT, 0.8f}};
        struct wall updated;
        tag_members(1, 0, 3, beagle, 2);
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_string_equal(c[0].name, "Beagle");
        tag_members(1, 3, 1, pug, 2);
        assert_int_equal(pass(false).n, 0); /* three of four: not clearly different yet */
        tag_members(1, 4, 3, pug, 2);
        struct organise_report r = pass(false);
        assert_int_equal(count(&r, "rename"), 1);
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_string_equal(c[0].name, "Dogs");

        const struct cluster_change name = {.kind = CHANGE_RENAME, .name = "Our zoo", .by_person = true};
        OK(catalog_cluster_change(catalog, c[0].id, DEFAULT_OWNER, &name, "user", NULL, &updated, &e));
        assert_int_equal(pass(false).n, 0);
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_string_equal(c[0].name, "Our zoo");
}

static void the_thread_runs_and_stops_promptly(void **state)
{
        (void)state;
        struct cluster *c;
        twin_folder(1, 0, 3);
        twin_folder(1, 20, 5);
        OK(organise_start(organise, &e));
        for (int i = 0; i < 400 && folders(a, NULL, &c) != 1; i++)
                sleep_for(dur_ms(10));
        assert_int_equal(folders(a, NULL, &c), 1);
        struct mono start = mono_now();
        organise_close(organise);
        organise = NULL;
        assert_true(dur_seconds(mono_since(start)) < 15);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(two_folders_of_the_same_become_one),
                T(different_folders_stay_apart),
                T(what_a_person_made_is_never_merged_away),
                T(a_locked_folder_takes_no_part),
                T(between_two_that_cannot_merge_the_nearer_wins),
                T(the_unsorted_are_tried_again),
                T(a_dry_run_tells_the_same_and_writes_nothing),
                T(a_name_follows_its_members_unless_a_person_gave_it),
                T(the_thread_runs_and_stops_promptly),
        };
        return cmocka_run_group_tests(tests, model_open, model_close);
}
