/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restores table files into an empty PostgreSQL database, by the same steps as a copy: the target stores which backup
 * it was begun from and how far the restore is, and no server accepts it before the end. A backup of an older version
 * is loaded into tables of that version, compared there, and then migrated.
 */
#include "keep/keep_backup_priv.h"
#include "keep/keep_copy_priv.h"
#include "keep/postgres/postgres_copy_priv.h"

#include <stdio.h>

#define BATCH_BYTES ((size_t)16 << 20)
#define PIECE       ((size_t)256 << 10)
#define ROW_MAX     ((size_t)1 << 30)
#define TEXTS       500
#define VERIFIED                                                                                                       \
        " verified" /* a row of catalog_copy_table beside those of the tables: all tables were equal to their files */

struct load {
        const struct keep_restore_opts *o;
        struct copy_target *t;
        uint64_t done, total;
};

static int newest_version(void)
{
        int newest = 0;

        for (const struct db_migration *m = catalog_migrations_postgres; m->version; m++)
                newest = m->version;
        return newest;
}

static void report_progress(struct load *l, const char *what)
{
        if (l->o->progress)
                l->o->progress(l->o->ctx, what, l->done, l->total);
}

/* One hash over the contents of all tables, which identifies this backup in the target. */
static int fingerprint_backup(const struct keep_backup *b, struct sha256 *out, struct err *e)
{
        struct sha256_ctx *sha = sha256_new();

        if (!sha)
                return err_oom(e);
        for (size_t i = 0; i < b->ntables; i++) {
                sha256_update(sha, b->tables[i].name, strlen(b->tables[i].name) + 1);
                sha256_update(sha, &b->tables[i].hash, sizeof b->tables[i].hash);
        }
        *out = sha256_final(sha);
        sha256_free(sha);
        return 0;
}

static struct copy_table as_copy_table(const struct keep_backup_table *b)
{
        struct copy_table t = {.name = b->name, .order = b->order};

        static_assert(sizeof t.columns == sizeof b->columns, "what a backup may say fits");
        memcpy(t.columns, b->columns, sizeof t.columns);
        return t;
}

/* ---- looking --------------------------------------------------------------------------------- */

/* The schema version in the database; 0 without tables. */
static int version_there(struct db *db, int *out, struct err *e)
{
        char word[24];
        uint64_t n = 0;

        *out = 0;
        if (pg_word(db, "SELECT to_regclass('schema_version') IS NOT NULL", word, sizeof word, e) < 0)
                return -1;
        if (*word != 't')
                return 0;
        if (pg_word(db, "SELECT coalesce(max(version), 0) FROM schema_version", word, sizeof word, e) < 0)
                return -1;
        *out = span_u64(span_of(word), &n) ? (int)n : 0;
        return 0;
}

static int look_at_target(struct copy_target *t, const struct keep_backup *b, enum keep_restore_state *out,
                          struct err *e)
{
        struct copy_found found;
        struct sha256 source;
        int version;

        if (b->schema_version > newest_version())
                return backup_too_new(b, newest_version(), e);
        if (copy_target_look(t, &found, e) || fingerprint_backup(b, &source, e) || version_there(t->db, &version, e))
                return -1;
        if (found.begun && (found.origin != b->origin || !sha256_eq(found.source, source)))
                return err_set(e, ERR_CONFLICT, "database %.80s holds %s of another source: an empty one is needed",
                               PQdb(t->conn->h), found.finished ? "a catalog" : "a copy that was begun");
        if (!found.begun && version > b->schema_version)
                return err_set(e, ERR_CONFLICT,
                               "database %.80s has empty tables of schema version %d already, and the backup is of %d: "
                               "recreate the database without tables",
                               PQdb(t->conn->h), version, b->schema_version);
        *out = found.finished ? RESTORE_DONE : found.begun ? RESTORE_BEGUN : RESTORE_EMPTY;
        return 0;
}

int pg_restore_look(const struct keep_restore_opts *o, enum keep_restore_state *out, struct err *e)
{
        struct copy_target *t = NULL;
        int rc = copy_target_open(o->url, o->password, &t, e);

        if (rc == 0)
                rc = look_at_target(t, o->backup, out, e);
        copy_target_close(t);
        return rc;
}

/* ---- loading ------------------------------------------------------------------------------------ */

/*
 * One transaction: loads rows until the batch is full. Returns 1 when there may be more, 0 when that was all, -1 on
 * error.
 */
static int load_batch(struct load *l, const struct copy_table *t, struct copy_file *f, uint64_t *rows, struct buf *b,
                      struct err *e)
{
        size_t limit = l->o->batch_bytes ? l->o->batch_bytes : BATCH_BYTES, bytes = 0;
        int rc;

        if (copy_target_batch(l->t, t, e))
                return -1;
        while ((rc = copy_file_row(f, b, e)) > 0) {
                ++*rows;
                if (++l->done % 1000 == 0)
                        report_progress(l, "restoring the catalog");
                if (b->n < PIECE && bytes + b->n < limit)
                        continue;
                bytes += b->n;
                if (copy_target_put(l->t, buf_span(b), e))
                        return -1;
                buf_reset(b);
                if (bytes >= limit)
                        break;
        }
        if (rc < 0 || copy_target_put(l->t, buf_span(b), e) || copy_target_commit(l->t, t, *rows, e))
                return -1;
        buf_reset(b);
        return rc;
}

static int skip_rows(struct load *l, struct copy_file *f, uint64_t n, struct buf *b, struct err *e)
{
        for (; n > 0; n--, l->done++) {
                if (copy_file_row(f, b, e) < 0)
                        return -1;
                buf_reset(b);
        }
        return 0;
}

static int load_table(struct load *l, const struct keep_backup_table *is, struct buf *b, struct err *e)
{
        const struct copy_table t = as_copy_table(is);
        struct copy_file *f = NULL;
        char path[4096];
        uint64_t rows;
        int rc;

        if (copy_target_copied(l->t, &t, &rows, e))
                return -1;
        if (rows >= is->rows) {
                l->done += rows;
                return 0;
        }
        snprintf(path, sizeof path, "%s/%s" KEEP_BACKUP_SUFFIX, l->o->dir, is->name);
        rc = copy_file_open(path, &f, e) || skip_rows(l, f, rows, b, e) ? -1 : 1;
        while (rc > 0)
                rc = load_batch(l, &t, f, &rows, b, e);
        copy_file_close(f);
        return rc;
}

static void hash_piece(void *ctx, struct span piece)
{
        sha256_update(ctx, piece.p, piece.n);
}

static int compare_tables(struct load *l, struct err *e)
{
        const struct keep_backup *b = l->o->backup;
        struct sha256_ctx *sha = sha256_new();
        uint64_t rows;
        int rc = sha ? 0 : err_oom(e);

        l->done = 0;
        for (size_t i = 0; i < b->ntables && rc == 0; i++) {
                const struct copy_table t = as_copy_table(&b->tables[i]);
                report_progress(l, "comparing the catalog");
                rc = copy_target_read(l->t, &t, hash_piece, sha, &rows, e);
                if (rc == 0 && !sha256_eq(sha256_final(sha), b->tables[i].hash))
                        rc = err_set(e, ERR_CORRUPT,
                                     "the table %s differs from the backup: recreate the database and restore again",
                                     t.name);
                l->done += rows;
        }
        sha256_free(sha);
        return rc;
}

static int load_tables(struct load *l, struct err *e)
{
        const struct keep_backup *b = l->o->backup;
        struct sha256 source;
        struct buf row;
        int rc = fingerprint_backup(b, &source, e);

        if (rc == 0)
                rc = copy_target_begin(l->t, b->schema_version, b->origin, &source, e);
        buf_init(&row, ROW_MAX);
        for (size_t i = 0; i < b->ntables && rc == 0; i++)
                rc = load_table(l, &b->tables[i], &row, e);
        buf_done(&row);
        if (rc < 0 || compare_tables(l, e))
                return -1;
        return db_run(l->t->db, e, "INSERT INTO catalog_copy_table (name, copied) VALUES ('" VERIFIED "', 1)", "");
}

/* ---- after the rows -------------------------------------------------------------------------------- */

/* Leased tasks become ready without counting a delivery: their workers belong to another installation. */
static const char leases_sql[] =
        "WITH leased AS (UPDATE task SET state = 0, lease_until = 0, worker = NULL, deliveries = greatest(deliveries - "
        "1, 0) WHERE state = 1 RETURNING asset), freed AS (UPDATE asset SET status = 0 FROM leased WHERE asset.n = "
        "leased.asset AND asset.status = 1 RETURNING asset.job) UPDATE job SET queued = queued + k.n, processing = "
        "processing - k.n, status = CASE WHEN processing - k.n + done + failed = 0 THEN 0 ELSE 1 END FROM (SELECT job, "
        "count(*) AS n FROM freed GROUP BY job) AS k WHERE job.n = k.job";

static int index_words(struct load *l, struct err *e)
{
        uint64_t made = 1;

        for (l->done = 0, l->total = l->o->backup->files + l->o->backup->trash; made > 0; l->done += made) {
                report_progress(l, "indexing words");
                if (copy_target_text(l->t, TEXTS, &made, e))
                        return -1;
        }
        return 0;
}

static int restore_catalog(struct load *l, struct err *e)
{
        static const struct copy_table mark = {.name = VERIFIED};
        enum keep_restore_state state;
        uint64_t verified = 0;

        if (look_at_target(l->t, l->o->backup, &state, e))
                return -1;
        if (state == RESTORE_DONE)
                return 0;
        if (state == RESTORE_BEGUN && copy_target_copied(l->t, &mark, &verified, e))
                return -1;
        if (!verified && load_tables(l, e))
                return -1;
        if (pg_migrate(l->t->db, NULL, e) || index_words(l, e) || pg_exec(l->t->db, leases_sql, e) ||
            copy_target_settle(l->t, e))
                return -1;
        return copy_target_finish(l->t, e);
}

int pg_restore(const struct keep_restore_opts *o, struct err *e)
{
        struct load l = {.o = o};
        int rc = copy_target_open(o->url, o->password, &l.t, e);

        for (size_t i = 0; i < o->backup->ntables; i++)
                l.total += o->backup->tables[i].rows;
        if (rc == 0)
                rc = restore_catalog(&l, e);
        copy_target_close(l.t);
        return rc;
}
