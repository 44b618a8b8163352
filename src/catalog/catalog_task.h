/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks under leases, for those who work on them. Every write that ends a task's
 * step carries its fencing token and returns ERR_STALE when the lease is gone.
 */
#ifndef FA_CATALOG_TASK_H
#define FA_CATALOG_TASK_H

#include "catalog/catalog_part.h"
#include "catalog/catalog_place.h"
#include "model/model.h"

struct catalog;

/*
 * An asset has at most one task of each purpose. The one that analyses it moves its status (processing, done, failed),
 * its job's progress and the count that queue_max_depth is held against; the others move nothing but themselves.
 */

/* 1: *out leased to worker; 0: nothing ready among kinds (bits TASK_KIND); -1 error. */
int catalog_task_claim(struct catalog *c, const char *worker, struct dur lease, uint64_t kinds, struct arena *a,
                       struct task *out, struct err *e);
int catalog_task_extend(struct catalog *c, const struct task *t, struct dur lease, struct err *e) MUST_CHECK;
/* Hand a lease back uncounted, to be ready again after delay. Stale is not an error here. */
int catalog_task_release(struct catalog *c, const struct task *t, struct dur delay, struct err *e) MUST_CHECK;

struct task_failure {
        const char *stage;
        enum err_code code;
        const char *reason;
        bool crash;           /* counts as a crash, not as an error */
        bool dead;            /* to the DLQ now */
        struct wall retry_at; /* when not dead */
};
int catalog_task_fail(struct catalog *c, const struct task *t, const struct task_failure *f, struct err *e) MUST_CHECK;
/* Leases that ran out: back to ready with the crash counted, or dead at max_crashes. Returns how many moved, or -1. */
int catalog_task_expire(struct catalog *c, unsigned max_crashes, struct err *e);
/*
 * One of a purpose other than ANALYSE for an asset that is there (owner NULL: any), in place of one of that purpose
 * that has ended or was given up. ERR_NOT_FOUND; ERR_CONFLICT: one is under way.
 */
int catalog_task_add(struct catalog *c, struct id id, const char *owner, enum task_purpose p, struct err *e) MUST_CHECK;
/* Tasks ready now among kinds, and when the next one becomes ready (us 0: none). */
int catalog_task_ready(struct catalog *c, uint64_t kinds, uint64_t *now, struct wall *next, struct err *e) MUST_CHECK;

struct task_result {
        const struct task *task;
        const char *metadata; /* JSON object text; NULL: as before. What other sources say stays */
        bool has_phash;
        uint64_t phash;
        const struct tag *tags; /* zero-shot and exif: in place of all that these sources said before */
        size_t ntags;
        struct part_list parts;
        struct placement placement;
        /* What was made of the object, kept for the next asset with the same bytes; step NULL: nothing. */
        const char *step, *step_version;
        struct span step_data;
        const char *products; /* what the storage now holds of the object; NULL: as before */
};
/*
 * The asset is done: metadata, tags, embedding, near duplicates, placement,
 * prototypes, lineage and the task's end in one transaction.
 * ERR_CONFLICT: the placement no longer holds (folder gone or locked, a member
 * was taken); nothing was written: place again. ERR_STALE: the lease is gone.
 */
int catalog_task_complete(struct catalog *c, const struct task_result *r, struct err *e) MUST_CHECK;

/*
 * What a task of another purpose than ANALYSE has found. It replaces what its
 * source said before, and nothing that others say.
 */
struct task_finding {
        const struct task *task;
        enum tag_source source; /* not HUMAN; of all the tags and the metadata */
        bool has_tags;          /* false: it says nothing of tags, and those of its source stay */
        const struct tag *tags;
        size_t ntags;
        const char *metadata;   /* JSON object text of METADATA_MAX bytes at most, of a source other than the analysis;
                                   NULL: it says nothing of it, and what its source said stays */
        struct part_list parts; /* vectors and texts */
        const char *products;   /* what the storage now holds of the object; NULL: as before */
};
/* The task is done; the asset's status stays as it is. ERR_INVALID; ERR_STALE: the lease is gone. */
int catalog_task_finish(struct catalog *c, const struct task_finding *r, struct err *e) MUST_CHECK;

/*
 * What a completed task left of a step on an object: 1 found, 0 not, -1 error. Only an owner with a second asset of
 * these bytes is given it: how fast a file is done must not tell whether somebody else has it.
 */
int catalog_step_get(struct catalog *c, struct sha256 object, const char *owner, const char *step, const char *version,
                     struct arena *a, struct span *out, struct err *e);

#endif
