/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WAL, and the space that it and the database need on their volume. A thread, the checkpointer, copies the WAL
 * into the database; the writer thread does so when the checkpointer cannot keep up. A checkpoint may grow the
 * database by all that the WAL holds, and on a volume without space for that no checkpoint could ever succeed: so the
 * less space is left, the earlier the WAL is copied, and the space it took is given back.
 */
#include "db/sqlite/sqlite_priv.h"

#include <sys/statvfs.h>

#define PAGE     4096
#define WAL_LOOK 256         /* pages: check how much space is left */
#define WAL_SOON 2000        /* pages: ask the checkpointer */
#define WAL_NOW  16000       /* pages: the checkpointer cannot keep up, the writer does it */
#define SHORT    (16u << 20) /* bytes: what the WAL grows to between checkpoints, twice */
#define LEAVE_MS 100         /* how long writes wait for readers to leave the WAL */

/* UINT64_MAX: not known; a fault of the volume shows at the next write. */
static uint64_t volume_left(const struct sqlite_database *d)
{
        struct statvfs v;

        return statvfs(d->path, &v) ? UINT64_MAX : (uint64_t)v.f_bavail * v.f_frsize;
}

/*
 * A WAL that was copied is overwritten from its beginning, but its file keeps its size; on a volume short of space it
 * is truncated.
 */
static void copy_wal(struct sqlite_database *d, sqlite3 *h)
{
        sqlite3_wal_checkpoint_v2(h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        if (volume_left(d) >= (d->min_free > SHORT ? d->min_free : SHORT))
                return;
        sqlite3_busy_timeout(h, LEAVE_MS);
        sqlite3_wal_checkpoint_v2(h, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        sqlite3_busy_timeout(h, DB_BUSY_MS);
}

/* db is opened on first use. What fails is tried again after the next commit. */
static void run_checkpoint(struct sqlite_database *d, struct conn *db)
{
        struct err e;

        if (!db->h && conn_open(db, d->path, CONN_WRITER, NULL, &e))
                return;
        if (!FAULT("catalog.checkpoint")) /* the next commit asks again */
                copy_wal(d, db->h);
}

/* ---- the checkpointer ------------------------------------------------------------------ */

void wal_ask(struct sqlite_database *d)
{
        lock_take(&d->klock);
        d->want_checkpoint = true;
        cond_signal(&d->kcond);
        lock_drop(&d->klock);
}

static void *checkpointer_main(void *arg)
{
        struct sqlite_database *d = arg;
        struct conn db = {0};
        bool stop = false;

        while (!stop) {
                lock_take(&d->klock);
                while (!d->want_checkpoint && !d->checkpointer_stop)
                        cond_wait(&d->kcond, &d->klock);
                d->want_checkpoint = false;
                stop = d->checkpointer_stop;
                lock_drop(&d->klock);
                if (!stop)
                        run_checkpoint(d, &db);
        }
        conn_close(&db);
        return NULL;
}

int checkpointer_start(struct sqlite_database *d, struct err *e)
{
        if (thread_start(&d->checkpointer, "catalog-wal", checkpointer_main, d))
                return err_set(e, ERR_OOM, "catalog: cannot start the checkpointer");
        d->checkpointer_runs = true;
        return 0;
}

void checkpointer_stop(struct sqlite_database *d)
{
        if (!d->checkpointer_runs)
                return;
        lock_take(&d->klock);
        d->checkpointer_stop = true;
        cond_signal(&d->kcond);
        lock_drop(&d->klock);
        pthread_join(d->checkpointer, NULL);
        d->checkpointer_runs = false;
}

/* ---- when it is copied ------------------------------------------------------------------ */

static int wal_grew(void *arg, sqlite3 *h, const char *schema, int pages)
{
        (void)h;
        (void)schema;
        ((struct sqlite_database *)arg)->wal_pages = pages;
        return SQLITE_OK;
}

void wal_watch(struct sqlite_database *d)
{
        sqlite3_wal_hook(d->wdb.h, wal_grew, d);
}

static bool must_copy_now(const struct sqlite_database *d)
{
        uint64_t bytes = (uint64_t)d->wal_pages * PAGE;

        return d->wal_pages > WAL_NOW || (d->wal_pages > WAL_LOOK && bytes > volume_left(d) / 2);
}

void wal_tend(struct sqlite_database *d)
{
        if (must_copy_now(d)) {
                copy_wal(d, d->wdb.h);
                d->wal_pages = 0; /* the hook tells better at the next commit */
        } else if (d->wal_pages > WAL_SOON) {
                wal_ask(d);
        }
}

/* ---- room ------------------------------------------------------------------------------- */

/* Unused pages: the file does not shrink, new rows fill them again. */
static int room_inside(struct database *base, uint64_t *bytes, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = sqlite_read(base, e);
        int64_t pages = 0, size = 0;
        int rc;

        if (!db)
                return -1;
        rc = db_int(db, e, &pages, "PRAGMA freelist_count", "") < 0 || db_int(db, e, &size, "PRAGMA page_size", "") < 0;
        sqlite_read_end(base, db, began);
        *bytes = (uint64_t)(pages * size);
        return rc ? -1 : 0;
}

int sqlite_room(struct database *base, struct err *e)
{
        struct sqlite_database *d = sqlite_of(base);
        uint64_t left = volume_left(d), inside;

        if (d->min_free == 0 || left >= d->min_free)
                return 0;
        wal_ask(d); /* truncating the WAL may free some */
        if (room_inside(base, &inside, e))
                return -1;
        if (left + inside >= d->min_free)
                return 0;
        return err_set(e, ERR_NO_SPACE,
                       "the volume of %.80s has %llu bytes free and %llu inside the file, less than MIN_FREE_SPACE "
                       "(%llu)",
                       d->path, (unsigned long long)left, (unsigned long long)inside, (unsigned long long)d->min_free);
}
