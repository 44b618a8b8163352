/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's life from the command line. Signals are blocked before the first thread starts, so that only the
 * sigwait here ever receives one; once the shutdown has begun, a second signal exits at once.
 */
#include "app/app.h"
#include "cli/cli_priv.h"
#include "cli/signals_priv.h"
#include "log/log.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void leave_now(int sig)
{
        (void)sig;
        _exit(CLI_FAILED);
}

static void await_end(const sigset_t *ends)
{
        struct sigaction now = {.sa_handler = leave_now};
        int sig = 0;

        while (sigwait(ends, &sig))
                ;
        sigemptyset(&now.sa_mask);
        sigaction(SIGTERM, &now, NULL);
        sigaction(SIGINT, &now, NULL);
        pthread_sigmask(SIG_UNBLOCK, ends, NULL);
        log_info("cli", "stopping after %s", sig == SIGINT ? "SIGINT" : "SIGTERM");
}

static void start_log(const struct config *cfg)
{
        bool json = cfg->log_format[0] ? strcmp(cfg->log_format, "json") == 0 : !isatty(STDERR_FILENO);
        enum log_level level = LOG_INFO;

        if (!log_level_parse(span_of(cfg->log_level), &level))
                level = LOG_INFO;
        log_init(level, json ? LOG_JSON : LOG_TEXT);
}

/* For people on standard output; where the log is for machines, as one log line. */
static void announce_address(const struct config *cfg, const struct app *a)
{
        const char *host = cfg->app_host, *open = strchr(host, ':') ? "[" : "", *close = *open ? "]" : "";
        unsigned port = app_port(a);
        bool json = cfg->log_format[0] ? strcmp(cfg->log_format, "json") == 0 : !isatty(STDERR_FILENO);

        if (port == 0) {
                log_info("cli", "File Allocator %s processes tasks, without a port", FA_VERSION);
                return;
        }
        if (strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0) {
                host = "127.0.0.1";
                open = close = "";
        }
        if (json) {
                log_info("cli", "File Allocator %s listens on http://%s%s%s:%u", FA_VERSION, open, host, close, port);
                return;
        }
        printf("File Allocator %s listens on http://%s%s%s:%u \xe2\x80\x94 docs at http://%s%s%s:%u/api/docs\n",
               FA_VERSION, open, host, close, port, open, host, close, port);
        fflush(stdout);
}

static int run_app(const struct cli *c, enum app_role role)
{
        struct config cfg;
        struct config_report rep;
        struct app *app = NULL;
        struct err e;
        sigset_t ends;
        int rc;

        config_report_init(&rep);
        rc = cli_config(c, &cfg, &rep, &e);
        if (rc == 0)
                start_log(&cfg);
        for (size_t i = 0; i < rep.n; i++) {
                if (rc == 0)
                        log_warning("config", "%s", rep.warnings[i]);
                else
                        complain("%s", rep.warnings[i]);
        }
        config_report_done(&rep);
        if (rc) {
                complain("%s", e.msg);
                return CLI_USAGE;
        }
        signals_hold(&ends);
        if (app_start(&cfg, role, signals_came, &app, &e)) {
                if (e.code == ERR_STOPPED)
                        log_info("cli", "%s", e.msg);
                else
                        log_error("cli", "%s", e.msg);
                config_done(&cfg);
                return e.code == ERR_STOPPED ? CLI_OK : CLI_FAILED;
        }
        announce_address(&cfg, app);
        await_end(&ends);
        app_stop(app);
        config_done(&cfg);
        return CLI_OK;
}

int run_serve(const struct cli *c)
{
        return run_app(c, APP_SERVE);
}

int run_worker(const struct cli *c)
{
        return run_app(c, APP_WORK);
}

static const char *result_colour(const char *result, bool colours)
{
        if (!colours)
                return "";
        return strcmp(result, "ok") == 0 ? "\033[32m" : strcmp(result, "warn") == 0 ? "\033[33m" : "\033[31m";
}

static void print_check(const struct app_check *check)
{
        bool colours = text_colours();
        struct buf line;

        buf_init(&line, 4096);
        buf_printf(&line, "%s%-4s%s  %-16s  ", result_colour(check->result, colours), check->result,
                   colours ? "\033[0m" : "", check->name);
        text_clean(&line, span_of(check->detail));
        buf_putc(&line, '\n');
        print_buf(&line);
        buf_done(&line);
}

static void print_checks_json(const struct app_check *checks, size_t n)
{
        struct buf text;
        struct json_out j;

        buf_init(&text, 64 * 1024);
        json_out_init(&j, &text);
        json_arr(&j);
        for (size_t i = 0; i < n; i++) {
                json_obj(&j);
                json_kv_str(&j, "name", checks[i].name);
                json_kv_str(&j, "result", checks[i].result);
                json_kv_str(&j, "detail", checks[i].detail);
                json_end(&j);
        }
        json_end(&j);
        print_json(buf_span(&text));
        buf_done(&text);
}

int run_doctor(const struct cli *c)
{
        struct app_check checks[32];
        struct config cfg;
        size_t n, failed = 0;
        int rc;

        rc = cli_settings(c, &cfg, NULL);
        if (rc)
                return rc;
        n = app_doctor(&cfg, checks, COUNT_OF(checks));
        n = n < COUNT_OF(checks) ? n : COUNT_OF(checks);
        for (size_t i = 0; i < n; i++) {
                failed += strcmp(checks[i].result, "fail") == 0;
                if (!cli_has(c, "json"))
                        print_check(&checks[i]);
        }
        if (cli_has(c, "json"))
                print_checks_json(checks, n);
        config_done(&cfg);
        return failed ? CLI_FAILED : CLI_OK;
}
