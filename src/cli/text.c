/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text on its way to a terminal: made harmless, measured in columns, cut to
 * fit. The hard thing is that bytes, characters and columns are three
 * different counts, and that a stranger's file name may try to be a command.
 */
#include "cli/cli_priv.h"

#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <langinfo.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define REPLACEMENT "\xef\xbf\xbd"

void text_locale(void)
{
        setlocale(LC_CTYPE, "");
        if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
                setlocale(LC_CTYPE, "C.UTF-8"); /* names are UTF-8 whatever the user's locale says */
}

/* One well-formed character off the front of s; its length, 0 when s does not begin with one. */
static size_t take_char(struct span s, uint32_t *out)
{
        unsigned char c = (unsigned char)s.p[0];
        size_t n = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

        if (n > s.n || !utf8_valid((struct span){s.p, n}))
                return 0;
        *out = n == 1 ? c : c & (0x7fU >> n);
        for (size_t i = 1; i < n; i++)
                *out = *out << 6 | ((unsigned char)s.p[i] & 0x3f);
        return n;
}

/* Controls, and what reorders or hides the text around it (Unicode TR 36, section 2.10). */
static bool is_harmful(uint32_t c)
{
        return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0x061c || (c >= 0x200e && c <= 0x200f) ||
               (c >= 0x2028 && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0xfeff;
}

void text_clean(struct buf *out, struct span s)
{
        while (s.n > 0) {
                uint32_t c = 0;
                size_t n = take_char(s, &c);
                if (n == 1 && (c == '\n' || c == '\t' || c == '\r'))
                        buf_putc(out, ' ');
                else if (n == 0 || is_harmful(c))
                        buf_puts(out, REPLACEMENT);
                else
                        buf_put(out, s.p, n);
                n = n ? n : 1;
                s.p += n;
                s.n -= n;
        }
}

static size_t char_width(uint32_t c)
{
        int w = wcwidth((wchar_t)c);

        return w < 0 ? 1 : (size_t)w;
}

size_t text_width(struct span s)
{
        size_t width = 0;

        while (s.n > 0) {
                uint32_t c = 0;
                size_t n = take_char(s, &c);
                width += n ? char_width(c) : 1;
                n = n ? n : 1;
                s.p += n;
                s.n -= n;
        }
        return width;
}

size_t text_cut(struct buf *out, struct span s, size_t width)
{
        size_t used = 0, total = text_width(s);

        if (total <= width) {
                buf_put(out, s.p, s.n);
                return total;
        }
        if (width == 0)
                return 0;
        while (s.n > 0) {
                uint32_t c = 0;
                size_t n = take_char(s, &c), w = n ? char_width(c) : 1;
                if (used + w > width - 1)
                        break;
                n = n ? n : 1;
                buf_put(out, s.p, n);
                used += w;
                s.p += n;
                s.n -= n;
        }
        buf_puts(out, "\xe2\x80\xa6");
        return used + 1;
}

/* In valid JSON these characters can only stand inside strings, where an escape means the same. */
void text_clean_json(struct buf *out, struct span s)
{
        while (s.n > 0) {
                uint32_t c = 0;
                size_t n = take_char(s, &c);
                if (n == 0)
                        buf_puts(out, REPLACEMENT);
                else if (is_harmful(c) && c >= 0x20)
                        buf_printf(out, "\\u%04x", c);
                else if (is_harmful(c) && c != '\n' && c != '\t' && c != '\r')
                        buf_putc(out, ' ');
                else
                        buf_put(out, s.p, n);
                n = n ? n : 1;
                s.p += n;
                s.n -= n;
        }
}

void text_bytes(struct buf *out, double bytes)
{
        static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
        size_t u = 0;

        while (bytes >= 999.5 && u + 1 < COUNT_OF(units)) {
                bytes /= 1000;
                u++;
        }
        buf_printf(out, u > 0 && bytes < 99.95 ? "%.1f %s" : "%.0f %s", bytes, units[u]);
}

void text_seconds(struct buf *out, double seconds)
{
        uint64_t s = seconds > 0 ? (uint64_t)(seconds + 0.5) : 0;

        if (s >= 3600)
                buf_printf(out, "%llu:%02u:%02u", (unsigned long long)(s / 3600), (unsigned)(s / 60 % 60),
                           (unsigned)(s % 60));
        else
                buf_printf(out, "%u:%02u", (unsigned)(s / 60), (unsigned)(s % 60));
}

size_t text_terminal_width(void)
{
        struct winsize w;
        const char *columns = getenv("COLUMNS");
        uint64_t n;

        if (!isatty(STDOUT_FILENO))
                return 0;
        if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0)
                return w.ws_col;
        return columns && span_u64(span_of(columns), &n) && n > 0 && n < 10000 ? (size_t)n : 80;
}

bool text_colours(void)
{
        const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

        return isatty(STDOUT_FILENO) && !(no && no[0]) && term && strcmp(term, "dumb") != 0;
}

void complain(const char *fmt, ...)
{
        struct buf raw, clean;
        va_list ap;

        buf_init(&raw, 64 * 1024);
        buf_init(&clean, 256 * 1024);
        va_start(ap, fmt);
        buf_vprintf(&raw, fmt, ap);
        va_end(ap);
        text_clean(&clean, buf_span(&raw));
        fprintf(stderr, "file-allocator: %s\n", buf_str(&clean));
        buf_done(&clean);
        buf_done(&raw);
}

void print_buf(const struct buf *b)
{
        if (buf_failed(b))
                complain("not enough memory to show all of it");
        fwrite(buf_str(b), 1, b->n, stdout);
}

void print_json(struct span json)
{
        struct buf b;

        buf_init(&b, (size_t)512 << 20);
        text_clean_json(&b, span_trim(json));
        buf_putc(&b, '\n');
        print_buf(&b);
        buf_done(&b);
}
