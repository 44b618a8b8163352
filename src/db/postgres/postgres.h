/* SPDX-License-Identifier: Apache-2.0 */
/* The PostgreSQL engine: for code that opens it, and for what only PostgreSQL can do. */
#ifndef FA_DB_POSTGRES_H
#define FA_DB_POSTGRES_H

#include "db/db_hooks.h"
#include "db/db_migrate.h"

#include <libpq-fe.h>

#define PG_STMT_SLOTS 512

/* ---- connections and statements (postgres_db.c) ------------------------- */

/* A result in memory, read row by row. All columns come in binary form. */
struct pg_rows {
        struct rows base;
        PGresult *res;
        int row;
        bool cached; /* belongs to a connection's slot */
};

struct pg_conn {
        struct db base;
        PGconn *h;
        struct pg_slot {
                const char *sql; /* by address: cached statements are string literals */
                bool prepared;
                struct pg_rows rows;
        } slots[PG_STMT_SLOTS];
        size_t used;
        int64_t changes;
        bool broken; /* the connection is gone */
        bool again;  /* the last error may not recur when the transaction is run again */
        struct pg_conn *next;
};

static inline struct pg_conn *pg_of(struct db *db)
{
        return (struct pg_conn *)db;
}

struct pg_login {
        const char *url, *password; /* password NULL: taken from the URL */
        struct dur timeout;         /* of one attempt, in whole seconds, at least two */
};
struct pg_conn *pg_connect(const struct pg_login *login, struct err *e) MUST_CHECK;
void pg_disconnect(struct pg_conn *db); /* NULL is fine */
/*
 * The URL in the form libpq accepts: SQLAlchemy's "postgresql+driver://" is reduced to "postgresql://". The caller
 * frees it; NULL when memory is short.
 */
char *pg_plain_url(const char *url) MUST_CHECK;
/* Consumes a failed result (or NULL) and turns PostgreSQL's error into *e. Returns -1. */
int pg_fail(struct db *db, PGresult *res, struct err *e);
/* Runs any number of statements without parameters. */
int pg_exec(struct db *db, const char *sql, struct err *e) MUST_CHECK;
/* Reads the first column of one row as text; returns 1, 0 without a row, -1 on error. */
int pg_word(struct db *db, const char *sql, char *out, size_t max, struct err *e) MUST_CHECK;

/* ---- tables (postgres_migrate.c) ---------------------------------------------------------- */

struct pg_tables {
        const struct db_migration *migrations;
        int version;                         /* migrate no further than this version; 0: the newest */
        const struct migration_watch *watch; /* NULL: nobody watches */
        /*
         * Programs of older versions may be connected: a migration that they cannot cope with waits until they are
         * gone.
         */
        bool shared;
        /* Creates or checks what the tables need of the server, under the same lock; NULL: nothing. */
        int (*need)(struct db *db, struct err *e);
};
/* Refuses a server that may lose acknowledged writes, and migrates the tables, one instance at a time. */
int pg_tables_make(struct db *db, const struct pg_tables *tables, struct err *e) MUST_CHECK;

/* ---- the engine ------------------------------------------------------------------ */

struct pg_opts {
        const char *url, *password; /* password "" or NULL: taken from the URL */
        unsigned pool_size;         /* connections kept open; 0: 10 */
        unsigned max_overflow; /* further connections that are opened under load and closed again; 0: 20; UINT_MAX: none
                                */
        struct dur pool_timeout; /* how long to wait for a connection before ERR_BUSY; 0: 5 s */
        struct pg_tables tables;
        const struct db_hooks *hooks;
        void *owner; /* passed to the hooks; hooks->opened runs before pg_database_open returns */
};
int pg_database_open(const struct pg_opts *opts, struct database **out, struct err *e) MUST_CHECK;
/* A connection outside the pool, for long operations. The caller disconnects it. */
struct pg_conn *pg_database_connect(struct database *d, struct err *e) MUST_CHECK;
/* Deletes write marks that are too old to be asked for; called now and then. (postgres_write.c) */
int pg_marks_sweep(struct db *db, struct err *e) MUST_CHECK;

#endif
