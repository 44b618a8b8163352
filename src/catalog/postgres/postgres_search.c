/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nearest neighbours under filters. Where a filter leaves few vectors all of
 * them are compared; else the model's HNSW index is walked, on and on until
 * enough rows have passed the filter. Either way half precision finds the
 * candidates, and of the best of them the stored f32 vectors decide; to fetch
 * those costs more than all the rest, so it is not done for a thousand.
 */
#include "catalog/postgres/postgres_priv.h"

#include <stdio.h>
#include <stdlib.h>

#define RESCORED 128      /* whose cosine is exact */
#define EF_MIN   200      /* a smaller walk saves little and misses much */
#define EF_MAX   1000     /* pgvector's limit */
#define SCAN_MAX "200000" /* rows an index walk looks at before it gives up */

/* ---- what is searched ---------------------------------------------------------------- */

int pg_vector_put(struct tx *tx, const struct row *r, enum part_kind kind, int64_t part, int64_t model, const float *v,
                  uint32_t dim, struct err *e)
{
        return db_run(tx->db, e,
                      "INSERT INTO embedding (part, model, unit, vec, owner, kind, cluster, trashed, part_kind) "
                      "VALUES (?, ?, ?, ?::vector::halfvec, ?, ?, ?, ?, ?) "
                      "ON CONFLICT (part, model) DO UPDATE SET unit = excluded.unit, vec = excluded.vec",
                      "llbftiuii", part, model, v, (size_t)dim * sizeof *v, v, (size_t)dim, r->owner, (int)r->kind,
                      id_is_nil(r->cluster) ? NULL : &r->cluster, (int)r->trashed, (int)kind);
}

int pg_prototype_put(struct tx *tx, int64_t n, const struct id *cluster, int64_t model, int64_t count, const float *sum,
                     size_t dim, struct err *e)
{
        float direction[VECTOR_MAX_DIM], *unit = direction;

        memcpy(direction, sum, dim * sizeof *sum);
        if (!vec_normalise(direction, dim))
                unit = NULL;
        if (n)
                return db_run(tx->db, e,
                              "UPDATE cluster_prototype SET count = ?, sum = ?, unit = ?::vector WHERE n = ?", "lbfl",
                              count, sum, dim * sizeof *sum, unit, dim, n);
        return db_run(tx->db, e,
                      "INSERT INTO cluster_prototype (cluster, model, count, sum, unit) VALUES (?, ?, ?, ?, ?::vector)",
                      "ullbf", cluster, model, count, sum, dim * sizeof *sum, unit, dim);
}

/* The columns that embedding repeats follow the asset. Vectors and prototypes are searched where they are stored. */
int pg_event(struct tx *tx, struct event ev, struct err *e)
{
        switch (ev.kind) {
        case EVENT_ROW:
                return db_run(tx->db, e,
                              "UPDATE embedding SET cluster = a.cluster, trashed = (a.trashed > 0)::integer FROM asset "
                              "a JOIN part p ON p.asset = a.n WHERE a.n = ? AND embedding.part = p.n",
                              "l", ev.asset);
        case EVENT_RELABEL:
                return db_run(tx->db, e, "UPDATE embedding SET cluster = ? WHERE cluster = ?", "uu",
                              id_is_nil(ev.to) ? NULL : &ev.to, &ev.cluster);
        default:
                return 0;
        }
}

/* ---- nearest vectors ----------------------------------------------------------------- */

static bool has_filter(const struct asset_filter *f)
{
        return f->owner || f->kinds || f->parts || f->cluster_id || filter_needs_asset(f);
}

/* The filter on the columns that embedding has itself; numbers that choose the partial index stand there literally. */
static int put_filter(struct sql *q, int64_t model, const struct asset_filter *f, struct err *e)
{
        struct asset_filter rest = *f;

        buf_printf(&q->text, " WHERE x.model = %lld AND x.trashed = 0", (long long)model);
        if (f->owner)
                sql_text(q, " AND x.owner = ?", f->owner);
        if (f->kinds)
                sql_set(q, "x.kind", f->kinds);
        if (f->parts)
                sql_set(q, "x.part_kind", f->parts);
        if (f->cluster_id && id_is_nil(*f->cluster_id))
                sql_put(q, " AND x.cluster IS NULL AND x.kind = 0");
        else if (f->cluster_id)
                sql_id(q, " AND x.cluster = ?", f->cluster_id);
        if (!filter_needs_asset(f))
                return 0;
        rest.trashed = false;
        rest.kinds = 0;
        rest.cluster_id = NULL;
        sql_put(q, " AND x.part IN (SELECT p.n FROM asset a JOIN part p ON p.asset = a.n");
        if (sql_filter(q, &rest, e))
                return -1;
        sql_put(q, ")");
        return 0;
}

/* How many the filter leaves, counted no further than past the limit of an exact search. */
static int left_of(struct pg_catalog *c, struct db *db, int64_t model, const struct asset_filter *f, struct arena *a,
                   int64_t *left, struct err *e)
{
        struct rows *s = NULL;
        struct sql q;

        sql_init(&q, db, a);
        sql_put(&q, "SELECT count(*) FROM (SELECT 1 FROM embedding x");
        if (put_filter(&q, model, f, e) == 0) {
                sql_int(&q, " LIMIT ?) AS few", c->exact_max + 1);
                s = sql_run(&q, e);
        }
        if (s && db_step(db, s, e) > 0)
                *left = col_i64(s, 0);
        rows_free(s);
        sql_done(&q);
        return s ? 0 : -1;
}

struct query {
        const float *q;
        const struct asset_filter *f;
        int64_t model;
        uint32_t dim;
        size_t want;
};

static float cosine_of(const struct query *g, struct rows *s)
{
        float v[VECTOR_MAX_DIM];

        if (col_null(s, 2) || (size_t)col_bytes(s, 2) != g->dim * sizeof(float))
                return 1 - (float)col_f64(s, 1);
        memcpy(v, col_blob(s, 2), g->dim * sizeof(float));
        return vec_dot(g->q, v, g->dim);
}

/*
 * "+ 0" keeps the planner from the index, or from taking the walk's order for
 * that of the distances, which in a relaxed walk it nearly is. The wide column
 * lies out of line and is fetched only where CASE asks for it.
 */
static int find_candidates(struct db *db, const struct query *g, bool indexed, struct arena *a,
                           struct vector_match **out, size_t *n, struct err *e)
{
        struct rows *s = NULL;
        struct sql q;

        *n = 0;
        sql_init(&q, db, a);
        buf_printf(&q.text,
                   "SELECT a.id, near.distance, CASE WHEN near.place <= %d THEN near.unit END, near.part, "
                   "near.part_kind FROM (SELECT best.*, row_number() OVER (ORDER BY best.distance + 0) AS place FROM "
                   "(SELECT x.part, x.part_kind, x.unit, "
                   "((x.vec::halfvec(%u)) <=> ",
                   RESCORED, g->dim);
        sql_vector(&q, "?::vector", g->q, g->dim);
        buf_printf(&q.text, "::halfvec(%u))%s AS distance FROM embedding x", g->dim, indexed ? "" : " + 0");
        if (put_filter(&q, g->model, g->f, e) == 0) {
                buf_printf(&q.text,
                           " ORDER BY distance LIMIT %zu) AS best) AS near JOIN part p ON p.n = near.part "
                           "JOIN asset a ON a.n = p.asset",
                           g->want);
                s = sql_run(&q, e);
        }
        sql_done(&q);
        if (!s)
                return -1;
        *out = mem_alloc(((size_t)PQntuples(((struct pg_rows *)s)->res) + 1) * sizeof **out);
        while (*out && db_step(db, s, e) > 0)
                (*out)[(*n)++] = (struct vector_match){.asset = col_id(s, 0),
                                                       .cosine = cosine_of(g, s),
                                                       .part = col_i64(s, 3),
                                                       .kind = (enum part_kind)col_int(s, 4)};
        rows_free(s);
        if (!*out)
                return err_oom(e);
        qsort(*out, *n, sizeof **out, match_cmp);
        return 0;
}

static int walk_index(struct db *db, const struct query *g, struct arena *a, struct vector_match **out, size_t *n,
                      struct err *e)
{
        char sql[160];

        snprintf(sql, sizeof sql,
                 "SET LOCAL hnsw.iterative_scan = relaxed_order; SET LOCAL hnsw.max_scan_tuples = " SCAN_MAX
                 "; SET LOCAL hnsw.ef_search = %zu",
                 g->want > EF_MAX   ? (size_t)EF_MAX
                 : g->want < EF_MIN ? (size_t)EF_MIN
                                    : g->want);
        return pg_exec(db, sql, e) ? -1 : find_candidates(db, g, true, a, out, n, e);
}

static int search_model(struct pg_catalog *c, struct db *db, const struct query *g, struct arena *a,
                        struct vector_match **out, size_t *n, struct err *e)
{
        int64_t left = INT64_MAX;

        if (!pg_model_indexed(c, g->model))
                return find_candidates(db, g, false, a, out, n, e);
        if (has_filter(g->f) && left_of(c, db, g->model, g->f, a, &left, e))
                return -1;
        if (left > c->exact_max) {
                if (walk_index(db, g, a, out, n, e))
                        return -1;
                if (*n >= g->want)
                        return 0;
                /* More pass the filter than the walk met: they are rare where the query is. */
                mem_free(*out);
                *out = NULL;
        }
        return find_candidates(db, g, false, a, out, n, e);
}

/* Where many parts of one asset are near, more are looked at until there are k assets. */
static int search_assets(struct pg_catalog *c, struct db *db, struct query *g, size_t k, struct arena *a,
                         struct vector_match *out, size_t *n, struct err *e)
{
        bool more = true;
        int rc = 0;

        for (g->want = k < RESCORED ? k + 64 : k; rc == 0 && more; g->want *= 4) {
                struct vector_match *found = NULL;
                size_t nfound = 0;
                rc = search_model(c, db, g, a, &found, &nfound, e);
                if (rc == 0)
                        rc = match_group(found, nfound, out, k, n, e);
                more = *n < k && nfound >= g->want && g->want < GROUPED_MAX;
                mem_free(found);
        }
        return rc;
}

int pg_vector_search(struct catalog *base, const char *model_id, const float *q, const struct asset_filter *f, size_t k,
                     struct vector_match *out, size_t *n, struct err *e)
{
        struct query g = {.q = q, .f = f};
        struct mono began = mono_now();
        struct db *db = NULL;
        struct arena *a;
        int rc = -1;

        if (pg_model(base, model_id, &g.model, &g.dim, e))
                return -1;
        a = arena_new(1 << 20);
        if (!a)
                return err_oom(e);
        db = read_begin(base, e);
        if (db) {
                rc = search_assets(pg_catalog_of(base), db, &g, k, a, out, n, e);
                read_end(base, db, began);
        }
        arena_free(a);
        return rc;
}

/* Always exact, in f32, on the server: an owner's folders are never fetched to place one asset. */
int pg_prototype_search(struct catalog *base, const char *model_id, const char *owner, const float *q, size_t k,
                        struct arena *a, struct prototype_match *out, size_t *n, struct err *e)
{
        struct mono began = mono_now();
        struct db *db;
        struct rows *s;
        int64_t model;
        uint32_t dim;
        bool ok = true;

        if (pg_model(base, model_id, &model, &dim, e) || !(db = read_begin(base, e)))
                return -1;
        s = db_query(
                db, e,
                "SELECT c.id, c.name, c.threshold, c.count, -(p.unit <#> ?3::vector) AS cosine FROM cluster c "
                "JOIN cluster_prototype p ON p.cluster = c.id WHERE c.owner = ?1 AND c.locked = 0 AND p.model = ?2 "
                "AND p.unit IS NOT NULL ORDER BY cosine DESC, c.n LIMIT ?4",
                "tlfl", owner, model, q, (size_t)dim, (int64_t)k);
        while (s && db_step(db, s, e) > 0)
                out[(*n)++] = (struct prototype_match){.cluster = col_id(s, 0),
                                                       .name = col_text(a, s, 1, &ok),
                                                       .threshold = (float)col_f64(s, 2),
                                                       .count = col_u64(s, 3),
                                                       .cosine = (float)col_f64(s, 4)};
        read_end(base, db, began);
        return !s ? -1 : ok ? 0 : err_oom(e);
}
