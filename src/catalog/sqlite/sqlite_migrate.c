/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migrations: each in a transaction of its own together with its entry in
 * schema_version, under SQLite's write lock, so two programs that open an old
 * catalog at once upgrade it once. A catalog from the future is left alone.
 */
#include "catalog/sqlite/sqlite.h"

static int exec(struct db *db, const char *sql, struct err *e)
{
        int rc = sqlite3_exec(conn_of(db)->h, sql, NULL, NULL, NULL);

        return rc == SQLITE_OK ? 0 : db_error(conn_of(db), rc, e);
}

static int apply(struct db *db, const struct catalog_migration *m, struct err *e)
{
        struct err why;

        if (fault_err(FAULT("catalog.migrate"), "migration", e) < 0)
                return -1;
        if (exec(db, m->sql, &why) < 0)
                return err_set(e, why.code, "migration %s: %s", m->name, why.msg);
        return db_run(db, e, "INSERT INTO schema_version (version, name, at) VALUES (?, ?, ?)", "itl", m->version,
                      m->name, wall_now().us);
}

/* The version is read again under the lock: another program may have been faster. */
static int apply_locked(struct db *db, const struct catalog_migration *m, struct err *e)
{
        int64_t version = 0;

        if (exec(db, "BEGIN IMMEDIATE", e) < 0)
                return -1;
        if (db_int(db, e, &version, "SELECT max(version) FROM schema_version", "") >= 0 &&
            (version >= m->version || apply(db, m, e) == 0) && exec(db, "COMMIT", e) == 0)
                return fault_err(FAULT("catalog.migrated"), "migration", e);
        sqlite3_exec(conn_of(db)->h, "ROLLBACK", NULL, NULL, NULL);
        return -1;
}

int sqlite_migrate(struct db *db, struct err *e)
{
        if (exec(db,
                 "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL, "
                 "at INTEGER NOT NULL) STRICT",
                 e) < 0)
                return -1;
        return migrations_run(db, catalog_migrations_sqlite, apply_locked, e);
}
