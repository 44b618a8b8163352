/* SPDX-License-Identifier: Apache-2.0 */
/* Finding things on the server: search, list, folders. Tables for people, the server's own JSON for programs. */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>

/* Whether a field of "matched" counts: servers may say true, a score, or the words that matched. */
static bool counts_as_match(const struct json *v)
{
        if (json_is_bool(v))
                return json_bool(v);
        if (json_is_number(v))
                return json_num(v) > 0;
        if (json_is_string(v))
                return json_span(v).n > 0;
        return json_count(v) > 0;
}

static void put_why(struct table *t, const struct json *matched)
{
        static const char *const kinds[][2] = {
                {"vector", "meaning"}, {"text", "words"}, {"tags", "tags"}, {"filename", "name"}};
        struct buf why;

        buf_init(&why, 256);
        for (size_t i = 0; i < COUNT_OF(kinds); i++)
                if (counts_as_match(json_get(matched, kinds[i][0])))
                        buf_printf(&why, "%s%s", why.n > 0 ? ", " : "", kinds[i][1]);
        cli_table_put(t, buf_str(&why));
        buf_done(&why);
}

static void put_results(const struct json *results)
{
        static const struct table_column columns[] = {{"SIMILARITY", true, false},
                                                      {"WHY", false, true},
                                                      {"NAME", false, true},
                                                      {"FOLDER", false, true},
                                                      {"ID"}};
        struct table *t = cli_table_new(columns, COUNT_OF(columns));

        for (size_t i = 0; t && i < json_count(results); i++) {
                const struct json *hit = json_at(results, i);
                cli_table_putf(t, "%.3f", json_get_num(hit, "similarity", 0));
                put_why(t, json_get(hit, "matched"));
                cli_table_put(t, json_get_str(hit, "filename", NULL));
                cli_table_put(t, json_get_str(json_get(hit, "cluster"), "name", NULL));
                cli_table_put(t, json_get_str(hit, "id", NULL));
        }
        if (t)
                cli_table_print(t);
        cli_table_free(t);
}

static void join_words(const struct cli *c, struct buf *out)
{
        for (size_t i = 0; i < c->nwords; i++)
                buf_printf(out, "%s%s", i > 0 ? " " : "", c->words[i]);
}

/* Names in the query are those of the options. */
static int put_options(const struct cli *c, struct buf *path, const char *const *names, size_t n)
{
        double number = 0;

        if (cli_number(c, "limit", 1, 500, &number))
                return -1;
        for (size_t i = 0; i < n; i++)
                client_query(path, names[i], cli_value(c, names[i]));
        return 0;
}

int run_search(const struct cli *c)
{
        static const char *const names[] = {"limit", "threshold", "type", "owner", "tags", "mode"};
        struct buf path, query;
        struct api a;
        double threshold = 0;
        int rc;

        buf_init(&path, 32 * 1024);
        buf_init(&query, 8 * 1024);
        join_words(c, &query);
        buf_puts(&path, "/api/v1/search");
        client_query(&path, "query", buf_str(&query));
        rc = cli_number(c, "threshold", 0, 1, &threshold) || put_options(c, &path, names, COUNT_OF(names))
                     ? CLI_USAGE
                     : client_open(&a, c);
        if (rc == 0) {
                const struct json *results;
                rc = client_get(&a, buf_str(&path));
                results = json_get(a.doc, "results");
                if (rc == 0 && cli_has(c, "json"))
                        client_print(&a);
                else if (rc == 0 && json_count(results) > 0)
                        put_results(results);
                if (rc == 0 && json_count(results) == 0)
                        complain("no good match; a lower --threshold also shows weaker matches");
                client_close(&a);
        }
        buf_done(&query);
        buf_done(&path);
        return rc;
}

static void put_objects(const struct json *objects)
{
        static const struct table_column columns[] = {
                {"NAME", false, true},   {"SIZE", true, false}, {"FOLDER", false, true},
                {"STATUS", false, true}, {"CREATED"},           {"ID"}};
        struct table *t = cli_table_new(columns, COUNT_OF(columns));

        for (size_t i = 0; t && i < json_count(objects); i++) {
                const struct json *o = json_at(objects, i);
                const char *created = json_get_str(o, "created_at", "");
                struct buf size;
                buf_init(&size, 64);
                text_bytes(&size, json_get_num(o, "size_bytes", 0));
                cli_table_put(t, json_get_str(o, "filename", NULL));
                cli_table_put(t, buf_str(&size));
                cli_table_put(t, json_get_str(json_get(o, "cluster"), "name", NULL));
                cli_table_put(t, json_get_str(o, "status", NULL));
                cli_table_putf(t, "%.10s", created);
                cli_table_put(t, json_get_str(o, "id", NULL));
                buf_done(&size);
        }
        if (t)
                cli_table_print(t);
        cli_table_free(t);
}

int run_list(const struct cli *c)
{
        static const char *const names[] = {"name", "owner"};
        struct buf path;
        struct api a;
        char limit[16];
        double n = 50;
        int rc;

        if (cli_number(c, "limit", 1, 500, &n))
                return CLI_USAGE;
        buf_init(&path, 16 * 1024);
        buf_puts(&path, "/api/v1/objects");
        snprintf(limit, sizeof limit, "%d", (int)n);
        client_query(&path, "limit", limit);
        rc = put_options(c, &path, names, COUNT_OF(names)) ? CLI_USAGE : client_open(&a, c);
        if (rc == 0) {
                const struct json *objects;
                size_t shown;
                double total;
                rc = client_get(&a, buf_str(&path));
                objects = json_get(a.doc, "objects");
                shown = json_count(objects);
                total = json_get_num(a.doc, "total", (double)shown);
                if (rc == 0 && cli_has(c, "json"))
                        client_print(&a);
                else if (rc == 0 && shown > 0)
                        put_objects(objects);
                if (rc == 0 && shown == 0)
                        complain("no files");
                else if (rc == 0 && !cli_has(c, "json") && total > (double)shown)
                        complain("%zu of %.0f files shown; --limit and --name choose", shown, total);
                client_close(&a);
        }
        buf_done(&path);
        return rc;
}

static void put_folders(const struct json *clusters)
{
        static const struct table_column columns[] = {
                {"NAME", false, true}, {"FILES", true, false}, {"STATUS"}, {"ID"}};
        struct table *t = cli_table_new(columns, COUNT_OF(columns));

        for (size_t i = 0; t && i < json_count(clusters); i++) {
                const struct json *k = json_at(clusters, i);
                bool provisional = json_get_bool(k, "provisional", false);
                cli_table_put(t, json_get_str(k, "name", NULL));
                cli_table_putf(t, "%.0f", json_get_num(k, "asset_count", 0));
                cli_table_put(t, json_get_str(k, "status", provisional ? "provisional" : "active"));
                cli_table_put(t, json_get_str(k, "id", NULL));
        }
        if (t)
                cli_table_print(t);
        cli_table_free(t);
}

int run_folders(const struct cli *c)
{
        struct buf path;
        struct api a;
        int rc = client_open(&a, c);

        if (rc)
                return rc;
        buf_init(&path, 8 * 1024);
        buf_puts(&path, "/api/v1/clusters");
        client_query(&path, "status", cli_value(c, "status"));
        client_query(&path, "owner", cli_value(c, "owner"));
        rc = client_get(&a, buf_str(&path));
        if (rc == 0) {
                const struct json *clusters = json_is_array(a.doc) ? a.doc : json_get(a.doc, "clusters");
                if (cli_has(c, "json"))
                        client_print(&a);
                else if (json_count(clusters) > 0)
                        put_folders(clusters);
                else
                        complain("no folders yet");
        }
        buf_done(&path);
        client_close(&a);
        return rc;
}
