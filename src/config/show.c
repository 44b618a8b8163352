/* SPDX-License-Identifier: Apache-2.0 */
/* The table of settings for people: config show, --help and the documentation. */
#include "config/config_priv.h"

#include <string.h>

#define MASK "********"

const char *config_origin_name(const struct config *c, enum config_setting s)
{
        static const char *const names[] = {
                [ORIGIN_DEFAULT] = "default", [ORIGIN_SECRET] = "secret",           [ORIGIN_FILE] = "file",
                [ORIGIN_DOTENV] = ".env",     [ORIGIN_ENVIRONMENT] = "environment", [ORIGIN_FLAG] = "flag",
        };

        return names[c->origin[s]];
}

/*
 * The password stands between the first ':' after the scheme and the last '@',
 * or in a parameter. Masking too much of an odd URL is better than too little.
 */
static void put_url(struct buf *out, const char *text)
{
        const char *host = strstr(text, "://"), *at = strrchr(text, '@'), *colon, *p;

        host = host ? host + 3 : text;
        colon = at && at > host ? memchr(host, ':', (size_t)(at - host)) : NULL;
        if (colon) {
                buf_put(out, text, (size_t)(colon + 1 - text));
                buf_puts(out, MASK);
                text = at;
        }
        while ((p = strstr(text, "password="))) {
                p += strlen("password=");
                buf_put(out, text, (size_t)(p - text));
                buf_puts(out, MASK);
                text = p + strcspn(p, "&");
        }
        buf_puts(out, text);
}

void setting_shown(const struct setting *s, const char *text, struct buf *out)
{
        if (s->type == SETTING_SECRET)
                buf_puts(out, text[0] ? MASK : "");
        else if (s->offset == offsetof(struct config, database_url))
                put_url(out, text);
        else
                buf_puts(out, text);
}

void config_show(const struct config *c, struct buf *out, bool json)
{
        for (int i = 0; i < CONFIG_COUNT; i++) {
                const char *origin = config_origin_name(c, (enum config_setting)i), *text;
                struct buf shown;

                buf_init(&shown, 2 * CONFIG_VALUE_MAX);
                setting_shown(&config_table[i], c->text[i], &shown);
                text = buf_str(&shown);
                if (json) {
                        buf_printf(out, "%s\"%s\":{\"value\":", i ? "," : "{", config_table[i].name);
                        buf_json_str(out, text);
                        buf_printf(out, ",\"origin\":\"%s\"}", origin);
                } else {
                        buf_printf(out, "%s=%s  # %s\n", config_table[i].name, text, origin);
                }
                buf_done(&shown);
        }
        if (json)
                buf_putc(out, '}');
}

void config_help(struct buf *out)
{
        for (size_t i = 0; i < CONFIG_COUNT; i++) {
                const struct setting *s = &config_table[i];

                buf_printf(out, "  %s", s->name);
                if (s->def[0])
                        buf_printf(out, " (%s)", s->def);
                buf_printf(out, "\n      %s\n      Allowed: ", s->help);
                setting_allowed(s, out);
                buf_puts(out, ".\n");
        }
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
