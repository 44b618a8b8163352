/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text that belongs to somebody else, read without copying. Numbers do not
 * depend on the locale: a decoder library may have set one behind our back.
 */
#include "base/base_priv.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct span span_of(const char *s)
{
        return (struct span){s ? s : "", s ? strlen(s) : 0};
}

bool span_eq(struct span a, const char *s)
{
        return strlen(s) == a.n && (a.n == 0 || memcmp(a.p, s, a.n) == 0);
}

static char fold_ascii(char c)
{
        return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

bool span_ieq(struct span a, const char *s)
{
        if (strlen(s) != a.n)
                return false;
        for (size_t i = 0; i < a.n; i++)
                if (fold_ascii(a.p[i]) != fold_ascii(s[i]))
                        return false;
        return true;
}

static bool is_blank(char c)
{
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span span_trim(struct span s)
{
        while (s.n > 0 && is_blank(s.p[0])) {
                s.p++;
                s.n--;
        }
        while (s.n > 0 && is_blank(s.p[s.n - 1]))
                s.n--;
        return s;
}

/* A NULL pointer marks a rest that was used up; an empty rest with a pointer still holds one empty part. */
bool span_cut(struct span *rest, char sep, struct span *part)
{
        const char *at;

        if (!rest->p)
                return false;
        at = rest->n ? memchr(rest->p, sep, rest->n) : NULL;
        if (!at) {
                *part = *rest;
                *rest = (struct span){NULL, 0};
                return true;
        }
        *part = (struct span){rest->p, (size_t)(at - rest->p)};
        rest->n -= part->n + 1;
        rest->p = at + 1;
        return true;
}

bool span_u64(struct span s, uint64_t *out)
{
        uint64_t v = 0;

        if (s.n == 0)
                return false;
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] < '0' || s.p[i] > '9')
                        return false;
                if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
                    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v))
                        return false;
        }
        *out = v;
        return true;
}

static size_t skip_digits(const char *p)
{
        return strspn(p, "0123456789");
}

/* [+-] digits [. digits] [e [+-] digits], with a digit on at least one side of the point. */
static bool looks_decimal(const char *p)
{
        size_t whole, part = 0;

        p += *p == '+' || *p == '-';
        whole = skip_digits(p);
        p += whole;
        if (*p == '.') {
                part = skip_digits(p + 1);
                p += 1 + part;
        }
        if (whole + part == 0)
                return false;
        if (*p == 'e' || *p == 'E') {
                p++;
                p += *p == '+' || *p == '-';
                if (skip_digits(p) == 0)
                        return false;
                p += skip_digits(p);
        }
        return *p == '\0';
}

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;

static void make_c_locale(void)
{
        c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

bool span_f64(struct span s, double *out)
{
        char text[128];
        double v;

        if (s.n == 0 || s.n >= sizeof text || memchr(s.p, '\0', s.n))
                return false;
        memcpy(text, s.p, s.n);
        text[s.n] = '\0';
        if (!looks_decimal(text))
                return false;
        pthread_once(&c_locale_once, make_c_locale);
        v = c_locale ? strtod_l(text, NULL, c_locale) : strtod(text, NULL);
        if (!isfinite(v))
                return false;
        *out = v;
        return true;
}

static bool is_tail(unsigned char c)
{
        return (c & 0xC0) == 0x80;
}

/* Table 3-7 of the Unicode Standard: the second byte's range depends on the first. */
size_t utf8_sequence(const unsigned char *p, size_t n)
{
        unsigned char lo = 0x80, hi = 0xBF;
        size_t len;

        if (p[0] < 0x80)
                return 1;
        if (p[0] < 0xC2 || p[0] > 0xF4)
                return 0;
        len = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
        if (n < len)
                return 0;
        if (p[0] == 0xE0)
                lo = 0xA0;
        else if (p[0] == 0xED)
                hi = 0x9F;
        else if (p[0] == 0xF0)
                lo = 0x90;
        else if (p[0] == 0xF4)
                hi = 0x8F;
        if (p[1] < lo || p[1] > hi)
                return 0;
        for (size_t i = 2; i < len; i++)
                if (!is_tail(p[i]))
                        return 0;
        return len;
}

bool utf8_valid(struct span s)
{
        size_t i = 0;

        while (i < s.n) {
                size_t len = utf8_sequence((const unsigned char *)s.p + i, s.n - i);
                if (len == 0)
                        return false;
                i += len;
        }
        return true;
}

int hex_value(char c)
{
        if (c >= '0' && c <= '9')
                return c - '0';
        c = fold_ascii(c);
        return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void hex_write(char *out, const uint8_t *p, size_t n)
{
        static const char digits[] = "0123456789abcdef";

        for (size_t i = 0; i < n; i++) {
                *out++ = digits[p[i] >> 4];
                *out++ = digits[p[i] & 15];
        }
        *out = '\0';
}
