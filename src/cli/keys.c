/* SPDX-License-Identifier: Apache-2.0 */
/* API keys. The key itself is all that goes to standard output, so that a script can keep it. */
#include "app/app.h"
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>

/* "90d" or "12h" from now, or a time as it is. NULL: never. */
static const char *parse_expiry(const char *given, char out[WALL_TEXT_LEN])
{
        struct span s = span_of(given);
        char unit = s.n > 1 ? s.p[s.n - 1] : '\0';
        uint64_t n;

        if (!given)
                return NULL;
        if ((unit != 'd' && unit != 'h') || !span_u64((struct span){s.p, s.n - 1}, &n) || n > 100000)
                return given;
        return wall_format(wall_add(wall_now(), dur_s((double)n * (unit == 'd' ? 86400 : 3600))), out);
}

static void put_if(struct json_out *j, const char *name, const char *value)
{
        if (value)
                json_kv_str(j, name, value);
}

static int print_made(const struct cli *c, const struct json *made, struct span text)
{
        struct buf line;

        if (cli_has(c, "json")) {
                print_json(text);
                return CLI_OK;
        }
        buf_init(&line, 4096);
        text_clean(&line, span_of(json_get_str(made, "key", "")));
        buf_putc(&line, '\n');
        print_buf(&line);
        buf_done(&line);
        complain("key %s, scope %s, owner %s; keep it: it is shown only now", json_get_str(made, "id", "?"),
                 json_get_str(made, "scope", "?"), json_get_str(made, "owner", "any"));
        return CLI_OK;
}

/* What the server would have answered. */
static int print_direct(const struct cli *c, const struct app_key *k)
{
        struct json_out j;
        struct json *doc;
        struct err e;
        struct buf b;

        buf_init(&b, 8192);
        json_out_init(&j, &b);
        json_obj(&j);
        json_kv_str(&j, "id", k->id);
        json_kv_str(&j, "key", k->key);
        json_kv_str(&j, "scope", k->scope);
        json_kv_str(&j, "owner", k->owner);
        json_end(&j);
        doc = json_parse(buf_span(&b), &e);
        print_made(c, doc, buf_span(&b));
        json_free(doc);
        buf_done(&b);
        return CLI_OK;
}

static int create_direct(const struct cli *c, struct app_key *k)
{
        struct config_report rep;
        struct config cfg;
        struct err e;
        int rc = CLI_USAGE;

        config_report_init(&rep);
        if (cli_config(c, &cfg, &rep, &e)) {
                complain("%s", e.msg);
        } else {
                if (app_key_create(&cfg, k, &e)) {
                        complain(e.code == ERR_CONFLICT ? "%s; leave --direct out to ask the server" : "%s", e.msg);
                        rc = CLI_FAILED;
                } else {
                        rc = print_direct(c, k);
                }
                config_done(&cfg);
        }
        config_report_done(&rep);
        return rc;
}

static int create_key(const struct cli *c)
{
        char until[WALL_TEXT_LEN];
        const char *scope = cli_value(c, "scope");
        struct app_key k = {.name = cli_value(c, "name"),
                            .scope = scope ? scope : "read",
                            .owner = cli_value(c, "owner"),
                            .expires = parse_expiry(cli_value(c, "expires"), until)};
        struct json_out j;
        struct buf body;
        struct api a;
        int rc;

        if (cli_has(c, "direct"))
                return create_direct(c, &k);
        rc = client_open(&a, c);
        if (rc)
                return rc;
        buf_init(&body, 8192);
        json_out_init(&j, &body);
        json_obj(&j);
        json_kv_str(&j, "scope", k.scope);
        put_if(&j, "name", k.name);
        put_if(&j, "owner", k.owner);
        put_if(&j, "expires", k.expires);
        json_end(&j);
        rc = client_call(&a, "POST", "/api/v1/admin/keys", buf_span(&body));
        if (rc == 0)
                rc = print_made(c, a.doc, buf_span(&a.r.body));
        else if (rc == CLI_UNREACHABLE)
                complain("without a server, --direct makes the key in the catalog itself");
        buf_done(&body);
        client_close(&a);
        return rc;
}

static void print_keys(const struct json *keys)
{
        static const struct table_column columns[] = {{"ID"},    {"PREFIX"},  {"NAME", false, true}, {"SCOPE"},
                                                      {"OWNER"}, {"EXPIRES"}, {"LAST USED"},         {"STATE"}};
        struct table *t = cli_table_new(columns, COUNT_OF(columns));
        char now[WALL_TEXT_LEN];

        wall_format(wall_now(), now);
        for (size_t i = 0; t && i < json_count(keys); i++) {
                const struct json *key = json_at(keys, i);
                const char *expires = json_get_str(key, "expires_at", NULL);
                cli_table_put(t, json_get_str(key, "id", NULL));
                cli_table_put(t, json_get_str(key, "prefix", NULL));
                cli_table_put(t, json_get_str(key, "name", NULL));
                cli_table_put(t, json_get_str(key, "scope", NULL));
                cli_table_put(t, json_get_str(key, "owner", "any"));
                cli_table_putf(t, "%.10s", expires ? expires : "never");
                cli_table_putf(t, "%.10s", json_get_str(key, "last_used_at", "never"));
                cli_table_put(t, json_get_str(key, "revoked_at", NULL) ? "revoked"
                                 : expires && strcmp(expires, now) < 0 ? "expired"
                                                                       : "holds");
        }
        if (t)
                cli_table_print(t);
        cli_table_free(t);
}

static int list_keys(const struct cli *c)
{
        struct api a;
        int rc = client_open(&a, c);

        if (rc)
                return rc;
        rc = client_get(&a, cli_has(c, "all") ? "/api/v1/admin/keys?revoked=true" : "/api/v1/admin/keys");
        if (rc == 0 && cli_has(c, "json"))
                client_print(&a);
        else if (rc == 0 && json_count(json_get(a.doc, "keys")) > 0)
                print_keys(json_get(a.doc, "keys"));
        else if (rc == 0)
                complain("there are no keys");
        client_close(&a);
        return rc;
}

static int revoke_key(const struct cli *c)
{
        struct buf path;
        struct api a;
        int rc = client_open(&a, c);

        if (rc)
                return rc;
        buf_init(&path, 4096);
        client_path(&path, "/admin/keys/", c->words[1], "");
        rc = client_call(&a, "DELETE", buf_str(&path), (struct span){0});
        if (rc == 0)
                complain("the key is revoked; other instances follow within seconds");
        buf_done(&path);
        client_close(&a);
        return rc;
}

int run_apikey(const struct cli *c)
{
        static const char *const verbs[] = {"create", "list", "revoke"};
        static int (*const run[])(const struct cli *) = {create_key, list_keys, revoke_key};
        const char *verb = c->words[0], *near;

        for (size_t i = 0; i < COUNT_OF(verbs); i++) {
                bool with_id = run[i] == revoke_key;
                if (strcmp(verb, verbs[i]) != 0)
                        continue;
                if (with_id == (c->nwords > 1))
                        return run[i](c);
                complain(with_id ? "apikey %s needs the ID of a key" : "apikey %s takes no ID", verb);
                return CLI_USAGE;
        }
        near = cli_nearest(verb, verbs, COUNT_OF(verbs));
        complain(near ? "apikey has no \"%s\"; did you mean \"%s\"?"
                      : "apikey has no \"%s\"; it knows create, list and revoke",
                 verb, near);
        return CLI_USAGE;
}
