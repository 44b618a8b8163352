/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The .env file. Its grammar is the common part of what shells, Docker
 * Compose and systemd read, so that one file serves them all; what they read
 * differently (values over several lines, $VARIABLES) is not offered.
 */
#include "config/config_priv.h"

#include <string.h>

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r';
}

struct span config_strip_comment(struct span text)
{
        for (size_t i = 1; i < text.n; i++) {
                if (text.p[i] == '#' && is_blank(text.p[i - 1])) {
                        text.n = i;
                        break;
                }
        }
        return span_trim(text);
}

static bool is_name(struct span s)
{
        if (s.n == 0 || (s.p[0] >= '0' && s.p[0] <= '9'))
                return false;
        for (size_t i = 0; i < s.n; i++) {
                char c = s.p[i];
                if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
                        return false;
        }
        return true;
}

/* text begins with a quote. The contents go to out; false without a closing quote or with more behind it. */
static bool take_quoted(struct span text, struct buf *out)
{
        char quote = text.p[0];
        size_t i = 1;

        for (; i < text.n && text.p[i] != quote; i++) {
                char c = text.p[i];
                if (quote == '"' && c == '\\' && i + 1 < text.n && strchr("n\"\\", text.p[i + 1]) && text.p[i + 1]) {
                        i++;
                        c = text.p[i] == 'n' ? '\n' : text.p[i];
                }
                buf_putc(out, c);
        }
        if (i >= text.n)
                return false;
        text = span_trim((struct span){text.p + i + 1, text.n - i - 1});
        return text.n == 0 || text.p[0] == '#';
}

/* One line that is neither empty nor a comment. */
static int take_line(struct span line, size_t number, struct buf *value, config_env_fn *fn, void *arg, struct err *e)
{
        struct span name, text;

        if (line.n > 7 && memcmp(line.p, "export", 6) == 0 && is_blank(line.p[6]))
                line = span_trim((struct span){line.p + 7, line.n - 7});
        if (memchr(line.p, '\0', line.n))
                return err_set(e, ERR_INVALID, "line %zu: holds a NUL byte", number);
        if (!memchr(line.p, '=', line.n))
                return err_set(e, ERR_INVALID, "line %zu: no = in it; allowed is NAME=value", number);
        span_cut(&line, '=', &name);
        name = span_trim(name);
        if (!is_name(name))
                return err_set(e, ERR_INVALID, "line %zu: a name is letters, digits and _ and begins with no digit",
                               number);
        buf_reset(value);
        text = span_trim(line);
        if (text.n > 0 && (text.p[0] == '"' || text.p[0] == '\'')) {
                if (!take_quoted(text, value))
                        return err_set(e, ERR_INVALID, "line %zu: %.*s: the quotes do not match", number,
                                       (int)(name.n < 64 ? name.n : 64), name.p);
        } else {
                text = config_strip_comment(line);
                buf_put(value, text.p, text.n);
        }
        if (buf_failed(value) && value->n + text.n > value->max)
                return err_set(e, ERR_INVALID, "line %zu: the value is longer than %zu bytes", number, value->max);
        if (buf_failed(value))
                return err_oom(e);
        return fn(arg, name, span_of(buf_str(value)), e);
}

int config_env_parse(struct span text, config_env_fn *fn, void *arg, struct err *e)
{
        struct buf value;
        struct span line;
        size_t number = 0;
        int rc = 0;

        if (text.n >= 3 && memcmp(text.p, "\xEF\xBB\xBF", 3) == 0)
                text = (struct span){text.p + 3, text.n - 3};
        buf_init(&value, CONFIG_VALUE_MAX);
        while (rc == 0 && span_cut(&text, '\n', &line)) {
                number++;
                line = span_trim(line);
                if (line.n > 0 && line.p[0] != '#')
                        rc = take_line(line, number, &value, fn, arg, e);
        }
        buf_done(&value);
        return rc;
}
