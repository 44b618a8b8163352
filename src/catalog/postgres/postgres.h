/* SPDX-License-Identifier: Apache-2.0 */
/* What of the catalog on PostgreSQL the room keep uses. */
#ifndef FA_CATALOG_POSTGRES_H
#define FA_CATALOG_POSTGRES_H

#include "catalog/catalog_rules.h"
#include "db/postgres/postgres.h"

/* The tables and pgvector. (postgres_vector.c) */
extern const struct pg_tables pg_catalog_tables;
int pg_migrate(struct db *db, const struct migration_watch *watch, struct err *e) MUST_CHECK; /* watch may be NULL */
/* The same, no further than this version; 0: the newest. For what was copied from an older catalog. */
int pg_migrate_to(struct db *db, int version, struct err *e) MUST_CHECK;
/* postgres_unfinished.c */
int pg_table_exists(struct db *db, const char *name, struct err *e) MUST_CHECK; /* 1, 0, -1 */
int pg_copy_found(struct db *db, struct copy_found *out, struct err *e) MUST_CHECK;
/* Refuses a catalog into which a copy is not finished. */
int pg_copy_check(struct db *db, struct err *e) MUST_CHECK;
/* What is searchable of the asset by words, as it is now; nothing if it is gone. (postgres_text.c) */
int pg_text_put(struct db *db, int64_t asset, struct arena *a, struct err *e) MUST_CHECK;
/* The words of the next part with a text that has none: 1, 0 there is none, -1. (postgres_text.c) */
int pg_part_words(struct db *db, struct err *e) MUST_CHECK;

#endif
