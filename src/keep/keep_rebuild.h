/* SPDX-License-Identifier: Apache-2.0 */
/* Rebuilds a lost catalog from the sidecars and the content of the storage. */
#ifndef FA_KEEP_REBUILD_H
#define FA_KEEP_REBUILD_H

#include "keep/keep_sidecar.h"

/*
 * Rebuilds into an empty catalog, in this order: begin, found…, folders, assets, finish. After an interruption it can
 * be begun again, and what is already there counts as done.
 */
enum rebuild_state { REBUILD_EMPTY, REBUILD_BEGUN, REBUILD_FULL };
int keep_rebuild_state(struct catalog *c, enum rebuild_state *out, struct err *e) MUST_CHECK;
/*
 * ERR_CONFLICT: the catalog is neither empty nor left by an interrupted rebuild, or (PostgreSQL) other processes use
 * it.
 */
int keep_rebuild_begin(struct catalog *c, struct err *e) MUST_CHECK;

struct rebuild_item { /* an item found in the storage */
        enum kept_kind kind;
        struct id id;         /* asset, folder */
        struct sha256 sha256; /* object */
        uint64_t size;
};
int keep_rebuild_found(struct catalog *c, const struct rebuild_item *items, size_t n, struct err *e) MUST_CHECK;
/*
 * Items found that are not in the catalog yet, in the order of ids or hashes, after the given one (NULL: from the
 * first).
 */
int keep_rebuild_todo(struct catalog *c, enum kept_kind kind, const struct rebuild_item *after, unsigned limit,
                      struct arena *a, struct rebuild_item **out, size_t *n, struct err *e) MUST_CHECK;
int keep_rebuild_folder(struct catalog *c, const struct kept_folder *f, struct err *e) MUST_CHECK;

enum kept_fate { FATE_RESTORED, FATE_NO_OBJECT, FATE_WRONG_SIZE };
/*
 * Restores several assets in one transaction; fates receives the result for each. An asset whose object was not
 * found, or has another size, is left out. A folder that is known only from its assets is created with the name that
 * the asset gives.
 */
int keep_rebuild_assets(struct catalog *c, const struct kept_asset *const *assets, size_t n, enum kept_fate *fates,
                        struct err *e) MUST_CHECK;
/* Records that there were keys: from now on the API requires one, although none is known any more. */
int keep_rebuild_close_api(struct catalog *c, struct err *e) MUST_CHECK;
/* Ends the rebuild. Found objects that no asset refers to are those that keep_rebuild_todo returns after the assets. */
int keep_rebuild_finish(struct catalog *c, struct err *e) MUST_CHECK;

#endif
