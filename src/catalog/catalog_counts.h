/* SPDX-License-Identifier: Apache-2.0 */
/* How many there are of everything. */
#ifndef FA_CATALOG_COUNTS_H
#define FA_CATALOG_COUNTS_H

#include "model/model.h"

struct catalog;

struct catalog_counts {
        uint64_t assets[KIND_COUNT][ASSET_STATUS_COUNT];
        uint64_t waiting[JOB_TYPE_COUNT]; /* ready or leased */
        uint64_t dead[JOB_TYPE_COUNT][2]; /* [1]: class system (not the input's fault) */
        double oldest_ready_seconds;
        uint64_t objects, object_bytes, asset_bytes, clusters, unsorted, trashed, embeddings;
};
int catalog_counts(struct catalog *c, const char *owner, struct catalog_counts *out, struct err *e) MUST_CHECK;

#endif
