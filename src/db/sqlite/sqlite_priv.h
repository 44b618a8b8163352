/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internals of the SQLite engine. One writer thread owns the only connection that writes; every write is a write_fn
 * that this thread runs inside a savepoint. Reads use a small pool of connections.
 */
#ifndef FA_DB_SQLITE_PRIV_H
#define FA_DB_SQLITE_PRIV_H

#include "db/db_engine_priv.h"
#include "db/sqlite/sqlite.h"

#define POOL_SIZE 8

struct write;
struct write_queue {
        struct write *head, **tail;
};

struct sqlite_database {
        struct database base;
        char *path;
        uint64_t min_free;
        sqlite_functions_fn *functions;

        struct conn wdb; /* the writer thread's, and its transaction */
        struct tx wtx;
        pthread_t writer;
        bool writer_runs;
        struct lock wlock; /* guards the queues and stop */
        struct cond wcond; /* the writer waits on it */
        struct write_queue lanes[LANE_COUNT];
        bool stop;
        atomic_uint writes_waiting;
        int wal_pages; /* used by the writer thread only */

        struct lock plock; /* guards the pool */
        struct cond pcond;
        struct conn pool[POOL_SIZE];
        bool taken[POOL_SIZE];
        unsigned in_use, readers_waiting;

        pthread_t checkpointer; /* copies the WAL into the database, outside the writer thread */
        bool checkpointer_runs, checkpointer_stop, want_checkpoint;
        struct lock klock; /* guards the latter two */
        struct cond kcond;
};

static inline struct sqlite_database *sqlite_of(struct database *d)
{
        return (struct sqlite_database *)d;
}

/* Name of the VFS that a writing connection uses; NULL: SQLite's default. (sqlite_vfs.c) */
const char *sqlite_writer_vfs(void);
int sqlite_migrate(struct db *db, const struct db_migration *list, const struct migration_watch *watch,
                   struct err *e) MUST_CHECK; /* watch may be NULL */

/* ---- reading (sqlite_pool.c) ------------------------------------------------ */

__typeof__(database_read) sqlite_read;
__typeof__(database_read_end) sqlite_read_end;
int pool_open(struct sqlite_database *d, struct err *e) MUST_CHECK;
void pool_close(struct sqlite_database *d);

/* ---- writing (sqlite_write.c) ------------------------------------------------ */

__typeof__(database_write) sqlite_write;
__typeof__(database_writes_waiting) sqlite_writes_waiting;
int writer_start(struct sqlite_database *d, struct err *e) MUST_CHECK;
void writer_stop(struct sqlite_database *d); /* returns after all queued writes are done */

/* ---- the WAL and its volume (sqlite_wal.c) -------------------------------------- */

__typeof__(database_room) sqlite_room;
void wal_watch(struct sqlite_database *d); /* counts the WAL's pages at every commit of the writer */
void wal_tend(struct sqlite_database *d);  /* writer thread, after a commit: starts a checkpoint when one is due */
void wal_ask(struct sqlite_database *d);   /* wakes the checkpointer */
int checkpointer_start(struct sqlite_database *d, struct err *e) MUST_CHECK;
void checkpointer_stop(struct sqlite_database *d);

#endif
