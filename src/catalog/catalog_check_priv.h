/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FA_CATALOG_CHECK_PRIV_H
#define FA_CATALOG_CHECK_PRIV_H

#include "catalog/catalog_check.h"
#include "catalog/catalog_priv.h"

struct check_run {
        struct catalog *c;
        const struct catalog_check_opts *o;
        struct catalog_check_result *r; /* of the check at hand */
};
void check_tell(struct check_run *run, const char *format, ...) PRINTF_LIKE(2, 3);

typedef int check_fn(struct check_run *run, struct err *e);
/* Members and sums of folders. (catalog_check_folders.c) */
check_fn check_folders;
/* The file, and what is derived from it beside it; SQLite. (catalog_sqlite_check.c) */
check_fn sqlite_check_file, sqlite_check_words, sqlite_check_vectors;

#endif
