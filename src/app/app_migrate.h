/* SPDX-License-Identifier: Apache-2.0 */
/* Bringing the catalog that the settings name up to date, and saying first what that would be. */
#ifndef FA_APP_MIGRATE_H
#define FA_APP_MIGRATE_H

#include "base/base.h"

struct config;

struct app_migration_step {
        int version;
        const char *name, *what; /* what: a sentence without its full stop */
        int64_t rows;            /* that it rewrites, roughly; -1: not known */
        bool alone;              /* all instances of older versions must be stopped before */
};
struct app_migration {
        const char *catalog; /* the SQLite file, or PostgreSQL's URL without a password */
        const char *engine;
        int version, newest; /* the catalog's schema version, and the one that this program works with */
        const struct app_migration_step *steps;
        size_t nsteps;
        bool vectors, text; /* made again in the background after the next start */
};

/* Only reads, also beside a server. Texts live in mem. ERR_NOT_FOUND: there is no catalog yet. */
int app_migration_plan(const struct config *c, struct arena *mem, struct app_migration *out, struct err *e) MUST_CHECK;

struct app_migrate_opts {
        void (*tell)(void *ctx, const char *line); /* how far it is: every few seconds, and when a step is done */
        bool (*stop)(void *ctx);                   /* true: the step at hand is undone; ERR_STOPPED */
        void *ctx;
};
/* What a start would do first, and nothing else. An embedded catalog must not be in use. */
int app_migrate(const struct config *c, const struct app_migrate_opts *opts, struct err *e) MUST_CHECK;

#endif
