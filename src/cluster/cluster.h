/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grouping as pure maths on arrays: where an asset belongs, which unsorted
 * ones found a folder, which folders should merge. Knows no catalog, no names,
 * no calibration: all thresholds here are cosines.
 */
#ifndef FA_CLUSTER_H
#define FA_CLUSTER_H

#include "base/base.h"

struct cluster_candidate {
        uint32_t index;  /* caller's number for the folder */
        float cosine;    /* to its prototype */
        float threshold; /* the folder's own, as a cosine */
};

enum cluster_verdict { CLUSTER_ASSIGN, CLUSTER_UNSORTED };

struct cluster_choice {
        enum cluster_verdict verdict;
        uint32_t index;  /* the folder when assigned */
        float cosine;    /* of the best candidate; -1 when there is none */
        const char *why; /* "assigned", "no candidate", "below threshold", "too close to the second" */
};

/*
 * Nearest prototype if it reaches its threshold and leads the second nearest
 * by at least margin. n candidates in any order. A lone candidate needs no lead.
 * Of equals the lower index counts as nearest. A cosine that is no number is no
 * candidate, a threshold that is none is never reached.
 */
struct cluster_choice cluster_choose(const struct cluster_candidate *c, size_t n, float margin);

/*
 * Founding: v is the new unsorted asset's unit vector; near are n unsorted
 * neighbours' unit vectors (row-major, dim floats each). Finds the largest group
 * that contains v in which every pair has cosine ≥ threshold, greedily from the
 * nearest, once with each neighbour as the first member; at most the 256 nearest
 * are weighed. Writes the members' row numbers, ascending (v itself not listed;
 * room for n), and returns their count; 0 when the group with v would have fewer
 * than min_size, or when memory ran out. v or neighbours that are zero or no
 * numbers belong to no group.
 */
size_t cluster_found(const float *v, const float *near, size_t n, size_t dim, float threshold, size_t min_size,
                     uint32_t *members);

/* Mean of n unit vectors (row-major), normalised, into out. False when the mean has no direction. */
bool cluster_centroid(const float *vecs, size_t n, size_t dim, float *out);

struct cluster_group {          /* one folder of a pass */
        const float *prototype; /* dim floats, unit */
        uint32_t count;
        float threshold; /* cosine */
        bool fixed;      /* a person touched it: may receive, never disappears */
};
struct cluster_merge {
        uint32_t from, into; /* indices into groups */
        float cosine;
};
/*
 * Merges with hysteresis: a pair merges when the cosine of the prototypes is at
 * least the stricter threshold plus hysteresis; best pairs first, each group
 * takes part in at most one merge a pass; the survivor is the fixed one, then the
 * larger, then the lower index; two fixed groups never merge. Returns the count (≤ max).
 * Without memory it returns 0 and fills e; else e->code is ERR_NONE.
 */
size_t cluster_merges(const struct cluster_group *g, size_t n, size_t dim, float hysteresis, struct cluster_merge *out,
                      size_t max, struct err *e);

#endif
