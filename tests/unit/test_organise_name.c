/* SPDX-License-Identifier: Apache-2.0 */
/* Folder titles and names: pure functions on evidence. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "organise/organise_priv.h"

static struct arena *a;

static int setup(void **state)
{
        (void)state;
        a = arena_new(1u << 20);
        return a ? 0 : -1;
}

static int teardown(void **state)
{
        (void)state;
        arena_free(a);
        return 0;
}

#define CATEGORY(t, m, p)                                                                                              \
        {                                                                                                              \
                .tag = (t), .source = TAG_ZERO_SHOT, .category = true, .members = (m), .mean = (p)                     \
        }
#define CLASS(t, m, p)                                                                                                 \
        {                                                                                                              \
                .tag = (t), .source = TAG_ZERO_SHOT, .members = (m), .mean = (p)                                       \
        }
#define HUMAN(t, m)                                                                                                    \
        {                                                                                                              \
                .tag = (t), .source = TAG_HUMAN, .members = (m), .mean = 1                                             \
        }

static const char *choose(const struct name_evidence *v, size_t n, uint64_t members)
{
        return name_choose(a, v, n, members, NULL, 0);
}

static void titles_begin_with_a_capital(void **state)
{
        (void)state;
        assert_string_equal(organise_title(a, "golden retriever"), "Golden retriever");
        assert_string_equal(organise_title(a, "dogs"), "Dogs");
        assert_string_equal(organise_title(a, "\xc3\xa9t\xc3\xa9"), "\xc3\x89t\xc3\xa9");
        assert_string_equal(organise_title(a, "\xd0\xba\xd0\xbe\xd1\x82"), "\xd0\x9a\xd0\xbe\xd1\x82");
        assert_string_equal(organise_title(a, "\xc3\xb7"), "\xc3\xb7");
}

static void titles_are_fit_for_a_file_system(void **state)
{
        (void)state;
        assert_string_equal(organise_title(a, "  trucks_and / vans\t"), "Trucks and vans");
        assert_string_equal(organise_title(a, "../../etc"), "Etc");
        assert_string_equal(organise_title(a, "what?."), "What");
        assert_string_equal(organise_title(a, ""), "Unnamed group");
        assert_string_equal(organise_title(a, "..."), "Unnamed group");
        assert_string_equal(organise_title(a, "\xff"), "Unnamed group");
        char longer[400];
        for (size_t i = 0; i + 2 < sizeof longer; i += 2) {
                longer[i] = '\xc3';
                longer[i + 1] = '\xa9';
        }
        longer[398] = '\0';
        const char *cut = organise_title(a, longer);
        assert_true(utf8_valid(span_of(cut)));
        assert_int_equal(span_of(cut).n, 80);
}

static void the_category_names_a_mixed_folder(void **state)
{
        (void)state;
        const struct name_evidence v[] = {CATEGORY("dogs", 10, 0.9f), CLASS("beagle", 4, 0.9f),
                                          CLASS("hound", 7, 0.8f)};
        assert_string_equal(choose(v, COUNT_OF(v), 10), "Dogs");
}

static void what_nearly_all_share_is_more_telling(void **state)
{
        (void)state;
        const struct name_evidence v[] = {CATEGORY("dogs", 10, 0.95f), CLASS("retriever", 10, 0.92f),
                                          CLASS("golden retriever", 8, 0.9f)};
        assert_string_equal(choose(v, COUNT_OF(v), 10), "Golden retriever");
        const struct name_evidence w[] = {CATEGORY("dogs", 10, 0.95f), CLASS("retriever", 10, 0.92f),
                                          CLASS("golden retriever", 7, 0.9f)};
        assert_string_equal(choose(w, COUNT_OF(w), 10), "Retriever");
}

static void a_wider_word_than_the_category_is_not_more_telling(void **state)
{
        (void)state;
        const struct name_evidence v[] = {CATEGORY("drinks", 10, 0.93f), CLASS("fluid", 10, 0.96f),
                                          CLASS("coffee", 5, 0.93f)};
        assert_string_equal(choose(v, COUNT_OF(v), 10), "Drinks");
}

static void no_name_below_one_half(void **state)
{
        (void)state;
        const struct name_evidence v[] = {CATEGORY("dogs", 5, 0.9f), CLASS("beagle", 2, 1)};
        assert_null(choose(v, COUNT_OF(v), 10));
        assert_null(choose(NULL, 0, 3));
        const struct name_evidence other[] = {CATEGORY("other", 10, 0.9f)};
        assert_null(choose(other, 1, 10));
        assert_string_equal(name_dated(a, (struct wall){1795392000000000}), "Similar photos (Nov 2026)");
}

static void a_persons_word_names_unless_it_is_everywhere(void **state)
{
        (void)state;
        struct name_evidence v[] = {CATEGORY("dogs", 5, 0.9f), CLASS("beagle", 5, 0.9f), HUMAN("rex", 5)};
        assert_string_equal(choose(v, COUNT_OF(v), 5), "Rex");
        v[2].generic = true;
        assert_string_equal(choose(v, COUNT_OF(v), 5), "Beagle");
}

static void a_second_folder_of_dogs_says_which(void **state)
{
        (void)state;
        const char *const taken[] = {"dogs"};
        const struct name_evidence v[] = {CATEGORY("dogs", 10, 0.9f), CLASS("beagle", 6, 0.9f)};
        assert_string_equal(name_choose(a, v, 2, 10, taken, 1), "Dogs \xe2\x80\x93 beagle");
        assert_string_equal(name_choose(a, v, 1, 10, taken, 1), "Dogs");
        const char *const beagle[] = {"Beagle"};
        const struct name_evidence w[] = {CATEGORY("dogs", 10, 0.9f), CLASS("beagle", 9, 0.9f)};
        assert_string_equal(name_choose(a, w, 2, 10, beagle, 1), "Dogs \xe2\x80\x93 beagle");
}

static void names_do_not_flap(void **state)
{
        (void)state;
        const struct name_evidence v[] = {CATEGORY("dogs", 10, 0.9f), CLASS("beagle", 7, 0.9f)};
        assert_true(name_holds(a, "Beagle", v, 2, 10)); /* would not be chosen anew, but stays */
        assert_true(name_holds(a, "Dogs", v, 2, 10));
        assert_true(name_holds(a, "Dogs 2", v, 2, 10));
        assert_true(name_holds(a, "Dogs \xe2\x80\x93 beagle", v, 2, 10));
        assert_false(name_holds(a, "Cats", v, 2, 10));
        assert_false(name_holds(a, "Similar photos (Nov 2026)", v, 2, 10));
        const struct name_evidence w[] = {CATEGORY("dogs", 10, 0.9f), CLASS("beagle", 5, 0.9f)};
        assert_false(name_holds(a, "Beagle", w, 2, 10));
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(titles_begin_with_a_capital),
                cmocka_unit_test(titles_are_fit_for_a_file_system),
                cmocka_unit_test(the_category_names_a_mixed_folder),
                cmocka_unit_test(what_nearly_all_share_is_more_telling),
                cmocka_unit_test(a_wider_word_than_the_category_is_not_more_telling),
                cmocka_unit_test(no_name_below_one_half),
                cmocka_unit_test(a_persons_word_names_unless_it_is_everywhere),
                cmocka_unit_test(a_second_folder_of_dogs_says_which),
                cmocka_unit_test(names_do_not_flap),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
