/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server that a command talks to, and its answers in words for people. The hard thing is the key: the key of this
 * machine's configuration goes to this machine's server only, never to an address given by hand.
 */
#include "cli/cli_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define API_ROOT "/api/v1"

int cli_config(const struct cli *c, struct config *cfg, struct config_report *rep, struct err *e)
{
        static const struct {
                const char *option, *setting;
        } shorthands[] = {{"port", "APP_PORT"}, {"host", "APP_HOST"}, {"data", "DATA_PATH"}};
        struct arena *mem = arena_new(1 << 20);
        const char **flags = mem_calloc(c->ngiven + 1, sizeof *flags);
        struct config_sources src = {
                .envp = (const char *const *)environ, .dotenv = ".env", .flags = flags, .secrets_dir = NULL};
        int rc = mem && flags ? 0 : err_oom(e);

        for (size_t i = 0; rc == 0 && i < c->ngiven; i++) {
                const char *name = c->given[i].option->name, *value = c->given[i].value;
                const char *flag = strcmp(name, "set") == 0 ? value : NULL;
                for (size_t k = 0; k < COUNT_OF(shorthands); k++)
                        if (strcmp(name, shorthands[k].option) == 0)
                                flag = arena_printf(mem, "%s=%s", shorthands[k].setting, value);
                if (flag && !strchr(flag, '='))
                        rc = err_set(e, ERR_INVALID, "--set %.60s: NAME=VALUE is needed", flag);
                else if (flag)
                        flags[src.nflags++] = flag;
        }
        if (rc == 0)
                rc = config_load(cfg, &src, rep, e);
        mem_free(flags);
        arena_free(mem);
        return rc;
}

int cli_settings(const struct cli *c, struct config *cfg, size_t *warnings)
{
        struct config_report rep;
        struct err e;
        int rc;

        config_report_init(&rep);
        rc = cli_config(c, cfg, &rep, &e);
        for (size_t i = 0; i < rep.n; i++)
                complain("%s", rep.warnings[i]);
        if (warnings)
                *warnings = rep.n;
        config_report_done(&rep);
        if (rc)
                complain("%s", e.msg);
        return rc ? CLI_USAGE : CLI_OK;
}

static bool is_loopback(const char *url)
{
        static const char *const hosts[] = {"http://127.0.0.1", "http://localhost", "http://[::1]"};

        for (size_t i = 0; i < COUNT_OF(hosts); i++) {
                size_t n = strlen(hosts[i]);
                if (strncasecmp(url, hosts[i], n) == 0 && (!url[n] || url[n] == ':' || url[n] == '/'))
                        return true;
        }
        return false;
}

static void url_of_config(const struct config *cfg, char *out, size_t size)
{
        const char *host = cfg->app_host;

        if (!host[0] || strcmp(host, "0.0.0.0") == 0)
                host = "127.0.0.1";
        if (strcmp(host, "::") == 0)
                host = "::1";
        snprintf(out, size, strchr(host, ':') ? "http://[%s]:%d" : "http://%s:%d", host, (int)cfg->app_port);
}

static int set_url(struct api *a, const char *url)
{
        const char *scheme = strstr(url, "://") ? "" : "http://";
        size_t n;

        if ((size_t)snprintf(a->base, sizeof a->base, "%s%s", scheme, url) >= sizeof a->base) {
                complain("the server's address is too long");
                return CLI_USAGE;
        }
        if (strchr(a->base,
                   '@')) { /* it would be shown in messages, and "http://127.0.0.1:8000@host" is not this machine */
                complain("the server's address must not hold a name or a password");
                return CLI_USAGE;
        }
        if (strncasecmp(a->base, "http://", 7) != 0 && strncasecmp(a->base, "https://", 8) != 0) {
                complain("%s: the server's address begins with http:// or https://", a->base);
                return CLI_USAGE;
        }
        for (n = strlen(a->base); n > 0 && a->base[n - 1] == '/'; n--)
                a->base[n - 1] = '\0';
        return CLI_OK;
}

static const char *from_env(const char *name)
{
        const char *v = getenv(name);

        return v && v[0] ? v : NULL;
}

static int set_key(struct api *a, const char *key)
{
        if (strpbrk(key, "\r\n") || (size_t)snprintf(a->key, sizeof a->key, "X-API-Key: %s", key) >= sizeof a->key) {
                complain("the key is too long or holds a line break");
                return CLI_USAGE;
        }
        return CLI_OK;
}

/* Address and key: from flag, environment, configuration. */
static int find_server(struct api *a, const struct cli *c)
{
        const char *url = cli_value(c, "url"), *key = cli_value(c, "key");
        struct config cfg;
        struct config_report rep;
        struct err e;
        int rc = CLI_OK;

        url = url ? url : from_env("FILE_ALLOCATOR_URL");
        key = key ? key : from_env("FILE_ALLOCATOR_KEY");
        if (url)
                rc = set_url(a, url);
        if (rc == CLI_OK && key)
                rc = set_key(a, key);
        if (rc || (url && (key || !is_loopback(a->base))))
                return rc;
        config_report_init(&rep);
        if (cli_config(c, &cfg, &rep, &e)) {
                if (!url) {
                        complain("%s (or name the server with --url)", e.msg);
                        rc = CLI_USAGE;
                }
        } else {
                if (!url)
                        url_of_config(&cfg, a->base, sizeof a->base);
                if (!key && cfg.api_key[0])
                        rc = set_key(a, cfg.api_key);
                config_done(&cfg);
        }
        config_report_done(&rep);
        return rc;
}

int client_open(struct api *a, const struct cli *c)
{
        int rc;

        *a = (struct api){0};
        rc = find_server(a, c);
        if (rc)
                return rc;
        if (httpc_new(&a->h, &a->e)) {
                complain("%s", a->e.msg);
                return CLI_FAILED;
        }
        return CLI_OK;
}

int client_clone(struct api *a, const struct api *from, struct err *e)
{
        *a = (struct api){0};
        memcpy(a->base, from->base, sizeof a->base);
        memcpy(a->key, from->key, sizeof a->key);
        return httpc_new(&a->h, e);
}

static void forget_answer(struct api *a)
{
        json_free(a->doc);
        a->doc = NULL;
        httpc_response_done(&a->r);
        a->r = (struct httpc_response){0};
}

void client_close(struct api *a)
{
        forget_answer(a);
        httpc_free(a->h);
        a->h = NULL;
}

int client_send(struct api *a, const char *path, struct httpc_request q)
{
        const char *headers[4];
        size_t n = 0;
        struct buf url;
        int rc;

        forget_answer(a);
        assert(q.nheaders <= 2);
        for (; n < q.nheaders; n++)
                headers[n] = q.headers[n];
        if (a->key[0])
                headers[n++] = a->key;
        if (q.body.n > 0)
                headers[n++] = "Content-Type: application/json";
        buf_init(&url, 32 * 1024);
        buf_printf(&url, "%s%s", a->base, path);
        q.url = buf_str(&url);
        q.headers = headers;
        q.nheaders = n;
        a->e = (struct err){0};
        rc = buf_failed(&url) ? err_set(&a->e, ERR_INVALID, "the request is too long")
                              : httpc_do(a->h, &q, &a->r, &a->e);
        buf_done(&url);
        if (rc == 0 && a->r.body.n > 0) {
                struct err ignored;
                a->doc = json_parse(buf_span(&a->r.body), &ignored); /* no JSON is judged by its status alone */
        }
        return rc;
}

/* {"field":"limit","allowed":[1,100]} as "(field: limit, allowed: [1,100])" */
static void put_details(const struct json *details, struct buf *out)
{
        const char *before = " (";

        if (json_is_string(details) && json_span(details).n > 0) {
                buf_printf(out, " (%s)", json_str(details));
                return;
        }
        for (void *it = json_iter(details); it; it = json_next(details, it), before = ", ") {
                const struct json *v = json_iter_value(it);
                buf_printf(out, "%s%s: ", before, json_iter_key(it));
                if (json_is_string(v))
                        buf_puts(out, json_str(v));
                else
                        json_dump(v, out);
        }
        if (before[0] == ',')
                buf_putc(out, ')');
}

void client_reason(const struct api *a, struct buf *out)
{
        const char *text = json_get_str(a->doc, "error", NULL);
        const char *id = json_get_str(a->doc, "request_id", NULL);

        if (text)
                buf_puts(out, text);
        else
                buf_printf(out, "the server answered %u", a->r.status);
        put_details(json_get(a->doc, "details"), out);
        if (a->r.status == 401)
                buf_puts(out, a->key[0] ? "; is the key right?" : "; give a key with --key or FILE_ALLOCATOR_KEY");
        if (a->r.status >= 500 && id)
                buf_printf(out, " [request %s]", id);
}

static int complain_answer(const struct api *a)
{
        struct buf why;

        buf_init(&why, 16 * 1024);
        client_reason(a, &why);
        complain("%s", buf_str(&why));
        buf_done(&why);
        return CLI_FAILED;
}

int client_call(struct api *a, const char *method, const char *path, struct span body)
{
        if (client_send(a, path, (struct httpc_request){.method = method, .body = body})) {
                bool network = a->e.code == ERR_UNAVAILABLE || a->e.code == ERR_TIMEOUT;
                complain(network ? "cannot reach %s: %s" : "%s: %s", a->base, a->e.msg);
                return network ? CLI_UNREACHABLE : CLI_FAILED;
        }
        if (a->r.status < 200 || a->r.status >= 300)
                return complain_answer(a);
        if (!a->doc && a->r.status != 204) {
                complain("%s is not a File Allocator server: its answer is not JSON", a->base);
                return CLI_FAILED;
        }
        return CLI_OK;
}

int client_get(struct api *a, const char *path)
{
        return client_call(a, "GET", path, (struct span){0});
}

void client_query(struct buf *path, const char *name, const char *value)
{
        if (!value)
                return;
        buf_putc(path, strchr(buf_str(path), '?') ? '&' : '?');
        buf_puts(path, name);
        buf_putc(path, '=');
        httpc_escape(path, value);
}

void client_path(struct buf *path, const char *prefix, const char *segment, const char *suffix)
{
        buf_puts(path, API_ROOT);
        buf_puts(path, prefix);
        /* "." and ".." would be folded away on their way, and another route would answer. */
        if (strcmp(segment, ".") == 0 || strcmp(segment, "..") == 0)
                buf_puts(path, "_");
        httpc_escape(path, segment);
        buf_puts(path, suffix);
}

void client_print(const struct api *a)
{
        if (a->doc)
                print_json(buf_span(&a->r.body));
}
