/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The order of migrations, their plan, and progress reports of a long one. How a migration is applied and interrupted
 * is the engine's part.
 */
#include "db/db_migrate.h"

#define EVERY_S 5

/* ---- while it runs -------------------------------------------------------------------------- */

static void migration_tell(struct migration_run *r, enum migration_phase phase)
{
        r->told = mono_now();
        r->at.phase = phase;
        r->at.elapsed = mono_since(r->began);
        if (r->watch && r->watch->progress)
                r->watch->progress(r->watch->ctx, &r->at);
}

void migration_wait(struct migration_run *r, const char *what_for)
{
        r->at.phase = MIGRATION_WAITS;
        r->at.waits_for = what_for;
        r->at.name = r->at.what = "";
        r->began = r->told = mono_now();
}

static void migration_begin(struct migration_run *r, const struct db_migration *m)
{
        r->at.version = m->version;
        r->at.name = m->name;
        r->at.what = m->what;
        r->at.statement = 0;
        r->began = mono_now();
        migration_tell(r, MIGRATION_BEGINS);
}

bool migration_tick(struct migration_run *r)
{
        struct dur every = r->watch && r->watch->every.ns > 0 ? r->watch->every : dur_s(EVERY_S);

        if (!r->stopped && r->watch && r->watch->stop && r->watch->stop(r->watch->ctx))
                r->stopped = true;
        if (!r->stopped && mono_since(r->told).ns >= every.ns)
                migration_tell(r, r->at.phase == MIGRATION_WAITS ? MIGRATION_WAITS : MIGRATION_RUNS);
        return r->stopped;
}

int migration_failed(const struct migration_run *r, const struct err *why, struct err *e)
{
        if (r->stopped && r->at.phase == MIGRATION_WAITS)
                return err_set(e, ERR_STOPPED, "stopped while waiting for %s", r->at.waits_for);
        if (r->stopped)
                return err_set(e, ERR_STOPPED,
                               "stopped in migration %s, which is undone: the catalog is as it was before it",
                               r->at.name);
        if (r->at.phase == MIGRATION_WAITS)
                return err_set(e, why->code, "%s", why->msg);
        return err_set(e, why->code, "migration %s: %s", r->at.name, why->msg);
}

/* ---- which ones ------------------------------------------------------------------------- */

static int newest_of(const struct db_migration *list)
{
        int newest = 0;

        for (; list->version; list++)
                newest = list->version;
        return newest;
}

/* Reads the catalog's schema version; one of a newer program is refused. */
static int read_version(struct db *db, int newest, int *out, struct err *e)
{
        int64_t version = 0;

        if (db_int(db, e, &version, "SELECT max(version) FROM schema_version", "") < 0)
                return -1;
        if (version > newest)
                return err_set(e, ERR_CONFLICT,
                               "the catalog has schema version %lld, this program knows up to %d: it was written by a "
                               "newer program; use that one, or restore an older backup",
                               (long long)version, newest);
        *out = (int)version;
        return 0;
}

int migrations_run(struct db *db, const struct db_migration *list, int version, migration_apply_fn *apply,
                   const struct migration_watch *watch, struct err *e)
{
        struct migration_run r = {.watch = watch};
        int newest = version ? version : newest_of(list), has;

        if (read_version(db, newest, &has, e))
                return -1;
        r.at.from = has;
        for (const struct db_migration *m = list; m->version; m++)
                r.at.of += m->version > has && m->version <= newest;
        for (const struct db_migration *m = list; m->version && m->version <= newest; m++) {
                if (m->version <= has)
                        continue;
                r.at.nth++;
                migration_begin(&r, m);
                if (migration_tick(&r))
                        return migration_failed(&r, NULL, e);
                if (apply(db, m, &r, e))
                        return -1;
                migration_tell(&r, MIGRATION_ENDS);
        }
        return 0;
}

/* A failed count is not reported: the table may be one that an earlier step creates. */
static int64_t count_rows(struct db *db, const struct db_migration *m)
{
        int64_t n = 0;
        struct err ignored;

        if (!m->count)
                return 0;
        return db_int(db, &ignored, &n, m->count, "") > 0 ? n : -1;
}

int migrations_plan(struct db *db, const struct db_migration *list, struct arena *a, struct migration_plan *out,
                    struct err *e)
{
        struct migration_step *steps;
        size_t n = 0;
        int version, newest = newest_of(list);

        if (read_version(db, newest, &version, e))
                return -1;
        for (const struct db_migration *m = list; m->version; m++)
                n += m->version > version;
        steps = arena_array(a, n + 1, sizeof *steps);
        if (!steps)
                return err_oom(e);
        *out = (struct migration_plan){.version = version, .newest = newest, .steps = steps, .nsteps = n};
        for (const struct db_migration *m = list; m->version; m++) {
                if (m->version <= version)
                        continue;
                *steps++ = (struct migration_step){m->version, m->name, m->what, count_rows(db, m), m->alone};
                out->vectors |= m->vectors;
                out->text |= m->text;
        }
        return 0;
}
