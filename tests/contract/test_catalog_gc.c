/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that no asset refers to: when they may be removed, who may, and what an ingest meets meanwhile. */
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"
#include "keep/keep.h"

#define NOW dur_s(0)

struct marked {
        struct doomed *o;
        size_t n;
};

static struct marked begin(struct fix *f, struct dur grace, struct dur lease)
{
        struct marked m;

        OK(keep_gc_begin(f->c, grace, lease, 10, f->a, &m.o, &m.n, &f->e));
        return m;
}

static bool due(struct fix *f, struct dur grace)
{
        bool yes;

        OK(keep_gc_due(f->c, grace, &yes, &f->e));
        return yes;
}

static int ingest_again(struct fix *f, const struct new_asset *like, struct id *id)
{
        struct new_asset x = *like;
        struct new_job j;
        struct job_receipt r;
        int rc;

        x.id = *id = id_new();
        j = new_job_of("ann", &x, 1);
        rc = catalog_ingest(f->c, &j, f->a, &r, &f->e);
        assert_true(rc < 0 || (r.damaged && !r.damaged[0]));
        return rc;
}

/* An object that an asset referred to until now. */
static struct new_asset orphan(struct fix *f)
{
        struct new_asset x = new_file("a", KIND_FILE, false);
        struct new_job j = new_job_of("ann", &x, 1);
        struct job_receipt r;

        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        OK(catalog_asset_purge(f->c, x.id, "ann", "user", &f->e));
        return x;
}

static uint64_t objects(struct fix *f)
{
        struct catalog_counts n;

        OK(catalog_counts(f->c, NULL, &n, &f->e));
        assert_int_equal(n.object_bytes, n.objects * 100);
        return n.objects;
}

static void an_object_stays_for_the_grace(void **state)
{
        struct fix *f = *state;
        struct new_asset x = orphan(f);
        struct marked m;

        assert_false(due(f, dur_s(3600)));
        assert_int_equal(begin(f, dur_s(3600), dur_s(60)).n, 0);
        assert_true(due(f, NOW));
        m = begin(f, NOW, dur_s(60));
        assert_int_equal(m.n, 1);
        assert_true(sha256_eq(m.o[0].sha256, x.sha256));
        assert_int_equal(m.o[0].size, 100);
        assert_int_equal(objects(f), 1);
        OK(keep_gc_end(f->c, m.o, m.n, &f->e));
        assert_int_equal(objects(f), 0);
        assert_false(due(f, NOW));
}

static void an_asset_that_comes_back_saves_it(void **state)
{
        struct fix *f = *state;
        struct new_asset x = orphan(f);
        struct id again;

        assert_true(due(f, NOW));
        OK(ingest_again(f, &x, &again));
        assert_false(due(f, NOW));
        assert_int_equal(begin(f, NOW, dur_s(60)).n, 0);
        assert_int_equal(objects(f), 1);
        /* Each in the trash refers to it as well. */
        OK(catalog_asset_trash(f->c, again, "ann", "user", &f->e));
        assert_int_equal(begin(f, NOW, dur_s(60)).n, 0);
        OK(catalog_asset_purge(f->c, again, "ann", "user", &f->e));
        assert_int_equal(begin(f, NOW, dur_s(60)).n, 1);
}

static void what_is_being_removed_cannot_be_referred_to(void **state)
{
        struct fix *f = *state;
        struct new_asset x = orphan(f), two[2] = {new_file("b", KIND_FILE, false), x};
        struct new_job j = new_job_of("bob", two, 2);
        struct job_receipt r;
        struct asset none;
        struct id again;
        struct marked m = begin(f, NOW, dur_s(60));

        FAILS(ERR_STALE, ingest_again(f, &x, &again));
        two[1].id = id_new();
        FAILS(ERR_STALE, catalog_ingest(f->c, &j, f->a, &r, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, two[0].id, NULL, f->a, &none, &f->e)); /* nothing of it */
        assert_int_equal(objects(f), 1);
        OK(keep_gc_end(f->c, m.o, m.n, &f->e));
        OK(ingest_again(f, &x, &again));
        assert_int_equal(objects(f), 1);
        OK(keep_gc_end(f->c, m.o, m.n, &f->e)); /* said twice: the new row is another's */
        assert_int_equal(objects(f), 1);
}

static void a_dead_collectors_mark_passes_to_the_next(void **state)
{
        struct fix *f = *state;
        struct new_asset x = orphan(f);
        struct marked first = begin(f, NOW, dur_s(3)), second;
        struct id again;

        assert_int_equal(first.n, 1);
        assert_int_equal(begin(f, NOW, dur_s(60)).n, 0); /* the first may still be at it */
        assert_false(due(f, NOW));
        fix_reopen(f);
        for (int i = 0; i < 200 && !due(f, NOW); i++)
                sleep_for(dur_ms(100));
        FAILS(ERR_STALE, ingest_again(f, &x, &again)); /* also then: its bytes may be gone */
        assert_true(due(f, NOW));
        second = begin(f, NOW, dur_s(60));
        assert_int_equal(second.n, 1);
        OK(keep_gc_end(f->c, first.o, first.n, &f->e)); /* whose time is over ends nothing */
        FAILS(ERR_STALE, ingest_again(f, &x, &again));
        OK(keep_gc_end(f->c, second.o, second.n, &f->e));
        OK(ingest_again(f, &x, &again));
}

static void alone_with_its_catalog_a_collector_need_not_wait(void **state)
{
        struct fix *f = *state;
        size_t at_once = strcmp(ENGINE, "sqlite") == 0;

        orphan(f);
        assert_int_equal(begin(f, NOW, dur_s(60)).n, 1);
        fix_reopen(f);
        assert_int_equal(begin(f, NOW, dur_s(60)).n, 0);
        OK(keep_gc_recover(f->c, &f->e));
        assert_int_equal(begin(f, NOW, dur_s(60)).n, at_once);
}

static void bytes_without_a_row_are_taken_only_without_a_row(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a", KIND_FILE, false);
        struct doomed o = {.sha256 = x.sha256, .size = 100};
        struct id id;
        struct marked m;

        assert_int_equal(keep_gc_stray(f->c, &o, dur_s(60), &f->e), 1);
        assert_int_equal(keep_gc_stray(f->c, &o, dur_s(60), &f->e), 0);
        assert_int_equal(objects(f), 1);
        FAILS(ERR_STALE, ingest_again(f, &x, &id));
        OK(keep_gc_end(f->c, &o, 1, &f->e));
        assert_int_equal(objects(f), 0);
        OK(ingest_again(f, &x, &id));
        assert_int_equal(keep_gc_stray(f->c, &o, dur_s(60), &f->e), 0);
        /* One whose collector died needs no grace. */
        x = new_file("b", KIND_FILE, false);
        o = (struct doomed){.sha256 = x.sha256, .size = 100};
        assert_int_equal(keep_gc_stray(f->c, &o, dur_ms(10), &f->e), 1);
        sleep_for(dur_ms(50));
        m = begin(f, dur_s(3600), dur_s(60));
        assert_int_equal(m.n, 1);
        OK(keep_gc_end(f->c, m.o, m.n, &f->e));
        assert_int_equal(objects(f), 1);
}

static void an_undone_ingest_leaves_only_an_orphan(void **state)
{
        struct fix *f = *state;
        struct new_asset x[2] = {new_file("a", KIND_MEDIA, true), new_file("b", KIND_FILE, false)};
        struct new_job j = new_job_of("ann", x, 2);
        struct job_receipt r;
        struct job_view job;
        struct asset none;
        struct catalog_counts n;

        j.idempotency_key = "k";
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        OK(catalog_ingest_undo(f->c, j.id, &f->e));
        FAILS(ERR_NOT_FOUND, catalog_job_get(f->c, j.id, NULL, f->a, &job, &f->e));
        for (int i = 0; i < 2; i++)
                FAILS(ERR_NOT_FOUND, catalog_asset_get(f->c, x[i].id, NULL, f->a, &none, &f->e));
        assert_int_equal(catalog_idempotency_find(f->c, &j, f->a, &r, &f->e), 0);
        OK(catalog_counts(f->c, NULL, &n, &f->e));
        assert_int_equal(n.waiting[JOB_IMAGE], 0);
        assert_int_equal(n.assets[KIND_MEDIA][ASSET_QUEUED] + n.assets[KIND_FILE][ASSET_DONE], 0);
        assert_int_equal(begin(f, NOW, dur_s(60)).n, 2);
        OK(catalog_ingest_undo(f->c, j.id, &f->e)); /* again is fine */
}

static void a_damaged_object_is_told_to_who_has_its_bytes(void **state)
{
        struct fix *f = *state;
        struct new_asset x = new_file("a", KIND_FILE, false);
        struct new_job j = new_job_of("ann", &x, 1);
        struct job_receipt r;

        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_false(r.damaged[0]);
        struct scrub_item *it;
        size_t n;
        OK(keep_scrub_next(f->c, wall_add(wall_now(), dur_s(5)), false, 10, f->a, &it, &n, &f->e));
        assert_int_equal(n, 1);
        it[0].bad = "its bytes have another hash";
        OK(keep_scrub_seen(f->c, it, 1, &f->e));
        x.id = id_new();
        j = new_job_of("bob", &x, 1);
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_true(r.damaged[0]);
        OK(catalog_object_mended(f->c, x.sha256, &f->e));
        x.id = id_new();
        j = new_job_of("bob", &x, 1);
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        assert_false(r.damaged[0]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, fix_setup, fix_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                T(an_object_stays_for_the_grace),
                T(an_asset_that_comes_back_saves_it),
                T(what_is_being_removed_cannot_be_referred_to),
                T(a_dead_collectors_mark_passes_to_the_next),
                T(alone_with_its_catalog_a_collector_need_not_wait),
                T(bytes_without_a_row_are_taken_only_without_a_row),
                T(an_undone_ingest_leaves_only_an_orphan),
                T(a_damaged_object_is_told_to_who_has_its_bytes),
        };

        return cmocka_run_group_tests_name(ENGINE, tests, NULL, NULL);
}
