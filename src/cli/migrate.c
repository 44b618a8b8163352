/* SPDX-License-Identifier: Apache-2.0 */
/* Moving an installation: its progress, and the proof that both sides are equal. */
#include "app/app_copy.h"
#include "cli/cli_priv.h"
#include "cli/meter_priv.h"

#include <stdio.h>
#include <string.h>

struct migrate {
        struct meter meter;
        bool json, dry_run;
        int exit;
};

static void show_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
        meter_step(&((struct migrate *)ctx)->meter, what, done, total);
}

static void say_bad(void *ctx, const char *why)
{
        meter_erase(&((struct migrate *)ctx)->meter);
        complain("%s", why);
}

static bool table_equal(const struct keep_copy_table *t)
{
        return t->rows == t->target_rows && sha256_eq(t->hash, t->target_hash);
}

static bool group_equal(const struct keep_copy_group *g)
{
        return g->count == g->target_count && g->bytes == g->target_bytes;
}

/* ---- for people --------------------------------------------------------------------------- */

static void put_verdict(struct table *t, bool equal)
{
        cli_table_put(t, equal ? "equal" : "DIFFERS");
}

static void print_tables(const struct migrate *m, const struct app_copy_report *r)
{
        static const struct table_column columns[] = {
                {"Table", false, false},           {"Source", true, false}, {"Target", true, false},
                {"SHA-256 of rows", false, false}, {"", false, false},
        };
        struct table *t = cli_table_new(columns, COUNT_OF(columns));
        char hex[SHA256_TEXT_LEN];

        if (!t) {
                complain("not enough memory");
                return;
        }
        for (size_t i = 0; i < r->ntables; i++) {
                const struct keep_copy_table *x = &r->tables[i];
                cli_table_put(t, x->name);
                cli_table_putf(t, "%llu", (unsigned long long)x->rows);
                if (m->dry_run)
                        cli_table_put(t, "");
                else
                        cli_table_putf(t, "%llu", (unsigned long long)x->target_rows);
                cli_table_putf(t, "%.16s", sha256_format(x->hash, hex));
                if (m->dry_run)
                        cli_table_put(t, "");
                else
                        put_verdict(t, table_equal(x));
        }
        cli_table_print(t);
        cli_table_free(t);
}

static void print_groups(const struct app_copy_report *r)
{
        static const struct table_column columns[] = {
                {"What", false, false},  {"Owner", false, true},  {"Status", false, false},
                {"Source", true, false}, {"Target", true, false}, {"", false, false},
        };
        struct table *t = cli_table_new(columns, COUNT_OF(columns));

        if (!t) {
                complain("not enough memory");
                return;
        }
        for (size_t i = 0; i < r->ngroups; i++) {
                const struct keep_copy_group *g = &r->groups[i];
                cli_table_put(t, g->what);
                cli_table_put(t, g->owner);
                cli_table_put(t, g->status);
                cli_table_putf(t, "%llu", (unsigned long long)g->count);
                cli_table_putf(t, "%llu", (unsigned long long)g->target_count);
                put_verdict(t, group_equal(g));
        }
        cli_table_print(t);
        cli_table_free(t);
}

static void summarise_objects(const struct app_copy_report *r)
{
        const struct objects_report *o = &r->objects;
        struct buf b;

        buf_init(&b, 4096);
        buf_printf(&b, "objects: %llu (", (unsigned long long)o->seen);
        text_bytes(&b, (double)o->bytes);
        buf_puts(&b, ")");
        if (r->storage_to)
                buf_printf(&b, ", %llu copied to ", (unsigned long long)o->copied);
        else
                buf_printf(&b, ", %llu there in ", (unsigned long long)o->there);
        text_clean(&b, span_of(r->storage_to ? r->storage_to : r->storage_from));
        if (r->storage_to)
                buf_printf(&b, ", %llu there already, %llu derived files copied", (unsigned long long)o->there,
                           (unsigned long long)o->derived);
        if (o->hashed)
                buf_printf(&b, ", %llu read again and whole", (unsigned long long)o->hashed);
        if (o->bad)
                buf_printf(&b, ", %llu MISSING OR DAMAGED", (unsigned long long)o->bad);
        fprintf(stderr, "%s\n", buf_str(&b));
        buf_done(&b);
}

static const char *verdict_text(const struct migrate *m, const struct app_copy_report *r)
{
        if (m->dry_run)
                return r->found == COPY_FINISHED ? "this copy was finished before: nothing to do"
                       : r->found == COPY_BEGUN  ? "a copy was begun; it would continue where it stopped"
                                                 : "nothing was changed: all this would be copied";
        if (!r->equal)
                return r->found == COPY_FINISHED
                               ? "the target has changed since the copy was finished: it is in use, and nothing was "
                                 "copied into it"
                               : "NOT equal: give the copy an empty database and start again; the source is untouched";
        if (r->objects.bad)
                return "both catalogs are equal, but not all objects are there: see above";
        return r->found == COPY_FINISHED ? "nothing to do: the copy was finished before, and both sides are equal"
                                         : "finished: both sides are equal";
}

static void print_summary(const struct migrate *m, const struct app_copy_report *r)
{
        print_tables(m, r);
        if (r->ngroups) {
                putchar('\n');
                print_groups(r);
        }
        fflush(stdout);
        if (r->mended)
                fprintf(stderr, "%llu texts were not UTF-8: bytes in them became U+FFFD\n",
                        (unsigned long long)r->mended);
        summarise_objects(r);
        fprintf(stderr, "%s\n", verdict_text(m, r));
}

/* ---- for machines ----------------------------------------------------------------------------- */

static void json_tables(struct json_out *j, const struct app_copy_report *r)
{
        char hex[SHA256_TEXT_LEN];

        json_key(j, "tables");
        json_arr(j);
        for (size_t i = 0; i < r->ntables; i++) {
                const struct keep_copy_table *t = &r->tables[i];
                json_obj(j);
                json_kv_str(j, "name", t->name);
                json_kv_u64(j, "rows", t->rows);
                json_kv_str(j, "sha256", sha256_format(t->hash, hex));
                if (r->compared) {
                        json_kv_u64(j, "target_rows", t->target_rows);
                        json_kv_str(j, "target_sha256", sha256_format(t->target_hash, hex));
                        json_kv_bool(j, "equal", table_equal(t));
                }
                json_end(j);
        }
        json_end(j);
}

static void json_groups(struct json_out *j, const struct app_copy_report *r)
{
        json_key(j, "groups");
        json_arr(j);
        for (size_t i = 0; i < r->ngroups; i++) {
                const struct keep_copy_group *g = &r->groups[i];
                json_obj(j);
                json_kv_str(j, "what", g->what);
                json_kv_str(j, "owner", g->owner);
                json_kv_str(j, "status", g->status);
                json_kv_u64(j, "count", g->count);
                json_kv_u64(j, "target_count", g->target_count);
                json_kv_u64(j, "bytes", g->bytes);
                json_kv_u64(j, "target_bytes", g->target_bytes);
                json_kv_bool(j, "equal", group_equal(g));
                json_end(j);
        }
        json_end(j);
}

static void json_objects(struct json_out *j, const struct app_copy_report *r)
{
        const struct objects_report *o = &r->objects;

        json_key(j, "objects");
        json_obj(j);
        json_kv_str(j, "from", r->storage_from);
        json_kv_str(j, "to", r->storage_to);
        json_kv_u64(j, "seen", o->seen);
        json_kv_u64(j, "bytes", o->bytes);
        json_kv_u64(j, "copied", o->copied);
        json_kv_u64(j, "copied_bytes", o->copied_bytes);
        json_kv_u64(j, "there", o->there);
        json_kv_u64(j, "derived", o->derived);
        json_kv_u64(j, "hashed", o->hashed);
        json_kv_u64(j, "bad", o->bad);
        json_end(j);
}

static void print_report_json(const struct migrate *m, const struct app_copy_report *r)
{
        static const char *const found[] = {"new", "begun", "finished"};
        struct json_out j;
        struct buf b;

        buf_init(&b, 64 << 20);
        json_out_init(&j, &b);
        json_obj(&j);
        json_kv_str(&j, "from", r->from);
        json_kv_str(&j, "to", r->to);
        json_kv_str(&j, "found", found[r->found]);
        json_kv_bool(&j, "dry_run", m->dry_run);
        if (r->compared)
                json_kv_bool(&j, "equal", r->equal);
        json_kv_u64(&j, "mended", r->mended);
        json_tables(&j, r);
        json_groups(&j, r);
        json_objects(&j, r);
        json_end(&j);
        print_json(buf_span(&b));
        buf_done(&b);
}

/* ---- the command --------------------------------------------------------------------------------- */

static void print_report(void *ctx, const struct app_copy_report *r)
{
        struct migrate *m = ctx;

        meter_erase(&m->meter);
        if (m->json)
                print_report_json(m, r);
        else
                print_summary(m, r);
        m->exit = !m->dry_run && !r->equal ? CLI_FAILED : r->objects.bad ? CLI_PARTIAL : CLI_OK;
}

static int copy_all(const struct cli *c, const struct config *cfg, unsigned threads)
{
        struct migrate m = {.json = cli_has(c, "json"), .dry_run = cli_has(c, "dry-run"), .exit = CLI_FAILED};
        const struct app_copy_opts opts = {.from = cli_value(c, "from"),
                                           .to = cli_value(c, "to"),
                                           .storage_from = cli_value(c, "storage-from"),
                                           .storage_to = cli_value(c, "storage-to"),
                                           .verify = cli_has(c, "verify"),
                                           .dry_run = m.dry_run,
                                           .threads = threads,
                                           .progress = show_progress,
                                           .bad = say_bad,
                                           .report = print_report,
                                           .ctx = &m};
        struct err e = {0};

        meter_init(&m.meter, cli_has(c, "quiet"));
        if (app_copy(cfg, &opts, &e) == 0)
                return m.exit;
        meter_erase(&m.meter);
        complain("%s", e.msg);
        return e.code == ERR_INVALID ? CLI_USAGE : CLI_FAILED;
}

int run_migrate(const struct cli *c)
{
        struct config cfg;
        double threads = 4;
        int rc;

        if (c->nwords == 0)
                return run_migrate_catalog(c);
        if (strcmp(c->words[0], "copy") != 0) {
                complain("migrate has no \"%s\"; its only subcommand is copy", c->words[0]);
                return CLI_USAGE;
        }
        if (cli_number(c, "jobs", 1, 32, &threads))
                return CLI_USAGE;
        rc = cli_settings(c, &cfg, NULL);
        if (rc)
                return rc;
        rc = copy_all(c, &cfg, (unsigned)threads);
        config_done(&cfg);
        return rc;
}
