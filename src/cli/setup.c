/* SPDX-License-Identifier: Apache-2.0 */
/* The settings, the version, and the probe that Docker runs: small commands around a server's life. */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>

static int config_loaded(const struct cli *c, bool show)
{
        struct config cfg;
        struct buf out;
        size_t warnings;
        int rc;

        rc = cli_settings(c, &cfg, &warnings);
        if (rc)
                return rc;
        buf_init(&out, 1 << 20);
        if (show) {
                struct span rest, line;
                struct buf clean;
                config_show(&cfg, &out, cli_has(c, "json"));
                buf_init(&clean, 1 << 20);
                rest = buf_span(&out);
                if (cli_has(c, "json"))
                        print_json(rest);
                while (!cli_has(c, "json") && rest.n > 0 && span_cut(&rest, '\n', &line)) {
                        text_clean(&clean, line);
                        buf_putc(&clean, '\n');
                }
                print_buf(&clean);
                buf_done(&clean);
        } else {
                printf("the settings are fine%s\n", warnings ? ", apart from the warnings" : "");
        }
        buf_done(&out);
        config_done(&cfg);
        return CLI_OK;
}

int run_config(const struct cli *c)
{
        static const char *const verbs[] = {"show", "check", "docs"};
        const char *verb = c->words[0], *near;
        struct buf out;

        if (strcmp(verb, "show") == 0)
                return config_loaded(c, true);
        if (strcmp(verb, "check") == 0)
                return config_loaded(c, false);
        if (strcmp(verb, "docs") == 0) {
                buf_init(&out, 1 << 20);
                config_docs(&out);
                print_buf(&out);
                buf_done(&out);
                return CLI_OK;
        }
        near = cli_nearest(verb, verbs, COUNT_OF(verbs));
        complain(near ? "config has no \"%s\"; did you mean \"%s\"?"
                      : "config has no \"%s\"; it knows show, check and docs",
                 verb, near);
        return CLI_USAGE;
}

int run_version(const struct cli *c)
{
        if (cli_has(c, "json"))
                printf("{\"name\":\"file-allocator\",\"version\":\"%s\"}\n", FA_VERSION);
        else
                printf("file-allocator %s\n", FA_VERSION);
        return CLI_OK;
}

/* Docker knows only 0 and 1, and ends the probe after its timeout: one attempt, short limits. */
int run_health(const struct cli *c)
{
        struct api a;
        const char *status;
        int rc = client_open(&a, c);

        if (rc)
                return CLI_FAILED;
        rc = client_send(
                &a, "/health",
                (struct httpc_request){.method = "GET", .connect_timeout = dur_s(2), .idle_timeout = dur_s(5)});
        if (rc) {
                complain("cannot reach %s: %s", a.base, a.e.msg);
                client_close(&a);
                return CLI_FAILED;
        }
        status = json_get_str(a.doc, "status", "unknown");
        if (cli_has(c, "json")) {
                client_print(&a);
        } else {
                struct buf clean;
                buf_init(&clean, 4096);
                text_clean(&clean, span_of(status));
                buf_putc(&clean, '\n');
                print_buf(&clean);
                buf_done(&clean);
        }
        rc = a.r.status == 200 && (strcmp(status, "healthy") == 0 || strcmp(status, "degraded") == 0) ? CLI_OK
                                                                                                      : CLI_FAILED;
        client_close(&a);
        return rc;
}
