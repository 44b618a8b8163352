/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers: a few connections, handed out one caller each, with bounded waiting.
 * WAL lets them read while the writer writes; each use is one read transaction.
 */
#include "catalog/sqlite/sqlite.h"
#include "metrics/metrics.h"

#define WAIT_SECONDS 10

int pool_open(struct sqlite_catalog *c, struct err *e)
{
        for (unsigned i = 0; i < POOL_SIZE; i++)
                if (conn_open(&c->pool[i], c->path, false, e) < 0)
                        return -1;
        return 0;
}

void pool_close(struct sqlite_catalog *c)
{
        assert(c->in_use == 0);
        for (unsigned i = 0; i < POOL_SIZE; i++)
                conn_close(&c->pool[i]);
}

static struct conn *take(struct sqlite_catalog *c)
{
        struct mono deadline = mono_add(mono_now(), dur_s(WAIT_SECONDS));
        struct conn *db = NULL;
        bool in_time = true;

        lock_take(&c->plock);
        c->readers_waiting++;
        while (c->in_use == POOL_SIZE && in_time)
                in_time = cond_wait_until(&c->pcond, &c->plock, deadline);
        c->readers_waiting--;
        for (unsigned i = 0; i < POOL_SIZE && !db; i++) {
                if (c->taken[i])
                        continue;
                c->taken[i] = true;
                c->in_use++;
                db = &c->pool[i];
        }
        lock_drop(&c->plock);
        return db;
}

static void give_back(struct sqlite_catalog *c, struct conn *db)
{
        lock_take(&c->plock);
        c->taken[db - c->pool] = false;
        c->in_use--;
        cond_signal(&c->pcond);
        lock_drop(&c->plock);
}

struct db *sqlite_read_begin(struct catalog *base, struct err *e)
{
        struct sqlite_catalog *c = self_of(base);
        struct conn *db = take(c);

        if (!db) {
                err_set(e, ERR_BUSY, "catalog: all %d readers were busy for %d s", POOL_SIZE, WAIT_SECONDS);
                return NULL;
        }
        db->base.now = wall_now();
        if (db_run(&db->base, e, "BEGIN", "") == 0)
                return &db->base;
        give_back(c, db);
        return NULL;
}

void sqlite_read_end(struct catalog *c, struct db *db, struct mono began)
{
        struct err ignored;

        /* Ending a read cannot lose anything; if it failed, a ROLLBACK ends it. */
        if (db_run(db, &ignored, "COMMIT", "") < 0)
                sqlite3_exec(conn_of(db)->h, "ROLLBACK", NULL, NULL, NULL);
        give_back(self_of(c), conn_of(db));
        metrics_observe(METRIC_DB_DURATION, dur_seconds(mono_since(began)), "read");
}
