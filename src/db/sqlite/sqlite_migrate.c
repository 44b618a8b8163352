/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migrations: each runs in a transaction of its own together with its row in schema_version, under SQLite's write
 * lock, so that two programs that open an old database together migrate it once. A database of a newer program is
 * left alone. While a statement runs or waits for that lock, SQLite calls back; there progress is reported, and a
 * migration that was asked to stop is interrupted.
 */
#include "db/sqlite/sqlite_priv.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TICK_STEPS 20000 /* instructions of SQLite's virtual machine: one or two milliseconds */
#define TICK_MS    25

static int exec_sql(struct db *db, const char *sql, struct err *e)
{
        int rc = sqlite3_exec(conn_of(db)->h, sql, NULL, NULL, NULL);

        return rc == SQLITE_OK ? 0 : db_error(conn_of(db), rc, e);
}

/* ---- called back --------------------------------------------------------------------- */

static int on_progress(void *ctx)
{
        return migration_tick(ctx);
}

static int on_busy(void *ctx, int tries)
{
        sleep_for(dur_ms(TICK_MS));
        return !migration_tick(ctx) && tries < DB_BUSY_MS / TICK_MS;
}

/* Takes the write lock that a migration needs; another program may be using the file. */
static int begin_watched(struct db *db, struct migration_run *r, struct err *e)
{
        struct migration_run waiting = *r;
        struct err why;
        int rc;

        migration_wait(&waiting, WAITS_FOR_LOCK);
        sqlite3_busy_handler(conn_of(db)->h, on_busy, &waiting);
        rc = exec_sql(db, "BEGIN IMMEDIATE", &why);
        sqlite3_busy_timeout(conn_of(db)->h, DB_BUSY_MS);
        return rc ? migration_failed(&waiting, &why, e) : 0;
}

/* ---- applying -------------------------------------------------------------------------- */

static int run_statements(struct db *db, const char *sql, struct migration_run *r, struct err *e)
{
        struct conn *c = conn_of(db);
        int rc = SQLITE_OK;

        while (*sql && (rc == SQLITE_OK || rc == SQLITE_DONE)) {
                sqlite3_stmt *s = NULL;
                rc = sqlite3_prepare_v2(c->h, sql, -1, &s, &sql);
                r->at.statement += s != NULL;
                while (s && (rc = sqlite3_step(s)) == SQLITE_ROW)
                        ;
                if (rc != SQLITE_OK && rc != SQLITE_DONE)
                        db_error(c, rc, e); /* before sqlite3_finalize clears it */
                sqlite3_finalize(s);
        }
        return rc == SQLITE_OK || rc == SQLITE_DONE ? 0 : -1;
}

static int apply_migration(struct db *db, const struct db_migration *m, struct migration_run *r, struct err *e)
{
        struct err why;
        int rc;

        if (fault_err(FAULT("catalog.migrate"), "migration", e))
                return -1;
        sqlite3_progress_handler(conn_of(db)->h, TICK_STEPS, on_progress, r);
        rc = run_statements(db, m->sql, r, &why);
        sqlite3_progress_handler(conn_of(db)->h, 0, NULL, NULL);
        if (rc || r->stopped)
                return migration_failed(r, &why, e);
        return db_run(db, e, "INSERT INTO schema_version (version, name, at) VALUES (?, ?, ?)", "itl", m->version,
                      m->name, wall_now().us);
}

/* The version is read again under the lock: another program may have migrated meanwhile. */
static int apply_locked(struct db *db, const struct db_migration *m, struct migration_run *r, struct err *e)
{
        int64_t version = 0;

        if (begin_watched(db, r, e))
                return -1;
        if (db_int(db, e, &version, "SELECT max(version) FROM schema_version", "") >= 0 &&
            (version >= m->version || apply_migration(db, m, r, e) == 0) && exec_sql(db, "COMMIT", e) == 0)
                return fault_err(FAULT("catalog.migrated"), "migration", e);
        sqlite3_exec(conn_of(db)->h, "ROLLBACK", NULL, NULL, NULL);
        return -1;
}

int sqlite_migrate(struct db *db, const struct db_migration *list, const struct migration_watch *watch, struct err *e)
{
        if (exec_sql(db,
                     "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL, "
                     "at INTEGER NOT NULL) STRICT",
                     e))
                return -1;
        return migrations_run(db, list, 0, apply_locked, watch, e);
}

/* ---- looking ahead -------------------------------------------------------------------------- */

/* The path as part of a URI. */
static void put_path(struct buf *b, const char *path)
{
        for (; *path; path++) {
                if (strchr("%?#", *path))
                        buf_printf(b, "%%%02X", (unsigned char)*path);
                else
                        buf_putc(b, *path);
        }
}

/*
 * When nobody has the file open and it was closed in good order, a reader would create files of its own beside it;
 * SQLite is therefore told that the file does not change meanwhile.
 */
static int open_to_look(struct conn *db, const char *path, struct err *e)
{
        char wal[4200];
        struct stat st;
        struct buf uri;
        int rc;

        if (access(path, F_OK))
                return err_set(e, ERR_NOT_FOUND, "there is no catalog at %.160s", path);
        snprintf(wal, sizeof wal, "%s-wal", path);
        buf_init(&uri, 16384);
        buf_puts(&uri, "file:");
        put_path(&uri, path);
        if (stat(wal, &st) || st.st_size == 0)
                buf_puts(&uri, "?immutable=1");
        rc = buf_failed(&uri) ? SQLITE_NOMEM
                              : sqlite3_open_v2(buf_str(&uri), &db->h,
                                                SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_URI, NULL);
        buf_done(&uri);
        if (rc == SQLITE_OK)
                rc = sqlite3_busy_timeout(db->h, DB_BUSY_MS);
        conn_adopt(db, db->h);
        return rc == SQLITE_OK ? 0 : db_error(db, rc, e);
}

int sqlite_database_plan(const char *path, const struct db_migration *list, struct arena *a, struct migration_plan *out,
                         struct err *e)
{
        struct conn db = {0};
        int rc = open_to_look(&db, path, e);

        if (rc == 0)
                rc = migrations_plan(&db.base, list, a, out, e);
        conn_close(&db);
        return rc;
}
