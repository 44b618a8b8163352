/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog's front door: picks an engine by the scheme of the URL, and hands
 * on what each does in its own way. The rules are in the files beside it.
 */
#include "catalog/catalog_engine_priv.h"
#include "metrics/metrics.h"

#include <stdio.h>

static bool begins_with(const char *url, const char *scheme)
{
        return url && strncmp(url, scheme, strlen(scheme)) == 0;
}

/* 0, or -1: nobody's. */
static int dialect_of(const char *url, enum dialect *out, struct err *e)
{
        if (begins_with(url, "sqlite://"))
                *out = DIALECT_SQLITE;
        else if (begins_with(url, "postgresql:") || begins_with(url, "postgresql+") || begins_with(url, "postgres:"))
                *out = DIALECT_POSTGRES;
        else
                return err_set(
                        e, ERR_INVALID,
                        "catalog url: allowed is sqlite:///path/to/catalog.db or postgresql://user@host/database");
        return 0;
}

int catalog_open(const struct catalog_opts *opts, struct catalog **out, struct err *e)
{
        enum dialect d;

        *out = NULL;
        if (dialect_of(opts->url, &d, e))
                return -1;
        return d == DIALECT_SQLITE ? catalog_sqlite_open(opts, out, e) : catalog_postgres_open(opts, out, e);
}

int catalog_migration_plan(const struct catalog_opts *opts, struct arena *a, struct migration_plan *out, struct err *e)
{
        enum dialect d;

        *out = (struct migration_plan){0};
        if (dialect_of(opts->url, &d, e))
                return -1;
        return d == DIALECT_SQLITE ? catalog_sqlite_plan(opts, a, out, e) : catalog_postgres_plan(opts, a, out, e);
}

void catalog_close(struct catalog *c)
{
        if (c)
                c->search->close(c);
}

int catalog_room(struct catalog *c, struct err *e)
{
        return database_room(c->database, e);
}

void catalog_state(struct catalog *c, struct catalog_state *out)
{
        struct mono began = mono_now();
        struct err e = {0};
        struct database_state d;
        struct db *db;
        int64_t one;

        database_state(c->database, &d);
        *out = (struct catalog_state){.engine = c->search->name,
                                      .pool_size = d.pool_size,
                                      .overflow = d.overflow,
                                      .max = d.max,
                                      .in_use = d.in_use,
                                      .idle = d.idle,
                                      .waiting = d.waiting};
        if (c->search->note)
                c->search->note(c, out->note, sizeof out->note);
        db = read_begin(c, &e);
        if (db) {
                out->ok = db_int(db, &e, &one, "SELECT max(version) FROM schema_version", "") > 0;
                read_end(c, db, began);
        }
        out->latency_ms = dur_seconds(mono_since(began)) * 1000;
        if (out->ok && !*out->note && catalog_room(c, &e) < 0)
                snprintf(out->note, sizeof out->note, "%.*s", (int)sizeof out->note - 1, e.msg);
        if (!out->ok)
                snprintf(out->note, sizeof out->note, "%.*s", (int)sizeof out->note - 1, e.msg);
        metrics_set(METRIC_DB_CONNECTIONS, out->in_use, "active");
        metrics_set(METRIC_DB_CONNECTIONS, out->idle, "idle");
}
