/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a catalog has to tell to sidecars, and how one is made of them again.
 * The hard thing is that no change may be forgotten: each leaves a mark in its
 * own transaction, and a mark goes only if it is still the one that was read.
 */
#ifndef FA_CATALOG_SIDECAR_H
#define FA_CATALOG_SIDECAR_H

#include "catalog/catalog.h"

/* The catalog's own: whether there were keys. The numbers stand in the tables. */
enum kept_kind { KEPT_ASSET, KEPT_FOLDER, KEPT_CATALOG, KEPT_OBJECT };

/* ---- marks --------------------------------------------------------------------------- */

struct sidecar_mark {
        enum kept_kind kind;
        struct id id;   /* nil: of the catalog */
        int64_t change; /* another one after each change */
};
/* Up to limit marks behind after (NULL: from the first), in one order. */
int catalog_marks(struct catalog *c, const struct sidecar_mark *after, unsigned limit, struct arena *a,
                  struct sidecar_mark **out, size_t *n, struct err *e) MUST_CHECK;
/* Those that are still what they were when they were read. */
int catalog_marks_clear(struct catalog *c, const struct sidecar_mark *marks, size_t n, struct err *e) MUST_CHECK;
/* Everything there is, and the catalog's own: for a storage that has no sidecars yet. */
int catalog_marks_all(struct catalog *c, struct err *e) MUST_CHECK;
/* How many wait, and since when the oldest does (us 0: none). */
int catalog_marks_waiting(struct catalog *c, uint64_t *n, struct wall *since, struct err *e) MUST_CHECK;

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
        struct asset asset; /* without near duplicates: they follow from the hashes */
        int position;       /* in its job */
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
int catalog_kept_asset(struct catalog *c, struct id id, struct arena *a, struct kept_asset *out,
                       struct err *e) MUST_CHECK;
int catalog_kept_folder(struct catalog *c, struct id id, struct arena *a, struct kept_folder *out,
                        struct err *e) MUST_CHECK;

/* ---- rebuilding ----------------------------------------------------------------------------- */

/*
 * Into an empty catalog, in this order: begin, find…, folders, assets, finish.
 * Cut off anywhere it can be begun again, and what is there already counts as done.
 */
enum rebuild_state { REBUILD_EMPTY, REBUILD_BEGUN, REBUILD_FULL };
int catalog_rebuild_state(struct catalog *c, enum rebuild_state *out, struct err *e) MUST_CHECK;
/* ERR_CONFLICT: the catalog is neither empty nor of a rebuild that was cut off, or (PostgreSQL) others work on it. */
int catalog_rebuild_begin(struct catalog *c, struct err *e) MUST_CHECK;

struct rebuild_item { /* something found in the storage */
        enum kept_kind kind;
        struct id id;         /* asset, folder */
        struct sha256 sha256; /* object */
        uint64_t size;
};
int catalog_rebuild_found(struct catalog *c, const struct rebuild_item *items, size_t n, struct err *e) MUST_CHECK;
/* Found and not in the catalog yet, in the order of ids or hashes, behind after (NULL: from the first). */
int catalog_rebuild_todo(struct catalog *c, enum kept_kind kind, const struct rebuild_item *after, unsigned limit,
                         struct arena *a, struct rebuild_item **out, size_t *n, struct err *e) MUST_CHECK;
int catalog_rebuild_folder(struct catalog *c, const struct kept_folder *f, struct err *e) MUST_CHECK;

enum kept_fate { FATE_RESTORED, FATE_NO_OBJECT, FATE_WRONG_SIZE };
/*
 * Some at once, in one transaction; fates has one for each. Whose object was not found, or not with its size, is left
 * out. What is new to a folder that nothing is known of founds it, by the name the asset gives.
 */
int catalog_rebuild_assets(struct catalog *c, const struct kept_asset *const *assets, size_t n, enum kept_fate *fates,
                           struct err *e) MUST_CHECK;
/* There were keys: from now on the API asks for one, although none is known any more. */
int catalog_rebuild_close_api(struct catalog *c, struct err *e) MUST_CHECK;
/* Found objects that no asset refers to are what catalog_rebuild_todo gives after the assets. */
int catalog_rebuild_finish(struct catalog *c, struct err *e) MUST_CHECK;

#endif
