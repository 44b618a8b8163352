/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arguments: options of the command and of the program in any order, before or
 * after the command's name. An unknown word is answered with the one that was
 * probably meant.
 */
#include "cli/cli_priv.h"

#include <stdio.h>
#include <string.h>

#define MAX_NAMES 64
#define MAX_WORD  32

/* Levenshtein distance with transpositions of neighbours (optimal string alignment); long words are not compared. */
static size_t edit_distance(const char *a, const char *b)
{
        size_t d[MAX_WORD + 1][MAX_WORD + 1];
        size_t na = strlen(a), nb = strlen(b);

        if (na > MAX_WORD || nb > MAX_WORD)
                return SIZE_MAX;
        for (size_t i = 0; i <= na; i++)
                d[i][0] = i;
        for (size_t j = 0; j <= nb; j++)
                d[0][j] = j;
        for (size_t i = 1; i <= na; i++)
                for (size_t j = 1; j <= nb; j++) {
                        size_t best = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
                        if (d[i - 1][j] + 1 < best)
                                best = d[i - 1][j] + 1;
                        if (d[i][j - 1] + 1 < best)
                                best = d[i][j - 1] + 1;
                        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                            d[i - 2][j - 2] + 1 < best)
                                best = d[i - 2][j - 2] + 1;
                        d[i][j] = best;
                }
        return d[na][nb];
}

const char *cli_nearest(const char *word, const char *const *names, size_t n)
{
        const char *nearest = NULL;
        size_t len = strlen(word), least = SIZE_MAX;

        for (size_t i = 0; i < n; i++) {
                size_t d = edit_distance(word, names[i]);
                if (len >= 2 && strncmp(word, names[i], len) == 0) /* the beginning of a name is a good guess too */
                        d = 1;
                if (d < least) {
                        least = d;
                        nearest = names[i];
                }
        }
        return least <= 1 + len / 4 && least < len ? nearest : NULL;
}

const struct cli_command *cli_command_find(const struct cli_syntax *x, const char *name)
{
        for (size_t i = 0; i < x->ncommands; i++)
                if (strcmp(x->commands[i].name, name) == 0)
                        return &x->commands[i];
        return NULL;
}

static int unknown_command(const struct cli_syntax *x, const char *word, struct err *e)
{
        const char *names[MAX_NAMES], *near;

        assert(x->ncommands <= MAX_NAMES);
        for (size_t i = 0; i < x->ncommands; i++)
                names[i] = x->commands[i].name;
        near = cli_nearest(word, names, x->ncommands);
        if (near)
                return err_set(e, ERR_INVALID, "there is no command \"%.60s\"; did you mean \"%s\"?", word, near);
        return err_set(e, ERR_INVALID, "there is no command \"%.60s\"; --help lists them", word);
}

static size_t names_of(const struct cli_option *o, const char **names, size_t n)
{
        for (; o && o->name; o++) {
                assert(n < MAX_NAMES);
                names[n++] = o->name;
        }
        return n;
}

static int unknown_option(const struct cli *c, const char *dashes, struct span word, struct err *e)
{
        const char *names[MAX_NAMES], *near;
        char text[MAX_WORD + 2];
        size_t n = names_of(c->command ? c->command->options : NULL, names, 0);
        const char *of = c->command ? c->command->name : "file-allocator";

        n = names_of(c->syntax->globals, names, n);
        snprintf(text, sizeof text, "%.*s", (int)word.n, word.p);
        near = cli_nearest(text, names, n);
        if (near)
                return err_set(e, ERR_INVALID, "%s has no option %s%s; did you mean --%s?", of, dashes, text, near);
        return err_set(e, ERR_INVALID, "%s has no option %s%s; \"%s --help\" lists them", of, dashes, text,
                       c->command ? of : "file-allocator");
}

static const struct cli_option *option_in(const struct cli_option *o, struct span name, char letter)
{
        for (; o && o->name; o++)
                if (letter ? o->letter == letter : span_eq(name, o->name))
                        return o;
        return NULL;
}

static const struct cli_option *option_find(const struct cli *c, struct span name, char letter)
{
        const struct cli_option *o = c->command ? option_in(c->command->options, name, letter) : NULL;

        return o ? o : option_in(c->syntax->globals, name, letter);
}

/* argv[*i] begins with a dash; *i moves on when its value is the next word. */
static int take_option(struct cli *c, int argc, char **argv, int *i, struct err *e)
{
        const char *word = argv[*i], *value = NULL;
        bool is_long = word[1] == '-';
        struct span name = is_long ? span_of(word + 2) : (struct span){word + 1, 1};
        const char *equals = is_long ? strchr(word, '=') : NULL;
        const struct cli_option *o;

        if (equals) {
                name.n = (size_t)(equals - name.p);
                value = equals + 1;
        } else if (!is_long && word[2]) {
                value = word + 2;
        }
        o = option_find(c, name, is_long ? 0 : word[1]);
        if (!o)
                return unknown_option(c, is_long ? "--" : "-", name, e);
        if (!o->arg && value)
                return err_set(e, ERR_INVALID, "--%s takes no value", o->name);
        if (o->arg && !value) {
                if (*i + 1 >= argc)
                        return err_set(e, ERR_INVALID, "--%s needs a value: %s", o->name, o->arg);
                value = argv[++*i];
        }
        c->given[c->ngiven++] = (struct cli_given){o, value};
        return 0;
}

static int check_words(const struct cli *c, struct err *e)
{
        const struct cli_command *cmd = c->command;

        if (!cmd || cli_has(c, "help") || cli_has(c, "version"))
                return 0;
        if (c->nwords < cmd->min_words)
                return err_set(e, ERR_INVALID, "%s needs: %s", cmd->name, cmd->usage);
        if (c->nwords > cmd->max_words)
                return err_set(e, ERR_INVALID, "%s: unexpected argument \"%.60s\"", cmd->name,
                               c->words[cmd->max_words]);
        return 0;
}

int cli_parse(struct cli *c, const struct cli_syntax *x, int argc, char **argv, struct err *e)
{
        bool only_words = false;

        *c = (struct cli){.syntax = x};
        c->words = mem_calloc((size_t)argc + 1, sizeof *c->words);
        c->given = mem_calloc((size_t)argc + 1, sizeof *c->given);
        if (!c->words || !c->given)
                return err_oom(e);
        for (int i = 1; i < argc; i++) {
                if (!only_words && strcmp(argv[i], "--") == 0) {
                        only_words = true;
                } else if (!only_words && argv[i][0] == '-' && argv[i][1]) {
                        if (take_option(c, argc, argv, &i, e))
                                return -1;
                } else if (!c->command) {
                        c->command = cli_command_find(x, argv[i]);
                        if (!c->command)
                                return unknown_command(x, argv[i], e);
                } else {
                        c->words[c->nwords++] = argv[i];
                }
        }
        return check_words(c, e);
}

void cli_done(struct cli *c)
{
        mem_free(c->words);
        mem_free(c->given);
        *c = (struct cli){0};
}

const char *cli_value_at(const struct cli *c, const char *name, size_t i)
{
        const struct cli_option *o = option_find(c, span_of(name), 0);

        assert(o);
        for (size_t k = 0; k < c->ngiven; k++)
                if (c->given[k].option == o && i-- == 0)
                        return c->given[k].value ? c->given[k].value : "";
        return NULL;
}

const char *cli_value(const struct cli *c, const char *name)
{
        const char *last = NULL, *v;

        for (size_t i = 0; (v = cli_value_at(c, name, i)); i++)
                last = v;
        return last;
}

bool cli_has(const struct cli *c, const char *name)
{
        return cli_value(c, name) != NULL;
}

int cli_number(const struct cli *c, const char *name, double min, double max, double *out)
{
        const char *text = cli_value(c, name);
        double v;

        if (!text)
                return 0;
        if (!span_f64(span_of(text), &v) || v < min || v > max) {
                complain("--%s: \"%s\" is not a number from %g to %g", name, text, min, max);
                return -1;
        }
        *out = v;
        return 0;
}
