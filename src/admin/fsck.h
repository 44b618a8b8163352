/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks an installation: the catalog against itself and against the storage. Repairing recounts, derives again and
 * collects garbage; it deletes no file's row and guesses nothing.
 */
#ifndef FA_ADMIN_FSCK_H
#define FA_ADMIN_FSCK_H

#include "keep/keep_check.h"

struct catalog;
struct storage;

struct fsck_opts {
        struct catalog *catalog;
        struct storage *storage;
        bool repair, quick; /* quick: objects are not read, only looked for */
        bool alone;         /* nobody else has an embedded catalog open */
        bool may_wait;      /* a missing object may still wait in an instance's spool */
        struct dur gc_grace;
        const char *tmp; /* the storage's folder of uploads under way; NULL: it has none */
        keep_tell_fn *tell;
        void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
        void *ctx;
};

#define FSCK_CHECKS_MAX (KEEP_CHECKS_MAX + 16)
struct fsck_report {
        struct keep_check_result checks[FSCK_CHECKS_MAX];
        size_t n;
        uint64_t objects, bytes; /* looked at */
        uint64_t found, mended;
};

/* Before a storage is opened for writing, which sweeps the folder. */
int fsck_tmp(const struct fsck_opts *o, struct fsck_report *r, struct err *e) MUST_CHECK;
/* Adds to the report. -1 only when it could not be checked. */
int fsck_run(const struct fsck_opts *o, struct fsck_report *r, struct err *e) MUST_CHECK;

#endif
