/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two halves of a copy. They exchange PostgreSQL's binary COPY format: a header, one tuple per row, a trailer.
 * The source produces this stream; the target accepts it unchanged and returns it for the comparison, so the hash of
 * the stream is the proof.
 */
#ifndef FA_KEEP_COPY_PRIV_H
#define FA_KEEP_COPY_PRIV_H

#include "keep/keep_copy.h"
#include "catalog/catalog_rules.h"

#define COPY_TABLES_MAX  48
#define COPY_COLUMNS_MAX 480
/* A table's names as they go into statements and tuples. In a backup they come from the manifest, without types. */
struct copy_table {
        const char *name, *order;
        char columns[COPY_COLUMNS_MAX]; /* "n, id, owner" */
        char types[64];                 /* one letter per column, as in struct table_column */
};
/*
 * Lists those of catalog_tables that have the flag (one of enum table_flags), in their order; returns how many.
 * (keep_tables.c)
 */
size_t copy_tables_of(unsigned flag, struct copy_table out[COPY_TABLES_MAX]);

#define COPY_HEADER  SPAN("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0") /* signature, flags, length of an extension */
#define COPY_TRAILER SPAN("\377\377")

/* One row of "SELECT owner, status, count, bytes", which is valid in both engines. */
typedef int copy_group_fn(void *ctx, const char *owner, const char *status, uint64_t count, uint64_t bytes,
                          struct err *e);

/* ---- the source (sqlite_copy.c) --------------------------------------------- */

struct copy_source;
int copy_source_open(const char *path, struct copy_source **out, struct err *e) MUST_CHECK;
void copy_source_close(struct copy_source *s);            /* NULL is fine */
int64_t copy_source_origin(const struct copy_source *s);  /* when the catalog was created: identifies it */
uint64_t copy_source_mended(const struct copy_source *s); /* texts mended so far */
/* Begins to read a table in its order, after the first skip rows. */
int copy_source_table(struct copy_source *s, const struct copy_table *t, uint64_t skip, struct err *e) MUST_CHECK;
/* Appends the tuple of the next row: returns 1, 0 at the end, -1 on error. */
int copy_source_row(struct copy_source *s, struct buf *out, struct err *e) MUST_CHECK;
int copy_source_groups(struct copy_source *s, const char *sql, copy_group_fn *fn, void *ctx, struct err *e) MUST_CHECK;
int copy_source_object(struct copy_source *s, struct sha256 *object, uint64_t *size, char *products, size_t room,
                       struct err *e) MUST_CHECK;

/* ---- the target (postgres_copy.c, _copy_check.c) ------------------------------- */

struct copy_target;
/* Connects, and takes the lock that allows one copy at a time into this database. */
int copy_target_open(const char *url, const char *password, struct copy_target **out, struct err *e) MUST_CHECK;
void copy_target_close(struct copy_target *t); /* NULL is fine */
/* Examines the target without changing it. ERR_CONFLICT: it holds foreign content, or a server uses it. */
int copy_target_look(struct copy_target *t, struct copy_found *out, struct err *e) MUST_CHECK;
/* Creates the tables of that version (0: the newest), and records the copy. */
int copy_target_begin(struct copy_target *t, int version, int64_t origin, const struct sha256 *source,
                      struct err *e) MUST_CHECK;
/* Number of rows of a table that have been copied. */
int copy_target_copied(struct copy_target *t, const struct copy_table *table, uint64_t *rows, struct err *e) MUST_CHECK;
/* One batch is one transaction: begin, put any number of tuples, commit with the number of rows then there. */
int copy_target_batch(struct copy_target *t, const struct copy_table *table, struct err *e) MUST_CHECK;
int copy_target_put(struct copy_target *t, struct span tuples, struct err *e) MUST_CHECK;
int copy_target_commit(struct copy_target *t, const struct copy_table *table, uint64_t rows, struct err *e) MUST_CHECK;
/* Indexes the searchable text of up to n more assets, in the order of their numbers; *made receives how many. */
int copy_target_text(struct copy_target *t, unsigned n, uint64_t *made, struct err *e) MUST_CHECK;
/* Sets counters and sequences from the rows. */
int copy_target_settle(struct copy_target *t, struct err *e) MUST_CHECK;
/* Reads a table back: calls fn with each piece of the stream, and sets *rows. */
typedef void copy_piece_fn(void *ctx, struct span piece);
int copy_target_read(struct copy_target *t, const struct copy_table *table, copy_piece_fn *fn, void *ctx,
                     uint64_t *rows, struct err *e) MUST_CHECK;
int copy_target_groups(struct copy_target *t, const char *sql, copy_group_fn *fn, void *ctx, struct err *e) MUST_CHECK;
int copy_target_finish(struct copy_target *t, struct err *e) MUST_CHECK;

#endif
