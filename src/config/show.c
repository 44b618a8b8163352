/* SPDX-License-Identifier: Apache-2.0 */
/* The table of settings for people: config show, --help and the documentation. */
#include "config/config_priv.h"

#include <string.h>

const char *config_origin_name(const struct config *c, enum config_setting s)
{
        static const char *const names[] = {
                [ORIGIN_DEFAULT] = "default", [ORIGIN_SECRET] = "secret",           [ORIGIN_FILE] = "file",
                [ORIGIN_DOTENV] = ".env",     [ORIGIN_ENVIRONMENT] = "environment", [ORIGIN_FLAG] = "flag",
        };

        return names[c->origin[s]];
}

/* PostgreSQL takes a password as a parameter too. */
static void put_parameters(struct buf *out, const char *text)
{
        const char *p;

        while ((p = strstr(text, "password="))) {
                p += strlen("password=");
                buf_put(out, text, (size_t)(p - text));
                buf_puts(out, "********");
                text = p + strcspn(p, "&");
        }
        buf_puts(out, text);
}

/* Everything before the last @ except scheme and user name counts as the password, which need not be escaped well. */
static void put_hidden(struct buf *out, const struct setting *s, const char *text)
{
        const char *scheme = strstr(text, "://"), *from = scheme ? scheme + 3 : text, *at = strrchr(text, '@'), *colon;

        if (!text[0])
                return;
        if (s->type == SETTING_SECRET) {
                buf_puts(out, "********");
                return;
        }
        if (strncmp(text, "sqlite:", 7) == 0 || !at || at < from) {
                put_parameters(out, text);
                return;
        }
        colon = memchr(from, ':', (size_t)(at - from));
        buf_put(out, text, (size_t)((colon ? colon + 1 : from) - text));
        buf_puts(out, "********");
        put_parameters(out, at);
}

void config_show(const struct config *c, struct buf *out, bool json)
{
        struct buf hidden;

        buf_init(&hidden, 2 * CONFIG_VALUE_MAX);
        for (int i = 0; i < CONFIG_COUNT; i++) {
                const char *origin = config_origin_name(c, (enum config_setting)i), *text = c->text[i];

                if (setting_is_secret(&config_table[i])) {
                        buf_reset(&hidden);
                        put_hidden(&hidden, &config_table[i], text);
                        text = buf_failed(&hidden) ? "********" : buf_str(&hidden);
                }
                if (json) {
                        buf_printf(out, "%s\"%s\":{\"value\":", i ? "," : "{", config_table[i].name);
                        buf_json_str(out, text);
                        buf_printf(out, ",\"origin\":\"%s\"}", origin);
                } else {
                        buf_printf(out, "%s=%s  # %s\n", config_table[i].name, text, origin);
                }
        }
        buf_done(&hidden);
        if (json)
                buf_putc(out, '}');
}

/* A bar would end the cell, a < begin a tag. */
static void put_cell(struct buf *out, const char *text)
{
        for (; *text; text++) {
                if (strchr("|<", *text))
                        buf_putc(out, '\\');
                buf_putc(out, *text);
        }
}

void config_docs(struct buf *out)
{
        buf_puts(out, "| Setting | Default | Allowed | |\n|---|---|---|---|\n");
        for (size_t i = 0; i < CONFIG_COUNT; i++) {
                const struct setting *s = &config_table[i];

                buf_printf(out, "| `%s` | ", s->name);
                if (s->def[0])
                        buf_printf(out, "`%s`", s->def);
                else
                        buf_puts(out, "–");
                buf_puts(out, " | ");
                setting_allowed(s, out);
                buf_puts(out, " | ");
                put_cell(out, s->help);
                buf_puts(out, " |\n");
        }
}
