/* SPDX-License-Identifier: Apache-2.0 */
/* The janitor: empties the trash and collects garbage, each as a duty that one instance at a time has. */
#include "admin/admin_priv.h"
#include "catalog/catalog_upkeep.h"
#include "keep/keep.h"
#include "log/log.h"

#define TRASH_EVERY 600 /* seconds */
#define TRASH_BATCH 1000
#define GC_EVERY    60 /* and each second where the grace is shorter than that */

/* Returns how many were purged; *more: there may be more, since the limit was reached. */
static size_t purge_some(struct admin *a, struct arena *mem, bool *more)
{
        struct wall due = {wall_now().us - a->o.trash_after.ns / 1000};
        struct err e;
        struct id *ids;
        size_t n, purged = 0;
        *more = false;
        if (catalog_trash_due(a->o.catalog, due, TRASH_BATCH, mem, &ids, &n, &e)) {
                log_warning("admin", "cannot read the trash: %s", e.msg);
                return 0;
        }
        for (size_t i = 0; i < n && admin_pause(a, (struct dur){0}); i++) {
                if (catalog_trash_purge(a->o.catalog, ids[i], due, "service", &e) == 0)
                        purged++;
                else if (e.code != ERR_NOT_FOUND) /* a person was faster */
                        log_warning("admin", "cannot empty the trash: %s", e.msg);
        }
        *more = purged > 0 && n == TRASH_BATCH;
        return purged;
}

static void empty_trash(struct admin *a)
{
        bool more = true;
        size_t purged = 0;
        while (more) {
                struct arena *mem = arena_new(1 << 20);
                if (!mem)
                        break;
                purged += purge_some(a, mem, &more);
                arena_free(mem);
        }
        if (purged)
                log_info("admin", "emptied the trash of %zu files", purged);
}

static void trash_duty(struct admin *a)
{
        struct err e;
        /* Different machines' clocks need not agree on the last moment of the interval. */
        if (catalog_duty_take(a->o.catalog, "trash", a->o.instance, dur_s(300), dur_s(TRASH_EVERY * 0.9), &e) <= 0)
                return;
        empty_trash(a);
        if (catalog_duty_done(a->o.catalog, "trash", a->o.instance, &e))
                log_debug("admin", "the lease of the trash runs out: %s", e.msg);
}

void *admin_janitor(void *arg)
{
        struct admin *a = arg;
        struct mono trash = mono_now();
        struct dur pause = dur_s(a->o.gc_grace.ns < dur_s(GC_EVERY).ns ? 1 : GC_EVERY);
        struct err e;
        if (keep_gc_recover(a->o.catalog, &e))
                log_warning("admin", "cannot take over from an earlier collector: %s", e.msg);
        do {
                if (a->o.trash_after.ns > 0 && mono_reached(trash)) {
                        trash_duty(a);
                        trash = mono_add(mono_now(), dur_s(TRASH_EVERY));
                }
                admin_gc(a);
        } while (admin_pause(a, pause));
        return NULL;
}
