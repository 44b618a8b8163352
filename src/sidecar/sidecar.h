/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sidecars: small JSON files beside the objects that record everything decided about them, so that a lost catalog can
 * be rebuilt. The hard thing is to be neither late nor in the way: a thread follows the catalog's marks (dirty
 * flags), a batch at a time, and clears a mark only when its sidecar is durable.
 */
#ifndef FA_SIDECAR_H
#define FA_SIDECAR_H

#include "base/base.h"

struct catalog;
struct kept_asset;
struct kept_folder;
struct storage;

/* ---- writing: one lane a process, one at work among those that share a catalog --------- */

struct sidecar;

struct sidecar_opts {
        struct catalog *catalog;
        struct storage *storage;
        const char *instance; /* this process's name among those that share the catalog; outlives the room */
        struct dur every;     /* between two looks at the marks; 0: 5 s */
};

/* Starts the thread. */
int sidecar_open(const struct sidecar_opts *opts, struct sidecar **out, struct err *e) MUST_CHECK;
/* Writes as much as it can until the deadline; the rest keeps its marks. NULL is fine. */
void sidecar_close(struct sidecar *s, struct mono deadline);

struct sidecar_state {
        uint64_t waiting; /* outdated sidecars of the whole catalog */
        double oldest_seconds;
        char note[160]; /* the last error; "" none */
};
void sidecar_state(struct sidecar *s, struct sidecar_state *out);

/* ---- the format -------------------------------------------------------------------------- */

/* One line of JSON that ends in a hash of itself. b's cap is the caller's. */
void sidecar_write_asset(const struct kept_asset *k, struct buf *b);
void sidecar_write_folder(const struct kept_folder *k, struct buf *b);
void sidecar_write_catalog(bool keys, struct buf *b);

/*
 * ERR_CORRUPT: damaged, or not a sidecar; ERR_UNSUPPORTED: of a newer format. What id says must be what the file is
 * called. Everything is checked: names, lengths, numbers, so that what comes out may go into a catalog.
 */
int sidecar_read_asset(struct span text, struct id id, struct arena *a, struct kept_asset *out,
                       struct err *e) MUST_CHECK;
int sidecar_read_folder(struct span text, struct id id, struct arena *a, struct kept_folder *out,
                        struct err *e) MUST_CHECK;
int sidecar_read_catalog(struct span text, bool *keys, struct err *e) MUST_CHECK;

/* ---- rebuilding ---------------------------------------------------------------------------- */

struct rebuild_report {
        uint64_t assets, folders, queued, dead,
                trashed;         /* restored to the catalog; the last three are part of assets */
        uint64_t recovered;      /* objects without a sidecar */
        uint64_t objects, bytes; /* in the storage */
        uint64_t damaged;        /* sidecars that cannot be read */
        uint64_t missing;        /* sidecars whose object is not there, or not as long */
        uint64_t strays;         /* unknown names in the storage */
        bool keys;               /* the API had keys; they have to be created again */
        bool resumed;            /* an interrupted rebuild was continued; the counts are of this run */
};

struct rebuild_opts {
        struct catalog *catalog; /* empty, or left by an interrupted rebuild */
        struct storage *storage;
        /* Makes an asset from an object without a sidecar. */
        int (*recover)(void *ctx, struct sha256 object, uint64_t size, struct err *e);
        void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total); /* may be NULL */
        void (*bad)(void *ctx, const char *why);                                      /* each thing that is wrong */
        void *ctx;
};

/* 0 also when there are problems: the report lists them. It can be killed at any point and run again. */
int rebuild_run(const struct rebuild_opts *opts, struct rebuild_report *out, struct err *e) MUST_CHECK;

#endif
