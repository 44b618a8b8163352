/* SPDX-License-Identifier: Apache-2.0 */
/* Backups: making, listing, checking and restoring them, for people and for cron. */
#include "app/app_backup.h"
#include "cli/cli_priv.h"
#include "cli/meter_priv.h"

#include <stdio.h>
#include <string.h>

struct work {
        struct meter meter;
        bool json, dry_run;
        struct table *table; /* of list */
        struct json_out j;
};

static void show_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
        meter_step(&((struct work *)ctx)->meter, what, done, total);
}

static void say_line(void *ctx, const char *what)
{
        meter_erase(&((struct work *)ctx)->meter);
        complain("%s", what);
}

static int report_failure(struct work *w, const struct err *e)
{
        meter_erase(&w->meter);
        complain("%s", e->msg);
        return e->code == ERR_INVALID ? CLI_USAGE : CLI_FAILED;
}

/* ---- what all of them print ------------------------------------------------------------------- */

static void put_info(struct json_out *j, const struct backup_info *b)
{
        json_kv_str(j, "backup", b->name);
        json_kv_wall(j, "taken", b->taken);
        json_kv_str(j, "program", b->program);
        json_kv_str(j, "engine", b->engine);
        json_kv_int(j, "schema_version", b->schema_version);
        json_kv_bool(j, "complete", b->complete);
        json_kv_bool(j, "derived", b->derived);
        backup_put_counts(j, b);
}

static void put_objects(struct json_out *j, const struct objects_report *o)
{
        json_kv_u64(j, "copied", o->copied);
        json_kv_u64(j, "copied_bytes", o->copied_bytes);
        json_kv_u64(j, "there", o->there);
        json_kv_u64(j, "hashed", o->hashed);
        json_kv_u64(j, "mended", o->mended);
        json_kv_u64(j, "derived_copied", o->derived);
        json_kv_u64(j, "bad", o->bad);
}

static void print_object(void (*fill)(struct json_out *j, const void *of), const void *of)
{
        struct json_out j;
        struct buf b;

        buf_init(&b, 1 << 20);
        json_out_init(&j, &b);
        json_obj(&j);
        fill(&j, of);
        json_end(&j);
        print_json(buf_span(&b));
        buf_done(&b);
}

/* The line is put on standard error: what a script wants is --json. */
static void line_out(struct buf *b)
{
        fprintf(stderr, "%s\n", buf_str(b));
        buf_done(b);
}

static void put_contents(struct buf *b, const struct backup_info *i)
{
        buf_printf(b, "%s: %llu files", i->name, (unsigned long long)i->files);
        if (i->trash)
                buf_printf(b, ", %llu in the trash", (unsigned long long)i->trash);
        buf_printf(b, ", %llu folders, %llu objects (", (unsigned long long)i->folders, (unsigned long long)i->objects);
        text_bytes(b, (double)i->object_bytes);
        buf_printf(b, "), %s", i->engine);
}

/* ---- create -------------------------------------------------------------------------------------- */

static void created_json(struct json_out *j, const void *of)
{
        const struct backup_created *r = of;

        put_info(j, &r->info);
        json_kv_u64(j, "snapshots", r->snapshots);
        put_objects(j, &r->objects);
        json_kv_u64(j, "removed_backups", r->removed_backups);
        json_kv_u64(j, "removed_objects", r->removed_objects);
        json_kv_u64(j, "removed_bytes", r->removed_bytes);
        json_kv_bool(j, "not_removed", r->not_removed);
}

static void created_text(const struct backup_created *r)
{
        struct buf b;

        buf_init(&b, 8192);
        put_contents(&b, &r->info);
        buf_printf(&b, "; %llu copied (", (unsigned long long)r->objects.copied);
        text_bytes(&b, (double)r->objects.copied_bytes);
        buf_printf(&b, "), %llu there already", (unsigned long long)r->objects.there);
        if (r->objects.hashed)
                buf_printf(&b, ", %llu read again", (unsigned long long)r->objects.hashed);
        if (r->objects.mended)
                buf_printf(&b, ", %llu damaged ones replaced", (unsigned long long)r->objects.mended);
        if (r->info.gone)
                buf_printf(&b, "; %llu were purged meanwhile and are not in it", (unsigned long long)r->info.gone);
        if (r->removed_backups) {
                buf_printf(&b, "; removed %llu old backups and %llu objects (", (unsigned long long)r->removed_backups,
                           (unsigned long long)r->removed_objects);
                text_bytes(&b, (double)r->removed_bytes);
                buf_puts(&b, ")");
        }
        line_out(&b);
        if (r->not_removed)
                complain("nothing was removed: a verify or restore is reading this folder");
        if (!r->info.complete)
                complain("INCOMPLETE: %llu objects are missing or damaged at the source; backups/%s/absent.txt names "
                         "them",
                         (unsigned long long)r->info.missing, r->info.name);
}

static int create_backup(const struct cli *c, struct work *w, double jobs)
{
        struct backup_create_opts o = {.dir = c->words[1],
                                       .program = FA_VERSION,
                                       .threads = (unsigned)jobs,
                                       .verify = cli_has(c, "verify"),
                                       .no_derived = cli_has(c, "no-derived"),
                                       .progress = show_progress,
                                       .say = say_line,
                                       .ctx = w};
        struct backup_created r = {0};
        struct config cfg;
        struct err e = {0};
        double keep = 0;
        int rc = cli_number(c, "keep", 1, 100000, &keep) ? CLI_USAGE : cli_settings(c, &cfg, NULL);

        if (rc)
                return rc;
        o.keep = (unsigned)keep;
        rc = app_backup_create(&cfg, &o, &r, &e);
        config_done(&cfg);
        if (rc < 0) {
                if (r.info.name[0])
                        say_line(w, "the backup was made, but removing old ones failed:");
                return report_failure(w, &e);
        }
        meter_erase(&w->meter);
        if (w->json)
                print_object(created_json, &r);
        else
                created_text(&r);
        return r.info.complete ? CLI_OK : CLI_PARTIAL;
}

/* ---- list ------------------------------------------------------------------------------------------- */

static int list_one(void *ctx, const struct backup_info *b, struct err *e)
{
        struct work *w = ctx;
        char when[WALL_TEXT_LEN];
        struct buf size;

        (void)e;
        if (w->json) {
                json_obj(&w->j);
                put_info(&w->j, b);
                json_end(&w->j);
                return 0;
        }
        buf_init(&size, 64);
        text_bytes(&size, (double)b->object_bytes);
        cli_table_put(w->table, b->name);
        cli_table_putf(w->table, "%.19sZ", wall_format(b->taken, when));
        cli_table_put(w->table, b->engine);
        cli_table_putf(w->table, "%llu", (unsigned long long)b->files);
        cli_table_putf(w->table, "%llu", (unsigned long long)b->objects);
        cli_table_put(w->table, buf_str(&size));
        cli_table_put(w->table, b->complete ? "complete" : "INCOMPLETE");
        buf_done(&size);
        return 0;
}

static int list_backups(const struct cli *c, struct work *w)
{
        static const struct table_column columns[] = {
                {"Backup", false, false}, {"Taken", false, false}, {"Catalog", false, false}, {"Files", true, false},
                {"Objects", true, false}, {"Bytes", true, false},  {"", false, false},
        };
        struct err e = {0};
        struct buf b;
        int rc;

        buf_init(&b, 64 << 20);
        json_out_init(&w->j, &b);
        json_arr(&w->j);
        w->table = cli_table_new(columns, COUNT_OF(columns));
        rc = w->table ? backup_list(c->words[1], list_one, say_line, w, &e) : err_oom(&e);
        json_end(&w->j);
        if (rc == 0 && w->json)
                print_json(buf_span(&b));
        else if (rc == 0)
                cli_table_print(w->table);
        cli_table_free(w->table);
        buf_done(&b);
        return rc < 0 ? report_failure(w, &e) : CLI_OK;
}

/* ---- verify -------------------------------------------------------------------------------------------- */

static void verified_json(struct json_out *j, const void *of)
{
        const struct backup_verified *r = of;

        json_kv_u64(j, "backups", r->backups);
        json_kv_u64(j, "incomplete", r->incomplete);
        json_kv_u64(j, "wrong", r->wrong);
        json_kv_u64(j, "objects", r->objects.seen);
        json_kv_u64(j, "object_bytes", r->objects.bytes);
        json_kv_u64(j, "bad", r->objects.bad);
        json_kv_bool(j, "good", r->wrong == 0 && r->objects.bad == 0);
}

static int verify_backups(const struct cli *c, struct work *w, double jobs)
{
        const struct backup_verify_opts o = {.dir = c->words[1],
                                             .name = cli_value(c, "backup"),
                                             .threads = (unsigned)jobs,
                                             .progress = show_progress,
                                             .say = say_line,
                                             .ctx = w};
        struct backup_verified r = {0};
        struct err e = {0};
        struct buf b;
        bool good;

        if (app_backup_verify(&o, &r, &e))
                return report_failure(w, &e);
        good = r.wrong == 0 && r.objects.bad == 0;
        meter_erase(&w->meter);
        if (w->json) {
                print_object(verified_json, &r);
                return good ? CLI_OK : CLI_FAILED;
        }
        buf_init(&b, 4096);
        buf_printf(&b, "%llu backups, %llu objects (", (unsigned long long)r.backups,
                   (unsigned long long)r.objects.seen);
        text_bytes(&b, (double)r.objects.bytes);
        buf_puts(&b, ") read: ");
        if (good)
                buf_puts(&b, "all as they were written");
        else
                buf_printf(&b, "%llu THINGS ARE WRONG, see above", (unsigned long long)(r.wrong + r.objects.bad));
        if (r.incomplete)
                buf_printf(&b, "; %llu of the backups say that they are incomplete", (unsigned long long)r.incomplete);
        line_out(&b);
        return good ? CLI_OK : CLI_FAILED;
}

/* ---- restore --------------------------------------------------------------------------------------------- */

static void restored_json(struct json_out *j, const void *of)
{
        const struct backup_restored *r = of;

        put_info(j, &r->info);
        json_kv_bool(j, "again", r->again);
        json_kv_bool(j, "done_before", r->done_before);
        put_objects(j, &r->objects);
        if (r->free_bytes)
                json_kv_u64(j, "free_bytes", r->free_bytes);
}

static void restored_text(const struct work *w, const struct backup_restored *r)
{
        struct buf b;

        buf_init(&b, 8192);
        put_contents(&b, &r->info);
        if (r->done_before)
                buf_puts(&b, "; it was restored here before: nothing to do");
        else if (w->dry_run)
                buf_printf(&b, "; %s; nothing was changed: %s",
                           r->objects.hashed ? "every byte was read" : "all are there in the right size",
                           r->again ? "the interrupted restore would continue" : "all this would be restored");
        else
                buf_printf(&b, "; restored: %llu objects copied, %llu there already",
                           (unsigned long long)r->objects.copied,
                           (unsigned long long)(r->objects.there + r->objects.hashed));
        line_out(&b);
        if (w->dry_run && r->free_bytes && r->free_bytes < r->info.object_bytes)
                complain("the storage's disk has too little room for all of it");
        if (r->objects.bad)
                complain("%llu objects were missing or damaged, and are not in it", (unsigned long long)r->objects.bad);
}

static int restore_backup(const struct cli *c, struct work *w, double jobs)
{
        struct backup_restore_opts o = {.dir = c->words[1],
                                        .name = cli_value(c, "backup"),
                                        .threads = (unsigned)jobs,
                                        .dry_run = w->dry_run,
                                        .verify = cli_has(c, "verify"),
                                        .reuse = cli_has(c, "reuse-objects"),
                                        .partial = cli_has(c, "partial"),
                                        .no_derived = cli_has(c, "no-derived"),
                                        .progress = show_progress,
                                        .say = say_line,
                                        .ctx = w};
        struct backup_restored r = {0};
        struct config cfg;
        struct err e = {0};
        int rc = cli_settings(c, &cfg, NULL);

        if (rc)
                return rc;
        rc = app_backup_restore(&cfg, &o, &r, &e);
        config_done(&cfg);
        if (rc < 0)
                return report_failure(w, &e);
        meter_erase(&w->meter);
        if (w->json)
                print_object(restored_json, &r);
        else
                restored_text(w, &r);
        return r.objects.bad || r.info.missing ? CLI_PARTIAL : CLI_OK;
}

int run_backup(const struct cli *c)
{
        struct work w = {.json = cli_has(c, "json"), .dry_run = cli_has(c, "dry-run")};
        const char *what = c->words[0];
        double jobs = 4;

        if (cli_number(c, "jobs", 1, 32, &jobs))
                return CLI_USAGE;
        meter_init(&w.meter, cli_has(c, "quiet"));
        if (strcmp(what, "create") == 0)
                return create_backup(c, &w, jobs);
        if (strcmp(what, "list") == 0)
                return list_backups(c, &w);
        if (strcmp(what, "verify") == 0)
                return verify_backups(c, &w, jobs);
        if (strcmp(what, "restore") == 0)
                return restore_backup(c, &w, jobs);
        complain("backup has no \"%s\"; it knows create, list, verify and restore", what);
        return CLI_USAGE;
}
