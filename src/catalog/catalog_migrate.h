/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing an older catalog up to date: what would be done, how far it is, and stopping it. */
#ifndef FA_CATALOG_MIGRATE_H
#define FA_CATALOG_MIGRATE_H

#include "db/db_watch.h"

struct catalog_opts;

/*
 * What catalog_open would do first. The catalog is only read, also beside a server; strings are literals, steps live
 * in a. ERR_NOT_FOUND: there is no catalog; ERR_CONFLICT: a newer program wrote it.
 */
int catalog_migration_plan(const struct catalog_opts *opts, struct arena *a, struct migration_plan *out,
                           struct err *e) MUST_CHECK;

#endif
