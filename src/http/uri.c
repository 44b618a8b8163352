/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Splitting and percent-decoding of request targets (RFC 3986). One decoder
 * serves path and query; what differs is the blank written as '+' and which
 * control characters a value may hold.
 */
#include <string.h>
#include "http/uri.h"

enum uri_part { URI_SEGMENT, URI_ARGUMENT };

static int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        return -1;
}

static bool control_allowed(unsigned char c, enum uri_part part)
{
        return part == URI_ARGUMENT && (c == '\t' || c == '\n' || c == '\r');
}

/* C1 controls are two bytes in UTF-8: C2 80 to C2 9F. */
static bool has_control(struct span s, enum uri_part part)
{
        for (size_t i = 0; i < s.n; i++) {
                unsigned char c = (unsigned char)s.p[i];
                if ((c < 0x20 || c == 0x7f) && !control_allowed(c, part))
                        return true;
                if (c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0)
                        return true;
        }
        return false;
}

static int decode_part(struct arena *a, struct span raw, enum uri_part part, const char **out, struct err *e)
{
        char *text = arena_alloc(a, raw.n + 1);
        if (!text)
                return err_oom(e);
        size_t n = 0;
        for (size_t i = 0; i < raw.n; i++) {
                char c = raw.p[i];
                if (c == '+' && part == URI_ARGUMENT) {
                        c = ' ';
                } else if (c == '%') {
                        int hi = i + 2 < raw.n ? hex_value(raw.p[i + 1]) : -1;
                        int lo = i + 2 < raw.n ? hex_value(raw.p[i + 2]) : -1;
                        if (hi < 0 || lo < 0)
                                return err_set(e, ERR_INVALID,
                                               "the URL holds a percent sign without two hex digits after it");
                        c = (char)(hi << 4 | lo);
                        i += 2;
                }
                text[n++] = c;
        }
        text[n] = '\0';
        struct span s = {text, n};
        if (has_control(s, part))
                return err_set(e, ERR_INVALID, "the URL holds an encoded control character");
        if (!utf8_valid(s))
                return err_set(e, ERR_INVALID, "the URL is not well-formed UTF-8");
        *out = text;
        return 0;
}

static int parse_path(struct arena *a, struct span path, struct uri *out, struct err *e)
{
        struct span rest = {path.p + 1, path.n - 1}; /* behind the leading slash */
        for (;;) {
                const char *slash = rest.n ? memchr(rest.p, '/', rest.n) : NULL;
                struct span segment = {rest.p, slash ? (size_t)(slash - rest.p) : rest.n};
                if (out->nsegments == URI_SEGMENTS)
                        return err_set(e, ERR_INVALID, "the URL has more than %d path segments", URI_SEGMENTS);
                const char *text;
                if (decode_part(a, segment, URI_SEGMENT, &text, e))
                        return -1;
                if (strcmp(text, ".") == 0 || strcmp(text, "..") == 0)
                        return err_set(e, ERR_INVALID, "the URL holds a dot segment");
                out->segments[out->nsegments++] = text;
                if (!slash)
                        return 0;
                rest = (struct span){slash + 1, (size_t)(rest.p + rest.n - slash - 1)};
        }
}

static int parse_arg(struct arena *a, struct span pair, struct uri_arg *out, struct err *e)
{
        const char *eq = memchr(pair.p, '=', pair.n);
        struct span name = {pair.p, eq ? (size_t)(eq - pair.p) : pair.n};
        struct span value = {eq ? eq + 1 : pair.p + pair.n, eq ? pair.n - name.n - 1 : 0};
        if (decode_part(a, name, URI_ARGUMENT, &out->name, e))
                return -1;
        return decode_part(a, value, URI_ARGUMENT, &out->value, e);
}

static int parse_query(struct arena *a, struct span query, struct uri *out, struct err *e)
{
        size_t most = 1;
        for (size_t i = 0; i < query.n; i++)
                most += query.p[i] == '&';
        out->args = arena_array(a, most, sizeof *out->args);
        if (!out->args)
                return err_oom(e);
        struct span pair;
        while (span_cut(&query, '&', &pair)) {
                if (pair.n == 0)
                        continue;
                if (parse_arg(a, pair, &out->args[out->nargs], e))
                        return -1;
                out->nargs++;
        }
        return 0;
}

/* Bytes above 7F are taken as they are: curl sends what it was given, and the UTF-8 check comes after decoding. */
static bool raw_ok(struct span raw)
{
        for (size_t i = 0; i < raw.n; i++) {
                unsigned char c = (unsigned char)raw.p[i];
                if (c <= 0x20 || c == 0x7f || c == '#')
                        return false;
        }
        return true;
}

int uri_parse(struct arena *a, struct span raw, struct uri *out, struct err *e)
{
        *out = (struct uri){0};
        if (raw.n == 0 || raw.p[0] != '/')
                return err_set(e, ERR_INVALID, "the request target must begin with a slash");
        if (!raw_ok(raw))
                return err_set(e, ERR_INVALID, "the URL holds a blank, a control character or a #");
        const char *mark = memchr(raw.p, '?', raw.n);
        struct span path = {raw.p, mark ? (size_t)(mark - raw.p) : raw.n};
        if (parse_path(a, path, out, e))
                return -1;
        if (!mark)
                return 0;
        return parse_query(a, (struct span){mark + 1, raw.n - path.n - 1}, out, e);
}
