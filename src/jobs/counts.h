/* SPDX-License-Identifier: Apache-2.0 */
/* Counts of everything in the catalog. */
#ifndef FA_JOBS_COUNTS_H
#define FA_JOBS_COUNTS_H

#include "model/model.h"

struct catalog;

struct catalog_counts {
        uint64_t assets[KIND_COUNT][ASSET_STATUS_COUNT];
        /* Analysis tasks by type: ready or leased, and dead ([1]: class system, not caused by the file). */
        uint64_t waiting[JOB_TYPE_COUNT], dead[JOB_TYPE_COUNT][2];
        /* The same for the other purposes; those of ANALYSE stay 0. */
        uint64_t purpose_waiting[PURPOSE_COUNT], purpose_dead[PURPOSE_COUNT][2];
        double oldest_ready_seconds; /* of the analysis tasks */
        uint64_t objects, object_bytes, asset_bytes, clusters, unsorted, trashed, embeddings;
};
int catalog_counts(struct catalog *c, const char *owner, struct catalog_counts *out, struct err *e) MUST_CHECK;

#endif
