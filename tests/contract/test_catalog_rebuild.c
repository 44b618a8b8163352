/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of an asset and a folder, and a catalog made again out of it. */
#include "contract/sidecar_world.h"
#include "catalog/catalog_rules.h"
#include "keep/keep_catalog_tables.h"
#include "keep/keep_rebuild.h"

/* ---- a catalog made again ----------------------------------------------------------------------- */

static void same_text(const char *a, const char *b)
{
        if ((a == NULL) != (b == NULL) || (a && strcmp(a, b) != 0))
                fail_msg("\"%s\" became \"%s\"", a ? a : "NULL", b ? b : "NULL");
}

static void same_others(const struct kept_asset *a, const struct kept_asset *b)
{
        assert_int_equal(a->nothers, b->nothers);
        for (size_t i = 0; i < a->nothers; i++) {
                assert_int_equal(a->others[i].source, b->others[i].source);
                same_text(a->others[i].text, b->others[i].text);
        }
}

static void same_kept(const struct kept_asset *a, const struct kept_asset *b)
{
        const struct asset *x = &a->asset, *y = &b->asset;

        assert_true(id_eq(x->id, y->id) && id_eq(x->job_id, y->job_id) && id_eq(x->cluster_id, y->cluster_id) &&
                    id_eq(x->duplicate_of, y->duplicate_of) && sha256_eq(x->sha256, y->sha256));
        assert_int_equal(x->kind, y->kind);
        assert_int_equal(x->type, y->type);
        assert_int_equal(x->status, y->status);
        assert_int_equal(x->size, y->size);
        assert_int_equal(x->created.us, y->created.us);
        assert_int_equal(x->updated.us, y->updated.us);
        assert_int_equal(x->trashed.us, y->trashed.us);
        assert_int_equal(x->pinned, y->pinned);
        assert_true(x->cluster_similarity == y->cluster_similarity);
        same_text(x->stage, y->stage);
        same_text(x->error, y->error);
        same_text(x->error_code, y->error_code);
        same_text(x->filename, y->filename);
        same_text(x->owner, y->owner);
        same_text(x->comments, y->comments);
        same_text(x->metadata, y->metadata);
        same_others(a, b);
        same_text(x->analysis_note, y->analysis_note);
        same_text(x->cluster_name, y->cluster_name);
        assert_int_equal(x->ntags, y->ntags);
        for (size_t i = 0; i < x->ntags; i++) {
                same_text(x->tags[i].name, y->tags[i].name);
                assert_int_equal(x->tags[i].source, y->tags[i].source);
                assert_true(x->tags[i].confidence == y->tags[i].confidence);
        }
        assert_int_equal(a->position, b->position);
        assert_int_equal(a->job_created.us, b->job_created.us);
        assert_int_equal(a->job_updated.us, b->job_updated.us);
        assert_int_equal(a->job_completed.us, b->job_completed.us);
        same_text(a->job_comments, b->job_comments);
        assert_int_equal(a->has_phash, b->has_phash);
        assert_int_equal(a->phash, b->phash);
        assert_int_equal(a->nvectors, b->nvectors);
        for (size_t i = 0; i < a->nvectors; i++) {
                same_text(a->vectors[i].model, b->vectors[i].model);
                assert_int_equal(a->vectors[i].dim, b->vectors[i].dim);
                assert_memory_equal(a->vectors[i].v, b->vectors[i].v, a->vectors[i].dim * sizeof(float));
        }
        assert_int_equal(a->nlineage, b->nlineage);
        for (size_t i = 0; i < a->nlineage; i++) {
                assert_int_equal(a->lineage[i].at.us, b->lineage[i].at.us);
                same_text(a->lineage[i].action, b->lineage[i].action);
                same_text(a->lineage[i].actor, b->lineage[i].actor);
                same_text(a->lineage[i].detail, b->lineage[i].detail);
        }
        assert_int_equal(a->dead != NULL, b->dead != NULL);
        if (a->dead) {
                assert_int_equal(a->dead->errors, b->dead->errors);
                assert_int_equal(a->dead->deliveries, b->dead->deliveries);
                assert_int_equal(a->dead->nhistory, b->dead->nhistory);
                for (size_t i = 0; i < a->dead->nhistory; i++) {
                        same_text(a->dead->history[i].message, b->dead->history[i].message);
                        assert_int_equal(a->dead->history[i].at.us, b->dead->history[i].at.us);
                }
        }
}

#define KEPT_MAX 20

struct kept {
        struct kept_asset assets[KEPT_MAX];
        struct kept_folder folders[KEPT_MAX];
        size_t nassets, nfolders;
};

/* What sidecars would tell, in the order of ids. */
static void keep_all(struct fix *f, struct kept *k)
{
        size_t n;
        struct sidecar_mark *m = marks_of(f, &n);

        *k = (struct kept){.nassets = 0};
        for (size_t i = 0; i < n; i++) {
                int rc = 0;
                if (m[i].kind == KEPT_ASSET) {
                        rc = keep_asset_read(f->c, m[i].id, f->a, &k->assets[k->nassets], &f->e);
                        k->nassets += rc == 0;
                } else if (m[i].kind == KEPT_FOLDER) {
                        rc = keep_folder_read(f->c, m[i].id, f->a, &k->folders[k->nfolders], &f->e);
                        k->nfolders += rc == 0;
                }
                if (rc < 0 && f->e.code != ERR_NOT_FOUND)
                        fail_msg("%s", f->e.msg);
        }
}

static void found(struct fix *f, const struct kept *k)
{
        struct rebuild_item items[3 * KEPT_MAX];
        size_t n = 0;

        for (size_t i = 0; i < k->nassets; i++) {
                items[n++] = (struct rebuild_item){.kind = KEPT_ASSET, .id = k->assets[i].asset.id};
                items[n++] = (struct rebuild_item){
                        .kind = KEPT_OBJECT, .sha256 = k->assets[i].asset.sha256, .size = k->assets[i].asset.size};
        }
        for (size_t i = 0; i < k->nfolders; i++)
                items[n++] = (struct rebuild_item){.kind = KEPT_FOLDER, .id = k->folders[i].folder.id};
        OK(keep_rebuild_found(f->c, items, n, &f->e));
}

static void rebuild(struct fix *f, const struct kept *k, size_t skip_folders)
{
        const struct kept_asset *list[KEPT_MAX];
        enum kept_fate fates[KEPT_MAX];

        OK(keep_rebuild_begin(f->c, &f->e));
        found(f, k);
        for (size_t i = skip_folders; i < k->nfolders; i++)
                OK(keep_rebuild_folder(f->c, &k->folders[i], &f->e));
        for (size_t i = 0; i < k->nassets; i++)
                list[i] = &k->assets[i];
        OK(keep_rebuild_assets(f->c, list, k->nassets, fates, &f->e));
        for (size_t i = 0; i < k->nassets; i++)
                assert_int_equal(fates[i], FATE_RESTORED);
}

/* A task of another purpose has said something of it. */
static void do_enrich(struct fix *f, struct world *w)
{
        struct task_finding r = {.source = TAG_VLM, .metadata = "{ \"description\": \"a heron\" }"};
        struct task t;

        OK(catalog_task_add(f->c, w->a, NULL, PURPOSE_ENRICH, &f->e));
        assert_int_equal(
                catalog_task_claim(f->c, "w", dur_s(60), TASK_KIND(PURPOSE_ENRICH, JOB_IMAGE), f->a, &t, &f->e), 1);
        r.task = &t;
        OK(catalog_task_finish(f->c, &r, &f->e));
}

static void rich_world(struct fix *f, struct world *w)
{
        struct new_asset same = new_file("same.jpg", KIND_FILE, false);
        struct tag tags[] = {{"cat", TAG_ZERO_SHOT, 0.875f}, {"pet", TAG_ZERO_SHOT, 0.25f}};
        struct task_result r = {.metadata = "{\"width\":1,\"lat\":48.8584}",
                                .has_phash = true,
                                .phash = 0xF0F0F0F0F0F0F0F0u,
                                .tags = tags,
                                .ntags = 2,
                                .placement = {.kind = PLACE_ASSIGN, .similarity = 0.8125f, .why = "near"}};
        struct new_job j;
        struct job_receipt receipt;
        struct part_room room;
        float v[DIM];
        struct task t;

        make_world(f, w);
        t = claim(f);
        unit_vector(5, v);
        r.task = &t;
        r.parts = part_list_whole(&room, MODEL, v, DIM);
        r.placement.cluster_id = w->z;
        OK(catalog_task_complete(f->c, &r, &f->e));
        w->fresh = put_file(f, "ann", "near.jpg", KIND_MEDIA);
        t = claim(f);
        r.phash ^= 1;
        OK(catalog_task_complete(f->c, &r, &f->e));
        put_file(f, "bob", "waits.jpg", KIND_MEDIA);
        do_tag(f, w);
        do_comment(f, w);
        do_rename_folder(f, w);
        do_merge(f, w);
        do_enrich(f, w);
        OK(catalog_asset_trash(f->c, w->fresh, NULL, "t", &f->e));
        same.sha256 = get(f, w->a).sha256;
        j = new_job_of("ann", &same, 1);
        j.comments = "a job's words";
        OK(catalog_ingest(f->c, &j, f->a, &receipt, &f->e));
}

/* ---- which tables are made again ------------------------------------------------------------ */

#define TABLES_MAX 64

static bool is_here(const struct table *t)
{
        return (t->engines & (strcmp(ENGINE, "sqlite") == 0 ? IN_SQLITE : IN_POSTGRES)) != 0;
}

static void count_tables(struct fix *f, int64_t rows[TABLES_MAX])
{
        struct mono began = mono_now();
        struct db *db = read_begin(f->c, &f->e);

        assert_non_null(db);
        for (const struct table *t = catalog_tables; t->name; t++) {
                struct rows *s;
                struct sql q;
                if (!is_here(t))
                        continue;
                sql_init(&q, db, NULL);
                buf_printf(&q.text, "SELECT count(*) FROM %s", t->name);
                s = sql_run(&q, &f->e);
                assert_true(s && db_step(db, s, &f->e) > 0);
                rows[t - catalog_tables] = col_i64(s, 0);
                rows_free(s);
                sql_done(&q);
        }
        read_end(f->c, db, began);
}

/* As their descriptions say. */
static void expect_rebuilt(struct fix *f, const int64_t before[TABLES_MAX])
{
        int64_t after[TABLES_MAX];

        count_tables(f, after);
        for (const struct table *t = catalog_tables; t->name; t++) {
                size_t i = (size_t)(t - catalog_tables);
                if (!is_here(t) || !(t->flags & TABLE_COPIED))
                        continue;
                if (t->flags & TABLE_REBUILT ? (before[i] > 0) != (after[i] > 0) : after[i] > 0)
                        fail_msg("the table %s had %lld rows, and has %lld after the rebuild", t->name,
                                 (long long)before[i], (long long)after[i]);
        }
}

/* The same place, empty. */
static void start_anew(void **state)
{
        struct fix *f = *state, *g;
        struct arena *keep = f->a;

        f->a = arena_new(1 << 20);
        fix_teardown(state);
        fix_setup(state);
        g = *state;
        arena_free(g->a);
        g->a = keep;
}

static void expect_folders(struct fix *f, const struct kept *before)
{
        for (size_t i = 0; i < before->nfolders; i++) {
                struct kept_folder k;
                OK(keep_folder_read(f->c, before->folders[i].folder.id, f->a, &k, &f->e));
                same_text(before->folders[i].folder.name, k.folder.name);
                assert_int_equal(before->folders[i].folder.updated.us, k.folder.updated.us);
                assert_int_equal(before->folders[i].folder.created.us, k.folder.created.us);
                assert_int_equal(before->folders[i].folder.status, k.folder.status);
                assert_int_equal(before->folders[i].folder.touched, k.folder.touched);
                assert_int_equal(before->folders[i].naliases, k.naliases);
        }
}

static void a_rebuilt_catalog_tells_the_same(void **state)
{
        struct fix *f = *state;
        struct world w = {0};
        static struct kept before, after;
        int64_t rows[TABLES_MAX];
        struct catalog_counts was, is;
        struct id *near, survivor;
        struct cluster gone;
        struct asset x;
        struct dead_task *dead;
        char *said;
        struct text_match hits[5];
        enum rebuild_state st;
        size_t n;

        rich_world(f, &w);
        x = get(f, w.a);
        assert_non_null(strstr(x.metadata, "a heron"));
        said = mem_strdup(x.metadata);
        keep_all(f, &before);
        count_tables(f, rows);
        OK(catalog_counts(f->c, NULL, &was, &f->e));
        OK(catalog_asset_get(f->c, w.queued, NULL, f->a, &x, &f->e));
        start_anew(state);
        f = *state;
        rebuild(f, &before, 0);
        OK(keep_rebuild_state(f->c, &st, &f->e));
        assert_int_equal(st, REBUILD_BEGUN);
        OK(keep_rebuild_finish(f->c, &f->e));
        OK(keep_rebuild_state(f->c, &st, &f->e));
        assert_int_equal(st, REBUILD_FULL);
        FAILS(ERR_CONFLICT, keep_rebuild_begin(f->c, &f->e));
        expect_rebuilt(f, rows);
        for (size_t i = 0; i < before.nassets; i++) {
                OK(keep_asset_read(f->c, before.assets[i].asset.id, f->a, &after.assets[i], &f->e));
                same_kept(&before.assets[i], &after.assets[i]);
        }
        expect_folders(f, &before);
        assert_string_equal(get(f, w.a).metadata, said);
        mem_free(said);
        OK(catalog_text_search(f->c, "heron", NULL, 5, hits, &n, &f->e));
        assert_int_equal(n, 1);
        OK(catalog_counts(f->c, NULL, &is, &f->e));
        is.oldest_ready_seconds = was.oldest_ready_seconds;
        assert_memory_equal(&was, &is, sizeof was);
        FAILS(ERR_NOT_FOUND, catalog_cluster_get(f->c, w.y, NULL, f->a, &gone, &survivor, &f->e));
        assert_true(id_eq(survivor, w.x));
        assert_int_equal(folder(f, w.x).asset_count, 2);
        /* The near duplicate in the trash counts again when it comes back. */
        assert_int_equal(get(f, w.queued).nnear, 0);
        OK(catalog_asset_restore(f->c, w.fresh, NULL, "t", &f->e));
        x = get(f, w.queued);
        near = x.near_duplicates;
        assert_int_equal(x.nnear, 1);
        assert_true(id_eq(near[0], w.fresh));
        OK(catalog_text_search(f->c, "cat", NULL, 5, hits, &n, &f->e));
        assert_int_equal(n, 2);
        OK(catalog_dlq_get(f->c, w.dead_job, NULL, f->a, &dead, &n, &f->e));
        assert_int_equal(n, 1);
        assert_string_equal(dead[0].error, "broken");
        assert_int_equal(claim(f).type, JOB_IMAGE); /* what waited waits again */
}

static void a_rebuild_goes_on_where_it_was_cut_off(void **state)
{
        struct fix *f = *state;
        struct world w = {0};
        static struct kept k;
        struct rebuild_item *todo;
        struct catalog_counts was, is;
        size_t n;

        rich_world(f, &w);
        keep_all(f, &k);
        OK(catalog_counts(f->c, NULL, &was, &f->e));
        start_anew(state);
        f = *state;
        struct kept half = k;
        half.nassets = 2;
        rebuild(f, &half, 0);
        fix_reopen(f);
        rebuild(f, &k, 0);
        OK(keep_rebuild_todo(f->c, KEPT_ASSET, NULL, 100, f->a, &todo, &n, &f->e));
        assert_int_equal(n, 0);
        OK(keep_rebuild_todo(f->c, KEPT_OBJECT, NULL, 100, f->a, &todo, &n, &f->e));
        assert_int_equal(n, 0);
        OK(keep_rebuild_finish(f->c, &f->e));
        OK(catalog_counts(f->c, NULL, &is, &f->e));
        is.oldest_ready_seconds = was.oldest_ready_seconds;
        assert_memory_equal(&was, &is, sizeof was);
}

static void what_is_missing_is_told(void **state)
{
        struct fix *f = *state;
        struct world w = {0};
        static struct kept k;
        const struct kept_asset *list[KEPT_MAX];
        enum kept_fate fates[KEPT_MAX];
        struct rebuild_item more[2], *todo;
        struct sha256 stray = sha256_of("stray", 5);
        size_t n;

        rich_world(f, &w);
        keep_all(f, &k);
        start_anew(state);
        f = *state;
        OK(keep_rebuild_begin(f->c, &f->e));
        list[0] = &k.assets[0];
        list[1] = &k.assets[k.nassets - 1]; /* the first two have the same bytes */
        more[0] = (struct rebuild_item){
                .kind = KEPT_OBJECT, .sha256 = k.assets[0].asset.sha256, .size = k.assets[0].asset.size + 1};
        more[1] = (struct rebuild_item){.kind = KEPT_OBJECT, .sha256 = stray, .size = 5};
        OK(keep_rebuild_found(f->c, more, 2, &f->e));
        OK(keep_rebuild_assets(f->c, list, 2, fates, &f->e));
        assert_int_equal(fates[0], FATE_WRONG_SIZE);
        assert_int_equal(fates[1], FATE_NO_OBJECT);
        OK(keep_rebuild_todo(f->c, KEPT_OBJECT, NULL, 100, f->a, &todo, &n, &f->e));
        assert_int_equal(n, 2);
        /* Without the folders' own sidecars the assets still know their names. */
        rebuild(f, &k, k.nfolders);
        OK(keep_rebuild_finish(f->c, &f->e));
        assert_string_equal(folder(f, w.x).name, "New");
        assert_int_equal(folder(f, w.x).asset_count, 2);
}

static void a_rebuilt_catalog_of_one_with_keys_asks_for_one(void **state)
{
        struct fix *f = *state;
        struct api_key *keys;
        uint64_t total;
        size_t n;
        bool exist;

        OK(keep_rebuild_begin(f->c, &f->e));
        OK(keep_rebuild_close_api(f->c, &f->e));
        OK(keep_rebuild_close_api(f->c, &f->e));
        OK(keep_rebuild_finish(f->c, &f->e));
        OK(access_keys_exist(f->c, &exist, &f->e));
        assert_true(exist);
        OK(access_key_list(f->c, NULL, false, f->a, &keys, &n, &total, &f->e));
        assert_int_equal(n, 0);
        do_key(f, NULL); /* the way in is open */
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(a_rebuilt_catalog_tells_the_same),
                T(a_rebuild_goes_on_where_it_was_cut_off),
                T(what_is_missing_is_told),
                T(a_rebuilt_catalog_of_one_with_keys_asks_for_one),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
