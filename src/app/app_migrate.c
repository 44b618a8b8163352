/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog brought up to date by a command of its own; and what any opening of an older one writes into the log. */
#include "app/app_migrate.h"
#include "catalog/catalog.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "app/app_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

/* ---- how far it is ------------------------------------------------------------------------ */

/* false: not worth a line, as what a first start with a new catalog does within a blink. */
static bool line_of(const struct migration_progress *p, char *out, size_t max)
{
        double seconds = dur_seconds(p->elapsed);
        bool new = p->from == 0;
        switch (p->phase) {
        case MIGRATION_WAITS:
                snprintf(out, max, "waiting for %s (%.0f s so far)", p->waits_for, seconds);
                return true;
        case MIGRATION_BEGINS:
                snprintf(out, max, "migration %s (%u of %u) brings the catalog to schema version %d: %s", p->name,
                         p->nth, p->of, p->version, p->what);
                return !new;
        case MIGRATION_RUNS:
                snprintf(out, max, "migration %s (%u of %u) has run for %.0f s, statement %u", p->name, p->nth, p->of,
                         seconds, p->statement);
                return true;
        case MIGRATION_ENDS:
                snprintf(out, max, "migration %s (%u of %u) is done after %.1f s", p->name, p->nth, p->of, seconds);
                return !new;
        }
        return false;
}

void app_log_migration(void *ctx, const struct migration_progress *p)
{
        char line[512];
        (void)ctx;
        if (line_of(p, line, sizeof line))
                log_info("catalog", "%s", line);
}

static void tell_migration(void *ctx, const struct migration_progress *p)
{
        const struct app_migrate_opts *o = ctx;
        char line[512];
        if (o->tell && line_of(p, line, sizeof line))
                o->tell(o->ctx, line);
}

static bool stop_migration(void *ctx)
{
        const struct app_migrate_opts *o = ctx;
        return o->stop && o->stop(o->ctx);
}

/* ---- what would be done --------------------------------------------------------------------- */

/* The password stands before the @ of the host, behind the colon of the user. */
int app_url_shown(const char *url, char *out, size_t max)
{
        const char *rest = strstr(url, "://"), *at = rest ? strrchr(rest, '@') : NULL;
        const char *colon = at ? memchr(rest + 3, ':', (size_t)(at - rest - 3)) : NULL;
        int n = colon ? snprintf(out, max, "%.*s%.*s", (int)(colon - url), url, (int)strcspn(at, "?"), at)
                      : snprintf(out, max, "%.*s", (int)strcspn(url, "?"), url);
        return n < 0 || (size_t)n >= max ? -1 : 0;
}

static int name_catalog(const struct app *a, struct arena *mem, struct app_migration *out, struct err *e)
{
        char shown[1024];
        const char *name = a->catalog_url + strlen("sqlite://");
        if (!a->c->database_path && app_url_shown(a->catalog_url, shown, sizeof shown))
                return err_set(e, ERR_INVALID, "DATABASE_URL: the address is too long");
        out->catalog = arena_strdup(mem, a->c->database_path ? name : shown);
        return out->catalog ? 0 : err_oom(e);
}

static int read_plan(const struct app *a, struct arena *mem, struct app_migration *out, struct err *e)
{
        const struct catalog_opts co = {
                .url = a->catalog_url, .db_password = a->c->db_password, .db_pool_timeout = a->c->db_pool_timeout};
        struct migration_plan p;
        if (catalog_migration_plan(&co, mem, &p, e))
                return -1;
        struct app_migration_step *steps = arena_array(mem, p.nsteps + 1, sizeof *steps);
        if (!steps)
                return err_oom(e);
        for (size_t i = 0; i < p.nsteps; i++)
                steps[i] = (struct app_migration_step){p.steps[i].version, p.steps[i].name, p.steps[i].what,
                                                       p.steps[i].rows, p.steps[i].alone};
        *out = (struct app_migration){.engine = p.engine,
                                      .version = p.version,
                                      .newest = p.newest,
                                      .steps = steps,
                                      .nsteps = p.nsteps,
                                      .vectors = p.vectors,
                                      .text = p.text};
        return 0;
}

int app_migration_plan(const struct config *c, struct arena *mem, struct app_migration *out, struct err *e)
{
        struct app *a = mem_calloc(1, sizeof *a);
        if (!a)
                return err_oom(e);
        a->c = c;
        int rc = app_catalog_url(a, e) || read_plan(a, mem, out, e) || name_catalog(a, mem, out, e) ? -1 : 0;
        mem_free(a);
        return rc;
}

/* ---- doing it ------------------------------------------------------------------------------- */

int app_migrate(const struct config *c, const struct app_migrate_opts *opts, struct err *e)
{
        struct app_migrate_opts o = *opts;
        const struct migration_watch watch = {.progress = tell_migration, .stop = stop_migration, .ctx = &o};
        struct app *a = mem_calloc(1, sizeof *a);
        if (!a || metrics_init()) { /* the rooms below count */
                mem_free(a);
                return err_oom(e);
        }
        a->c = c;
        a->watch = &watch;
        a->lock_fd = -1;
        int rc = app_open_data(a, c->database_path != NULL, e) || app_open_catalog(a, e) ? -1 : 0;
        catalog_close(a->catalog);
        fd_close(&a->lock_fd);
        mem_free(a);
        metrics_done();
        return rc;
}
