/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file name a server suggests. It comes from a stranger and may become a
 * name in the user's folder, so what leaves here has no slash, no backslash,
 * no control character, and is not "." or "..".
 */
#include "httpc/httpc_priv.h"

#include <string.h>

#define NAME_MAX_RAW 1024

/* The value of one parameter, quotes and backslashes resolved; moves *s past it. */
static void take_value(struct span *s, struct buf *out)
{
        bool quoted = s->n > 0 && s->p[0] == '"';
        size_t i = quoted ? 1 : 0;

        if (s->n == 0) /* p may be NULL then */
                return;
        for (; i < s->n; i++) {
                if (quoted ? s->p[i] == '"' : s->p[i] == ';')
                        break;
                /* Only the quote and the backslash are escaped in practice: C:\temp must stay readable. */
                if (quoted && s->p[i] == '\\' && i + 1 < s->n && (s->p[i + 1] == '"' || s->p[i + 1] == '\\'))
                        i++;
                buf_putc(out, s->p[i]);
        }
        s->p += i;
        s->n -= i;
        while (s->n > 0 && s->p[0] != ';')
                s->p++, s->n--;
        if (s->n > 0)
                s->p++, s->n--;
}

static int hex_digit(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        if ((c | 32) >= 'a' && (c | 32) <= 'f')
                return (c | 32) - 'a' + 10;
        return -1;
}

/* charset'language'percent-encoded; false for another charset than the two that RFC 8187 and its ancestor name. */
static bool decode_extended(struct span raw, struct buf *out)
{
        struct span charset, language;
        bool latin;

        if (!span_cut(&raw, '\'', &charset) || !span_cut(&raw, '\'', &language) || !raw.p)
                return false;
        latin = span_ieq(charset, "ISO-8859-1");
        if (!latin && !span_ieq(charset, "UTF-8"))
                return false;
        for (size_t i = 0; i < raw.n; i++) {
                unsigned char c = (unsigned char)raw.p[i];
                if (c == '%' && i + 2 < raw.n && hex_digit(raw.p[i + 1]) >= 0 && hex_digit(raw.p[i + 2]) >= 0) {
                        c = (unsigned char)(hex_digit(raw.p[i + 1]) * 16 + hex_digit(raw.p[i + 2]));
                        i += 2;
                }
                if (latin && c >= 0x80) {
                        buf_putc(out, (char)(0xc0 | c >> 6));
                        buf_putc(out, (char)(0x80 | (c & 0x3f)));
                } else {
                        buf_putc(out, (char)c);
                }
        }
        return !buf_failed(out) && utf8_valid(buf_span(out));
}

/* Browsers and servers also put raw UTF-8, or Latin-1, into plain filename: what is no UTF-8 loses its odd bytes. */
static void clean_name(struct span s, char *out, size_t size)
{
        bool ascii_only = !utf8_valid(s);
        size_t n = 0;

        for (size_t i = s.n; i > 0; i--)
                if (s.p[i - 1] == '/' || s.p[i - 1] == '\\') {
                        s.p += i;
                        s.n -= i;
                        break;
                }
        s = span_trim(s);
        for (size_t i = 0; i < s.n && n + 1 < size; i++) {
                unsigned char c = (unsigned char)s.p[i];
                if (c < 0x20 || c == 0x7f)
                        continue;
                out[n++] = ascii_only && c >= 0x80 ? '_' : (char)c;
        }
        while (n > 0 && !utf8_valid((struct span){out, n})) /* the cut fell into a character */
                n--;
        out[n] = '\0';
        if (strcmp(out, ".") == 0 || strcmp(out, "..") == 0)
                out[0] = '\0';
}

void httpc_disposition_name(struct span value, char *out, size_t size)
{
        struct span type, name;
        struct buf raw, decoded;
        bool have_extended = false;

        out[0] = '\0';
        buf_init(&raw, NAME_MAX_RAW);
        buf_init(&decoded, NAME_MAX_RAW);
        if (!span_cut(&value, ';', &type))
                value.n = 0;
        while (value.n > 0 && !have_extended && span_cut(&value, '=', &name)) {
                name = span_trim(name);
                value = span_trim(value);
                buf_reset(&raw);
                take_value(&value, &raw);
                if (buf_failed(&raw))
                        break;
                if (span_ieq(name, "filename*")) {
                        buf_reset(&decoded);
                        have_extended = decode_extended(span_trim(buf_span(&raw)), &decoded);
                        if (have_extended)
                                clean_name(buf_span(&decoded), out, size);
                } else if (span_ieq(name, "filename") && !out[0]) {
                        clean_name(buf_span(&raw), out, size);
                }
        }
        buf_done(&decoded);
        buf_done(&raw);
}
