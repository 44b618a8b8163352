/* SPDX-License-Identifier: Apache-2.0 */
/* Where an asset belongs, as somebody has decided it. */
#ifndef FA_CATALOG_PLACE_H
#define FA_CATALOG_PLACE_H

#include "model/model.h"

struct catalog;

enum placement_kind { PLACE_UNSORTED, PLACE_ASSIGN, PLACE_FOUND, PLACE_KEEP };

struct placement {
        enum placement_kind kind; /* KEEP: a person or the ingest decided already */
        struct id cluster_id;     /* ASSIGN: existing; FOUND: the new one's */
        float similarity;
        const char *name;         /* FOUND: wished name; made unique by adding " 2", " 3" … */
        float threshold;          /* FOUND */
        const struct id *members; /* FOUND: other assets, unsorted until now */
        const float *member_similarity;
        size_t nmembers;
        const char *why; /* for lineage: "0.81 to Cats, second 0.40" */
        uint64_t seen;   /* catalog_placing_version as it was before the decision; 0: do not check */
};

/*
 * For placement.seen: changes whenever a placement may have made another one of
 * this owner wrong that was decided before. Then FOUND and UNSORTED end in
 * ERR_CONFLICT. 0 where one process alone places and takes turns itself.
 */
int catalog_placing_version(struct catalog *c, const char *owner, uint64_t *out, struct err *e) MUST_CHECK;
/* Found a folder out of unsorted assets, or move unsorted ones into one (passes). As in catalog_task_complete:
 * ERR_CONFLICT when it no longer holds. */
int catalog_place(struct catalog *c, const char *owner, const struct placement *p, const char *actor,
                  struct err *e) MUST_CHECK;

#endif
