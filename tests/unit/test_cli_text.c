/* SPDX-License-Identifier: Apache-2.0 */
/* What reaches the terminal: harmless, of the right width, and in columns. */
#include <setjmp.h>
#include <string.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/cli_priv.h"

#define BAD "\xef\xbf\xbd"

static struct buf out;

static int setup(void **state)
{
        (void)state;
        text_locale();
        return 0;
}

static int each_setup(void **state)
{
        (void)state;
        buf_init(&out, 64 * 1024);
        return 0;
}

static int each_teardown(void **state)
{
        (void)state;
        buf_done(&out);
        return 0;
}

static void test_nothing_that_commands_a_terminal_passes(void **state)
{
        static const struct {
                struct span in;
                const char *clean;
        } cases[] = {
                {SPAN("plain K\303\244tzchen \xe7\x8c\xab"), "plain K\303\244tzchen \xe7\x8c\xab"},
                {SPAN("\033[31mred"), BAD "[31mred"},
                {SPAN("a\nb\tc\rd"), "a b c d"},
                {SPAN("a\0b"), "a" BAD "b"},
                {SPAN("del\x7f"), "del" BAD},
                {SPAN("csi\xc2\x9b"
                      "31m"),
                 "csi" BAD "31m"},
                {SPAN("evil\xe2\x80\xaegpj.exe"), "evil" BAD "gpj.exe"},
                {SPAN("\xff\xc3"), BAD BAD},
                {SPAN(""), ""},
        };

        (void)state;
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
                buf_reset(&out);
                text_clean(&out, cases[i].in);
                assert_string_equal(buf_str(&out), cases[i].clean);
        }
}

static void test_json_keeps_its_meaning_when_cleaned(void **state)
{
        (void)state;
        text_clean_json(&out, SPAN("{\"a\":\"\xc2\x9b\x7f\xe2\x80\xae \xc3\xa4\",\n\"b\":1}"));
        assert_string_equal(buf_str(&out), "{\"a\":\"\\u009b\\u007f\\u202e \xc3\xa4\",\n\"b\":1}");
}

static void test_width_counts_columns(void **state)
{
        (void)state;
        assert_int_equal(text_width(SPAN("abc")), 3);
        assert_int_equal(text_width(SPAN("K\303\244tzchen")), 8);
        assert_int_equal(text_width(SPAN("\xe7\x8c\xab\xe7\x8c\xab")), 4); /* two wide characters */
        assert_int_equal(text_width(SPAN("e\xcc\x81")), 1);                /* a combining accent */
}

static void test_a_cut_never_splits_a_character(void **state)
{
        (void)state;
        assert_int_equal(text_cut(&out, SPAN("\xe7\x8c\xab\xe7\x8c\xab\xe7\x8c\xab"), 4), 3);
        assert_string_equal(buf_str(&out), "\xe7\x8c\xab\xe2\x80\xa6");
        buf_reset(&out);
        assert_int_equal(text_cut(&out, SPAN("short"), 5), 5);
        assert_string_equal(buf_str(&out), "short");
        buf_reset(&out);
        assert_int_equal(text_cut(&out, SPAN("short"), 0), 0);
        assert_string_equal(buf_str(&out), "");
}

static void test_sizes_and_times_read_well(void **state)
{
        (void)state;
        text_bytes(&out, 0);
        buf_putc(&out, '|');
        text_bytes(&out, 999);
        buf_putc(&out, '|');
        text_bytes(&out, 1500);
        buf_putc(&out, '|');
        text_bytes(&out, 999999);
        buf_putc(&out, '|');
        text_bytes(&out, 45.2e6);
        buf_putc(&out, '|');
        text_bytes(&out, 123e9);
        buf_putc(&out, '|');
        text_seconds(&out, 125);
        buf_putc(&out, '|');
        text_seconds(&out, 3723);
        assert_string_equal(buf_str(&out), "0 B|999 B|1.5 kB|1.0 MB|45.2 MB|123 GB|2:05|1:02:03");
}

static const struct table_column columns[] = {{"N", true, false}, {"NAME", false, true}, {"ID"}};

static struct table *sample(void)
{
        struct table *t = cli_table_new(columns, COUNT_OF(columns));

        assert_non_null(t);
        cli_table_put(t, "1");
        cli_table_put(t, "a long name that does not fit");
        cli_table_put(t, "x1");
        cli_table_putf(t, "%d", 22);
        cli_table_put(t, "\xe7\x8c\xab");
        cli_table_put(t, NULL);
        return t;
}

static void test_a_table_is_as_wide_as_it_needs_in_a_pipe(void **state)
{
        struct table *t = sample();

        (void)state;
        assert_int_equal(cli_table_rows(t), 2);
        assert_int_equal(cli_table_render(t, 0, false, &out), 0);
        assert_string_equal(buf_str(&out), " N  NAME                           ID\n"
                                           " 1  a long name that does not fit  x1\n"
                                           "22  \xe7\x8c\xab\n");
        cli_table_free(t);
}

static void test_a_table_shrinks_to_the_terminal(void **state)
{
        struct table *t = sample();

        (void)state;
        assert_int_equal(cli_table_render(t, 20, false, &out), 0);
        assert_string_equal(buf_str(&out), " N  NAME          ID\n"
                                           " 1  a long name\xe2\x80\xa6  x1\n"
                                           "22  \xe7\x8c\xab\n");
        cli_table_free(t);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_nothing_that_commands_a_terminal_passes, each_setup,
                                                each_teardown),
                cmocka_unit_test_setup_teardown(test_json_keeps_its_meaning_when_cleaned, each_setup, each_teardown),
                cmocka_unit_test(test_width_counts_columns),
                cmocka_unit_test_setup_teardown(test_a_cut_never_splits_a_character, each_setup, each_teardown),
                cmocka_unit_test_setup_teardown(test_sizes_and_times_read_well, each_setup, each_teardown),
                cmocka_unit_test_setup_teardown(test_a_table_is_as_wide_as_it_needs_in_a_pipe, each_setup,
                                                each_teardown),
                cmocka_unit_test_setup_teardown(test_a_table_shrinks_to_the_terminal, each_setup, each_teardown),
        };

        return cmocka_run_group_tests(tests, setup, NULL);
}
