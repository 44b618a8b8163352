/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The answers of a store are flat: a few elements without attributes whose
 * text is wanted. So this finds tags and decodes entities, and nothing more.
 */
#include "storage/storage_s3_priv.h"

#include <stdio.h>
#include <string.h>

static const char *find_bytes(struct span in, const char *what, size_t n)
{
        return in.n >= n ? memmem(in.p, in.n, what, n) : NULL;
}

/* Where the text after <tag> or <tag …> begins. */
static bool find_open(struct span in, const char *tag, struct span *text)
{
        char open[48];
        size_t n = (size_t)snprintf(open, sizeof open, "<%s", tag);

        for (const char *at; (at = find_bytes(in, open, n)) != NULL;) {
                const char *end = in.p + in.n, *next = at + n;
                in = (struct span){next, (size_t)(end - next)};
                if (in.n > 0 && strchr("> \t\r\n", *next) && *next) {
                        const char *close = memchr(next, '>', in.n);
                        if (!close || close[-1] == '/')
                                return false;
                        *text = (struct span){close + 1, (size_t)(end - close - 1)};
                        return true;
                }
        }
        return false;
}

static bool put_code_point(struct buf *b, uint64_t c)
{
        if (c == 0 || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
                return false;
        if (c < 0x80) {
                buf_putc(b, (char)c);
        } else {
                int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
                static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
                buf_putc(b, (char)(lead[more] | c >> (6 * more)));
                while (more-- > 0)
                        buf_putc(b, (char)(0x80 | ((c >> (6 * more)) & 0x3f)));
        }
        return true;
}

static bool put_entity(struct buf *b, struct span name)
{
        static const struct {
                const char *name, *text;
        } known[] = {{"amp", "&"}, {"lt", "<"}, {"gt", ">"}, {"quot", "\""}, {"apos", "'"}};
        uint64_t c = 0;

        for (size_t i = 0; i < COUNT_OF(known); i++)
                if (span_eq(name, known[i].name)) {
                        buf_puts(b, known[i].text);
                        return true;
                }
        if (name.n < 2 || name.n > 8 || name.p[0] != '#')
                return false;
        if ((name.p[1] | 32) != 'x')
                return span_u64((struct span){name.p + 1, name.n - 1}, &c) && put_code_point(b, c);
        for (size_t i = 2; i < name.n; i++) {
                int d = name.p[i] | 32;
                if (!(d >= '0' && d <= '9') && !(d >= 'a' && d <= 'f'))
                        return false;
                c = c << 4 | (uint64_t)(d <= '9' ? d - '0' : d - 'a' + 10);
        }
        return put_code_point(b, c);
}

static bool decode_text(struct span text, char *out, size_t n)
{
        struct buf b;
        bool good = true;

        buf_init(&b, n);
        while (good && text.n > 0) {
                struct span part;
                bool entity = text.p[0] == '&';
                const char *end = memchr(text.p, entity ? ';' : '&', text.n);
                size_t len = end ? (size_t)(end - text.p) : text.n;
                part = (struct span){text.p, len};
                if (entity) {
                        good = end && put_entity(&b, (struct span){part.p + 1, part.n - 1});
                        len += end != NULL;
                } else {
                        buf_put(&b, part.p, part.n);
                }
                text = (struct span){text.p + len, text.n - len};
        }
        good = good && !buf_failed(&b) && b.n < n;
        if (good)
                snprintf(out, n, "%s", buf_str(&b));
        buf_done(&b);
        return good;
}

bool s3_xml_part(struct span *rest, const char *tag, struct span *inside)
{
        char close[48];
        size_t len = (size_t)snprintf(close, sizeof close, "</%s>", tag);
        struct span text;
        const char *end;

        if (!rest->p || !find_open(*rest, tag, &text) || !(end = find_bytes(text, close, len)))
                return false;
        *rest = (struct span){end + len, text.n - (size_t)(end + len - text.p)};
        *inside = (struct span){text.p, (size_t)(end - text.p)};
        return true;
}

bool s3_xml_next(struct span *rest, const char *tag, char *out, size_t n)
{
        struct span text;

        return s3_xml_part(rest, tag, &text) && decode_text(text, out, n);
}

bool s3_xml_has(struct span xml, const char *tag)
{
        struct span text;

        return xml.p && find_open(xml, tag, &text);
}
