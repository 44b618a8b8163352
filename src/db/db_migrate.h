/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Migrations: SQL texts that bring the tables from one version to the next, one
 * transaction each together with its entry in schema_version. The list is the
 * owner's (cmake/embed_sql.cmake makes it out of .sql files); how one is
 * applied, and interrupted, is an engine's own.
 */
#ifndef FA_DB_MIGRATE_H
#define FA_DB_MIGRATE_H

#include "db/db.h"
#include "db/db_watch.h"

struct db_migration {
        int version; /* 0 ends the list */
        const char *name, *what, *sql;
        const char *count;  /* a query for the number of rows that it rewrites; NULL: none */
        bool vectors, text; /* it leaves them to be made again */
        bool alone;         /* programs that do not know it cannot work with what it makes */
};

struct migration_run {                       /* how far it is */
        const struct migration_watch *watch; /* NULL: nobody watches */
        struct migration_progress at;
        struct mono began, told;
        bool stopped;
};
typedef int migration_apply_fn(struct db *db, const struct db_migration *m, struct migration_run *r, struct err *e);
/* Applies what is newer than schema_version and no newer than version (0: all); refuses the tables of a newer
 * program. */
int migrations_run(struct db *db, const struct db_migration *list, int version, migration_apply_fn *apply,
                   const struct migration_watch *watch, struct err *e) MUST_CHECK;
/* Everything of *out but the engine. */
int migrations_plan(struct db *db, const struct db_migration *list, struct arena *a, struct migration_plan *out,
                    struct err *e) MUST_CHECK;
void migration_wait(struct migration_run *r, const char *what_for); /* from now on; what_for: a literal */
#define WAITS_FOR_LOCK "another program that holds the catalog"
/* An engine calls it while it waits or works, several times a second: reports when it is time to. true: stop. */
bool migration_tick(struct migration_run *r);
/* What became of it, into *e: why, or that it was stopped. -1. */
int migration_failed(const struct migration_run *r, const struct err *why, struct err *e);

#endif
