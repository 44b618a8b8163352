/* SPDX-License-Identifier: Apache-2.0 */
/* Objects from one storage into another, and whether those of a catalog are whole. */
#ifndef FA_OBJECTS_H
#define FA_OBJECTS_H

#include "base/base.h"

struct storage;
struct objects_item; /* admin/objects_item.h */

struct objects_report {
        uint64_t seen, bytes; /* so far, whatever became of them */
        uint64_t copied, copied_bytes, there, hashed, derived;
        uint64_t mended; /* of those copied: the target had one that was damaged */
        uint64_t bad;    /* missing, or their bytes do not match their name */
};

/* Derived files go with objects that are copied; with ALL also those that the target lacks of objects it has. */
enum objects_derived { DERIVED_WITH_NEW, DERIVED_ALL, DERIVED_NONE };

struct objects_opts {
        struct storage *from;
        struct storage *to; /* NULL: those of from are only checked */
        bool hash;          /* read every byte, not only sizes: of a check, or of what the target has already */
        bool replace;       /* what the target has damaged, instead of ending there */
        enum objects_derived derived;
        unsigned threads;
        /* The objects wanted: 1, 0 at the end, -1. One thread at a time calls it, as those below. */
        int (*next)(void *ctx, struct objects_item *out, struct err *e);
        void (*progress)(void *ctx, const struct objects_report *r); /* may be NULL */
        void (*bad)(void *ctx, const char *why);                     /* may be NULL */
        /* Called instead of bad, for a caller that can do something about it; -1 ends the run. May be NULL. */
        int (*lost)(void *ctx, const struct objects_item *item, const struct err *why, struct err *e);
        void *ctx;
};

/*
 * Copies (with what was derived from them) or checks. Each object's bytes are hashed on their way; what the target
 * has in the right size is left alone. 0 also with bad ones; -1 when the whole cannot go on. Run again, it completes
 * the rest. *r is filled in either case.
 */
int objects_run(const struct objects_opts *opts, struct objects_report *r, struct err *e) MUST_CHECK;

#endif
