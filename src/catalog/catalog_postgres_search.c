/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nearest neighbours under filters. Where a filter leaves few vectors all of
 * them are compared; else the model's HNSW index is walked, on and on until
 * enough rows have passed the filter. Either way half precision finds the
 * candidates, and of the best of them the stored f32 vectors decide; to fetch
 * those costs more than all the rest, so it is not done for a thousand.
 */
#include "catalog/catalog_postgres_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define K_MAX    10000
#define RESCORED 128      /* whose cosine is exact */
#define EF_MIN   200      /* a smaller walk saves little and misses much */
#define EF_MAX   1000     /* pgvector's limit */
#define SCAN_MAX "200000" /* rows an index walk looks at before it gives up */

static bool needs_asset(const struct asset_filter *f)
{
        return f->statuses || f->ntags || f->content_type || f->sha256 || (f->name && *f->name) || f->after.us ||
               f->before.us;
}

static bool narrows(const struct asset_filter *f)
{
        return f->owner || f->kinds || f->cluster_id || needs_asset(f);
}

/* The filter on the columns that embedding has itself; numbers that choose the partial index stand there literally. */
static int put_filter(struct sql *q, int64_t model, const struct asset_filter *f, struct err *e)
{
        struct asset_filter rest = *f;

        buf_printf(&q->text, " WHERE x.model = %lld AND x.trashed = 0", (long long)model);
        if (f->owner)
                pg_sql_text(q, " AND x.owner = ?", f->owner);
        if (f->kinds)
                pg_sql_set(q, "x.kind", f->kinds);
        if (f->cluster_id && id_is_nil(*f->cluster_id))
                pg_sql_put(q, " AND x.cluster IS NULL AND x.kind = 0");
        else if (f->cluster_id)
                pg_sql_id(q, " AND x.cluster = ?", f->cluster_id);
        if (!needs_asset(f))
                return 0;
        rest.trashed = false;
        rest.kinds = 0;
        rest.cluster_id = NULL;
        pg_sql_put(q, " AND x.asset IN (SELECT a.n FROM asset a");
        if (pg_sql_filter(q, &rest, e) < 0)
                return -1;
        pg_sql_put(q, ")");
        return 0;
}

/* How many the filter leaves, counted no further than past the limit of an exact search. */
static int left_of(struct pg_catalog *c, struct pg_conn *db, int64_t model, const struct asset_filter *f,
                   struct arena *a, int64_t *left, struct err *e)
{
        struct pg_rows *s = NULL;
        struct sql q;

        pg_sql_init(&q, a);
        pg_sql_put(&q, "SELECT count(*) FROM (SELECT 1 FROM embedding x");
        if (put_filter(&q, model, f, e) == 0) {
                pg_sql_int(&q, " LIMIT ?) AS few", c->exact_max + 1);
                s = pg_sql_run(&q, db, e);
        }
        if (s && pg_step(db, s, e) > 0)
                *left = pg_col_i64(s, 0);
        pg_rows_free(s);
        pg_sql_done(&q);
        return s ? 0 : -1;
}

struct query {
        const float *q;
        const struct asset_filter *f;
        int64_t model;
        uint32_t dim;
        size_t want;
};

static int by_cosine(const void *a, const void *b)
{
        const struct vector_match *x = a, *y = b;

        if (x->cosine != y->cosine)
                return x->cosine > y->cosine ? -1 : 1;
        return id_cmp(x->asset, y->asset);
}

static float cosine_of(const struct query *g, const struct pg_rows *s)
{
        float v[VECTOR_MAX_DIM];

        if (pg_col_null(s, 2) || (size_t)pg_col_bytes(s, 2) != g->dim * sizeof(float))
                return 1 - (float)pg_col_f64(s, 1);
        memcpy(v, pg_col_blob(s, 2), g->dim * sizeof(float));
        return vec_dot(g->q, v, g->dim);
}

/*
 * "+ 0" keeps the planner from the index, or from taking the walk's order for
 * that of the distances, which in a relaxed walk it nearly is. The wide column
 * lies out of line and is fetched only where CASE asks for it.
 */
static int candidates(struct pg_conn *db, const struct query *g, bool indexed, struct arena *a,
                      struct vector_match **out, size_t *n, struct err *e)
{
        struct pg_rows *s = NULL;
        struct sql q;

        *n = 0;
        pg_sql_init(&q, a);
        buf_printf(&q.text,
                   "SELECT a.id, near.distance, CASE WHEN near.place <= %d THEN near.unit END FROM (SELECT best.*, "
                   "row_number() OVER (ORDER BY best.distance + 0) AS place FROM (SELECT x.asset, x.unit, "
                   "((x.vec::halfvec(%u)) <=> ",
                   RESCORED, g->dim);
        pg_sql_vector(&q, "?::vector", g->q, g->dim);
        buf_printf(&q.text, "::halfvec(%u))%s AS distance FROM embedding x", g->dim, indexed ? "" : " + 0");
        if (put_filter(&q, g->model, g->f, e) == 0) {
                buf_printf(&q.text, " ORDER BY distance LIMIT %zu) AS best) AS near JOIN asset a ON a.n = near.asset",
                           g->want);
                s = pg_sql_run(&q, db, e);
        }
        pg_sql_done(&q);
        if (!s)
                return -1;
        *out = mem_alloc(((size_t)PQntuples(s->res) + 1) * sizeof(**out));
        while (*out && pg_step(db, s, e) > 0)
                (*out)[(*n)++] = (struct vector_match){.asset = pg_col_id(s, 0), .cosine = cosine_of(g, s)};
        pg_rows_free(s);
        if (!*out)
                return err_oom(e);
        qsort(*out, *n, sizeof(**out), by_cosine);
        return 0;
}

static int walk(struct pg_conn *db, const struct query *g, struct arena *a, struct vector_match **out, size_t *n,
                struct err *e)
{
        char sql[160];

        snprintf(sql, sizeof(sql),
                 "SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.max_scan_tuples = " SCAN_MAX
                 "; SET LOCAL hnsw.ef_search = %zu",
                 g->want > EF_MAX   ? (size_t)EF_MAX
                 : g->want < EF_MIN ? (size_t)EF_MIN
                                    : g->want);
        return pg_exec(db, sql, e) < 0 ? -1 : candidates(db, g, true, a, out, n, e);
}

static int search(struct pg_catalog *c, struct pg_conn *db, const struct query *g, struct arena *a,
                  struct vector_match **out, size_t *n, struct err *e)
{
        int64_t left = INT64_MAX;

        if (!pg_model_indexed(c))
                return candidates(db, g, false, a, out, n, e);
        if (narrows(g->f) && left_of(c, db, g->model, g->f, a, &left, e) < 0)
                return -1;
        if (left > c->exact_max) {
                if (walk(db, g, a, out, n, e) < 0)
                        return -1;
                if (*n >= g->want)
                        return 0;
                /* More pass the filter than the walk met: they are rare where the query is. */
                mem_free(*out);
                *out = NULL;
        }
        return candidates(db, g, false, a, out, n, e);
}

int catalog_pg_vector_search(struct catalog *base, const float *q, const struct asset_filter *f, size_t k,
                             struct vector_match *out, size_t *n, struct err *e)
{
        static const struct asset_filter none = {0};
        struct query g = {.q = q, .f = f ? f : &none, .want = k < RESCORED ? k + 64 : k};
        struct mono began = mono_now();
        struct vector_match *found = NULL;
        struct pg_conn *db = NULL;
        struct arena *a;
        size_t nfound = 0;
        int rc = -1;

        *n = 0;
        if (k > K_MAX)
                return err_set(e, ERR_INVALID, "k: %zu, allowed are up to %d", k, K_MAX);
        if (pg_model(pg_self(base), &g.model, &g.dim, e) < 0)
                return -1;
        if (k == 0)
                return 0;
        a = arena_new(1 << 20);
        if (!a)
                return err_oom(e);
        db = pg_read_begin(pg_self(base), e);
        if (db) {
                rc = search(pg_self(base), db, &g, a, &found, &nfound, e);
                pg_read_end(pg_self(base), db, began);
        }
        for (size_t i = 0; rc == 0 && i < nfound && i < k; i++)
                out[(*n)++] = found[i];
        mem_free(found);
        arena_free(a);
        return rc;
}

int catalog_pg_vector_get(struct catalog *base, struct id asset, float *out, struct err *e)
{
        struct mono began = mono_now();
        struct pg_conn *db;
        struct pg_rows *s;
        int64_t model;
        uint32_t dim;
        int rc;

        if (pg_model(pg_self(base), &model, &dim, e) < 0 || !(db = pg_read_begin(pg_self(base), e)))
                return -1;
        s = pg_query(db, e,
                     "SELECT x.unit FROM asset a JOIN embedding x ON x.asset = a.n AND x.model = ? WHERE a.id = ?",
                     "lu", model, &asset);
        rc = s ? pg_step(db, s, e) : -1;
        if (rc > 0) {
                rc = (size_t)pg_col_bytes(s, 0) == dim * sizeof(float) ? 0 : -1;
                if (rc == 0)
                        memcpy(out, pg_col_blob(s, 0), dim * sizeof(float));
                else
                        err_set(e, ERR_INTERNAL, "catalog: a vector of the wrong size");
                pg_end(s);
        } else if (rc == 0) {
                rc = err_set(e, ERR_NOT_FOUND, "the asset has no vector of the model in use");
        }
        pg_read_end(pg_self(base), db, began);
        return rc;
}

/* Always exact, in f32, on the server: an owner's folders are never fetched to place one asset. */
int catalog_pg_prototype_search(struct catalog *base, const char *owner, const float *q, size_t k, struct arena *a,
                                struct prototype_match *out, size_t *n, struct err *e)
{
        struct mono began = mono_now();
        struct pg_conn *db;
        struct pg_rows *s;
        int64_t model;
        uint32_t dim;
        bool ok = true;

        *n = 0;
        if (k > K_MAX)
                return err_set(e, ERR_INVALID, "k: %zu, allowed are up to %d", k, K_MAX);
        if (pg_model(pg_self(base), &model, &dim, e) < 0)
                return -1;
        if (k == 0)
                return 0;
        db = pg_read_begin(pg_self(base), e);
        if (!db)
                return -1;
        s = pg_query(
                db, e,
                "SELECT c.id, c.name, c.threshold, c.count, -(p.unit <#> ?3::vector) AS cosine FROM cluster c "
                "JOIN cluster_prototype p ON p.cluster = c.id WHERE c.owner = ?1 AND c.locked = 0 AND p.model = ?2 "
                "AND p.unit IS NOT NULL ORDER BY cosine DESC, c.n LIMIT ?4",
                "tlfl", owner, model, q, (size_t)dim, (int64_t)k);
        while (s && pg_step(db, s, e) > 0)
                out[(*n)++] = (struct prototype_match){.cluster = pg_col_id(s, 0),
                                                       .name = pg_col_text(a, s, 1, &ok),
                                                       .threshold = (float)pg_col_f64(s, 2),
                                                       .count = pg_col_u64(s, 3),
                                                       .cosine = (float)pg_col_f64(s, 4)};
        pg_read_end(pg_self(base), db, began);
        return !s ? -1 : ok ? 0 : err_oom(e);
}
