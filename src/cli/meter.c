/* SPDX-License-Identifier: Apache-2.0 */
/* The progress line at the bottom of a terminal. It is written to standard error, and only if that is a terminal. */
#include "cli/meter_priv.h"
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void meter_init(struct meter *m, bool quiet)
{
        *m = (struct meter){.on = !quiet && isatty(STDERR_FILENO), .start = mono_now()};
}

void meter_erase(struct meter *m)
{
        if (m->drawn)
                fputs("\r\033[K", stderr);
        m->drawn = false;
}

static void show_line(struct meter *m, struct span line)
{
        struct winsize w;
        size_t width = ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 1 ? w.ws_col : 80;
        struct buf cut;

        buf_init(&cut, 8192);
        text_cut(&cut, line, width - 1); /* a full line would wrap, and could not be erased */
        fprintf(stderr, "\r%s\033[K", buf_str(&cut));
        buf_done(&cut);
        m->drawn = true;
}

void meter_note(struct meter *m, const char *fmt, ...)
{
        struct buf line;
        va_list ap;

        if (!m->on)
                return;
        buf_init(&line, 1024);
        va_start(ap, fmt);
        buf_vprintf(&line, fmt, ap);
        va_end(ap);
        show_line(m, buf_span(&line));
        buf_done(&line);
}

static void put_bar(struct buf *line, double part)
{
        enum { BAR = 20 };

        buf_putc(line, '[');
        for (int i = 0; i < BAR; i++)
                buf_putc(line, i < (int)(part * BAR) ? '#' : '.');
        buf_puts(line, "] ");
}

static void put_left(struct buf *line, double elapsed, double part)
{
        if (elapsed > 2 && part > 0.001 && part < 1) {
                buf_puts(line, "  ");
                text_seconds(line, elapsed / part * (1 - part));
                buf_puts(line, " left");
        }
}

void meter_draw(struct meter *m, const struct meter_state *s)
{
        double elapsed = dur_seconds(mono_since(m->start));
        double part = s->bytes > 0 ? (double)s->bytes_done / (double)s->bytes : 1;
        struct buf line;

        if (!m->on)
                return;
        part = part > 1 ? 1 : part;
        buf_init(&line, 1024);
        put_bar(&line, part);
        buf_printf(&line, "%zu/%zu files  ", s->files_done, s->files);
        text_bytes(&line, (double)s->bytes_done);
        buf_puts(&line, " of ");
        text_bytes(&line, (double)s->bytes);
        if (elapsed > 0.5) {
                buf_puts(&line, "  ");
                text_bytes(&line, (double)s->bytes_sent / elapsed);
                buf_puts(&line, "/s");
        }
        put_left(&line, elapsed, part);
        show_line(m, buf_span(&line));
        buf_done(&line);
}

void meter_step(struct meter *m, const char *what, uint64_t done, uint64_t total)
{
        double part = total > 0 ? (double)done / (double)total : 0;
        struct buf line;

        if (m->what != what)
                m->start = mono_now();
        else if (!mono_reached(m->next))
                return;
        m->what = what;
        m->next = mono_add(mono_now(), dur_ms(100));
        if (!m->on)
                return;
        buf_init(&line, 1024);
        if (total > 0)
                put_bar(&line, part > 1 ? 1 : part);
        buf_printf(&line, "%s  %llu", what, (unsigned long long)done);
        if (total > 0)
                buf_printf(&line, "/%llu", (unsigned long long)total);
        put_left(&line, dur_seconds(mono_since(m->start)), part);
        show_line(m, buf_span(&line));
        buf_done(&line);
}
