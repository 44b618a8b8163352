/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FA_KEEP_CHECK_PRIV_H
#define FA_KEEP_CHECK_PRIV_H

#include "keep/keep_check.h"
#include "catalog/catalog_rules.h"

struct check_run {
        struct catalog *c;
        const struct keep_check_opts *o;
        struct keep_check_result *r; /* of the check at hand */
};
void check_tell(struct check_run *run, const char *format, ...) PRINTF_LIKE(2, 3);

typedef int check_fn(struct check_run *run, struct err *e);
/* What rows refer to, as catalog_tables.h says. (keep_check_references.c) */
check_fn check_references;
/* A task with what it has failed of, and off those that wait. (keep_check_references.c) */
int check_drop_task(struct tx *tx, int64_t n, struct err *e) MUST_CHECK;
/* Members and sums of folders. (keep_check_folders.c) */
check_fn check_folders;
/* The file, and what is derived from it beside it; SQLite. (sqlite_check.c) */
check_fn sqlite_check_file, sqlite_check_words, sqlite_check_vectors;

#endif
