/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs and the dead-letter queue: the progress of work, and what to do about work that failed. */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

int job_exit(const struct json *job)
{
        const char *status = json_get_str(job, "status", "");

        if (strcmp(status, "failed") == 0)
                return CLI_FAILED;
        return strcmp(status, "partial") == 0 ? CLI_PARTIAL : CLI_OK;
}

static bool is_over(const struct json *job)
{
        const char *status = json_get_str(job, "status", "");

        return strcmp(status, "done") == 0 || strcmp(status, "failed") == 0 || strcmp(status, "partial") == 0;
}

int job_poll(struct api *a, const char *job, bool wait)
{
        double pause = 0.1;
        struct buf path;
        int rc;

        buf_init(&path, 4096);
        client_path(&path, "/ingest/", job, "/status");
        for (;;) {
                rc = client_get(a, buf_str(&path));
                if (rc || !wait || is_over(a->doc))
                        break;
                sleep_for(dur_s(pause));
                pause = pause < 1 ? pause * 1.5 : 2;
        }
        buf_done(&path);
        return rc;
}

static void print_job(const struct json *job)
{
        static const struct table_column columns[] = {
                {"FILE", false, true}, {"STATUS"}, {"STAGE"}, {"ERROR", false, true}, {"ID"}};
        const struct json *progress = json_get(job, "progress"), *assets = json_get(job, "assets");
        struct table *t = cli_table_new(columns, COUNT_OF(columns));
        struct buf head, line;

        buf_init(&head, 4096);
        buf_init(&line, 8192);
        buf_printf(&head, "%s: %.0f of %.0f done, %.0f failed", json_get_str(job, "status", "?"),
                   json_get_num(progress, "done", 0), json_get_num(progress, "total", 0),
                   json_get_num(progress, "failed", 0));
        text_clean(&line, buf_span(&head));
        buf_putc(&line, '\n');
        print_buf(&line);
        for (size_t i = 0; t && i < json_count(assets); i++) {
                const struct json *asset = json_at(assets, i), *error = json_get(asset, "error");
                cli_table_put(t, json_get_str(asset, "filename", NULL));
                cli_table_put(t, json_get_str(asset, "status", NULL));
                cli_table_put(t, json_get_str(asset, "stage", NULL));
                cli_table_put(t, json_is_string(error) ? json_str(error) : json_get_str(error, "message", NULL));
                cli_table_put(t, json_get_str(asset, "system_id", NULL));
        }
        if (t && cli_table_rows(t) > 0)
                cli_table_print(t);
        cli_table_free(t);
        buf_done(&line);
        buf_done(&head);
}

int run_status(const struct cli *c)
{
        struct api a;
        int rc = client_open(&a, c);

        if (rc)
                return rc;
        rc = job_poll(&a, c->words[0], cli_has(c, "wait"));
        if (rc == 0) {
                if (cli_has(c, "json"))
                        client_print(&a);
                else
                        print_job(a.doc);
                rc = job_exit(a.doc);
        }
        client_close(&a);
        return rc;
}

/* ---- the dead-letter queue ------------------------------------------------------- */

static void print_dead(const struct json *items)
{
        static const struct table_column columns[] = {
                {"JOB"},  {"FILE", false, true}, {"STAGE"}, {"CODE"}, {"TRIES", true, false},
                {"LAST"}, {"ERROR", false, true}};
        struct table *t = cli_table_new(columns, COUNT_OF(columns));

        for (size_t i = 0; t && i < json_count(items); i++) {
                const struct json *item = json_at(items, i);
                cli_table_put(t, json_get_str(item, "job_id", NULL));
                cli_table_put(t, json_get_str(item, "filename", NULL));
                cli_table_put(t, json_get_str(item, "stage", NULL));
                cli_table_put(t, json_get_str(item, "code", NULL));
                cli_table_putf(t, "%.0f", json_get_num(item, "attempts", 0));
                cli_table_putf(t, "%.10s", json_get_str(item, "last_failed_at", ""));
                cli_table_put(t, json_get_str(item, "error", NULL));
        }
        if (t)
                cli_table_print(t);
        cli_table_free(t);
}

static int dlq_list(struct api *a, const struct cli *c)
{
        struct buf path;
        double limit = 50;
        char number[16];
        int rc;

        if (cli_number(c, "limit", 1, 500, &limit))
                return CLI_USAGE;
        snprintf(number, sizeof number, "%d", (int)limit);
        buf_init(&path, 4096);
        buf_puts(&path, "/api/v1/admin/dlq");
        client_query(&path, "limit", number);
        client_query(&path, "stage", cli_value(c, "stage"));
        rc = client_get(a, buf_str(&path));
        buf_done(&path);
        if (rc == 0 && cli_has(c, "json"))
                client_print(a);
        else if (rc == 0 && json_count(json_get(a->doc, "items")) > 0)
                print_dead(json_get(a->doc, "items"));
        if (rc == 0 && json_count(json_get(a->doc, "items")) == 0)
                complain("the dead-letter queue is empty");
        return rc;
}

static int dlq_change(struct api *a, const struct cli *c, const char *method, const char *suffix, const char *said)
{
        struct buf path, line;
        int rc;

        buf_init(&path, 4096);
        buf_init(&line, 4096);
        if (c->nwords > 1)
                client_path(&path, "/admin/dlq/", c->words[1], suffix);
        else
                buf_printf(&path, "/api/v1/admin/dlq%s", suffix);
        rc = client_call(a, method, buf_str(&path), strcmp(method, "POST") == 0 ? SPAN("{}") : (struct span){0});
        if (rc == 0 && cli_has(c, "json")) {
                client_print(a);
        } else if (rc == 0) {
                if (c->nwords > 1) {
                        text_clean(&line, span_of(c->words[1]));
                        buf_putc(&line, ' ');
                }
                buf_printf(&line, "%s\n", said);
                print_buf(&line);
        }
        buf_done(&line);
        buf_done(&path);
        return rc;
}

static int dlq_show(struct api *a, const struct cli *c)
{
        struct buf path;
        int rc;

        buf_init(&path, 4096);
        client_path(&path, "/admin/dlq/", c->words[1], "");
        rc = client_get(a, buf_str(&path));
        buf_done(&path);
        if (rc == 0 && cli_has(c, "json"))
                client_print(a);
        for (size_t i = 0; rc == 0 && !cli_has(c, "json") && i < json_count(json_get(a->doc, "items")); i++)
                print_fields(json_at(json_get(a->doc, "items"), i));
        return rc;
}

static int dlq_run(struct api *a, const struct cli *c, const char *verb)
{
        if (strcmp(verb, "list") == 0)
                return dlq_list(a, c);
        if (strcmp(verb, "show") == 0)
                return dlq_show(a, c);
        if (strcmp(verb, "retry") == 0)
                return dlq_change(a, c, "POST", "/retry", "is queued again");
        if (strcmp(verb, "retry-all") == 0)
                return dlq_change(a, c, "POST", "/retry-all", "all are queued again");
        return dlq_change(a, c, "DELETE", "", "is off the list; its files stay stored");
}

int run_dlq(const struct cli *c)
{
        static const char *const verbs[] = {"list", "show", "retry", "retry-all", "delete"};
        static const bool needs_job[] = {false, true, true, false, true};
        const char *verb = c->words[0], *near;
        struct api a;
        int rc;

        for (size_t i = 0; i < COUNT_OF(verbs); i++) {
                if (strcmp(verb, verbs[i]) != 0)
                        continue;
                if (needs_job[i] != (c->nwords > 1)) {
                        complain(needs_job[i] ? "dlq %s needs a JOB" : "dlq %s takes no JOB", verb);
                        return CLI_USAGE;
                }
                rc = client_open(&a, c);
                if (rc == 0) {
                        rc = dlq_run(&a, c, verb);
                        client_close(&a);
                }
                return rc;
        }
        near = cli_nearest(verb, verbs, COUNT_OF(verbs));
        if (near)
                complain("dlq has no \"%s\"; did you mean \"%s\"?", verb, near);
        else
                complain("dlq has no \"%s\"; it knows list, show, retry, retry-all and delete", verb);
        return CLI_USAGE;
}
