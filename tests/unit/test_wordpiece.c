/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer against the reference's golden lines, and its manners with odd input. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "embed/embed.h"
#include "json/json.h"

#define VOCAB PROJECT_DIR "/models/builtin/vocab.txt"

static struct wordpiece *words;

static int setup(void **state)
{
        struct err e = {0};
        (void)state;
        if (wordpiece_open(VOCAB, &words, &e))
                print_error("%s\n", e.msg);
        return words ? 0 : -1;
}

static int teardown(void **state)
{
        (void)state;
        wordpiece_close(words);
        return 0;
}

static size_t encode(const char *text, int64_t *ids, size_t max)
{
        return wordpiece_encode(words, span_of(text), ids, max);
}

static void assert_ids_equal(const char *a, const char *b)
{
        int64_t x[64], y[64];
        size_t n = encode(a, x, 64);
        assert_int_equal(n, encode(b, y, 64));
        assert_memory_equal(x, y, n * sizeof *x);
}

/*
 * Our JSON reader refuses \u0000, which one golden line holds: that escape is
 * read as the noncharacter U+FDD0 and put back as a NUL byte afterwards.
 */
static void nul_hide(char *p, size_t n)
{
        for (char *at; (at = memmem(p, n, "\\u0000", 6)); n -= (size_t)(at + 6 - p), p = at + 6)
                memcpy(at, "\\ufdd0", 6);
}

static size_t nul_restore(char *p, size_t n)
{
        for (char *at; (at = memmem(p, n, "\xef\xb7\x90", 3)); n -= 2) {
                memmove(at + 1, at + 3, (size_t)(p + n - at - 3));
                *at = 0;
        }
        return n;
}

static bool golden_line_holds(struct span line)
{
        struct err e;
        struct json *doc = json_parse(line, &e);
        if (!doc)
                fail_msg("%s: %.*s", e.msg, (int)line.n, line.p);
        const struct json *ids = json_get(doc, "ids");
        size_t max = (size_t)json_get_int(doc, "max", 0);
        int64_t got[512];
        assert_true(max >= 2 && max <= 512);
        struct span text = json_span(json_get(doc, "text"));
        char copy[8192];
        assert_true(text.n <= sizeof copy);
        memcpy(copy, text.p, text.n);
        size_t n = wordpiece_encode(words, (struct span){copy, nul_restore(copy, text.n)}, got, max);
        bool same = n == json_count(ids);
        for (size_t i = 0; same && i < n; i++)
                same = got[i] == json_int(json_at(ids, i));
        if (!same)
                print_error("differs: %.*s\n", (int)line.n, line.p);
        json_free(doc);
        return same;
}

static void equals_every_golden_line(void **state)
{
        (void)state;
        char *text;
        size_t n;
        int total = 0, good = 0;
        struct err e;
        assert_int_equal(file_read_all(TEST_DATA "/wordpiece/golden.jsonl", 1 << 20, &text, &n, &e), 0);
        nul_hide(text, n);
        struct span rest = {text, n}, line;
        while (span_cut(&rest, '\n', &line)) {
                if (!line.n)
                        continue;
                total++;
                good += golden_line_holds(line);
        }
        mem_free(text);
        print_message("%d of %d golden lines\n", good, total);
        assert_int_equal(total, 337);
        assert_int_equal(good, total);
}

static void empty_text_is_cls_and_sep(void **state)
{
        int64_t ids[4];
        (void)state;
        assert_int_equal(encode("", ids, 4), 2);
        assert_int_equal(ids[0], 101);
        assert_int_equal(ids[1], 102);
        assert_int_equal(wordpiece_encode(words, (struct span){NULL, 0}, ids, 4), 2);
}

static void truncates_and_still_ends_in_sep(void **state)
{
        int64_t ids[8], all[64];
        (void)state;
        const char *text = "one two three four five six seven eight nine ten";
        size_t n = encode(text, all, 64);
        assert_int_equal(n, 12);
        for (size_t max = 2; max <= 8; max++) {
                assert_int_equal(encode(text, ids, max), max);
                assert_memory_equal(ids, all, (max - 1) * sizeof *ids);
                assert_int_equal(ids[max - 1], 102);
        }
}

static void ill_formed_bytes_join_their_neighbours(void **state)
{
        (void)state;
        static const char *const bad[] = {"\xff", "\xc0\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80",
                                          "\x80", "\xe2\x82", "\xf0\x9f\x92"};
        for (size_t i = 0; i < COUNT_OF(bad); i++) {
                char text[32];
                snprintf(text, sizeof text, "photo%sgraph", bad[i]);
                assert_ids_equal(text, "photograph");
                snprintf(text, sizeof text, "dog%s", bad[i]);
                assert_ids_equal(text, "dog");
        }
}

static void long_words_are_unknown_by_characters_not_bytes(void **state)
{
        char text[512] = "";
        int64_t ids[256];
        (void)state;
        for (int i = 0; i < 100; i++)
                snprintf(text + strlen(text), sizeof text - strlen(text), "\xd0\xb9"); /* й folds to и */
        size_t n = encode(text, ids, 256);
        assert_true(n > 3 || ids[1] != 100);
        snprintf(text + strlen(text), sizeof text - strlen(text), "\xd0\xb9");
        assert_int_equal(encode(text, ids, 256), 3);
        assert_int_equal(ids[1], 100);
}

static void missing_and_foreign_vocabularies_are_named(void **state)
{
        struct wordpiece *w = NULL;
        struct err e = {0};
        (void)state;
        assert_int_equal(wordpiece_open(TEST_DATA "/wordpiece/absent.txt", &w, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        assert_non_null(strstr(e.msg, "absent.txt"));
        assert_int_equal(wordpiece_open(TEST_DATA "/wordpiece/README.md", &w, &e), -1);
        assert_int_equal(e.code, ERR_CORRUPT);
        assert_non_null(strstr(e.msg, "[CLS]"));
        assert_null(w);
        wordpiece_close(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(equals_every_golden_line),
                cmocka_unit_test(empty_text_is_cls_and_sep),
                cmocka_unit_test(truncates_and_still_ends_in_sep),
                cmocka_unit_test(ill_formed_bytes_join_their_neighbours),
                cmocka_unit_test(long_words_are_unknown_by_characters_not_bytes),
                cmocka_unit_test(missing_and_foreign_vocabularies_are_named),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
