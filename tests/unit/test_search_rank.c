/* SPDX-License-Identifier: Apache-2.0 */
/* Fusion, the scale of text matches, names against meanings, the cache of query vectors: no catalog, no model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "search/search_priv.h"
#include "catalog/catalog_search.h"

static struct id nth(uint8_t i)
{
        struct id id = {{0}};
        id.b[15] = i;
        return id;
}

static void scores_are_reciprocal_ranks(void **state)
{
        (void)state;
        assert_float_equal(rrf_score(1), 1.0 / 61, 1e-7);
        assert_float_equal(rrf_score(3), 1.0 / 63, 1e-7);
}

static void found_both_ways_comes_first(void **state)
{
        (void)state;
        struct found v[] = {
                {.asset = nth(1), .order = 0.5f}, {.asset = nth(2), .order = 0.9f}, {.asset = nth(3), .order = 0.7f}};
        struct found t[] = {{.asset = nth(4), .order = 1, .in_filename = true},
                            {.asset = nth(3), .order = 3, .in_tags = true}};
        struct search_list lists[] = {{.kind = LIST_VECTORS, .found = v, .n = 3},
                                      {.kind = LIST_FIELDS, .found = t, .n = 2}};
        struct ranked out[5];
        struct err e = {0};
        size_t n;
        assert_int_equal(rank_fuse(lists, 2, out, &n, &e), 0);
        assert_int_equal(n, 4);
        assert_true(id_eq(out[0].asset, nth(3)));
        assert_float_equal(out[0].score, 1.0 / 62 + 1.0 / 61, 1e-7);
        assert_true(out[0].found_by_vector && out[0].found_by_text && out[0].in_tags && !out[0].in_filename);
        assert_true(id_eq(out[1].asset, nth(2)));
        assert_true(id_eq(out[2].asset, nth(4)));
        assert_true(!out[2].found_by_vector && out[2].in_filename);
        assert_true(id_eq(out[3].asset, nth(1)));
}

static void equals_are_ordered_by_id_whatever_the_input_order(void **state)
{
        (void)state;
        for (int turn = 0; turn < 2; turn++) {
                struct found v[2] = {{.asset = nth((uint8_t)(turn ? 2 : 1)), .order = 0.5f},
                                     {.asset = nth((uint8_t)(turn ? 1 : 2)), .order = 0.5f}};
                struct found t[2] = {{.asset = nth((uint8_t)(turn ? 4 : 3))}, {.asset = nth((uint8_t)(turn ? 3 : 4))}};
                struct search_list lists[] = {{.kind = LIST_VECTORS, .found = v, .n = 2},
                                              {.kind = LIST_FIELDS, .found = t, .n = 2}};
                struct ranked out[4];
                struct err e = {0};
                size_t n;
                assert_int_equal(rank_fuse(lists, 2, out, &n, &e), 0);
                const uint8_t want[4] = {1, 3, 2, 4};
                for (size_t i = 0; i < 4; i++)
                        assert_true(id_eq(out[i].asset, nth(want[i])));
        }
}

/* Two models, the fields, and the texts of parts. */
static void any_number_of_lists_is_fused(void **state)
{
        (void)state;
        struct found a[] = {{nth(1), 11, PART_WHOLE, 0.30f, 0.9f, false, false, false},
                            {nth(2), 21, PART_WHOLE, 0.20f, 0.6f, false, false, false}};
        struct found b[] = {{nth(2), 22, PART_CHUNK, 0.90f, 0.8f, false, false, false},
                            {nth(3), 32, PART_CHUNK, 0.80f, 0.7f, false, false, false}};
        struct found t[] = {{nth(4), 0, PART_WHOLE, 5, 0, false, true, false},
                            {nth(3), 0, PART_WHOLE, 4, 0, true, false, false}};
        struct found p[] = {{nth(5), 54, PART_PAGE, 9, 0, false, false, true},
                            {nth(3), 34, PART_CHUNK, 8, 0, false, false, true}};
        struct search_list lists[] = {{.kind = LIST_VECTORS, .found = a, .n = 2},
                                      {.kind = LIST_VECTORS, .found = b, .n = 2},
                                      {.kind = LIST_FIELDS, .found = t, .n = 2},
                                      {.kind = LIST_PARTS, .found = p, .n = 2}};
        const uint8_t want[] = {3, 2, 1, 4, 5};
        const int64_t parts[] = {34, 22, 11, 0, 54}; /* words before vectors, the more similar before the other */
        struct ranked out[8];
        struct err e = {0};
        size_t n;
        assert_int_equal(rank_fuse(lists, COUNT_OF(lists), out, &n, &e), 0);
        assert_int_equal(n, COUNT_OF(want));
        for (size_t i = 0; i < n; i++) {
                assert_true(id_eq(out[i].asset, nth(want[i])));
                assert_int_equal(out[i].part, parts[i]);
                assert_int_equal(out[i].words_in_part, want[i] == 3 || want[i] == 5);
        }
        assert_float_equal(out[0].score, 3.0 / 62, 1e-7);
        assert_true(out[0].in_filename && out[0].in_text && out[0].found_by_vector && out[0].found_by_text);
        assert_float_equal(out[1].similarity, 0.8, 1e-6);
        assert_float_equal(out[1].cosine, 0.9, 1e-6);
        assert_true(out[4].in_text && !out[4].found_by_vector && out[4].part_kind == PART_PAGE);
}

/* The words found first choose the part that is shown; no later list, of words or of vectors, chooses another. */
static void the_first_words_choose_the_part(void **state)
{
        (void)state;
        struct found first[] = {{nth(1), 11, PART_PAGE, 5, 0, false, false, true}};
        struct found vectors[] = {{nth(1), 12, PART_CHUNK, 0.9f, 0.9f, false, false, false}};
        struct found second[] = {{nth(1), 13, PART_CHUNK, 5, 0, false, false, true}};
        struct search_list lists[] = {{.kind = LIST_PARTS, .found = first, .n = 1},
                                      {.kind = LIST_VECTORS, .found = vectors, .n = 1},
                                      {.kind = LIST_PARTS, .found = second, .n = 1}};
        struct ranked out[3];
        struct err e = {0};
        size_t n;
        assert_int_equal(rank_fuse(lists, COUNT_OF(lists), out, &n, &e), 0);
        assert_int_equal(n, 1);
        assert_int_equal(out[0].part, 11);
        assert_int_equal(out[0].part_kind, PART_PAGE);
        assert_float_equal(out[0].score, 3.0 / 61, 1e-7);
}

static void no_lists_are_an_empty_answer(void **state)
{
        (void)state;
        struct search_list empty = {.kind = LIST_PARTS};
        struct ranked out[1];
        struct err e = {0};
        size_t n = 7;
        assert_int_equal(rank_fuse(NULL, 0, out, &n, &e), 0);
        assert_int_equal(n, 0);
        assert_int_equal(rank_fuse(&empty, 1, out, &n, &e), 0);
        assert_int_equal(n, 0);
}

static void the_scale_follows_how_it_matched(void **state)
{
        (void)state;
        struct tag tags[] = {{"rex", TAG_HUMAN, 1}, {"dogs", TAG_ZERO_SHOT, 0.9f}, {"hound", TAG_ZERO_SHOT, 0.6f}};
        const struct asset x = {.filename = "Summer walk.jpg", .tags = tags, .ntags = 3};
        const struct ranked name = {.in_filename = true}, tag = {.in_tags = true}, text = {.in_text = true};
        assert_float_equal(text_similarity(SPAN("summer WALK.jpg"), &x, &name), 1, 1e-6);
        assert_float_equal(text_similarity(SPAN("summer walk"), &x, &name), 1, 1e-6);
        float human = text_similarity(SPAN("Rex"), &x, &tag), sure = text_similarity(SPAN("dogs"), &x, &tag);
        float less = text_similarity(SPAN("hound"), &x, &tag), word = text_similarity(SPAN("walk"), &x, &name);
        float part = text_similarity(SPAN("hou"), &x, &tag), comment = text_similarity(SPAN("lake"), &x, &text);
        assert_true(human < 1 && sure < human && less < sure && word < human && part < less && comment < part);
        assert_true(part < word);
}

static void names_are_told_from_meanings(void **state)
{
        (void)state;
        static const char *const names[] = {"IMG_1234", "IMG_2041.jpg", "DSC00012",           "report.PDF",
                                            "png",      "20260714",     "IMG_1.jpg IMG_2.jpg"};
        static const char *const meanings[] = {"dog", "golden retriever", "dog in a car", "4x4",  "sports car.",
                                               "b52", "qwertzuiop",       "3 cats",       "dog.", "my photos 2026"};
        for (size_t i = 0; i < COUNT_OF(names); i++)
                assert_true(query_is_name(span_of(names[i])));
        for (size_t i = 0; i < COUNT_OF(meanings); i++)
                assert_false(query_is_name(span_of(meanings[i])));
}

static void the_cache_forgets_the_least_recently_used(void **state)
{
        (void)state;
        struct query_cache *c;
        struct err e = {0};
        float out[2] = {0};
        assert_int_equal(query_cache_open(2, 2, &c, &e), 0);
        query_cache_put(c, "m", SPAN("one"), (float[]){1, 1});
        query_cache_put(c, "m", SPAN("two"), (float[]){2, 2});
        assert_true(query_cache_get(c, "m", SPAN("one"), out));
        assert_float_equal(out[1], 1, 1e-9);
        query_cache_put(c, "m", SPAN("three"), (float[]){3, 3});
        assert_false(query_cache_get(c, "m", SPAN("two"), out));
        assert_true(query_cache_get(c, "m", SPAN("one"), out));
        assert_true(query_cache_get(c, "m", SPAN("three"), out));
        assert_false(query_cache_get(c, "other", SPAN("three"), out));
        query_cache_put(c, "m", SPAN("one"), (float[]){4, 4});
        assert_true(query_cache_get(c, "m", SPAN("three"), out));
        assert_true(query_cache_get(c, "m", SPAN("one"), out));
        assert_float_equal(out[0], 4, 1e-9);
        query_cache_close(c);
}

static void the_cache_lives_without_memory(void **state)
{
        (void)state;
        struct query_cache *c;
        struct err e = {0};
        float out[2];
        assert_int_equal(query_cache_open(2, 2, &c, &e), 0);
        for (long i = 0; i < 2; i++) {
                mem_fail_after(i);
                query_cache_put(c, "m", SPAN("one"), (float[]){1, 1});
                mem_fail_after(-1);
                assert_false(query_cache_get(c, "m", SPAN("one"), out));
        }
        query_cache_close(c);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(scores_are_reciprocal_ranks),
                cmocka_unit_test(found_both_ways_comes_first),
                cmocka_unit_test(equals_are_ordered_by_id_whatever_the_input_order),
                cmocka_unit_test(any_number_of_lists_is_fused),
                cmocka_unit_test(the_first_words_choose_the_part),
                cmocka_unit_test(no_lists_are_an_empty_answer),
                cmocka_unit_test(the_scale_follows_how_it_matched),
                cmocka_unit_test(names_are_told_from_meanings),
                cmocka_unit_test(the_cache_forgets_the_least_recently_used),
                cmocka_unit_test(the_cache_lives_without_memory),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
