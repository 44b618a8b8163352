/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internals of the PostgreSQL engine. Any thread writes, each on its own connection from one pool; every write is a
 * write_fn inside one transaction, which is run again when PostgreSQL reports a conflict between transactions
 * (deadlock, unique key) or the connection is lost.
 */
#ifndef FA_DB_POSTGRES_PRIV_H
#define FA_DB_POSTGRES_PRIV_H

#include "db/db_engine_priv.h"
#include "db/postgres/postgres.h"

#define PG_PROGRAM "file-allocator" /* application_name of our connections, unless the URL sets one */

/* Columns (postgres_col.c). */
__typeof__(col_null) pg_col_null;
__typeof__(col_i64) pg_col_i64;
__typeof__(col_f64) pg_col_f64;
__typeof__(col_str) pg_col_str;
__typeof__(col_blob) pg_col_blob;
__typeof__(col_bytes) pg_col_bytes;

struct pg_waiter;

struct pg_database {
        struct database base;
        char *url, *password;
        struct lock plock; /* guards the pool */
        struct pg_conn *idle;
        struct pg_waiter *first_waiter;
        unsigned size, max, open, nidle, waiting;
        struct dur timeout;
        struct mono retry_at; /* no connection is attempted before then */
        int64_t backoff_ms;
};

static inline struct pg_database *pg_self(struct database *d)
{
        return (struct pg_database *)d;
}

static inline struct pg_login pg_login_of(const struct pg_database *d)
{
        return (struct pg_login){.url = d->url, .password = d->password, .timeout = d->timeout};
}

/* ---- the pool (postgres_pool.c) --------------------------------------------- */

/*
 * ERR_BUSY when no connection becomes free within the pool's timeout, ERR_UNAVAILABLE when the server cannot be
 * reached.
 */
struct pg_conn *pg_take(struct pg_database *d, struct mono deadline, struct err *e) MUST_CHECK;
void pg_give_back(struct pg_database *d, struct pg_conn *db);
void pg_pool_close(struct pg_database *d);
__typeof__(database_read) pg_read;
__typeof__(database_read_end) pg_read_end;

/* ---- writing (postgres_write.c) ------------------------------------------------ */

__typeof__(database_write) pg_write;

#endif
