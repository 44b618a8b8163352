/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the catalog has of its own on SQLite: the vectors of the model in use in
 * memory, full text in FTS5, and what follows a commit in either.
 */
#ifndef FA_CATALOG_SQLITE_PRIV_H
#define FA_CATALOG_SQLITE_PRIV_H

#include "catalog/catalog_work_priv.h"
#include "catalog/sqlite/sqlite.h"

struct index;

struct sqlite_catalog {
        struct catalog base;
        char *vector_dir;                         /* of the cache files */
        int64_t waiting;                          /* tasks ready or leased; the writer's */
        _Atomic int64_t words_done, words_newest; /* assets up to here: committed with their words indexed, committed */
        _Atomic int64_t parts_done, parts_newest; /* the same of parts that have a text */

        struct index *indexes[MODELS_MAX]; /* one a model in use; added under llock, removed by closing only */
        atomic_size_t nindexes;
        struct helper *helper; /* scans along; NULL on one core */

        pthread_t loader; /* loads the vectors and writes the cache file, off the writer */
        bool loader_runs;
        struct lock llock; /* guards the wishes, and the list of indexes */
        struct cond lcond;
        atomic_bool loader_stop;
        bool want_load, want_save;
};

static inline struct sqlite_catalog *self_of(struct catalog *c)
{
        return (struct sqlite_catalog *)c;
}

struct sqlite_work {
        struct work base;
        struct event *events; /* changes of the index to make after the commit; the truth is read again then */
        size_t nevents, events_cap;
        int64_t words_done, words_newest; /* as they will be when this is committed */
        int64_t parts_done, parts_newest;
        struct { /* at the last mark */
                size_t nevents;
                int64_t words_done, parts_done, parts_newest;
        } before;
};

static inline struct sqlite_work *sqlite_work_of(struct tx *tx)
{
        return tx->work;
}

/* ---- words of new assets (sqlite_words.c) -------------------------------------- */

int words_open(struct sqlite_catalog *c, struct db *db, struct err *e) MUST_CHECK;
/* How many numbers of assets and parts are committed and not indexed; some may be of what is gone. */
int64_t words_due(struct sqlite_catalog *c);
/* Before a commit: takes the new assets off the list of those to index now. */
void words_leave(struct sqlite_work *w);
/* A write: indexes the next few hundred that are due. */
write_fn words_catch_up;
void sqlite_words_settle(struct catalog *c, enum words_of what);

/* ---- words of parts (sqlite_parts.c) --------------------------------------------- */

int parts_open(struct sqlite_catalog *c, struct db *db, struct err *e) MUST_CHECK;
/* Indexes the next parts that are due: some ten milliseconds of them. */
int parts_catch_up(struct tx *tx, struct err *e) MUST_CHECK;
int sqlite_part_add(struct tx *tx, int64_t asset, const struct new_part *p, int64_t *n, struct err *e) MUST_CHECK;
bool sqlite_parts_have_text(struct catalog *c);
int sqlite_part_search(struct db *db, const char *text, const struct asset_filter *f, size_t k, struct arena *a,
                       struct part_match *out, size_t *n, struct err *e) MUST_CHECK;

/* ---- searching (sqlite_search.c, _text.c, _rank.c) ------------------------------------ */

int sqlite_vector_put(struct tx *tx, const struct row *r, enum part_kind kind, int64_t part, int64_t model,
                      const float *v, uint32_t dim, struct err *e) MUST_CHECK;
int sqlite_prototype_put(struct tx *tx, int64_t n, const struct id *cluster, int64_t model, int64_t count,
                         const float *sum, size_t dim, struct err *e) MUST_CHECK;
int sqlite_use_model(struct catalog *c, const char *id, int64_t model, uint32_t dim, struct err *e) MUST_CHECK;
__typeof__(catalog_warm) sqlite_warm;
__typeof__(catalog_vector_search) sqlite_vector_search;
__typeof__(catalog_prototype_search) sqlite_prototype_search;
int sqlite_text_search(struct db *db, const char *text, const struct asset_filter *f, size_t k, struct arena *a,
                       struct text_match *out, size_t *n, struct err *e) MUST_CHECK;

/* ---- the index in memory (sqlite_index.c) ------------------------------------------------ */

void index_free(struct index *x);
/* NULL: the model is not in use. */
struct index *index_of(struct sqlite_catalog *c, const char *model_id);
/* Writer thread, after a commit: bring the index up to date by what db reads. It cannot fail: without memory the index
 * goes back to warming. */
void index_apply(struct sqlite_catalog *c, struct db *db, const struct event *events, size_t n);
/* Loader: load vectors and prototypes of the model wanted, then have the writer install them. */
void index_load(struct sqlite_catalog *c);
/* Write the cache file if it is behind; gives up when writes wait (unless final). */
void index_save(struct sqlite_catalog *c, bool final);
int index_model(struct catalog *c, const char *id, int64_t *model, uint32_t *dim, struct err *e) MUST_CHECK;

/* Sets one of the loader's wishes and wakes it. */
static inline void loader_ask(struct sqlite_catalog *c, bool *what)
{
        lock_take(&c->llock);
        *what = true;
        cond_signal(&c->lcond);
        lock_drop(&c->llock);
}

#endif
