/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Upkeep of an installation over years: garbage collection of objects that no asset refers to, and scrubbing, which
 * reads the others again. Backup, copy, check and rebuild have headers of their own in this room. Results are
 * allocated in the caller's arena.
 */
#ifndef FA_KEEP_H
#define FA_KEEP_H

#include "base/base.h"

struct catalog;

/* ---- objects that no asset refers to (keep_gc.c) -------------------------------------------- */

struct doomed {
        struct sha256 sha256;
        uint64_t size;
        int64_t until; /* until when the mark holds, by the catalog's clock; identifies the mark */
};
/*
 * Clears the marks of an earlier process where this process alone uses the catalog. Called when the collector starts.
 */
int keep_gc_recover(struct catalog *c, struct err *e) MUST_CHECK;
/* Whether keep_gc_begin would find something; a read only. */
int keep_gc_due(struct catalog *c, struct dur grace, bool *due, struct err *e) MUST_CHECK;
/*
 * Marks up to limit objects that no asset has referred to for grace, and objects whose collector did not finish. From
 * then on an ingest of these bytes fails with ERR_STALE, and the caller may remove them until lease has passed.
 */
int keep_gc_begin(struct catalog *c, struct dur grace, struct dur lease, unsigned limit, struct arena *a,
                  struct doomed **out, size_t *n, struct err *e) MUST_CHECK;
/*
 * Marks an object that was found in the storage without a row in the catalog: returns 1 when it is marked (o->until
 * is filled), 0 when there is a row, -1 on error.
 */
int keep_gc_stray(struct catalog *c, struct doomed *o, struct dur lease, struct err *e);
/* To be called once the bytes are removed: deletes the rows of those objects whose mark is still the caller's. */
int keep_gc_end(struct catalog *c, const struct doomed *o, size_t n, struct err *e) MUST_CHECK;

/* ---- reading objects again (keep_scrub.c) ----------------------------------------------------- */

struct scrub_pass {
        struct wall began, finished; /* us 0: never */
        uint64_t objects, bytes, bad;
};
struct scrub_state {
        bool running;
        bool hurry;              /* somebody asked for this pass: it is not spread over days */
        struct scrub_pass now;   /* the running pass so far */
        struct scrub_pass last;  /* the last pass that finished */
        uint64_t objects, bytes; /* all objects of the catalog */
        uint64_t bad;            /* objects whose bytes were wrong when last read */
};
int keep_scrub_state(struct catalog *c, struct scrub_state *out, struct err *e) MUST_CHECK;
/*
 * Begins a pass, which covers all objects that were last read before now. A running pass goes on, unless it does not
 * hurry and this one does.
 */
int keep_scrub_begin(struct catalog *c, bool hurry, struct err *e) MUST_CHECK;
int keep_scrub_end(struct catalog *c, struct err *e) MUST_CHECK;
/* Requests that these objects be read next. *n receives how many of them exist. */
int keep_scrub_ask(struct catalog *c, const struct sha256 *objects, size_t count, size_t *n, struct err *e) MUST_CHECK;

struct scrub_item {
        struct sha256 sha256;
        uint64_t size;
        int64_t seen;    /* identifies the state in which it was listed */
        bool asked;      /* it was requested by name and counts to no pass */
        const char *bad; /* result: what is wrong with its bytes, NULL when nothing is */
        bool skipped;    /* result: it could not be read for a reason that lies outside the object */
};
/* Objects last read before that time, the oldest reading first; asked: only those that were requested by name. */
int keep_scrub_next(struct catalog *c, struct wall before, bool asked, unsigned limit, struct arena *a,
                    struct scrub_item **out, size_t *n, struct err *e) MUST_CHECK;
/*
 * Records results and adds them to the running pass. An object that was stored again since it was listed is left as
 * it is.
 */
int keep_scrub_seen(struct catalog *c, const struct scrub_item *items, size_t n, struct err *e) MUST_CHECK;
struct bad_object {
        struct sha256 sha256;
        uint64_t size;
        const char *reason;
        struct wall found, checked;
        struct id *assets; /* at most BAD_ASSETS of the assets that refer to it, oldest first */
        size_t nassets, total_assets;
};
#define BAD_ASSETS 20
/* Damaged objects, in the order in which they were found. */
int keep_bad_objects(struct catalog *c, unsigned limit, struct arena *a, struct bad_object **out, size_t *n,
                     struct err *e) MUST_CHECK;

/* ---- what of a check only the storage can tell (keep_check_objects.c) -------------------------- */

struct check_object {
        struct scrub_item item; /* as keep_scrub_next gives it */
        struct id derived;      /* an asset whose analysis of it is done and left products; nil: none */
        const char *products;   /* its products, see model.h */
        bool lost;              /* assets were set to failed because its bytes were lost */
};
/* Objects that assets refer to, ordered by hash, after the given one (NULL: from the beginning). */
int keep_check_objects(struct catalog *c, const struct sha256 *after, unsigned limit, struct arena *a,
                       struct check_object **out, size_t *n, struct err *e) MUST_CHECK;

#endif
