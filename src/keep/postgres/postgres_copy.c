/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writing half of a copy. Each batch is one transaction, which also stores the number of rows copied so far:
 * after any interruption the next run knows exactly where to continue.
 */
#include "keep/keep_copy_priv.h"
#include "keep/keep_catalog_tables.h"
#include "keep/postgres/postgres_copy_priv.h"

#include <stdio.h>

/* ---- remembering -------------------------------------------------------------------------- */

static const char begin_sql[] =
        "BEGIN;"
        "CREATE TABLE IF NOT EXISTS catalog_copy (one boolean PRIMARY KEY DEFAULT true CHECK (one), origin bigint NOT "
        "NULL, source bytea NOT NULL, begun bigint NOT NULL, finished bigint NOT NULL DEFAULT 0);"
        "CREATE TABLE IF NOT EXISTS catalog_copy_table (name text PRIMARY KEY, copied bigint NOT NULL);";

/* Deletes the rows that a server started only for a trial leaves behind; nothing refers to them. */
static int forget_trial(struct copy_target *t, struct err *e)
{
        char sql[96];

        for (const struct table *x = catalog_tables; x->name; x++) {
                int rc = x->flags & TABLE_TRIED ? pg_table_exists(t->db, x->name, e) : 0;
                snprintf(sql, sizeof sql, "DELETE FROM %s", x->name);
                if (rc < 0 || (rc > 0 && pg_exec(t->db, sql, e)))
                        return -1;
        }
        return 0;
}

static int remember_origin(struct copy_target *t, int64_t origin, const struct sha256 *source, struct err *e)
{
        if (pg_exec(t->db, begin_sql, e) || forget_trial(t, e) ||
            db_run(t->db, e, "INSERT INTO catalog_copy (origin, source, begun) VALUES (?, ?, " DB_NOW ")", "lh", origin,
                   source))
                return -1;
        return pg_exec(t->db, "COMMIT", e);
}

int copy_target_begin(struct copy_target *t, int version, int64_t origin, const struct sha256 *source, struct err *e)
{
        struct copy_found found;

        if (pg_migrate_to(t->db, version, e) || copy_target_look(t, &found, e))
                return -1;
        return found.begun ? 0 : remember_origin(t, origin, source, e);
}

int copy_target_copied(struct copy_target *t, const struct copy_table *table, uint64_t *rows, struct err *e)
{
        int64_t n = 0;

        if (db_int(t->db, e, &n, "SELECT copied FROM catalog_copy_table WHERE name = ?", "t", table->name) < 0)
                return -1;
        *rows = (uint64_t)n;
        return 0;
}

/* ---- batches ---------------------------------------------------------------------------------- */

/* Reports the server's own message, which names the column and mostly the value. */
static int copy_refused(struct copy_target *t, const struct copy_table *table, PGresult *res, struct err *e)
{
        const char *text = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY) : NULL;
        const char *detail = res ? PQresultErrorField(res, PG_DIAG_MESSAGE_DETAIL) : NULL;
        char words[200] = "";
        struct err why;

        if (text)
                snprintf(words, sizeof words, "%s%s%s", text, detail ? ": " : "", or_empty(detail));
        pg_fail(t->db, res, &why);
        return err_set(e, why.code, "the table %s: %s", table->name, t->conn->broken || !*words ? why.msg : words);
}

int copy_target_batch(struct copy_target *t, const struct copy_table *table, struct err *e)
{
        char sql[1024];
        PGresult *res;

        if (pg_exec(t->db, "BEGIN", e))
                return -1;
        snprintf(sql, sizeof sql, "COPY %s (%s) FROM STDIN (FORMAT binary)", table->name, table->columns);
        res = PQexec(t->conn->h, sql);
        if (PQresultStatus(res) != PGRES_COPY_IN)
                return copy_refused(t, table, res, e);
        PQclear(res);
        return copy_target_put(t, COPY_HEADER, e);
}

int copy_target_put(struct copy_target *t, struct span tuples, struct err *e)
{
        if (tuples.n == 0 || PQputCopyData(t->conn->h, tuples.p, (int)tuples.n) == 1)
                return 0;
        return pg_fail(t->db, PQgetResult(t->conn->h), e);
}

int copy_target_commit(struct copy_target *t, const struct copy_table *table, uint64_t rows, struct err *e)
{
        int fault = FAULT("catalog.copy");
        PGresult *res;

        if (fault)
                return err_errno(e, fault, "the table %s", table->name);
        if (copy_target_put(t, COPY_TRAILER, e))
                return -1;
        if (PQputCopyEnd(t->conn->h, NULL) != 1)
                return pg_fail(t->db, PQgetResult(t->conn->h), e);
        res = PQgetResult(t->conn->h);
        if (PQresultStatus(res) != PGRES_COMMAND_OK)
                return copy_refused(t, table, res, e);
        PQclear(res);
        PQclear(PQgetResult(t->conn->h)); /* NULL: the command is over */
        if (db_run(t->db, e,
                   "INSERT INTO catalog_copy_table (name, copied) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET "
                   "copied = excluded.copied",
                   "tl", table->name, (int64_t)rows))
                return -1;
        return pg_exec(t->db, "COMMIT", e);
}

/* ---- what follows from the rows ------------------------------------------------------------------ */

static int next_assets(struct copy_target *t, unsigned n, int64_t *assets, uint64_t *found, struct err *e)
{
        struct rows *s = db_query(t->db, e,
                                  "SELECT n FROM asset WHERE n > (SELECT coalesce(max(n), 0) FROM asset_text) ORDER "
                                  "BY n LIMIT ?",
                                  "l", (int64_t)n);
        int rc = -1;

        while (s && (rc = db_step(t->db, s, e)) > 0)
                assets[(*found)++] = col_i64(s, 0);
        return rc;
}

static int part_words(struct copy_target *t, unsigned max, uint64_t *made, struct err *e)
{
        int rc = 1;

        for (unsigned i = 0; i < max && rc > 0; i++) {
                rc = pg_part_words(t->db, e);
                *made += rc > 0;
        }
        return rc < 0 ? -1 : 0;
}

int copy_target_text(struct copy_target *t, unsigned n, uint64_t *made, struct err *e)
{
        int64_t *assets = mem_alloc(n * sizeof *assets);
        int rc;

        *made = 0;
        if (!assets)
                return err_oom(e);
        rc = pg_exec(t->db, "BEGIN", e) ? -1 : next_assets(t, n, assets, made, e);
        for (uint64_t i = 0; i < *made && rc == 0; i++) {
                struct arena *a = arena_new(16 << 20);
                rc = a ? pg_text_put(t->db, assets[i], a, e) : err_oom(e);
                arena_free(a);
        }
        if (rc == 0)
                rc = part_words(t, n, made, e);
        if (rc == 0)
                rc = pg_exec(t->db, "COMMIT", e);
        mem_free(assets);
        return rc;
}

/* Counted as the catalog counts: kind 4 is the trash, -1 are objects, -2 waiting tasks. */
static const char counters_sql[] =
        "BEGIN;"
        "DELETE FROM counter;"
        "INSERT INTO counter (owner, kind, status, shard, count, bytes) "
        "SELECT owner, kind, CASE WHEN trashed > 0 THEN 4 ELSE status END, 0, count(*), sum(size) FROM asset GROUP BY "
        "1, 2, 3 "
        "UNION ALL SELECT '', -1, 0, 0, count(*), coalesce(sum(size), 0) FROM object "
        "UNION ALL SELECT '', -2, 0, 0, count(*), 0 FROM task WHERE state IN (0, 1) AND purpose = 0;"
        /* The sidecars may be out of date. */
        "INSERT INTO sidecar_mark (kind, id, at, change) SELECT 0, id, " DB_NOW ", 0 FROM asset "
        "UNION ALL SELECT 1, id, " DB_NOW ", 0 FROM cluster "
        "UNION ALL SELECT 2, '00000000-0000-0000-0000-000000000000', " DB_NOW ", 0 FROM api_key HAVING count(*) > 0 "
        "ON CONFLICT (kind, id) DO NOTHING;";

/* Each identity column continues after its largest value. */
static const char sequences_sql[] =
        "DO $$ DECLARE c record; BEGIN FOR c IN SELECT table_name AS t, column_name AS n FROM "
        "information_schema.columns WHERE table_schema = current_schema() AND is_identity = 'YES' LOOP EXECUTE "
        "format('SELECT setval(pg_get_serial_sequence(%L, %L), (SELECT coalesce(max(%I), 0) + 1 FROM %I), false)', "
        "quote_ident(c.t), c.n, c.n, c.t); END LOOP; END $$;"
        "COMMIT; ANALYZE";

int copy_target_settle(struct copy_target *t, struct err *e)
{
        return pg_exec(t->db, counters_sql, e) ? -1 : pg_exec(t->db, sequences_sql, e);
}

int copy_target_finish(struct copy_target *t, struct err *e)
{
        return pg_exec(t->db, "UPDATE catalog_copy SET finished = " DB_NOW, e);
}

/* ---- reading back ------------------------------------------------------------------------------------ */

static int copied_out(struct copy_target *t, const struct copy_table *table, uint64_t *rows, struct err *e)
{
        PGresult *res = PQgetResult(t->conn->h);

        if (PQresultStatus(res) != PGRES_COMMAND_OK || !span_u64(span_of(PQcmdTuples(res)), rows))
                return copy_refused(t, table, res, e);
        PQclear(res);
        PQclear(PQgetResult(t->conn->h)); /* NULL: the command is over */
        return 0;
}

int copy_target_read(struct copy_target *t, const struct copy_table *table, copy_piece_fn *fn, void *ctx,
                     uint64_t *rows, struct err *e)
{
        char sql[1024], *piece;
        PGresult *res;
        int n;

        snprintf(sql, sizeof sql, "COPY (SELECT %s FROM %s ORDER BY %s) TO STDOUT (FORMAT binary)", table->columns,
                 table->name, table->order);
        res = PQexec(t->conn->h, sql);
        if (PQresultStatus(res) != PGRES_COPY_OUT)
                return copy_refused(t, table, res, e);
        PQclear(res);
        while ((n = PQgetCopyData(t->conn->h, &piece, 0)) > 0) {
                fn(ctx, (struct span){piece, (size_t)n});
                PQfreemem(piece);
        }
        return n == -1 ? copied_out(t, table, rows, e) : pg_fail(t->db, PQgetResult(t->conn->h), e);
}

static uint64_t text_number(const PGresult *res, int row, int column)
{
        uint64_t n = 0;

        return span_u64(span_of(PQgetvalue(res, row, column)), &n) ? n : 0;
}

int copy_target_groups(struct copy_target *t, const char *sql, copy_group_fn *fn, void *ctx, struct err *e)
{
        PGresult *res = PQexec(t->conn->h, sql);
        int rc = 0;

        if (PQresultStatus(res) != PGRES_TUPLES_OK)
                return pg_fail(t->db, res, e);
        for (int i = 0; i < PQntuples(res) && rc == 0; i++)
                rc = fn(ctx, PQgetvalue(res, i, 0), PQgetvalue(res, i, 1), text_number(res, i, 2),
                        text_number(res, i, 3), e);
        PQclear(res);
        return rc;
}
