/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQLite engine's insides. One writer thread owns the only connection that
 * writes; everything that changes the catalog is a function of type write_fn
 * run by it inside a savepoint. Reads go through a small pool.
 */
#ifndef FA_CATALOG_SQLITE_H
#define FA_CATALOG_SQLITE_H

#include "catalog/catalog_rules.h"

#include <sqlite3.h>

#define POOL_SIZE  8
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

int conn_open(struct conn *db, const char *path, bool writer, struct err *e) MUST_CHECK;
/* The function own_rank for this connection. A result code of SQLite. (sqlite_rank.c) */
int rank_register(sqlite3 *h) MUST_CHECK;
void conn_close(struct conn *db);
/* What SQLite's code means to us. -1. */
int db_error(struct conn *db, int rc, struct err *e);
extern const struct engine sqlite_engine;
/* The VFS a writing connection opens; NULL: SQLite's own. (sqlite_vfs.c) */
const char *sqlite_writer_vfs(void);

/* ---- the engine ------------------------------------------------------------------ */

struct index;

struct write;
struct write_queue {
        struct write *head, **tail;
};

struct sqlite_catalog {
        struct catalog base;
        char *path, *data_path;

        struct conn wdb; /* the writer thread's */
        pthread_t writer;
        bool writer_runs;
        struct lock wlock; /* guards the queues and stop */
        struct cond wcond; /* the writer waits on it */
        struct write_queue lanes[LANE_COUNT];
        bool stop;
        atomic_uint writes_waiting;
        int wal_pages;                            /* the writer's */
        int64_t waiting;                          /* tasks ready or leased; the writer's */
        _Atomic int64_t words_done, words_newest; /* assets up to here: committed with their words indexed, committed */

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

        struct index *indexes[MODELS_MAX]; /* one a model in use; added under klock, removed by closing only */
        atomic_size_t nindexes;
        struct helper *helper; /* scans along; NULL on one core */
};

static inline struct sqlite_catalog *self_of(struct catalog *c)
{
        return (struct sqlite_catalog *)c;
}

__typeof__(catalog_state) sqlite_state;
__typeof__(catalog_room) sqlite_room;
__typeof__(catalog_close) sqlite_close;
int sqlite_migrate(struct db *db, const struct migration_watch *watch,
                   struct err *e) MUST_CHECK; /* watch may be NULL */

/* ---- reading (sqlite_pool.c) ------------------------------------------------ */

__typeof__(read_begin) sqlite_read_begin;
__typeof__(read_end) sqlite_read_end;
int pool_open(struct sqlite_catalog *c, struct err *e) MUST_CHECK;
void pool_close(struct sqlite_catalog *c);

/* ---- writing (sqlite_write.c) ------------------------------------------------ */

struct sqlite_tx {
        struct tx base;
        struct event *events; /* changes of the index to make after the commit; the truth is read again then */
        size_t nevents, events_cap;
        int64_t words_done, words_newest; /* as they will be when this is committed */
};
__typeof__(write_do) sqlite_write;
__typeof__(tx_event) sqlite_event;
waiting_fn sqlite_waiting;
int writer_start(struct sqlite_catalog *c, struct err *e) MUST_CHECK;
void writer_stop(struct sqlite_catalog *c); /* after all queued writes */

/* ---- words of new assets (sqlite_words.c) -------------------------------------- */

int words_open(struct sqlite_catalog *c, struct err *e) MUST_CHECK;
/* How many asset numbers are committed and not indexed; some may be of assets that are gone. */
int64_t words_due(struct sqlite_catalog *c);
/* Before a commit: takes the new assets off the list of those to index now. */
void words_leave(struct sqlite_tx *all);
/* A write: indexes the next few hundred that are due. */
write_fn words_catch_up;
words_settle_fn sqlite_words_settle;

/* ---- searching (sqlite_search.c, _text.c) ------------------------------------ */

vector_put_fn sqlite_vector_put;
prototype_put_fn sqlite_prototype_put;
text_put_fn sqlite_text_put;
use_model_fn sqlite_use_model;
__typeof__(catalog_warm) sqlite_warm;
name_filter_fn sqlite_name_filter;
__typeof__(catalog_vector_search) sqlite_vector_search;
__typeof__(catalog_prototype_search) sqlite_prototype_search;
text_search_fn sqlite_text_search;

/* ---- the WAL and its volume (sqlite_wal.c) -------------------------------------- */

void wal_watch(struct sqlite_catalog *c); /* counts its pages at every commit of the writer */
void wal_tend(struct sqlite_catalog *c);  /* writer, after a commit: has it copied when it is time to */
/* Keeper: copies it into the database; db is opened at the first time. What fails is tried again after the next
 * commit. */
void wal_keep(struct sqlite_catalog *c, struct conn *db);

int keeper_start(struct sqlite_catalog *c, struct err *e) MUST_CHECK;
void keeper_stop(struct sqlite_catalog *c);
void keeper_ask(struct sqlite_catalog *c, bool *what); /* sets one of the want_ flags and wakes it */

/* ---- the index in memory (catalog_sqlite_index*.c) ------------------------------------------------ */

void index_free(struct index *x);
/* NULL: the model is not in use. */
struct index *index_of(struct sqlite_catalog *c, const char *model_id);
/* Writer thread, after a commit: bring the index up to date. It cannot fail: without memory the index goes back to
 * warming. */
void index_apply(struct sqlite_catalog *c, const struct event *events, size_t n);
/* Keeper: load vectors and prototypes of the model wanted, then have the writer install them. */
void index_load(struct sqlite_catalog *c);
/* Write the cache file if it is behind; gives up when writes wait (unless final). */
void index_save(struct sqlite_catalog *c, bool final);
model_fn index_model;
int index_epoch(struct db *db, int64_t *out, struct err *e) MUST_CHECK;

#endif
