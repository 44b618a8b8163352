/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments, suggestions and help of the command line, straight from its table of commands. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli_priv.h"

#define MAX_ARGS 16

/* Parses the words given, NULL at the end. */
static int parse(struct cli *c, struct err *e, const char *const *words)
{
        char *argv[MAX_ARGS] = {(char *)"file-allocator"};
        int argc = 1;

        for (; words[argc - 1]; argc++)
                argv[argc] = (char *)words[argc - 1];
        return cli_parse(c, &cli_syntax, argc, argv, e);
}
#define PARSE(c, e, ...) parse(c, e, (const char *const[]){__VA_ARGS__, NULL})

static void test_options_stand_anywhere(void **state)
{
        struct cli c;
        struct err e;

        (void)state;
        assert_int_equal(PARSE(&c, &e, "--url", "http://x", "search", "red", "--limit=3", "dog", "-oanna", "--json",
                               "--", "--owner"),
                         0);
        assert_string_equal(c.command->name, "search");
        assert_int_equal(c.nwords, 3);
        assert_string_equal(c.words[1], "dog");
        assert_string_equal(c.words[2], "--owner");
        assert_string_equal(cli_value(&c, "url"), "http://x");
        assert_string_equal(cli_value(&c, "limit"), "3");
        assert_string_equal(cli_value(&c, "owner"), "anna");
        assert_true(cli_has(&c, "json"));
        assert_false(cli_has(&c, "threshold"));
        cli_done(&c);
}

static void test_a_repeated_option_keeps_all_and_the_last_counts(void **state)
{
        struct cli c;
        struct err e;

        (void)state;
        assert_int_equal(PARSE(&c, &e, "ingest", "-i", "*.jpg", "--include", "*.png", "-j", "2", "-j", "8", "."), 0);
        assert_string_equal(cli_value_at(&c, "include", 0), "*.jpg");
        assert_string_equal(cli_value_at(&c, "include", 1), "*.png");
        assert_null(cli_value_at(&c, "include", 2));
        assert_string_equal(cli_value(&c, "jobs"), "8");
        cli_done(&c);
}

static void test_a_lone_dash_is_a_word(void **state)
{
        struct cli c;
        struct err e;

        (void)state;
        assert_int_equal(PARSE(&c, &e, "get", "-o", "-", "ID"), 0);
        assert_string_equal(cli_value(&c, "output"), "-");
        assert_int_equal(c.nwords, 1);
        cli_done(&c);
}

static void test_mistakes_are_answered_with_what_was_meant(void **state)
{
        static const struct {
                const char *words[4];
                const char *says;
        } cases[] = {
                {{"serch", "x"}, "did you mean \"search\"?"},
                {{"ingets", "x"}, "did you mean \"ingest\"?"},
                {{"heal"}, "did you mean \"healthcheck\"?"},
                {{"frobnicate"}, "--help lists them"},
                {{"search", "--limt=3", "x"}, "did you mean --limit?"},
                {{"search", "--treshold", "x"}, "did you mean --threshold?"},
                {{"serve", "--prot", "1"}, "did you mean --port?"},
                {{"search", "-Z", "x"}, "has no option -Z"},
                {{"search"}, "search needs: QUERY"},
                {{"version", "now"}, "version: unexpected argument \"now\""},
                {{"search", "x", "--limit"}, "--limit needs a value"},
                {{"search", "x", "--json=1"}, "--json takes no value"},
        };

        (void)state;
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
                struct cli c;
                struct err e = {0};
                assert_int_equal(parse(&c, &e, cases[i].words), -1);
                if (!strstr(e.msg, cases[i].says))
                        print_error("\"%s\" does not say \"%s\"\n", e.msg, cases[i].says);
                assert_non_null(strstr(e.msg, cases[i].says));
                cli_done(&c);
        }
}

static void test_help_needs_no_words(void **state)
{
        struct cli c;
        struct err e;

        (void)state;
        assert_int_equal(PARSE(&c, &e, "search", "--help"), 0);
        assert_true(cli_has(&c, "help"));
        cli_done(&c);
}

static void test_numbers_have_limits(void **state)
{
        struct cli c;
        struct err e;
        double n = 7;

        (void)state;
        assert_int_equal(PARSE(&c, &e, "ingest", "--jobs", "4", "."), 0);
        assert_int_equal(cli_number(&c, "jobs", 1, 32, &n), 0);
        assert_true(n == 4);
        cli_done(&c);
        assert_int_equal(PARSE(&c, &e, "ingest", "--jobs", "4x", "."), 0);
        assert_int_equal(cli_number(&c, "jobs", 1, 32, &n), -1);
        cli_done(&c);
        assert_int_equal(PARSE(&c, &e, "ingest", "--jobs", "33", "."), 0);
        assert_int_equal(cli_number(&c, "jobs", 1, 32, &n), -1);
        cli_done(&c);
        assert_int_equal(PARSE(&c, &e, "ingest", "."), 0);
        n = 7;
        assert_int_equal(cli_number(&c, "jobs", 1, 32, &n), 0);
        assert_true(n == 7);
        cli_done(&c);
}

static void test_the_table_is_sound(void **state)
{
        (void)state;
        for (size_t i = 0; i < cli_syntax.ncommands; i++) {
                const struct cli_command *cmd = &cli_syntax.commands[i];
                assert_ptr_equal(cli_command_find(&cli_syntax, cmd->name), cmd);
                assert_non_null(cmd->run);
                assert_non_null(strstr(cmd->examples, cmd->name));
                assert_true(cmd->min_words <= cmd->max_words);
                for (const struct cli_option *o = cmd->options; o->name; o++) {
                        for (const struct cli_option *p = cli_syntax.globals; p->name; p++) {
                                assert_string_not_equal(o->name, p->name);
                                assert_false(o->letter && o->letter == p->letter);
                        }
                        for (const struct cli_option *p = cmd->options; p < o; p++) {
                                assert_string_not_equal(o->name, p->name);
                                assert_false(o->letter && o->letter == p->letter);
                        }
                }
        }
}

static void test_help_fits_eighty_columns_and_begins_with_examples(void **state)
{
        (void)state;
        for (size_t i = 0; i < cli_syntax.ncommands; i++) {
                struct buf b;
                struct span rest, line;
                buf_init(&b, 64 * 1024);
                help_command(&cli_syntax, &cli_syntax.commands[i], &b);
                assert_false(buf_failed(&b));
                assert_true(strstr(buf_str(&b), "Examples:") < strstr(buf_str(&b), "Usage:"));
                rest = buf_span(&b);
                while (span_cut(&rest, '\n', &line))
                        if (text_width(line) > 80)
                                fail_msg("%s: %.*s", cli_syntax.commands[i].name, (int)line.n, line.p);
                buf_done(&b);
        }
}

static void test_every_command_is_in_the_manual(void **state)
{
        struct err e;
        char *manual;
        size_t n;

        (void)state;
        assert_int_equal(file_read_all(PROJECT_DIR "/docs/cli.md", 1 << 20, &manual, &n, &e), 0);
        for (size_t i = 0; i < cli_syntax.ncommands; i++) {
                char heading[64];
                snprintf(heading, sizeof heading, "`%s", cli_syntax.commands[i].name);
                if (!strstr(manual, heading))
                        fail_msg("docs/cli.md does not mention %s", cli_syntax.commands[i].name);
                for (const struct cli_option *o = cli_syntax.commands[i].options; o->name; o++) {
                        snprintf(heading, sizeof heading, "`--%s", o->name);
                        if (!strstr(manual, heading))
                                fail_msg("docs/cli.md does not mention --%s", o->name);
                }
        }
        mem_free(manual);
}

static int setup(void **state)
{
        (void)state;
        text_locale();
        return 0;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_options_stand_anywhere),
                cmocka_unit_test(test_a_repeated_option_keeps_all_and_the_last_counts),
                cmocka_unit_test(test_a_lone_dash_is_a_word),
                cmocka_unit_test(test_mistakes_are_answered_with_what_was_meant),
                cmocka_unit_test(test_help_needs_no_words),
                cmocka_unit_test(test_numbers_have_limits),
                cmocka_unit_test(test_the_table_is_sound),
                cmocka_unit_test(test_help_fits_eighty_columns_and_begins_with_examples),
                cmocka_unit_test(test_every_command_is_in_the_manual),
        };

        return cmocka_run_group_tests(tests, setup, NULL);
}
