/* SPDX-License-Identifier: Apache-2.0 */
/* The table of what is understood: which files get a task, which do not and why, and what is made of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "ingest/ingest_priv.h"

#define LIMIT 1000

static struct new_asset classify(enum sniff_kind kind, const char *mime, uint64_t size, struct arena *a)
{
        struct ingest ing = {.o = {.max_image_bytes = LIMIT}};
        struct sniff_type t = {.kind = kind, .mime = mime, .extension = ""};
        struct new_asset out = {.size = 0};

        pipeline_classify(&ing, &t, size, &out, a);
        return out;
}

static void pictures_have_a_task(void **state)
{
        static const char *const types[] = {"image/jpeg", "image/png",  "image/webp", "image/gif", "image/tiff",
                                            "image/heic", "image/heif", "image/avif", "image/jxl"};
        struct arena *a = arena_new(1 << 16);

        (void)state;
        for (size_t i = 0; i < COUNT_OF(types); i++) {
                struct new_asset x = classify(SNIFF_IMAGE, types[i], LIMIT, a);
                assert_int_equal(x.purposes, 1u << PURPOSE_ANALYSE);
                assert_null(x.analysis_note);
                assert_int_equal(x.kind, KIND_MEDIA);
                assert_int_equal(x.type, JOB_IMAGE);
                assert_true(ingest_understands(x.type));
        }
        arena_free(a);
}

static void the_limit_is_the_last_size_that_is_analysed(void **state)
{
        struct arena *a = arena_new(1 << 16);
        struct new_asset x = classify(SNIFF_IMAGE, "image/png", LIMIT + 1, a);

        (void)state;
        assert_int_equal(x.purposes, 0);
        assert_string_equal(x.analysis_note, "larger than MAX_IMAGE_BYTES (1000 bytes)");
        arena_free(a);
}

static void what_is_not_understood_says_why(void **state)
{
        static const struct {
                enum sniff_kind kind;
                const char *mime, *says;
                enum asset_kind as;
        } rows[] = {
                {SNIFF_IMAGE, "image/bmp", "not decoded", KIND_MEDIA},
                {SNIFF_VIDEO, "video/mp4", "videos are stored", KIND_MEDIA},
                {SNIFF_AUDIO, "audio/mpeg", "audio is stored", KIND_FILE},
                {SNIFF_DOCUMENT, "application/pdf", "documents are stored", KIND_DOCUMENT},
                {SNIFF_JSON, "application/json", "JSON files are stored", KIND_FILE},
                {SNIFF_FILE, "application/octet-stream", NULL, KIND_FILE},
        };
        struct arena *a = arena_new(1 << 16);

        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                struct new_asset x = classify(rows[i].kind, rows[i].mime, 10, a);
                assert_int_equal(x.purposes, 0);
                assert_int_equal(x.kind, rows[i].as);
                assert_int_equal(x.analysis_note != NULL, rows[i].says != NULL);
                if (rows[i].says)
                        assert_non_null(strstr(x.analysis_note, rows[i].says));
        }
        assert_false(ingest_understands(JOB_VIDEO));
        assert_false(ingest_understands(JOB_FILE));
        arena_free(a);
}

/* The catalog takes a list of products only in this form, and a page only shows what has a media type. */
static void a_pipelines_products_are_a_list(void **state)
{
        const struct pipeline *p = pipeline_of("image/jpeg");
        char list[PRODUCTS_MAX] = "";
        struct span rest, name;

        (void)state;
        assert_non_null(p);
        for (size_t i = 0; i < p->nproducts; i++) {
                snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? " " : "", p->products[i].name);
                assert_string_equal(ingest_product_type(p->products[i].name), p->products[i].media_type);
        }
        assert_true(products_valid(span_of(list)));
        rest = span_of(list);
        for (size_t i = 0; i < p->nproducts; i++)
                assert_true(product_next(&rest, &name) && span_eq(name, p->products[i].name));
        assert_false(product_next(&rest, &name));
        assert_null(ingest_product_type("thumb"));
}

static void lists_of_products_are_checked(void **state)
{
        static const char *const good[] = {"", "a", "thumb.webp", "preview.jpg thumb.webp",
                                           "frame-1.webp frame-10.webp"};
        static const char *const bad[] = {" ", "b a", "a a", "a  b", " a", "a ", "../x", "A.jpg", "1.jpg", "a/b"};

        (void)state;
        for (size_t i = 0; i < COUNT_OF(good); i++)
                assert_true(products_valid(span_of(good[i])));
        for (size_t i = 0; i < COUNT_OF(bad); i++)
                if (products_valid(span_of(bad[i])))
                        fail_msg("'%s' passes", bad[i]);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(pictures_have_a_task),
                cmocka_unit_test(the_limit_is_the_last_size_that_is_analysed),
                cmocka_unit_test(what_is_not_understood_says_why),
                cmocka_unit_test(a_pipelines_products_are_a_list),
                cmocka_unit_test(lists_of_products_are_checked),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
