/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine brings beside the database: how it stores what is searched, how it searches, how it opens. */
#ifndef FA_CATALOG_ENGINE_PRIV_H
#define FA_CATALOG_ENGINE_PRIV_H

#include "catalog/catalog_part.h"
#include "catalog/catalog_rules.h"

struct search_engine {
        const char *name; /* "sqlite", "postgresql" */
        void (*close)(struct catalog *c);
        void (*note)(struct catalog *c, char *out, size_t max); /* what is wrong, or ""; NULL: nothing ever is */
        /* Tasks ready or leased, for QUEUE_MAX_DEPTH. */
        int (*waiting)(struct tx *tx, int64_t *n, struct err *e);

        int (*event)(struct tx *tx, struct event ev, struct err *e);
        /* The vector of one of the asset's parts, unit, in place of an older one. */
        int (*vector_put)(struct tx *tx, const struct row *r, enum part_kind kind, int64_t part, int64_t model,
                          const float *v, uint32_t dim, struct err *e);
        /* The sum of (cluster, model); n 0: the first. */
        int (*prototype_put)(struct tx *tx, int64_t n, const struct id *cluster, int64_t model, int64_t count,
                             const float *sum, size_t dim, struct err *e);
        /* A row of part, with its words. */
        int (*part_add)(struct tx *tx, int64_t asset, const struct new_part *p, int64_t *n, struct err *e);
        /* Words find all texts of parts again. */
        int (*parts_again)(struct tx *tx, struct err *e);
        /* What is searchable of the asset by words, as it is now; nothing if it is gone. */
        int (*text_put)(struct db *db, int64_t asset, struct arena *a, struct err *e);

        int (*use_model)(struct catalog *c, const char *id, int64_t model, uint32_t dim, struct err *e);
        /* Of a model in use; ERR_UNAVAILABLE when it is none. */
        int (*model)(struct catalog *c, const char *id, int64_t *model, uint32_t *dim, struct err *e);
        __typeof__(catalog_warm) *warm;
        __typeof__(catalog_vector_search) *vector_search;
        __typeof__(catalog_prototype_search) *prototype_search;
        int (*text_search)(struct db *db, const char *text, const struct asset_filter *f, size_t k, struct arena *a,
                           struct text_match *out, size_t *n, struct err *e);
        /* Whether any part has, or had, a text; NULL: nobody knows without a search. */
        bool (*parts_have_text)(struct catalog *c);
        int (*part_search)(struct db *db, const char *text, const struct asset_filter *f, size_t k, struct arena *a,
                           struct part_match *out, size_t *n, struct err *e);
        /* Before a read that finds by words: of what is committed now none will be missing.
         * NULL: words are indexed with the row. */
        void (*words_settle)(struct catalog *c, enum words_of what);
};

typedef int catalog_open_fn(const struct catalog_opts *opts, struct catalog **out, struct err *e);
catalog_open_fn catalog_sqlite_open, catalog_postgres_open;
__typeof__(catalog_migration_plan) catalog_sqlite_plan, catalog_postgres_plan;
/* What the options say, and nothing open yet. (catalog_setup.c) */
void catalog_init(struct catalog *c, enum dialect dialect, const struct search_engine *search,
                  const struct catalog_opts *opts);
/* The secret of cursors into c; after the migrations, which make it. */
int cursor_secret_load(struct catalog *c, struct db *db, struct err *e) MUST_CHECK;

#endif
