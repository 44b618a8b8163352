/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is said of an asset, by source. The analysis' text stands in the asset's
 * row; every other source has a row of its own. Whoever reads an asset is given
 * one text of all.
 */
#ifndef FA_CATALOG_METADATA_H
#define FA_CATALOG_METADATA_H

#include "model/model.h"

struct db;
struct tx;

struct source_metadata {
        enum tag_source source;
        const char *text; /* JSON object */
};

#define METADATA_TEXTS_MAX (TAG_SOURCE_COUNT + 1) /* of the analysis, and of each source */

/*
 * One JSON object of at most METADATA_TEXTS_MAX texts, in the arena. Where two name the same member, that of the
 * source that comes first in enum tag_source counts; of two texts of one source, the first. What is no JSON object says
 * nothing; *out is NULL when nothing is said at all.
 */
int metadata_merge(const struct source_metadata *texts, size_t n, struct arena *a, const char **out,
                   struct err *e) MUST_CHECK;
/* ERR_INVALID unless it is an object of at most METADATA_MAX bytes, of a source other than the analysis. */
int metadata_check(const struct source_metadata *m, struct err *e) MUST_CHECK;

/* What sources other than the analysis say, in the order of enum tag_source. */
int metadata_list(struct db *db, int64_t asset, struct arena *a, struct source_metadata **out, size_t *n,
                  struct err *e) MUST_CHECK;
/* That and what the analysis says (NULL: nothing) as one text. */
int metadata_read(struct db *db, int64_t asset, const char *analysis, struct arena *a, const char **out,
                  struct err *e) MUST_CHECK;
/* The description among what sources other than the analysis say; NULL when none names one, "" when it is no string. */
int metadata_description(struct db *db, int64_t asset, struct arena *a, const char **out, struct err *e) MUST_CHECK;
/* In place of what its source said before; it was checked. */
int metadata_put(struct tx *tx, int64_t asset, const struct source_metadata *m, struct err *e) MUST_CHECK;

#endif
