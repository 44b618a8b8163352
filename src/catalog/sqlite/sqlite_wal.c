/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The WAL, and the room it and the database need of their volume. The keeper
 * copies it into the database, the writer when the keeper cannot keep up. A
 * copy may make the database grow by all that the WAL holds, and on a volume
 * that has no room for it nothing could ever be copied again: so the less is
 * left, the earlier it is copied, and what was copied is given back.
 */
#include "catalog/sqlite/sqlite.h"

#include <sys/statvfs.h>

#define PAGE     4096
#define WAL_LOOK 256         /* pages: ask how much room is left */
#define WAL_SOON 2000        /* pages: ask the keeper for a checkpoint */
#define WAL_NOW  16000       /* pages: the keeper cannot keep up, do it here */
#define SHORT    (16u << 20) /* bytes: what the WAL grows to between checkpoints, twice */
#define LEAVE_MS 100         /* how long writes wait for readers to leave the WAL */

/* UINT64_MAX: not known; what is wrong with the volume shows at the write. */
static uint64_t volume_left(const struct sqlite_catalog *c)
{
        struct statvfs v;

        return statvfs(c->path, &v) < 0 ? UINT64_MAX : (uint64_t)v.f_bavail * v.f_frsize;
}

/*
 * A WAL that was copied is written again from its beginning, but stays as large
 * as it ever was: on a volume that is short of room it gives that back.
 */
static void copy_wal(struct sqlite_catalog *c, sqlite3 *h)
{
        sqlite3_wal_checkpoint_v2(h, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        if (volume_left(c) >= (c->base.min_free > SHORT ? c->base.min_free : SHORT))
                return;
        sqlite3_busy_timeout(h, LEAVE_MS);
        sqlite3_wal_checkpoint_v2(h, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
        sqlite3_busy_timeout(h, DB_BUSY_MS);
}

void wal_keep(struct sqlite_catalog *c, struct conn *db)
{
        struct err e;

        if (!db->h && conn_open(db, c->path, true, &e) < 0)
                return;
        if (!FAULT("catalog.checkpoint")) /* the next commit asks again */
                copy_wal(c, db->h);
}

static int wal_grew(void *arg, sqlite3 *h, const char *schema, int pages)
{
        (void)h;
        (void)schema;
        ((struct sqlite_catalog *)arg)->wal_pages = pages;
        return SQLITE_OK;
}

void wal_watch(struct sqlite_catalog *c)
{
        sqlite3_wal_hook(c->wdb.h, wal_grew, c);
}

static bool must_copy_now(const struct sqlite_catalog *c)
{
        uint64_t bytes = (uint64_t)c->wal_pages * PAGE;

        return c->wal_pages > WAL_NOW || (c->wal_pages > WAL_LOOK && bytes > volume_left(c) / 2);
}

void wal_tend(struct sqlite_catalog *c)
{
        if (must_copy_now(c)) {
                copy_wal(c, c->wdb.h);
                c->wal_pages = 0; /* the hook tells better at the next commit */
        } else if (c->wal_pages > WAL_SOON) {
                keeper_ask(c, &c->want_checkpoint);
        }
}

/* Pages that nothing uses any more: the file does not shrink, it fills them again. */
static int room_inside(struct catalog *c, uint64_t *bytes, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int64_t pages = 0, size = 0;
        int rc;

        if (!db)
                return -1;
        rc = db_int(db, e, &pages, "PRAGMA freelist_count", "") < 0 || db_int(db, e, &size, "PRAGMA page_size", "") < 0;
        read_end(c, db, began);
        *bytes = (uint64_t)(pages * size);
        return rc ? -1 : 0;
}

int sqlite_room(struct catalog *base, struct err *e)
{
        struct sqlite_catalog *c = self_of(base);
        uint64_t left = volume_left(c), inside;

        if (left >= base->min_free)
                return 0;
        keeper_ask(c, &c->want_checkpoint); /* the WAL may give some back */
        if (room_inside(base, &inside, e) < 0)
                return -1;
        if (left + inside >= base->min_free)
                return 0;
        return err_set(e, ERR_NO_SPACE,
                       "the volume of %.80s has %llu bytes free and %llu inside the file, less than MIN_FREE_SPACE "
                       "(%llu)",
                       c->path, (unsigned long long)left, (unsigned long long)inside,
                       (unsigned long long)base->min_free);
}
