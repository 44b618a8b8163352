/* SPDX-License-Identifier: Apache-2.0 */
/* json: what is read, what is refused, and what is written. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "json/json.h"

static struct json *must_parse(const char *text)
{
        struct err e = {0};
        struct json *doc = json_parse(span_of(text), &e);

        assert_string_equal(e.msg, "");
        assert_non_null(doc);
        return doc;
}

static void values_are_found_by_key_and_type(void **state)
{
        struct json *doc = must_parse("{\"s\":\"x\",\"i\":-5,\"r\":1.5,\"t\":true,\"n\":null,\"a\":[1,2,3]}");

        (void)state;
        assert_true(json_is_object(doc));
        assert_int_equal(json_count(doc), 6);
        assert_string_equal(json_get_str(doc, "s", "no"), "x");
        assert_int_equal(json_get_int(doc, "i", 0), -5);
        assert_true(json_get_num(doc, "r", 0) == 1.5);
        assert_true(json_get_num(doc, "i", 0) == -5);
        assert_true(json_get_bool(doc, "t", false));
        assert_true(json_is_null(json_get(doc, "n")) && json_get(doc, "n"));
        assert_null(json_get(doc, "absent"));
        assert_int_equal(json_int(json_at(json_get(doc, "a"), 2)), 3);
        assert_null(json_at(json_get(doc, "a"), 3));
        json_free(doc);
        json_free(NULL);
}

static void a_value_of_another_type_gives_the_fallback(void **state)
{
        struct json *doc = must_parse("{\"s\":\"x\",\"r\":1.5,\"a\":[]}");

        (void)state;
        assert_int_equal(json_get_int(doc, "s", 9), 9);
        assert_int_equal(json_get_int(doc, "r", 9), 9);
        assert_true(json_get_bool(doc, "s", true));
        assert_string_equal(json_get_str(doc, "r", "f"), "f");
        assert_null(json_str(json_get(doc, "r")));
        assert_int_equal(json_span(NULL).n, 0);
        assert_true(json_num(json_get(doc, "s")) == 0);
        assert_null(json_get(json_get(doc, "a"), "s"));
        assert_null(json_iter(json_get(doc, "a")));
        json_free(doc);
}

static void objects_are_walked_in_their_order(void **state)
{
        struct json *doc = must_parse("{\"z\":1,\"a\":2,\"m\":3}");
        char keys[8] = "";
        size_t n = 0;

        (void)state;
        for (void *it = json_iter(doc); it; it = json_next(doc, it)) {
                keys[n++] = json_iter_key(it)[0];
                assert_int_equal(json_int(json_iter_value(it)), n);
        }
        assert_string_equal(keys, "zam");
        json_free(doc);
}

static void any_single_value_is_a_document(void **state)
{
        static const char *const texts[] = {"1", "\"x\"", "null", "true", " [ ] ", "9223372036854775807"};

        (void)state;
        for (size_t i = 0; i < COUNT_OF(texts); i++)
                json_free(must_parse(texts[i]));
}

static void bad_documents_are_refused_with_a_place(void **state)
{
        static const char *const texts[] = {"",    "{",           "[1,]",   "{\"a\":1,\"a\":2}",   "[1] x",
                                            "nan", "\"\\u0000\"", "'x'",    "9223372036854775808", "\"\xFF\"",
                                            "01",  "1e999",       "\"\n\"", "{\"a\" 1}",           "\"\\ud800\""};

        (void)state;
        for (size_t i = 0; i < COUNT_OF(texts); i++) {
                struct err e = {0};
                assert_null(json_parse(span_of(texts[i]), &e));
                assert_int_equal(e.code, ERR_INVALID);
                assert_memory_equal(e.msg, "line ", 5);
        }
}

static void nesting_ends_at_sixty_four(void **state)
{
        char text[300] = "";
        struct err e = {0};
        struct json *doc;
        struct buf out;

        (void)state;
        memset(text, '[', 64);
        memset(text + 64, ']', 64);
        doc = must_parse(text);
        buf_init(&out, 1000);
        json_dump(doc, &out);
        assert_string_equal(buf_str(&out), text);
        json_free(doc);
        memset(text, '[', 65);
        memset(text + 65, ']', 65);
        assert_null(json_parse(span_of(text), &e));
        assert_non_null(strstr(e.msg, "line 1 column 65: more than 64 levels"));
        buf_done(&out);
        memset(text, '[', 200);
        text[0] = '"';
        text[1] = '\\';
        text[2] = '"';
        text[200] = '"';
        text[201] = '\0';
        json_free(must_parse(text)); /* brackets within a string do not count */
}

static void dumping_is_compact_and_keeps_every_value(void **state)
{
        static const char text[] = "{\"a\":[1,-2.5,1.0,1e+300,0.1],\"b\":{\"c\":null,\"d\":true},\"e\":\"q\\\"\\n€\","
                                   "\"i\":9223372036854775807}";
        struct json *doc = must_parse(text);
        struct buf out;

        (void)state;
        buf_init(&out, 1000);
        json_dump(doc, &out);
        assert_string_equal(buf_str(&out), text);
        buf_reset(&out);
        json_dump(NULL, &out);
        assert_string_equal(buf_str(&out), "null");
        buf_done(&out);
        json_free(doc);
}

static void the_writer_places_commas_and_colons(void **state)
{
        struct json_out j;
        struct buf b;

        (void)state;
        buf_init(&b, 1000);
        json_out_init(&j, &b);
        json_obj(&j);
        json_kv_str(&j, "s", "x\"");
        json_kv_str(&j, "none", NULL);
        json_key(&j, "a");
        json_arr(&j);
        json_put_int(&j, INT64_MIN);
        json_put_u64(&j, UINT64_MAX);
        json_obj(&j);
        json_end(&j);
        json_arr(&j);
        json_end(&j);
        json_put_bool(&j, false);
        json_end(&j);
        json_kv_raw(&j, "raw", "[1]");
        json_kv_id(&j, "id", (struct id){{0}});
        json_kv_wall(&j, "t", (struct wall){0});
        json_kv_null(&j, "n");
        json_end(&j);
        assert_string_equal(buf_str(&b),
                            "{\"s\":\"x\\\"\",\"none\":null,\"a\":[-9223372036854775808,18446744073709551615,"
                            "{},[],false],\"raw\":[1],\"id\":null,\"t\":\"1970-01-01T00:00:00.000Z\",\"n\":null}");
        buf_done(&b);
}

static const char *number(double v, int digits)
{
        static struct buf b;
        static char text[64];
        struct json_out j;

        buf_init(&b, 60);
        json_out_init(&j, &b);
        if (digits < 0)
                json_put_num(&j, v);
        else
                json_put_fixed(&j, v, digits);
        memcpy(text, buf_str(&b), b.n + 1);
        buf_done(&b);
        return text;
}

static void numbers_are_short_and_finite(void **state)
{
        (void)state;
        assert_string_equal(number(0.1, -1), "0.1");
        assert_string_equal(number(1.0 / 3, -1), "0.3333333333333333");
        assert_string_equal(number(5, -1), "5");
        assert_string_equal(number(INFINITY, -1), "null");
        assert_string_equal(number(0.723456, 4), "0.7235");
        assert_string_equal(number(0.5, 4), "0.5");
        assert_string_equal(number(-0.00001, 2), "0");
        assert_string_equal(number(NAN, 2), "null");
        assert_string_equal(number(1e300, 2), "1e+300");
}

static void every_failed_allocation_of_the_parser_is_told(void **state)
{
        static const char text[] = "{\"key\":[1,2.5,\"a text of forty characters, to grow a "
                                   "buffer\",{\"deep\":[true,null,{}]}],\"other\":\"more text here\"}";
        int failures = 0;

        (void)state;
        json_free(must_parse(text)); /* jansson's own one-time set-up */
        for (long n = 0;; n++) {
                struct err e = {0};
                struct json *doc;
                mem_fail_after(n);
                doc = json_parse(SPAN(text), &e);
                mem_fail_after(-1);
                if (doc) {
                        json_free(doc);
                        break;
                }
                failures++;
                assert_int_equal(e.code, ERR_OOM);
        }
        assert_true(failures > 10);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(values_are_found_by_key_and_type),
                cmocka_unit_test(a_value_of_another_type_gives_the_fallback),
                cmocka_unit_test(objects_are_walked_in_their_order),
                cmocka_unit_test(any_single_value_is_a_document),
                cmocka_unit_test(bad_documents_are_refused_with_a_place),
                cmocka_unit_test(nesting_ends_at_sixty_four),
                cmocka_unit_test(dumping_is_compact_and_keeps_every_value),
                cmocka_unit_test(the_writer_places_commas_and_colons),
                cmocka_unit_test(numbers_are_short_and_finite),
                cmocka_unit_test(every_failed_allocation_of_the_parser_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
