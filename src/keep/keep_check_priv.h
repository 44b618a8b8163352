/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FA_KEEP_CHECK_PRIV_H
#define FA_KEEP_CHECK_PRIV_H

#include "keep/keep_check.h"
#include "catalog/catalog_rules.h"

struct check_run {
        struct catalog *c;
        const struct keep_check_opts *o;
        struct keep_check_result *r; /* of the current check */
};
void check_tell(struct check_run *run, const char *format, ...) PRINTF_LIKE(2, 3);

typedef int check_fn(struct check_run *run, struct err *e);
/* Rows whose references lead nowhere, as the table descriptions define them. (keep_check_references.c) */
check_fn check_references;
/* Deletes a task with its failures, and updates the number of waiting tasks. (keep_check_references.c) */
int check_drop_task(struct tx *tx, int64_t n, struct err *e) MUST_CHECK;
/* Member counts and vector sums of folders. (keep_check_folders.c) */
check_fn check_folders;
/* SQLite: the database file, and the indexes derived from it. (sqlite_check.c) */
check_fn sqlite_check_file, sqlite_check_words, sqlite_check_vectors;

#endif
