/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite engine: for code that opens it, and for what only SQLite can do. */
#ifndef FA_DB_SQLITE_H
#define FA_DB_SQLITE_H

#include "db/db_hooks.h"
#include "db/db_migrate.h"

#include <sqlite3.h>

#define STMT_SLOTS 512
#define DB_BUSY_MS 10000

/* ---- connections and statements (sqlite_db.c) ------------------------- */

struct conn {
        struct db base;
        sqlite3 *h;
        struct stmt {
                struct rows base;
                const char *sql; /* by address: cached statements are string literals; NULL: an ad-hoc one */
                sqlite3_stmt *s;
        } slots[STMT_SLOTS];
        size_t used;
};

static inline struct conn *conn_of(struct db *db)
{
        return (struct conn *)db;
}

enum conn_kind { CONN_READER, CONN_WRITER };
/* Registers the SQL functions that our statements use, on each new connection. Returns an SQLite result code. */
typedef int sqlite_functions_fn(sqlite3 *h);
/* Registers own_rank and part_rank: how well a text matches words, independently of all other texts. */
sqlite_functions_fn rank_register;
int conn_open(struct conn *db, const char *path, enum conn_kind kind, sqlite_functions_fn *functions,
              struct err *e) MUST_CHECK;
/* Turns a handle that the caller opened into a connection; conn_close closes the handle. */
void conn_adopt(struct conn *db, sqlite3 *h);
void conn_close(struct conn *db);
/* Turns an SQLite result code into *e. Returns -1. */
int db_error(struct conn *db, int rc, struct err *e);

/* ---- the engine ------------------------------------------------------------------ */

struct sqlite_opts {
        const char *path;
        uint64_t min_free; /* see database_room; 0: none */
        sqlite_functions_fn *functions;
        const struct db_migration *migrations;
        const struct migration_watch *watch; /* of the migrations; NULL: nobody watches */
        const struct db_hooks *hooks;
        void *owner; /* passed to the hooks; hooks->opened runs before sqlite_database_open returns */
};
/* Migrates the tables, then starts the writer thread and the checkpointer thread. */
int sqlite_database_open(const struct sqlite_opts *opts, struct database **out, struct err *e) MUST_CHECK;
/*
 * Reports the migrations that opening would run. The file is only read, even while a server uses it. ERR_NOT_FOUND
 * when there is no file.
 */
int sqlite_database_plan(const char *path, const struct db_migration *list, struct arena *a, struct migration_plan *out,
                         struct err *e) MUST_CHECK;

#endif
