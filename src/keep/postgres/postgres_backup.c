/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backs up a PostgreSQL catalog into files: in one REPEATABLE READ transaction each table is copied out in binary, so
 * that all files show the same snapshot whatever is written meanwhile. No tool of the server's version is needed.
 */
#include "keep/keep_backup_priv.h"
#include "keep/keep_copy_priv.h"
#include "keep/keep_catalog_tables.h"
#include "keep/postgres/postgres_copy_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SECONDS 10 /* timeout of one attempt to connect */
#define FETCH   "5000"

/* Copying a large table takes longer than a server's session timeouts may allow. */
#define SNAPSHOT                                                                                                       \
        "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0;"                \
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"

static struct pg_conn *login_source(const char *url, const char *password, struct err *e)
{
        char *plain = pg_plain_url(url);
        const struct pg_login l = {
                .url = plain, .password = password && *password ? password : NULL, .timeout = dur_s(SECONDS)};
        struct pg_conn *conn = NULL;

        if (plain)
                conn = pg_connect(&l, e);
        else
                err_oom(e);
        mem_free(plain);
        return conn;
}

/* ---- before the copy ------------------------------------------------------------------------ */

static int read_version(struct db *db, struct keep_backup *out, struct err *e)
{
        int newest = 0;
        char word[8];
        struct rows *s;

        for (const struct db_migration *m = catalog_migrations_postgres; m->version; m++)
                newest = m->version;
        if (pg_word(db, "SELECT to_regclass('schema_version') IS NOT NULL", word, sizeof word, e) < 0)
                return -1;
        if (*word != 't')
                return err_set(e, ERR_NOT_FOUND, "database %.80s holds no catalog", PQdb(pg_of(db)->h));
        s = db_query(db, e, "SELECT max(version), coalesce(min(at), 0) FROM schema_version", "");
        if (!s || db_step(db, s, e) < 0)
                return -1;
        out->schema_version = col_int(s, 0);
        out->origin = col_i64(s, 1);
        db_end(s);
        if (out->schema_version == newest)
                return 0;
        return err_set(e, ERR_CONFLICT, "the catalog has schema version %d and this program backs up %d: %s",
                       out->schema_version, newest,
                       out->schema_version > newest ? "use the program that serves it"
                                                    : "start the server once, which brings it up to date");
}

static int read_counts(struct db *db, struct keep_backup *out, struct err *e)
{
        struct rows *s = db_query(
                db, e,
                "SELECT (SELECT count(*) FROM asset WHERE trashed = 0), (SELECT count(*) FROM asset WHERE trashed > "
                "0), (SELECT count(*) FROM cluster), (SELECT count(*) FROM task WHERE state IN (0, 1)), (SELECT "
                "count(*) FROM task WHERE state = 3), (SELECT count(*) FROM api_key)",
                "");

        if (!s || db_step(db, s, e) <= 0)
                return -1;
        out->files = col_u64(s, 0);
        out->trash = col_u64(s, 1);
        out->folders = col_u64(s, 2);
        out->tasks = col_u64(s, 3);
        out->failed = col_u64(s, 4);
        out->keys = col_u64(s, 5);
        db_end(s);
        return 0;
}

/* ---- tables --------------------------------------------------------------------------------- */

struct sink {
        const struct keep_backup_opts *o;
        struct buf held;
        int fd;
        uint64_t rows;
        int rc;
        struct err e;
};

static void flush_sink(struct sink *k)
{
        int fault = FAULT("backup.catalog");

        if (k->rc == 0 && fault)
                k->rc = err_errno(&k->e, fault, "cannot write the catalog's copy");
        if (k->rc == 0)
                k->rc = fd_write_all(k->fd, k->held.p, k->held.n, &k->e);
        buf_reset(&k->held);
}

static void put_piece(void *ctx, struct span piece)
{
        struct sink *k = ctx;

        buf_put(&k->held, piece.p, piece.n);
        if (buf_failed(&k->held) && k->rc == 0)
                k->rc = err_oom(&k->e);
        else if (k->held.n >= (size_t)256 << 10)
                flush_sink(k);
        if (++k->rows % 1000 == 0 && k->o->progress)
                k->o->progress(k->o->ctx, "copying the catalog", k->rows, 0);
}

static int copy_table(struct copy_target *t, const struct copy_table *table, struct sink *k, const char *dir,
                      struct keep_backup *out, struct err *e)
{
        struct keep_backup_table *b = &out->tables[out->ntables++];
        char path[4096];
        int rc;

        assert(out->ntables <= KEEP_BACKUP_TABLES && strlen(table->columns) < sizeof b->columns);
        snprintf(b->name, sizeof b->name, "%s", table->name);
        snprintf(b->columns, sizeof b->columns, "%s", table->columns);
        snprintf(b->order, sizeof b->order, "%s", table->order);
        snprintf(path, sizeof path, "%s/%s" KEEP_BACKUP_SUFFIX, dir, table->name);
        k->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (k->fd < 0)
                return err_errno(e, errno, "cannot make %.160s", path);
        rc = copy_target_read(t, table, put_piece, k, &b->rows, e);
        if (rc == 0)
                flush_sink(k);
        if (rc == 0 && k->rc < 0) {
                *e = k->e;
                rc = -1;
        }
        if (rc == 0 && fsync(k->fd))
                rc = err_errno(e, errno, "cannot sync %.160s", path);
        fd_close(&k->fd);
        return rc;
}

static int copy_tables_out(struct copy_target *t, const struct keep_backup_opts *o, const char *dir,
                           struct keep_backup *out, struct err *e)
{
        struct copy_table tables[COPY_TABLES_MAX];
        size_t n = copy_tables_of(TABLE_BACKED_UP, tables);
        struct sink k = {.o = o, .fd = -1};
        int rc = 0;

        buf_init(&k.held, (size_t)1 << 31); /* one row and the bytes held before it */
        for (size_t i = 0; i < n && rc == 0; i++)
                rc = copy_table(t, &tables[i], &k, dir, out, e);
        buf_done(&k.held);
        return rc;
}

/* ---- objects ---------------------------------------------------------------------------------- */

static uint64_t binary_number(const PGresult *res, int row, int column)
{
        uint64_t v;

        memcpy(&v, PQgetvalue(res, row, column), sizeof v);
        return __builtin_bswap64(v);
}

static int tell_some(PGresult *res, const struct keep_backup_opts *o, struct err *e)
{
        int rc = 0, n = PQntuples(res);

        for (int i = 0; i < n && rc == 0; i++) {
                struct keep_backup_object one = {.size = binary_number(res, i, 1), .orphan = PQgetisnull(res, i, 2)};
                memcpy(&one.key, PQgetvalue(res, i, 0), sizeof one.key);
                one.products = PQgetvalue(res, i, 2); /* for NULL this is "" */
                rc = o->object(o->ctx, &one, e);
        }
        PQclear(res);
        return rc < 0 ? -1 : n;
}

static int tell_objects(struct db *db, const struct keep_backup_opts *o, struct err *e)
{
        int n = 1;

        if (pg_exec(db,
                    "DECLARE objects NO SCROLL CURSOR FOR SELECT " BACKUP_OBJECT_COLUMNS
                    " FROM object o ORDER BY o.sha256",
                    e))
                return -1;
        while (n > 0) {
                PGresult *res =
                        PQexecParams(pg_of(db)->h, "FETCH " FETCH " FROM objects", 0, NULL, NULL, NULL, NULL, 1);
                if (PQresultStatus(res) != PGRES_TUPLES_OK)
                        return pg_fail(db, res, e);
                n = tell_some(res, o, e);
        }
        return n;
}

static int take_backup(struct copy_target *t, const struct keep_backup_opts *o, const char *dir,
                       struct keep_backup *out, struct err *e)
{
        struct db *db = t->db;

        if (pg_exec(db, SNAPSHOT, e))
                return -1;
        out->taken = wall_now(); /* the next statement takes the snapshot */
        if (read_version(db, out, e) || pg_copy_check(db, e) || copy_tables_out(t, o, dir, out, e) ||
            read_counts(db, out, e) || tell_objects(db, o, e))
                return -1;
        return pg_exec(db, "COMMIT", e);
}

int pg_backup_take(const struct keep_backup_opts *o, const char *dir, struct keep_backup *out, struct err *e)
{
        struct copy_target t = {.conn = login_source(o->url, o->password, e)};
        int rc;

        out->engine = "postgresql";
        if (!t.conn)
                return -1;
        t.db = &t.conn->base;
        rc = take_backup(&t, o, dir, out, e);
        pg_disconnect(t.conn);
        return rc;
}

int pg_backup_refers(const char *url, const char *password, const struct sha256 *keys, size_t n, bool *yes,
                     struct err *e)
{
        struct pg_conn *conn = login_source(url, password, e);
        int64_t one;
        int rc = conn ? 0 : -1;

        for (size_t i = 0; i < n && rc >= 0; i++) {
                rc = db_int(&conn->base, e, &one, "SELECT 1 FROM asset WHERE sha256 = ? LIMIT 1", "h", &keys[i]);
                yes[i] = rc > 0;
        }
        pg_disconnect(conn);
        return rc < 0 ? -1 : 0;
}
