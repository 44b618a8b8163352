/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Columns of text. Into a pipe they are as wide as their longest cell, so that
 * nothing is lost; on a terminal the widest ones that may shrink give way until
 * the row fits.
 */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>

#define GAP        2
#define NARROWEST  6
#define MAX_COLUMN 12
#define MAX_CELL   (64 * 1024)
#define MAX_BYTES  ((size_t)256 << 20)

struct table {
        const struct table_column *columns;
        size_t ncolumns;
        char **cells;
        size_t n, cap;
        struct arena *mem;
        bool failed;
};

struct table *cli_table_new(const struct table_column *columns, size_t n)
{
        struct table *t = mem_calloc(1, sizeof *t);

        assert(n > 0 && n <= MAX_COLUMN);
        if (!t)
                return NULL;
        t->columns = columns;
        t->ncolumns = n;
        t->mem = arena_new(MAX_BYTES);
        if (!t->mem) {
                mem_free(t);
                return NULL;
        }
        return t;
}

void cli_table_free(struct table *t)
{
        if (!t)
                return;
        arena_free(t->mem);
        mem_free(t->cells);
        mem_free(t);
}

void cli_table_put(struct table *t, const char *text)
{
        struct buf clean;

        if (t->failed)
                return;
        buf_init(&clean, MAX_CELL);
        text_clean(&clean, span_of(text));
        if (mem_grow((void **)&t->cells, &t->cap, t->n + 1, sizeof *t->cells) == 0)
                t->cells[t->n] = arena_strdup(t->mem, buf_str(&clean));
        t->failed = t->n >= t->cap || !t->cells[t->n];
        t->n += !t->failed;
        buf_done(&clean);
}

void cli_table_putf(struct table *t, const char *fmt, ...)
{
        struct buf text;
        va_list ap;

        buf_init(&text, MAX_CELL);
        va_start(ap, fmt);
        buf_vprintf(&text, fmt, ap);
        va_end(ap);
        cli_table_put(t, buf_str(&text));
        buf_done(&text);
}

size_t cli_table_rows(const struct table *t)
{
        return t->n / t->ncolumns;
}

static void fit_columns(const struct table *t, size_t width, size_t *w)
{
        size_t total = GAP * (t->ncolumns - 1);

        for (size_t c = 0; c < t->ncolumns; c++) {
                w[c] = text_width(span_of(t->columns[c].title));
                for (size_t i = c; i < t->n; i += t->ncolumns) {
                        size_t cell = text_width(span_of(t->cells[i]));
                        w[c] = cell > w[c] ? cell : w[c];
                }
                total += w[c];
        }
        while (width > 0 && total > width) {
                size_t widest = t->ncolumns;
                for (size_t c = 0; c < t->ncolumns; c++)
                        if (t->columns[c].shrink && w[c] > NARROWEST && (widest == t->ncolumns || w[c] > w[widest]))
                                widest = c;
                if (widest == t->ncolumns)
                        return; /* too narrow for any table: let the terminal wrap it */
                w[widest]--;
                total--;
        }
}

static void put_spaces(struct buf *out, size_t n)
{
        while (n-- > 0)
                buf_putc(out, ' ');
}

static void render_row(const struct table *t, const size_t *w, char *const *cells, struct buf *out)
{
        size_t owed = 0; /* padding is only written before more text, so that lines do not end in spaces */

        for (size_t c = 0; c < t->ncolumns; c++) {
                const char *text = cells ? cells[c] : t->columns[c].title;
                size_t used = text_width(span_of(text));
                used = used < w[c] ? used : w[c];
                if (t->columns[c].right)
                        owed += w[c] - used;
                if (used > 0) {
                        put_spaces(out, owed);
                        owed = w[c] - text_cut(out, span_of(text), w[c]);
                        if (t->columns[c].right)
                                owed = 0;
                } else {
                        owed += t->columns[c].right ? 0 : w[c];
                }
                owed += GAP;
        }
}

int cli_table_render(const struct table *t, size_t width, bool bold, struct buf *out)
{
        size_t w[MAX_COLUMN];

        if (t->failed)
                return -1;
        assert(t->n % t->ncolumns == 0);
        fit_columns(t, width, w);
        if (bold)
                buf_puts(out, "\033[1m");
        render_row(t, w, NULL, out);
        buf_puts(out, bold ? "\033[0m\n" : "\n");
        for (size_t i = 0; i < t->n; i += t->ncolumns) {
                render_row(t, w, &t->cells[i], out);
                buf_putc(out, '\n');
        }
        return buf_failed(out) ? -1 : 0;
}

void cli_table_print(const struct table *t)
{
        struct buf out;

        buf_init(&out, MAX_BYTES);
        if (cli_table_render(t, text_terminal_width(), text_colours(), &out))
                complain("not enough memory for the table");
        else
                print_buf(&out);
        buf_done(&out);
}

void print_fields(const struct json *doc)
{
        static const struct table_column columns[] = {{"FIELD"}, {"VALUE"}};
        struct table *t = cli_table_new(columns, COUNT_OF(columns));

        for (void *it = json_iter(doc); t && it; it = json_next(doc, it)) {
                const struct json *v = json_iter_value(it);
                struct buf text;
                buf_init(&text, 1 << 20);
                if (json_is_string(v))
                        buf_put(&text, json_span(v).p, json_span(v).n);
                else if (!json_is_null(v))
                        json_dump(v, &text);
                cli_table_put(t, json_iter_key(it));
                cli_table_put(t, buf_str(&text));
                buf_done(&text);
        }
        if (t)
                cli_table_print(t);
        cli_table_free(t);
}
