/* SPDX-License-Identifier: Apache-2.0 */
/* Consistency check of the catalog: counters, copies and derived data are compared with the rows they come from. */
#ifndef FA_KEEP_CHECK_H
#define FA_KEEP_CHECK_H

#include "base/base.h"

struct catalog;

#define KEEP_CHECKS_MAX 24

/* Receives one finding as a sentence; the strings are valid during the call only. */
typedef void keep_tell_fn(void *ctx, const char *check, const char *what);

struct keep_check_opts {
        bool repair; /* repair what can be derived from the rest of the catalog */
        bool alone;  /* no other process has the embedded catalog open: checks that need its writer are run, too */
        bool quick;  /* skips the checks that read the whole file of an embedded catalog */
        keep_tell_fn *tell;
        void *ctx;
};
struct keep_check_result {
        const char *name;
        uint64_t found, mended;
};
/* Returns -1 only when the checks could not be run; findings are no error. */
int keep_check(struct catalog *c, const struct keep_check_opts *o, struct keep_check_result out[KEEP_CHECKS_MAX],
               size_t *n, struct err *e) MUST_CHECK;

#endif
