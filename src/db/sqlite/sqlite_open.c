/* SPDX-License-Identifier: Apache-2.0 */
/* The SQLite engine: opening, closing, its state. */
#include "db/sqlite/sqlite_priv.h"
#include "metrics/metrics.h"

static void sqlite_state(struct database *base, struct database_state *out)
{
        struct sqlite_database *d = sqlite_of(base);

        out->pool_size = out->max = POOL_SIZE;
        lock_take(&d->plock);
        out->in_use = d->in_use;
        out->waiting = d->readers_waiting;
        lock_drop(&d->plock);
        out->idle = POOL_SIZE - out->in_use;
}

static void sqlite_close(struct database *base)
{
        struct sqlite_database *d = sqlite_of(base);

        checkpointer_stop(d);
        writer_stop(d);
        tx_close(&d->wtx, base);
        pool_close(d);
        /* Closing the last connection copies the WAL into the database and removes it. */
        conn_close(&d->wdb);
        lock_done(&d->wlock);
        lock_done(&d->plock);
        lock_done(&d->klock);
        cond_done(&d->wcond);
        cond_done(&d->pcond);
        cond_done(&d->kcond);
        mem_free(d->path);
        mem_free(d);
}

static const struct engine sqlite_engine = {
        .close = sqlite_close,
        .state = sqlite_state,
        .room = sqlite_room,
        .read = sqlite_read,
        .read_end = sqlite_read_end,
        .write = sqlite_write,
        .writes_waiting = sqlite_writes_waiting,
};

static struct sqlite_database *sqlite_new(const struct sqlite_opts *opts)
{
        struct sqlite_database *d = mem_calloc(1, sizeof *d);

        if (!d)
                return NULL;
        d->base = (struct database){.engine = &sqlite_engine, .hooks = opts->hooks, .owner = opts->owner};
        d->min_free = opts->min_free;
        d->functions = opts->functions;
        for (int lane = 0; lane < LANE_COUNT; lane++)
                d->lanes[lane].tail = &d->lanes[lane].head;
        lock_init(&d->wlock, "catalog writer", RANK_CATALOG_WRITER);
        lock_init(&d->plock, "catalog pool", RANK_CATALOG_POOL);
        lock_init(&d->klock, "catalog checkpointer", RANK_CATALOG_INDEX);
        cond_init(&d->wcond);
        cond_init(&d->pcond);
        cond_init(&d->kcond);
        d->path = mem_strdup(opts->path);
        return d;
}

static int sqlite_start(struct sqlite_database *d, const struct sqlite_opts *opts, struct err *e)
{
        if (!d->path)
                return err_oom(e);
        if (conn_open(&d->wdb, d->path, CONN_WRITER, d->functions, e) ||
            sqlite_migrate(&d->wdb.base, opts->migrations, opts->watch, e))
                return -1;
        if (opts->hooks->opened && opts->hooks->opened(opts->owner, &d->wdb.base, e) < 0)
                return -1;
        return pool_open(d, e) || writer_start(d, e) ? -1 : checkpointer_start(d, e);
}

int sqlite_database_open(const struct sqlite_opts *opts, struct database **out, struct err *e)
{
        struct sqlite_database *d = sqlite_new(opts);

        *out = NULL;
        if (!d)
                return err_oom(e);
        if (sqlite_start(d, opts, e)) {
                sqlite_close(&d->base);
                return -1;
        }
        metrics_set(METRIC_DB_CONNECTIONS, POOL_SIZE, "max");
        *out = &d->base;
        return 0;
}
