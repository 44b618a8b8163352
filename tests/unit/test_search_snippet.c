/* SPDX-License-Identifier: Apache-2.0 */
/* Snippets: which window, what is marked, and that a document's text stays text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "search/search_priv.h"
#include "text/text.h"

static struct arena *a;

static int setup(void **state)
{
        (void)state;
        a = arena_new(4u << 20);
        return a ? 0 : -1;
}

static int teardown(void **state)
{
        (void)state;
        arena_free(a);
        return 0;
}

static const char *snip(const char *text, const char *query)
{
        char *s = snippet_make(a, text, query);
        assert_non_null(s);
        return s;
}

/* n times "reed " */
static char *reeds(size_t n)
{
        char *s = arena_alloc(a, n * 5 + 1);
        assert_non_null(s);
        for (size_t i = 0; i < n; i++)
                memcpy(s + i * 5, "reed ", 5);
        s[n * 5] = '\0';
        return s;
}

static void words_are_marked_whole(void **state)
{
        (void)state;
        assert_string_equal(snip("The herons wait.", "heron"), "The <mark>herons</mark> wait.");
        assert_string_equal(snip("A HERON, a heron", "Heron"), "A <mark>HERON</mark>, a <mark>heron</mark>");
        assert_string_equal(snip("gray heron waits", "wait heron"), "gray <mark>heron</mark> <mark>waits</mark>");
        assert_string_equal(snip("sheron", "heron"), "sheron"); /* no prefix */
        assert_string_equal(snip("the heron", ""), "the heron");
        assert_string_equal(snip("see IMG_2041.jpg", "img_2041"), "see <mark>IMG</mark>_<mark>2041</mark>.jpg");
}

static void case_folds_past_ascii(void **state)
{
        (void)state;
        assert_string_equal(snip("ÖLBÄUME und Straßen", "ölb straß"), "<mark>ÖLBÄUME</mark> und <mark>Straßen</mark>");
        assert_string_equal(snip("„Ölbaum“ – ‘heron’", "ölbaum heron"), "„<mark>Ölbaum</mark>“ – ‘<mark>heron</mark>’");
        assert_string_equal(snip("ЦАПЛЯ ждёт", "цапл"), "<mark>ЦАПЛЯ</mark> ждёт");
}

static void the_text_stays_text(void **state)
{
        (void)state;
        assert_string_equal(snip("<script>alert('heron & \"co\"')</script>", "heron script"),
                            "&lt;<mark>script</mark>&gt;alert(&#39;<mark>heron</mark> &amp; "
                            "&quot;co&quot;&#39;)&lt;/<mark>script</mark>&gt;");
        assert_string_equal(snip("</mark>heron<mark>", "heron"), "&lt;/mark&gt;<mark>heron</mark>&lt;mark&gt;");
        assert_string_equal(snip("heron", "<b>heron"), "<mark>heron</mark>");
        assert_string_equal(snip("a\x01\x1b[1mb\x7f\xc2\x85 \xe2\x80\xae"
                                 "c",
                                 "x"),
                            "a [1mb c");
}

static void blanks_are_one_space(void **state)
{
        (void)state;
        assert_string_equal(snip("  the\n\n\theron \xc2\xa0 waits \n", "heron"), "the <mark>heron</mark> waits");
        assert_string_equal(snip(" \n\t", "heron"), "");
        assert_string_equal(snip("", "heron"), "");
        assert_string_equal(snip("her\xff", "her"), "");
        assert_string_equal(snip("heron", "\xff"), "");
}

static void the_window_has_the_most_words(void **state)
{
        (void)state;
        /* One word early, both of them later: there the window is. */
        const char *text = arena_printf(a, "heron %s the heron and the stork %s stork", reeds(100), reeds(100));
        const char *s = snip(text, "heron stork");
        assert_non_null(strstr(s, "the <mark>heron</mark> and the <mark>stork</mark> reed"));
        assert_true(!strncmp(s, "…reed ", 8) && !strcmp(s + strlen(s) - 7, "reed…"));
        /* Each as often: the earliest. */
        text = arena_printf(a, "one heron %s two heron", reeds(100));
        assert_true(!strncmp(snip(text, "heron"), "one <mark>heron</mark> reed", 27));
        /* The same word again counts less than another word. */
        text = arena_printf(a, "heron heron heron heron %s heron stork", reeds(100));
        assert_non_null(strstr(snip(text, "heron stork"), "<mark>stork</mark>"));
        /* Of a query's repeated word, one counts. */
        text = arena_printf(a, "heron %s crane stork", reeds(100));
        assert_non_null(strstr(snip(text, "heron heron HERON crane stork"), "<mark>crane</mark>"));
}

static size_t shown(const char *s)
{
        size_t n = 0;
        bool tag = false;
        for (; *s; s++) {
                tag = tag || *s == '<';
                n += !tag && ((unsigned char)*s & 0xC0) != 0x80;
                tag = tag && *s != '>';
        }
        return n;
}

static void it_is_bounded_and_cut_between_words(void **state)
{
        (void)state;
        const char *text = arena_printf(a, "%sheron %s", reeds(1000), reeds(1000)), *s = snip(text, "heron");
        assert_true(shown(s) <= SNIPPET_CHARS + 2 && shown(s) > SNIPPET_CHARS - 12);
        assert_true(!strncmp(s, "…reed", 7) || !strncmp(s, "… reed", 8));
        /* Near an end of the text the other side has the room. */
        text = arena_printf(a, "%sheron", reeds(1000));
        s = snip(text, "heron");
        assert_true(shown(s) > SNIPPET_CHARS - 12 && !strcmp(s + strlen(s) - 7, "</mark>"));
        text = arena_printf(a, "heron %s", reeds(1000));
        s = snip(text, "heron");
        assert_true(shown(s) > SNIPPET_CHARS - 12 && !strncmp(s, "<mark>", 6));
        /* Nothing matches: its beginning. */
        s = snip(reeds(1000), "heron");
        assert_true(!strncmp(s, "reed", 4) && shown(s) > SNIPPET_CHARS - 12 && shown(s) <= SNIPPET_CHARS + 1);
}

static void a_word_without_end_is_cut_at_a_character(void **state)
{
        (void)state;
        char *text = arena_alloc(a, 6001);
        for (size_t i = 0; i < 3000; i++)
                memcpy(text + i * 2, "ö", 2);
        text[6000] = '\0';
        const char *s = snip(text, "öö");
        assert_true(utf8_valid(span_of(s)));
        assert_int_equal(shown(s), SNIPPET_CHARS + 1);
        assert_true(!strncmp(s, "<mark>ö", 8) && !strcmp(s + strlen(s) - 10, "</mark>…"));
        assert_int_equal(shown(snip(text, "x")), SNIPPET_CHARS + 1);
        /* The most that can be: every other character a match, the others quotes. */
        for (size_t i = 0; i < 3000; i++)
                memcpy(text + i * 2, "a\"", 2);
        s = snip(text, "a");
        assert_true(strlen(s) > 2000 && strlen(s) < SNIPPET_BYTES);
}

static void a_match_at_the_end_of_a_long_text_is_shown(void **state)
{
        (void)state;
        const char *text = arena_printf(a, "%sÖlbaumgarten", reeds(26000));
        assert_true(strlen(text) > 128000);
        assert_non_null(strstr(snip(text, "ölbaum"), "reed <mark>Ölbaumgarten</mark>"));
}

static void without_memory_there_is_none(void **state)
{
        (void)state;
        struct arena *small = arena_new(64);
        assert_non_null(small);
        assert_null(snippet_make(small, reeds(100), reeds(100)));
        arena_free(small);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
        const struct CMUnitTest tests[] = {
                T(words_are_marked_whole),
                T(case_folds_past_ascii),
                T(the_text_stays_text),
                T(blanks_are_one_space),
                T(the_window_has_the_most_words),
                T(it_is_bounded_and_cut_between_words),
                T(a_word_without_end_is_cut_at_a_character),
                T(a_match_at_the_end_of_a_long_text_is_shown),
                T(without_memory_there_is_none),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
