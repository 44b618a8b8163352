/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Places assets in folders and names folders: decisions of `cluster` carried out on the catalog. The hard thing: two
 * workers must not found the same folder twice, so placing is serialised per owner, from reading the prototypes to
 * the commit, and nothing slow (decoding, embedding) happens under that lock.
 */
#ifndef FA_ORGANISE_H
#define FA_ORGANISE_H

#include "base/base.h"
#include "catalog/catalog_task.h"

struct catalog;
struct embed;
struct organise;
struct task_result;

struct organise_opts {
        struct catalog *catalog;
        struct embed *embed;
        float threshold;      /* similarity, of new folders */
        float margin;         /* similarity by which the best must lead the second */
        unsigned min_size;    /* files that found a folder, 2 or more */
        struct dur interval;  /* of the periodic pass; 0: no thread */
        const char *instance; /* this process's name among those that share the catalog; outlives the room */
};

int organise_open(const struct organise_opts *opts, struct organise **out, struct err *e) MUST_CHECK;
void organise_close(struct organise *o); /* stops the periodic pass; NULL is fine */
/* Start the thread that runs a pass over all owners every interval, while there was something new. */
int organise_start(struct organise *o, struct err *e) MUST_CHECK;

/*
 * Decides r->placement (unless the task is pinned) and commits through catalog_task_complete. sure: see
 * embed_image_result; below 0.5 the asset stays unsorted. Places again after ERR_CONFLICT, at most 5 times.
 * ERR_UNAVAILABLE while the vectors are warming: try later.
 */
int organise_complete(struct organise *o, struct task_result *r, float sure, struct arena *a, struct err *e) MUST_CHECK;

struct organise_change {
        const char *action; /* "merge", "found", "assign", "rename" */
        const char *owner;
        struct id cluster, other; /* merge: survivor and source; assign: cluster and asset */
        const char *name;
        float similarity;
};
struct organise_report {
        struct organise_change *changes; /* in the arena */
        size_t n;
};
/* One pass: merges with hysteresis, unsorted assets into folders or new folders, better names for provisional folders.
 * owner NULL: all. */
int organise_pass(struct organise *o, const char *owner, bool dry_run, struct arena *a, struct organise_report *out,
                  struct err *e) MUST_CHECK;

/* "golden retriever" → "Golden retriever"; cleaned for use as a folder name. Pure, for tests. */
const char *organise_title(struct arena *a, const char *tag);

#endif
