/* SPDX-License-Identifier: Apache-2.0 */
/* base: errors, spans, UTF-8, string builder, memory and arena. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

static void an_error_carries_its_code_and_one_line(void **state)
{
        struct err e;

        (void)state;
        assert_int_equal(err_set(&e, ERR_CONFLICT, "asset %d:\nhas moved", 7), -1);
        assert_int_equal(e.code, ERR_CONFLICT);
        assert_string_equal(e.msg, "asset 7: has moved");
        err_set(&e, ERR_INVALID, "outer: %s", e.msg);
        assert_string_equal(e.msg, "outer: asset 7: has moved");
        assert_int_equal(err_set(NULL, ERR_IO, "nobody listens"), -1);
}

static void a_long_error_is_cut_at_a_whole_character(void **state)
{
        struct err e;
        char text[400];
        size_t n;

        (void)state;
        for (size_t shift = 0; shift < 3; shift++) {
                memset(text, 'a', shift);
                for (size_t i = shift; i + 3 < sizeof text; i += 3)
                        memcpy(text + i, "€", 4);
                err_set(&e, ERR_INVALID, "%s", text);
                n = strlen(e.msg);
                assert_true(n > sizeof e.msg - 5);
                assert_true(utf8_valid((struct span){e.msg, n}));
                assert_null(strchr(e.msg, '?'));
        }
}

static void errno_values_become_codes_and_words(void **state)
{
        struct err e;

        (void)state;
        err_errno(&e, ENOSPC, "cannot write %s", "x");
        assert_int_equal(e.code, ERR_NO_SPACE);
        assert_string_equal(e.msg, "cannot write x: No space left on device");
        err_errno(&e, EDQUOT, "x");
        assert_int_equal(e.code, ERR_NO_SPACE);
        err_errno(&e, ENOENT, "x");
        assert_int_equal(e.code, ERR_NOT_FOUND);
        err_errno(&e, ENOMEM, "x");
        assert_int_equal(e.code, ERR_OOM);
        err_errno(&e, EACCES, "x");
        assert_int_equal(e.code, ERR_IO);
        assert_string_equal(err_name(ERR_NOT_FOUND), "not_found");
        assert_string_equal(err_name((enum err_code)999), "internal");
        for (int c = ERR_NONE; c <= ERR_INTERNAL; c++)
                assert_non_null(err_name((enum err_code)c));
}

static void spans_compare_trim_and_cut(void **state)
{
        struct span rest = SPAN("a,,b"), part;

        (void)state;
        assert_true(span_eq(SPAN("abc"), "abc"));
        assert_false(span_eq(SPAN("abc"), "ab"));
        assert_true(span_ieq(SPAN("AbC"), "aBc"));
        assert_false(span_ieq(SPAN("a{"), "a["));
        assert_true(span_eq(span_trim(SPAN(" \t x y \r\n")), "x y"));
        assert_true(span_eq(span_of(NULL), ""));
        assert_true(span_cut(&rest, ',', &part) && span_eq(part, "a"));
        assert_true(span_cut(&rest, ',', &part) && span_eq(part, ""));
        assert_true(span_cut(&rest, ',', &part) && span_eq(part, "b"));
        assert_false(span_cut(&rest, ',', &part));
        rest = SPAN("a,");
        assert_true(span_cut(&rest, ',', &part) && span_eq(part, "a"));
        assert_true(span_cut(&rest, ',', &part) && span_eq(part, ""));
        assert_false(span_cut(&rest, ',', &part));
}

static void whole_numbers_are_digits_that_fit(void **state)
{
        static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "1e3"};
        uint64_t v = 7;

        (void)state;
        assert_true(span_u64(SPAN("18446744073709551615"), &v));
        assert_true(v == UINT64_MAX);
        for (size_t i = 0; i < COUNT_OF(bad); i++)
                assert_false(span_u64(span_of(bad[i]), &v));
        assert_true(v == UINT64_MAX);
}

static void decimal_numbers_are_finite_and_plain(void **state)
{
        static const char *const bad[] = {"",      ".",     "-",   "nan", "inf", "1e",
                                          "1e999", "0x1p3", "1,5", " 1",  "1 ",  "1.2.3"};
        double v;

        (void)state;
        assert_true(span_f64(SPAN("-1.5e3"), &v) && v == -1500);
        assert_true(span_f64(SPAN(".5"), &v) && v == 0.5);
        assert_true(span_f64(SPAN("5."), &v) && v == 5);
        for (size_t i = 0; i < COUNT_OF(bad); i++)
                assert_false(span_f64(span_of(bad[i]), &v));
        assert_false(span_f64((struct span){"1\0002", 3}, &v));
}

static void ill_formed_utf8_is_told_from_well_formed(void **state)
{
        static const char *const good[] = {"", "abc", "é", "€", "😀", "\xF4\x8F\xBF\xBF", "\x01"};
        static const char *const bad[] = {"\x80",
                                          "\xC0\xAF",
                                          "\xC3",
                                          "\xE0\x80\x80",
                                          "\xED\xA0\x80",
                                          "\xF0\x80\x80\x80",
                                          "\xF4\x90\x80\x80",
                                          "\xF5\x80\x80\x80",
                                          "\xE2\x82",
                                          "a\xFF"};

        (void)state;
        for (size_t i = 0; i < COUNT_OF(good); i++)
                assert_true(utf8_valid(span_of(good[i])));
        for (size_t i = 0; i < COUNT_OF(bad); i++)
                assert_false(utf8_valid(span_of(bad[i])));
}

static void a_buf_keeps_what_fits_and_fails_once(void **state)
{
        struct buf b;

        (void)state;
        buf_init(&b, 5);
        assert_string_equal(buf_str(&b), "");
        buf_puts(&b, "abc");
        buf_puts(&b, "defg");
        assert_true(buf_failed(&b));
        buf_putc(&b, 'd');
        assert_string_equal(buf_str(&b), "abc");
        buf_reset(&b);
        assert_false(buf_failed(&b));
        buf_puts(&b, "12345");
        assert_false(buf_failed(&b));
        assert_string_equal(buf_str(&b), "12345");
        buf_putc(&b, '6');
        assert_true(buf_failed(&b));
        buf_done(&b);
        buf_done(NULL);
}

static void buf_printf_writes_long_text_whole(void **state)
{
        char text[1000];
        struct buf b;

        (void)state;
        memset(text, 'x', sizeof text - 1);
        text[sizeof text - 1] = '\0';
        buf_init(&b, 4096);
        buf_printf(&b, "<%s>%d", text, 42);
        assert_int_equal(b.n, sizeof text - 1 + 4);
        assert_string_equal(buf_str(&b) + sizeof text, ">42");
        buf_done(&b);
}

static void json_strings_are_escaped_and_always_utf8(void **state)
{
        struct buf b;

        (void)state;
        buf_init(&b, 1024);
        buf_json_str(&b, "a\"b\\c\n\t\x01/é");
        assert_string_equal(buf_str(&b), "\"a\\\"b\\\\c\\n\\t\\u0001/é\"");
        buf_reset(&b);
        buf_json_span(&b, (struct span){"x\0y\xFFz\xE2\x82", 7});
        assert_string_equal(buf_str(&b), "\"x\\u0000y\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD\"");
        buf_reset(&b);
        buf_json_str(&b, NULL);
        buf_json_span(&b, (struct span){NULL, 0});
        assert_string_equal(buf_str(&b), "null\"\"");
        buf_done(&b);
}

static void numbers_read_back_equal(void **state)
{
        static const double values[] = {0, 0.1, 1.0 / 3, 1e300, 5e-324, DBL_MAX, -2.5, 123456789012345680.0, 0.72};
        struct buf b;
        double back;

        (void)state;
        buf_init(&b, 64);
        for (size_t i = 0; i < COUNT_OF(values); i++) {
                buf_reset(&b);
                buf_num(&b, values[i]);
                assert_true(span_f64(buf_span(&b), &back));
                assert_true(back == values[i]);
        }
        buf_reset(&b);
        buf_num(&b, 0.1);
        assert_string_equal(buf_str(&b), "0.1");
        buf_reset(&b);
        buf_num(&b, NAN);
        assert_string_equal(buf_str(&b), "null");
        buf_done(&b);
}

/* RFC 4648 section 10, and the digits in which the alphabets differ. */
static void base64_is_that_of_the_standard(void **state)
{
        static const struct {
                const char *bytes, *padded, *url;
        } known[] = {
                {"", "", ""},
                {"f", "Zg==", "Zg"},
                {"fo", "Zm8=", "Zm8"},
                {"foo", "Zm9v", "Zm9v"},
                {"foob", "Zm9vYg==", "Zm9vYg"},
                {"fooba", "Zm9vYmE=", "Zm9vYmE"},
                {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
                {"\xFB\xEF\xBE\xFF", "++++/w==", "----_w"},
        };
        char text[16], back[16];
        size_t n;

        (void)state;
        for (size_t i = 0; i < COUNT_OF(known); i++)
                for (int kind = BASE64_PADDED; kind <= BASE64_URL; kind++) {
                        const char *want = kind == BASE64_URL ? known[i].url : known[i].padded;
                        size_t len = strlen(known[i].bytes);
                        assert_int_equal(base64_write(kind, known[i].bytes, len, text), strlen(want));
                        assert_memory_equal(text, want, strlen(want));
                        assert_true(base64_read(kind, span_of(want), back, len, &n) && n == len);
                        assert_memory_equal(back, known[i].bytes, len);
                        assert_true(len == 0 || !base64_read(kind, span_of(want), back, len - 1, &n));
                }
}

/* Every text of up to five of these: what can be read is what would be written. */
static void base64_has_one_text_for_one_value(void **state)
{
        static const char some[] = "AQgw9=+/-_ \n";
        char text[6], bytes[8], again[12];
        size_t base = sizeof some, n, total = 1, accepted = 0; /* with the NUL, which is no digit either */

        (void)state;
        for (size_t len = 0; len <= 5; len++, total *= base)
                for (size_t code = 0; code < total; code++) {
                        for (size_t i = 0, left = code; i < len; i++, left /= base)
                                text[i] = some[left % base];
                        for (int kind = BASE64_PADDED; kind <= BASE64_URL; kind++) {
                                if (!base64_read(kind, (struct span){text, len}, bytes, sizeof bytes, &n))
                                        continue;
                                accepted++;
                                assert_int_equal(base64_write(kind, bytes, n, again), len);
                                assert_memory_equal(again, text, len);
                        }
                }
        assert_true(accepted > 1000);
}

static void every_failed_allocation_of_a_buf_is_told(void **state)
{
        int failures = 0;

        (void)state;
        for (long n = 0;; n++) {
                struct buf b;
                buf_init(&b, 1 << 20);
                mem_fail_after(n);
                for (int i = 0; i < 100; i++)
                        buf_printf(&b, "piece %d of the text, ", i);
                mem_fail_after(-1);
                failures += buf_failed(&b);
                if (!buf_failed(&b)) {
                        assert_non_null(strstr(buf_str(&b), "piece 99 "));
                        buf_done(&b);
                        break;
                }
                assert_true(b.n == 0 || strlen(b.p) == b.n);
                buf_done(&b);
        }
        assert_true(failures > 3);
}

static void memory_grows_and_keeps_the_old_block_on_failure(void **state)
{
        uint32_t *p = NULL;
        size_t cap = 0;

        (void)state;
        assert_int_equal(mem_grow((void **)&p, &cap, 3, sizeof *p), 0);
        assert_true(cap >= 3);
        p[2] = 99;
        mem_fail_after(0);
        assert_int_equal(mem_grow((void **)&p, &cap, cap + 1, sizeof *p), -1);
        assert_int_equal(p[2], 99);
        assert_int_equal(mem_grow((void **)&p, &cap, SIZE_MAX / 2, sizeof *p), -1);
        assert_int_equal(mem_grow((void **)&p, &cap, cap * 3, sizeof *p), 0);
        assert_int_equal(p[2], 99);
        mem_free(p);
        p = mem_calloc(SIZE_MAX / 2, 4);
        assert_null(p);
}

static void an_arena_hands_out_zeroed_aligned_memory_up_to_its_cap(void **state)
{
        struct arena *a = arena_new(10000);
        unsigned char *p, *q;

        (void)state;
        assert_non_null(a);
        for (size_t n = 0; n < 60; n++) {
                p = arena_alloc(a, n);
                assert_non_null(p);
                assert_int_equal((uintptr_t)p % 16, 0);
                for (size_t i = 0; i < n; i++)
                        assert_int_equal(p[i], 0);
                memset(p, 0xAA, n);
        }
        q = arena_alloc(a, 5000);
        assert_non_null(q);
        assert_null(arena_alloc(a, 5000));
        assert_null(arena_array(a, SIZE_MAX / 2, 4));
        assert_null(arena_alloc(a, SIZE_MAX));
        assert_true(arena_used(a) <= 10000);
        assert_string_equal(arena_printf(a, "%d-%s", 5, "x"), "5-x");
        assert_string_equal(arena_strndup(a, SPAN("abc")), "abc");
        assert_string_equal(arena_strdup(a, ""), "");
        q = (unsigned char *)arena_strdup(a, NULL);
        assert_null(q);
        arena_free(a);
        arena_free(NULL);
}

static void an_arena_array_grows_and_keeps_what_it_holds(void **state)
{
        struct arena *a = arena_new(4096);
        unsigned *list = NULL;
        size_t cap = 0, n = 0;
        struct err e = {0};

        (void)state;
        assert_non_null(a);
        for (; n < 300; n++) {
                assert_int_equal(arena_grow(a, &list, &cap, n + 1, sizeof *list, &e), 0);
                assert_true(cap > n);
                list[n] = (unsigned)n;
        }
        while (n > 0) {
                n--;
                assert_int_equal(list[n], n);
        }
        assert_int_equal(arena_grow(a, &list, &cap, 2000, sizeof *list, &e), -1);
        assert_int_equal(e.code, ERR_OOM);
        assert_int_equal(list[299], 299); /* as it was */
        arena_free(a);
}

static void every_failed_allocation_of_an_arena_is_told(void **state)
{
        int failures = 0;
        bool done = false;

        (void)state;
        for (long n = 0; !done; n++) {
                struct arena *a;
                mem_fail_after(n);
                a = arena_new(1 << 20);
                done = a != NULL;
                for (int i = 0; done && i < 300; i++)
                        done = arena_printf(a, "text number %d", i) != NULL && arena_alloc(a, 100) != NULL;
                mem_fail_after(-1);
                failures += !done;
                arena_free(a);
        }
        assert_true(failures > 3);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(an_error_carries_its_code_and_one_line),
                cmocka_unit_test(a_long_error_is_cut_at_a_whole_character),
                cmocka_unit_test(errno_values_become_codes_and_words),
                cmocka_unit_test(spans_compare_trim_and_cut),
                cmocka_unit_test(whole_numbers_are_digits_that_fit),
                cmocka_unit_test(decimal_numbers_are_finite_and_plain),
                cmocka_unit_test(ill_formed_utf8_is_told_from_well_formed),
                cmocka_unit_test(a_buf_keeps_what_fits_and_fails_once),
                cmocka_unit_test(buf_printf_writes_long_text_whole),
                cmocka_unit_test(json_strings_are_escaped_and_always_utf8),
                cmocka_unit_test(numbers_read_back_equal),
                cmocka_unit_test(base64_is_that_of_the_standard),
                cmocka_unit_test(base64_has_one_text_for_one_value),
                cmocka_unit_test(every_failed_allocation_of_a_buf_is_told),
                cmocka_unit_test(memory_grows_and_keeps_the_old_block_on_failure),
                cmocka_unit_test(an_arena_hands_out_zeroed_aligned_memory_up_to_its_cap),
                cmocka_unit_test(an_arena_array_grows_and_keeps_what_it_holds),
                cmocka_unit_test(every_failed_allocation_of_an_arena_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
