/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of src/search only: ranking as pure functions, and the cache of query vectors. */
#ifndef FA_SEARCH_PRIV_H
#define FA_SEARCH_PRIV_H

#include "catalog/catalog_search.h"
#include "embed/embed.h"
#include "search/search.h"

/* ---- ranking (pure) --------------------------------------------------------------- */

/*
 * How deep a list is read: never dependent on the page asked for, so pages do not shift as one goes on. Totals
 * are counted up to here.
 */
#define SEARCH_DEPTH 1000

struct ranked {
        struct id asset;
        bool found_by_vector, found_by_text;
        bool in_filename, in_tags, in_text;
        float cosine; /* when found by vector */
        float score;  /* fused */
};

/* Σ 1/(60 + rank), ranks from 1; 0 stands for "not in this list". */
float rrf_score(size_t vector_rank, size_t text_rank);
/*
 * The lists come in any order and are sorted here (cosine down, rank up, ids up).
 * out has room for nv + nt. Equal scores: found by vector first, the nearer, the lower id.
 */
int rank_fuse(struct vector_match *v, size_t nv, struct text_match *t, size_t nt, struct ranked *out, size_t *n,
              struct err *e) MUST_CHECK;

/* What a text match is worth on the scale of similarities; see search.c. q is the trimmed query. */
float text_similarity(struct span q, const struct asset *x, const struct ranked *r);
/* "IMG_2041.jpg", "DSC00012", "png": what is looked for is a name, and vectors would only guess. */
bool query_is_name(struct span q);

/* ---- query vectors -------------------------------------------------------------------- */

struct query_cache;
int query_cache_open(size_t entries, size_t dim, struct query_cache **out, struct err *e) MUST_CHECK;
void query_cache_close(struct query_cache *c);
/* Copies the vector out; false when it is not there. */
bool query_cache_get(struct query_cache *c, const char *model_id, struct span text, float *out);
/* May forget: the least recently used goes, and long texts are not kept. */
void query_cache_put(struct query_cache *c, const char *model_id, struct span text, const float *v);

#endif
