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
/* Where the cache files of vectors are (vector_table.h). */
const char *sqlite_vector_dir(const struct catalog *c);

#endif
