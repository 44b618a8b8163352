/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing an older catalog up to date: what would be done, how far it is, and stopping it. */
#ifndef FA_CATALOG_MIGRATE_H
#define FA_CATALOG_MIGRATE_H

#include "base/base.h"

struct catalog_opts;

enum migration_phase {
        MIGRATION_WAITS,  /* another program holds the catalog's lock, perhaps at the same work */
        MIGRATION_BEGINS, /* once for each */
        MIGRATION_RUNS,   /* while one runs, every few seconds */
        MIGRATION_ENDS,   /* it is committed */
};

struct migration_progress {
        enum migration_phase phase;
        int from;                /* schema version that was found; 0: the catalog is new */
        int version;             /* what it is being brought to; 0 while it waits */
        const char *name, *what; /* the migration, and a sentence that says what it does; "" while it waits */
        unsigned nth, of;        /* of those to run, from 1 */
        unsigned statement;      /* of the migration, from 1 */
        struct dur elapsed;      /* since its beginning, or since the waiting began */
};

/* Both are called by the thread that opens the catalog, and must not use it. */
struct migration_watch {
        void (*progress)(void *ctx, const struct migration_progress *p); /* NULL: nobody looks */
        /* Asked several times a second. true: the migration at hand is rolled back, those before it stay, and what was
         * called fails with ERR_STOPPED. NULL: never. */
        bool (*stop)(void *ctx);
        void *ctx;
        struct dur every; /* between two reports of one migration; 0: 5 s */
};

struct migration_step {
        int version;
        const char *name, *what;
        int64_t rows; /* rows that it rewrites, roughly; 0: it only makes new things; -1: not known */
};

struct migration_plan {
        const char *engine;  /* "sqlite", "postgresql" */
        int version, newest; /* the catalog's, and what this program brings it to */
        const struct migration_step *steps;
        size_t nsteps;
        bool vectors, text; /* made again in the background after the start */
};

/*
 * What catalog_open would do first. The catalog is only read, also beside a server; strings are literals, steps live
 * in a. ERR_NOT_FOUND: there is no catalog; ERR_CONFLICT: a newer program wrote it.
 */
int catalog_migration_plan(const struct catalog_opts *opts, struct arena *a, struct migration_plan *out,
                           struct err *e) MUST_CHECK;

#endif
