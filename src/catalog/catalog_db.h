/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small database interface that the catalog's rules are written on, and
 * what an engine has to bring. The rules (catalog_ingest.c, catalog_place.c, …)
 * exist once; only connections, the way a write is run, the search indexes and
 * the migrations are an engine's own. SQL that both engines take stands once;
 * where they differ, SQL() holds both texts side by side.
 */
#ifndef FA_CATALOG_DB_H
#define FA_CATALOG_DB_H

#include "catalog/catalog_migrate.h"
#include "catalog/catalog_sidecar.h"

#include <stdarg.h>
#include <string.h>

struct engine;
struct row;

enum dialect { DIALECT_SQLITE, DIALECT_POSTGRES };

struct catalog { /* first member of an engine's own struct */
        const struct engine *engine;
        struct dur idempotency_ttl;
        unsigned phash_distance;
        float folder_threshold;
        uint64_t queue_max_depth, min_free;
        struct sha256 cursor_secret; /* see catalog_cursor.c */
};
void catalog_init(struct catalog *c, const struct engine *engine, const struct catalog_opts *opts);

struct db { /* a connection inside a transaction, used by one thread at a time; first member of an engine's own */
        const struct engine *engine;
        struct wall now; /* when the transaction began: in a write by the engine's clock, in a read by ours */
        unsigned shard;  /* of the counters */
};

struct rows { /* what a statement answers; first member of an engine's own */
        const struct engine *engine;
};

/* The text for this connection's engine. NULL: the engine needs nothing done there, and db_run does nothing. */
#define SQL(db, sqlite, postgres) ((db)->engine->dialect == DIALECT_SQLITE ? (sqlite) : (postgres))
/* Rows that are read in order to be changed are locked where there is more than one writer. */
#define LOCKING(db, text, lock) SQL(db, text, text " " lock)

/* PostgreSQL's clock in microseconds; in one transaction always the same. */
#define DB_NOW "(extract(epoch FROM now()) * 1000000)::bigint"
/* The text, a macro of the time to compare with, of a read by the engine's clock; ?1 is bound to db->now. */
#define BY_CLOCK(db, text) SQL(db, text("?1"), text(DB_NOW))

/* ---- statements --------------------------------------------------------------------- */

/*
 * A statement, kept prepared under the address of its text: text is a literal.
 * Parameters ? or ?N are bound by fmt, one letter an argument: i int, l int64_t,
 * d double, t const char * (NULL → NULL), u const struct id * (NULL → NULL),
 * h const struct sha256 *, b const void * and size_t; PostgreSQL only: f const
 * float * (NULL → NULL) and size_t, to be cast by ?::vector. The values must
 * outlive the steps. NULL on error.
 */
struct rows *db_query(struct db *db, struct err *e, const char *sql, const char *fmt, ...) MUST_CHECK;
/* 1 a row, 0 the end, -1 error; the statement is free again after the latter two. */
int db_step(struct db *db, struct rows *s, struct err *e) MUST_CHECK;
/* Free a statement before its end. */
void db_end(struct rows *s);
/* Query and run to the end. 0 or -1; db_changes tells how many rows. */
int db_run(struct db *db, struct err *e, const char *sql, const char *fmt, ...) MUST_CHECK;
int64_t db_changes(struct db *db);
/* Query for one row with one number: 1, 0 no row, -1. NULL counts as no row. */
int db_int(struct db *db, struct err *e, int64_t *out, const char *sql, const char *fmt, ...) MUST_CHECK;

/* Columns of the row that was stepped to; text and bytes live as long as it. */
bool col_null(const struct rows *s, int i);
int64_t col_i64(const struct rows *s, int i);
double col_f64(const struct rows *s, int i);
const char *col_str(const struct rows *s, int i); /* NULL for NULL, or without memory */
const void *col_blob(const struct rows *s, int i);
int col_bytes(const struct rows *s, int i); /* of a text or blob */
int col_int(const struct rows *s, int i);
uint64_t col_u64(const struct rows *s, int i);
struct wall col_wall(const struct rows *s, int i);
struct id col_id(const struct rows *s, int i);
struct sha256 col_sha(const struct rows *s, int i);
/* Copy a text into the arena; NULL stays NULL. *ok becomes false on OOM. */
const char *col_text(struct arena *a, const struct rows *s, int i, bool *ok);

/* ---- statements made of parts (catalog_filter.c) -------------------------------------- */

#define SQL_MAX   16384
#define BINDS_MAX 64
struct sql { /* values are bound, never spliced */
        struct db *db;
        struct arena *arena;
        struct buf text;
        struct bind {
                char type; /* as db_query's letters: l, t, u, h, f */
                int64_t l; /* f: how many */
                const void *p;
        } binds[BINDS_MAX];
        size_t n;
        bool failed;
        bool scan_names; /* compare names one by one: most of them match */
};
void sql_init(struct sql *q, struct db *db, struct arena *a);
void sql_done(struct sql *q);
void sql_put(struct sql *q, const char *text);
void sql_int(struct sql *q, const char *text, int64_t v); /* text has one ? */
void sql_text(struct sql *q, const char *text, const char *v);
void sql_id(struct sql *q, const char *text, const struct id *v);
void sql_sha(struct sql *q, const char *text, const struct sha256 *v);
void sql_vector(struct sql *q, const char *text, const float *v, size_t dim); /* PostgreSQL only */
/* " AND a.kind IN (0,2)": literally, so that the planner knows how many rows they leave. */
void sql_set(struct sql *q, const char *column, uint32_t bits);
/* Run; the caller frees the rows. NULL on error. */
struct rows *sql_run(struct sql *q, struct err *e) MUST_CHECK;
void rows_free(struct rows *s); /* NULL is fine */
/* " WHERE …" over alias a of asset; always begins with the trash condition. */
int sql_filter(struct sql *q, const struct asset_filter *f, struct err *e) MUST_CHECK;
/* Whether a filter asks for what only the asset's own row tells: neither owner, kind nor folder. */
bool filter_needs_asset(const struct asset_filter *f);

/* ---- transactions --------------------------------------------------------------------- */

/* A connection inside a read transaction: all its queries see one state. NULL: ERR_BUSY after a time of waiting for
 * one, or an error. */
struct db *read_begin(struct catalog *c, struct err *e) MUST_CHECK;
void read_end(struct catalog *c, struct db *db, struct mono began);

/* What a change means for whatever an engine searches by; it reads the truth of it again. */
struct event {
        enum { EVENT_VECTOR, EVENT_ROW, EVENT_FOLDER, EVENT_RELABEL } kind;
        int64_t asset;         /* VECTOR (and row), ROW: its folder or whether it is in the trash */
        struct id cluster, to; /* FOLDER: its prototype or lock; RELABEL: all members now in to (nil: unsorted) */
};

struct tx {
        struct catalog *c;
        struct db *db;
        struct wall now; /* the connection's */
        int64_t *texts;  /* assets whose searchable text changed */
        size_t ntexts, texts_cap;
        struct counter_delta { /* written at the end of the write, in one order for all */
                char owner[OWNER_MAX + 1];
                int kind, status;
                int64_t n, bytes;
        } * deltas;
        size_t ndeltas, deltas_cap;
        struct job_delta {
                int64_t job, by[ASSET_STATUS_COUNT];
        } * jobs;
        size_t njobs, jobs_cap;
        int64_t waiting; /* change of the number of waiting tasks */
        struct tx_mark { /* what its sidecar does not tell any more */
                enum kept_kind kind;
                struct id id;
        } * marks;
        size_t nmarks, marks_cap;
};
void tx_done(struct tx *tx);
/* The asset's searchable text is brought up to date at the end of the transaction. */
int tx_text(struct tx *tx, int64_t asset, struct err *e) MUST_CHECK;
int tx_event(struct tx *tx, struct event ev, struct err *e) MUST_CHECK;

typedef int write_fn(struct tx *tx, void *arg, struct err *e);
/* Where one thread writes for all: acknowledgements first, then leases and results, then bulk work. */
enum lane { LANE_ACK, LANE_RESULT, LANE_BULK, LANE_COUNT };
/*
 * Runs fn(tx, arg) as one write and returns after its commit. It may run on
 * another thread and more than once, so it must not read from arg what it wrote
 * there. Whatever it wrote counts only if 0 came back.
 */
int write_do(struct catalog *c, enum lane lane, write_fn *fn, void *arg, struct err *e) MUST_CHECK;

/* ---- what an engine brings -------------------------------------------------------------- */

/* What is not said by a public prototype. Statements that are not kept go through query_binds and rows_free. */
typedef struct rows *query_fn(struct db *db, struct err *e, const char *sql, const char *fmt, va_list *ap);
typedef struct rows *query_binds_fn(struct db *db, const char *sql, const struct bind *binds, size_t n, struct err *e);
/* Tasks ready or leased, for QUEUE_MAX_DEPTH. */
typedef int waiting_fn(struct tx *tx, int64_t *n, struct err *e);
/* The vector of one of the asset's parts, unit, in place of an older one. */
typedef int vector_put_fn(struct tx *tx, const struct row *r, enum part_kind kind, int64_t part, int64_t model,
                          const float *v, uint32_t dim, struct err *e);
/* The sum of (cluster, model); n 0: the first. */
typedef int prototype_put_fn(struct tx *tx, int64_t n, const struct id *cluster, int64_t model, int64_t count,
                             const float *sum, size_t dim, struct err *e);
/* A condition that a.name_fold holds the folded text. */
typedef int name_filter_fn(struct sql *q, const char *fold, struct err *e);
typedef int use_model_fn(struct catalog *c, const char *id, int64_t model, uint32_t dim, struct err *e);
/* Of a model in use; ERR_UNAVAILABLE when it is none. */
typedef int model_fn(struct catalog *c, const char *id, int64_t *model, uint32_t *dim, struct err *e);
/* What is searchable of the asset by words, as it is now; nothing if it is gone. */
typedef int text_put_fn(struct db *db, int64_t asset, struct arena *a, struct err *e);
/* Before a read that finds assets by their words: none that is committed now will be missing. */
typedef void words_settle_fn(struct catalog *c);
typedef int text_search_fn(struct db *db, const char *text, const struct asset_filter *f, size_t k, struct arena *a,
                           struct text_match *out, size_t *n, struct err *e);

struct engine {
        enum dialect dialect;
        __typeof__(catalog_close) *close;
        __typeof__(catalog_state) *state; /* name, pool and note */
        __typeof__(catalog_room) *room;   /* NULL: its own affair */

        query_fn *query;
        query_binds_fn *query_binds;
        __typeof__(rows_free) *rows_free;
        __typeof__(db_step) *step;
        __typeof__(db_end) *end;
        __typeof__(db_changes) *changes;
        __typeof__(col_null) *col_null;
        __typeof__(col_i64) *col_i64;
        __typeof__(col_f64) *col_f64;
        __typeof__(col_str) *col_str;
        __typeof__(col_blob) *col_blob;
        __typeof__(col_bytes) *col_bytes;

        __typeof__(read_begin) *read_begin;
        __typeof__(read_end) *read_end;
        __typeof__(write_do) *write;
        waiting_fn *waiting;

        __typeof__(tx_event) *event;
        vector_put_fn *vector_put;
        prototype_put_fn *prototype_put;
        text_put_fn *text_put;
        use_model_fn *use_model;
        model_fn *model;
        __typeof__(catalog_warm) *warm;
        name_filter_fn *name_filter;
        __typeof__(catalog_vector_search) *vector_search;
        __typeof__(catalog_prototype_search) *prototype_search;
        text_search_fn *text_search;
        words_settle_fn *words_settle; /* NULL: words are indexed with the asset */
};

#define MODEL_ID_MAX 256
#define MODELS_MAX   8 /* in use at once */

typedef int catalog_open_fn(const struct catalog_opts *opts, struct catalog **out, struct err *e);
catalog_open_fn catalog_sqlite_open, catalog_postgres_open;
__typeof__(catalog_migration_plan) catalog_sqlite_plan, catalog_postgres_plan;

#endif
