/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A line is built on the stack and leaves in one write of at most PIPE_BUF
 * bytes, which pipes keep whole: no lock, no allocation, so it also works out
 * of memory and in a forked child. What does not fit is cut, never the line.
 */
#include "log/log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#define MESSAGE_MAX 1024
#define FIELD_MAX   512 /* bytes of a field's text before escapes */

struct line {
        struct buf b; /* over text; never grows, never freed */
        char text[PIPE_BUF];
        bool json;
};

static const char *const level_names[] = {"DEBUG", "INFO", "WARNING", "ERROR"};
static atomic_int min_level = LOG_INFO;
static atomic_int out_format = LOG_JSON;
static _Thread_local struct log_context context;

void log_init(enum log_level level, enum log_format format)
{
        atomic_store(&min_level, (int)level);
        atomic_store(&out_format, (int)format);
}

enum log_level log_level(void)
{
        return (enum log_level)atomic_load_explicit(&min_level, memory_order_relaxed);
}

bool log_level_parse(struct span s, enum log_level *out)
{
        if (span_ieq(s, "WARN"))
                s = SPAN("WARNING");
        for (size_t i = 0; i < COUNT_OF(level_names); i++) {
                if (span_ieq(s, level_names[i])) {
                        *out = (enum log_level)i;
                        return true;
                }
        }
        return false;
}

struct log_context *log_context(void)
{
        return &context;
}

void log_context_clear(void)
{
        context = (struct log_context){{0}};
}

/* One byte stays free for the newline. */
static void line_init(struct line *l, bool json)
{
        l->json = json;
        l->text[0] = '\0';
        l->b = (struct buf){.p = l->text, .cap = sizeof l->text, .max = sizeof l->text - 2};
}

/* At most max bytes, not ending within a UTF-8 sequence. */
static struct span clip_utf8(const char *s, size_t max)
{
        size_t n = strnlen(s, max + 1);

        if (n > max)
                for (n = max; n > 0 && ((unsigned char)s[n] & 0xC0) == 0x80; n--)
                        ;
        return (struct span){s, n};
}

/* Text for people: control characters must not forge a second line or reach the terminal. */
static void put_visible(struct buf *b, struct span s)
{
        for (size_t i = 0; i < s.n; i++) {
                unsigned char c = (unsigned char)s.p[i];
                if (c == '\n')
                        buf_puts(b, "\\n");
                else if (c < 0x20 || c == 0x7F)
                        buf_printf(b, "\\x%02x", c);
                else
                        buf_putc(b, s.p[i]);
        }
}

static bool needs_quotes(struct span s)
{
        for (size_t i = 0; i < s.n; i++)
                if ((unsigned char)s.p[i] <= ' ' || s.p[i] == '"' || s.p[i] == '=' || s.p[i] == 0x7F)
                        return true;
        return s.n == 0;
}

static void put_key(struct line *l, const char *key)
{
        if (l->json) {
                buf_putc(&l->b, ',');
                buf_json_str(&l->b, key);
                buf_putc(&l->b, ':');
        } else {
                buf_printf(&l->b, " %s=", key);
        }
}

/* Takes the whole field back when it does not fit, so that a cut line still parses. */
static void put_str(struct line *l, const char *key, const char *value)
{
        struct span s = clip_utf8(value, FIELD_MAX);
        size_t before = l->b.n;

        put_key(l, key);
        if (l->json || needs_quotes(s))
                buf_json_span(&l->b, s);
        else
                buf_put(&l->b, s.p, s.n);
        if (buf_failed(&l->b)) {
                l->b.n = before;
                l->b.failed = false;
        }
}

static void put_num(struct line *l, const char *key, double v)
{
        size_t before = l->b.n;

        put_key(l, key);
        buf_num(&l->b, v);
        if (buf_failed(&l->b)) {
                l->b.n = before;
                l->b.failed = false;
        }
}

static void put_context(struct line *l)
{
        if (context.request_id[0])
                put_str(l, "request_id", context.request_id);
        if (context.job_id[0])
                put_str(l, "job_id", context.job_id);
        if (context.asset_id[0])
                put_str(l, "asset_id", context.asset_id);
}

static void put_head(struct line *l, enum log_level level, const char *logger, struct span message)
{
        char when[WALL_TEXT_LEN];

        wall_format(wall_now(), when);
        if (!l->json) {
                buf_printf(&l->b, "%s %-7s %s: ", when, level_names[level], logger);
                put_visible(&l->b, message);
                return;
        }
        buf_printf(&l->b, "{\"timestamp\":\"%s\",\"level\":\"%s\",\"logger\":", when, level_names[level]);
        buf_json_str(&l->b, logger);
        buf_puts(&l->b, ",\"message\":");
        buf_json_span(&l->b, message);
}

/* A message made of escapes may exceed the line's size: then half of it is tried, and so on. */
static void put_message(struct line *l, enum log_level level, const char *logger, const char *message)
{
        for (size_t max = MESSAGE_MAX; max > 0; max /= 2) {
                line_init(l, l->json);
                put_head(l, level, logger, clip_utf8(message, max));
                if (!buf_failed(&l->b) && l->b.n < sizeof l->text - 512)
                        return;
        }
        line_init(l, l->json);
        put_head(l, level, "log", SPAN("a line could not be written"));
}

void log_write(enum log_level level, const char *logger, const struct log_field *fields, size_t n, const char *fmt, ...)
{
        char message[MESSAGE_MAX + 8];
        int saved = errno;
        struct line l;
        va_list ap;
        ssize_t put;

        if (level < log_level())
                return;
        va_start(ap, fmt);
        vsnprintf(message, sizeof message, fmt, ap);
        va_end(ap);
        l.json = atomic_load_explicit(&out_format, memory_order_relaxed) == LOG_JSON;
        put_message(&l, level, logger, message);
        put_context(&l);
        for (size_t i = 0; i < n; i++) {
                if (fields[i].str)
                        put_str(&l, fields[i].key, fields[i].str);
                else
                        put_num(&l, fields[i].key, fields[i].num);
        }
        if (l.json) {
                l.b.max = sizeof l.text - 1;
                buf_putc(&l.b, '}');
        }
        l.text[l.b.n++] = '\n';
        do
                put = write(STDERR_FILENO, l.text, l.b.n);
        while (put < 0 && errno == EINTR);
        errno = saved;
}
