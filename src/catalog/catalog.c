/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog's front door: picks an engine by the scheme of the URL, and hands
 * on what each does in its own way. The rules are in the files beside it.
 */
#include "catalog/catalog_priv.h"

#include <string.h>

int catalog_open(const struct catalog_opts *opts, struct catalog **out, struct err *e)
{
        *out = NULL;
        if (opts->url && strncmp(opts->url, "sqlite://", 9) == 0)
                return catalog_sqlite_open(opts, out, e);
        if (opts->url && (strncmp(opts->url, "postgresql:", 11) == 0 || strncmp(opts->url, "postgresql+", 11) == 0 ||
                          strncmp(opts->url, "postgres:", 9) == 0))
                return catalog_postgres_open(opts, out, e);
        return err_set(e, ERR_INVALID,
                       "catalog url: allowed is sqlite:///path/to/catalog.db or postgresql://user@host/database");
}

void catalog_close(struct catalog *c)
{
        if (c)
                c->engine->close(c);
}

const char *job_status_name(enum job_status s)
{
        static const char *const names[JOBS_STATUS_COUNT] = {"queued", "processing", "done", "failed", "partial"};

        assert((unsigned)s < COUNT_OF(names));
        return names[s];
}

bool error_is_input(enum err_code code)
{
        return code == ERR_INVALID || code == ERR_UNSUPPORTED || code == ERR_CORRUPT || code == ERR_TOO_LARGE;
}

const char *or_empty(const char *s)
{
        return s ? s : "";
}

int arena_grow(struct arena *a, void *pp, size_t *cap, size_t need, size_t elem, struct err *e)
{
        size_t want = *cap ? *cap * 2 : 16;
        void *old, *p;

        if (need <= *cap)
                return 0;
        if (want < need)
                want = need;
        p = arena_array(a, want, elem);
        if (!p)
                return err_oom(e);
        memcpy(&old, pp, sizeof(old));
        if (*cap)
                memcpy(p, old, *cap * elem);
        memcpy(pp, &p, sizeof(p));
        *cap = want;
        return 0;
}

void catalog_state(struct catalog *c, struct catalog_state *out)
{
        c->engine->state(c, out);
}

int catalog_use_model(struct catalog *c, const char *model_id, uint32_t dim, struct err *e)
{
        return c->engine->use_model(c, model_id, dim, e);
}

bool catalog_warm(struct catalog *c)
{
        return c->engine->warm(c);
}

int catalog_vector_search(struct catalog *c, const float *q, const struct asset_filter *f, size_t k,
                          struct vector_match *out, size_t *n, struct err *e)
{
        return c->engine->vector_search(c, q, f, k, out, n, e);
}

int catalog_text_search(struct catalog *c, const char *text, const struct asset_filter *f, size_t k,
                        struct text_match *out, size_t *n, struct err *e)
{
        return c->engine->text_search(c, text, f, k, out, n, e);
}

int catalog_prototype_search(struct catalog *c, const char *owner, const float *q, size_t k, struct arena *a,
                             struct prototype_match *out, size_t *n, struct err *e)
{
        return c->engine->prototype_search(c, owner, q, k, a, out, n, e);
}

int catalog_vector_get(struct catalog *c, struct id asset, float *out, struct err *e)
{
        struct mono began = mono_now();
        struct db *db;
        struct rows *s;
        int64_t model;
        uint32_t dim;
        int rc;

        if (c->engine->model(c, &model, &dim, e) < 0 || !(db = read_begin(c, e)))
                return -1;
        s = db_query(db, e,
                     SQL(db,
                         "SELECT x.vec FROM asset a JOIN embedding x ON x.asset = a.n AND x.model = ? WHERE a.id = ?",
                         "SELECT x.unit FROM asset a JOIN embedding x ON x.asset = a.n AND x.model = ? WHERE a.id = ?"),
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
                rc = err_set(e, ERR_NOT_FOUND, "the asset has no vector of the model in use");
        }
        read_end(c, db, began);
        return rc;
}
