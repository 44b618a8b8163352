/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two halves of a copy. What goes from one to the other is PostgreSQL's
 * binary COPY format: a header, a tuple a row, a trailer. The source makes it,
 * the target takes it as it is and gives it back for the comparison, so the
 * hash of this stream is the proof.
 */
#ifndef FA_KEEP_COPY_PRIV_H
#define FA_KEEP_COPY_PRIV_H

#include "keep/keep_copy.h"
#include "catalog/catalog_rules.h"

#define COPY_TABLES_MAX  48
#define COPY_COLUMNS_MAX 480
/* A table as it goes into statements and tuples; of a backup it is as the manifest says, without types. */
struct copy_table {
        const char *name, *order;
        char columns[COPY_COLUMNS_MAX]; /* "n, id, owner" */
        char types[64];                 /* a letter a column, as of struct table_column */
};
/* Those of catalog_tables that have the flag (one of enum table_flags), in their order; returns how many.
 * (keep_tables.c) */
size_t copy_tables_of(unsigned flag, struct copy_table out[COPY_TABLES_MAX]);

#define COPY_HEADER  SPAN("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0") /* signature, flags, length of an extension */
#define COPY_TRAILER SPAN("\377\377")

/* A line of "SELECT owner, status, count, bytes", valid in both engines. */
typedef int copy_group_fn(void *ctx, const char *owner, const char *status, uint64_t count, uint64_t bytes,
                          struct err *e);

/* ---- the source (sqlite_copy.c) --------------------------------------------- */

struct copy_source;
int copy_source_open(const char *path, struct copy_source **out, struct err *e) MUST_CHECK;
void copy_source_close(struct copy_source *s);            /* NULL is fine */
int64_t copy_source_origin(const struct copy_source *s);  /* when the catalog was made: tells one from another */
uint64_t copy_source_mended(const struct copy_source *s); /* texts, so far */
/* Begin to read a table, in its order, behind the first skip rows. */
int copy_source_table(struct copy_source *s, const struct copy_table *t, uint64_t skip, struct err *e) MUST_CHECK;
/* Appends the next row's tuple: 1, 0 at the end, -1. */
int copy_source_row(struct copy_source *s, struct buf *out, struct err *e) MUST_CHECK;
int copy_source_groups(struct copy_source *s, const char *sql, copy_group_fn *fn, void *ctx, struct err *e) MUST_CHECK;
int copy_source_object(struct copy_source *s, struct sha256 *object, uint64_t *size, char *products, size_t room,
                       struct err *e) MUST_CHECK;

/* ---- the target (postgres_copy.c, _copy_check.c) ------------------------------- */

struct copy_target;
/* Connects, and takes the lock that lets one copy at a time into this database. */
int copy_target_open(const char *url, const char *password, struct copy_target **out, struct err *e) MUST_CHECK;
void copy_target_close(struct copy_target *t); /* NULL is fine */
/* Changes nothing. ERR_CONFLICT: foreign content, or a server at work. */
int copy_target_look(struct copy_target *t, struct copy_found *out, struct err *e) MUST_CHECK;
/* Tables of that version (0: up to date), and the copy remembered. */
int copy_target_begin(struct copy_target *t, int version, int64_t origin, const struct sha256 *source,
                      struct err *e) MUST_CHECK;
/* Rows of a table that are there already. */
int copy_target_copied(struct copy_target *t, const struct copy_table *table, uint64_t *rows, struct err *e) MUST_CHECK;
/* One batch is one transaction: begin, put any number of tuples, commit with the number of rows then there. */
int copy_target_batch(struct copy_target *t, const struct copy_table *table, struct err *e) MUST_CHECK;
int copy_target_put(struct copy_target *t, struct span tuples, struct err *e) MUST_CHECK;
int copy_target_commit(struct copy_target *t, const struct copy_table *table, uint64_t rows, struct err *e) MUST_CHECK;
/* Makes the searchable text of up to n more assets, in the order of their numbers; how many through *made. */
int copy_target_text(struct copy_target *t, unsigned n, uint64_t *made, struct err *e) MUST_CHECK;
/* Counters and sequences from the rows. */
int copy_target_settle(struct copy_target *t, struct err *e) MUST_CHECK;
/* Reads a table back: calls fn with each piece of the stream, and tells the rows. */
typedef void copy_piece_fn(void *ctx, struct span piece);
int copy_target_read(struct copy_target *t, const struct copy_table *table, copy_piece_fn *fn, void *ctx,
                     uint64_t *rows, struct err *e) MUST_CHECK;
int copy_target_groups(struct copy_target *t, const char *sql, copy_group_fn *fn, void *ctx, struct err *e) MUST_CHECK;
int copy_target_finish(struct copy_target *t, struct err *e) MUST_CHECK;

#endif
