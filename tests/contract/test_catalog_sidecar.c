/* SPDX-License-Identifier: Apache-2.0 */
/* Marks of what has changed: every change leaves one, and none is lost. */
#include "contract/sidecar_world.h"

static void clear(struct fix *f)
{
        size_t n;
        struct sidecar_mark *m = marks_of(f, &n);

        OK(keep_marks_clear(f->c, m, n, &f->e));
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
        OK(catalog_asset_reprocess(f->c, w->a, NULL, NULL, "t", &f->e));
}

static void do_create(struct fix *f, struct world *w)
{
        OK(catalog_cluster_create(f->c, "ann", "Fresh", 0.7f, "t", &w->fresh, &f->e));
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

        memcpy(&id, (const char *)w + at - 1, sizeof id);
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
        OK(keep_marks_clear(f->c, m, n, &f->e));
        assert_true(marked(f, KEPT_ASSET, w.a));
        assert_false(marked(f, KEPT_FOLDER, w.x));
        OK(keep_marks_waiting(f->c, &waiting, &since, &f->e));
        assert_int_equal(waiting, 1);
        assert_true(since.us > 0);
        /* Somebody else's old list takes nothing away either, also when the mark went and came again meanwhile. */
        clear(f);
        do_tag(f, &w);
        OK(keep_marks_clear(f->c, m, n, &f->e));
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
                OK(keep_marks(f->c, after, 10, f->a, &page, &n, &f->e));
                for (size_t i = 0; i < n; i++) {
                        assert_true(!after || id_cmp(page[i].id, last.id) > 0);
                        last = page[i];
                        after = &last;
                }
                all += n;
        } while (n == 10);
        assert_int_equal(all, 25);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(every_change_leaves_a_mark),
                T(a_failed_write_leaves_no_mark),
                T(a_change_in_between_keeps_its_mark),
                T(marks_come_in_pages),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
