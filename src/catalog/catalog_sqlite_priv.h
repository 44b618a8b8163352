/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQLite engine's insides. One writer thread owns the only connection that
 * writes; everything that changes the catalog is a function of type write_fn
 * run by it inside a savepoint. Reads go through a small pool.
 */
#ifndef FA_CATALOG_SQLITE_PRIV_H
#define FA_CATALOG_SQLITE_PRIV_H

#include "catalog/catalog_priv.h"
#include "vector/vector.h"

#include <sqlite3.h>
#include <string.h>

#define POOL_SIZE  8
#define STMT_SLOTS 512

/* ---- connections and statements (catalog_sqlite_db.c) ------------------------- */

struct conn {
        sqlite3 *h;
        struct stmt_slot {
                const char *sql; /* by address: cached statements are string literals */
                sqlite3_stmt *s;
        } slots[STMT_SLOTS];
        size_t used;
};

int conn_open(struct conn *db, const char *path, bool writer, struct err *e) MUST_CHECK;
void conn_close(struct conn *db);
/* What SQLite's code means to us. -1. */
int db_error(struct conn *db, int rc, struct err *e);

/*
 * A cached statement, bound by fmt, one letter an argument: i int, l int64_t,
 * d double, t const char * (NULL → NULL), u const struct id * (NULL → NULL),
 * h const struct sha256 *, b const void * and size_t. The values must outlive the
 * steps. NULL on error.
 */
sqlite3_stmt *db_query(struct conn *db, struct err *e, const char *sql, const char *fmt, ...) MUST_CHECK;
/* 1 a row, 0 the end, -1 error; the statement is free again after the latter two. */
int db_step(struct conn *db, sqlite3_stmt *s, struct err *e) MUST_CHECK;
/* Free a statement before its end. */
void db_end(sqlite3_stmt *s);
/* Query and run to the end. 0 or -1; db_changes tells how many rows. */
int db_run(struct conn *db, struct err *e, const char *sql, const char *fmt, ...) MUST_CHECK;
int64_t db_changes(struct conn *db);
/* Query for one row with one number: 1, 0 no row, -1. NULL counts as no row. */
int db_int(struct conn *db, struct err *e, int64_t *out, const char *sql, const char *fmt, ...) MUST_CHECK;

struct id col_id(sqlite3_stmt *s, int i);
struct sha256 col_sha(sqlite3_stmt *s, int i);
static inline struct wall col_wall(sqlite3_stmt *s, int i)
{
        return (struct wall){sqlite3_column_int64(s, i)};
}
static inline uint64_t col_u64(sqlite3_stmt *s, int i)
{
        return (uint64_t)sqlite3_column_int64(s, i);
}
static inline bool col_null(sqlite3_stmt *s, int i)
{
        return sqlite3_column_type(s, i) == SQLITE_NULL;
}
/* Copy a text into the arena; NULL stays NULL. *ok becomes false on OOM. */
const char *col_text(struct arena *a, sqlite3_stmt *s, int i, bool *ok);

/* ---- the engine ------------------------------------------------------------------ */

struct index;

struct write;
struct write_queue {
        struct write *head, **tail;
};
enum lane { LANE_ACK, LANE_RESULT, LANE_BULK, LANE_COUNT };

struct sqlite_catalog {
        struct catalog base;
        char *path, *data_path;
        struct dur idempotency_ttl;
        unsigned phash_distance;
        float folder_threshold;
        uint64_t queue_max_depth;

        struct conn wdb; /* the writer thread's */
        pthread_t writer;
        bool writer_runs;
        struct lock wlock; /* guards the queues and stop */
        struct cond wcond; /* the writer waits on it */
        struct write_queue lanes[LANE_COUNT];
        bool stop;
        atomic_uint writes_waiting;
        int wal_pages;   /* the writer's */
        int64_t waiting; /* tasks ready or leased; the writer's */

        struct lock plock; /* guards the pool */
        struct cond pcond;
        struct conn pool[POOL_SIZE];
        bool taken[POOL_SIZE];
        unsigned in_use, readers_waiting;

        pthread_t keeper; /* warms the index and moves the WAL into the database, off the writer */
        bool keeper_runs;
        struct lock klock;
        struct cond kcond;
        atomic_bool keeper_stop;
        bool want_load, want_checkpoint, want_save;

        struct index *index;
};

static inline struct sqlite_catalog *self_of(struct catalog *c)
{
        return (struct sqlite_catalog *)c;
}

#define CATALOG_OP(name) catalog_##name##_fn sqlite_##name;
#include "catalog/catalog_ops.def"
#undef CATALOG_OP

int sqlite_migrate(struct conn *db, struct err *e) MUST_CHECK;

/* ---- reading (catalog_sqlite_pool.c) ------------------------------------------------ */

int pool_open(struct sqlite_catalog *c, struct err *e) MUST_CHECK;
void pool_close(struct sqlite_catalog *c);
/* A connection inside a read transaction: all its queries see one state. NULL: ERR_BUSY after 10 s of waiting, or an
 * error. */
struct conn *read_begin(struct sqlite_catalog *c, struct err *e) MUST_CHECK;
void read_end(struct sqlite_catalog *c, struct conn *db, struct mono began);

/* ---- writing (catalog_sqlite_write.c) ------------------------------------------------ */

/* A change of the index to make after the commit; the truth is read again then. */
struct event {
        enum { EVENT_VECTOR, EVENT_ROW, EVENT_FOLDER, EVENT_RELABEL } kind;
        int64_t asset;         /* VECTOR (and row), ROW */
        struct id cluster, to; /* FOLDER: its prototype; RELABEL: all members now in to (nil: unsorted) */
};

struct tx {
        struct sqlite_catalog *c;
        struct conn *db;
        struct wall now;
        struct event *events;
        size_t nevents, events_cap;
        int64_t *texts; /* assets whose searchable text changed */
        size_t ntexts, texts_cap;
        int64_t waiting; /* change of the count of waiting tasks */
};
typedef int write_fn(struct tx *tx, void *arg, struct err *e);

/* Runs fn(tx, arg) on the writer thread and returns after its commit. Whatever fn wrote to arg counts only if 0 came
 * back. */
int write_do(struct sqlite_catalog *c, enum lane lane, write_fn *fn, void *arg, struct err *e) MUST_CHECK;
int writer_start(struct sqlite_catalog *c, struct err *e) MUST_CHECK;
void writer_stop(struct sqlite_catalog *c); /* after all queued writes */

int tx_event(struct tx *tx, struct event ev, struct err *e) MUST_CHECK;
int tx_text(struct tx *tx, int64_t asset, struct err *e) MUST_CHECK;
/* Brings the full-text tables up to date with the marked assets (catalog_sqlite_text.c). */
int text_flush(struct tx *tx, struct err *e) MUST_CHECK;

int keeper_start(struct sqlite_catalog *c, struct err *e) MUST_CHECK;
void keeper_stop(struct sqlite_catalog *c);
void keeper_ask(struct sqlite_catalog *c, bool *what); /* sets one of the want_ flags and wakes it */

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
/* owner NULL: any. ERR_NOT_FOUND. (catalog_sqlite_change.c) */
int row_find(struct tx *tx, struct id id, const char *owner, struct row *out, struct err *e) MUST_CHECK;
int row_load(struct tx *tx, int64_t n, struct row *out, struct err *e) MUST_CHECK;
/* The one place where an asset's status changes: counters and job follow. */
int row_set_status(struct tx *tx, struct row *r, enum asset_status to, struct err *e) MUST_CHECK;
int row_set_trashed(struct tx *tx, struct row *r, bool trashed, struct err *e) MUST_CHECK;
/* kind -1 with owner "": objects. */
int counter_add(struct tx *tx, const char *owner, int kind, int status, int64_t n, int64_t bytes,
                struct err *e) MUST_CHECK;
/* Takes delta of each status off or onto the job and sets its state and times. */
int job_count(struct tx *tx, int64_t job, enum asset_status status, int delta, struct err *e) MUST_CHECK;
int job_settle(struct tx *tx, int64_t job, struct err *e) MUST_CHECK;
/* The one place where a task's state changes; asserts that the move is legal. */
int task_move(struct tx *tx, int64_t task, enum task_state from, enum task_state to, struct err *e) MUST_CHECK;
/* The lease a worker brings, or ERR_STALE. (catalog_sqlite_task.c) */
int lease_find(struct tx *tx, const struct task *t, int64_t *n, int64_t *asset, struct err *e) MUST_CHECK;
int task_add(struct tx *tx, int64_t asset, enum job_type type, struct err *e) MUST_CHECK;
int lineage_add(struct tx *tx, int64_t asset, const char *action, const char *actor, const char *detail,
                struct err *e) MUST_CHECK;
/* Human tags are replaced when human, else all the others. */
int tags_replace(struct tx *tx, int64_t asset, bool human, const struct tag *tags, size_t n, struct err *e) MUST_CHECK;
/* Give a purged asset's object back: *orphan when nothing refers to it. */
int object_drop(struct tx *tx, const struct sha256 *h, bool *orphan, struct err *e) MUST_CHECK;

/* ---- places (catalog_sqlite_place.c) ---------------------------------------------------------- */

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
int folder_find(struct tx *tx, struct id id, const char *owner, struct folder *out, struct err *e) MUST_CHECK;
int folder_find_name(struct tx *tx, const char *owner, const char *name, struct id *out,
                     struct err *e) MUST_CHECK; /* 1, 0, -1 */
/* ERR_CONFLICT when the name is taken. */
int folder_add(struct tx *tx, const struct folder *f, struct err *e) MUST_CHECK;
/* A person did something to it. */
int folder_touch(struct tx *tx, struct id id, struct err *e) MUST_CHECK;
/* Move an asset (nil: to unsorted): prototypes of all models, counts, the row itself. r is updated. */
int row_place(struct tx *tx, struct row *r, struct id to, bool pinned, float similarity, struct err *e) MUST_CHECK;
/* The vectors of an asset onto (sign 1) or off (-1) a folder's prototypes, and the member onto its count. */
int folder_member(struct tx *tx, struct id cluster, int64_t asset, int sign, struct err *e) MUST_CHECK;
/* One vector onto or off the sum of (cluster, model). */
int prototype_add(struct tx *tx, struct id cluster, int64_t model, const float *v, size_t dim, int sign, int members,
                  struct err *e) MUST_CHECK;
/* Assign or found, members included; self NULL: members only. ERR_CONFLICT when it no longer holds. */
int placement_apply(struct tx *tx, const char *owner, struct row *self, const struct placement *p, const char *actor,
                    struct err *e) MUST_CHECK;

/* An operation's record; items are added while the assets still are where they were. */
int operation_add(struct tx *tx, const char *owner, const char *actor, const char *kind, const struct id *cluster,
                  const char *detail, struct id *id, int64_t *n, struct err *e) MUST_CHECK;
int operation_item(struct tx *tx, int64_t op, int64_t asset, const struct id *to, struct err *e) MUST_CHECK;
/* The model's number; made when new. ERR_CONFLICT when it has another dimension. */
int model_number(struct tx *tx, const char *id, uint32_t dim, int64_t *n, struct err *e) MUST_CHECK;

/* ---- reading assets and filters (catalog_sqlite_asset.c, _filter.c) ---------------------------- */

#define SQL_MAX   16384
#define BINDS_MAX 64
struct sql { /* a statement built from parts; values are bound, never spliced */
        struct buf text;
        struct arena *arena;
        struct bind {
                char type; /* as db_query's letters: l, t, u, h */
                int64_t l;
                const void *p;
        } binds[BINDS_MAX];
        size_t n;
        bool failed;
        bool scan_names; /* compare names one by one: most of them match */
};
void sql_init(struct sql *q, struct arena *a);
void sql_done(struct sql *q);
void sql_put(struct sql *q, const char *text);
void sql_int(struct sql *q, const char *text, int64_t v); /* text has one ? */
void sql_text(struct sql *q, const char *text, const char *v);
void sql_id(struct sql *q, const char *text, const struct id *v);
void sql_sha(struct sql *q, const char *text, const struct sha256 *v);
/* Prepared and bound; the caller finalizes. NULL on error. */
sqlite3_stmt *sql_prepare(struct sql *q, struct conn *db, struct err *e) MUST_CHECK;
/* " WHERE …" over alias a of asset; always begins with the trash condition. */
int sql_filter(struct sql *q, const struct asset_filter *f, struct err *e) MUST_CHECK;

/* Columns of an asset in the order asset_read wants them; from asset a, job j, LEFT cluster c. */
#define ASSET_SELECT                                                                                                   \
        "SELECT a.n, a.id, j.id, a.kind, a.type, a.status, a.stage, a.error, a.error_code, a.filename, "               \
        "a.content_type, a.owner, a.comments, a.sha256, a.size, a.created, a.updated, a.trashed, a.metadata, a.note, " \
        "a.cluster, c.name, c.status, a.pinned, a.similarity, a.duplicate_of "                                         \
        "FROM asset a JOIN job j ON j.n = a.job LEFT JOIN cluster c ON c.id = a.cluster "
int asset_read(struct conn *db, sqlite3_stmt *s, struct arena *a, struct asset *out, struct err *e) MUST_CHECK;

/* ---- the index in memory (catalog_sqlite_index*.c) ------------------------------------------------ */

struct index *index_new(void) MUST_CHECK;
void index_free(struct index *x);
/* Writer thread, after a commit: bring the index up to date. It cannot fail: without memory the index goes back to
 * warming. */
void index_apply(struct sqlite_catalog *c, const struct event *events, size_t n);
/* Keeper: load vectors and prototypes of the model wanted, then have the writer install them. */
void index_load(struct sqlite_catalog *c);
/* Write the cache file if it is behind; gives up when writes wait (unless final). */
void index_save(struct sqlite_catalog *c, bool final);
/* The model in use; ERR_UNAVAILABLE when none was chosen. */
int index_model(struct sqlite_catalog *c, int64_t *model, uint32_t *dim, struct err *e) MUST_CHECK;
int index_drop(struct sqlite_catalog *c, struct err *e) MUST_CHECK; /* and load again */
int index_epoch(struct conn *db, int64_t *out, struct err *e) MUST_CHECK;

#endif
