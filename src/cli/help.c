/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Help made from the table of commands: examples first, since they are what
 * people look for. Set for 80 columns.
 */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>

#define COLUMNS 80

/* Words of text from column `at` on, wrapped and indented to it. */
static void put_wrapped(struct buf *out, const char *text, size_t at)
{
        size_t column = at;
        struct span rest = span_of(text), word;

        for (bool first = true; span_cut(&rest, ' ', &word); first = false) {
                size_t w = text_width(word);
                if (!first && column + 1 + w > COLUMNS) {
                        buf_putc(out, '\n');
                        for (size_t i = 0; i < at; i++)
                                buf_putc(out, ' ');
                        column = at;
                } else if (!first) {
                        buf_putc(out, ' ');
                        column++;
                }
                buf_put(out, word.p, word.n);
                column += w;
        }
        buf_putc(out, '\n');
}

static void put_lines(struct buf *out, const char *lines)
{
        struct span rest = span_of(lines), line;

        while (rest.n > 0 && span_cut(&rest, '\n', &line))
                buf_printf(out, "  %.*s\n", (int)line.n, line.p);
}

static void put_options(struct buf *out, const struct cli_option *o)
{
        enum { AT = 26 };

        for (; o->name; o++) {
                struct buf left;
                size_t w;
                buf_init(&left, 256);
                if (o->letter)
                        buf_printf(&left, "  -%c, --%s", o->letter, o->name);
                else
                        buf_printf(&left, "      --%s", o->name);
                if (o->arg)
                        buf_printf(&left, " %s", o->arg);
                w = text_width(buf_span(&left));
                buf_puts(out, buf_str(&left));
                if (w + 2 > AT) {
                        buf_putc(out, '\n');
                        w = 0;
                }
                for (; w < AT; w++)
                        buf_putc(out, ' ');
                put_wrapped(out, o->help, AT);
                buf_done(&left);
        }
}

void help_overview(const struct cli_syntax *x, struct buf *out)
{
        buf_puts(out,
                 "File Allocator " FA_VERSION " keeps files, groups photos into folders and finds them by meaning.\n\n"
                 "Examples:\n"
                 "  file-allocator serve                       start the server on port 8000\n"
                 "  file-allocator ingest ~/Pictures           upload a folder; run it again to resume\n"
                 "  file-allocator search dog on a beach       find pictures by what they show\n"
                 "  file-allocator get ID                      download a file\n\n"
                 "Commands:\n");
        for (size_t i = 0; i < x->ncommands; i++)
                buf_printf(out, "  %-13s %s\n", x->commands[i].name, x->commands[i].summary);
        buf_puts(out, "\nOptions of every command:\n");
        put_options(out, x->globals);
        buf_puts(out, "\nExit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 partly failed,\n"
                      "4 server not reachable. \"file-allocator help COMMAND\" has the details.\n");
}

void help_command(const struct cli_syntax *x, const struct cli_command *cmd, struct buf *out)
{
        buf_printf(out, "%s: %s\n\nExamples:\n", cmd->name, cmd->summary);
        put_lines(out, cmd->examples);
        buf_printf(out, "\nUsage: file-allocator %s%s%s%s\n", cmd->name, cmd->options->name ? " [options]" : "",
                   cmd->usage[0] ? " " : "", cmd->usage);
        if (cmd->options->name) {
                buf_puts(out, "\nOptions:\n");
                put_options(out, cmd->options);
        }
        if (cmd->notes) {
                buf_putc(out, '\n');
                put_wrapped(out, cmd->notes, 0);
        }
        buf_puts(out, "\nOptions of every command:\n");
        put_options(out, x->globals);
}

int run_help(const struct cli *c)
{
        const struct cli_command *cmd = c->nwords > 0 ? cli_command_find(c->syntax, c->words[0]) : NULL;
        const char *argv[] = {"file-allocator", c->nwords > 0 ? c->words[0] : "help", NULL};
        struct cli other;
        struct err e;
        struct buf out;

        if (c->nwords > 0 && !cmd) { /* parsed again for the sake of its suggestion */
                if (cli_parse(&other, c->syntax, 2, (char **)argv, &e))
                        complain("%s", e.msg);
                cli_done(&other);
                return CLI_USAGE;
        }
        buf_init(&out, 64 * 1024);
        if (cmd)
                help_command(c->syntax, cmd, &out);
        else
                help_overview(c->syntax, &out);
        print_buf(&out);
        buf_done(&out);
        return CLI_OK;
}
