/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the catalog has of its own on PostgreSQL: vectors in pgvector and their
 * HNSW index, full text, and what a write leaves for its end.
 */
#ifndef FA_CATALOG_POSTGRES_PRIV_H
#define FA_CATALOG_POSTGRES_PRIV_H

#include "catalog/catalog_work_priv.h"
#include "catalog/postgres/postgres.h"

struct pg_catalog {
        struct catalog base;
        int64_t exact_max; /* a filter that leaves at most so many vectors is searched without the index */

        struct lock klock; /* guards the models and the keeper's wishes */
        struct cond kcond;
        pthread_t keeper;
        bool keeper_runs, keeper_stop, want_index;
        struct pg_model { /* one in use */
                char id[MODEL_ID_MAX];
                int64_t n;
                uint32_t dim;
                bool indexed; /* its HNSW index is there and valid */
        } models[MODELS_MAX];
        size_t nmodels;
        PGcancel *keeper_cancel; /* while it works */
        char keeper_note[160];   /* why there is no index, "" if all is well */
};

static inline struct pg_catalog *pg_catalog_of(struct catalog *c)
{
        return (struct pg_catalog *)c;
}

/* ---- the model in use (postgres_model.c) ------------------------------------------------ */

int pg_model(struct catalog *c, const char *id, int64_t *model, uint32_t *dim, struct err *e) MUST_CHECK;
int pg_use_model(struct catalog *c, const char *id, int64_t model, uint32_t dim, struct err *e) MUST_CHECK;
__typeof__(catalog_warm) pg_warm;
bool pg_model_indexed(struct pg_catalog *c, int64_t model);
int pg_keeper_start(struct pg_catalog *c, struct err *e) MUST_CHECK;
void pg_keeper_stop(struct pg_catalog *c);

/* ---- searching (postgres_search.c, _text.c) ---------------------------------- */

int pg_event(struct tx *tx, struct event ev, struct err *e) MUST_CHECK;
int pg_vector_put(struct tx *tx, const struct row *r, enum part_kind kind, int64_t part, int64_t model, const float *v,
                  uint32_t dim, struct err *e) MUST_CHECK;
int pg_prototype_put(struct tx *tx, int64_t n, const struct id *cluster, int64_t model, int64_t count, const float *sum,
                     size_t dim, struct err *e) MUST_CHECK;
__typeof__(catalog_vector_search) pg_vector_search;
__typeof__(catalog_prototype_search) pg_prototype_search;
int pg_text_search(struct db *db, const char *text, const struct asset_filter *f, size_t k, struct arena *a,
                   struct text_match *out, size_t *n, struct err *e) MUST_CHECK;
int pg_part_add(struct tx *tx, int64_t asset, const struct new_part *p, int64_t *n, struct err *e) MUST_CHECK;
int pg_parts_again(struct tx *tx, struct err *e) MUST_CHECK;
int pg_part_search(struct db *db, const char *text, const struct asset_filter *f, size_t k, struct arena *a,
                   struct part_match *out, size_t *n, struct err *e) MUST_CHECK;

#endif
