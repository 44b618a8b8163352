/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping an installation for years: collecting objects that no asset refers to
 * and reading the others again. Backup, copy, check and rebuild have headers of
 * their own beside this one. Results are allocated in the caller's arena.
 */
#ifndef FA_KEEP_H
#define FA_KEEP_H

#include "base/base.h"

struct catalog;

/* ---- objects that no asset refers to (keep_gc.c) -------------------------------------------- */

struct doomed {
        struct sha256 sha256;
        uint64_t size;
        int64_t until; /* names the mark; by the catalog's clock */
};
/* Where one process alone has the catalog: the marks of an earlier one are nobody's. For the collector's start. */
int keep_gc_recover(struct catalog *c, struct err *e) MUST_CHECK;
/* Whether keep_gc_begin would find something; only reads. */
int keep_gc_due(struct catalog *c, struct dur grace, bool *due, struct err *e) MUST_CHECK;
/*
 * Marks up to limit objects that no asset has referred to for grace, and those whose collector did not come to the
 * end. From then on an ingest of these bytes is ERR_STALE, and the caller may remove them until lease is over.
 */
int keep_gc_begin(struct catalog *c, struct dur grace, struct dur lease, unsigned limit, struct arena *a,
                  struct doomed **out, size_t *n, struct err *e) MUST_CHECK;
/* The same for bytes that were found without a row: 1 marked (o->until filled), 0 there is a row, -1. */
int keep_gc_stray(struct catalog *c, struct doomed *o, struct dur lease, struct err *e);
/* Their bytes are gone: so are their rows, where the mark is still the caller's. */
int keep_gc_end(struct catalog *c, const struct doomed *o, size_t n, struct err *e) MUST_CHECK;

/* ---- reading objects again (keep_scrub.c) ----------------------------------------------------- */

struct scrub_pass {
        struct wall began, finished; /* us 0: never */
        uint64_t objects, bytes, bad;
};
struct scrub_state {
        bool running;
        bool hurry;              /* somebody asked for the pass that runs: it is not spread over days */
        struct scrub_pass now;   /* the pass that runs, so far */
        struct scrub_pass last;  /* that came to its end */
        uint64_t objects, bytes; /* that there are */
        uint64_t bad;            /* objects whose bytes were not right when they were last read */
};
int keep_scrub_state(struct catalog *c, struct scrub_state *out, struct err *e) MUST_CHECK;
/* A pass begins: all objects that were last read before now belong to it. One that runs and hurries goes on. */
int keep_scrub_begin(struct catalog *c, bool hurry, struct err *e) MUST_CHECK;
int keep_scrub_end(struct catalog *c, struct err *e) MUST_CHECK;
/* These objects are to be read next. *n: how many of them there are. */
int keep_scrub_ask(struct catalog *c, const struct sha256 *objects, size_t count, size_t *n, struct err *e) MUST_CHECK;

struct scrub_item {
        struct sha256 sha256;
        uint64_t size;
        int64_t seen;    /* names the state it was listed in */
        bool asked;      /* by name; it counts to no pass */
        const char *bad; /* result: what is wrong with its bytes, NULL nothing */
        bool skipped;    /* result: it could not be read for a reason that is not its own */
};
/* Objects last read before then, the longest ago first; asked: only those that were asked for. */
int keep_scrub_next(struct catalog *c, struct wall before, bool asked, unsigned limit, struct arena *a,
                    struct scrub_item **out, size_t *n, struct err *e) MUST_CHECK;
/* Results, and the running pass's counts. An object that was put anew since it was listed is left as it is. */
int keep_scrub_seen(struct catalog *c, const struct scrub_item *items, size_t n, struct err *e) MUST_CHECK;
struct bad_object {
        struct sha256 sha256;
        uint64_t size;
        const char *reason;
        struct wall found, checked;
        struct id *assets; /* at most BAD_ASSETS of those that refer to it, oldest first */
        size_t nassets, total_assets;
};
#define BAD_ASSETS 20
/* Found longest ago first. */
int keep_bad_objects(struct catalog *c, unsigned limit, struct arena *a, struct bad_object **out, size_t *n,
                     struct err *e) MUST_CHECK;

/* ---- what of a check only the storage can tell (keep_check_objects.c) -------------------------- */

struct check_object {
        struct scrub_item item; /* as keep_scrub_next gives it */
        struct id derived;      /* an asset that is done with it, where it has products; nil: none */
        const char *products;   /* what was made of it, see model.h */
        bool lost;              /* assets were failed because its bytes were lost */
};
/* Objects that assets refer to, by their hash, after the given one (NULL: from the beginning). */
int keep_check_objects(struct catalog *c, const struct sha256 *after, unsigned limit, struct arena *a,
                       struct check_object **out, size_t *n, struct err *e) MUST_CHECK;

#endif
