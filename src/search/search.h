/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Search: nearest vectors, full text and filters, fused by reciprocal rank (Cormack, Clarke & Büttcher 2009, k = 60).
 * Each hit has its reasons, and below the threshold the answer is empty.
 */
#ifndef FA_SEARCH_H
#define FA_SEARCH_H

#include "catalog/catalog_asset.h"

struct embed;
struct search;

struct search_opts {
        struct catalog *catalog;
        struct embed *embed;
        struct dur timeout;
};
int search_open(const struct search_opts *opts, struct search **out, struct err *e) MUST_CHECK;
void search_close(struct search *s);

enum search_mode { SEARCH_HYBRID, SEARCH_VECTOR, SEARCH_TEXT };

struct search_query {
        const char *text;
        enum search_mode mode;
        struct asset_filter filter;
        float threshold; /* similarity, for vector matches; text matches need none */
        unsigned limit, offset;
};

struct search_hit {
        struct asset *asset;
        float similarity; /* 0..1: of the vector match, or a text match's own scale (see search.c) */
        float vector;     /* calibrated similarity, < 0: not found by vector */
        bool text, tags, filename;
        float score; /* fused */
        /* The part to show: the best that has the words, else the nearest. */
        enum part_kind part;
        int64_t time_us;     /* of a frame */
        uint32_t page;       /* of a page or chunk, from 1 on; 0: none */
        const char *snippet; /* HTML, from the part's text, with the words in <mark>; NULL: it has none */
};
struct search_result {
        struct search_hit *hits;
        size_t n;
        uint64_t total; /* hits over the threshold before limit and offset, as far as counted (≤ 1,000) */
        float threshold;
        const char *model;
        double took_ms;
        bool warming; /* vectors are still loading: text only */
};

/* ERR_INVALID for an empty query. Arena holds the result. */
int search_text(struct search *s, const struct search_query *q, struct arena *a, struct search_result *out,
                struct err *e) MUST_CHECK;
/* By example: nearest to an asset (itself left out) or to a vector. q->text is ignored. */
int search_similar(struct search *s, struct id asset, const struct search_query *q, struct arena *a,
                   struct search_result *out, struct err *e) MUST_CHECK;
int search_vector(struct search *s, const float *v, const struct search_query *q, struct arena *a,
                  struct search_result *out, struct err *e) MUST_CHECK;

#endif
