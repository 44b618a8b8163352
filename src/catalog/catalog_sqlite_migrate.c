/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migrations: each in a transaction of its own together with its entry in
 * schema_version, under SQLite's write lock, so two programs that open an old
 * catalog at once upgrade it once. A catalog from the future is left alone.
 */
#include "catalog/catalog_sqlite_priv.h"

static int exec(struct conn *db, const char *sql, struct err *e)
{
        int rc = sqlite3_exec(db->h, sql, NULL, NULL, NULL);

        return rc == SQLITE_OK ? 0 : db_error(db, rc, e);
}

static int current(struct conn *db, int64_t *version, struct err *e)
{
        *version = 0;
        return db_int(&db->base, e, version, "SELECT max(version) FROM schema_version", "") < 0 ? -1 : 0;
}

static int apply(struct conn *db, const struct catalog_migration *m, struct err *e)
{
        struct err why;

        if (exec(db, m->sql, &why) < 0)
                return err_set(e, why.code, "migration %s: %s", m->name, why.msg);
        return db_run(&db->base, e, "INSERT INTO schema_version (version, name, at) VALUES (?, ?, ?)", "itl",
                      m->version, m->name, wall_now().us);
}

/* The version is read again under the lock: another program may have been faster. */
static int apply_locked(struct conn *db, const struct catalog_migration *m, struct err *e)
{
        int64_t version;

        if (exec(db, "BEGIN IMMEDIATE", e) < 0)
                return -1;
        if (current(db, &version, e) == 0 && (version >= m->version || apply(db, m, e) == 0) &&
            exec(db, "COMMIT", e) == 0)
                return 0;
        sqlite3_exec(db->h, "ROLLBACK", NULL, NULL, NULL);
        return -1;
}

int sqlite_migrate(struct conn *db, struct err *e)
{
        const struct catalog_migration *m = catalog_migrations_sqlite;
        int64_t version;
        int newest = 0;

        if (exec(db,
                 "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER PRIMARY KEY, name TEXT NOT NULL, "
                 "at INTEGER NOT NULL) STRICT",
                 e) < 0 ||
            current(db, &version, e) < 0)
                return -1;
        for (; m->version; m++)
                newest = m->version;
        if (version > newest)
                return err_set(e, ERR_CONFLICT,
                               "the catalog has schema version %lld, this program knows up to %d: it was written by a "
                               "newer program; use that one, or a backup from before",
                               (long long)version, newest);
        for (m = catalog_migrations_sqlite; m->version; m++)
                if (m->version > version && apply_locked(db, m, e) < 0)
                        return -1;
        return 0;
}
