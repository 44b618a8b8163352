/* SPDX-License-Identifier: Apache-2.0 */
/* A lost catalog made again out of what sidecars tell and the storage holds. */
#ifndef FA_KEEP_REBUILD_H
#define FA_KEEP_REBUILD_H

#include "keep/keep_sidecar.h"

/*
 * Into an empty catalog, in this order: begin, find…, folders, assets, finish.
 * Cut off anywhere it can be begun again, and what is there already counts as done.
 */
enum rebuild_state { REBUILD_EMPTY, REBUILD_BEGUN, REBUILD_FULL };
int keep_rebuild_state(struct catalog *c, enum rebuild_state *out, struct err *e) MUST_CHECK;
/* ERR_CONFLICT: the catalog is neither empty nor of a rebuild that was cut off, or (PostgreSQL) others work on it. */
int keep_rebuild_begin(struct catalog *c, struct err *e) MUST_CHECK;

struct rebuild_item { /* something found in the storage */
        enum kept_kind kind;
        struct id id;         /* asset, folder */
        struct sha256 sha256; /* object */
        uint64_t size;
};
int keep_rebuild_found(struct catalog *c, const struct rebuild_item *items, size_t n, struct err *e) MUST_CHECK;
/* Found and not in the catalog yet, in the order of ids or hashes, behind after (NULL: from the first). */
int keep_rebuild_todo(struct catalog *c, enum kept_kind kind, const struct rebuild_item *after, unsigned limit,
                      struct arena *a, struct rebuild_item **out, size_t *n, struct err *e) MUST_CHECK;
int keep_rebuild_folder(struct catalog *c, const struct kept_folder *f, struct err *e) MUST_CHECK;

enum kept_fate { FATE_RESTORED, FATE_NO_OBJECT, FATE_WRONG_SIZE };
/*
 * Some at once, in one transaction; fates has one for each. Whose object was not found, or not with its size, is left
 * out. What is new to a folder that nothing is known of founds it, by the name the asset gives.
 */
int keep_rebuild_assets(struct catalog *c, const struct kept_asset *const *assets, size_t n, enum kept_fate *fates,
                        struct err *e) MUST_CHECK;
/* There were keys: from now on the API asks for one, although none is known any more. */
int keep_rebuild_close_api(struct catalog *c, struct err *e) MUST_CHECK;
/* Found objects that no asset refers to are what keep_rebuild_todo gives after the assets. */
int keep_rebuild_finish(struct catalog *c, struct err *e) MUST_CHECK;

#endif
