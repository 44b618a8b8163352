/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of migrations: what would be done, how far one is, and that it is to stop. */
#ifndef FA_DB_WATCH_H
#define FA_DB_WATCH_H

#include "base/base.h"

enum migration_phase {
        MIGRATION_WAITS,  /* for other programs, see waits_for */
        MIGRATION_BEGINS, /* once for each */
        MIGRATION_RUNS,   /* while one runs, every few seconds */
        MIGRATION_ENDS,   /* it is committed */
};

struct migration_progress {
        enum migration_phase phase;
        int from;                /* schema version that was found; 0: the catalog is new */
        int version;             /* what it is being brought to; 0 while it waits */
        const char *name, *what; /* the migration, and a sentence that says what it does; "" while it waits */
        const char *waits_for;   /* while it waits */
        unsigned nth, of;        /* of those to run, from 1 */
        unsigned statement;      /* of the migration, from 1 */
        struct dur elapsed;      /* since its beginning, or since the waiting began */
};

/* Both are called by the thread that opens the database, and must not use it. */
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
        bool alone;   /* programs of older versions must be stopped before */
};

struct migration_plan {
        const char *engine;  /* "sqlite", "postgresql" */
        int version, newest; /* the catalog's, and what this program brings it to */
        const struct migration_step *steps;
        size_t nsteps;
        bool vectors, text; /* made again in the background after the start */
};

#endif
