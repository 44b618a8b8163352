/* SPDX-License-Identifier: Apache-2.0 */
/* How a caller watches migrations: what would be done, how far one is, and a request to stop. */
#ifndef FA_DB_WATCH_H
#define FA_DB_WATCH_H

#include "base/base.h"

enum migration_phase {
        MIGRATION_WAITS,  /* it waits for other programs, see waits_for */
        MIGRATION_BEGINS, /* once for each */
        MIGRATION_RUNS,   /* while one runs, every few seconds */
        MIGRATION_ENDS,   /* it is committed */
};

struct migration_progress {
        enum migration_phase phase;
        int from;                /* the schema version found; 0: the catalog is new */
        int version;             /* the version being applied; 0 while it waits */
        const char *name, *what; /* the migration's name and a sentence that describes it; "" while it waits */
        const char *waits_for;   /* while it waits */
        unsigned nth, of;        /* of those to run, from 1 */
        unsigned statement;      /* of the migration, from 1 */
        struct dur elapsed;      /* since the migration or the waiting began */
};

/* Both callbacks run on the thread that opens the database, and must not use the database. */
struct migration_watch {
        void (*progress)(void *ctx, const struct migration_progress *p); /* NULL: no reports */
        /*
         * Asked several times a second. true: the current migration is rolled back, earlier ones stay, and the
         * function that was called fails with ERR_STOPPED. NULL: never stop.
         */
        bool (*stop)(void *ctx);
        void *ctx;
        struct dur every; /* between two reports of one migration; 0: 5 s */
};

struct migration_step {
        int version;
        const char *name, *what;
        int64_t rows; /* estimated number of rows that it rewrites; 0: it only adds new things; -1: not known */
        bool alone;   /* programs of older versions must be stopped first */
};

struct migration_plan {
        const char *engine;  /* "sqlite", "postgresql" */
        int version, newest; /* the catalog's version, and the one this program migrates it to */
        const struct migration_step *steps;
        size_t nsteps;
        bool vectors, text; /* whether they are rebuilt in the background after the start */
};

#endif
