/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The PostgreSQL engine's insides. Any thread writes, each on a connection of
 * its own out of one pool; everything that changes the catalog is a function of
 * type write_fn run inside one transaction, and run again when PostgreSQL says
 * that two of them met (deadlock, unique key) or the connection went away.
 */
#ifndef FA_CATALOG_POSTGRES_PRIV_H
#define FA_CATALOG_POSTGRES_PRIV_H

#include "catalog/catalog_priv.h"
#include "vector/vector.h"

#include <libpq-fe.h>
#include <string.h>

#define STMT_SLOTS 512

/* The database's clock in microseconds; in one transaction always the same. */
#define DB_NOW "(extract(epoch FROM now()) * 1000000)::bigint"

/* ---- connections and statements (catalog_postgres_db.c) ------------------------- */

/* A result in memory, read row by row. All columns come in binary form. */
struct pg_rows {
        PGresult *res;
        int row;
        bool cached; /* belongs to a connection's slot */
};

struct pg_conn {
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

struct pg_login {
        const char *url, *password; /* password NULL: what the url says */
        struct dur timeout;         /* of one attempt, in whole seconds of at least two */
};
struct pg_conn *pg_connect(const struct pg_login *login, struct err *e) MUST_CHECK;
void pg_disconnect(struct pg_conn *db); /* NULL is fine */
/* Takes a failed result (or NULL) and says what it means to us. -1. */
int pg_fail(struct pg_conn *db, PGresult *res, struct err *e);

/*
 * Run a cached statement, parameters ? or ?N bound by fmt, one letter each: i int,
 * l int64_t, d double, t const char * (NULL → NULL), u const struct id * (NULL →
 * NULL), h const struct sha256 *, b const void * and size_t, f const float *
 * (NULL → NULL) and size_t, to be cast by ?::vector. NULL on error.
 */
struct pg_rows *pg_query(struct pg_conn *db, struct err *e, const char *sql, const char *fmt, ...) MUST_CHECK;
/* 1 a row, 0 the end; the rows are gone after that. */
int pg_step(struct pg_conn *db, struct pg_rows *s, struct err *e) MUST_CHECK;
/* Give rows back before their end. */
void pg_end(struct pg_rows *s);
/* 0 or -1; pg_changes tells how many rows. */
int pg_run(struct pg_conn *db, struct err *e, const char *sql, const char *fmt, ...) MUST_CHECK;
int64_t pg_changes(const struct pg_conn *db);
/* Query for one row with one number: 1, 0 no row, -1. NULL counts as no row. */
int pg_int(struct pg_conn *db, struct err *e, int64_t *out, const char *sql, const char *fmt, ...) MUST_CHECK;
/* Any number of statements without parameters. */
int pg_exec(struct pg_conn *db, const char *sql, struct err *e) MUST_CHECK;
/* The first column of one row as text; 1, 0, -1. */
int pg_word(struct pg_conn *db, const char *sql, char *out, size_t max, struct err *e) MUST_CHECK;

int64_t pg_col_i64(const struct pg_rows *s, int i);
double pg_col_f64(const struct pg_rows *s, int i);
const char *pg_col_str(const struct pg_rows *s, int i); /* "" for NULL; lives as long as the row */
const void *pg_col_blob(const struct pg_rows *s, int i);
int pg_col_bytes(const struct pg_rows *s, int i);
bool pg_col_null(const struct pg_rows *s, int i);
struct id pg_col_id(const struct pg_rows *s, int i);
struct sha256 pg_col_sha(const struct pg_rows *s, int i);
/* Copy a text into the arena; NULL stays NULL. *ok becomes false on OOM. */
const char *pg_col_text(struct arena *a, const struct pg_rows *s, int i, bool *ok);
static inline int pg_col_int(const struct pg_rows *s, int i)
{
        return (int)pg_col_i64(s, i);
}
static inline struct wall pg_col_wall(const struct pg_rows *s, int i)
{
        return (struct wall){pg_col_i64(s, i)};
}
static inline uint64_t pg_col_u64(const struct pg_rows *s, int i)
{
        return (uint64_t)pg_col_i64(s, i);
}

/* ---- the engine ------------------------------------------------------------------ */

struct pg_waiter;

struct pg_catalog {
        struct catalog base;
        char *url, *password;
        struct dur idempotency_ttl;
        unsigned phash_distance;
        float folder_threshold;
        uint64_t queue_max_depth;
        int64_t exact_max; /* a filter that leaves at most so many vectors is searched without the index */

        struct lock plock; /* guards the pool */
        struct pg_conn *idle;
        struct pg_waiter *first_waiter;
        unsigned size, max, open, nidle, waiting;
        struct dur timeout;
        struct mono retry_at; /* no connection is tried before it */
        int64_t backoff_ms;

        struct lock klock; /* guards the model and the keeper's wishes */
        struct cond kcond;
        pthread_t keeper;
        bool keeper_runs, keeper_stop, want_index;
        int64_t model;
        uint32_t dim;
        bool indexed;                         /* the model's HNSW index is there and valid */
        PGcancel *keeper_cancel;              /* while it works */
        char model_id[256], keeper_note[160]; /* the note: why there is no index, "" if all is well */
};

static inline struct pg_catalog *pg_self(struct catalog *c)
{
        return (struct pg_catalog *)c;
}

#define CATALOG_OP(name) catalog_##name##_fn catalog_pg_##name;
#include "catalog/catalog_ops.def"
#undef CATALOG_OP

/* Refuses a server that does not keep what it acknowledged, sees to pgvector, brings the tables up to date. */
int pg_migrate(struct pg_conn *db, struct err *e) MUST_CHECK;

/* The model in use; ERR_UNAVAILABLE when none was chosen. (catalog_postgres_model.c) */
int pg_model(struct pg_catalog *c, int64_t *model, uint32_t *dim, struct err *e) MUST_CHECK;
bool pg_model_indexed(struct pg_catalog *c);
int pg_keeper_start(struct pg_catalog *c, struct err *e) MUST_CHECK;
void pg_keeper_stop(struct pg_catalog *c);

/* ---- the pool (catalog_postgres_pool.c) --------------------------------------------- */

/* ERR_BUSY when all connections are taken for the whole of the pool's timeout, ERR_UNAVAILABLE without a server. */
struct pg_conn *pg_take(struct pg_catalog *c, struct mono deadline, struct err *e) MUST_CHECK;
void pg_give_back(struct pg_catalog *c, struct pg_conn *db);
void pg_pool_close(struct pg_catalog *c);
/* A connection inside a read transaction: all its queries see one state. */
struct pg_conn *pg_read_begin(struct pg_catalog *c, struct err *e) MUST_CHECK;
void pg_read_end(struct pg_catalog *c, struct pg_conn *db, struct mono began);

/* ---- writing (catalog_postgres_write.c) ------------------------------------------------ */

struct pg_tx {
        struct pg_catalog *c;
        struct pg_conn *db;
        struct wall now; /* the database's */
        int64_t *texts;  /* assets whose searchable text changed */
        size_t ntexts, texts_cap;
        struct pg_delta { /* of a counter; written at the end, in one order for all */
                char owner[OWNER_MAX + 1];
                int kind, status;
                int64_t n, bytes;
        } * deltas;
        size_t ndeltas, deltas_cap;
        struct pg_progress { /* of a job */
                int64_t job, delta[ASSET_STATUS_COUNT];
        } * jobs;
        size_t njobs, jobs_cap;
};
typedef int pg_write_fn(struct pg_tx *tx, void *arg, struct err *e);

/*
 * Runs fn(tx, arg) in a transaction and returns after its commit. It may run
 * more than once, so it must not read from arg what it wrote there. Whatever it
 * wrote counts only if 0 came back.
 */
int pg_write(struct pg_catalog *c, pg_write_fn *fn, void *arg, struct err *e) MUST_CHECK;

#define COUNTER_OBJECTS (-1) /* kinds of counters, owner "" */
#define COUNTER_WAITING (-2)

int pg_tx_text(struct pg_tx *tx, int64_t asset, struct err *e) MUST_CHECK;
/* Brings the full-text table up to date with the marked assets (catalog_postgres_text.c). */
int pg_text_flush(struct pg_tx *tx, struct err *e) MUST_CHECK;
/*
 * Folders, sums and who is where are changed by one transaction of an owner at a
 * time, over all instances; it is the first thing such a transaction locks.
 */
int pg_lock_owner(struct pg_tx *tx, const char *owner, struct err *e) MUST_CHECK;
int pg_lock_owner_of_asset(struct pg_tx *tx, struct id asset, struct err *e) MUST_CHECK;
int pg_lock_owner_of_folder(struct pg_tx *tx, struct id folder, struct err *e) MUST_CHECK;

/* ---- changes that several topics share ---------------------------------------------------- */

/* An asset as writers look at it. */
struct row {
        int64_t n, job;
        struct id id, cluster; /* nil: none */
        char owner[OWNER_MAX + 1];
        enum asset_kind kind;
        enum job_type type;
        enum asset_status status;
        bool trashed, pinned;
        float similarity; /* < 0: unknown */
        uint64_t size;
        struct sha256 sha256;
};
/* Both lock the row. owner NULL: any. ERR_NOT_FOUND. (catalog_postgres_change.c) */
int pg_row_find(struct pg_tx *tx, struct id id, const char *owner, struct row *out, struct err *e) MUST_CHECK;
int pg_row_load(struct pg_tx *tx, int64_t n, struct row *out, struct err *e) MUST_CHECK;
/* The one place where an asset's status changes: counters and job follow. */
int pg_row_set_status(struct pg_tx *tx, struct row *r, enum asset_status to, struct err *e) MUST_CHECK;
int pg_row_set_trashed(struct pg_tx *tx, struct row *r, bool trashed, struct err *e) MUST_CHECK;
int pg_counter_add(struct pg_tx *tx, const char *owner, int kind, int status, int64_t n, int64_t bytes,
                   struct err *e) MUST_CHECK;
/* Takes delta of each status off or onto the job; its state and times follow at the end. */
int pg_job_count(struct pg_tx *tx, int64_t job, enum asset_status status, int delta, struct err *e) MUST_CHECK;
/* Writes what was counted. */
int pg_count_flush(struct pg_tx *tx, struct err *e) MUST_CHECK;
/* The one place where a task's state changes; asserts that the move is legal. */
int pg_task_move(struct pg_tx *tx, int64_t task, enum task_state from, enum task_state to, struct err *e) MUST_CHECK;
int pg_task_add(struct pg_tx *tx, int64_t asset, enum job_type type, struct err *e) MUST_CHECK;
/* The lease a worker brings, its task locked, or ERR_STALE. (catalog_postgres_task.c) */
int pg_lease_find(struct pg_tx *tx, const struct task *t, int64_t *n, int64_t *asset, struct err *e) MUST_CHECK;
int pg_lineage_add(struct pg_tx *tx, int64_t asset, const char *action, const char *actor, const char *detail,
                   struct err *e) MUST_CHECK;
/* Human tags are replaced when human, else all the others. */
int pg_tags_replace(struct pg_tx *tx, int64_t asset, bool human, const struct tag *tags, size_t n,
                    struct err *e) MUST_CHECK;
/* Give a purged asset's object back: *orphan when nothing refers to it. */
int pg_object_drop(struct pg_tx *tx, const struct sha256 *h, bool *orphan, struct err *e) MUST_CHECK;
/* What a step made of an object. */
int pg_step_keep(struct pg_tx *tx, const struct sha256 *object, const char *step, const char *version, struct span data,
                 struct err *e) MUST_CHECK;

/* ---- places (catalog_postgres_place.c); the owner is locked ------------------------------------- */

struct folder {
        struct id id;
        char owner[OWNER_MAX + 1];
        char name[NAME_MAX_BYTES + 1];
        enum cluster_status status;
        float threshold;
        bool locked, touched, named;
        uint64_t count, version;
};
/* ERR_NOT_FOUND; an alias is not followed. owner NULL: any. */
int pg_folder_find(struct pg_tx *tx, struct id id, const char *owner, struct folder *out, struct err *e) MUST_CHECK;
int pg_folder_find_name(struct pg_tx *tx, const char *owner, const char *name, struct id *out,
                        struct err *e) MUST_CHECK; /* 1, 0, -1 */
/* ERR_CONFLICT when the name is taken. */
int pg_folder_add(struct pg_tx *tx, const struct folder *f, struct err *e) MUST_CHECK;
/* A person did something to it. */
int pg_folder_touch(struct pg_tx *tx, struct id id, struct err *e) MUST_CHECK;
/* Move an asset (nil: to unsorted): prototypes of all models, counts, the row itself. r is updated. */
int pg_row_place(struct pg_tx *tx, struct row *r, struct id to, bool pinned, float similarity,
                 struct err *e) MUST_CHECK;
/* The vectors of an asset onto (sign 1) or off (-1) a folder's prototypes, and the member onto its count. */
int pg_folder_member(struct pg_tx *tx, struct id cluster, int64_t asset, int sign, struct err *e) MUST_CHECK;
/* One vector onto or off the sum of (cluster, model). */
int pg_prototype_add(struct pg_tx *tx, struct id cluster, int64_t model, const float *v, size_t dim, int sign,
                     int members, struct err *e) MUST_CHECK;
/* Assign or found, members included; self NULL: members only. ERR_CONFLICT when it no longer holds. */
int pg_placement_apply(struct pg_tx *tx, const char *owner, struct row *self, const struct placement *p,
                       const char *actor, struct err *e) MUST_CHECK;

/* An operation's record; items are added while the assets still are where they were. */
int pg_operation_add(struct pg_tx *tx, const char *owner, const char *actor, const char *kind, const struct id *cluster,
                     const char *detail, struct id *id, int64_t *n, struct err *e) MUST_CHECK;
int pg_operation_item(struct pg_tx *tx, int64_t op, int64_t asset, const struct id *to, struct err *e) MUST_CHECK;
/* The model's number; made when new. ERR_CONFLICT when it has another dimension. */
int pg_model_number(struct pg_tx *tx, const char *id, uint32_t dim, int64_t *n, struct err *e) MUST_CHECK;

/* ---- reading assets and filters (catalog_postgres_asset.c, _filter.c) ---------------------------- */

#define SQL_MAX   16384
#define BINDS_MAX 64
struct sql { /* a statement built from parts; values are bound, never spliced */
        struct buf text;
        struct arena *arena;
        struct bind {
                char type; /* as pg_query's letters: l, t, u, h, f */
                int64_t l; /* f: how many */
                const void *p;
        } binds[BINDS_MAX];
        size_t n;
        bool failed;
};
void pg_sql_init(struct sql *q, struct arena *a);
void pg_sql_done(struct sql *q);
void pg_sql_put(struct sql *q, const char *text);
void pg_sql_int(struct sql *q, const char *text, int64_t v); /* text has one ? */
void pg_sql_text(struct sql *q, const char *text, const char *v);
void pg_sql_id(struct sql *q, const char *text, const struct id *v);
void pg_sql_sha(struct sql *q, const char *text, const struct sha256 *v);
void pg_sql_vector(struct sql *q, const char *text, const float *v, size_t dim);
/* " AND a.kind IN (0,2)": numbers, not values, so that the planner knows how many they are. */
void pg_sql_set(struct sql *q, const char *column, uint32_t bits);
/* Run; the caller frees the rows. NULL on error. */
struct pg_rows *pg_sql_run(struct sql *q, struct pg_conn *db, struct err *e) MUST_CHECK;
struct pg_rows *pg_query_binds(struct pg_conn *db, const char *sql, const struct bind *binds, size_t n,
                               struct err *e) MUST_CHECK;
void pg_rows_free(struct pg_rows *s); /* of the two above; NULL is fine */
/* " WHERE …" over alias a of asset; always begins with the trash condition. */
int pg_sql_filter(struct sql *q, const struct asset_filter *f, struct err *e) MUST_CHECK;

/* Columns of an asset in the order pg_asset_read wants them; from asset a, job j, LEFT cluster c. */
#define ASSET_SELECT                                                                                                   \
        "SELECT a.n, a.id, j.id, a.kind, a.type, a.status, a.stage, a.error, a.error_code, a.filename, "               \
        "a.content_type, a.owner, a.comments, a.sha256, a.size, a.created, a.updated, a.trashed, a.metadata, a.note, " \
        "a.cluster, c.name, c.status, a.pinned, a.similarity, a.duplicate_of "                                         \
        "FROM asset a JOIN job j ON j.n = a.job LEFT JOIN cluster c ON c.id = a.cluster "
int pg_asset_read(struct pg_conn *db, struct pg_rows *s, struct arena *a, struct asset *out, struct err *e) MUST_CHECK;

#endif
