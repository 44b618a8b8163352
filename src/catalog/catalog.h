/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The truth: jobs, assets, tasks, folders, vectors, history. One interface for
 * both engines; functions block, are thread-safe, and either do all of what
 * they say, durably, or nothing.
 *
 * Results are allocated in the caller's arena and live as long as it.
 *
 * This header opens a catalog. What it does stands in a header for each
 * audience: catalog_ingest.h, catalog_task.h, catalog_job.h, catalog_asset.h,
 * catalog_part.h, catalog_search.h, catalog_folder.h, catalog_place.h,
 * catalog_counts.h, catalog_upkeep.h, catalog_migrate.h.
 */
#ifndef FA_CATALOG_H
#define FA_CATALOG_H

#include "base/base.h"

struct catalog;
struct migration_watch;

struct catalog_opts {
        const char *url;       /* "sqlite:///abs/path/catalog.db" or "postgresql://…" (libpq's form) */
        const char *data_path; /* for the vector cache, <data>/vector/<model_id>.i8 */
        struct dur idempotency_ttl;
        unsigned phash_distance; /* near duplicates: Hamming distance below this; 0 = off */
        uint64_t queue_max_depth;
        uint64_t min_free;                   /* SQLite: see catalog_room; 0: none */
        float folder_threshold;              /* similarity, of folders that an ingest makes; 0: 0.72 */
        const struct migration_watch *watch; /* of the migrations that opening runs; NULL: nobody watches */
        /* PostgreSQL only; 0 and NULL stand for the default in brackets. */
        const char *db_password;    /* instead of the url's */
        unsigned db_pool_size;      /* connections kept open (10) */
        unsigned db_max_overflow;   /* and so many more for a while (20); UINT_MAX: none */
        struct dur db_pool_timeout; /* past it, waiting for a connection ends in ERR_BUSY (5 s) */
        uint64_t vector_exact_max;  /* vectors a filter may leave to be searched without the index (20,000) */
};

/* Applies migrations under a lock (catalog_migrate.h), refuses a catalog from a newer program, starts the writer. */
int catalog_open(const struct catalog_opts *opts, struct catalog **out, struct err *e) MUST_CHECK;
void catalog_close(struct catalog *c); /* waits for queued writes; NULL is fine */

/*
 * Vectors of this model id are searched from now on, besides those of up to
 * seven others (ERR_INVALID). Loads them (from the cache file when its epoch
 * fits, else from the rows) on a thread of its own; until then searches among
 * them return ERR_UNAVAILABLE "warming". Again for the same model: loads it anew.
 */
int catalog_use_model(struct catalog *c, const char *model_id, uint32_t dim, struct err *e) MUST_CHECK;
bool catalog_warm(struct catalog *c); /* there is a model in use, and all of them are loaded */

struct catalog_state {
        const char *engine; /* "sqlite", "postgresql" */
        bool ok;
        unsigned pool_size, overflow, max, in_use, idle, waiting; /* overflow: open past pool_size; max: ever open */
        double latency_ms;                                        /* of a trivial read just done */
        char note[160];
};
void catalog_state(struct catalog *c, struct catalog_state *out);
/*
 * Before it takes more: ERR_NO_SPACE when less than min_free is left for it,
 * on its volume and of what deleted rows have left inside the file. So room
 * remains to delete, which is a write as well. PostgreSQL sees to its own.
 */
int catalog_room(struct catalog *c, struct err *e) MUST_CHECK;

#endif
