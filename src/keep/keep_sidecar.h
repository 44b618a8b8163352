/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a catalog has to tell to sidecars.
 * The hard thing is that no change may be forgotten: each leaves a mark in its
 * own transaction, and a mark goes only if it is still the one that was read.
 */
#ifndef FA_KEEP_SIDECAR_H
#define FA_KEEP_SIDECAR_H

#include "catalog/catalog_asset.h"
#include "catalog/catalog_metadata.h"
#include "catalog/catalog_upkeep.h"

/* ---- marks --------------------------------------------------------------------------- */

struct sidecar_mark {
        enum kept_kind kind;
        struct id id;   /* nil: of the catalog */
        int64_t change; /* another one after each change */
};
/* Up to limit marks behind after (NULL: from the first), in one order. */
int keep_marks(struct catalog *c, const struct sidecar_mark *after, unsigned limit, struct arena *a,
               struct sidecar_mark **out, size_t *n, struct err *e) MUST_CHECK;
/* Those that are still what they were when they were read. */
int keep_marks_clear(struct catalog *c, const struct sidecar_mark *marks, size_t n, struct err *e) MUST_CHECK;
/* Everything there is, and the catalog's own: for a storage that has no sidecars yet. */
int keep_marks_all(struct catalog *c, struct err *e) MUST_CHECK;
/* How many wait, and since when the oldest does (us 0: none). */
int keep_marks_waiting(struct catalog *c, uint64_t *n, struct wall *since, struct err *e) MUST_CHECK;

/* ---- what is kept ------------------------------------------------------------------------ */

struct kept_vector {
        const char *model;
        uint32_t dim;
        const float *v;
};
struct kept_dead { /* its entry in the dead-letter queue */
        unsigned deliveries, errors, crashes;
        struct task_error *history; /* oldest first */
        size_t nhistory;
};
struct kept_asset {
        struct asset asset; /* without near duplicates: they follow from the hashes; metadata is the analysis' alone */
        struct source_metadata *others; /* what other sources say */
        size_t nothers;
        int position; /* in its job */
        const char *job_comments;
        struct wall job_created, job_updated, job_completed;
        bool has_phash;
        uint64_t phash;
        struct kept_vector *vectors; /* the newest model's last */
        size_t nvectors;
        struct lineage_entry *lineage; /* the last ones, oldest first */
        size_t nlineage;
        struct kept_dead *dead; /* NULL: none */
};
#define KEPT_LINEAGE_MAX 200

struct kept_folder {
        struct cluster folder;
        struct id *aliases; /* of folders merged into it */
        size_t naliases;
};

/* ERR_NOT_FOUND: it is gone. */
int keep_asset_read(struct catalog *c, struct id id, struct arena *a, struct kept_asset *out, struct err *e) MUST_CHECK;
int keep_folder_read(struct catalog *c, struct id id, struct arena *a, struct kept_folder *out,
                     struct err *e) MUST_CHECK;

#endif
