/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backs up a SQLite catalog into one file, and restores it. The pages are copied while others write: the source's
 * connection holds a read transaction, through which SQLite's backup API reads, so the copy is one snapshot however
 * long it takes. SQLite then checks the copy's integrity, since a damaged catalog would otherwise be noticed only
 * when its backup is needed.
 */
#include "keep/keep_backup_priv.h"
#include "catalog/sqlite/sqlite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGES 2048 /* copied between two progress reports */

static const char *path_of(const char *url)
{
        return url + strlen("sqlite://");
}

/* Opened for reading only; a missing file is not created. */
static int open_source(struct conn *db, const char *path, struct err *e)
{
        int rc;

        if (access(path, F_OK))
                return err_errno(e, errno, "there is no catalog at %.160s", path);
        rc = sqlite3_open_v2(path, &db->h, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, NULL);
        conn_adopt(db, db->h);
        if (rc == SQLITE_OK)
                rc = sqlite3_extended_result_codes(db->h, 1);
        if (rc == SQLITE_OK)
                rc = sqlite3_exec(db->h,
                                  "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA trusted_schema = OFF;"
                                  "PRAGMA busy_timeout = 10000",
                                  NULL, NULL, NULL);
        return rc == SQLITE_OK ? 0 : db_error(db, rc, e);
}

static int newest_version(void)
{
        int newest = 0;

        for (const struct db_migration *m = catalog_migrations_sqlite; m->version; m++)
                newest = m->version;
        return newest;
}

/* This is also the first read of the transaction, which takes the snapshot. */
static int read_version(struct conn *db, const char *path, struct keep_backup *out, struct err *e)
{
        sqlite3_stmt *q = NULL;
        int rc = sqlite3_prepare_v2(db->h, "SELECT max(version), min(at) FROM schema_version", -1, &q, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(q);
        if (rc == SQLITE_ROW) {
                out->schema_version = sqlite3_column_int(q, 0);
                out->origin = sqlite3_column_int64(q, 1);
        }
        sqlite3_finalize(q);
        if (rc == SQLITE_ERROR || rc == SQLITE_NOTADB || (rc == SQLITE_ROW && out->schema_version == 0))
                return err_set(e, ERR_INVALID, "%.160s is not a catalog of File Allocator", path);
        if (rc != SQLITE_ROW)
                return db_error(db, rc, e);
        if (out->schema_version > newest_version())
                return err_set(e, ERR_CONFLICT,
                               "the catalog has schema version %d, this program knows up to %d: back it up with the "
                               "program that serves it",
                               out->schema_version, newest_version());
        return 0;
}

/* ---- the copy --------------------------------------------------------------------------- */

static int make_copy(struct conn *db, const char *path, struct err *e)
{
        int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc;

        if (fd < 0)
                return err_errno(e, errno, "cannot make %.160s", path);
        fd_close(&fd);
        rc = sqlite3_open_v2(path, &db->h, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
        conn_adopt(db, db->h);
        if (rc == SQLITE_OK)
                rc = sqlite3_extended_result_codes(db->h, 1);
        if (rc == SQLITE_OK) /* it is not used before it is complete and synced */
                rc = sqlite3_exec(db->h,
                                  "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;"
                                  "PRAGMA mmap_size = 0; PRAGMA trusted_schema = OFF; PRAGMA cache_size = -16384",
                                  NULL, NULL, NULL);
        return rc == SQLITE_OK ? 0 : db_error(db, rc, e);
}

static int copy_pages(struct conn *from, struct conn *to, const struct keep_backup_opts *o, struct err *e)
{
        sqlite3_backup *b = sqlite3_backup_init(to->h, "main", from->h, "main");
        int rc = SQLITE_OK, fault = 0, end;

        if (!b)
                return db_error(to, sqlite3_errcode(to->h), e);
        while (rc == SQLITE_OK && !fault) {
                rc = sqlite3_backup_step(b, PAGES);
                if (o->progress)
                        o->progress(o->ctx, "copying the catalog",
                                    (uint64_t)(sqlite3_backup_pagecount(b) - sqlite3_backup_remaining(b)),
                                    (uint64_t)sqlite3_backup_pagecount(b));
                fault = FAULT("backup.catalog");
        }
        end = sqlite3_backup_finish(b);
        if (fault)
                return err_errno(e, fault, "cannot write the catalog's copy");
        if (rc == SQLITE_DONE)
                rc = end;
        return rc == SQLITE_OK ? 0 : db_error(to, rc, e);
}

/*
 * The copy leaves WAL mode, so that it is a single file that opens read-only. Leases are given back uncounted: their
 * workers belong to another installation. Only columns that exist since the first version are used.
 */
static const char settle_sql[] =
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; BEGIN;"
        "CREATE TEMP TABLE leased AS SELECT a.n AS asset, a.job AS job, a.owner AS owner, a.kind AS kind, "
        "a.status AS status, a.trashed AS trashed, a.size AS size FROM main.asset a WHERE "
        "a.n IN (SELECT asset FROM main.task WHERE state = 1);"
        "UPDATE task SET state = 0, lease_until = 0, worker = NULL, deliveries = max(deliveries - 1, 0) WHERE state = "
        "1;"
        "UPDATE asset SET status = 0 WHERE status = 1 AND n IN (SELECT asset FROM leased);"
        "UPDATE job SET queued = queued + k.n, processing = processing - k.n, status = iif(processing - k.n + done + "
        "failed = 0, 0, 1) FROM (SELECT job, count(*) AS n FROM leased WHERE status = 1 GROUP BY job) AS k WHERE "
        "job.n = k.job;"
        "INSERT INTO counter (owner, kind, status, count, bytes) SELECT owner, kind, 0, count(*), sum(size) FROM "
        "leased "
        "WHERE status = 1 AND trashed = 0 GROUP BY owner, kind ON CONFLICT (owner, kind, status) DO UPDATE SET count = "
        "count + excluded.count, bytes = bytes + excluded.bytes;"
        "UPDATE counter SET count = count - k.n, bytes = bytes - k.b FROM (SELECT owner, kind, count(*) AS n, "
        "sum(size) "
        "AS b FROM leased WHERE status = 1 AND trashed = 0 GROUP BY owner, kind) AS k WHERE counter.owner = k.owner "
        "AND "
        "counter.kind = k.kind AND counter.status = 1;"
        "COMMIT; DROP TABLE leased;";

static int first_word(struct conn *db, const char *sql, char *out, size_t max, struct err *e)
{
        sqlite3_stmt *q = NULL;
        int rc = sqlite3_prepare_v2(db->h, sql, -1, &q, NULL), found = 0;

        if (rc == SQLITE_OK)
                rc = sqlite3_step(q);
        if (rc == SQLITE_ROW) {
                snprintf(out, max, "%s", or_empty((const char *)sqlite3_column_text(q, 0)));
                found = 1;
        }
        sqlite3_finalize(q);
        return rc == SQLITE_ROW || rc == SQLITE_DONE ? found : db_error(db, rc, e);
}

static int check_whole(struct conn *db, const struct keep_backup_opts *o, struct err *e)
{
        char word[160] = "";
        struct err why;

        if (o->progress)
                o->progress(o->ctx, "checking the catalog", 0, 0);
        if (first_word(db, "PRAGMA integrity_check(1)", word, sizeof word, &why) < 0)
                return err_set(e, ERR_CORRUPT, "the catalog is damaged: %s", why.msg);
        if (strcmp(word, "ok") != 0)
                return err_set(e, ERR_CORRUPT, "the catalog is damaged: %s", word);
        switch (first_word(db, "PRAGMA foreign_key_check", word, sizeof word, e)) {
        case 0:
                return 0;
        case 1:
                return err_set(e, ERR_CORRUPT, "the catalog is damaged: a row of %s refers to one that is not there",
                               word);
        default:
                return -1;
        }
}

/* A restored installation has no sidecars: all are to be written. The table is newer than the first version. */
static const char sidecars_sql[] = "INSERT OR IGNORE INTO sidecar_mark (kind, id, at, change) SELECT 0, id, updated, 0 "
                                   "FROM asset UNION ALL SELECT "
                                   "1, id, updated, 0 FROM cluster UNION ALL SELECT 2, zeroblob(16), max(created), 0 "
                                   "FROM api_key HAVING count(*) > "
                                   "0";

static int settle_copy(struct conn *db, const struct keep_backup_opts *o, struct err *e)
{
        int rc = sqlite3_exec(db->h, settle_sql, NULL, NULL, NULL), sidecars;
        char word[8];

        if (rc != SQLITE_OK)
                return db_error(db, rc, e);
        sidecars = first_word(db, "SELECT 1 FROM sqlite_schema WHERE name = 'sidecar_mark'", word, sizeof word, e);
        if (sidecars > 0)
                rc = sqlite3_exec(db->h, sidecars_sql, NULL, NULL, NULL);
        if (rc != SQLITE_OK)
                return db_error(db, rc, e);
        return sidecars < 0 ? -1 : check_whole(db, o, e);
}

/* ---- what is in it ------------------------------------------------------------------------- */

static int count_rows(struct conn *db, struct keep_backup *out, struct err *e)
{
        sqlite3_stmt *q = NULL;
        char word[8];
        int rc = sqlite3_prepare_v2(
                db->h,
                "SELECT (SELECT count(*) FROM asset WHERE trashed = 0), (SELECT count(*) FROM asset WHERE trashed > "
                "0), "
                "(SELECT count(*) FROM cluster), (SELECT count(*) FROM task WHERE state IN (0, 1)), (SELECT count(*) "
                "FROM task WHERE state = 3)",
                -1, &q, NULL);

        if (rc == SQLITE_OK)
                rc = sqlite3_step(q);
        if (rc == SQLITE_ROW) {
                out->files = (uint64_t)sqlite3_column_int64(q, 0);
                out->trash = (uint64_t)sqlite3_column_int64(q, 1);
                out->folders = (uint64_t)sqlite3_column_int64(q, 2);
                out->tasks = (uint64_t)sqlite3_column_int64(q, 3);
                out->failed = (uint64_t)sqlite3_column_int64(q, 4);
        }
        sqlite3_finalize(q);
        if (rc != SQLITE_ROW)
                return db_error(db, rc, e);
        if (first_word(db, "SELECT 1 FROM sqlite_schema WHERE name = 'api_key'", word, sizeof word, e) <= 0)
                return 0; /* the table is newer than the first version */
        if (first_word(db, "SELECT count(*) FROM api_key", word, sizeof word, e) < 0)
                return -1;
        return span_u64(span_of(word), &out->keys) ? 0 : err_set(e, ERR_INTERNAL, "catalog: too many keys");
}

static int tell_objects(struct conn *db, const char *sql, keep_backup_object_fn *fn, void *ctx, struct err *e)
{
        sqlite3_stmt *q = NULL;
        int rc = sqlite3_prepare_v2(db->h, sql, -1, &q, NULL), told = 0;

        while (rc == SQLITE_OK || rc == SQLITE_ROW) {
                struct keep_backup_object o;
                rc = sqlite3_step(q);
                if (rc != SQLITE_ROW)
                        break;
                assert(sqlite3_column_bytes(q, 0) == (int)sizeof o.key); /* by a CHECK of the table */
                memcpy(&o.key, sqlite3_column_blob(q, 0), sizeof o.key);
                o.size = (uint64_t)sqlite3_column_int64(q, 1);
                o.products = (const char *)sqlite3_column_text(q, 2);
                o.orphan = !o.products;
                if (o.orphan)
                        o.products = "";
                told = fn(ctx, &o, e);
                if (told < 0)
                        break;
        }
        if (told == 0 && rc != SQLITE_DONE)
                told = db_error(db, rc, e);
        sqlite3_finalize(q);
        return told;
}

/* A catalog of an earlier version is kept as it is. */
static int tell_wanted(struct conn *db, const struct keep_backup_opts *o, struct err *e)
{
        char word[8];
        int rc = first_word(db, "SELECT 1 FROM pragma_table_info('object') WHERE name = 'products'", word, sizeof word,
                            e);

        if (rc < 0)
                return -1;
        return tell_objects(db,
                            rc > 0 ? "SELECT " BACKUP_OBJECT_COLUMNS " FROM object o ORDER BY o.sha256"
                                   : "SELECT " BACKUP_OBJECT_COLUMNS_0_1 " FROM object o ORDER BY o.sha256",
                            o->object, o->ctx, e);
}

static int take_backup(struct conn *from, struct conn *to, const struct keep_backup_opts *o, const char *path,
                       struct keep_backup *out, struct err *e)
{
        int rc;

        if (open_source(from, path_of(o->url), e))
                return -1;
        rc = sqlite3_exec(from->h, "BEGIN", NULL, NULL, NULL);
        if (rc != SQLITE_OK)
                return db_error(from, rc, e);
        out->taken = wall_now();
        if (read_version(from, path_of(o->url), out, e) || make_copy(to, path, e) || copy_pages(from, to, o, e))
                return -1;
        conn_close(from); /* from here on the WAL of the live catalog can be reused */
        return settle_copy(to, o, e) || count_rows(to, out, e) || tell_wanted(to, o, e) < 0 ? -1 : 0;
}

static int sync_file(const char *path, struct err *e)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC), rc = 0;

        if (fd < 0 || fsync(fd))
                rc = err_errno(e, errno, "cannot sync %.160s", path);
        fd_close(&fd);
        return rc;
}

int sqlite_backup_take(const struct keep_backup_opts *o, const char *dir, struct keep_backup *out, struct err *e)
{
        struct conn *from = mem_calloc(1, sizeof *from), *to = mem_calloc(1, sizeof *to);
        char path[4096];
        int rc = -1;

        out->engine = "sqlite";
        snprintf(path, sizeof path, "%s/" KEEP_BACKUP_FILE, dir);
        if (from && to)
                rc = take_backup(from, to, o, path, out, e);
        else
                err_oom(e);
        if (from)
                conn_close(from);
        if (to)
                conn_close(to);
        mem_free(from);
        mem_free(to);
        return rc < 0 ? -1 : sync_file(path, e);
}

/* ---- questions ------------------------------------------------------------------------------- */

int sqlite_backup_refers(const char *url, const struct sha256 *keys, size_t n, bool *yes, struct err *e)
{
        struct conn *db = mem_calloc(1, sizeof *db);
        int64_t one;
        int rc = db ? open_source(db, path_of(url), e) : err_oom(e);

        for (size_t i = 0; i < n && rc >= 0; i++) {
                rc = db_int(&db->base, e, &one, "SELECT 1 FROM asset WHERE sha256 = ? LIMIT 1", "h", &keys[i]);
                yes[i] = rc > 0;
        }
        if (db)
                conn_close(db);
        mem_free(db);
        return rc < 0 ? -1 : 0;
}

int sqlite_backup_objects(const char *dir, keep_backup_object_fn *fn, void *ctx, struct err *e)
{
        struct conn *db = mem_calloc(1, sizeof *db);
        char path[4096];
        int rc;

        snprintf(path, sizeof path, "%s/" KEEP_BACKUP_FILE, dir);
        rc = db ? open_source(db, path, e) : err_oom(e);
        if (rc == 0)
                rc = tell_objects(db, "SELECT sha256, size, '' FROM object ORDER BY sha256", fn, ctx, e);
        if (db)
                conn_close(db);
        mem_free(db);
        return rc;
}

/* ---- putting it back ---------------------------------------------------------------------------- */

/* NULL: there is no catalog. */
static const char *find_leftover(const char *path, char *name, size_t max)
{
        static const char *const ends[] = {"", "-wal", "-shm", "-journal"};

        for (size_t i = 0; i < COUNT_OF(ends); i++) {
                snprintf(name, max, "%s%s", path, ends[i]);
                if (access(name, F_OK) == 0)
                        return name;
        }
        return NULL;
}

static int is_this(const char *path, const struct keep_restore_opts *o, bool *same, struct err *e)
{
        struct sha256 hash;
        uint64_t size;

        if (keep_backup_hash(path, &hash, &size, e))
                return -1;
        *same = sha256_eq(hash, o->backup->tables[0].hash);
        return 0;
}

int sqlite_restore_look(const struct keep_restore_opts *o, enum keep_restore_state *out, struct err *e)
{
        const char *path = path_of(o->url), *there;
        char name[4200];
        bool same = false;

        if (o->backup->schema_version > newest_version())
                return backup_too_new(o->backup, newest_version(), e);
        there = find_leftover(path, name, sizeof name);
        *out = there ? RESTORE_DONE : RESTORE_EMPTY;
        if (!there)
                return 0;
        if (strcmp(there, path) == 0 && is_this(path, o, &same, e))
                return -1;
        return same ? 0
                    : err_set(e, ERR_CONFLICT, "%.180s is there: a backup is restored only where no catalog is", there);
}

static int copy_file(const char *from, const char *to, struct sha256 *hash, struct err *e)
{
        int in = open(from, O_RDONLY | O_CLOEXEC), out = -1, rc = -1;

        if (in < 0)
                return err_errno(e, errno, "cannot open %.160s", from);
        unlink(to); /* left by an interrupted restore */
        out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (out < 0)
                err_errno(e, errno, "cannot make %.160s", to);
        else
                rc = backup_copy_fd(in, out, hash, e);
        if (rc == 0 && fsync(out))
                rc = err_errno(e, errno, "cannot sync %.160s", to);
        fd_close(&in);
        fd_close(&out);
        return rc;
}

static int sync_parent(const char *path, struct err *e)
{
        char folder[4096];
        char *slash;

        snprintf(folder, sizeof folder, "%s", path);
        slash = strrchr(folder, '/');
        if (!slash)
                return dir_sync(".", e);
        slash[slash == folder] = '\0';
        return dir_sync(folder, e);
}

int sqlite_restore(const struct keep_restore_opts *o, struct err *e)
{
        const char *path = path_of(o->url);
        char from[4096], to[4200];
        enum keep_restore_state found;
        struct sha256 hash;
        int rc;

        if (sqlite_restore_look(o, &found, e))
                return -1;
        if (found == RESTORE_DONE)
                return 0;
        rc = FAULT("restore.catalog");
        snprintf(from, sizeof from, "%s/" KEEP_BACKUP_FILE, o->dir);
        snprintf(to, sizeof to, "%s.restoring", path);
        if (rc)
                return err_errno(e, rc, "cannot restore the catalog");
        if (o->progress)
                o->progress(o->ctx, "putting the catalog in place", 0, 0);
        if (copy_file(from, to, &hash, e))
                return -1;
        if (!sha256_eq(hash, o->backup->tables[0].hash))
                return err_set(e, ERR_CORRUPT, "%.160s changed while it was copied", from);
        if (renameat2(AT_FDCWD, to, AT_FDCWD, path, RENAME_NOREPLACE) &&
            ((errno != EINVAL && errno != ENOSYS) || access(path, F_OK) == 0 || rename(to, path)))
                return err_errno(e, errno, "cannot rename the catalog's copy to %.160s", path);
        return sync_parent(path, e);
}
