/* SPDX-License-Identifier: Apache-2.0 */
/* Rebuilding a lost catalog: its progress, the problems found, and the result. */
#include "app/app_rebuild.h"
#include "cli/cli_priv.h"
#include "cli/meter_priv.h"

#include <stdio.h>

struct rebuild_run {
        struct meter meter;
        uint64_t told;
        bool json, dry_run;
};

#define TOLD_MAX 200 /* lines about problems; the counts cover the rest */

static void show_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
        meter_step(&((struct rebuild_run *)ctx)->meter, what, done, total);
}

static void say_bad(void *ctx, const char *why)
{
        struct rebuild_run *m = ctx;

        if (m->told++ == TOLD_MAX)
                complain("… and more; the counts at the end show how many");
        if (m->told > TOLD_MAX)
                return;
        meter_erase(&m->meter);
        complain("%s", why);
}

static bool is_complete(const struct rebuild_report *r)
{
        return r->damaged + r->missing + r->recovered + r->strays == 0;
}

static void report_json(const struct rebuild_run *m, const struct rebuild_report *r)
{
        struct json_out j;
        struct buf b;

        buf_init(&b, 4096);
        json_out_init(&j, &b);
        json_obj(&j);
        json_kv_bool(&j, "dry_run", m->dry_run);
        json_kv_bool(&j, "resumed", r->resumed);
        json_kv_u64(&j, "files", r->assets);
        json_kv_u64(&j, "queued", r->queued);
        json_kv_u64(&j, "dead", r->dead);
        json_kv_u64(&j, "trashed", r->trashed);
        json_kv_u64(&j, "folders", r->folders);
        json_kv_u64(&j, "objects", r->objects);
        json_kv_u64(&j, "bytes", r->bytes);
        json_kv_u64(&j, "recovered", r->recovered);
        json_kv_u64(&j, "damaged", r->damaged);
        json_kv_u64(&j, "missing", r->missing);
        json_kv_u64(&j, "strays", r->strays);
        json_kv_bool(&j, "keys", r->keys);
        json_end(&j);
        print_json(buf_span(&b));
        buf_done(&b);
}

static void report_text(const struct rebuild_run *m, const struct rebuild_report *r)
{
        struct buf b;

        buf_init(&b, 4096);
        buf_printf(&b, "files: %llu (%llu in the trash, %llu to be processed, %llu in the dead-letter queue)\n",
                   (unsigned long long)r->assets, (unsigned long long)r->trashed, (unsigned long long)r->queued,
                   (unsigned long long)r->dead);
        buf_printf(&b, "folders: %llu\nobjects: %llu (", (unsigned long long)r->folders,
                   (unsigned long long)r->objects);
        text_bytes(&b, (double)r->bytes);
        buf_puts(&b, ")\n");
        if (r->recovered)
                buf_printf(&b, "without a sidecar: %llu objects, files again under their hash\n",
                           (unsigned long long)r->recovered);
        if (r->damaged)
                buf_printf(&b, "DAMAGED sidecars: %llu\n", (unsigned long long)r->damaged);
        if (r->missing)
                buf_printf(&b, "sidecars WITHOUT their object: %llu, left out\n", (unsigned long long)r->missing);
        if (r->strays)
                buf_printf(&b, "unknown names: %llu, left alone\n", (unsigned long long)r->strays);
        if (r->keys)
                buf_puts(&b, "there were API keys: make new ones with \"file-allocator apikey create --direct\"\n");
        buf_puts(&b, m->dry_run       ? "nothing was changed: all this would be made\n"
                     : is_complete(r) ? "finished: everything that was known is in the catalog again\n"
                                      : "finished, but not everything was as it should be: see above\n");
        print_buf(&b);
        buf_done(&b);
}

int run_rebuild(const struct cli *c)
{
        struct rebuild_run m = {.json = cli_has(c, "json"), .dry_run = cli_has(c, "dry-run")};
        const struct app_rebuild_opts opts = {.from = cli_value(c, "from"),
                                              .owner = cli_value(c, "owner"),
                                              .dry_run = m.dry_run,
                                              .progress = show_progress,
                                              .bad = say_bad,
                                              .ctx = &m};
        struct rebuild_report r;
        struct config cfg;
        struct err e = {0};
        int rc = cli_settings(c, &cfg, NULL);

        if (rc)
                return rc;
        meter_init(&m.meter, cli_has(c, "quiet"));
        rc = app_rebuild(&cfg, &opts, &r, &e);
        meter_erase(&m.meter);
        config_done(&cfg);
        if (rc < 0) {
                complain("%s", e.msg);
                return e.code == ERR_INVALID ? CLI_USAGE : CLI_FAILED;
        }
        if (m.json)
                report_json(&m, &r);
        else
                report_text(&m, &r);
        return is_complete(&r) ? CLI_OK : CLI_PARTIAL;
}
