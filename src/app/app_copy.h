/* SPDX-License-Identifier: Apache-2.0 */
/* A whole installation from SQLite to PostgreSQL, and its objects from one storage to another. */
#ifndef FA_APP_COPY_H
#define FA_APP_COPY_H

#include "admin/objects.h"
#include "keep/keep_copy.h"

struct config;

struct app_copy_report {
        const char *from, *to; /* without a password */
        enum keep_copy_state found;
        bool compared, equal; /* the catalogs */
        const struct keep_copy_table *tables;
        size_t ntables;
        const struct keep_copy_group *groups;
        size_t ngroups;
        uint64_t mended;
        const char *storage_from, *storage_to; /* storage_to NULL: the objects stay where they are */
        struct objects_report objects;
};

struct app_copy_opts {
        const char *from, *to; /* NULL: what DATABASE_URL says */
        const char *storage_from, *storage_to;
        bool verify, dry_run;
        unsigned threads;
        void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
        void (*bad)(void *ctx, const char *why); /* an object */
        void (*report)(void *ctx, const struct app_copy_report *r);
        void *ctx;
};

/*
 * 0 also when the catalogs differ or objects are bad: the report, given before the end, says so. A dry run changes
 * nothing and compares nothing.
 */
int app_copy(const struct config *c, const struct app_copy_opts *opts, struct err *e) MUST_CHECK;

#endif
