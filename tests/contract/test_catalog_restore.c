/* SPDX-License-Identifier: Apache-2.0 */
/* A backup is restored whole or not at all, never over what is there; an old one is brought up to date. */
#include "contract/backup_world.h"

#include "catalog/catalog_rules.h"
#include "keep/keep_backup.h"

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

/* ---- old ones ---- */

#ifdef SUITE_POSTGRES
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
static void columns_then(PGconn *old, const struct keep_backup_table *now, char *out, size_t max)
{
        char sql[1024];
        PGresult *res;

        snprintf(sql, sizeof sql,
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

static int take_nothing(void *ctx, const struct keep_backup_object *o, struct err *e)
{
        (void)ctx, (void)o, (void)e;
        return 0;
}

static PGconn *connect_to(const char *url)
{
        PGconn *h = PQconnectdb(url);

        assert_int_equal(PQstatus(h), CONNECTION_OK);
        return h;
}

/* What a program of version 2 would have written: its tables, its columns. */
static void make_old(struct world *w, struct keep_backup *b, const char *dir, PGconn *old)
{
        PGconn *h = connect_to(w->f.url);
        struct keep_backup was = *b;
        char sql[1024], path[256];

        b->ntables = 0;
        b->schema_version = 2;
        for (size_t i = 0; i < was.ntables; i++) {
                struct keep_backup_table *t = &b->tables[b->ntables];
                struct err e;
                uint64_t size;
                *t = was.tables[i];
                columns_then(old, &was.tables[i], t->columns, sizeof t->columns);
                if (!t->columns[0])
                        continue;
                b->ntables++;
                snprintf(path, sizeof path, "%s/%s" KEEP_BACKUP_SUFFIX, dir, t->name);
                snprintf(sql, sizeof sql, "COPY (SELECT %s FROM %s ORDER BY %s) TO STDOUT (FORMAT binary)", t->columns,
                         t->name, t->order);
                if (strcmp(t->name, "embedding") == 0) { /* its first column has another name by now */
                        snprintf(sql, sizeof sql,
                                 "COPY (SELECT part, %s FROM embedding ORDER BY part, model) TO STDOUT (FORMAT binary)",
                                 t->columns);
                        memmove(t->columns + 7, t->columns, strlen(t->columns) + 1);
                        memcpy(t->columns, "asset, ", 7);
                        snprintf(t->order, sizeof t->order, "asset, model");
                }
                copy_out(h, sql, path);
                assert_int_equal(keep_backup_hash(path, &t->hash, &size, &e), 0);
        }
        PQfinish(h);
}

static void an_old_backup_is_brought_up_to_date(void **state)
{
        struct world *w = *state;
        struct fix *f = &w->to;
        struct fix scratch = {0};
        struct id id = ingest(w, w->f.a, "old", 1, KIND_FILE);
        const struct keep_backup_opts take = {.url = w->f.url, .object = take_nothing};
        struct keep_backup *b = mem_calloc(1, sizeof *b);
        struct keep_restore_opts put = {.url = w->to.url, .backup = b, .dir = w->into, .batch_bytes = 100};
        struct asset_page p;
        PGconn *old;

        assert_non_null(b);
        assert_int_equal(mkdir(w->into, 0700), 0);
        if (keep_backup_take(&take, w->into, b, &w->e) < 0)
                fail_msg("take: %s", w->e.msg);
        fix_make(&scratch);
        pgtest_exec(pgtest_database(scratch.url), "CREATE EXTENSION IF NOT EXISTS vector");
        for (const struct db_migration *m = catalog_migrations_postgres; m->version && m->version <= 2; m++)
                pgtest_exec(pgtest_database(scratch.url), m->sql);
        old = connect_to(scratch.url);
        make_old(w, b, w->into, old);
        PQfinish(old);
        assert_true(b->ntables > 15);
        if (keep_restore(&put, &w->e) < 0)
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
                TEST(a_place_with_content_is_refused),
                TEST(a_storage_in_use_is_refused),
                TEST(cut_off_anywhere_it_goes_on),
#ifdef SUITE_POSTGRES
                TEST(an_old_backup_is_brought_up_to_date),
#endif
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
