/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The suite's factory for PostgreSQL: one server a test program, of this
 * machine's version with pgvector, in a temporary folder and reached over a
 * Unix socket only; a database of its own per catalog. Without PostgreSQL the
 * tests fail: what cannot be tested is not known to work.
 */
#ifndef FA_CATALOG_POSTGRES_BACKEND_H
#define FA_CATALOG_POSTGRES_BACKEND_H

#include "contract/catalog_suite.h"

#include <libpq-fe.h>

/* Starts the server at the first call. */
void pgtest_start(void);
/* Stops it at once, or as if it had crashed, and starts it again on the same data, down for that long. */
void pgtest_restart(bool crash, struct dur down);
void pgtest_stop(void); /* pgtest_start brings it back */
/* A libpq url of a database as a role. */
void pgtest_url(char *out, size_t max, const char *role, const char *database);
/* Statements as the superuser; fails the test when one fails. */
void pgtest_exec(const char *database, const char *sql);
/* The first column of the first row as a number. */
long pgtest_number(const char *database, const char *sql);
const char *pgtest_database(const char *url); /* the name in a url of ours */

/* Statements behind the catalog's back. */
static inline void backend_sql(const char *url, const char *sql)
{
        pgtest_exec(pgtest_database(url), sql);
}

/* Until the server has noticed that a catalog was closed. */
void backend_quiet(const char *url);
/* Marks the (closed) catalog as one of a newer program. */
void backend_future(const char *url);

#endif
