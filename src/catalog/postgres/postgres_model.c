/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Models in use and their HNSW indexes. Each model has a partial index of its
 * own, over its dimension. The keeper, a thread on a connection of its own,
 * builds it CONCURRENTLY once exact searches would get long; until it is valid
 * they stay exact. An advisory lock lets one instance build, and what a build
 * that was cut off left behind is dropped before the next. It also sweeps the
 * marks that writes leave.
 */
#include "catalog/postgres/postgres_priv.h"

#include <stdio.h>

#define LOOK_SECONDS 60
#define HNSW_DIM_MAX 4000 /* of halfvec, in pgvector 0.8 */
#define INDEX_LOCK   "7733091250041988"

/* Under klock. NULL: it is not in use. */
static struct pg_model *model_of(struct pg_catalog *c, const char *id)
{
        for (size_t i = 0; i < c->nmodels; i++)
                if (strcmp(c->models[i].id, id) == 0)
                        return &c->models[i];
        return NULL;
}

int pg_model(struct catalog *base, const char *id, int64_t *model, uint32_t *dim, struct err *e)
{
        struct pg_catalog *c = pg_catalog_of(base);
        const struct pg_model *m;

        lock_take(&c->klock);
        m = model_of(c, id);
        if (m) {
                *model = m->n;
                *dim = m->dim;
        }
        lock_drop(&c->klock);
        return m ? 0 : err_set(e, ERR_UNAVAILABLE, "warming: model %.100s is not in use", id);
}

bool pg_model_indexed(struct pg_catalog *c, int64_t model)
{
        bool indexed = false;

        lock_take(&c->klock);
        for (size_t i = 0; i < c->nmodels; i++)
                indexed |= c->models[i].n == model && c->models[i].indexed;
        lock_drop(&c->klock);
        return indexed;
}

int pg_use_model(struct catalog *base, const char *id, int64_t model, uint32_t dim, struct err *e)
{
        struct pg_catalog *c = pg_catalog_of(base);
        struct pg_model *m;

        lock_take(&c->klock);
        m = model_of(c, id);
        if (!m && c->nmodels < MODELS_MAX) {
                m = &c->models[c->nmodels++];
                snprintf(m->id, sizeof m->id, "%s", id);
        }
        if (m) {
                m->n = model;
                m->dim = dim;
                m->indexed = false;
        }
        c->want_index = true;
        cond_signal(&c->kcond);
        lock_drop(&c->klock);
        return m ? 0 : err_set(e, ERR_INVALID, "%d models are in use already", MODELS_MAX);
}

/* Vectors are where they are searched: nothing has to be loaded. */
bool pg_warm(struct catalog *base)
{
        struct pg_catalog *c = pg_catalog_of(base);
        bool warm;

        lock_take(&c->klock);
        warm = c->nmodels > 0;
        lock_drop(&c->klock);
        return warm;
}

/* ---- the index ---------------------------------------------------------------------- */

/* 1 valid, 0 not there, 2 there but left behind half made, -1. */
static int index_look(struct db *db, int64_t model, struct err *e)
{
        char name[48];
        int64_t valid = 0;
        int rc;

        snprintf(name, sizeof name, "embedding_hnsw_%lld", (long long)model);
        rc = db_int(db, e, &valid, "SELECT i.indisvalid::integer FROM pg_index i WHERE i.indexrelid = to_regclass(?)",
                    "t", name);
        return rc <= 0 ? rc : valid ? 1 : 2;
}

/*
 * ef_construction is twice pgvector's default: pictures of one event are so
 * many and so alike that with 64 a node knew little but its own event, and a
 * million vectors were searched with a recall below 0.95 (tools/bench).
 */
static int index_build(struct db *db, int64_t model, uint32_t dim, struct err *e)
{
        char sql[320];

        snprintf(sql, sizeof sql, "DROP INDEX CONCURRENTLY IF EXISTS \"embedding_hnsw_%lld\"", (long long)model);
        if (pg_exec(db, sql, e))
                return -1;
        snprintf(sql, sizeof sql,
                 "CREATE INDEX CONCURRENTLY \"embedding_hnsw_%lld\" ON embedding USING hnsw ((vec::halfvec(%u)) "
                 "halfvec_cosine_ops) WITH (m = 16, ef_construction = 128) WHERE model = %lld AND trashed = 0",
                 (long long)model, dim, (long long)model);
        return pg_exec(db, sql, e);
}

/* 1 there is one, 0 none is needed yet, -1. */
static int index_tend(struct pg_catalog *c, struct db *db, int64_t model, uint32_t dim, struct err *e)
{
        int64_t many = 0, mine = 0;
        int rc = index_look(db, model, e);

        if (rc == 1 || rc < 0)
                return rc;
        if (dim > HNSW_DIM_MAX)
                return 0;
        if (db_int(db, e, &many, "SELECT count(*) FROM (SELECT 1 FROM embedding WHERE model = ? LIMIT ?) AS few", "ll",
                   model, c->exact_max + 1) < 0)
                return -1;
        if (many <= c->exact_max)
                return 0;
        if (db_int(db, e, &mine, "SELECT pg_try_advisory_lock(" INDEX_LOCK ")::integer", "") < 0)
                return -1;
        if (!mine)
                return 0; /* another instance is at it: seen at the next look */
        rc = index_look(db, model, e);
        if (rc != 1)
                rc = rc < 0 || index_build(db, model, dim, e) ? -1 : 1;
        if (pg_exec(db, "SELECT pg_advisory_unlock(" INDEX_LOCK ")", e))
                pg_of(db)->broken = true;
        return rc;
}

/* Models in use whose index is not there yet, one after the other. */
static int tend_all(struct pg_catalog *c, struct db *db, struct err *e)
{
        struct pg_model m;
        int rc = 0;

        for (size_t i = 0; rc >= 0; i++) {
                lock_take(&c->klock);
                if (i < c->nmodels)
                        m = c->models[i];
                else
                        rc = 1;
                lock_drop(&c->klock);
                if (rc)
                        return 0;
                if (m.indexed)
                        continue;
                rc = index_tend(c, db, m.n, m.dim, e);
                if (rc < 0)
                        break;
                lock_take(&c->klock);
                c->models[i].indexed = rc == 1;
                lock_drop(&c->klock);
                rc = 0;
        }
        return rc;
}

static void look_at_models(struct pg_catalog *c)
{
        struct err e = {0};
        struct pg_conn *conn;
        struct db *db;
        int rc;

        if (!(conn = pg_database_connect(c->base.database, &e)))
                return;
        db = &conn->base;
        /* A build of millions of rows takes hours, and a graph that fits in memory is built many times faster. */
        rc = pg_exec(db,
                     "SET statement_timeout = 0; SET lock_timeout = 0; SELECT set_config('maintenance_work_mem', "
                     "greatest(setting::bigint, 262144) || 'kB', false) FROM pg_settings "
                     "WHERE name = 'maintenance_work_mem'",
                     &e);
        lock_take(&c->klock);
        c->keeper_cancel = PQgetCancel(conn->h);
        lock_drop(&c->klock);
        if (rc == 0)
                rc = pg_marks_sweep(db, &e);
        if (rc == 0)
                rc = tend_all(c, db, &e);
        lock_take(&c->klock);
        PQfreeCancel(c->keeper_cancel);
        c->keeper_cancel = NULL;
        snprintf(c->keeper_note, sizeof c->keeper_note, "%.140s", rc < 0 ? e.msg : "");
        lock_drop(&c->klock);
        pg_disconnect(conn);
}

static void *keeper_main(void *arg)
{
        struct pg_catalog *c = arg;
        bool stop = false;

        while (!stop) {
                struct mono next = mono_add(mono_now(), dur_s(LOOK_SECONDS));
                bool in_time = true;
                lock_take(&c->klock);
                while (!c->want_index && !c->keeper_stop && in_time)
                        in_time = cond_wait_until(&c->kcond, &c->klock, next);
                stop = c->keeper_stop;
                c->want_index = false;
                lock_drop(&c->klock);
                if (!stop)
                        look_at_models(c);
        }
        return NULL;
}

int pg_keeper_start(struct pg_catalog *c, struct err *e)
{
        if (thread_start(&c->keeper, "catalog-keeper", keeper_main, c))
                return err_set(e, ERR_OOM, "catalog: cannot start the keeper thread");
        c->keeper_runs = true;
        return 0;
}

void pg_keeper_stop(struct pg_catalog *c)
{
        char why[128];

        if (!c->keeper_runs)
                return;
        lock_take(&c->klock);
        c->keeper_stop = true;
        /* A build that is under way is given up; the next instance begins it anew. */
        if (c->keeper_cancel)
                PQcancel(c->keeper_cancel, why, sizeof why);
        cond_signal(&c->kcond);
        lock_drop(&c->klock);
        pthread_join(c->keeper, NULL);
        c->keeper_runs = false;
}
