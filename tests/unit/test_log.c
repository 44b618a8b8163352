/* SPDX-License-Identifier: Apache-2.0 */
/* log: what one event looks like on stderr. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "json/json.h"
#include "log/log.h"

static int capture_fd = -1, real_stderr = -1;
static char captured[65536];

static void capture_begin(void)
{
        fflush(stderr);
        real_stderr = dup(STDERR_FILENO);
        capture_fd = memfd_create("log", 0);
        dup2(capture_fd, STDERR_FILENO);
}

static const char *capture_end(void)
{
        ssize_t n;

        dup2(real_stderr, STDERR_FILENO);
        fd_close(&real_stderr);
        n = pread(capture_fd, captured, sizeof captured - 1, 0);
        captured[n > 0 ? n : 0] = '\0';
        fd_close(&capture_fd);
        return captured;
}

static struct json *only_line(const char *text)
{
        size_t n = strlen(text);
        struct err e = {0};
        struct json *doc;

        assert_true(n > 0 && text[n - 1] == '\n');
        assert_true(strchr(text, '\n') == text + n - 1);
        doc = json_parse((struct span){text, n}, &e);
        assert_string_equal(e.msg, "");
        assert_non_null(doc);
        return doc;
}

static void a_json_line_carries_message_context_and_fields(void **state)
{
        const struct log_field fields[] = {LOG_STR("path", "/a \"b\""), LOG_NUM("bytes", 1234567),
                                           LOG_NUM("share", 0.25), LOG_STR("none", NULL)};
        struct json *doc;
        struct wall t;

        (void)state;
        log_init(LOG_INFO, LOG_JSON);
        log_context_clear();
        snprintf(log_context()->job_id, ID_TEXT_LEN, "job-1");
        capture_begin();
        log_write(LOG_WARNING, "storage", fields, COUNT_OF(fields), "opened\n%d", 7);
        doc = only_line(capture_end());
        log_context_clear();
        assert_true(wall_parse(json_span(json_get(doc, "timestamp")), &t));
        assert_string_equal(json_get_str(doc, "level", ""), "WARNING");
        assert_string_equal(json_get_str(doc, "logger", ""), "storage");
        assert_string_equal(json_get_str(doc, "message", ""), "opened\n7");
        assert_string_equal(json_get_str(doc, "job_id", ""), "job-1");
        assert_true(json_is_null(json_get(doc, "request_id")));
        assert_string_equal(json_get_str(doc, "path", ""), "/a \"b\"");
        assert_int_equal(json_get_int(doc, "bytes", 0), 1234567);
        assert_true(json_get_num(doc, "share", 0) == 0.25);
        assert_string_equal(json_get_str(doc, "none", "absent"), "");
        json_free(doc);
}

static void lines_below_the_level_are_not_written(void **state)
{
        (void)state;
        log_init(LOG_WARNING, LOG_JSON);
        capture_begin();
        log_info("x", "quiet");
        log_write(LOG_DEBUG, "x", NULL, 0, "quiet");
        assert_string_equal(capture_end(), "");
        capture_begin();
        log_error("x", "loud");
        assert_non_null(strstr(capture_end(), "loud"));
}

static void text_lines_cannot_be_forged(void **state)
{
        const struct log_field fields[] = {LOG_STR("a", "plain"), LOG_STR("b", "two words\n")};
        const char *line;

        (void)state;
        log_init(LOG_INFO, LOG_TEXT);
        capture_begin();
        log_write(LOG_INFO, "http", fields, COUNT_OF(fields), "bad\nname \x1b[31m");
        line = capture_end();
        assert_non_null(strstr(line, "Z INFO    http: bad\\nname \\x1b[31m a=plain b=\"two words\\n\"\n"));
        assert_true(strchr(line, '\n') == line + strlen(line) - 1);
}

static void a_long_line_is_cut_but_stays_json(void **state)
{
        static char big[5000];
        struct log_field fields[20];
        struct json *doc;

        (void)state;
        memset(big, '\x01', sizeof big - 1);
        for (size_t i = 0; i < COUNT_OF(fields); i++)
                fields[i] = LOG_STR("field", big);
        log_init(LOG_INFO, LOG_JSON);
        capture_begin();
        log_write(LOG_INFO, "x", fields, 1, "%s", big);
        doc = only_line(capture_end());
        assert_true(json_span(json_get(doc, "message")).n > 100);
        json_free(doc);
        for (size_t i = 0; i < sizeof big - 4; i += 3)
                memcpy(big + i, "€", 4);
        for (size_t i = 0; i < COUNT_OF(fields); i++)
                fields[i] = (struct log_field){"abcdefghijklmnopqrst" + i, big, 0};
        capture_begin();
        log_write(LOG_INFO, "x", fields, COUNT_OF(fields), "%s", big);
        doc = only_line(capture_end());
        assert_true(strlen(captured) <= PIPE_BUF);
        assert_true(json_count(doc) > 5);
        json_free(doc);
}

static void logging_keeps_errno_and_needs_no_memory(void **state)
{
        (void)state;
        log_init(LOG_INFO, LOG_JSON);
        capture_begin();
        mem_fail_after(0);
        errno = EBADMSG;
        log_info("x", "still here");
        assert_int_equal(errno, EBADMSG);
        mem_fail_after(-1);
        assert_non_null(strstr(capture_end(), "still here"));
}

static void level_names_are_read_in_any_case(void **state)
{
        enum log_level level = LOG_INFO;

        (void)state;
        assert_true(log_level_parse(SPAN("debug"), &level) && level == LOG_DEBUG);
        assert_true(log_level_parse(SPAN("Warn"), &level) && level == LOG_WARNING);
        assert_true(log_level_parse(SPAN("WARNING"), &level) && level == LOG_WARNING);
        assert_true(log_level_parse(SPAN("ERROR"), &level) && level == LOG_ERROR);
        assert_false(log_level_parse(SPAN("LOUD"), &level));
        assert_false(log_level_parse(SPAN(""), &level));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_json_line_carries_message_context_and_fields),
                cmocka_unit_test(lines_below_the_level_are_not_written),
                cmocka_unit_test(text_lines_cannot_be_forged),
                cmocka_unit_test(a_long_line_is_cut_but_stays_json),
                cmocka_unit_test(logging_keeps_errno_and_needs_no_memory),
                cmocka_unit_test(level_names_are_read_in_any_case),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
