/* SPDX-License-Identifier: Apache-2.0 */
/* The PostgreSQL engine: opening, closing, and what it says of itself. */
#include "catalog/postgres/postgres.h"
#include "metrics/metrics.h"

#include <limits.h>
#include <stdio.h>

#define POOL_SIZE    10
#define MAX_OVERFLOW 20
#define POOL_SECONDS 5
#define EXACT_MAX    20000

void pg_close(struct catalog *base)
{
        struct pg_catalog *c = pg_self(base);

        pg_keeper_stop(c);
        pg_pool_close(c);
        lock_done(&c->plock);
        lock_done(&c->klock);
        cond_done(&c->kcond);
        mem_free(c->url);
        mem_free(c->password);
        mem_free(c);
}

char *pg_plain_url(const char *url)
{
        const char *colon = strchr(url, ':'), *plus = strchr(url, '+');
        size_t scheme, rest;
        char *out;

        if (!colon || !plus || plus > colon)
                return mem_strdup(url);
        scheme = (size_t)(plus - url);
        rest = strlen(colon);
        out = mem_alloc(scheme + rest + 1);
        if (out) {
                memcpy(out, url, scheme);
                memcpy(out + scheme, colon, rest + 1);
        }
        return out;
}

static struct pg_catalog *pg_new(const struct catalog_opts *opts)
{
        struct pg_catalog *c = mem_calloc(1, sizeof(*c));
        unsigned extra = opts->db_max_overflow == UINT_MAX ? 0
                         : opts->db_max_overflow           ? opts->db_max_overflow
                                                           : MAX_OVERFLOW;

        if (!c)
                return NULL;
        catalog_init(&c->base, &pg_engine, opts);
        c->size = opts->db_pool_size ? opts->db_pool_size : POOL_SIZE;
        c->max = c->size + extra;
        c->timeout = opts->db_pool_timeout.ns > 0 ? opts->db_pool_timeout : dur_s(POOL_SECONDS);
        c->exact_max = opts->vector_exact_max ? (int64_t)opts->vector_exact_max : EXACT_MAX;
        lock_init(&c->plock, "catalog pool", RANK_CATALOG_POOL);
        lock_init(&c->klock, "catalog keeper", RANK_CATALOG_INDEX);
        cond_init(&c->kcond);
        c->url = pg_plain_url(opts->url);
        c->password = opts->db_password && *opts->db_password ? mem_strdup(opts->db_password) : NULL;
        return c;
}

/* At the start a server that does not answer is an error at once, with its own words: somebody is watching. */
static int prepare(struct pg_catalog *c, const struct migration_watch *watch, struct err *e)
{
        const struct pg_login login = {.url = c->url, .password = c->password, .timeout = c->timeout};
        struct pg_conn *db = pg_connect(&login, e);
        int rc = db && pg_migrate(&db->base, watch, e) == 0 ? pg_copy_check(&db->base, e) : -1;

        if (rc == 0)
                rc = cursor_secret_load(&c->base, &db->base, e);
        pg_disconnect(db);
        return rc;
}

int catalog_postgres_open(const struct catalog_opts *opts, struct catalog **out, struct err *e)
{
        struct pg_catalog *c = pg_new(opts);

        if (!c)
                return err_oom(e);
        if (!c->url || (opts->db_password && *opts->db_password && !c->password)) {
                err_oom(e);
        } else if (prepare(c, opts->watch, e) == 0 && pg_keeper_start(c, e) == 0) {
                metrics_set(METRIC_DB_CONNECTIONS, c->max, "max");
                *out = &c->base;
                return 0;
        }
        pg_close(&c->base);
        return -1;
}

void pg_state(struct catalog *base, struct catalog_state *out)
{
        struct pg_catalog *c = pg_self(base);

        out->engine = "postgresql";
        out->pool_size = c->size;
        out->max = c->max;
        lock_take(&c->plock);
        out->overflow = c->open > c->size ? c->open - c->size : 0;
        out->in_use = c->open - c->nidle;
        out->idle = c->nidle;
        out->waiting = c->waiting;
        lock_drop(&c->plock);
        lock_take(&c->klock);
        snprintf(out->note, sizeof(out->note), "%s", c->keeper_note);
        lock_drop(&c->klock);
}
