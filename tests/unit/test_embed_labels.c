/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tags a picture gets, given class probabilities. Reaches behind the
 * room's public header, because no picture can be made to give chosen
 * probabilities.
 */
#include <setjmp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "embed/embed_priv.h"

#define CLASSES 1000

static struct labels *labels;

static int setup(void **state)
{
        struct err e = {0};
        (void)state;
        if (labels_open(PROJECT_DIR "/models/builtin/labels.json", &labels, &e))
                print_error("%s\n", e.msg);
        return labels ? 0 : -1;
}

static int teardown(void **state)
{
        (void)state;
        labels_close(labels);
        return 0;
}

struct guess {
        int class;
        float p;
};

static struct embed_image_result tag(const struct guess *g, size_t n)
{
        static float probs[CLASSES];
        struct embed_image_result r = {0};
        struct err e;
        memset(probs, 0, sizeof probs);
        for (size_t i = 0; i < n; i++)
                probs[g[i].class] = g[i].p;
        assert_int_equal(labels_tag(labels, probs, &r, &e), 0);
        for (size_t i = 0; i < r.ntags; i++)
                print_message("%s%s %.2f  ", r.tags[i].category ? "*" : "", r.tags[i].name, r.tags[i].confidence);
        print_message("\n");
        return r;
}

static const struct embed_tag *find(const struct embed_image_result *r, const char *name)
{
        for (size_t i = 0; i < r->ntags; i++)
                if (!strcmp(r->tags[i].name, name))
                        return &r->tags[i];
        return NULL;
}

static void a_golden_retriever_gets_the_words_people_use(void **state)
{
        (void)state;
        struct embed_image_result r = tag(&(struct guess){207, 0.9f}, 1);
        assert_int_equal(r.ntags, 3);
        assert_string_equal(r.tags[0].name, "dogs");
        assert_true(r.tags[0].category);
        assert_string_equal(r.tags[1].name, "golden retriever");
        assert_string_equal(r.tags[2].name, "retriever");
        assert_float_equal(r.sure, 0.9, 1e-5);
}

static void words_that_say_nothing_are_never_tags(void **state)
{
        static const char *const empty[] = {"entity",     "whole",    "object",    "living thing", "organism", "animal",
                                            "vertebrate", "chordate", "placental", "drug",         "durables", "fluid"};
        (void)state;
        for (int class = 0; class < CLASSES; class ++) {
                static float probs[CLASSES];
                struct embed_image_result r = {0};
                struct err e;
                memset(probs, 0, sizeof probs);
                probs[class] = 1;
                assert_int_equal(labels_tag(labels, probs, &r, &e), 0);
                assert_true(r.ntags >= 1 && r.ntags <= EMBED_MAX_TAGS);
                for (size_t i = 0; i < COUNT_OF(empty); i++)
                        assert_null(find(&r, empty[i]));
        }
}

/* WordNet reaches "drug" from "cup" by way of the punch in it. */
static void a_stray_sense_is_no_tag(void **state)
{
        (void)state;
        struct embed_image_result r = tag(&(struct guess){968, 1}, 1);
        assert_null(find(&r, "drug"));
        assert_non_null(find(&r, "kitchen"));
}

static void breeds_in_doubt_still_make_a_sure_dog(void **state)
{
        (void)state;
        const struct guess g[] = {{205, 0.3f}, {206, 0.2f}, {207, 0.3f}, {208, 0.15f}};
        struct embed_image_result r = tag(g, COUNT_OF(g));
        assert_non_null(find(&r, "dogs"));
        assert_float_equal(find(&r, "retriever")->confidence, 0.95, 1e-4);
        assert_null(find(&r, "golden retriever"));
        assert_float_equal(r.sure, 0.95, 1e-4);
}

static void an_unknown_picture_gets_no_tags(void **state)
{
        static float flat[CLASSES];
        struct embed_image_result r = {0};
        struct err e;
        (void)state;
        for (int i = 0; i < CLASSES; i++)
                flat[i] = 1.0f / CLASSES;
        assert_int_equal(labels_tag(labels, flat, &r, &e), 0);
        assert_int_equal(r.ntags, 0);
        assert_true(r.sure < 0.5f);
}

static void nothing_is_said_twice(void **state)
{
        (void)state;
        for (int class = 0; class < CLASSES; class += 37) {
                struct embed_image_result r = tag(&(struct guess){class, 1}, 1);
                for (size_t i = 0; i < r.ntags; i++)
                        for (size_t k = 0; k < i; k++)
                                assert_string_not_equal(r.tags[i].name, r.tags[k].name);
        }
}

static void probabilities_that_are_no_numbers_give_no_tags(void **state)
{
        static float probs[CLASSES];
        struct embed_image_result r = {0};
        struct err e;
        (void)state;
        for (int i = 0; i < CLASSES; i++)
                probs[i] = NAN;
        assert_int_equal(labels_tag(labels, probs, &r, &e), 0);
        assert_int_equal(r.ntags, 0);
        assert_true(r.sure == 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_golden_retriever_gets_the_words_people_use),
                cmocka_unit_test(words_that_say_nothing_are_never_tags),
                cmocka_unit_test(a_stray_sense_is_no_tag),
                cmocka_unit_test(breeds_in_doubt_still_make_a_sure_dog),
                cmocka_unit_test(an_unknown_picture_gets_no_tags),
                cmocka_unit_test(nothing_is_said_twice),
                cmocka_unit_test(probabilities_that_are_no_numbers_give_no_tags),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
