/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PostgreSQL engine's insides. Any thread writes, each on a connection of
 * its own out of one pool; everything that changes the catalog is a function of
 * type write_fn run inside one transaction, and run again when PostgreSQL says
 * that two of them met (deadlock, unique key) or the connection went away.
 */
#ifndef FA_CATALOG_POSTGRES_H
#define FA_CATALOG_POSTGRES_H

#include "catalog/catalog_rules.h"

#include <libpq-fe.h>

#define STMT_SLOTS 512

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
        } slots[STMT_SLOTS];
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
/* Takes a failed result (or NULL) and says what it means to us. -1. */
int pg_fail(struct db *db, PGresult *res, struct err *e);

extern const struct engine pg_engine;
/* Any number of statements without parameters. */
int pg_exec(struct db *db, const char *sql, struct err *e) MUST_CHECK;
/* The first column of one row as text; 1, 0, -1. */
int pg_word(struct db *db, const char *sql, char *out, size_t max, struct err *e) MUST_CHECK;

/* Columns (postgres_col.c). */
__typeof__(col_null) pg_col_null;
__typeof__(col_i64) pg_col_i64;
__typeof__(col_f64) pg_col_f64;
__typeof__(col_str) pg_col_str;
__typeof__(col_blob) pg_col_blob;
__typeof__(col_bytes) pg_col_bytes;

/* ---- the engine ------------------------------------------------------------------ */

struct pg_waiter;

struct pg_catalog {
        struct catalog base;
        char *url, *password;
        int64_t exact_max; /* a filter that leaves at most so many vectors is searched without the index */

        struct lock plock; /* guards the pool */
        struct pg_conn *idle;
        struct pg_waiter *first_waiter;
        unsigned size, max, open, nidle, waiting;
        struct dur timeout;
        struct mono retry_at; /* no connection is tried before it */
        int64_t backoff_ms;

        struct lock klock; /* guards the models and the keeper's wishes */
        struct cond kcond;
        pthread_t keeper;
        bool keeper_runs, keeper_stop, want_index;
        struct pg_model { /* one in use */
                char id[MODEL_ID_MAX];
                int64_t n;
                uint32_t dim;
                bool indexed; /* its HNSW index is there and valid */
        } models[MODELS_MAX];
        size_t nmodels;
        PGcancel *keeper_cancel; /* while it works */
        char keeper_note[160];   /* why there is no index, "" if all is well */
};

static inline struct pg_catalog *pg_self(struct catalog *c)
{
        return (struct pg_catalog *)c;
}

__typeof__(catalog_close) pg_close;
__typeof__(catalog_state) pg_state;
use_model_fn pg_use_model;
__typeof__(catalog_warm) pg_warm;

/* Refuses a server that does not keep what it acknowledged, sees to pgvector, brings the tables up to date. */
int pg_migrate(struct db *db, const struct migration_watch *watch, struct err *e) MUST_CHECK; /* watch may be NULL */
/* The same, no further than this version; 0: the newest. For what was copied from an older catalog. */
int pg_migrate_to(struct db *db, int version, struct err *e) MUST_CHECK;
/* postgres_unfinished.c */
int pg_table_exists(struct db *db, const char *name, struct err *e) MUST_CHECK; /* 1, 0, -1 */
int pg_copy_found(struct db *db, struct copy_found *out, struct err *e) MUST_CHECK;
/* Refuses a catalog into which a copy is not finished. */
int pg_copy_check(struct db *db, struct err *e) MUST_CHECK;
/* The url as libpq takes it, which knows nothing of SQLAlchemy's "postgresql+driver://". The caller's; NULL on OOM. */
char *pg_plain_url(const char *url) MUST_CHECK;

/* postgres_model.c */
model_fn pg_model;
bool pg_model_indexed(struct pg_catalog *c, int64_t model);
int pg_keeper_start(struct pg_catalog *c, struct err *e) MUST_CHECK;
void pg_keeper_stop(struct pg_catalog *c);

/* ---- the pool (postgres_pool.c) --------------------------------------------- */

/* ERR_BUSY when all connections are taken for the whole of the pool's timeout, ERR_UNAVAILABLE without a server. */
struct pg_conn *pg_take(struct pg_catalog *c, struct mono deadline, struct err *e) MUST_CHECK;
void pg_give_back(struct pg_catalog *c, struct pg_conn *db);
void pg_pool_close(struct pg_catalog *c);
__typeof__(read_begin) pg_read_begin;
__typeof__(read_end) pg_read_end;

/* ---- writing (postgres_write.c) ------------------------------------------------ */

__typeof__(write_do) pg_write;
waiting_fn pg_waiting;

/* ---- searching (postgres_search.c, _text.c) ---------------------------------- */

__typeof__(tx_event) pg_event;
vector_put_fn pg_vector_put;
prototype_put_fn pg_prototype_put;
text_put_fn pg_text_put;
name_filter_fn pg_name_filter;
__typeof__(catalog_vector_search) pg_vector_search;
__typeof__(catalog_prototype_search) pg_prototype_search;
text_search_fn pg_text_search;

#endif
