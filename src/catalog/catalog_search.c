/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front of all searches: what is asked is checked here, how it is found is
 * the engine's. Which model's vectors are searched is decided here as well.
 */
#include "catalog/catalog_engine_priv.h"

#define K_MAX 10000

/* ---- the model in use ------------------------------------------------------------------ */

int model_number(struct tx *tx, const char *id, uint32_t dim, int64_t *n, struct err *e)
{
        struct rows *s = db_query(tx->db, e, "SELECT n, dim FROM model WHERE id = ?", "t", id);
        int rc = s ? db_step(tx->db, s, e) : -1;
        int64_t has;

        if (dim == 0 || dim > VECTOR_MAX_DIM) {
                if (rc > 0)
                        db_end(s);
                return err_set(e, ERR_INVALID, "dimension: %u, allowed are 1 to %d", dim, VECTOR_MAX_DIM);
        }
        if (rc < 0)
                return -1;
        if (rc == 0)
                return db_int(tx->db, e, n, "INSERT INTO model (id, dim) VALUES (?, ?) RETURNING n", "ti", id,
                              (int)dim) < 0
                               ? -1
                               : 0;
        *n = col_i64(s, 0);
        has = col_i64(s, 1);
        db_end(s);
        if (has != dim)
                return err_set(e, ERR_CONFLICT, "model %s has %lld dimensions, not %u", id, (long long)has, dim);
        return 0;
}

struct model_args {
        const char *id;
        uint32_t dim;
        int64_t n;
};

static int do_model(struct tx *tx, void *arg, struct err *e)
{
        struct model_args *g = arg;

        return model_number(tx, g->id, g->dim, &g->n, e);
}

int catalog_use_model(struct catalog *c, const char *model_id, uint32_t dim, struct err *e)
{
        struct model_args g = {.id = model_id, .dim = dim};

        if (!*model_id || strlen(model_id) >= MODEL_ID_MAX)
                return err_set(e, ERR_INVALID, "model id: 1 to %d bytes", MODEL_ID_MAX - 1);
        if (write_do(c, LANE_RESULT, do_model, &g, e) < 0)
                return -1;
        return c->search->use_model(c, model_id, g.n, dim, e);
}

bool catalog_warm(struct catalog *c)
{
        return c->search->warm(c);
}

/* ---- searching --------------------------------------------------------------------------- */

int match_cmp(const void *a, const void *b)
{
        const struct vector_match *x = a, *y = b;

        if (x->cosine != y->cosine)
                return x->cosine > y->cosine ? -1 : 1;
        if (!id_eq(x->asset, y->asset))
                return id_cmp(x->asset, y->asset);
        return x->part < y->part ? -1 : x->part > y->part;
}

int match_group(const struct vector_match *m, size_t n, struct vector_match *out, size_t k, size_t *nout, struct err *e)
{
        struct idmap *seen = NULL;
        uint32_t at;
        int rc = 0;

        *nout = 0;
        for (size_t i = 0; i < n && !seen && rc == 0; i++)
                if (m[i].kind != PART_WHOLE && !(seen = idmap_new())) /* wholes alone meet no second time */
                        rc = err_oom(e);
        for (size_t i = 0; i < n && *nout < k && rc == 0; i++) {
                if (seen && idmap_get(seen, m[i].asset, &at))
                        continue;
                if (seen && idmap_put(seen, m[i].asset, 0))
                        rc = err_oom(e);
                out[(*nout)++] = m[i];
        }
        idmap_free(seen);
        return rc;
}

static int k_check(size_t k, struct err *e)
{
        return k <= K_MAX ? 0 : err_set(e, ERR_INVALID, "k: %zu, allowed are up to %d", k, K_MAX);
}

int catalog_vector_search(struct catalog *c, const char *model_id, const float *q, const struct asset_filter *f,
                          size_t k, struct vector_match *out, size_t *n, struct err *e)
{
        static const struct asset_filter none = {0};

        *n = 0;
        if (k_check(k, e))
                return -1;
        return k == 0 ? 0 : c->search->vector_search(c, model_id, q, f ? f : &none, k, out, n, e);
}

int catalog_vector_get(struct catalog *c, const char *model_id, struct id asset, float *out, struct err *e)
{
        struct mono began = mono_now();
        struct db *db;
        struct rows *s;
        int64_t model;
        uint32_t dim;
        int rc;

        if (c->search->model(c, model_id, &model, &dim, e) < 0 || !(db = read_begin(c, e)))
                return -1;
        s = db_query(
                db, e,
                SQL(db,
                    "SELECT x.vec FROM asset a JOIN part p ON p.asset = a.n AND p.kind = 0 JOIN embedding x ON x.part "
                    "= p.n AND x.model = ? WHERE a.id = ?",
                    "SELECT x.unit FROM asset a JOIN part p ON p.asset = a.n AND p.kind = 0 JOIN embedding x ON x.part "
                    "= p.n AND x.model = ? WHERE a.id = ?"),
                "lu", model, &asset);
        rc = s ? db_step(db, s, e) : -1;
        if (rc > 0) {
                rc = (size_t)col_bytes(s, 0) == dim * sizeof(float) ? 0 : -1;
                if (rc == 0)
                        memcpy(out, col_blob(s, 0), dim * sizeof(float));
                else
                        err_set(e, ERR_INTERNAL, "catalog: a vector of the wrong size");
                db_end(s);
        } else if (rc == 0) {
                rc = err_set(e, ERR_NOT_FOUND, "the asset has no vector of this model");
        }
        read_end(c, db, began);
        return rc;
}

int catalog_prototype_search(struct catalog *c, const char *model_id, const char *owner, const float *q, size_t k,
                             struct arena *a, struct prototype_match *out, size_t *n, struct err *e)
{
        *n = 0;
        if (k_check(k, e))
                return -1;
        return k == 0 ? 0 : c->search->prototype_search(c, model_id, owner, q, k, a, out, n, e);
}

void words_settle(struct catalog *c, enum words_of what)
{
        if (c->search->words_settle)
                c->search->words_settle(c, what);
}

int catalog_text_search(struct catalog *c, const char *text, const struct asset_filter *f, size_t k,
                        struct text_match *out, size_t *n, struct err *e)
{
        struct mono began = mono_now();
        struct asset_filter live = f ? *f : (struct asset_filter){0};
        struct arena *a;
        struct db *db;
        int rc = -1;

        *n = 0;
        if (k == 0 || !utf8_valid(span_of(text)))
                return 0;
        live.trashed = false;
        a = arena_new(64 << 20);
        if (!a)
                return err_oom(e);
        words_settle(c, WORDS_OF_ASSETS);
        db = read_begin(c, e);
        if (db) {
                rc = c->search->text_search(db, text, &live, k, a, out, n, e);
                read_end(c, db, began);
        }
        arena_free(a);
        return rc;
}

int catalog_part_search(struct catalog *c, const char *text, const struct asset_filter *f, size_t k,
                        struct part_match *out, size_t *n, struct err *e)
{
        struct mono began = mono_now();
        struct asset_filter live = f ? *f : (struct asset_filter){0};
        struct arena *a;
        struct db *db;
        int rc = -1;

        *n = 0;
        if (k_check(k, e))
                return -1;
        if (k == 0 || !utf8_valid(span_of(text)))
                return 0;
        if (c->search->parts_have_text && !c->search->parts_have_text(c))
                return 0;
        live.trashed = false;
        a = arena_new(64 << 20);
        if (!a)
                return err_oom(e);
        words_settle(c, WORDS_OF_PARTS);
        db = read_begin(c, e);
        if (db) {
                rc = c->search->part_search(db, text, &live, k, a, out, n, e);
                read_end(c, db, began);
        }
        arena_free(a);
        return rc;
}

int model_in_use(struct catalog *c, const char *id, int64_t *model, uint32_t *dim, struct err *e)
{
        return c->search->model(c, id, model, dim, e);
}
