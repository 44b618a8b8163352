/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges, ETag lists, HTTP dates and Content-Disposition, as tables of texts and what they mean. */
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "http/range.h"

static void ranges_follow_rfc_9110(void **state)
{
        static const struct {
                const char *text;
                uint64_t size;
                enum range_kind kind;
                uint64_t first, length;
        } rows[] = {
                {"bytes=0-0", 10, RANGE_PART, 0, 1},
                {"bytes=2-5", 10, RANGE_PART, 2, 4},
                {"bytes=2-", 10, RANGE_PART, 2, 8},
                {"bytes=-3", 10, RANGE_PART, 7, 3},
                {"bytes=-30", 10, RANGE_PART, 0, 10},
                {"bytes=9-99", 10, RANGE_PART, 9, 1},
                {"BYTES=0-1", 10, RANGE_PART, 0, 2},
                {"bytes=0-18446744073709551615", 10, RANGE_PART, 0, 10},
                {"bytes=10-", 10, RANGE_UNSATISFIABLE, 0, 0},
                {"bytes=-0", 10, RANGE_UNSATISFIABLE, 0, 0},
                {"bytes=0-", 0, RANGE_UNSATISFIABLE, 0, 0},
                {"bytes=-1", 0, RANGE_UNSATISFIABLE, 0, 0},
                {"bytes=0-1,3-4", 10, RANGE_WHOLE, 0, 0},
                {"bytes=5-2", 10, RANGE_WHOLE, 0, 0},
                {"bytes=-", 10, RANGE_WHOLE, 0, 0},
                {"bytes=a-b", 10, RANGE_WHOLE, 0, 0},
                {"bytes=+1-2", 10, RANGE_WHOLE, 0, 0},
                {"bytes=--1", 10, RANGE_WHOLE, 0, 0},
                {"bytes=", 10, RANGE_WHOLE, 0, 0},
                {"items=0-1", 10, RANGE_WHOLE, 0, 0},
                {"", 10, RANGE_WHOLE, 0, 0},
                {"bytes=99999999999999999999-", 10, RANGE_WHOLE, 0, 0},
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                uint64_t first = 0, length = 0;
                enum range_kind kind = range_parse(span_of(rows[i].text), rows[i].size, &first, &length);
                if (kind != rows[i].kind ||
                    (kind == RANGE_PART && (first != rows[i].first || length != rows[i].length)))
                        fail_msg("%s of %d: kind %d first %d length %d", rows[i].text, (int)rows[i].size, kind,
                                 (int)first, (int)length);
        }
}

static void etag_lists_compare_weakly(void **state)
{
        (void)state;
        assert_true(etag_list_matches(SPAN("\"a\""), "a"));
        assert_true(etag_list_matches(SPAN("W/\"a\""), "a"));
        assert_true(etag_list_matches(SPAN("\"x\", W/\"y\" ,\"a\""), "a"));
        assert_true(etag_list_matches(SPAN("*"), "a"));
        assert_false(etag_list_matches(SPAN("a"), "a"));
        assert_false(etag_list_matches(SPAN("\"b\""), "a"));
        assert_false(etag_list_matches(SPAN("\""), "a"));
        assert_false(etag_list_matches(SPAN("*"), NULL));
        assert_true(etag_strong_equal(SPAN("\"a\""), "a"));
        assert_false(etag_strong_equal(SPAN("W/\"a\""), "a"));
}

static void dates_go_there_and_back(void **state)
{
        char text[HTTP_DATE_LEN];
        int64_t t;
        (void)state;
        assert_string_equal(http_date_format((struct wall){784111777000000}, text), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_true(http_date_parse(span_of(text), &t));
        assert_int_equal(t, 784111777);
        assert_false(http_date_parse(SPAN("Sunday, 06-Nov-94 08:49:37 GMT"), &t));
        assert_false(http_date_parse(SPAN("Sun, 06 Nov 1994 08:49:37 CET"), &t));
        assert_false(http_date_parse(SPAN("Sun, 06 Xxx 1994 08:49:37 GMT"), &t));
        assert_false(http_date_parse(SPAN("Sun, 99 Nov 1994 08:49:37 GMT"), &t));
        assert_false(http_date_parse(SPAN(""), &t));
}

static void expect_disposition(bool attachment, const char *filename, const char *wanted)
{
        struct buf b;
        buf_init(&b, 8192);
        disposition_put(&b, attachment, filename);
        assert_string_equal(buf_str(&b), wanted);
        buf_done(&b);
}

static void no_filename_leaves_its_quotes(void **state)
{
        (void)state;
        expect_disposition(true, NULL, "attachment");
        expect_disposition(false, "a.png", "inline; filename=\"a.png\"; filename*=UTF-8''a.png");
        expect_disposition(true, "\xc3\xa4 \"b\".txt",
                           "attachment; filename=\"_ _b_.txt\"; filename*=UTF-8''%C3%A4%20%22b%22.txt");
        expect_disposition(
                true, "a\r\nSet-Cookie: x=1",
                "attachment; filename=\"a__Set-Cookie: x=1\"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x%3D1");
        expect_disposition(true, "100%41;\\", "attachment; filename=\"100_41__\"; filename*=UTF-8''100%2541%3B%5C");
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(ranges_follow_rfc_9110),
                cmocka_unit_test(etag_lists_compare_weakly),
                cmocka_unit_test(dates_go_there_and_back),
                cmocka_unit_test(no_filename_leaves_its_quotes),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
