/* SPDX-License-Identifier: Apache-2.0 */
/* Marks of what has changed, what is kept of an asset and a folder, and a catalog made again out of it. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"

#include "catalog/catalog_sidecar.h"

static struct sidecar_mark *marks_of(struct fix *f, size_t *n)
{
        struct sidecar_mark *m;

        OK(catalog_marks(f->c, NULL, 1000, f->a, &m, n, &f->e));
        return m;
}

static void clear(struct fix *f)
{
        size_t n;
        struct sidecar_mark *m = marks_of(f, &n);

        OK(catalog_marks_clear(f->c, m, n, &f->e));
        marks_of(f, &n);
        assert_int_equal(n, 0);
}

static bool marked(struct fix *f, enum kept_kind kind, struct id id)
{
        size_t n;
        struct sidecar_mark *m = marks_of(f, &n);

        for (size_t i = 0; i < n; i++)
                if (m[i].kind == kind && id_eq(m[i].id, id))
                        return true;
        return false;
}

/* ---- every change leaves a mark ---------------------------------------------------------- */

struct world {
        struct id a, b, queued, dead; /* a is in x, b in y */
        struct id dead_job;
        struct id x, y, z;
        struct id fresh; /* made by the change */
};

static void place(struct fix *f, struct id asset, struct id cluster)
{
        struct asset_patch p = {.set_cluster = true, .cluster_id = cluster};

        OK(catalog_asset_patch(f->c, asset, NULL, &p, "t", NULL, &f->e));
}

static void make_world(struct fix *f, struct world *w)
{
        struct task_failure lost = {.stage = "decode", .code = ERR_CORRUPT, .reason = "broken", .dead = true};
        float v[DIM];
        struct task t;

        unit_vector(1, v);
        fix_warm(f, MODEL);
        w->a = put_done(f, "ann", "a.jpg", v);
        w->b = put_done(f, "ann", "b.jpg", v);
        OK(catalog_cluster_create(f->c, "ann", "X", 0.7f, "t", &w->x, &f->e));
        OK(catalog_cluster_create(f->c, "ann", "Y", 0.7f, "t", &w->y, &f->e));
        OK(catalog_cluster_create(f->c, "ann", "Z", 0.7f, "t", &w->z, &f->e));
        place(f, w->a, w->x);
        place(f, w->b, w->y);
        w->dead = put_file(f, "ann", "dead.jpg", KIND_MEDIA);
        t = claim(f);
        OK(catalog_task_fail(f->c, &t, &lost, &f->e));
        w->dead_job = get(f, w->dead).job_id;
        w->queued = put_file(f, "ann", "queued.jpg", KIND_MEDIA);
}

static void do_ingest(struct fix *f, struct world *w)
{
        w->fresh = put_file(f, "ann", "fresh.jpg", KIND_MEDIA);
}

static void do_complete(struct fix *f, struct world *w)
{
        struct placement p = {.kind = PLACE_ASSIGN, .cluster_id = w->z, .similarity = 0.9f, .why = "near"};
        struct task t = claim(f);
        float v[DIM];

        unit_vector(2, v);
        OK(finish(f, &t, v, p));
}

/* Nobody's choice: what waits is done, and unsorted. */
static void settle_queued(struct fix *f, struct world *w)
{
        struct task t = claim(f);
        float v[DIM];

        assert_true(id_eq(t.asset_id, w->queued));
        unit_vector(3, v);
        OK(finish(f, &t, v, (struct placement){.kind = PLACE_UNSORTED}));
}

static void do_found(struct fix *f, struct world *w)
{
        struct placement p = {.kind = PLACE_FOUND,
                              .cluster_id = w->fresh = id_new(),
                              .name = "New",
                              .threshold = 0.5f,
                              .members = &w->queued,
                              .nmembers = 1,
                              .why = "together"};
        struct task t;
        float v[DIM];

        settle_queued(f, w);
        w->b = put_file(f, "ann", "d.jpg", KIND_MEDIA);
        clear(f);
        t = claim(f);
        unit_vector(4, v);
        OK(finish(f, &t, v, p));
}

static void do_place(struct fix *f, struct world *w)
{
        struct placement p = {.kind = PLACE_ASSIGN,
                              .cluster_id = w->z,
                              .members = &w->queued,
                              .member_similarity = (float[]){0.8f},
                              .nmembers = 1,
                              .why = "pass"};

        settle_queued(f, w);
        clear(f);
        OK(catalog_place(f->c, "ann", &p, "service", &f->e));
}

static void do_fail(struct fix *f, struct world *w)
{
        struct task_failure lost = {.stage = "decode", .code = ERR_CORRUPT, .reason = "broken", .dead = true};
        struct task t = claim(f);

        (void)w;
        OK(catalog_task_fail(f->c, &t, &lost, &f->e));
}

static void do_expire(struct fix *f, struct world *w)
{
        struct task t;

        (void)w;
        assert_int_equal(catalog_task_claim(f->c, "w", dur_ms(1), ALL, f->a, &t, &f->e), 1);
        sleep_for(dur_ms(20));
        assert_int_equal(catalog_task_expire(f->c, 1, &f->e), 1);
}

static void do_dlq_retry(struct fix *f, struct world *w)
{
        struct dlq_choice which = {.job = &w->dead_job, .actor = "t"};
        uint64_t moved;

        OK(catalog_dlq_retry(f->c, &which, &moved, &f->e));
        assert_int_equal(moved, 1);
}

static void do_dlq_discard(struct fix *f, struct world *w)
{
        struct dlq_choice which = {.job = &w->dead_job, .actor = "t"};
        uint64_t moved;

        OK(catalog_dlq_discard(f->c, &which, &moved, &f->e));
        assert_int_equal(moved, 1);
}

static void do_rename(struct fix *f, struct world *w)
{
        OK(catalog_asset_patch(f->c, w->a, NULL, &(struct asset_patch){.filename = "n.jpg"}, "t", NULL, &f->e));
}

static void do_comment(struct fix *f, struct world *w)
{
        OK(catalog_asset_patch(f->c, w->a, NULL, &(struct asset_patch){.set_comments = true, .comments = "hm"}, "t",
                               NULL, &f->e));
}

static void do_tag(struct fix *f, struct world *w)
{
        OK(catalog_asset_patch(f->c, w->a, NULL,
                               &(struct asset_patch){.set_tags = true, .tags = (const char *[]){"t"}, .ntags = 1}, "t",
                               NULL, &f->e));
}

static void do_move(struct fix *f, struct world *w)
{
        place(f, w->a, w->y);
}

static void do_unsort(struct fix *f, struct world *w)
{
        place(f, w->a, (struct id){{0}});
}

static void do_trash(struct fix *f, struct world *w)
{
        OK(catalog_asset_trash(f->c, w->a, NULL, "t", &f->e));
}

static void do_restore(struct fix *f, struct world *w)
{
        OK(catalog_asset_trash(f->c, w->a, NULL, "t", &f->e));
        clear(f);
        OK(catalog_asset_restore(f->c, w->a, NULL, "t", &f->e));
}

/* The oldest of two equal files goes: the other is nobody's duplicate any more. */
static void do_purge(struct fix *f, struct world *w)
{
        struct new_asset same = new_file("same.jpg", KIND_FILE, false);
        struct new_job j;
        struct job_receipt r;

        same.sha256 = get(f, w->a).sha256;
        j = new_job_of("ann", &same, 1);
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_int_equal(r.nduplicates, 1);
        w->fresh = same.id;
        clear(f);
        OK(catalog_asset_purge(f->c, w->a, NULL, "t", &f->e));
        assert_true(id_is_nil(get(f, same.id).duplicate_of));
}

static void do_reprocess(struct fix *f, struct world *w)
{
        OK(catalog_asset_reprocess(f->c, w->a, NULL, "t", &f->e));
}

static void do_create(struct fix *f, struct world *w)
{
        OK(catalog_cluster_create(f->c, "ann", "Fresh", 0.7f, "t", &w->fresh, &f->e));
}

static void change(struct fix *f, struct id cluster, struct cluster_change ch)
{
        OK(catalog_cluster_change(f->c, cluster, NULL, &ch, "t", NULL, NULL, &f->e));
}

static void do_rename_folder(struct fix *f, struct world *w)
{
        change(f, w->x, (struct cluster_change){.kind = CHANGE_RENAME, .name = "New", .by_person = true});
}

static void do_threshold(struct fix *f, struct world *w)
{
        change(f, w->x, (struct cluster_change){.kind = CHANGE_THRESHOLD, .threshold = 0.1f});
}

static void do_confirm(struct fix *f, struct world *w)
{
        change(f, w->x, (struct cluster_change){.kind = CHANGE_CONFIRM, .provisional = true});
}

static void do_lock(struct fix *f, struct world *w)
{
        change(f, w->x, (struct cluster_change){.kind = CHANGE_LOCK, .locked = true});
}

static void do_merge(struct fix *f, struct world *w)
{
        OK(catalog_cluster_merge(f->c, w->x, &w->y, 1, NULL, NULL, "t", NULL, NULL, &f->e));
}

static void do_delete(struct fix *f, struct world *w)
{
        OK(catalog_cluster_delete(f->c, w->x, NULL, "t", NULL, &f->e));
}

static void do_ingest_folder(struct fix *f, struct world *w)
{
        struct new_asset x = new_file("into.bin", KIND_FILE, false);
        struct new_job j = new_job_of("ann", &x, 1);
        struct job_receipt r;

        j.folder = "X";
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        w->fresh = x.id;
}

static void do_key(struct fix *f, struct world *w)
{
        struct new_key k = {.id = id_new(), .name = "k", .prefix = "01234567", .scope = KEY_ADMIN, .actor = "t"};

        (void)w;
        OK(catalog_key_create(f->c, &k, NULL, &f->e));
}

#define W(field) offsetof(struct world, field) + 1
static const struct {
        const char *what;
        void (*change)(struct fix *f, struct world *w);
        size_t assets[3], folders[3]; /* where in the world the ids are that must be marked */
        bool catalog;
} changes[] = {
        {"ingest", do_ingest, {W(fresh)}, {0}, false},
        {"ingest into a folder", do_ingest_folder, {W(fresh)}, {W(x)}, false},
        {"complete, assigned", do_complete, {W(queued)}, {W(z)}, false},
        {"complete, founding", do_found, {W(queued), W(b)}, {W(fresh)}, false},
        {"placed by a pass", do_place, {W(queued)}, {W(z)}, false},
        {"fail", do_fail, {W(queued)}, {0}, false},
        {"expire", do_expire, {W(queued)}, {0}, false},
        {"dlq retry", do_dlq_retry, {W(dead)}, {0}, false},
        {"dlq discard", do_dlq_discard, {W(dead)}, {0}, false},
        {"rename", do_rename, {W(a)}, {0}, false},
        {"comment", do_comment, {W(a)}, {0}, false},
        {"tag", do_tag, {W(a)}, {0}, false},
        {"move", do_move, {W(a)}, {W(x), W(y)}, false},
        {"unsort", do_unsort, {W(a)}, {W(x)}, false},
        {"trash", do_trash, {W(a)}, {W(x)}, false},
        {"restore", do_restore, {W(a)}, {W(x)}, false},
        {"purge", do_purge, {W(a), W(fresh)}, {W(x)}, false},
        {"reprocess", do_reprocess, {W(a)}, {0}, false},
        {"create", do_create, {0}, {W(fresh)}, false},
        {"rename a folder", do_rename_folder, {0}, {W(x)}, false},
        {"threshold", do_threshold, {0}, {W(x)}, false},
        {"confirm", do_confirm, {0}, {W(x)}, false},
        {"lock", do_lock, {0}, {W(x)}, false},
        {"merge", do_merge, {W(b)}, {W(x), W(y)}, false},
        {"delete", do_delete, {W(a)}, {W(x)}, false},
        {"key", do_key, {0}, {0}, true},
};

static struct id id_at(const struct world *w, size_t at)
{
        struct id id;

        memcpy(&id, (const char *)w + at - 1, sizeof(id));
        return id;
}

static void every_change_leaves_a_mark(void **state)
{
        struct fix *f = *state;

        for (size_t i = 0; i < COUNT_OF(changes); i++) {
                struct world w = {0};
                make_world(f, &w);
                clear(f);
                changes[i].change(f, &w);
                for (size_t k = 0; k < 3; k++) {
                        if (changes[i].assets[k] && !marked(f, KEPT_ASSET, id_at(&w, changes[i].assets[k])))
                                fail_msg("%s: asset %zu is not marked", changes[i].what, k);
                        if (changes[i].folders[k] && !marked(f, KEPT_FOLDER, id_at(&w, changes[i].folders[k])))
                                fail_msg("%s: folder %zu is not marked", changes[i].what, k);
                }
                assert_int_equal(marked(f, KEPT_CATALOG, (struct id){{0}}), changes[i].catalog);
                fix_teardown(state);
                fix_setup(state);
                f = *state;
        }
}

static void a_failed_write_leaves_no_mark(void **state)
{
        struct fix *f = *state;
        struct world w = {0};
        size_t n;

        make_world(f, &w);
        clear(f);
        FAILS(ERR_CONFLICT,
              catalog_cluster_change(f->c, w.x, NULL, &(struct cluster_change){.kind = CHANGE_RENAME, .name = "Y"}, "t",
                                     NULL, NULL, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_trash(f->c, id_new(), NULL, "t", &f->e));
        marks_of(f, &n);
        assert_int_equal(n, 0);
}

/* Between reading a mark and clearing it the asset changes: the mark stays. */
static void a_change_in_between_keeps_its_mark(void **state)
{
        struct fix *f = *state;
        struct world w = {0};
        struct sidecar_mark *m;
        struct wall since;
        uint64_t waiting;
        size_t n;

        make_world(f, &w);
        clear(f);
        do_tag(f, &w);
        do_lock(f, &w);
        m = marks_of(f, &n);
        assert_int_equal(n, 2);
        do_comment(f, &w);
        OK(catalog_marks_clear(f->c, m, n, &f->e));
        assert_true(marked(f, KEPT_ASSET, w.a));
        assert_false(marked(f, KEPT_FOLDER, w.x));
        OK(catalog_marks_waiting(f->c, &waiting, &since, &f->e));
        assert_int_equal(waiting, 1);
        assert_true(since.us > 0);
        /* Somebody else's old list takes nothing away either, also when the mark went and came again meanwhile. */
        clear(f);
        do_tag(f, &w);
        OK(catalog_marks_clear(f->c, m, n, &f->e));
        assert_true(marked(f, KEPT_ASSET, w.a));
        fix_reopen(f);
        assert_true(marked(f, KEPT_ASSET, w.a));
}

static void marks_come_in_pages(void **state)
{
        struct fix *f = *state;
        struct sidecar_mark *page, last;
        const struct sidecar_mark *after = NULL;
        size_t n, all = 0;

        for (int i = 0; i < 25; i++)
                put_file(f, "ann", "x", KIND_FILE);
        do {
                OK(catalog_marks(f->c, after, 10, f->a, &page, &n, &f->e));
                for (size_t i = 0; i < n; i++) {
                        assert_true(!after || id_cmp(page[i].id, last.id) > 0);
                        last = page[i];
                        after = &last;
                }
                all += n;
        } while (n == 10);
        assert_int_equal(all, 25);
}

/* ---- a catalog made again ----------------------------------------------------------------------- */

static void same_text(const char *a, const char *b)
{
        if ((a == NULL) != (b == NULL) || (a && strcmp(a, b) != 0))
                fail_msg("\"%s\" became \"%s\"", a ? a : "NULL", b ? b : "NULL");
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
                        rc = catalog_kept_asset(f->c, m[i].id, f->a, &k->assets[k->nassets], &f->e);
                        k->nassets += rc == 0;
                } else if (m[i].kind == KEPT_FOLDER) {
                        rc = catalog_kept_folder(f->c, m[i].id, f->a, &k->folders[k->nfolders], &f->e);
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
        OK(catalog_rebuild_found(f->c, items, n, &f->e));
}

static void rebuild(struct fix *f, const struct kept *k, size_t skip_folders)
{
        const struct kept_asset *list[KEPT_MAX];
        enum kept_fate fates[KEPT_MAX];

        OK(catalog_rebuild_begin(f->c, &f->e));
        found(f, k);
        for (size_t i = skip_folders; i < k->nfolders; i++)
                OK(catalog_rebuild_folder(f->c, &k->folders[i], &f->e));
        for (size_t i = 0; i < k->nassets; i++)
                list[i] = &k->assets[i];
        OK(catalog_rebuild_assets(f->c, list, k->nassets, fates, &f->e));
        for (size_t i = 0; i < k->nassets; i++)
                assert_int_equal(fates[i], FATE_RESTORED);
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
                                .model_id = MODEL,
                                .dim = DIM,
                                .placement = {.kind = PLACE_ASSIGN, .similarity = 0.8125f, .why = "near"}};
        struct new_job j;
        struct job_receipt receipt;
        float v[DIM];
        struct task t;

        make_world(f, w);
        t = claim(f);
        unit_vector(5, v);
        r.task = &t;
        r.vector = v;
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
        OK(catalog_asset_trash(f->c, w->fresh, NULL, "t", &f->e));
        same.sha256 = get(f, w->a).sha256;
        j = new_job_of("ann", &same, 1);
        j.comments = "a job's words";
        OK(catalog_ingest(f->c, &j, f->a, &receipt, &f->e));
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

static void a_rebuilt_catalog_tells_the_same(void **state)
{
        struct fix *f = *state;
        struct world w = {0};
        static struct kept before, after;
        struct catalog_counts was, is;
        struct id *near, survivor;
        struct cluster gone;
        struct asset x;
        struct dead_task *dead;
        struct text_match hits[5];
        enum rebuild_state st;
        size_t n;

        rich_world(f, &w);
        keep_all(f, &before);
        OK(catalog_counts(f->c, NULL, &was, &f->e));
        OK(catalog_asset_get(f->c, w.queued, NULL, f->a, &x, &f->e));
        start_anew(state);
        f = *state;
        rebuild(f, &before, 0);
        OK(catalog_rebuild_state(f->c, &st, &f->e));
        assert_int_equal(st, REBUILD_BEGUN);
        OK(catalog_rebuild_finish(f->c, &f->e));
        OK(catalog_rebuild_state(f->c, &st, &f->e));
        assert_int_equal(st, REBUILD_FULL);
        FAILS(ERR_CONFLICT, catalog_rebuild_begin(f->c, &f->e));
        for (size_t i = 0; i < before.nassets; i++) {
                OK(catalog_kept_asset(f->c, before.assets[i].asset.id, f->a, &after.assets[i], &f->e));
                same_kept(&before.assets[i], &after.assets[i]);
        }
        for (size_t i = 0; i < before.nfolders; i++) {
                struct kept_folder k;
                OK(catalog_kept_folder(f->c, before.folders[i].folder.id, f->a, &k, &f->e));
                same_text(before.folders[i].folder.name, k.folder.name);
                assert_int_equal(before.folders[i].folder.updated.us, k.folder.updated.us);
                assert_int_equal(before.folders[i].folder.created.us, k.folder.created.us);
                assert_int_equal(before.folders[i].folder.status, k.folder.status);
                assert_int_equal(before.folders[i].folder.touched, k.folder.touched);
                assert_int_equal(before.folders[i].naliases, k.naliases);
        }
        OK(catalog_counts(f->c, NULL, &is, &f->e));
        is.oldest_ready_seconds = was.oldest_ready_seconds;
        assert_memory_equal(&was, &is, sizeof(was));
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
        OK(catalog_rebuild_todo(f->c, KEPT_ASSET, NULL, 100, f->a, &todo, &n, &f->e));
        assert_int_equal(n, 0);
        OK(catalog_rebuild_todo(f->c, KEPT_OBJECT, NULL, 100, f->a, &todo, &n, &f->e));
        assert_int_equal(n, 0);
        OK(catalog_rebuild_finish(f->c, &f->e));
        OK(catalog_counts(f->c, NULL, &is, &f->e));
        is.oldest_ready_seconds = was.oldest_ready_seconds;
        assert_memory_equal(&was, &is, sizeof(was));
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
        OK(catalog_rebuild_begin(f->c, &f->e));
        list[0] = &k.assets[0];
        list[1] = &k.assets[k.nassets - 1]; /* the first two have the same bytes */
        more[0] = (struct rebuild_item){
                .kind = KEPT_OBJECT, .sha256 = k.assets[0].asset.sha256, .size = k.assets[0].asset.size + 1};
        more[1] = (struct rebuild_item){.kind = KEPT_OBJECT, .sha256 = stray, .size = 5};
        OK(catalog_rebuild_found(f->c, more, 2, &f->e));
        OK(catalog_rebuild_assets(f->c, list, 2, fates, &f->e));
        assert_int_equal(fates[0], FATE_WRONG_SIZE);
        assert_int_equal(fates[1], FATE_NO_OBJECT);
        OK(catalog_rebuild_todo(f->c, KEPT_OBJECT, NULL, 100, f->a, &todo, &n, &f->e));
        assert_int_equal(n, 2);
        /* Without the folders' own sidecars the assets still know their names. */
        rebuild(f, &k, k.nfolders);
        OK(catalog_rebuild_finish(f->c, &f->e));
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

        OK(catalog_rebuild_begin(f->c, &f->e));
        OK(catalog_rebuild_close_api(f->c, &f->e));
        OK(catalog_rebuild_close_api(f->c, &f->e));
        OK(catalog_rebuild_finish(f->c, &f->e));
        OK(catalog_keys_exist(f->c, &exist, &f->e));
        assert_true(exist);
        OK(catalog_key_list(f->c, NULL, false, f->a, &keys, &n, &total, &f->e));
        assert_int_equal(n, 0);
        do_key(f, NULL); /* the way in is open */
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(every_change_leaves_a_mark),
                T(a_failed_write_leaves_no_mark),
                T(a_change_in_between_keeps_its_mark),
                T(marks_come_in_pages),
                T(a_rebuilt_catalog_tells_the_same),
                T(a_rebuild_goes_on_where_it_was_cut_off),
                T(what_is_missing_is_told),
                T(a_rebuilt_catalog_of_one_with_keys_asks_for_one),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
