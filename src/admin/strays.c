/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Objects in the storage that the catalog does not know: the catalog is asked in batches, so that neither list is
 * held in memory.
 */
#include "admin/admin_priv.h"
#include "catalog/catalog_upkeep.h"

#define BATCH 256

struct walk {
        struct catalog *catalog;
        struct wall before;
        stray_fn *fn;
        void *ctx;
        struct sha256 objects[BATCH];
        uint64_t sizes[BATCH];
        bool known[BATCH];
        size_t n;
};

static int flush_page(struct walk *w, struct err *e)
{
        int rc = catalog_objects_known(w->catalog, w->objects, w->n, w->known, e);
        for (size_t i = 0; rc == 0 && i < w->n; i++)
                if (!w->known[i])
                        rc = w->fn(w->ctx, w->objects[i], w->sizes[i], e);
        w->n = 0;
        return rc;
}

static int look_at(void *ctx, const struct storage_item *item, struct err *e)
{
        struct walk *w = ctx;
        if (item->stray || item->mtime.us > w->before.us)
                return 0;
        if (w->n && sha256_eq(w->objects[w->n - 1], item->sha256))
                return 0; /* another file derived from it */
        w->objects[w->n] = item->sha256;
        w->sizes[w->n++] = item->size;
        return w->n < BATCH ? 0 : flush_page(w, e);
}

int strays_walk(struct catalog *catalog, struct storage *storage, enum storage_area area, struct dur age, stray_fn *fn,
                void *ctx, struct err *e)
{
        struct walk *w = mem_calloc(1, sizeof *w);
        if (!w)
                return err_oom(e);
        w->catalog = catalog;
        w->before.us = wall_now().us - age.ns / 1000;
        w->fn = fn;
        w->ctx = ctx;
        int rc = storage_list(storage, area, look_at, w, e);
        if (rc == 0)
                rc = flush_page(w, e);
        mem_free(w);
        return rc;
}
