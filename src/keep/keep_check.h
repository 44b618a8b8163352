/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the catalog agrees with itself: what is counted, repeated or derived in it, against what it is made of. */
#ifndef FA_KEEP_CHECK_H
#define FA_KEEP_CHECK_H

#include "base/base.h"

struct catalog;

#define KEEP_CHECKS_MAX 24

/* One finding, as a sentence; for as long as the call lasts. */
typedef void keep_tell_fn(void *ctx, const char *check, const char *what);

struct keep_check_opts {
        bool repair; /* mend what the rest of the catalog tells how to */
        bool alone;  /* no other process has an embedded catalog open: checks that need its writer are made, too */
        bool quick;  /* not those that read all of an embedded catalog's file */
        keep_tell_fn *tell;
        void *ctx;
};
struct keep_check_result {
        const char *name;
        uint64_t found, mended;
};
/* -1 only when the checks could not be made. */
int keep_check(struct catalog *c, const struct keep_check_opts *o, struct keep_check_result out[KEEP_CHECKS_MAX],
               size_t *n, struct err *e) MUST_CHECK;

#endif
