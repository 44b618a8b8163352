/* SPDX-License-Identifier: Apache-2.0 */
/* What a backup holds is one moment of the catalog, with every object of it, whatever goes on meanwhile. */
#include "contract/backup_world.h"

#include "catalog/catalog_rules.h"
#include "keep/keep.h"

#include <fcntl.h>
#include <sys/file.h>

/* ---- a moment among writers --------------------------------------------------------------------- */

struct writer {
        struct world *w;
        unsigned number, written;
        atomic_bool stop;
        pthread_t thread;
};

static void *write_on(void *arg)
{
        struct writer *x = arg;
        struct arena *a = arena_new(64 << 20);
        char prefix[48];

        for (; !atomic_load(&x->stop); x->written++) {
                snprintf(prefix, sizeof prefix, "writer %u job %u", x->number, x->written);
                ingest(x->w, a, prefix, 3, x->written % 4 ? KIND_FILE : KIND_MEDIA);
        }
        arena_free(a);
        return NULL;
}

/* Pictures are worked on, so that the snapshot meets leases. */
static void *work_on(void *arg)
{
        struct writer *x = arg;
        struct arena *a = arena_new(64 << 20);
        struct task t;
        struct err e;
        float v[DIM];

        for (; !atomic_load(&x->stop); x->written++) {
                struct task_result r = {.task = &t,
                                        .metadata = "{}",
                                        .parts = part_list_whole(&(struct part_room){.part = {0}}, MODEL, v, DIM)};
                r.placement.kind = PLACE_UNSORTED;
                unit_vector(x->written, v);
                if (catalog_task_claim(x->w->f.c, "w", dur_s(60), ALL, a, &t, &e) == 1 && x->written % 5)
                        assert_int_equal(catalog_task_complete(x->w->f.c, &r, &e), 0);
        }
        arena_free(a);
        return NULL;
}

static void a_backup_among_writers_is_one_moment(void **state)
{
        struct world *w = *state;
        struct writer writers[3] = {{.w = w, .number = 0}, {.w = w, .number = 1}, {.w = w}};
        struct backup_created r = {0};

        for (int i = 0; i < 3; i++)
                assert_int_equal(thread_start(&writers[i].thread, "writer", i < 2 ? write_on : work_on, &writers[i]),
                                 0);
        for (int i = 0; i < 2; i++) {
                sleep_for(dur_ms(60));
                r = create_whole(w);
                assert_int_equal(r.info.gone, 0);
        }
        for (int i = 0; i < 3; i++) {
                atomic_store(&writers[i].stop, true);
                pthread_join(writers[i].thread, NULL);
        }
        expect_good(w);
        restore_whole(w);
        expect_consistent(w);
}

static void what_was_leased_is_ready(void **state)
{
        struct world *w = *state;
        struct fix *f = &w->f;
        struct id id = ingest(w, f->a, "picture", 1, KIND_MEDIA);
        struct catalog_counts before, after;
        struct job_view job;
        struct task t = claim(f);

        assert_true(id_eq(t.asset_id, id));
        assert_int_equal(get(f, id).status, ASSET_PROCESSING);
        OK(catalog_counts(f->c, NULL, &before, &f->e));
        create_whole(w);
        assert_int_equal(get(f, id).status, ASSET_PROCESSING); /* the original's is left alone */
        restore_whole(w);
        f = &w->to;
        assert_int_equal(get(f, id).status, ASSET_QUEUED);
        OK(catalog_counts(f->c, NULL, &after, &f->e));
        assert_int_equal(before.assets[KIND_MEDIA][ASSET_PROCESSING], 1);
        assert_int_equal(after.assets[KIND_MEDIA][ASSET_PROCESSING], 0);
        assert_int_equal(after.assets[KIND_MEDIA][ASSET_QUEUED], 1);
        OK(catalog_job_get(f->c, get(f, id).job_id, NULL, f->a, &job, &f->e));
        assert_int_equal(job.status, JOBS_QUEUED);
        t = claim(f);
        assert_true(id_eq(t.asset_id, id));
        assert_int_equal(t.deliveries, 1);
        assert_int_equal(t.crashes, 0);
        assert_int_equal(t.token, 2); /* the one that is out somewhere is used up */
}

/* ---- what vanishes between the snapshot and the copy ------------------------------------------------ */

static void collect(struct world *w)
{
        struct fix *f = &w->f;
        struct doomed *doomed;
        size_t n;

        sleep_for(dur_ms(2));
        OK(keep_gc_begin(f->c, dur_ms(1), dur_s(60), 10, f->a, &doomed, &n, &f->e));
        assert_int_equal(n, 1);
        assert_int_equal(storage_remove_object(w->storage, doomed->sha256, &f->e), 0);
        OK(keep_gc_end(f->c, doomed, n, &f->e));
}

static void purge(struct world *w)
{
        struct fix *f = &w->f;

        OK(catalog_asset_purge(f->c, w->victim, NULL, "test", &f->e));
        collect(w);
}

static void put_five(struct world *w)
{
        char prefix[16];

        for (int i = 0; i < 5; i++) {
                snprintf(prefix, sizeof prefix, "file %d", i);
                ingest(w, w->f.a, prefix, 1, KIND_FILE);
        }
}

/* Objects are copied in the order of their hashes: the last one is purged while the first is on its way. */
static struct id last_one(struct world *w)
{
        struct asset_filter all = {0};
        struct asset_page p;
        struct fix *f = &w->f;
        size_t last = 0;

        OK(catalog_asset_list(f->c, &all, SORT_CREATED_ASC, 500, NULL, f->a, &p, &f->e));
        for (size_t i = 1; i < p.n; i++)
                if (memcmp(p.assets[i].sha256.b, p.assets[last].sha256.b, sizeof p.assets[i].sha256) > 0)
                        last = i;
        return p.assets[last].id;
}

static void what_is_purged_meanwhile_costs_a_new_snapshot(void **state)
{
        struct world *w = *state;
        struct backup_created r;

        put_five(w);
        w->victim = last_one(w);
        w->on_object = purge;
        r = create_whole(w);
        assert_int_equal(r.snapshots, 2);
        assert_int_equal(r.info.files, 4);
        assert_int_equal(r.info.objects, 4);
        assert_int_equal(r.info.gone, 0);
        expect_good(w);
}

/* Nobody needs it, in the snapshot or now: a word about it is enough. */
static void an_orphan_may_go_meanwhile(void **state)
{
        struct world *w = *state;
        struct fix *f = &w->f;
        struct backup_created r;

        put_five(w);
        w->victim = last_one(w);
        OK(catalog_asset_purge(f->c, w->victim, NULL, "test", &f->e));
        w->on_object = collect;
        r = create_whole(w);
        assert_int_equal(r.snapshots, 1);
        assert_int_equal(r.info.files, 4);
        assert_int_equal(r.info.objects, 4);
        assert_int_equal(r.info.gone, 1);
        expect_good(w);
        restore_whole(w);
}

static void lose(struct world *w)
{
        struct fix *f = &w->f;

        assert_int_equal(storage_remove_object(w->storage, get(f, w->victim).sha256, &f->e), 0);
}

static void what_is_lost_meanwhile_makes_it_incomplete(void **state)
{
        struct world *w = *state;
        struct backup_created r;
        struct backup_restored back;

        put_five(w);
        w->victim = last_one(w);
        w->on_object = lose;
        assert_int_equal(create(w, &r), 0);
        assert_false(r.info.complete);
        assert_int_equal(r.snapshots, 1);
        assert_int_equal(r.info.missing, 1);
        assert_int_equal(r.info.objects, 4);
        assert_non_null(strstr(w->said, "is missing or damaged at the source"));
        expect_good(w); /* it is what it says it is */
        assert_int_equal(restore(w, &back), -1);
        assert_non_null(strstr(w->e.msg, "no complete backup"));
}

/* An instance that sends what it acknowledged later (write-back). */
static void send_late(struct world *w)
{
        char bytes[32];

        for (int i = 0; i < 5; i++) {
                snprintf(bytes, sizeof bytes, "file %d 0", i);
                put_object(w, bytes);
        }
}

static void what_comes_late_is_waited_for(void **state)
{
        struct world *w = *state;
        struct backup_created r;

        put_five(w);
        w->victim = last_one(w);
        w->on_object = lose;
        w->on_wait = send_late;
        w->patience = dur_s(30);
        r = create_whole(w);
        assert_null(w->on_wait);
        assert_int_equal(r.info.objects, 5);
        expect_good(w);
}

/* ---- who holds the folder ---- */

static int hold(struct world *w, const char *name, int how)
{
        char path[128];
        int fd;

        snprintf(path, sizeof path, "%s/%s", w->into, name);
        fd = open(path, O_RDWR | O_CLOEXEC);
        assert_true(fd >= 0);
        assert_int_equal(flock(fd, how | LOCK_NB), 0);
        return fd;
}

static void writers_exclude_each_other_and_removers_readers(void **state)
{
        struct world *w = *state;
        struct backup_created r;
        int fd;

        put_five(w);
        create_whole(w);
        fd = hold(w, "lock", LOCK_EX);
        assert_int_equal(create(w, &r), -1);
        assert_int_equal(w->e.code, ERR_CONFLICT);
        expect_good(w); /* reading goes on beside a writer */
        fd_close(&fd);
        w->keep = 1;
        fd = hold(w, "readers", LOCK_SH);
        r = create_whole(w);
        assert_true(r.not_removed);
        assert_int_equal(r.removed_backups, 0);
        fd_close(&fd);
        r = create_whole(w);
        assert_false(r.not_removed);
        assert_int_equal(r.removed_backups, 2);
        expect_good(w);
}

/* ---- old and damaged ones ------------------------------------------------------------------------------------ */

#ifndef SUITE_POSTGRES
static void sql(struct world *w, const char *text)
{
        sqlite3 *h;
        char *why = NULL;

        assert_int_equal(sqlite3_open(w->f.url + strlen("sqlite://"), &h), SQLITE_OK);
        if (sqlite3_exec(h, text, NULL, NULL, &why) != SQLITE_OK)
                fail_msg("%s: %s", text, why);
        sqlite3_close(h);
}

/* A catalog of the first program, with an object. */
static void an_old_catalog_is_kept_as_it_is(void **state)
{
        struct world *w = *state;
        const struct db_migration *first = catalog_migrations_sqlite;
        struct stored is = put_object(w, "old");
        char insert[256], hex[SHA256_TEXT_LEN];
        struct backup_created r;
        struct catalog_counts counts;
        struct fix *f = &w->to;

        catalog_close(w->f.c);
        w->f.c = NULL;
        assert_int_equal(unlink(w->f.url + strlen("sqlite://")), 0);
        sql(w, "CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL, at INTEGER NOT NULL) "
               "STRICT");
        sql(w, first->sql);
        snprintf(insert, sizeof insert,
                 "INSERT INTO schema_version VALUES (1, 'first', 5); INSERT INTO object VALUES (x'%s', 3, 7)",
                 sha256_format(is.sha256, hex));
        sql(w, insert);
        r = create_whole(w);
        assert_int_equal(r.info.schema_version, 1);
        assert_int_equal(r.info.objects, 1);
        expect_good(w);
        restore_whole(w);
        assert_true(storage_has_object(w->restored, is.sha256));
        OK(catalog_counts(f->c, NULL, &counts, &f->e));
        assert_int_equal(keep_backup_refers(w->to.url, NULL, &is.sha256, 1, &(bool){false}, &f->e), 0);
}

static void a_damaged_catalog_is_not_backed_up(void **state)
{
        struct world *w = *state;
        struct backup_created r;
        struct stat st;
        char path[128];

        ingest(w, w->f.a, "file", 1, KIND_FILE);
        sql(w, "PRAGMA foreign_keys = OFF; DELETE FROM object");
        assert_int_equal(create(w, &r), -1);
        assert_int_equal(w->e.code, ERR_CORRUPT);
        assert_non_null(strstr(w->e.msg, "the catalog is damaged"));
        snprintf(path, sizeof path, "%s/backups", w->into);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(backup_list(w->into, NULL, say, w, &w->e), 0); /* calls nothing: there is none */
}
#endif

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, world_setup, world_teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(a_backup_among_writers_is_one_moment),
                TEST(what_was_leased_is_ready),
                TEST(what_is_purged_meanwhile_costs_a_new_snapshot),
                TEST(an_orphan_may_go_meanwhile),
                TEST(what_is_lost_meanwhile_makes_it_incomplete),
                TEST(what_comes_late_is_waited_for),
                TEST(writers_exclude_each_other_and_removers_readers),
#ifndef SUITE_POSTGRES
                TEST(an_old_catalog_is_kept_as_it_is),
                TEST(a_damaged_catalog_is_not_backed_up),
#endif
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
