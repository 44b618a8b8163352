/* SPDX-License-Identifier: Apache-2.0 */
/* What a backup holds is one moment of the catalog, with every object of it, whatever goes on meanwhile. */
#include "admin/backup.h"
#include "catalog/catalog_priv.h"
#include "contract/catalog_backend.h"

#include <ftw.h>
#include <sys/stat.h>

struct world {
        struct fix f, to; /* to.c is NULL until it was restored */
        struct storage *storage, *restored;
        char dir[64], objects[80], target[80], into[80]; /* a folder; in it: storage, storage to restore to, backups */
        struct err e;
        void (*on_object)(struct world *w); /* called while objects are copied, once */
        struct id victim;
        char said[4096];
};

static struct storage *open_at(const char *path, bool read_only, struct err *e)
{
        const struct storage_opts o = {.url = "fs://", .path = path, .read_only = read_only};
        struct storage *s = NULL;

        return storage_open(&o, &s, e) == 0 ? s : NULL;
}

static void set_up_fix(struct fix *f)
{
        suite_backend.make(f->url, sizeof(f->url), f->data, sizeof(f->data));
        f->opts = (struct catalog_opts){.url = f->url,
                                        .data_path = f->data,
                                        .idempotency_ttl = dur_s(3600),
                                        .phash_distance = 5,
                                        .queue_max_depth = 1000000};
        f->a = arena_new(256 << 20);
}

static int world_setup(void **state)
{
        struct world *w = mem_calloc(1, sizeof(*w));

        assert_non_null(w);
        assert_int_equal(metrics_init(), 0);
        snprintf(w->dir, sizeof(w->dir), "/tmp/fa-backup-XXXXXX");
        assert_non_null(mkdtemp(w->dir));
        snprintf(w->objects, sizeof(w->objects), "%s/storage", w->dir);
        snprintf(w->target, sizeof(w->target), "%s/restored", w->dir);
        snprintf(w->into, sizeof(w->into), "%s/backups", w->dir);
        set_up_fix(&w->f);
        set_up_fix(&w->to);
        fix_open(&w->f);
        fix_warm(&w->f, MODEL);
        w->storage = open_at(w->objects, false, &w->e);
        assert_non_null(w->storage);
        *state = w;
        return 0;
}

static int rm(const char *path, const struct stat *st, int type, struct FTW *w)
{
        (void)st;
        (void)type;
        (void)w;
        return remove(path);
}

static int world_teardown(void **state)
{
        struct world *w = *state;

        catalog_close(w->f.c);
        catalog_close(w->to.c);
        storage_close(w->storage);
        storage_close(w->restored);
        arena_free(w->f.a);
        arena_free(w->to.a);
        suite_backend.drop(w->f.url, w->f.data);
        suite_backend.drop(w->to.url, w->to.data);
        nftw(w->dir, rm, 16, FTW_DEPTH | FTW_PHYS);
        mem_free(w);
        return 0;
}

/* ---- content ------------------------------------------------------------------------------- */

static struct stored put_object(struct world *w, const char *bytes)
{
        struct storage_put *p = NULL;
        struct stored is;
        struct err e;

        assert_int_equal(storage_put_begin(w->storage, &p, &e), 0);
        assert_int_equal(storage_put_write(p, bytes, strlen(bytes), &e), 0);
        assert_int_equal(storage_put_seal(p, &is, &e), 0);
        assert_int_equal(storage_put_commit(p, &is, &e), 0);
        storage_put_end(p);
        return is;
}

/* A job of n files, of a thread of its own: its arena is not the fixture's. */
static struct id ingest(struct world *w, struct arena *a, const char *prefix, unsigned n, enum asset_kind kind)
{
        struct new_asset assets[4];
        struct new_job j;
        struct job_receipt r;
        struct err e;
        char bytes[64];

        for (unsigned i = 0; i < n; i++) {
                snprintf(bytes, sizeof(bytes), "%s %u", prefix, i);
                struct stored is = put_object(w, bytes);
                assets[i] = new_file("file", kind, kind == KIND_MEDIA);
                assets[i].sha256 = is.sha256;
                assets[i].size = is.size;
        }
        j = new_job_of("ann", assets, n);
        if (catalog_ingest(w->f.c, &j, a, &r, &e) != 0)
                fail_msg("ingest: %s", e.msg);
        return assets[0].id;
}

/* ---- backing up and restoring ---------------------------------------------------------------- */

static void say(void *ctx, const char *what)
{
        struct world *w = ctx;
        size_t n = strlen(w->said);

        snprintf(w->said + n, sizeof(w->said) - n, "%s\n", what);
}

static void progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
        struct world *w = ctx;
        void (*fn)(struct world *) = w->on_object;

        (void)done;
        (void)total;
        if (fn && strcmp(what, "copying objects") == 0) {
                w->on_object = NULL;
                fn(w);
        }
}

static int create(struct world *w, struct backup_created *out)
{
        const struct backup_create_opts o = {.dir = w->into,
                                             .catalog_url = w->f.url,
                                             .program = "test",
                                             .storage = w->storage,
                                             .threads = 1,
                                             .progress = progress,
                                             .say = say,
                                             .ctx = w};

        w->said[0] = '\0';
        return backup_create(&o, out, &w->e);
}

static struct backup_created create_whole(struct world *w)
{
        struct backup_created r;

        if (create(w, &r) < 0)
                fail_msg("create: %s", w->e.msg);
        assert_true(r.info.complete);
        return r;
}

static void expect_good(struct world *w)
{
        const struct backup_verify_opts o = {.dir = w->into, .threads = 2, .say = say, .ctx = w};
        struct backup_verified r;

        w->said[0] = '\0';
        if (backup_verify(&o, &r, &w->e) < 0)
                fail_msg("verify: %s", w->e.msg);
        if (r.wrong || r.objects.bad)
                fail_msg("verify: %s", w->said);
}

static int open_target(void *ctx, bool read_only, struct storage **out, struct err *e)
{
        struct world *w = ctx;

        *out = open_at(w->target, read_only, e);
        return *out ? 0 : -1;
}

static int restore(struct world *w, struct backup_restored *out)
{
        const struct backup_restore_opts o = {.dir = w->into,
                                              .catalog_url = w->to.url,
                                              .data_path = w->to.data,
                                              .open_storage = open_target,
                                              .threads = 2,
                                              .say = say,
                                              .ctx = w};

        return backup_restore(&o, out, &w->e);
}

static void restore_whole(struct world *w)
{
        struct backup_restored r;

        if (restore(w, &r) < 0)
                fail_msg("restore: %s", w->e.msg);
        assert_int_equal(r.objects.bad, 0);
        w->restored = open_at(w->target, true, &w->e);
        assert_non_null(w->restored);
        fix_open(&w->to);
        fix_warm(&w->to, MODEL);
}

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
                snprintf(prefix, sizeof(prefix), "writer %u job %u", x->number, x->written);
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
                struct task_result r = {.task = &t, .metadata = "{}", .model_id = MODEL, .vector = v, .dim = DIM};
                r.placement.kind = PLACE_UNSORTED;
                unit_vector(x->written, v);
                if (catalog_task_claim(x->w->f.c, "w", dur_s(60), ALL, a, &t, &e) == 1 && x->written % 5)
                        assert_int_equal(catalog_task_complete(x->w->f.c, &r, &e), 0);
        }
        arena_free(a);
        return NULL;
}

/* Jobs of three, none of them half; every asset's bytes there; nothing leased; the sums agree with the rows. */
static void expect_consistent(struct world *w)
{
        struct fix *f = &w->to;
        struct asset_filter all = {0};
        struct asset_page p;
        struct catalog_counts counts;
        struct job_view job;
        const char *cursor = NULL;
        uint64_t n = 0;

        do {
                OK(catalog_asset_list(f->c, &all, SORT_CREATED_ASC, 500, cursor, f->a, &p, &f->e));
                for (size_t i = 0; i < p.n; i++, n++) {
                        assert_true(storage_has_object(w->restored, p.assets[i].sha256));
                        assert_int_not_equal(p.assets[i].status, ASSET_PROCESSING);
                        OK(catalog_job_get(f->c, p.assets[i].job_id, NULL, f->a, &job, &f->e));
                        assert_int_equal(job.total, 3);
                        assert_int_equal(job.queued + job.done, 3);
                        assert_int_equal(job.nassets, 3);
                }
                cursor = p.next;
        } while (cursor);
        assert_int_equal(p.total, n);
        OK(catalog_counts(f->c, NULL, &counts, &f->e));
        assert_int_equal(counts.objects, n);
        assert_true(n > 0);
}

static void a_backup_among_writers_is_one_moment(void **state)
{
        struct world *w = *state;
        struct writer writers[4] = {{.w = w, .number = 0}, {.w = w, .number = 1}, {.w = w, .number = 2}, {.w = w}};
        struct backup_created r = {0};

        for (int i = 0; i < 4; i++)
                assert_int_equal(thread_start(&writers[i].thread, "writer", i < 3 ? write_on : work_on, &writers[i]), 0);
        for (int i = 0; i < 4; i++) {
                sleep_for(dur_ms(60));
                r = create_whole(w);
                assert_int_equal(r.info.gone, 0);
        }
        for (int i = 0; i < 4; i++) {
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_backup_among_writers_is_one_moment, world_setup, world_teardown),
                cmocka_unit_test_setup_teardown(what_was_leased_is_ready, world_setup, world_teardown),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
