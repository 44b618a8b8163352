/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Placing at the end of a task, against the real catalog: which folder, who
 * founds one, and that eight workers at once do what one alone would have done.
 */
#include "test_organise_world.h"
#include "catalog/catalog_asset.h"
#include "catalog/catalog_part.h"
#include "catalog/catalog_task.h"

static struct arena *a;

static int setup(void **state)
{
        a = arena_new(32u << 20);
        return a ? world_open(state) : -1;
}

static int teardown(void **state)
{
        arena_free(a);
        return world_close(state);
}

static void three_found_a_folder_and_the_fourth_joins(void **state)
{
        (void)state;
        struct cluster *c;
        struct id ids[4];
        double before = metrics_get(METRIC_CLUSTERS_CREATED);
        for (unsigned i = 0; i < 2; i++)
                ids[i] = add(NULL, 1, i);
        assert_int_equal(folders(a, NULL, &c), 0);
        ids[2] = add(NULL, 1, 2);
        assert_int_equal(folders(a, NULL, &c), 1);
        ids[3] = add(NULL, 1, 3);
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_int_equal(c[0].asset_count, 4);
        assert_int_equal(c[0].status, CLUSTER_PROVISIONAL);
        for (unsigned i = 0; i < 4; i++) {
                struct asset x = get(a, ids[i]);
                assert_true(id_eq(x.cluster_id, c[0].id));
                assert_true(x.cluster_similarity > 0.72f);
                assert_int_equal(x.status, ASSET_DONE);
        }
        assert_float_equal(metrics_get(METRIC_CLUSTERS_CREATED), before + 1, 1e-9);
}

static void what_resembles_nothing_stays_unsorted(void **state)
{
        (void)state;
        struct cluster *c;
        for (unsigned i = 0; i < 3; i++)
                add(NULL, 1, i);
        struct id stranger = add(NULL, 2, 0);
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_true(id_is_nil(get(a, stranger).cluster_id));
}

static void an_unsure_model_leaves_it_unsorted(void **state)
{
        (void)state;
        struct cluster *c;
        float v[DIM];
        for (unsigned i = 0; i < 4; i++) {
                ingest((struct upload){.name = "drawing.png"});
                picture(v, 1, i, 0.85f);
                finish(v, NULL, 0, 0.49f);
        }
        assert_int_equal(folders(a, NULL, &c), 0);
}

/* What the model does not understand resembles itself: it founds nothing, also not as another's neighbour. */
static void the_unsure_are_no_founding_members(void **state)
{
        (void)state;
        const struct tag dogs = {"dogs", TAG_ZERO_SHOT, 0.9f};
        struct cluster *c;
        float v[DIM];
        for (unsigned i = 0; i < 2; i++) {
                ingest((struct upload){.name = "drawing.png"});
                picture(v, 1, i, 0.85f);
                finish(v, NULL, 0, 0.3f);
        }
        for (unsigned i = 2; i < 4; i++)
                add_tagged((struct upload){.name = "dog.jpg"}, 1, i, &dogs, 1);
        assert_int_equal(folders(a, NULL, &c), 0);
        add_tagged((struct upload){.name = "dog.jpg"}, 1, 4, &dogs, 1);
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_int_equal(c[0].asset_count, 3);
        assert_string_equal(c[0].name, "Dogs");
}

static void between_two_folders_is_unsorted_and_founds_no_third(void **state)
{
        (void)state;
        struct cluster *c;
        float v[DIM];
        for (unsigned g = 1; g <= 2; g++)
                for (unsigned i = 0; i < 3; i++)
                        add(NULL, g, i);
        for (unsigned i = 0; i < 4; i++) {
                struct id id = ingest((struct upload){.name = "both.jpg"});
                between(v, 1, 2, 0.5f);
                finish(v, NULL, 0, 0.9f);
                assert_true(id_is_nil(get(a, id).cluster_id));
        }
        assert_int_equal(folders(a, NULL, &c), 2);
        struct id nearer = ingest((struct upload){.name = "more.jpg"});
        between(v, 1, 2, 0.75f);
        finish(v, NULL, 0, 0.9f);
        assert_false(id_is_nil(get(a, nearer).cluster_id));
}

static void owners_never_mix(void **state)
{
        (void)state;
        struct cluster *c;
        for (unsigned i = 0; i < 2; i++) {
                add("ann", 1, i);
                add("bob", 1, 10 + i);
        }
        assert_int_equal(folders(a, NULL, &c), 0);
        struct id third = add("ann", 1, 2);
        assert_int_equal(folders(a, "ann", &c), 1);
        assert_int_equal(c[0].asset_count, 3);
        assert_true(id_eq(get(a, third).cluster_id, c[0].id));
        assert_int_equal(folders(a, "bob", &c), 0);
}

static void a_folder_asked_for_is_kept(void **state)
{
        (void)state;
        struct cluster *c;
        float v[DIM];
        for (unsigned i = 0; i < 3; i++)
                add(NULL, 1, i);
        struct id id = ingest((struct upload){.name = "mine.jpg", .folder = "Holiday"});
        picture(v, 1, 9, 0.85f);
        finish(v, NULL, 0, 0.9f);
        struct asset x = get(a, id);
        assert_string_equal(x.cluster_name, "Holiday");
        assert_true(x.pinned);
        assert_int_equal(folders(a, NULL, &c), 2);
}

static void taken_out_by_a_person_is_no_founding_member(void **state)
{
        (void)state;
        struct cluster *c;
        struct id ids[2];
        for (unsigned i = 0; i < 2; i++)
                ids[i] = add(NULL, 1, i);
        const struct asset_patch unsorted = {.set_cluster = true};
        OK(catalog_asset_patch(catalog, ids[0], NULL, &unsorted, "user", NULL, &e));
        add(NULL, 1, 2);
        assert_int_equal(folders(a, NULL, &c), 0);
        add(NULL, 1, 3);
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_int_equal(c[0].asset_count, 3);
        assert_true(id_is_nil(get(a, ids[0]).cluster_id));
}

static void what_no_tag_can_name_gets_a_date(void **state)
{
        (void)state;
        struct cluster *c;
        for (unsigned g = 1; g <= 2; g++)
                for (unsigned i = 0; i < 3; i++)
                        add(NULL, g, i);
        assert_int_equal(folders(a, NULL, &c), 2);
        assert_memory_equal(c[0].name, "Similar photos (", 16);
        assert_string_not_equal(c[0].name, c[1].name);
}

static void analysed_again_it_stays_where_it_was(void **state)
{
        (void)state;
        struct cluster *c;
        struct id ids[3];
        float v[DIM];
        for (unsigned i = 0; i < 3; i++)
                ids[i] = add(NULL, 1, i);
        OK(catalog_asset_reprocess(catalog, ids[1], NULL, NULL, "user", &e));
        picture(v, 1, 1, 0.85f);
        finish(v, NULL, 0, 0.9f);
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_int_equal(c[0].asset_count, 3);
        assert_true(id_eq(get(a, ids[1]).cluster_id, c[0].id));
}

static void names_come_from_what_members_share(void **state)
{
        (void)state;
        struct cluster *c;
        const struct tag beagle[] = {{"dogs", TAG_ZERO_SHOT, 0.98f}, {"beagle", TAG_ZERO_SHOT, 0.9f}};
        const struct tag pug[] = {{"dogs", TAG_ZERO_SHOT, 0.97f}, {"pug", TAG_ZERO_SHOT, 0.8f}};
        for (unsigned i = 0; i < 3; i++)
                add_tagged((struct upload){.name = "d.jpg"}, 1, i, i ? beagle : pug, 2);
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_string_equal(c[0].name, "Dogs");
        for (unsigned i = 0; i < 3; i++)
                add_tagged((struct upload){.name = "rex.jpg", .tag = "rex"}, 2, i, beagle, 2);
        assert_int_equal(folders(a, NULL, &c), 2);
        assert_string_equal(c[1].name, "Rex");
}

/* A tag given to a whole upload says nothing of one group in it. */
static void a_tag_on_everything_names_nothing(void **state)
{
        (void)state;
        struct cluster *c;
        const struct tag dogs = {"dogs", TAG_ZERO_SHOT, 0.9f};
        for (unsigned i = 10; i < 20; i++)
                add_tagged((struct upload){.name = "t.jpg", .tag = "holiday"}, i, 0, &dogs, 1);
        for (unsigned i = 0; i < 3; i++)
                add_tagged((struct upload){.name = "t.jpg", .tag = "holiday"}, 1, i, &dogs, 1);
        assert_int_equal(folders(a, NULL, &c), 1);
        assert_string_equal(c[0].name, "Dogs");
}

/* ---- many at once -------------------------------------------------------------------- */

#define GROUPS  3
#define MEMBERS 20
#define THREADS 8

static atomic_int failures;

static bool finish_one(void)
{
        struct arena *mine = arena_new(8u << 20);
        struct task t;
        struct err e = {0};
        float v[DIM];
        bool more = catalog_task_claim(catalog, "w", dur_s(60), ~0u, mine, &t, &e) > 0;
        if (more) {
                picture(v, (unsigned)(t.filename[0] - '0'), (unsigned)(t.filename[1] - 'a'), 0.85f);
                struct task_result r = {
                        .task = &t,
                        .metadata = "{}",
                        .parts = part_list_whole(&(struct part_room){.part = {0}}, embed_model_id(model), v, DIM)};
                if (organise_complete(organise, &r, 0.9f, mine, &e)) {
                        print_error("%s\n", e.msg);
                        atomic_fetch_add(&failures, 1);
                }
        }
        arena_free(mine);
        return more;
}

static void *work(void *arg)
{
        (void)arg;
        while (finish_one())
                ;
        return NULL;
}

static void eight_workers_found_three_folders_for_three_groups(void **state)
{
        (void)state;
        pthread_t threads[THREADS];
        struct cluster *c;
        atomic_store(&failures, 0);
        for (unsigned i = 0; i < MEMBERS; i++)
                for (unsigned g = 1; g <= GROUPS; g++)
                        ingest((struct upload){.name = (char[]){(char)('0' + g), (char)('a' + i), '\0'}});
        for (size_t i = 0; i < THREADS; i++)
                assert_int_equal(thread_start(&threads[i], "w", work, NULL), 0);
        for (size_t i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
        assert_int_equal(atomic_load(&failures), 0);
        assert_int_equal(folders(a, NULL, &c), GROUPS);
        for (size_t i = 0; i < GROUPS; i++)
                assert_int_equal(c[i].asset_count, MEMBERS);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(three_found_a_folder_and_the_fourth_joins),
                T(what_resembles_nothing_stays_unsorted),
                T(an_unsure_model_leaves_it_unsorted),
                T(the_unsure_are_no_founding_members),
                T(between_two_folders_is_unsorted_and_founds_no_third),
                T(owners_never_mix),
                T(a_folder_asked_for_is_kept),
                T(taken_out_by_a_person_is_no_founding_member),
                T(what_no_tag_can_name_gets_a_date),
                T(analysed_again_it_stays_where_it_was),
                T(names_come_from_what_members_share),
                T(a_tag_on_everything_names_nothing),
                T(eight_workers_found_three_folders_for_three_groups),
        };
        return cmocka_run_group_tests(tests, model_open, model_close);
}
