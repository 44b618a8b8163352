/* SPDX-License-Identifier: Apache-2.0 */
/* What a backup holds is one moment of the catalog, with every object of it, whatever goes on meanwhile. */
#include "admin/backup.h"
#include "catalog/catalog_priv.h"
#include "contract/catalog_backend.h"

#include <fcntl.h>
#include <ftw.h>
#include <sys/file.h>
#include <sys/stat.h>

struct world {
        struct fix f, to; /* to.c is NULL until it was restored */
        struct storage *storage, *restored;
        char dir[64], objects[80], target[80], into[80]; /* a folder; in it: storage, storage to restore to, backups */
        struct err e;
        void (*on_object)(struct world *w); /* called while objects are copied, once */
        void (*on_wait)(struct world *w);   /* called while objects are waited for, once */
        struct dur patience;
        unsigned keep;
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
        bool copying = strcmp(what, "copying objects") == 0, waiting = strcmp(what, "waiting for objects") == 0;
        void (*fn)(struct world *) = copying ? w->on_object : waiting ? w->on_wait : NULL;

        (void)done;
        (void)total;
        if (!fn)
                return;
        *(copying ? &w->on_object : &w->on_wait) = NULL;
        fn(w);
}

static int create(struct world *w, struct backup_created *out)
{
        const struct backup_create_opts o = {.dir = w->into,
                                             .catalog_url = w->f.url,
                                             .program = "test",
                                             .storage = w->storage,
                                             .threads = 1,
                                             .patience = w->patience,
                                             .keep = w->keep,
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
        OK(catalog_gc_begin(f->c, dur_ms(1), dur_s(60), 10, f->a, &doomed, &n, &f->e));
        assert_int_equal(n, 1);
        assert_int_equal(storage_remove_object(w->storage, doomed->sha256, &f->e), 0);
        OK(catalog_gc_end(f->c, doomed, n, &f->e));
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
                snprintf(prefix, sizeof(prefix), "file %d", i);
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
                if (memcmp(p.assets[i].sha256.b, p.assets[last].sha256.b, sizeof(p.assets[i].sha256)) > 0)
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
                snprintf(bytes, sizeof(bytes), "file %d 0", i);
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

/* ---- restoring ------------------------------------------------------------------------------------------ */

static void a_place_with_content_is_refused(void **state)
{
        struct world *w = *state;
        struct backup_restored r;

        ingest(w, w->f.a, "file", 1, KIND_FILE);
        create_whole(w);
        fix_open(&w->to);
        put_file(&w->to, "bob", "foreign", KIND_FILE);
        catalog_close(w->to.c);
        w->to.c = NULL;
        backend_quiet(w->to.url);
        assert_int_equal(restore(w, &r), -1);
        assert_int_equal(w->e.code, ERR_CONFLICT);
        assert_non_null(strstr(w->e.msg, strcmp(ENGINE, "sqlite") == 0 ? "is there" : "an empty database is needed"));
        fix_open(&w->to);
        expect_good(w);
}

static void a_storage_in_use_is_refused(void **state)
{
        struct world *w = *state;
        struct backup_restored r;
        struct storage *s;

        ingest(w, w->f.a, "file", 1, KIND_FILE);
        create_whole(w);
        s = open_at(w->target, false, &w->e);
        assert_non_null(s);
        storage_close(s);
        assert_int_equal(restore(w, &r), -1);
        assert_non_null(strstr(w->e.msg, "--reuse-objects"));
}

static int interrupted(struct world *w, const char *spec)
{
        struct backup_restored r;
        int rc;

        setenv("FILE_ALLOCATOR_FAULT", spec, 1);
        fault_init();
        rc = restore(w, &r);
        unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
        return rc;
}

static void cut_off_anywhere_it_goes_on(void **state)
{
        static const char *const points[] = {"storage.write=eio@2", "storage.link=eio@1", "catalog.copy=eio@1",
                                             "catalog.copy=eio@3",  "catalog.copy=eio@9", "restore.catalog=eio@1"};
        struct world *w = *state;
        unsigned cuts = 0;

        ingest(w, w->f.a, "first", 3, KIND_MEDIA);
        ingest(w, w->f.a, "second", 3, KIND_FILE);
        create_whole(w);
        for (size_t i = 0; i < COUNT_OF(points); i++) {
                if (interrupted(w, points[i]) == 0)
                        break;
                cuts++;
                assert_int_equal(w->e.code, ERR_IO);
                assert_int_equal(backup_restore_check(w->to.data, &w->e), -1);
        }
        assert_true(cuts >= 2);
        restore_whole(w);
        assert_int_equal(backup_restore_check(w->to.data, &w->e), 0);
        expect_consistent(w);
}

/* ---- who holds the folder ---- */

static int hold(struct world *w, const char *name, int how)
{
        char path[128];
        int fd;

        snprintf(path, sizeof(path), "%s/%s", w->into, name);
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
        const struct catalog_migration *first = catalog_migrations_sqlite;
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
        snprintf(insert, sizeof(insert),
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
        assert_int_equal(catalog_backup_refers(w->to.url, NULL, &is.sha256, 1, &(bool){false}, &f->e), 0);
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
        snprintf(path, sizeof(path), "%s/backups", w->into);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(backup_list(w->into, NULL, say, w, &w->e), 0); /* calls nothing: there is none */
}
#else
static void put_bytes(void *ctx, const char *p, size_t n)
{
        assert_int_equal(fwrite(p, 1, n, ctx), n);
}

/* A table as COPY gives it, into a file. */
static void copy_out(PGconn *h, const char *sql, const char *path)
{
        PGresult *res = PQexec(h, sql);
        FILE *out = fopen(path, "w");
        char *piece;
        int n;

        assert_non_null(out);
        if (PQresultStatus(res) != PGRES_COPY_OUT)
                fail_msg("%s: %s", sql, PQerrorMessage(h));
        PQclear(res);
        while ((n = PQgetCopyData(h, &piece, 0)) > 0) {
                put_bytes(out, piece, (size_t)n);
                PQfreemem(piece);
        }
        assert_int_equal(n, -1);
        PQclear(PQgetResult(h));
        assert_int_equal(fclose(out), 0);
}

/* Those of the columns that were there in a database of an older version, in their order; "" if the table was not. */
static void columns_then(PGconn *old, const struct catalog_backup_table *now, char *out, size_t max)
{
        char sql[1024];
        PGresult *res;

        snprintf(sql, sizeof(sql),
                 "SELECT coalesce(string_agg(c, ', ' ORDER BY n), '') FROM unnest(string_to_array('%s', ', ')) WITH "
                 "ORDINALITY AS x (c, n) WHERE EXISTS (SELECT 1 FROM pg_attribute WHERE attrelid = to_regclass('%s') "
                 "AND "
                 "attname = c)",
                 now->columns, now->name);
        res = PQexec(old, sql);
        assert_int_equal(PQresultStatus(res), PGRES_TUPLES_OK);
        snprintf(out, max, "%s", PQgetvalue(res, 0, 0));
        PQclear(res);
}

static int take_nothing(void *ctx, struct sha256 key, uint64_t size, enum catalog_backup_use use, struct err *e)
{
        (void)ctx, (void)key, (void)size, (void)use, (void)e;
        return 0;
}

static PGconn *connect_to(const char *url)
{
        PGconn *h = PQconnectdb(url);

        assert_int_equal(PQstatus(h), CONNECTION_OK);
        return h;
}

/* What a program of version 2 would have written: its tables, its columns. */
static void make_old(struct world *w, struct catalog_backup *b, const char *dir, PGconn *old)
{
        PGconn *h = connect_to(w->f.url);
        struct catalog_backup was = *b;
        char sql[1024], path[256];

        b->ntables = 0;
        b->schema_version = 2;
        for (size_t i = 0; i < was.ntables; i++) {
                struct catalog_backup_table *t = &b->tables[b->ntables];
                struct err e;
                uint64_t size;
                *t = was.tables[i];
                columns_then(old, &was.tables[i], t->columns, sizeof(t->columns));
                if (!t->columns[0])
                        continue;
                b->ntables++;
                snprintf(path, sizeof(path), "%s/%s" CATALOG_BACKUP_SUFFIX, dir, t->name);
                snprintf(sql, sizeof(sql), "COPY (SELECT %s FROM %s ORDER BY %s) TO STDOUT (FORMAT binary)", t->columns,
                         t->name, t->order);
                copy_out(h, sql, path);
                assert_int_equal(catalog_backup_hash(path, &t->hash, &size, &e), 0);
        }
        PQfinish(h);
}

static void an_old_backup_is_brought_up_to_date(void **state)
{
        struct world *w = *state;
        struct fix *f = &w->to;
        struct fix scratch = {0};
        struct id id = ingest(w, w->f.a, "old", 1, KIND_FILE);
        const struct catalog_backup_opts take = {.url = w->f.url, .object = take_nothing};
        struct catalog_backup *b = mem_calloc(1, sizeof(*b));
        struct catalog_restore_opts put = {.url = w->to.url, .backup = b, .dir = w->into, .batch_bytes = 100};
        struct asset_page p;
        PGconn *old;

        assert_non_null(b);
        assert_int_equal(mkdir(w->into, 0700), 0);
        if (catalog_backup_take(&take, w->into, b, &w->e) < 0)
                fail_msg("take: %s", w->e.msg);
        set_up_fix(&scratch);
        pgtest_exec(pgtest_database(scratch.url), "CREATE EXTENSION IF NOT EXISTS vector");
        for (const struct catalog_migration *m = catalog_migrations_postgres; m->version && m->version <= 2; m++)
                pgtest_exec(pgtest_database(scratch.url), m->sql);
        old = connect_to(scratch.url);
        make_old(w, b, w->into, old);
        PQfinish(old);
        assert_true(b->ntables > 15);
        if (catalog_restore(&put, &w->e) < 0)
                fail_msg("restore: %s", w->e.msg);
        fix_open(f);
        assert_string_equal(get(f, id).filename, "file");
        OK(catalog_asset_list(f->c, &(struct asset_filter){0}, SORT_NAME_ASC, 10, NULL, f->a, &p, &f->e));
        assert_int_equal(p.total, 1);
        put_file(f, "ann", "new", KIND_FILE);
        arena_free(scratch.a);
        suite_backend.drop(scratch.url, scratch.data);
        mem_free(b);
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
                TEST(a_place_with_content_is_refused),
                TEST(a_storage_in_use_is_refused),
                TEST(cut_off_anywhere_it_goes_on),
                TEST(writers_exclude_each_other_and_removers_readers),
#ifndef SUITE_POSTGRES
                TEST(an_old_catalog_is_kept_as_it_is),
                TEST(a_damaged_catalog_is_not_backed_up),
#else
                TEST(an_old_backup_is_brought_up_to_date),
#endif
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
