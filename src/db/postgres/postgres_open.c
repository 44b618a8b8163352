/* SPDX-License-Identifier: Apache-2.0 */
/* The PostgreSQL engine: opening, closing, its state. */
#include "db/postgres/postgres_priv.h"
#include "metrics/metrics.h"

#include <limits.h>

#define POOL_SIZE    10
#define MAX_OVERFLOW 20
#define POOL_SECONDS 5

static void pg_state(struct database *base, struct database_state *out)
{
        struct pg_database *d = pg_self(base);

        out->pool_size = d->size;
        out->max = d->max;
        lock_take(&d->plock);
        out->overflow = d->open > d->size ? d->open - d->size : 0;
        out->in_use = d->open - d->nidle;
        out->idle = d->nidle;
        out->waiting = d->waiting;
        lock_drop(&d->plock);
}

static void pg_close(struct database *base)
{
        struct pg_database *d = pg_self(base);

        pg_pool_close(d);
        lock_done(&d->plock);
        mem_free(d->url);
        mem_free(d->password);
        mem_free(d);
}

static const struct engine pg_engine = {
        .close = pg_close,
        .state = pg_state,
        .read = pg_read,
        .read_end = pg_read_end,
        .write = pg_write,
};

static struct pg_database *pg_new(const struct pg_opts *opts)
{
        struct pg_database *d = mem_calloc(1, sizeof *d);
        unsigned extra = opts->max_overflow == UINT_MAX ? 0 : opts->max_overflow ? opts->max_overflow : MAX_OVERFLOW;

        if (!d)
                return NULL;
        d->base = (struct database){.engine = &pg_engine, .hooks = opts->hooks, .owner = opts->owner};
        d->size = opts->pool_size ? opts->pool_size : POOL_SIZE;
        d->max = d->size + extra;
        d->timeout = opts->pool_timeout.ns > 0 ? opts->pool_timeout : dur_s(POOL_SECONDS);
        lock_init(&d->plock, "catalog pool", RANK_CATALOG_POOL);
        d->url = pg_plain_url(opts->url);
        return d;
}

struct pg_conn *pg_database_connect(struct database *base, struct err *e)
{
        const struct pg_login login = pg_login_of(pg_self(base));

        return pg_connect(&login, e);
}

/* At the start an unreachable server is an error at once, with libpq's own message: somebody is watching. */
static int prepare_database(struct pg_database *d, const struct pg_opts *opts, struct err *e)
{
        struct pg_conn *db = pg_database_connect(&d->base, e);
        int rc = db ? pg_tables_make(&db->base, &opts->tables, e) : -1;

        if (rc == 0 && opts->hooks->opened)
                rc = opts->hooks->opened(opts->owner, &db->base, e);
        pg_disconnect(db);
        return rc;
}

int pg_database_open(const struct pg_opts *opts, struct database **out, struct err *e)
{
        bool password = opts->password && *opts->password;
        struct pg_database *d = pg_new(opts);

        *out = NULL;
        if (!d)
                return err_oom(e);
        if (password)
                d->password = mem_strdup(opts->password);
        if (!d->url || (password && !d->password)) {
                err_oom(e);
        } else if (prepare_database(d, opts, e) == 0) {
                metrics_set(METRIC_DB_CONNECTIONS, d->max, "max");
                *out = &d->base;
                return 0;
        }
        pg_close(&d->base);
        return -1;
}
