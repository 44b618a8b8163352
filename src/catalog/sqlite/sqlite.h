/* SPDX-License-Identifier: Apache-2.0 */
/* What of the catalog on SQLite the room keep uses. */
#ifndef FA_CATALOG_SQLITE_H
#define FA_CATALOG_SQLITE_H

#include "catalog/catalog_rules.h"
#include "db/sqlite/sqlite.h"

/* What is searchable of the asset by words, as it is now; nothing if it is gone. (sqlite_text.c) */
int sqlite_text_put(struct db *db, int64_t asset, struct arena *a, struct err *e) MUST_CHECK;
/* All texts of parts into their index, those that are due as well; or the index made anew. (sqlite_parts.c) */
int sqlite_parts_settle(struct tx *tx, struct err *e) MUST_CHECK;
int sqlite_parts_again(struct tx *tx, struct err *e) MUST_CHECK;
/* Where the cache files of vectors are: <data>/vector. */
const char *sqlite_data_path(const struct catalog *c);
/* Whether one of them is whole, of whatever model and epoch: 1, 0, -1 it cannot be read. (sqlite_cache.c) */
int cache_whole(const char *path);

#endif
