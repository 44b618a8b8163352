/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQLite engine: opening, closing, its state, and the keeper, a thread for
 * what must not hold the writer up: loading vectors, copying the WAL into the
 * database, writing the cache file.
 */
#include "catalog/sqlite/sqlite.h"
#include "metrics/metrics.h"

#include <stdio.h>
#include <unistd.h>

/* ---- the keeper --------------------------------------------------------------------- */

void keeper_ask(struct sqlite_catalog *c, bool *what)
{
        lock_take(&c->klock);
        *what = true;
        cond_signal(&c->kcond);
        lock_drop(&c->klock);
}

static bool take_wish(bool *what)
{
        bool was = *what;

        *what = false;
        return was;
}

static void *keeper_main(void *arg)
{
        struct sqlite_catalog *c = arg;
        struct conn db = {0};
        bool load, copy, save;

        for (;;) {
                lock_take(&c->klock);
                while (!c->want_load && !c->want_checkpoint && !c->want_save && !atomic_load(&c->keeper_stop))
                        cond_wait(&c->kcond, &c->klock);
                load = take_wish(&c->want_load);
                copy = take_wish(&c->want_checkpoint);
                save = take_wish(&c->want_save);
                lock_drop(&c->klock);
                if (atomic_load(&c->keeper_stop))
                        break;
                if (copy)
                        wal_keep(c, &db);
                if (load)
                        index_load(c);
                if (save)
                        index_save(c, false);
        }
        conn_close(&db);
        return NULL;
}

int keeper_start(struct sqlite_catalog *c, struct err *e)
{
        if (thread_start(&c->keeper, "catalog-keeper", keeper_main, c) < 0)
                return err_set(e, ERR_OOM, "catalog: cannot start the keeper thread");
        c->keeper_runs = true;
        return 0;
}

void keeper_stop(struct sqlite_catalog *c)
{
        if (!c->keeper_runs)
                return;
        lock_take(&c->klock);
        atomic_store(&c->keeper_stop, true);
        cond_signal(&c->kcond);
        lock_drop(&c->klock);
        pthread_join(c->keeper, NULL);
        c->keeper_runs = false;
}

/* ---- opening and closing ---------------------------------------------------------------- */

void sqlite_close(struct catalog *base)
{
        struct sqlite_catalog *c = self_of(base);

        keeper_stop(c);
        writer_stop(c);
        index_save(c, true);
        pool_close(c);
        /* The last connection moves the WAL into the database and removes it. */
        conn_close(&c->wdb);
        helper_close(c->helper);
        for (size_t i = 0; i < atomic_load(&c->nindexes); i++)
                index_free(c->indexes[i]);
        lock_done(&c->wlock);
        lock_done(&c->plock);
        lock_done(&c->klock);
        cond_done(&c->wcond);
        cond_done(&c->pcond);
        cond_done(&c->kcond);
        mem_free(c->path);
        mem_free(c->data_path);
        mem_free(c);
}

static struct sqlite_catalog *sqlite_new(const struct catalog_opts *opts)
{
        struct sqlite_catalog *c = mem_calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        catalog_init(&c->base, &sqlite_engine, opts);
        for (int lane = 0; lane < LANE_COUNT; lane++)
                c->lanes[lane].tail = &c->lanes[lane].head;
        lock_init(&c->wlock, "catalog writer", RANK_CATALOG_WRITER);
        lock_init(&c->plock, "catalog pool", RANK_CATALOG_POOL);
        lock_init(&c->klock, "catalog keeper", RANK_CATALOG_INDEX);
        cond_init(&c->wcond);
        cond_init(&c->pcond);
        cond_init(&c->kcond);
        c->path = mem_strdup(opts->url + strlen("sqlite://"));
        c->data_path = mem_strdup(opts->data_path);
        return c;
}

static int vector_dir(struct sqlite_catalog *c, struct err *e)
{
        char path[4096];

        if (snprintf(path, sizeof(path), "%s/vector", c->data_path) >= (int)sizeof(path))
                return err_set(e, ERR_INVALID, "data path: too long");
        return dir_make(path, e);
}

int catalog_sqlite_open(const struct catalog_opts *opts, struct catalog **out, struct err *e)
{
        struct sqlite_catalog *c = sqlite_new(opts);

        if (!c)
                return err_oom(e);
        if (!c->path || !c->data_path) {
                err_oom(e);
        } else if (vector_dir(c, e) == 0 && conn_open(&c->wdb, c->path, true, e) == 0 &&
                   sqlite_migrate(&c->wdb.base, opts->watch, e) == 0 &&
                   cursor_secret_load(&c->base, &c->wdb.base, e) == 0 && pool_open(c, e) == 0 &&
                   writer_start(c, e) == 0 && keeper_start(c, e) == 0) {
                if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && helper_open("catalog-scan", &c->helper) < 0)
                        c->helper = NULL; /* then each scans alone */
                metrics_set(METRIC_DB_CONNECTIONS, POOL_SIZE, "max");
                *out = &c->base;
                return 0;
        }
        sqlite_close(&c->base);
        return -1;
}

void sqlite_state(struct catalog *base, struct catalog_state *out)
{
        struct sqlite_catalog *c = self_of(base);

        out->engine = "sqlite";
        out->pool_size = out->max = POOL_SIZE;
        lock_take(&c->plock);
        out->in_use = c->in_use;
        out->waiting = c->readers_waiting;
        lock_drop(&c->plock);
        out->idle = POOL_SIZE - out->in_use;
}
