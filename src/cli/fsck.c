/* SPDX-License-Identifier: Apache-2.0 */
/* The command fsck: whether everything is there and right, and the list of findings. */
#include "app/app_fsck.h"
#include "cli/cli_priv.h"
#include "cli/meter_priv.h"

#include <stdio.h>

#define KEPT 1000 /* findings in JSON */

struct work {
        struct meter meter;
        bool json, repair;
        struct buf findings; /* of JSON: the members of an array */
        size_t kept;
};

static void show_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
        meter_step(&((struct work *)ctx)->meter, what, done, total);
}

static void print_finding(void *ctx, const char *check, const char *what)
{
        struct work *w = ctx;

        if (!w->json) {
                meter_erase(&w->meter);
                printf("%s: %s\n", check, what);
                return;
        }
        if (w->kept == KEPT)
                return;
        buf_printf(&w->findings, "%s{\"check\":", w->kept++ ? "," : "");
        buf_json_str(&w->findings, check);
        buf_puts(&w->findings, ",\"what\":");
        buf_json_str(&w->findings, what);
        buf_putc(&w->findings, '}');
}

static void print_json_report(struct work *w, const struct fsck_report *r)
{
        struct json_out j;
        struct buf b, list;

        buf_init(&b, 4 << 20);
        buf_init(&list, 2 << 20);
        buf_printf(&list, "[%s]", buf_failed(&w->findings) ? "" : buf_str(&w->findings));
        json_out_init(&j, &b);
        json_obj(&j);
        json_kv_bool(&j, "clean", r->found == 0);
        json_kv_bool(&j, "repair", w->repair);
        json_kv_int(&j, "found", (int64_t)r->found);
        json_kv_int(&j, "repaired", (int64_t)r->mended);
        json_kv_int(&j, "objects", (int64_t)r->objects);
        json_kv_int(&j, "bytes", (int64_t)r->bytes);
        json_key(&j, "checks");
        json_arr(&j);
        for (size_t i = 0; i < r->n; i++) {
                json_obj(&j);
                json_kv_str(&j, "check", r->checks[i].name);
                json_kv_int(&j, "found", (int64_t)r->checks[i].found);
                json_kv_int(&j, "repaired", (int64_t)r->checks[i].mended);
                json_end(&j);
        }
        json_end(&j);
        json_key(&j, "findings");
        json_put_raw(&j, buf_str(&list));
        json_end(&j);
        print_json(buf_span(&b));
        buf_done(&list);
        buf_done(&b);
}

static void print_text_report(const struct work *w, const struct fsck_report *r)
{
        struct buf size;

        buf_init(&size, 64);
        text_bytes(&size, (double)r->bytes);
        if (r->found == 0)
                printf("clean: %llu objects (%s) looked at\n", (unsigned long long)r->objects, buf_str(&size));
        else if (w->repair)
                printf("%llu problems, %llu repaired; %llu objects (%s) looked at\n", (unsigned long long)r->found,
                       (unsigned long long)r->mended, (unsigned long long)r->objects, buf_str(&size));
        else
                printf("%llu problems; %llu objects (%s) looked at\n", (unsigned long long)r->found,
                       (unsigned long long)r->objects, buf_str(&size));
        buf_done(&size);
}

int run_fsck(const struct cli *c)
{
        struct work w = {.json = cli_has(c, "json"), .repair = cli_has(c, "repair")};
        struct fsck_opts o = {.repair = w.repair,
                              .quick = cli_has(c, "quick"),
                              .tell = print_finding,
                              .progress = show_progress,
                              .ctx = &w};
        struct fsck_report r;
        struct config cfg;
        struct err e = {0};
        int rc = cli_settings(c, &cfg, NULL);

        if (rc)
                return rc;
        meter_init(&w.meter, cli_has(c, "quiet"));
        buf_init(&w.findings, 1 << 20);
        rc = app_fsck(&cfg, &o, &r, &e);
        config_done(&cfg);
        meter_erase(&w.meter);
        if (rc < 0)
                complain("%s", e.msg);
        else if (w.json)
                print_json_report(&w, &r);
        else
                print_text_report(&w, &r);
        buf_done(&w.findings);
        if (rc < 0 || r.mended < r.found)
                return CLI_FAILED;
        return r.found ? CLI_PARTIAL : CLI_OK;
}
