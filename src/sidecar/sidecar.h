/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small JSON files beside the objects that tell all that was decided about them,
 * so that a lost catalog can be made again. The hard thing is to be neither late
 * nor in the way: a thread follows the catalog's marks, a batch at a time, and
 * takes a mark away only when its sidecar is durable.
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
/* Writes what it can until the deadline; the rest keeps its marks. NULL is fine. */
void sidecar_close(struct sidecar *s, struct mono deadline);

struct sidecar_state {
        uint64_t waiting; /* sidecars that are behind, of the whole catalog */
        double oldest_seconds;
        char note[160]; /* what was wrong the last time; "" nothing */
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
        uint64_t assets, folders, queued, dead, trashed; /* in the catalog again; the last three are part of assets */
        uint64_t recovered;                              /* objects that no sidecar told of */
        uint64_t objects, bytes;                         /* in the storage */
        uint64_t damaged;                                /* sidecars that cannot be read */
        uint64_t missing;                                /* sidecars whose object is not there, or not as long */
        uint64_t strays;                                 /* names in the storage that mean nothing */
        bool keys;                                       /* there were keys of the API; they have to be made again */
        bool resumed;                                    /* one that was cut off went on; the counts are of this run */
};

struct rebuild_opts {
        struct catalog *catalog; /* empty, or of a rebuild that was cut off */
        struct storage *storage;
        /* An asset out of an object that no sidecar tells of. */
        int (*recover)(void *ctx, struct sha256 object, uint64_t size, struct err *e);
        void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total); /* may be NULL */
        void (*bad)(void *ctx, const char *why);                                      /* each thing that is wrong */
        void *ctx;
};

/* 0 also when there is something wrong: the report says so. Killed anywhere, it can be run again. */
int rebuild_run(const struct rebuild_opts *opts, struct rebuild_report *out, struct err *e) MUST_CHECK;

#endif
