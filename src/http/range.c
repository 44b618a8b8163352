/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsers for the bytes that a client wants and has. They follow the rule of RFC 9110 that unknown forms are ignored,
 * so no function here can fail, and only a well-formed single range changes the answer.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include "http/range.h"

static enum range_kind range_suffix(uint64_t wanted, uint64_t size, uint64_t *first, uint64_t *length)
{
        if (wanted == 0 || size == 0)
                return RANGE_UNSATISFIABLE;
        *length = wanted < size ? wanted : size;
        *first = size - *length;
        return RANGE_PART;
}

enum range_kind range_parse(struct span value, uint64_t size, uint64_t *first, uint64_t *length)
{
        static const char unit[] = "bytes=";
        value = span_trim(value);
        if (value.n < sizeof unit - 1 || strncasecmp(value.p, unit, sizeof unit - 1) != 0)
                return RANGE_WHOLE;
        struct span set = span_trim((struct span){value.p + sizeof unit - 1, value.n - (sizeof unit - 1)});
        const char *dash = set.n ? memchr(set.p, '-', set.n) : NULL;
        if (!dash || memchr(set.p, ',', set.n))
                return RANGE_WHOLE;
        struct span from = {set.p, (size_t)(dash - set.p)};
        struct span to = {dash + 1, set.n - from.n - 1};
        uint64_t a, b = UINT64_MAX;
        if (from.n == 0)
                return span_u64(to, &b) ? range_suffix(b, size, first, length) : RANGE_WHOLE;
        if (!span_u64(from, &a) || (to.n > 0 && !span_u64(to, &b)) || b < a)
                return RANGE_WHOLE;
        if (a >= size)
                return RANGE_UNSATISFIABLE;
        *first = a;
        *length = (b < size ? b + 1 : size) - a;
        return RANGE_PART;
}

bool etag_strong_equal(struct span value, const char *etag)
{
        return etag && value.n >= 2 && value.p[0] == '"' && value.p[value.n - 1] == '"' &&
               span_eq((struct span){value.p + 1, value.n - 2}, etag);
}

bool etag_list_matches(struct span list, const char *etag)
{
        if (!etag)
                return false;
        struct span item;
        while (span_cut(&list, ',', &item)) {
                item = span_trim(item);
                if (span_eq(item, "*"))
                        return true;
                if (item.n > 2 && memcmp(item.p, "W/", 2) == 0)
                        item = (struct span){item.p + 2, item.n - 2};
                if (etag_strong_equal(item, etag))
                        return true;
        }
        return false;
}

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

const char *http_date_format(struct wall t, char out[HTTP_DATE_LEN])
{
        time_t seconds = (time_t)(t.us / 1000000);
        struct tm tm;
        if (!gmtime_r(&seconds, &tm) || tm.tm_year > 8099 || tm.tm_year < 0)
                tm = (struct tm){.tm_mday = 1, .tm_year = 70, .tm_wday = 4};
        snprintf(out, HTTP_DATE_LEN, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * tm.tm_wday,
                 (unsigned)tm.tm_mday % 100, months + 3 * tm.tm_mon, (unsigned)(tm.tm_year + 1900) % 10000,
                 (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
        return out;
}

static bool number_at(struct span s, size_t at, size_t n, int *out)
{
        uint64_t v;
        if (!span_u64((struct span){s.p + at, n}, &v))
                return false;
        *out = (int)v;
        return true;
}

bool http_date_parse(struct span s, int64_t *seconds)
{
        s = span_trim(s);
        struct tm tm = {0};
        if (s.n != HTTP_DATE_LEN - 1 || memcmp(s.p + 3, ", ", 2) != 0 || memcmp(s.p + 25, " GMT", 4) != 0)
                return false;
        while (tm.tm_mon < 12 && memcmp(months + (size_t)tm.tm_mon * 3, s.p + 8, 3) != 0)
                tm.tm_mon++;
        if (tm.tm_mon == 12 || s.p[7] != ' ' || s.p[11] != ' ' || s.p[16] != ' ' || s.p[19] != ':' || s.p[22] != ':')
                return false;
        if (!number_at(s, 5, 2, &tm.tm_mday) || !number_at(s, 12, 4, &tm.tm_year) ||
            !number_at(s, 17, 2, &tm.tm_hour) || !number_at(s, 20, 2, &tm.tm_min) || !number_at(s, 23, 2, &tm.tm_sec))
                return false;
        if (tm.tm_mday < 1 || tm.tm_mday > 31 || tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_sec > 60)
                return false;
        tm.tm_year -= 1900;
        *seconds = (int64_t)timegm(&tm);
        return true;
}

/* The fallback for old clients: no quote, backslash or percent, which some of them decode. */
static char ascii_fallback(unsigned char c)
{
        return c < 0x20 || c >= 0x7f || strchr("\"\\%;/", c) ? '_' : (char)c;
}

static bool attr_char(unsigned char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("!#$&+-.^_`|~", c);
}

void disposition_put(struct buf *b, bool attachment, const char *filename)
{
        buf_puts(b, attachment ? "attachment" : "inline");
        if (!filename || !*filename)
                return;
        buf_puts(b, "; filename=\"");
        for (const char *p = filename; *p; p++) {
                if (((unsigned char)*p & 0xc0) != 0x80) /* one _ a character, not one a byte */
                        buf_putc(b, ascii_fallback((unsigned char)*p));
        }
        buf_puts(b, "\"; filename*=UTF-8''");
        for (const char *p = filename; *p; p++) {
                unsigned char c = (unsigned char)*p;
                if (attr_char(c))
                        buf_putc(b, (char)c);
                else
                        buf_printf(b, "%%%02X", c);
        }
}
