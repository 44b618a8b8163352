/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of src/search only: lists, ranking as pure functions, and the cache of query vectors. */
#ifndef FA_SEARCH_PRIV_H
#define FA_SEARCH_PRIV_H

#include "catalog/catalog_search.h"
#include "embed/embed.h"
#include "search/search.h"

/* ---- lists -------------------------------------------------------------------------- */

/*
 * How deep a list is read: never dependent on the page asked for, so pages do not shift as one goes on. Totals
 * are counted up to here.
 */
#define SEARCH_DEPTH 1000

enum list_kind {
        LIST_VECTORS, /* the nearest of one model */
        LIST_FIELDS,  /* full text of names, tags, descriptions and comments */
        LIST_PARTS    /* full text of parts: chunks, pages … */
};

/* What a list answers for one asset. */
struct found {
        struct id asset;
        int64_t part; /* 0: of no part in particular */
        enum part_kind part_kind;
        float order; /* larger is better, and comparable in this list only: the cosine, or less the rank of words */
        float similarity; /* of LIST_VECTORS: 0..1, calibrated, so comparable between models */
        bool in_filename, in_tags, in_text;
};

/* One question to the catalog and its answer. A search asks any number of them. */
struct search_list {
        enum list_kind kind;
        /* LIST_VECTORS: whose vectors, the one to be near to, and which of the model's two scales applies */
        const struct embed *model;
        const float *vector;
        float (*similarity)(const struct embed *m, float cosine);
        float threshold;            /* similarity below which there is no match */
        const struct id *leave_out; /* NULL: none */
        /* the others: what to look for */
        const char *text;
        /* the answer, one an asset, in any order */
        struct found *found;
        size_t n;
        void *room; /* for the catalog's own matches */
};

/* Makes room for the answer, so that asking needs no arena and may happen on another thread. */
int list_begin(struct search_list *l, struct arena *a, struct err *e) MUST_CHECK;
int list_ask(struct search_list *l, struct catalog *c, const struct asset_filter *f, struct err *e) MUST_CHECK;

/* ---- ranking (pure) --------------------------------------------------------------- */

struct ranked {
        struct id asset;
        bool found_by_vector, found_by_text;
        bool in_filename, in_tags, in_text;
        bool words_in_part;       /* the part has them */
        float cosine, similarity; /* when found by vector: of the list to which it is most similar */
        float score;              /* fused */
        /* The part to show: the best that has the words, else the nearest. 0: none, the words are the asset's own. */
        int64_t part;
        enum part_kind part_kind;
};

/* 1/(60 + rank), ranks from 1. */
float rrf_score(size_t rank);
/*
 * Fuses n lists. Each is sorted here (order down, ids up) and must have an asset once. out has room for all that they
 * found; *nout are left, one an asset. Equal scores: found by vector first, the nearer, the lower id.
 */
int rank_fuse(struct search_list *lists, size_t n, struct ranked *out, size_t *nout, struct err *e) MUST_CHECK;

/* What a text match is worth on the scale of similarities; see search.c. q is the trimmed query. */
float text_similarity(struct span q, const struct asset *x, const struct ranked *r);
/* "IMG_2041.jpg", "DSC00012", "png": what is looked for is a name, and vectors would only guess. */
bool query_is_name(struct span q);

/* ---- snippets (pure) ----------------------------------------------------------------- */

#define SNIPPET_CHARS 240  /* of the text */
#define SNIPPET_BYTES 4096 /* of the snippet: 240 characters as entities, 120 marks */

/*
 * At most SNIPPET_CHARS characters of the text around the words of the query that it has, as HTML: words that begin
 * with one of the query's stand in <mark>, everything else is escaped, blanks and controls are one space, and "…"
 * stands for text left out. Words compare folded (text_fold). Without a match the beginning; "" for a text of blanks
 * or one that is no UTF-8. NULL on OOM.
 */
char *snippet_make(struct arena *a, const char *text, const char *query) MUST_CHECK;

/* ---- what is shown ------------------------------------------------------------------- */

/* Fills in the hits' parts and snippets; x are the same hits as they were ranked. query "": nothing is marked. */
int parts_show(struct catalog *c, const struct ranked *const *x, size_t n, const char *query, struct arena *a,
               struct search_hit *hits, struct err *e) MUST_CHECK;

/* ---- query vectors -------------------------------------------------------------------- */

struct query_cache;
int query_cache_open(size_t entries, size_t dim, struct query_cache **out, struct err *e) MUST_CHECK;
void query_cache_close(struct query_cache *c);
/* Copies the vector out; false when it is not there. */
bool query_cache_get(struct query_cache *c, const char *model_id, struct span text, float *out);
/* May forget: the least recently used goes, and long texts are not kept. */
void query_cache_put(struct query_cache *c, const char *model_id, struct span text, const float *v);

#endif
