/* SPDX-License-Identifier: Apache-2.0 */
/* One file from the server: its bytes, its thumbnail, or what is known about it. */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

static int show_info(struct api *a, const struct cli *c)
{
        struct buf path;
        int rc;

        buf_init(&path, 4096);
        client_path(&path, "/objects/", c->words[0], "");
        rc = client_get(a, buf_str(&path));
        buf_done(&path);
        if (rc == 0 && cli_has(c, "json"))
                client_print(a);
        else if (rc == 0)
                print_fields(a->doc);
        return rc;
}

struct meter { /* the line on a terminal while a large file comes in */
        struct mono drawn;
        bool shown;
};

static void show_meter(void *ctx, uint64_t done, uint64_t total)
{
        struct meter *m = ctx;
        struct buf line;

        if (dur_seconds(mono_since(m->drawn)) < 0.2)
                return;
        m->drawn = mono_now();
        m->shown = true;
        buf_init(&line, 256);
        text_bytes(&line, (double)done);
        if (total > 0) {
                buf_puts(&line, " of ");
                text_bytes(&line, (double)total);
        }
        fprintf(stderr, "\r%s\033[K", buf_str(&line));
        buf_done(&line);
}

/* Reads the route of the path into fd. Prints an error on failure. */
static int fetch_into(struct api *a, const struct cli *c, int fd)
{
        struct meter meter = {.drawn = mono_now()};
        struct httpc_request q = {.method = "GET", .out_fd = fd};
        struct buf path;
        int rc;

        if (isatty(STDERR_FILENO)) {
                q.progress = show_meter;
                q.ctx = &meter;
        }
        buf_init(&path, 4096);
        client_path(&path, "/objects/", c->words[0], cli_has(c, "thumbnail") ? "/thumbnail" : "/content");
        rc = client_send(a, buf_str(&path), q);
        if (meter.shown)
                fputs("\r\033[K", stderr);
        buf_done(&path);
        if (rc) {
                bool network = a->e.code == ERR_UNAVAILABLE || a->e.code == ERR_TIMEOUT;
                complain("%s: %s", a->base, a->e.msg);
                return network ? CLI_UNREACHABLE : CLI_FAILED;
        }
        if (a->r.status < 200 || a->r.status >= 300) {
                struct buf why;
                buf_init(&why, 16 * 1024);
                client_reason(a, &why);
                complain("%s", buf_str(&why));
                buf_done(&why);
                return CLI_FAILED;
        }
        return CLI_OK;
}

static void default_name(const struct api *a, const struct cli *c, char *out, size_t size)
{
        static const char *const endings[][2] = {{"image/jpeg", "jpg"}, {"image/png", "png"}, {"image/webp", "webp"}};
        const char *ending = "bin";

        if (a->r.filename[0]) {
                snprintf(out, size, "%s", a->r.filename);
                return;
        }
        for (size_t i = 0; i < COUNT_OF(endings); i++)
                if (strncasecmp(a->r.content_type, endings[i][0], strlen(endings[i][0])) == 0)
                        ending = endings[i][1];
        snprintf(out, size, "%.64s%s.%s", c->words[0], cli_has(c, "thumbnail") ? "-thumbnail" : "", ending);
        for (char *p = out; *p; p++)
                if (*p == '/')
                        *p = '_';
}

static void folder_of(const char *path, char *out, size_t size)
{
        const char *slash = strrchr(path, '/');

        if (!slash)
                snprintf(out, size, ".");
        else
                snprintf(out, size, "%.*s", slash == path ? 1 : (int)(slash - path), path);
}

static int download_file(struct api *a, const struct cli *c)
{
        const char *output = cli_value(c, "output");
        char name[4096], folder[4096] = ".";
        struct save s;
        struct stat st;
        struct err e;
        int rc;

        if (output && strlen(output) >= sizeof name) {
                complain("the output's path is too long");
                return CLI_USAGE;
        }
        if (output)
                folder_of(output, folder, sizeof folder);
        /* The link at the end decides; asking first saves a long download that could not be kept. */
        if (output && !cli_has(c, "force") && lstat(output, &st) == 0) {
                complain("%s already exists; --force replaces it", output);
                return CLI_FAILED;
        }
        if (save_open(&s, folder, &e)) {
                complain("%s", e.msg);
                return CLI_FAILED;
        }
        rc = fetch_into(a, c, s.fd);
        if (rc == 0) {
                if (output)
                        snprintf(name, sizeof name, "%s", output);
                else
                        default_name(a, c, name, sizeof name);
                if (save_finish(&s, name, cli_has(c, "force"), &e)) {
                        complain("%s", e.msg);
                        rc = CLI_FAILED;
                }
        }
        save_abandon(&s);
        if (rc == 0) {
                struct buf line;
                buf_init(&line, 64 * 1024);
                text_clean(&line, span_of(name));
                buf_putc(&line, '\n');
                print_buf(&line);
                buf_done(&line);
        }
        return rc;
}

int run_get(const struct cli *c)
{
        const char *output = cli_value(c, "output");
        bool to_stdout = output && strcmp(output, "-") == 0;
        struct api a;
        int rc;

        if (to_stdout && isatty(STDOUT_FILENO) && !cli_has(c, "force") && !cli_has(c, "info")) {
                complain("the content of a file may confuse the terminal: redirect the output, or add --force");
                return CLI_USAGE;
        }
        rc = client_open(&a, c);
        if (rc)
                return rc;
        if (cli_has(c, "info"))
                rc = show_info(&a, c);
        else if (to_stdout)
                rc = fetch_into(&a, c, STDOUT_FILENO);
        else
                rc = download_file(&a, c);
        client_close(&a);
        return rc;
}
