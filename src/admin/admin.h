/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator asks: is it healthy, how much is there, what is broken. It
 * walks status probes it is given, so that it needs to know no room's inside.
 */
#ifndef FA_ADMIN_H
#define FA_ADMIN_H

#include "catalog/catalog.h"
#include "model/model.h"
#include "storage/storage.h"

struct admin;

struct admin_opts {
        struct catalog *catalog;
        struct storage *storage;
        const struct status_probe
                *probes; /* database, storage, workers, queue, model, vlm, jail: in the order of the answer */
        size_t nprobes;
        void (*config_json)(void *ctx, struct buf *out); /* effective settings with origins, secrets masked */
        /* Removes one asset of the trash for good. */
        int (*purge)(void *ctx, struct id asset, struct err *e);
        void *ctx;
        const char *instance;   /* this process's name among those that share the catalog */
        struct dur trash_after; /* 0: the trash is never emptied by itself */
};

int admin_open(const struct admin_opts *opts, struct admin **out, struct err *e) MUST_CHECK;
void admin_close(struct admin *a); /* NULL is fine */

/* From now on not ready: a drain has begun. */
void admin_drain(struct admin *a);
/* The answer of /health; returns false when unhealthy. */
bool admin_health(struct admin *a, struct buf *out);
/* The answer of /ready; returns whether ready. */
bool admin_ready(struct admin *a, struct buf *out);
/* Counts of everything, owner NULL: all. */
int admin_stats(struct admin *a, const char *owner, struct buf *out, struct err *e) MUST_CHECK;
void admin_config(struct admin *a, struct buf *out);
/* Refresh the gauges that come from the catalog and the process; at most once a second however often it is called. */
void admin_collect(struct admin *a);

#endif
