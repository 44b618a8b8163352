/* SPDX-License-Identifier: Apache-2.0 */
/* migrate without a word behind it: an older catalog brought up to date, or what that would be. */
#include "app/app_migrate.h"
#include "cli/cli_priv.h"
#include "cli/signals_priv.h"

#include <stdio.h>

static bool needs_stop(const struct app_migration *p)
{
        for (size_t i = 0; i < p->nsteps; i++)
                if (p->steps[i].alone)
                        return true;
        return false;
}

static const char *background_work(const struct app_migration *p)
{
        return p->vectors && p->text ? "vectors and full text" : p->vectors ? "vectors" : p->text ? "full text" : NULL;
}

/* ---- for people --------------------------------------------------------------------------- */

static void print_steps(const struct app_migration *p)
{
        static const struct table_column columns[] = {
                {"Version", true, false},
                {"Migration", false, false},
                {"Rows", true, false},
                {"What it does", false, true},
        };
        struct table *t = cli_table_new(columns, COUNT_OF(columns));

        if (!t) {
                complain("not enough memory");
                return;
        }
        for (size_t i = 0; i < p->nsteps; i++) {
                const struct app_migration_step *s = &p->steps[i];
                cli_table_putf(t, "%d", s->version);
                cli_table_put(t, s->name);
                if (s->rows < 0)
                        cli_table_put(t, "?");
                else
                        cli_table_putf(t, "%lld", (long long)s->rows);
                cli_table_put(t, s->what);
        }
        cli_table_print(t);
        cli_table_free(t);
        fflush(stdout);
}

static void print_plan(const struct app_migration *p, bool dry_run)
{
        const char *later = background_work(p);

        if (p->nsteps == 0) {
                printf("%s: schema version %d, the newest that this program knows: nothing to do\n", p->catalog,
                       p->version);
                return;
        }
        printf("%s: schema version %d; this program works with %d\n", p->catalog, p->version, p->newest);
        print_steps(p);
        if (needs_stop(p))
                fprintf(stderr, "all instances of older versions must be stopped before\n");
        if (later)
                fprintf(stderr, "after the next start %s are made again in the background\n", later);
        if (dry_run)
                fprintf(stderr, "nothing was changed: %zu migration%s would run\n", p->nsteps,
                        p->nsteps == 1 ? "" : "s");
}

static void show_progress(void *ctx, const char *line)
{
        (void)ctx;
        fprintf(stderr, "%s\n", line);
}

/* ---- for machines ----------------------------------------------------------------------------- */

static void json_steps(struct json_out *j, const struct app_migration *p)
{
        json_key(j, "migrations");
        json_arr(j);
        for (size_t i = 0; i < p->nsteps; i++) {
                json_obj(j);
                json_kv_int(j, "version", p->steps[i].version);
                json_kv_str(j, "name", p->steps[i].name);
                json_kv_str(j, "what", p->steps[i].what);
                json_key(j, "rows");
                if (p->steps[i].rows < 0)
                        json_put_null(j);
                else
                        json_put_int(j, p->steps[i].rows);
                json_end(j);
        }
        json_end(j);
        json_kv_bool(j, "stop_first", needs_stop(p));
        json_key(j, "rebuilds");
        json_arr(j);
        if (p->vectors)
                json_put_str(j, "vectors");
        if (p->text)
                json_put_str(j, "text");
        json_end(j);
}

static void print_plan_json(const struct app_migration *p, bool dry_run)
{
        struct json_out j;
        struct buf b;

        buf_init(&b, 1 << 20);
        json_out_init(&j, &b);
        json_obj(&j);
        json_kv_str(&j, "catalog", p->catalog);
        json_kv_str(&j, "engine", p->engine);
        json_kv_bool(&j, "dry_run", dry_run);
        json_kv_int(&j, "version", p->version);
        json_kv_int(&j, "newest", p->newest);
        json_steps(&j, p);
        json_end(&j);
        print_json(buf_span(&b));
        buf_done(&b);
}

/* ---- the command --------------------------------------------------------------------------------- */

static int run_plan(const struct cli *c, const struct config *cfg, const struct app_migration *p)
{
        bool dry_run = cli_has(c, "dry-run");
        const struct app_migrate_opts o = {.tell = cli_has(c, "quiet") ? NULL : show_progress, .stop = signals_came};
        struct err e = {0};
        sigset_t ends;

        if (!cli_has(c, "json"))
                print_plan(p, dry_run);
        if (!dry_run && p->nsteps > 0) {
                signals_hold(&ends);
                if (app_migrate(cfg, &o, &e)) {
                        complain("%s", e.msg);
                        return CLI_FAILED;
                }
        }
        if (cli_has(c, "json"))
                print_plan_json(p, dry_run);
        return CLI_OK;
}

static bool has_copy_option(const struct cli *c)
{
        static const char *const names[] = {"from", "to", "storage-from", "storage-to", "verify", "jobs"};

        for (size_t i = 0; i < COUNT_OF(names); i++)
                if (cli_has(c, names[i])) {
                        complain("--%s belongs to \"migrate copy\"", names[i]);
                        return true;
                }
        return false;
}

int run_migrate_catalog(const struct cli *c)
{
        struct app_migration m;
        struct arena *a = NULL;
        struct config cfg;
        struct err e = {0};
        int rc = has_copy_option(c) ? CLI_USAGE : cli_settings(c, &cfg, NULL);

        if (rc)
                return rc;
        a = arena_new(1 << 20);
        if (!a)
                rc = err_oom(&e);
        else
                rc = app_migration_plan(&cfg, a, &m, &e);
        if (rc)
                complain("%s%s", e.msg, e.code == ERR_NOT_FOUND ? ": the first start of the server makes it" : "");
        rc = rc ? CLI_FAILED : run_plan(c, &cfg, &m);
        arena_free(a);
        config_done(&cfg);
        return rc;
}
