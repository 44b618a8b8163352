/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The garbage collector for objects that no asset refers to: mark the row in the catalog, remove the bytes, delete
 * the row. A mark is valid for a limited time, since its collector may be dead. A late collector deletes nothing:
 * after a pause it finds its mark expired before it could remove bytes that somebody has stored anew.
 */
#include "admin/admin_priv.h"
#include "catalog/catalog_upkeep.h"
#include "keep/keep.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define DUTY    "gc"
#define BATCH   16
#define LEASE   600 /* seconds; the last removal, with all its tries on an object store, ends within it */
#define SPEND   30  /* of these, in which removals are begun */
#define BATCHES 1000

struct mark {
        struct mono at;
        struct wall wall;
};

static struct mark mark_now(void)
{
        return (struct mark){.at = mono_now(), .wall = wall_now()};
}

/* Both clocks: one stands still while the machine sleeps, the other may be set. */
static bool mark_holds(const struct mark *m)
{
        int64_t us = wall_now().us - m->wall.us;
        return mono_since(m->at).ns < dur_s(SPEND).ns && us >= 0 && us < (int64_t)SPEND * 1000000;
}

/* 0, or -1 when this run should end. */
static int remove_one(struct storage *storage, const struct doomed *o, const struct mark *m)
{
        char hex[SHA256_TEXT_LEN];
        struct err e;
        if (!mark_holds(m))
                return -1;
        if (storage_remove_object(storage, o->sha256, &e)) {
                log_warning("admin", "object %s, which no asset refers to, could not be removed: %s",
                            sha256_format(o->sha256, hex), e.msg);
                return -1;
        }
        metrics_add(METRIC_GC_OBJECTS, 1);
        metrics_add(METRIC_GC_BYTES, (double)o->size);
        return FAULT("gc.removed") ? -1 : 0;
}

/* Finishes the objects begun even when a removal fails: the others keep their mark until the lease expires. */
static int remove_doomed(struct catalog *catalog, struct storage *storage, const struct doomed *o, size_t n,
                         const struct mark *m)
{
        struct err e;
        size_t done = 0;
        int rc = FAULT("gc.marked") ? -1 : 0;
        while (rc == 0 && done < n) {
                rc = remove_one(storage, &o[done], m);
                done += rc == 0;
        }
        if (keep_gc_end(catalog, o, done, &e)) {
                log_warning("admin", "removed objects are still in the catalog: %s", e.msg);
                return -1;
        }
        return rc;
}

int gc_batch(struct catalog *catalog, struct storage *storage, struct dur grace, struct err *e)
{
        struct arena *mem = arena_new(64 << 10);
        struct mark m = mark_now();
        struct doomed *o;
        size_t n;
        int rc = mem ? 0 : err_oom(e);
        if (rc == 0)
                rc = keep_gc_begin(catalog, grace, dur_s(LEASE), BATCH, mem, &o, &n, e);
        if (rc == 0)
                rc = remove_doomed(catalog, storage, o, n, &m)
                             ? err_set(e, ERR_BUSY, "some objects could not be removed; they stay marked")
                             : (int)n;
        arena_free(mem);
        return rc;
}

void admin_gc(struct admin *a)
{
        struct err e;
        bool due;
        size_t total = 0;
        if (keep_gc_due(a->o.catalog, a->o.gc_grace, &due, &e) || !due)
                return;
        for (int i = 0; i < BATCHES && admin_pause(a, (struct dur){0}); i++) {
                if (catalog_duty_take(a->o.catalog, DUTY, a->o.instance, dur_s(LEASE), (struct dur){0}, &e) <= 0)
                        break;
                int n = gc_batch(a->o.catalog, a->o.storage, a->o.gc_grace, &e);
                total += n > 0 ? (size_t)n : 0;
                if (n < 0)
                        log_warning("admin", "cannot collect objects that no asset refers to: %s", e.msg);
                if (n < BATCH)
                        break;
        }
        if (catalog_duty_done(a->o.catalog, DUTY, a->o.instance, &e))
                log_debug("admin", "the lease of the collector runs out: %s", e.msg);
        if (total)
                log_info("admin", "removed %zu objects that no file refers to", total);
}

int gc_remove_stray(struct catalog *catalog, struct storage *storage, struct sha256 object, uint64_t size,
                    struct err *e)
{
        struct mark m = mark_now();
        struct doomed o = {.sha256 = object, .size = size};
        int rc = keep_gc_stray(catalog, &o, dur_s(LEASE), e);
        if (rc <= 0)
                return rc;
        return remove_doomed(catalog, storage, &o, 1, &m) ? err_set(e, ERR_BUSY, "it stays marked") : 1;
}
