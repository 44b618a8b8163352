/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of src/organise only: names, the decision about one asset, a pass's view of the folders. */
#ifndef FA_ORGANISE_PRIV_H
#define FA_ORGANISE_PRIV_H

#include "catalog/catalog_place.h"
#include "embed/embed.h"
#include "organise/organise.h"

/* ---- names (pure) ---------------------------------------------------------------- */

/* What one tag says about a folder's members. */
struct name_evidence {
        const char *tag;
        enum tag_source source;
        bool category; /* one of the model's folder categories */
        bool generic;  /* a person's tag that many files outside the folder have too: it says nothing about this folder
                        */
        uint64_t members;
        float mean; /* confidence, over those that bear it */
};

/* Tags of n members (lists[i] has counts[i]); EXIF tags and machine tags below one half are left out. -1 on OOM. */
int name_tally(struct arena *a, const struct embed *m, const struct tag *const *lists, const size_t *counts, size_t n,
               struct name_evidence **out, size_t *nout) MUST_CHECK;
/*
 * A name for a folder of members files, or NULL when no tag says what they have
 * in common (or memory ran out). taken: names not to repeat if the evidence offers a way around.
 */
const char *name_choose(struct arena *a, const struct name_evidence *v, size_t n, uint64_t members,
                        const char *const *taken, size_t ntaken);
/* "Similar photos (Nov 2026)": for groups that the tags cannot name. NULL on OOM. */
const char *name_dated(struct arena *a, struct wall when);
/* True while the tags still bear current out: bars lower than name_choose's, so that names do not flap. Allows " 2" at
 * the end. */
bool name_holds(struct arena *a, const char *current, const struct name_evidence *v, size_t n, uint64_t members);

/* ---- state ---------------------------------------------------------------------------- */

#define OWNER_STRIPES 64

/* Where the next pass goes on among an owner's unsorted assets. */
struct resume {
        char owner[OWNER_MAX + 1];
        char *cursor; /* NULL: from the start */
};

struct organise {
        struct organise_opts opts;
        struct lock owners[OWNER_STRIPES]; /* by hash of the owner's name: placing is serialised per owner */
        struct lock lock;                  /* resume, and the thread's sleep */
        struct cond wake;
        pthread_t thread;
        bool started;
        atomic_bool stopping;
        atomic_bool
                classifies; /* the model was seen to give category tags: an asset without one is one it is unsure of */
        atomic_uint_fast64_t changes;
        struct mono renew; /* the thread's: when to renew its lease of the duty */
        struct resume *resume;
        size_t nresume, cap_resume;
};

struct lock *owner_lock(struct organise *o, const char *owner); /* (owner.c) */
static inline bool organise_runs(struct organise *o)            /* not stopping */
{
        return !atomic_load_explicit(&o->stopping, memory_order_relaxed);
}

/* Asked between two steps of a pass; false ends it early, with what was done so far. */
typedef bool organise_go_on_fn(struct organise *o);
/* organise_pass, which go_on can end early. */
int pass_run(struct organise *o, const char *owner, bool dry_run, organise_go_on_fn *go_on, struct arena *a,
             struct organise_report *out, struct err *e) MUST_CHECK;

/* ---- one asset ---------------------------------------------------------------------------- */

/* A pass's folders as they were at its start, and in a dry run what it would have changed since. */
struct folder {
        struct id id;
        const char *name;
        float threshold; /* similarity */
        const float *prototype;
        uint32_t into; /* own row, or that of the folder it was merged into */
};
struct world {
        struct folder *folders;
        size_t n, cap;
        struct idmap *rows;  /* folder id → row */
        size_t first_made;   /* rows from here on are folders a dry run founded */
        struct idmap *taken; /* assets a dry run placed already; NULL in a real one */
};

struct place_input {
        const char *owner;
        struct id asset;
        const float *vector;
        const struct tag *tags; /* its non-human tags */
        size_t ntags;
};

/* One half: a picture the model is less sure of stays unsorted, and is no founding member. */
#define SURE_MIN 0.5f

/*
 * Where the asset belongs. w NULL outside of passes. The placement's strings and
 * arrays are in a. Writes nothing; the caller holds the owner's lock if it means to commit.
 */
int place_decide(struct organise *o, const struct place_input *in, const struct world *w, struct arena *a,
                 struct placement *out, struct err *e) MUST_CHECK;
/* Judged by its tags: the model recognises it, or the model does not classify at all. */
bool place_sure(struct organise *o, const struct tag *tags, size_t n);
/* Remembers whether the model classifies at all. */
void place_learn(struct organise *o, const struct tag *tags, size_t n);
/* The similarity from which two folders are one: the stricter threshold and a lead, never above what is reachable. */
float merge_bar(float threshold);
/* Marks people's tags that do not single this folder out. */
int name_mark_generic(struct organise *o, const char *owner, struct name_evidence *v, size_t n, uint64_t members,
                      struct err *e) MUST_CHECK;

#endif
