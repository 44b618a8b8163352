/* SPDX-License-Identifier: Apache-2.0 */
/* The PostgreSQL engine, for those who open it and for what only PostgreSQL can do. */
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
        bool again;  /* the last error goes away when the transaction is run again */
        struct pg_conn *next;
};

static inline struct pg_conn *pg_of(struct db *db)
{
        return (struct pg_conn *)db;
}

struct pg_login {
        const char *url, *password; /* password NULL: what the url says */
        struct dur timeout;         /* of one attempt, in whole seconds of at least two */
};
struct pg_conn *pg_connect(const struct pg_login *login, struct err *e) MUST_CHECK;
void pg_disconnect(struct pg_conn *db); /* NULL is fine */
/* The url as libpq takes it, which knows nothing of SQLAlchemy's "postgresql+driver://". The caller's; NULL on OOM. */
char *pg_plain_url(const char *url) MUST_CHECK;
/* Takes a failed result (or NULL) and says what it means to us. -1. */
int pg_fail(struct db *db, PGresult *res, struct err *e);
/* Any number of statements without parameters. */
int pg_exec(struct db *db, const char *sql, struct err *e) MUST_CHECK;
/* The first column of one row as text; 1, 0, -1. */
int pg_word(struct db *db, const char *sql, char *out, size_t max, struct err *e) MUST_CHECK;

/* ---- tables (postgres_migrate.c) ---------------------------------------------------------- */

struct pg_tables {
        const struct db_migration *migrations;
        int version;                         /* no further than this one; 0: the newest */
        const struct migration_watch *watch; /* NULL: nobody watches */
        /* Programs of older versions may be at work: a migration that they could not stand waits until they are gone.
         */
        bool shared;
        /* What the tables need of the server, seen to under the same lock; NULL: nothing. */
        int (*need)(struct db *db, struct err *e);
};
/* Refuses a server that does not keep what it acknowledged, and brings the tables up to date, one instance at a time.
 */
int pg_tables_make(struct db *db, const struct pg_tables *tables, struct err *e) MUST_CHECK;

/* ---- the engine ------------------------------------------------------------------ */

struct pg_opts {
        const char *url, *password; /* password "" or NULL: what the url says */
        unsigned pool_size;         /* connections kept open; 0: 10 */
        unsigned max_overflow;      /* and so many more for a while; 0: 20; UINT_MAX: none */
        struct dur pool_timeout;    /* past it, waiting for a connection ends in ERR_BUSY; 0: 5 s */
        struct pg_tables tables;
        const struct db_hooks *hooks;
        void *owner; /* theirs; their opened is called before this returns */
};
int pg_database_open(const struct pg_opts *opts, struct database **out, struct err *e) MUST_CHECK;
/* A connection beside the pool, for what takes long. The caller disconnects it. */
struct pg_conn *pg_database_connect(struct database *d, struct err *e) MUST_CHECK;
/* Removes marks of writes that nobody asks for any more; now and then. (postgres_write.c) */
int pg_marks_sweep(struct db *db, struct err *e) MUST_CHECK;

#endif
