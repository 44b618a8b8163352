/* SPDX-License-Identifier: Apache-2.0 */
/* Nearest vectors and full text, under the filters of catalog_asset.h. */
#ifndef FA_CATALOG_SEARCH_H
#define FA_CATALOG_SEARCH_H

#include "model/model.h"

struct catalog;
struct asset_filter;

struct vector_match {
        struct id asset;
        int64_t part; /* its nearest, see catalog_parts_get */
        enum part_kind kind;
        float cosine; /* exact for the best 128, from int8 or half precision (error below 0.01) behind them */
};
/* The k nearest assets by their nearest part, among what the filter lets through (trash never), best first. Filters
 * before scoring. */
int catalog_vector_search(struct catalog *c, const char *model_id, const float *q, const struct asset_filter *f,
                          size_t k, struct vector_match *out, size_t *n, struct err *e) MUST_CHECK;
/* The whole's vector of a model in use. ERR_NOT_FOUND. */
int catalog_vector_get(struct catalog *c, const char *model_id, struct id asset, float *out, struct err *e) MUST_CHECK;

struct text_match {
        struct id asset;
        float rank; /* smaller is better; nothing of it depends on other owners' texts */
        bool in_filename, in_tags, in_text;
};
/* Full text over names, tags, descriptions and comments; words are prefixes, all must occur. Never a syntax error,
 * whatever the text. */
int catalog_text_search(struct catalog *c, const char *text, const struct asset_filter *f, size_t k,
                        struct text_match *out, size_t *n, struct err *e) MUST_CHECK;

struct part_match {
        struct id asset;
        int64_t part; /* the one that answers the words best */
        enum part_kind kind;
        float rank; /* smaller is better; nothing of it depends on other owners' texts */
};
/*
 * Full text over parts: words are prefixes, and all must occur in one part. The k best assets by their best part, best
 * first. Of a word that many parts hold the newest PARTS_SCORED_MAX are compared.
 */
#define PARTS_SCORED_MAX 20000
int catalog_part_search(struct catalog *c, const char *text, const struct asset_filter *f, size_t k,
                        struct part_match *out, size_t *n, struct err *e) MUST_CHECK;

struct prototype_match {
        struct id cluster;
        const char *name; /* in the arena */
        float cosine;
        float threshold; /* similarity */
        uint64_t count;
};
/* The k nearest prototypes of the owner's folders that are not locked, best first. */
int catalog_prototype_search(struct catalog *c, const char *model_id, const char *owner, const float *q, size_t k,
                             struct arena *a, struct prototype_match *out, size_t *n, struct err *e) MUST_CHECK;

#endif
