/* SPDX-License-Identifier: Apache-2.0 */
/* What the engines implement of a backup (keep_backup.c), and what they share. */
#ifndef FA_KEEP_BACKUP_PRIV_H
#define FA_KEEP_BACKUP_PRIV_H

#include "keep/keep_backup.h"

/* Columns of object o: key, size and products; products are NULL where no asset refers to it. */
#define BACKUP_OBJECT_COLUMNS                                                                                          \
        "o.sha256, o.size, CASE WHEN EXISTS (SELECT 1 FROM asset a WHERE a.sha256 = o.sha256) THEN o.products END"

/* The same for a catalog of 0.1.0, whose objects had no products column: an analysed picture had these two. */
#define BACKUP_OBJECT_COLUMNS_0_1                                                                                      \
        "o.sha256, o.size, (SELECT CASE WHEN max(a.type = 0 AND a.status = 2) THEN 'preview.jpg thumb.webp' WHEN "     \
        "count(*) > 0 THEN '' END FROM asset a WHERE a.sha256 = o.sha256)"

int sqlite_backup_take(const struct keep_backup_opts *o, const char *dir, struct keep_backup *out,
                       struct err *e) MUST_CHECK;
int pg_backup_take(const struct keep_backup_opts *o, const char *dir, struct keep_backup *out,
                   struct err *e) MUST_CHECK;
int sqlite_backup_refers(const char *url, const struct sha256 *keys, size_t n, bool *yes, struct err *e) MUST_CHECK;
int pg_backup_refers(const char *url, const char *password, const struct sha256 *keys, size_t n, bool *yes,
                     struct err *e) MUST_CHECK;
int sqlite_backup_objects(const char *dir, keep_backup_object_fn *fn, void *ctx, struct err *e) MUST_CHECK;

/*
 * For SQLite, the first table of the backup stands for the file. A restore calls look first, and does nothing when
 * the restore is done.
 */
int sqlite_restore_look(const struct keep_restore_opts *o, enum keep_restore_state *out, struct err *e) MUST_CHECK;
int sqlite_restore(const struct keep_restore_opts *o, struct err *e) MUST_CHECK;
int pg_restore_look(const struct keep_restore_opts *o, enum keep_restore_state *out, struct err *e) MUST_CHECK;
int pg_restore(const struct keep_restore_opts *o, struct err *e) MUST_CHECK;

int backup_too_new(const struct keep_backup *b, int newest, struct err *e);
/* Copies from the offset of in to its end into out, and hashes the bytes. */
int backup_copy_fd(int in, int out, struct sha256 *hash, struct err *e) MUST_CHECK;

/* ---- a table's file, row by row (keep_backup_rows.c) -------------------------------- */

/* Reads PostgreSQL's binary COPY format. */
struct copy_file;
int copy_file_open(const char *path, struct copy_file **out, struct err *e) MUST_CHECK;
void copy_file_close(struct copy_file *f); /* NULL is fine */
/* Appends the tuple of the next row: returns 1, 0 at the end, -1 on error. */
int copy_file_row(struct copy_file *f, struct buf *out, struct err *e) MUST_CHECK;

#endif
