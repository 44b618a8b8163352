/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The string builder. One failure sticks, so that a writer of forty pieces
 * checks once; what was put before the failure stays readable.
 */
#include "base/base_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_init(struct buf *b, size_t max)
{
        *b = (struct buf){.max = max};
}

void buf_done(struct buf *b)
{
        if (!b)
                return;
        mem_free(b->p);
        *b = (struct buf){.max = b->max};
}

void buf_reset(struct buf *b)
{
        b->n = 0;
        b->failed = false;
        if (b->p)
                b->p[0] = '\0';
}

/* Room for n more bytes and the NUL. */
static bool buf_reserve(struct buf *b, size_t n)
{
        size_t need, cap;
        char *p;

        if (b->failed)
                return false;
        if (n > b->max || b->n > b->max - n || __builtin_add_overflow(b->n + n, (size_t)1, &need)) {
                b->failed = true;
                return false;
        }
        if (need <= b->cap)
                return true;
        cap = b->cap ? b->cap : 64;
        while (cap < need && !__builtin_mul_overflow(cap, (size_t)2, &cap))
                ;
        if (cap < need || cap - 1 > b->max)
                cap = b->max + 1 > need ? b->max + 1 : need;
        p = mem_realloc(b->p, cap);
        if (!p) {
                b->failed = true;
                return false;
        }
        b->p = p;
        b->cap = cap;
        return true;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
        if (n == 0 || !buf_reserve(b, n))
                return;
        memcpy(b->p + b->n, p, n);
        b->n += n;
        b->p[b->n] = '\0';
}

void buf_puts(struct buf *b, const char *s)
{
        buf_put(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
        buf_put(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        buf_vprintf(b, fmt, ap);
        va_end(ap);
}

void buf_vprintf(struct buf *b, const char *fmt, va_list ap)
{
        char text[256];
        va_list again;
        int n;

        va_copy(again, ap);
        n = vsnprintf(text, sizeof text, fmt, ap);
        if (n < 0) {
                b->failed = true;
        } else if ((size_t)n < sizeof text) {
                buf_put(b, text, (size_t)n);
        } else if (buf_reserve(b, (size_t)n)) {
                vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
                b->n += (size_t)n;
        }
        va_end(again);
}

static void put_escape(struct buf *b, unsigned char c)
{
        static const char digits[] = "0123456789abcdef";
        const char *plain = "\"\\\b\f\n\r\t", *letter = "\"\\bfnrt", *at = c ? strchr(plain, c) : NULL;
        char text[6] = {'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]};

        if (at) {
                text[1] = letter[at - plain];
                buf_put(b, text, 2);
        } else {
                buf_put(b, text, sizeof text);
        }
}

void buf_json_span(struct buf *b, struct span s)
{
        const unsigned char *p = (const unsigned char *)(s.n ? s.p : "");
        size_t start = 0, i = 0;

        buf_putc(b, '"');
        while (i < s.n) {
                size_t len = utf8_sequence(p + i, s.n - i);
                if (len > 0 && p[i] >= 0x20 && p[i] != '"' && p[i] != '\\') {
                        i += len;
                        continue;
                }
                buf_put(b, p + start, i - start);
                if (len == 0)
                        buf_puts(b, "\xEF\xBF\xBD");
                else
                        put_escape(b, p[i]);
                start = ++i;
        }
        buf_put(b, p + start, i - start);
        buf_putc(b, '"');
}

void buf_json_str(struct buf *b, const char *s)
{
        if (s)
                buf_json_span(b, span_of(s));
        else
                buf_puts(b, "null");
}

/* Whatever the locale writes between the digits becomes a point. */
static void force_point(char *text)
{
        char *to = text;
        bool point = false;

        for (const char *p = text; *p; p++) {
                if (strchr("0123456789+-eE", *p)) {
                        *to++ = *p;
                } else if (!point) {
                        *to++ = '.';
                        point = true;
                }
        }
        *to = '\0';
}

void buf_num(struct buf *b, double v)
{
        char text[48];
        double back = 0;

        if (!isfinite(v)) {
                buf_puts(b, "null");
                return;
        }
        for (int digits = 15; digits <= 17; digits++) {
                snprintf(text, sizeof text, "%.*g", digits, v);
                force_point(text);
                /* Subnormal doubles need fewer digits but never more than 17. */
                if (span_f64(span_of(text), &back) && back == v)
                        break;
        }
        buf_puts(b, text);
}

const char *buf_str(const struct buf *b)
{
        return b->n > 0 ? b->p : "";
}
