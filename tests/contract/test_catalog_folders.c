/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's contract: folders, placements, prototypes and vector search. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

#include <dirent.h>

static struct id new_folder(struct fix *f, const char *owner, const char *name)
{
        struct id id;

        OK(catalog_cluster_create(f->c, owner, name, 0.5f, "user", &id, &f->e));
        return id;
}

static void move(struct fix *f, struct id asset, struct id to)
{
        struct asset_patch p = {.set_cluster = true, .cluster_id = to};

        OK(catalog_asset_patch(f->c, asset, NULL, &p, "user", NULL, &f->e));
}

static struct asset_page members(struct fix *f, struct id cluster)
{
        struct asset_filter filter = {.cluster_id = &cluster};
        struct asset_page p;

        OK(catalog_asset_list(f->c, &filter, SORT_CREATED_ASC, 1000, NULL, f->a, &p, &f->e));
        return p;
}

static void names_are_unique_per_owner_whatever_their_case(void **state)
{
        struct fix *f = *state;
        struct id a = new_folder(f, "ann", "Füchse"), b = new_folder(f, "ann", "B"), x;
        struct cluster_change ch = {.kind = CHANGE_RENAME, .name = "füchse", .by_person = true};
        struct wall updated;

        new_folder(f, "bob", "Füchse");
        FAILS(ERR_CONFLICT, catalog_cluster_create(f->c, "ann", "FÜCHSE", 0.5f, "user", &x, &f->e));
        FAILS(ERR_CONFLICT, catalog_cluster_change(f->c, b, "ann", &ch, "user", NULL, &updated, &f->e));
        OK(catalog_cluster_change(f->c, a, "ann", &ch, "user", &x, &updated, &f->e));
        assert_string_equal(folder(f, a).name, "füchse");
        assert_true(folder(f, a).named);
        ch = (struct cluster_change){.kind = CHANGE_CONFIRM, .provisional = false, .version = 1};
        FAILS(ERR_CONFLICT, catalog_cluster_change(f->c, a, "ann", &ch, "user", NULL, NULL, &f->e));
        ch.version = folder(f, a).version;
        OK(catalog_cluster_change(f->c, a, "ann", &ch, "user", NULL, NULL, &f->e));
        ch = (struct cluster_change){.kind = CHANGE_THRESHOLD, .threshold = 2};
        FAILS(ERR_INVALID, catalog_cluster_change(f->c, a, "ann", &ch, "user", NULL, NULL, &f->e));
}

static void lists_of_folders_page(void **state)
{
        struct fix *f = *state;
        struct cluster_filter ann = {.owner = "ann", .status = -1};
        char name[16];

        for (int i = 0; i < 23; i++) {
                snprintf(name, sizeof name, "n%d", i * 7 % 23);
                new_folder(f, "ann", name);
        }
        new_folder(f, "bob", "x");
        for (int sort = CLUSTERS_BY_NAME; sort <= CLUSTERS_BY_CREATED; sort++) {
                const char *next = NULL;
                size_t all = 0, n;
                do {
                        struct cluster *c;
                        uint64_t total;
                        OK(catalog_cluster_list(f->c, &ann, (enum cluster_sort)sort, 5, next, f->a, &c, &n, &total,
                                                &next, &f->e));
                        assert_int_equal(total, 23);
                        all += n;
                } while (next);
                assert_int_equal(all, 23);
        }
}

static void founding_needs_members_that_are_still_free(void **state)
{
        struct fix *f = *state;
        float v[DIM];
        struct id m[3], self = {{0}}, made = id_new(), taken;
        struct placement p = {.kind = PLACE_FOUND,
                              .cluster_id = made,
                              .name = "Cats",
                              .threshold = 0.6f,
                              .members = m,
                              .nmembers = 2};
        struct task t;

        for (unsigned i = 0; i < 3; i++) {
                unit_vector(i, v);
                m[i] = put_done(f, "ann", "m.jpg", v);
        }
        taken = new_folder(f, "ann", "Cats");
        self = put_file(f, "ann", "self.jpg", KIND_MEDIA);
        t = claim(f);
        move(f, m[1], taken);
        FAILS(ERR_CONFLICT, finish(f, &t, v, p));
        assert_int_equal(get(f, self).status, ASSET_PROCESSING); /* nothing was written */
        assert_null(get(f, self).metadata);
        assert_true(id_is_nil(get(f, m[0]).cluster_id));
        m[1] = m[2];
        OK(finish(f, &t, v, p));
        assert_string_equal(folder(f, made).name, "Cats 2");
        assert_int_equal(folder(f, made).status, CLUSTER_PROVISIONAL);
        assert_int_equal(folder(f, made).asset_count, 3);
        assert_true(id_eq(get(f, self).cluster_id, made));
        m[1] = m[0];
        p.cluster_id = id_new();
        FAILS(ERR_CONFLICT, catalog_place(f->c, "ann", &p, "service", &f->e));
}

static void placing_respects_locks_owners_and_people(void **state)
{
        struct fix *f = *state;
        struct id anns = new_folder(f, "ann", "A"), bobs = new_folder(f, "bob", "B"), pic, nil = {{0}};
        struct cluster_change lock = {.kind = CHANGE_LOCK, .locked = true};
        struct prototype_match pm[4];
        struct task t;
        float v[DIM];
        size_t n;

        fix_warm(f, MODEL);
        unit_vector(1, v);
        pic = put_file(f, "ann", "a.jpg", KIND_MEDIA);
        t = claim(f);
        FAILS(ERR_CONFLICT, finish(f, &t, v, (struct placement){.kind = PLACE_ASSIGN, .cluster_id = bobs}));
        FAILS(ERR_CONFLICT, finish(f, &t, v, (struct placement){.kind = PLACE_ASSIGN, .cluster_id = id_new()}));
        OK(finish(f, &t, v,
                  (struct placement){.kind = PLACE_ASSIGN, .cluster_id = anns, .similarity = 0.8f, .why = "x"}));
        assert_float_equal(get(f, pic).cluster_similarity, 0.8f, 1e-6);
        OK(catalog_prototype_search(f->c, MODEL, "ann", v, 4, f->a, pm, &n, &f->e));
        assert_int_equal(n, 1);
        assert_float_equal(pm[0].cosine, 1, 1e-5);
        assert_string_equal(pm[0].name, "A");
        OK(catalog_prototype_search(f->c, MODEL, "bob", v, 4, f->a, pm, &n, &f->e));
        assert_int_equal(n, 0);
        OK(catalog_cluster_change(f->c, anns, "ann", &lock, "user", NULL, NULL, &f->e));
        OK(catalog_prototype_search(f->c, MODEL, "ann", v, 4, f->a, pm, &n, &f->e));
        assert_int_equal(n, 0);
        put_file(f, "ann", "b.jpg", KIND_MEDIA);
        t = claim(f);
        FAILS(ERR_CONFLICT, finish(f, &t, v, (struct placement){.kind = PLACE_ASSIGN, .cluster_id = anns}));
        move(f, t.asset_id, nil); /* a person says: unsorted */
        OK(finish(f, &t, v, (struct placement){.kind = PLACE_ASSIGN, .cluster_id = anns}));
        assert_true(id_is_nil(get(f, t.asset_id).cluster_id));
        assert_true(get(f, t.asset_id).pinned);
}

static void merges_leave_aliases_without_chains(void **state)
{
        struct fix *f = *state;
        struct id a = new_folder(f, "ann", "A"), b = new_folder(f, "ann", "B"), c = new_folder(f, "ann", "C"), survivor,
                  op, pic;
        uint64_t versions[2] = {1, 99};
        struct cluster cl;
        struct wall updated;
        float v[DIM];

        unit_vector(1, v);
        pic = put_done(f, "ann", "a.jpg", v);
        move(f, pic, a);
        FAILS(ERR_INVALID, catalog_cluster_merge(f->c, a, &a, 1, NULL, "ann", "user", &op, &updated, &f->e));
        FAILS(ERR_CONFLICT, catalog_cluster_merge(f->c, b, &a, 1, versions, "ann", "service", &op, &updated, &f->e));
        OK(catalog_cluster_merge(f->c, b, &a, 1, NULL, "ann", "user", &op, &updated, &f->e));
        assert_int_equal(folder(f, b).asset_count, 1);
        OK(catalog_cluster_merge(f->c, c, &b, 1, NULL, "ann", "user", &op, &updated, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_cluster_get(f->c, a, "ann", f->a, &cl, &survivor, &f->e));
        assert_true(id_eq(survivor, c));
        FAILS(ERR_NOT_FOUND, catalog_cluster_get(f->c, b, "ann", f->a, &cl, &survivor, &f->e));
        assert_true(id_eq(survivor, c));
        FAILS(ERR_NOT_FOUND, catalog_cluster_get(f->c, b, "bob", f->a, &cl, &survivor, &f->e));
        assert_true(id_is_nil(survivor));
        assert_true(id_eq(get(f, pic).cluster_id, c));
        OK(catalog_cluster_delete(f->c, c, "ann", "user", &op, &f->e));
        assert_true(id_is_nil(get(f, pic).cluster_id));
        FAILS(ERR_NOT_FOUND, catalog_cluster_get(f->c, b, "ann", f->a, &cl, &survivor, &f->e));
        assert_true(id_is_nil(survivor));
}

static void tags_of_a_folder_are_counted(void **state)
{
        struct fix *f = *state;
        struct id a = new_folder(f, "ann", "A");
        struct tag_count *t;
        size_t n;

        for (int i = 0; i < 3; i++) {
                struct tag tags[2] = {{"cat", TAG_ZERO_SHOT, 0.5f}, {"dog", TAG_ZERO_SHOT, 1}};
                struct id pic = put_file(f, "ann", "a.jpg", KIND_MEDIA);
                struct task task = claim(f);
                struct task_result r = {.task = &task, .tags = tags, .ntags = i ? 1 : 2};
                OK(catalog_task_complete(f->c, &r, &f->e));
                move(f, pic, a);
        }
        OK(catalog_cluster_tags(f->c, a, 5, f->a, &t, &n, &f->e));
        assert_int_equal(n, 2);
        assert_string_equal(t[0].name, "cat");
        assert_int_equal(t[0].members, 3);
        assert_float_equal(t[0].mean_confidence, 0.5, 1e-6);
}

/* ---- prototypes: the invariant ----------------------------------------------------- */

static void check_prototypes(struct fix *f, const char *owner)
{
        struct cluster *c;
        float *protos;
        size_t n;

        OK(catalog_cluster_snapshot(f->c, MODEL, owner, f->a, &c, &protos, &n, &f->e));
        for (size_t i = 0; i < n; i++) {
                struct asset_page p = members(f, c[i].id);
                float sum[DIM] = {0}, v[DIM], q[DIM];
                struct prototype_match m[64];
                bool found = false;
                size_t nm;
                assert_int_equal(p.total, c[i].asset_count);
                for (size_t k = 0; k < p.n; k++) {
                        if (catalog_vector_get(f->c, MODEL, p.assets[k].id, v, &f->e) < 0)
                                continue;
                        for (int d = 0; d < DIM; d++)
                                sum[d] += v[d];
                }
                assert_true(vec_normalise(sum, DIM));
                for (int d = 0; d < DIM; d++)
                        assert_float_equal(sum[d], protos[i * DIM + (size_t)d], 1e-3);
                memcpy(q, sum, sizeof q);
                OK(catalog_prototype_search(f->c, MODEL, owner, q, 64, f->a, m, &nm, &f->e));
                assert_int_equal(nm, n);
                for (size_t k = 0; k < nm; k++)
                        if (id_eq(m[k].cluster, c[i].id)) {
                                assert_float_equal(m[k].cosine, 1, 1e-3);
                                found = true;
                        }
                assert_true(found);
        }
}

static void check_search(struct fix *f, const struct asset_filter *filter, unsigned seed)
{
        struct vector_match got[20], want[1000];
        struct asset_page p;
        float q[DIM], v[DIM];
        size_t n, nw = 0;

        unit_vector(seed, q);
        OK(catalog_asset_list(f->c, filter, SORT_CREATED_ASC, 1000, NULL, f->a, &p, &f->e));
        for (size_t i = 0; i < p.n; i++) {
                size_t k;
                float cosine;
                if (catalog_vector_get(f->c, MODEL, p.assets[i].id, v, &f->e) < 0)
                        continue;
                cosine = vec_dot(q, v, DIM);
                for (k = nw++; k > 0 && want[k - 1].cosine < cosine; k--)
                        want[k] = want[k - 1];
                want[k] = (struct vector_match){.asset = p.assets[i].id, .cosine = cosine};
        }
        OK(catalog_vector_search(f->c, MODEL, q, filter, 20, got, &n, &f->e));
        assert_int_equal(n, nw < 20 ? nw : 20);
        for (size_t i = 0; i < n; i++)
                assert_float_equal(got[i].cosine, want[i].cosine, 1e-5);
}

struct world {
        struct id assets[400], folders[12];
        size_t nassets, nfolders;
        unsigned seed;
};

static unsigned roll(struct world *w, unsigned n)
{
        w->seed = w->seed * 1103515245 + 12345;
        return (w->seed >> 16) % n;
}

static void one_step(struct fix *f, struct world *w)
{
        struct id a = w->nassets ? w->assets[roll(w, (unsigned)w->nassets)] : (struct id){{0}};
        struct id c = w->nfolders ? w->folders[roll(w, (unsigned)w->nfolders)] : (struct id){{0}};
        float v[DIM];
        char name[16];
        unsigned what = roll(w, 12);

        if (what < 4 && w->nassets < 400) {
                unit_vector(w->seed, v);
                w->assets[w->nassets++] = put_done(f, "ann", "p.jpg", v);
                if (w->nfolders && what < 3)
                        move(f, w->assets[w->nassets - 1], c);
        } else if (what == 4 && w->nfolders < 12) {
                snprintf(name, sizeof name, "f%u", w->seed);
                w->folders[w->nfolders++] = new_folder(f, "ann", name);
        } else if (what == 5 && w->nassets) {
                move(f, a, roll(w, 3) ? c : (struct id){{0}});
        } else if (what == 6 && w->nassets) {
                OK(catalog_asset_trash(f->c, a, "ann", "user", &f->e));
        } else if (what == 7 && w->nassets) {
                OK(catalog_asset_restore(f->c, a, "ann", "user", &f->e));
        } else if (what == 8 && w->nassets && roll(w, 3) == 0) {
                OK(catalog_asset_purge(f->c, a, "ann", "user", &f->e));
                for (size_t i = 0; i < w->nassets; i++)
                        if (id_eq(w->assets[i], a))
                                w->assets[i] = w->assets[--w->nassets];
        } else if (what == 9 && w->nassets) {
                OK(catalog_asset_reprocess(f->c, a, "ann", NULL, "user", &f->e));
                struct task t = claim(f);
                unit_vector(w->seed ^ 77, v);
                OK(finish(f, &t, v,
                          (struct placement){.kind = w->nfolders ? PLACE_ASSIGN : PLACE_UNSORTED, .cluster_id = c}));
        } else if (what == 10 && w->nfolders > 4) {
                struct id into = w->folders[0], from = w->folders[--w->nfolders];
                OK(catalog_cluster_merge(f->c, into, &from, 1, NULL, "ann", "user", NULL, NULL, &f->e));
        } else if (what == 11 && w->nfolders > 5) {
                OK(catalog_cluster_delete(f->c, w->folders[--w->nfolders], "ann", "user", NULL, &f->e));
        }
}

static void check_filters(struct fix *f, struct world *w)
{
        struct id nil = {{0}};
        const char *none = "nothing";

        check_search(f, &(struct asset_filter){.owner = "ann"}, 5);
        check_search(f, &(struct asset_filter){.owner = "bob"}, 5);
        check_search(f, &(struct asset_filter){.kinds = 1U << KIND_MEDIA}, 6);
        check_search(f, &(struct asset_filter){.kinds = 1U << KIND_JSON}, 6);
        check_search(f, &(struct asset_filter){.cluster_id = &nil}, 7);
        check_search(f, &(struct asset_filter){.name = "p.j"}, 8);
        check_search(f, &(struct asset_filter){.tags = &none, .ntags = 1}, 8);
        check_search(f, &(struct asset_filter){.statuses = 1U << ASSET_DONE, .content_type = "image/"}, 9);
        for (size_t i = 0; i < w->nfolders; i++)
                check_search(f, &(struct asset_filter){.owner = "ann", .cluster_id = &w->folders[i]}, 10);
}

static void whatever_happens_sums_and_searches_stay_right(void **state)
{
        struct fix *f = *state;
        struct world w = {.seed = 42};
        float v[DIM];

        fix_warm(f, MODEL);
        for (int round = 0; round < 5; round++) {
                for (int i = 0; i < 120; i++)
                        one_step(f, &w);
                check_prototypes(f, "ann");
                check_filters(f, &w);
        }
        unit_vector(1, v);
        put_done(f, "bob", "b.jpg", v);
        check_filters(f, &w);
        fix_reopen(f); /* from the cache file */
        fix_warm(f, MODEL);
        check_prototypes(f, "ann");
        check_filters(f, &w);
}

/* ---- the cache file ------------------------------------------------------------------- */

#ifndef SUITE_POSTGRES /* which has none */
static void bend_caches(struct fix *f, long at)
{
        char dir[600], path[900];
        struct dirent *d;
        DIR *h;
        int n = 0;

        snprintf(dir, sizeof dir, "%s/vector", f->data);
        h = opendir(dir);
        assert_non_null(h);
        while ((d = readdir(h))) {
                FILE *file;
                int c;
                if (d->d_name[0] == '.')
                        continue;
                n++;
                snprintf(path, sizeof path, "%s/%s", dir, d->d_name);
                file = fopen(path, "r+b");
                assert_non_null(file);
                fseek(file, at, at < 0 ? SEEK_END : SEEK_SET);
                c = fgetc(file);
                fseek(file, at, at < 0 ? SEEK_END : SEEK_SET);
                fputc(c ^ 1, file);
                fclose(file);
        }
        closedir(h);
        assert_int_equal(n, 1);
}

static void a_bent_cache_is_rebuilt(void **state)
{
        static const long at[] = {0, 9, 20, 40, 60, 90, 120, -1, -40};
        struct fix *f = *state;
        float v[DIM];

        fix_warm(f, MODEL);
        for (unsigned i = 0; i < 30; i++) {
                unit_vector(i, v);
                put_done(f, "ann", "a.jpg", v);
        }
        for (size_t i = 0; i < COUNT_OF(at); i++) {
                catalog_close(f->c);
                bend_caches(f, at[i]);
                fix_open(f);
                fix_warm(f, MODEL);
                check_search(f, &(struct asset_filter){.owner = "ann"}, 3);
        }
}

#endif

static void searching_without_a_warm_index_says_so(void **state)
{
        struct fix *f = *state;
        struct vector_match m[2];
        struct prototype_match pm[2];
        float v[DIM];
        struct id id;
        size_t n;

        unit_vector(1, v);
        FAILS(ERR_UNAVAILABLE, catalog_vector_search(f->c, MODEL, v, NULL, 2, m, &n, &f->e));
        assert_non_null(strstr(f->e.msg, "warming"));
        FAILS(ERR_UNAVAILABLE, catalog_prototype_search(f->c, MODEL, "ann", v, 2, f->a, pm, &n, &f->e));
        id = put_done(f, "ann", "a.jpg", v); /* completing works all the same */
        fix_warm(f, MODEL);
        OK(catalog_vector_search(f->c, MODEL, v, NULL, 2, m, &n, &f->e));
        assert_int_equal(n, 1);
        assert_true(id_eq(m[0].asset, id));
        FAILS(ERR_UNAVAILABLE, catalog_vector_search(f->c, "another", v, NULL, 2, m, &n, &f->e));
        fix_warm(f, "another");
        OK(catalog_vector_search(f->c, "another", v, NULL, 2, m, &n, &f->e));
        assert_int_equal(n, 0);
        FAILS(ERR_NOT_FOUND, catalog_vector_get(f->c, "another", id, v, &f->e));
        OK(catalog_vector_search(f->c, MODEL, v, NULL, 2, m, &n, &f->e)); /* beside the other */
        assert_int_equal(n, 1);
        FAILS(ERR_CONFLICT, catalog_use_model(f->c, MODEL, DIM + 1, &f->e));
}

struct mill {
        struct fix *f;
        atomic_bool *stop;
        int bad;
        unsigned seed;
};

static void *mill_search(void *arg)
{
        struct mill *g = arg;
        struct vector_match m[10];
        struct asset_filter ann = {.owner = "ann"};
        float q[DIM];
        struct err e;
        size_t n;

        while (!atomic_load(g->stop)) {
                unit_vector(g->seed++, q);
                if (catalog_vector_search(g->f->c, MODEL, q, &ann, 10, m, &n, &e) < 0 && e.code != ERR_UNAVAILABLE)
                        g->bad++;
        }
        return NULL;
}

static void changes_while_loading_and_searching_are_not_lost(void **state)
{
        struct fix *f = *state;
        atomic_bool stop = false;
        struct mill g[3];
        pthread_t t[3];
        float v[DIM];

        for (unsigned i = 0; i < 3; i++) {
                g[i] = (struct mill){.f = f, .stop = &stop, .seed = i * 1000};
                pthread_create(&t[i], NULL, mill_search, &g[i]);
        }
        for (unsigned i = 0; i < 200; i++) {
                unit_vector(i, v);
                if (i % 25 == 0)
                        OK(catalog_use_model(f->c, MODEL, DIM, &f->e));
                put_done(f, "ann", "a.jpg", v);
        }
        for (int i = 0; i < 1000 && !catalog_warm(f->c); i++)
                sleep_for(dur_ms(10));
        atomic_store(&stop, true);
        for (int i = 0; i < 3; i++) {
                pthread_join(t[i], NULL);
                assert_int_equal(g[i].bad, 0);
        }
        check_search(f, &(struct asset_filter){.owner = "ann"}, 3);
}

static void restoring_goes_back_to_the_folder_if_it_is_still_there(void **state)
{
        struct fix *f = *state;
        struct id a = new_folder(f, "ann", "A"), pic;
        float v[DIM];

        unit_vector(1, v);
        pic = put_done(f, "ann", "a.jpg", v);
        move(f, pic, a);
        OK(catalog_asset_trash(f->c, pic, "ann", "user", &f->e));
        assert_int_equal(folder(f, a).asset_count, 0);
        OK(catalog_asset_restore(f->c, pic, "ann", "user", &f->e));
        assert_int_equal(folder(f, a).asset_count, 1);
        assert_true(id_eq(folder(f, a).cover, pic));
        OK(catalog_asset_trash(f->c, pic, "ann", "user", &f->e));
        OK(catalog_cluster_delete(f->c, a, "ann", "user", NULL, &f->e));
        OK(catalog_asset_restore(f->c, pic, "ann", "user", &f->e));
        assert_true(id_is_nil(get(f, pic).cluster_id));
}

static void figures_add_up(void **state)
{
        struct fix *f = *state;
        struct catalog_counts n;
        struct catalog_state s;
        const char **owners;
        size_t nowners;
        float v[DIM];

        unit_vector(1, v);
        put_done(f, "ann", "a.jpg", v);
        put_file(f, "bob", "b", KIND_FILE);
        put_file(f, "ann", "c.jpg", KIND_MEDIA);
        new_folder(f, "ann", "A");
        OK(catalog_counts(f->c, NULL, &n, &f->e));
        assert_int_equal(n.assets[KIND_MEDIA][ASSET_DONE], 1);
        assert_int_equal(n.assets[KIND_MEDIA][ASSET_QUEUED], 1);
        assert_int_equal(n.assets[KIND_FILE][ASSET_DONE], 1);
        assert_int_equal(n.waiting[JOB_IMAGE], 1);
        assert_int_equal(n.objects, 3);
        assert_int_equal(n.asset_bytes, 300);
        assert_int_equal(n.clusters, 1);
        assert_int_equal(n.unsorted, 2);
        assert_int_equal(n.embeddings, 1);
        assert_true(n.oldest_ready_seconds > 0);
        OK(catalog_counts(f->c, "bob", &n, &f->e));
        assert_int_equal(n.objects, 1);
        assert_int_equal(n.unsorted + n.clusters + n.embeddings + n.waiting[JOB_IMAGE], 0);
        OK(catalog_owners(f->c, f->a, &owners, &nowners, &f->e));
        assert_int_equal(nowners, 1);
        assert_string_equal(owners[0], "ann");
        catalog_state(f->c, &s);
        assert_true(s.ok);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(names_are_unique_per_owner_whatever_their_case),
                T(lists_of_folders_page),
                T(founding_needs_members_that_are_still_free),
                T(placing_respects_locks_owners_and_people),
                T(merges_leave_aliases_without_chains),
                T(tags_of_a_folder_are_counted),
                T(whatever_happens_sums_and_searches_stay_right),
#ifndef SUITE_POSTGRES
                T(a_bent_cache_is_rebuilt),
#endif
                T(searching_without_a_warm_index_says_so),
                T(changes_while_loading_and_searching_are_not_lost),
                T(restoring_goes_back_to_the_folder_if_it_is_still_there),
                T(figures_add_up),
        };

        return cmocka_run_group_tests_name("catalog folders (" ENGINE ")", tests, NULL, NULL);
}
