/* SPDX-License-Identifier: Apache-2.0 */
/* One line at the bottom of a terminal that says how far the work is. On standard error, and only when that is a
 * terminal. */
#include "cli/ingest_priv.h"

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

static void show(struct meter *m, struct span line)
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
        show(m, buf_span(&line));
        buf_done(&line);
}

void meter_draw(struct meter *m, const struct meter_state *s)
{
        enum { BAR = 20 };
        double elapsed = dur_seconds(mono_since(m->start));
        double part = s->bytes > 0 ? (double)s->bytes_done / (double)s->bytes : 1;
        struct buf line;

        if (!m->on)
                return;
        part = part > 1 ? 1 : part;
        buf_init(&line, 1024);
        buf_putc(&line, '[');
        for (int i = 0; i < BAR; i++)
                buf_putc(&line, i < (int)(part * BAR) ? '#' : '.');
        buf_printf(&line, "] %zu/%zu files  ", s->files_done, s->files);
        text_bytes(&line, (double)s->bytes_done);
        buf_puts(&line, " of ");
        text_bytes(&line, (double)s->bytes);
        if (elapsed > 0.5) {
                buf_puts(&line, "  ");
                text_bytes(&line, (double)s->bytes_sent / elapsed);
                buf_puts(&line, "/s");
        }
        if (elapsed > 2 && part > 0.001 && part < 1) {
                buf_puts(&line, "  ");
                text_seconds(&line, elapsed / part * (1 - part));
                buf_puts(&line, " left");
        }
        show(m, buf_span(&line));
        buf_done(&line);
}
