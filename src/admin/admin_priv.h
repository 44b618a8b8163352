/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FA_ADMIN_PRIV_H
#define FA_ADMIN_PRIV_H

#include "admin/admin.h"
#include "storage/storage.h"

struct key_entry {
        struct sha256 hash; /* of the presented key or token */
        struct mono until;  /* ns 0: free */
        bool known;
        struct admin_caller who;
};

struct keys {
        struct lock lock; /* generation, entries */
        uint64_t generation;
        struct key_entry entries[256];
        atomic_bool required;
        _Atomic(int64_t) look_again; /* ns of struct mono */
};
int keys_init(struct keys *k, const struct admin_opts *o, struct err *e) MUST_CHECK;
void keys_done(struct keys *k);

struct admin {
        struct admin_opts o;
        struct mono started;
        struct wall started_wall;
        _Atomic bool draining;
        struct lock lock; /* stop, last_collect */
        struct lock collecting;
        struct cond wake;
        bool stop, has_thread, has_scrubber;
        pthread_t thread, scrubber;
        atomic_bool scrub_soon; /* somebody asked for it here */
        struct mono last_collect;
        struct keys keys;
};

struct process_usage {
        uint64_t rss, fds, max_fds, threads;
        double cpu_seconds;
};
void process_usage(struct process_usage *u);
/* The thread that empties the trash and collects garbage. (upkeep.c) */
void *admin_janitor(void *admin);
void *admin_scrubber(void *admin); /* (scrub.c) */
/* False when the service ends first. (pause.c) */
bool admin_pause(struct admin *a, struct dur d);
/* Removes some objects that no asset has referred to for grace: how many, -1. (gc.c) */
int gc_batch(struct catalog *catalog, struct storage *storage, struct dur grace, struct err *e) MUST_CHECK;
/* Removes bytes that have no row in the catalog: 1 removed, 0 there is a row, -1. */
int gc_remove_stray(struct catalog *catalog, struct storage *storage, struct sha256 object, uint64_t size,
                    struct err *e) MUST_CHECK;

/*
 * Objects (or objects of which there are derived files) in the storage that are older than age and that the catalog
 * does not know. 0 to go on, 1 to stop, -1; the walk returns the same. (strays.c)
 */
typedef int stray_fn(void *ctx, struct sha256 object, uint64_t size, struct err *e);
int strays_walk(struct catalog *catalog, struct storage *storage, enum storage_area area, struct dur age, stray_fn *fn,
                void *ctx, struct err *e) MUST_CHECK;
/* Younger objects may belong to an upload under way. */
static inline struct dur stray_age(struct dur grace)
{
        return grace.ns > dur_s(3600).ns ? grace : dur_s(3600);
}

/* (verify.c) */
struct verify {
        struct storage *storage;
        struct sha256 object;
        uint64_t size;
        bool quick;                         /* only check that it exists with this size */
        bool (*go_on)(void *ctx, size_t n); /* after so many more bytes; NULL: always */
        void *ctx;
};
enum damage { DAMAGE_NONE, DAMAGE_MISSING, DAMAGE_SIZE, DAMAGE_BYTES };
/*
 * 0: the object is intact. -1 with e: *damage says what is wrong with it, DAMAGE_NONE that it could not be checked.
 * 1: go_on said no.
 */
int verify_object(const struct verify *v, enum damage *damage, struct err *e) MUST_CHECK;

#endif
