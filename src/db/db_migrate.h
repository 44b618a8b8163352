/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schema migrations: SQL texts that bring the tables from one version to the next, each in a transaction of its own
 * together with its row in schema_version. The list belongs to the owner of the database (cmake/embed_sql.cmake
 * generates it from .sql files); how a migration is applied and interrupted is the engine's part.
 */
#ifndef FA_DB_MIGRATE_H
#define FA_DB_MIGRATE_H

#include "db/db.h"
#include "db/db_watch.h"

struct db_migration {
        int version; /* 0 ends the list */
        const char *name, *what, *sql;
        const char *count;  /* a query that counts the rows it rewrites; NULL: none */
        bool vectors, text; /* it leaves the vector index or the full-text index to be rebuilt */
        bool alone;         /* older programs cannot work on the tables that it leaves */
};

struct migration_run {                       /* the progress of a run */
        const struct migration_watch *watch; /* NULL: nobody watches */
        struct migration_progress at;
        struct mono began, told;
        bool stopped;
};
typedef int migration_apply_fn(struct db *db, const struct db_migration *m, struct migration_run *r, struct err *e);
/* Applies the migrations after schema_version up to version (0: all). Refuses tables that a newer program made. */
int migrations_run(struct db *db, const struct db_migration *list, int version, migration_apply_fn *apply,
                   const struct migration_watch *watch, struct err *e) MUST_CHECK;
/* Fills all of *out except the engine. */
int migrations_plan(struct db *db, const struct db_migration *list, struct arena *a, struct migration_plan *out,
                    struct err *e) MUST_CHECK;
void migration_wait(struct migration_run *r,
                    const char *what_for); /* reports that the run waits from now on; what_for is a string literal */
#define WAITS_FOR_LOCK "another program that holds the catalog"
/*
 * Called by an engine several times a second while it waits or works; reports progress when that is due. Returns true
 * when the run should stop.
 */
bool migration_tick(struct migration_run *r);
/* Writes to *e why the run failed, or that it was stopped. Returns -1. */
int migration_failed(const struct migration_run *r, const struct err *why, struct err *e);

#endif
