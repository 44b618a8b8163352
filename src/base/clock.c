/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three kinds of time that do not mix, and RFC 3339 text without locale or
 * TZ. Sums saturate: a deadline of "never" stays in the future.
 */
#include "base/base.h"

#include <errno.h>
#include <string.h>

#define NS_PER_S   INT64_C(1000000000)
#define US_PER_DAY INT64_C(86400000000)

static int64_t clock_ns(clockid_t which)
{
        struct timespec ts;

        clock_gettime(which, &ts);
        return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

struct wall wall_now(void)
{
        return (struct wall){clock_ns(CLOCK_REALTIME) / 1000};
}

struct mono mono_now(void)
{
        return (struct mono){clock_ns(CLOCK_MONOTONIC)};
}

struct dur dur_ms(int64_t ms)
{
        int64_t ns;

        if (__builtin_mul_overflow(ms, INT64_C(1000000), &ns))
                ns = ms < 0 ? INT64_MIN : INT64_MAX;
        return (struct dur){ns};
}

struct dur dur_s(double s)
{
        double ns = s * 1e9;

        if (!(ns < 9.2e18))
                return (struct dur){ns != ns ? 0 : INT64_MAX};
        return (struct dur){ns > -9.2e18 ? (int64_t)ns : INT64_MIN};
}

static int64_t add_saturated(int64_t a, int64_t b)
{
        int64_t sum;

        if (__builtin_add_overflow(a, b, &sum))
                return a < 0 ? INT64_MIN : INT64_MAX;
        return sum;
}

struct dur mono_since(struct mono then)
{
        int64_t ns;

        if (__builtin_sub_overflow(mono_now().ns, then.ns, &ns))
                ns = then.ns < 0 ? INT64_MAX : INT64_MIN;
        return (struct dur){ns};
}

double dur_seconds(struct dur d)
{
        return (double)d.ns / 1e9;
}

struct mono mono_add(struct mono t, struct dur d)
{
        return (struct mono){add_saturated(t.ns, d.ns)};
}

struct wall wall_add(struct wall t, struct dur d)
{
        return (struct wall){add_saturated(t.us, d.ns / 1000)};
}

bool mono_reached(struct mono t)
{
        return mono_now().ns >= t.ns;
}

struct timespec mono_timespec(struct mono t)
{
        if (t.ns < 0)
                t.ns = 0;
        return (struct timespec){.tv_sec = (time_t)(t.ns / NS_PER_S), .tv_nsec = (long)(t.ns % NS_PER_S)};
}

void sleep_for(struct dur d)
{
        struct timespec until = mono_timespec(mono_add(mono_now(), d));

        while (d.ns > 0 && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
                ;
}

/* ---- civil dates of the proleptic Gregorian calendar --------------------- */

struct civil {
        int64_t year;
        int month, day;
};

/* Days before a year counted from 1 March, so that the leap day comes last. */
static int64_t days_before_march_year(int64_t y)
{
        return 365 * y + y / 4 - y / 100 + y / 400;
}

/* Days before the month, 0 = March. */
static int64_t days_before_march_month(int m)
{
        return (153 * m + 2) / 5;
}

#define DAYS_TO_1970 INT64_C(719468) /* 0000-03-01 to 1970-01-01 */

/* Year 0 to 9999. January and February of year 0 belong to the March year -1, hence the shift by 400 years. */
static int64_t days_of(struct civil c)
{
        int64_t y = c.year + 400 - (c.month <= 2);
        int m = (c.month + 9) % 12;

        return days_before_march_year(y) + days_before_march_month(m) + c.day - 1 - DAYS_TO_1970 - 146097;
}

static struct civil civil_of(int64_t days)
{
        int64_t z = days + DAYS_TO_1970 + 146097, y = z * 400 / 146097;
        struct civil c;
        int m = 11;

        while (days_before_march_year(y) > z)
                y--;
        while (days_before_march_year(y + 1) <= z)
                y++;
        z -= days_before_march_year(y);
        while (days_before_march_month(m) > z)
                m--;
        c.day = (int)(z - days_before_march_month(m)) + 1;
        c.month = (m + 2) % 12 + 1;
        c.year = y - 400 + (c.month <= 2);
        return c;
}

static void put_digits(char *p, int64_t v, int width)
{
        for (int i = width - 1; i >= 0; i--) {
                p[i] = (char)('0' + v % 10);
                v /= 10;
        }
}

const char *wall_format(struct wall t, char out[WALL_TEXT_LEN])
{
        const int64_t first = INT64_C(-62167219200000000), last = INT64_C(253402300799999999); /* years 0 and 9999 */
        int64_t us = t.us < first ? first : t.us > last ? last : t.us;
        int64_t days = us / US_PER_DAY - (us % US_PER_DAY < 0);
        struct civil c = civil_of(days);

        us -= days * US_PER_DAY;
        memcpy(out, "0000-00-00T00:00:00.000Z", 25);
        put_digits(out, c.year, 4);
        put_digits(out + 5, c.month, 2);
        put_digits(out + 8, c.day, 2);
        put_digits(out + 11, us / INT64_C(3600000000), 2);
        put_digits(out + 14, us / 60000000 % 60, 2);
        put_digits(out + 17, us / 1000000 % 60, 2);
        put_digits(out + 20, us / 1000 % 1000, 3);
        return out;
}

/* width digits at *s, which moves on; false and any value when they are not there or not in range. */
static bool take_number(struct span *s, size_t width, int64_t lo, int64_t hi, int64_t *out)
{
        uint64_t v;

        if (s->n < width || !span_u64((struct span){s->p, width}, &v))
                return false;
        s->p += width;
        s->n -= width;
        *out = (int64_t)v;
        return *out >= lo && *out <= hi;
}

static bool take_char(struct span *s, const char *any_of)
{
        if (s->n == 0 || s->p[0] == '\0' || !strchr(any_of, s->p[0]))
                return false;
        s->p++;
        s->n--;
        return true;
}

static bool take_date(struct span *s, struct civil *c)
{
        static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
        int64_t y, m, d;
        bool leap;

        if (!take_number(s, 4, 0, 9999, &y) || !take_char(s, "-") || !take_number(s, 2, 1, 12, &m) ||
            !take_char(s, "-") || !take_number(s, 2, 1, 31, &d))
                return false;
        leap = (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
        *c = (struct civil){y, (int)m, (int)d};
        return d <= lengths[m - 1] + (m == 2 && leap);
}

/* hh:mm:ss[.fraction]; second 60 is a leap second and counts as the next minute's first. */
static bool take_time(struct span *s, int64_t *us)
{
        int64_t h, m, sec, unit = 100000;

        if (!take_number(s, 2, 0, 23, &h) || !take_char(s, ":") || !take_number(s, 2, 0, 59, &m) ||
            !take_char(s, ":") || !take_number(s, 2, 0, 60, &sec))
                return false;
        *us = ((h * 60 + m) * 60 + sec) * 1000000;
        if (!take_char(s, "."))
                return true;
        if (s->n == 0 || s->p[0] < '0' || s->p[0] > '9')
                return false;
        while (s->n > 0 && s->p[0] >= '0' && s->p[0] <= '9') {
                *us += (s->p[0] - '0') * unit;
                unit /= 10;
                s->p++;
                s->n--;
        }
        return true;
}

static bool take_offset(struct span *s, int64_t *us)
{
        int64_t h, m;
        bool west;

        *us = 0;
        if (take_char(s, "Zz"))
                return true;
        west = s->n > 0 && s->p[0] == '-';
        if (!take_char(s, "+-") || !take_number(s, 2, 0, 23, &h) || !take_char(s, ":") || !take_number(s, 2, 0, 59, &m))
                return false;
        *us = (h * 60 + m) * (west ? -60000000 : 60000000);
        return true;
}

bool wall_parse(struct span s, struct wall *out)
{
        int64_t time = 0, offset = 0;
        struct civil c;

        if (!take_date(&s, &c))
                return false;
        if (s.n > 0 && (!take_char(&s, "Tt ") || !take_time(&s, &time) || !take_offset(&s, &offset) || s.n > 0))
                return false;
        out->us = days_of(c) * US_PER_DAY + time - offset;
        return true;
}
