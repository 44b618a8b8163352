/* SPDX-License-Identifier: Apache-2.0 */
/* Folders, which the catalog calls clusters: lists, and changes made by a person or by a run of the organiser. */
#ifndef FA_FOLDERS_H
#define FA_FOLDERS_H

#include "model/model.h"

struct catalog;

struct cluster_filter {
        const char *owner; /* NULL any */
        int status;        /* -1 any */
};
enum cluster_sort { CLUSTERS_BY_NAME, CLUSTERS_BY_COUNT, CLUSTERS_BY_UPDATED, CLUSTERS_BY_CREATED };
int catalog_cluster_list(struct catalog *c, const struct cluster_filter *f, enum cluster_sort sort, unsigned limit,
                         const char *cursor, struct arena *a, struct cluster **out, size_t *n, uint64_t *total,
                         const char **next, struct err *e) MUST_CHECK;
/* ERR_NOT_FOUND, also when the folder was merged into another: then *survivor (may be NULL) is set. */
int catalog_cluster_get(struct catalog *c, struct id id, const char *owner, struct arena *a, struct cluster *out,
                        struct id *survivor, struct err *e) MUST_CHECK;
/* Creates a person's folder: active and touched. ERR_CONFLICT when the owner has one of that name. */
int catalog_cluster_create(struct catalog *c, const char *owner, const char *name, float threshold, const char *actor,
                           struct id *out, struct err *e) MUST_CHECK;
/* Deletes a folder; its files become unsorted. */
int catalog_cluster_delete(struct catalog *c, struct id id, const char *owner, const char *actor, struct id *operation,
                           struct err *e) MUST_CHECK;

enum cluster_change_kind { CHANGE_RENAME, CHANGE_THRESHOLD, CHANGE_CONFIRM, CHANGE_LOCK };
struct cluster_change {
        enum cluster_change_kind kind;
        const char *name; /* RENAME: unique per owner, else ERR_CONFLICT */
        bool by_person;   /* RENAME: a person's name sticks */
        float threshold;  /* THRESHOLD */
        bool provisional; /* CONFIRM */
        bool locked;      /* LOCK */
        uint64_t version; /* 0: any; else ERR_CONFLICT when the folder changed since */
};
int catalog_cluster_change(struct catalog *c, struct id id, const char *owner, const struct cluster_change *ch,
                           const char *actor, struct id *operation, struct wall *updated, struct err *e) MUST_CHECK;
/*
 * Moves the sources' files into the target; the sources' ids become aliases of it. versions: NULL, or the target's
 * version and then each source's, for runs of the organiser.
 */
int catalog_cluster_merge(struct catalog *c, struct id target, const struct id *sources, size_t n,
                          const uint64_t *versions, const char *owner, const char *actor, struct id *operation,
                          struct wall *updated, struct err *e) MUST_CHECK;

/*
 * All folders of an owner with their prototypes of a model in use (unit length, row-major; folders without one are
 * left out): a snapshot for a run of the organiser.
 */
int catalog_cluster_snapshot(struct catalog *c, const char *model_id, const char *owner, struct arena *a,
                             struct cluster **out, float **prototypes, size_t *n, struct err *e) MUST_CHECK;
/* Lists the owners that have media. */
int catalog_owners(struct catalog *c, struct arena *a, const char ***out, size_t *n, struct err *e) MUST_CHECK;
/* Tag counts over a folder's members, most frequent first; mean_confidence over members that carry it. */
struct tag_count {
        const char *name;
        uint64_t members;
        float mean_confidence;
};
int catalog_cluster_tags(struct catalog *c, struct id cluster, size_t max, struct arena *a, struct tag_count **out,
                         size_t *n, struct err *e) MUST_CHECK;

#endif
