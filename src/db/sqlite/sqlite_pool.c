/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers: a few connections, each handed out to one caller at a time; the wait for one is bounded. In WAL mode they
 * read while the writer writes; each use is one read transaction.
 */
#include "db/sqlite/sqlite_priv.h"
#include "metrics/metrics.h"

#define WAIT_SECONDS 10

int pool_open(struct sqlite_database *d, struct err *e)
{
        for (unsigned i = 0; i < POOL_SIZE; i++)
                if (conn_open(&d->pool[i], d->path, CONN_READER, d->functions, e))
                        return -1;
        return 0;
}

void pool_close(struct sqlite_database *d)
{
        assert(d->in_use == 0);
        for (unsigned i = 0; i < POOL_SIZE; i++)
                conn_close(&d->pool[i]);
}

static struct conn *take_reader(struct sqlite_database *d)
{
        struct mono deadline = mono_add(mono_now(), dur_s(WAIT_SECONDS));
        struct conn *db = NULL;
        bool in_time = true;

        lock_take(&d->plock);
        d->readers_waiting++;
        while (d->in_use == POOL_SIZE && in_time)
                in_time = cond_wait_until(&d->pcond, &d->plock, deadline);
        d->readers_waiting--;
        for (unsigned i = 0; i < POOL_SIZE && !db; i++) {
                if (d->taken[i])
                        continue;
                d->taken[i] = true;
                d->in_use++;
                db = &d->pool[i];
        }
        lock_drop(&d->plock);
        return db;
}

static void give_back(struct sqlite_database *d, struct conn *db)
{
        lock_take(&d->plock);
        d->taken[db - d->pool] = false;
        d->in_use--;
        cond_signal(&d->pcond);
        lock_drop(&d->plock);
}

struct db *sqlite_read(struct database *base, struct err *e)
{
        struct sqlite_database *d = sqlite_of(base);
        struct conn *db = take_reader(d);

        if (!db) {
                err_set(e, ERR_BUSY, "catalog: all %d readers were busy for %d s", POOL_SIZE, WAIT_SECONDS);
                return NULL;
        }
        db->base.now = wall_now();
        if (db_run(&db->base, e, "BEGIN", "") == 0)
                return &db->base;
        give_back(d, db);
        return NULL;
}

void sqlite_read_end(struct database *base, struct db *db, struct mono began)
{
        struct err ignored;

        /* Ending a read cannot lose anything; if it failed, a ROLLBACK ends it. */
        if (db_run(db, &ignored, "COMMIT", ""))
                sqlite3_exec(conn_of(db)->h, "ROLLBACK", NULL, NULL, NULL);
        give_back(sqlite_of(base), conn_of(db));
        metrics_observe(METRIC_DB_DURATION, dur_seconds(mono_since(began)), "read");
}
