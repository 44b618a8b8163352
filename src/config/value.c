/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values of one setting. The limits stand in the table in the setting's own
 * notation and go through the same reader, so 10G means one thing everywhere.
 */
#include "config/config_priv.h"

#include <math.h>
#include <sched.h>
#include <string.h>
#include <strings.h>

const struct setting config_table[CONFIG_COUNT] = {
#define SETTING(type, field, name, def, least, greatest, help)                                                         \
        [CONFIG_##name] = {#name, SETTING_##type, offsetof(struct config, field), def, least, greatest, help},
#include "config/config.def"
#undef SETTING
};

struct unit {
        const char *name;
        double factor;
};

static const struct unit sizes[] = {{"", 1},         {"K", 0x1p10},   {"M", 0x1p20},   {"G", 0x1p30},   {"T", 0x1p40},
                                    {"B", 1},        {"KB", 0x1p10},  {"MB", 0x1p20},  {"GB", 0x1p30},  {"TB", 0x1p40},
                                    {"KiB", 0x1p10}, {"MiB", 0x1p20}, {"GiB", 0x1p30}, {"TiB", 0x1p40}, {NULL, 0}};
static const struct unit counts[] = {{"", 1}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}, {NULL, 0}};
static const struct unit times[] = {{"", 1e9},     {"ms", 1e6},    {"s", 1e9}, {"m", 60e9},
                                    {"h", 3600e9}, {"d", 86400e9}, {NULL, 0}};
static const struct unit plain[] = {{"", 1}, {NULL, 0}};

bool setting_is_secret(const struct setting *s)
{
        return s->type == SETTING_SECRET || s->type == SETTING_URL;
}

bool setting_is_word(const struct setting *s)
{
        return s->type >= SETTING_ENUM;
}

/* A number with one of the units; the result is whole: 1.5K is 1536, 1.5 of nothing is refused. */
static bool read_scaled(struct span text, const struct unit *units, int64_t *out)
{
        struct span number = text, unit;
        double v;

        while (number.n > 0 && (number.p[number.n - 1] < '0' || number.p[number.n - 1] > '9'))
                number.n--;
        unit = span_trim((struct span){text.p + number.n, text.n - number.n});
        for (size_t i = 0; i < number.n; i++)
                if ((number.p[i] < '0' || number.p[i] > '9') && number.p[i] != '.')
                        return false;
        if (!span_f64(number, &v))
                return false;
        for (; units->name; units++) {
                if (!span_ieq(unit, units->name))
                        continue;
                v *= units->factor;
                if (v >= 9e18 || v != floor(v))
                        return false;
                *out = (int64_t)v;
                return true;
        }
        return false;
}

static int64_t available_cores(void)
{
        cpu_set_t set;
        int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;

        return n < 1 ? 1 : n > 256 ? 256 : n;
}

/* Types that are stored as an int64. */
static bool read_whole(const struct setting *s, struct span text, int64_t *out)
{
        switch (s->type) {
        case SETTING_CORES:
                if (span_ieq(text, "cores")) {
                        *out = available_cores();
                        return true;
                }
                return read_scaled(text, plain, out);
        case SETTING_SIZE:
                return read_scaled(text, sizes, out);
        case SETTING_COUNT:
                return read_scaled(text, counts, out);
        case SETTING_DUR:
                return read_scaled(text, times, out);
        default:
                return read_scaled(text, plain, out);
        }
}

static bool store_whole(const struct setting *s, void *field, struct span text)
{
        int64_t v, least, greatest;
        struct dur d;

        if (!read_whole(s, text, &v))
                return false;
        if (!read_whole(s, span_of(s->least), &least) || !read_whole(s, span_of(s->greatest), &greatest))
                assert(!"limits in config.def");
        if (v < least || v > greatest)
                return false;
        d.ns = v;
        if (s->type == SETTING_DUR)
                memcpy(field, &d, sizeof d);
        else
                memcpy(field, &v, sizeof v);
        return true;
}

static bool store_float(const struct setting *s, void *field, struct span text)
{
        double v, least = 0, greatest = 0;

        if (!span_f64(text, &v))
                return false;
        if (!span_f64(span_of(s->least), &least) || !span_f64(span_of(s->greatest), &greatest))
                assert(!"limits in config.def");
        if (v < least || v > greatest)
                return false;
        memcpy(field, &v, sizeof v);
        return true;
}

static bool store_bool(void *field, struct span text)
{
        static const char *const yes[] = {"true", "1", "yes", "on"}, *const no[] = {"false", "0", "no", "off"};

        for (size_t i = 0; i < COUNT_OF(yes); i++) {
                bool v = span_ieq(text, yes[i]);
                if (v || span_ieq(text, no[i])) {
                        memcpy(field, &v, sizeof v);
                        return true;
                }
        }
        return false;
}

/* The words stand in the table as one string; the field gets its own copy of the one that matches. */
static bool store_enum(const struct setting *s, struct config *c, void *field, struct span text)
{
        struct span rest = span_of(s->greatest), word;
        const char *v = NULL;

        if (text.n == 0 && s->def[0] == '\0')
                v = "";
        while (!v && span_cut(&rest, '|', &word)) {
                if (word.n != text.n || strncasecmp(word.p, text.p, word.n) != 0)
                        continue;
                v = arena_strndup(c->mem, word);
                if (!v)
                        return false;
        }
        if (v)
                memcpy(field, &v, sizeof v);
        return v != NULL;
}

static bool store_text(void *field, const char *text)
{
        for (const char *p = text; *p; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7F)
                        return false;
        memcpy(field, &text, sizeof text);
        return true;
}

bool setting_store(const struct setting *s, struct config *c, const char *text)
{
        void *field = (char *)c + s->offset;

        switch (s->type) {
        case SETTING_STR:
        case SETTING_SECRET:
        case SETTING_URL:
        case SETTING_LIST:
                return store_text(field, text);
        case SETTING_ENUM:
                return store_enum(s, c, field, span_of(text));
        case SETTING_BOOL:
                return store_bool(field, span_of(text));
        case SETTING_FLOAT:
                return store_float(s, field, span_of(text));
        case SETTING_INT:
        case SETTING_CORES:
        case SETTING_COUNT:
        case SETTING_SIZE:
        case SETTING_DUR:
                return store_whole(s, field, span_of(text));
        }
        return false;
}

void setting_allowed(const struct setting *s, struct buf *out)
{
        struct span rest = span_of(s->greatest), word;
        const char *what = "a whole number";

        switch (s->type) {
        case SETTING_STR:
        case SETTING_SECRET:
        case SETTING_URL:
                buf_puts(out, "text on one line");
                return;
        case SETTING_LIST:
                buf_puts(out, "a comma-separated list");
                return;
        case SETTING_BOOL:
                buf_puts(out, "true or false");
                return;
        case SETTING_ENUM:
                for (const char *before = ""; span_cut(&rest, '|', &word); before = ", ")
                        buf_printf(out, "%s%.*s", before, (int)word.n, word.p);
                return;
        case SETTING_CORES:
                what = "cores or a number";
                break;
        case SETTING_FLOAT:
                what = "a number";
                break;
        case SETTING_SIZE:
                what = "a size (K, M, G, T)";
                break;
        case SETTING_COUNT:
                what = "a number (K, M, G)";
                break;
        case SETTING_DUR:
                what = "a time (ms, s, m, h, d)";
                break;
        case SETTING_INT:
                break;
        }
        buf_printf(out, "%s from %s to %s", what, s->least, s->greatest);
}
