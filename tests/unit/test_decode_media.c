/* SPDX-License-Identifier: Apache-2.0 */
/* The decoder's parts on their own: arithmetic, turning, resizing, hash, palette, EXIF text. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "decode/decode.h"
#include "decode/media/media_priv.h"

static int setup(void **state)
{
        (void)state;
        struct err e;
        return decode_init("test_decode_media", &e);
}

static struct picture picture(uint32_t w, uint32_t h)
{
        struct picture p;
        struct err e;
        assert_int_equal(picture_new(&p, w, h, &e), 0);
        for (size_t i = 0; i < (size_t)w * h * 3; i++)
                p.px[i] = (uint8_t)(i * 2654435761u >> 24);
        return p;
}

static void alpha_is_blended_over_white(void **state)
{
        (void)state;
        const uint8_t rgba[] = {10, 20, 30, 255, 10, 20, 30, 0, 0, 0, 0, 128};
        const uint8_t want[] = {10, 20, 30, 255, 255, 255, 127, 127, 127};
        uint8_t rgb[12];
        memcpy(rgb, rgba, sizeof rgba);
        samples_blend_white(rgb, 4, 3, rgb);
        assert_memory_equal(rgb, want, sizeof want);
        uint8_t grey[6] = {5, 9};
        samples_blend_white(grey, 1, 2, grey);
        assert_memory_equal(grey, ((uint8_t[]){5, 5, 5, 9, 9, 9}), 6);
}

static void cmyk_follows_adobes_formula(void **state)
{
        (void)state;
        const uint8_t cmyk[] = {0, 0, 0, 0, 255, 0, 0, 0, 0, 0, 0, 255, 128, 64, 32, 100};
        uint8_t rgb[12];
        samples_from_cmyk(cmyk, 4, rgb);
        assert_memory_equal(rgb, ((uint8_t[]){255, 255, 255, 0, 255, 255, 0, 0, 0, 77, 116, 136}), 12);
}

static void floats_are_scaled_by_their_range(void **state)
{
        (void)state;
        uint8_t out[3];
        samples_from_float((const float[]){0, 0.5f, 1}, 1, 3, out);
        assert_memory_equal(out, ((uint8_t[]){0, 128, 255}), 3);
        samples_from_float((const float[]){0, 65535, (float)NAN}, 1, 3, out);
        assert_memory_equal(out, ((uint8_t[]){0, 255, 0}), 3);
}

static void four_quarter_turns_are_none(void **state)
{
        (void)state;
        static const int pairs[][2] = {{2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 8}, {7, 7}, {8, 6}};
        struct err e;
        for (size_t i = 0; i < COUNT_OF(pairs); i++) {
                struct picture a = picture(70, 41), b = picture(70, 41);
                assert_int_equal(picture_turn(&b, pairs[i][0], &e), 0);
                assert_int_equal(b.w, pairs[i][0] >= 5 ? 41 : 70);
                assert_memory_not_equal(a.px, b.px, 70 * 41 * 3);
                assert_int_equal(picture_turn(&b, pairs[i][1], &e), 0);
                assert_memory_equal(a.px, b.px, 70 * 41 * 3);
                picture_done(&a);
                picture_done(&b);
        }
        /* orientation 6: the stored left column, bottom first, becomes the top row */
        struct picture p = picture(3, 2), q = picture(3, 2);
        assert_int_equal(picture_turn(&p, 6, &e), 0);
        assert_memory_equal(p.px, q.px + 9, 3);
        assert_memory_equal(p.px + 3, q.px, 3);
        picture_done(&p);
        picture_done(&q);
}

static void resizing_keeps_flat_pictures_flat_and_any_size_works(void **state)
{
        (void)state;
        static const uint32_t sides[] = {1, 2, 3, 17, 260, 1001};
        struct err e;
        for (size_t i = 0; i < COUNT_OF(sides) * COUNT_OF(sides); i++) {
                uint32_t from = sides[i / COUNT_OF(sides)], to = sides[i % COUNT_OF(sides)];
                struct picture p = picture(from, sides[COUNT_OF(sides) - 2]), out;
                memset(p.px, 201, (size_t)p.w * p.h * 3);
                assert_int_equal(picture_resize(&p, (struct box){0, 0, p.w, p.h}, to, 5, &out, &e), 0);
                for (size_t k = 0; k < (size_t)to * 5 * 3; k++)
                        assert_int_equal(out.px[k], 201);
                picture_done(&p);
                picture_done(&out);
        }
}

static void shrinking_leaves_enough_for_every_product(void **state)
{
        (void)state;
        const struct decode_request all = {
                .product = {{.name = "thumb", .size = 256}, {.name = "preview", .size = 1024}},
                .input = {{.width = 260, .height = 260}}};
        const struct decode_request small = {.product = {{.name = "thumb", .size = 256}}};
        assert_int_equal(media_shrink(640, 480, &all), 1);
        assert_int_equal(media_shrink(4000, 3000, &all), 2);
        assert_int_equal(media_shrink(8000, 6000, &all), 4);
        assert_int_equal(media_shrink(100000, 700, &all), 1);
        assert_int_equal(media_shrink(4000, 3000, &small), 8);
        assert_int_equal(media_shrink(1, 1, &small), 1);
}

static struct picture photo(const char *name)
{
        const struct decode_request want = {.max_pixels = 1 << 24, .input = {{.width = 260, .height = 260}}};
        char path[512];
        struct picture p, view;
        struct media_file f;
        struct err e;
        snprintf(path, sizeof path, TEST_DATA "/photos/%s", name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        if (media_open(fd, &want, &f, &e) || media_pixels(&f, &p, &view, &e))
                fail_msg("%s: %s", name, e.msg);
        media_close(&f);
        picture_done(&view);
        close(fd);
        return p;
}

static uint64_t hash_of(const struct picture *p)
{
        uint64_t h;
        struct err e;
        assert_int_equal(picture_phash(p, &h, &e), 0);
        return h;
}

static void hash_is_stable_against_size_and_light_and_tells_pictures_apart(void **state)
{
        static const char *const names[] = {"astronaut.jpg", "coffee.jpg", "cat.jpg",       "rocket.jpg",
                                            "galaxies.jpg",  "coins.png",  "motorcycle.jpg"};
        uint64_t hash[COUNT_OF(names)];
        struct err e;
        (void)state;
        for (size_t i = 0; i < COUNT_OF(names); i++) {
                struct picture p = photo(names[i]), half;
                hash[i] = hash_of(&p);
                assert_int_equal(picture_resize(&p, (struct box){0, 0, p.w, p.h}, p.w / 2, p.h / 2, &half, &e), 0);
                assert_true(__builtin_popcountll(hash[i] ^ hash_of(&half)) <= 4);
                for (size_t k = 0; k < (size_t)p.w * p.h * 3; k++)
                        p.px[k] = (uint8_t)(p.px[k] * 7 / 8);
                assert_true(__builtin_popcountll(hash[i] ^ hash_of(&p)) <= 4);
                for (size_t k = 0; k < i; k++)
                        assert_true(__builtin_popcountll(hash[i] ^ hash[k]) >= 12);
                picture_done(&p);
                picture_done(&half);
        }
        struct picture flat = picture(64, 64);
        memset(flat.px, 90, 64 * 64 * 3);
        assert_true(hash_of(&flat) == 0);
        picture_done(&flat);
}

static void palette_finds_the_colours(void **state)
{
        (void)state;
        struct palette c;
        struct picture p = picture(100, 10);
        for (size_t i = 0; i < 1000; i++)
                memcpy(p.px + 3 * i, i % 10 < 7 ? (uint8_t[]){200, 30, 30} : (uint8_t[]){20, 20, 220}, 3);
        picture_palette(&p, &c);
        assert_int_equal(c.n, 2);
        assert_memory_equal(c.rgb[0], ((uint8_t[]){200, 30, 30}), 3);
        assert_memory_equal(c.rgb[1], ((uint8_t[]){20, 20, 220}), 3);
        picture_done(&p);
}

static void exif_text_is_read_and_cleaned(void **state)
{
        static const struct {
                const char *field, *value;
        } rows[] = {
                {"Canon (Canon, ASCII, 6 components, 6 bytes)", "Canon"},
                {"A (B) C (A (B) C, ASCII, 8 components, 8 bytes)", "A (B) C"},
                {"6 (Right-top, Short, 1 components, 2 bytes)", "6"},
                {" (, ASCII, 1 components, 1 bytes)", ""},
                {"plain", "plain"},
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++)
                assert_true(span_eq(exif_value(span_of(rows[i].field)), rows[i].value));
        struct buf b;
        buf_init(&b, 1024);
        exif_clean(SPAN(" a\x01"
                        "b\xff"
                        "c\xc2\x85 "),
                   &b);
        assert_string_equal(buf_str(&b), "a b?c");
        buf_done(&b);
}

static void exif_numbers_and_places(void **state)
{
        (void)state;
        double v;
        assert_true(exif_number(SPAN("28/10"), &v) && v == 2.8);
        assert_true(exif_number(SPAN("-1/4"), &v) && v == -0.25);
        assert_false(exif_number(SPAN("1/0"), &v));
        assert_false(exif_number(SPAN("f/2"), &v));
        assert_true(exif_degrees(SPAN("48/1 30/1 0/1"), SPAN("N"), &v) && v == 48.5);
        assert_true(exif_degrees(SPAN("11/1 15/1 0/0"), SPAN("W"), &v) && v == -11.25);
        assert_false(exif_degrees(SPAN("91/1 0/1 0/1"), SPAN("N"), &v));
        assert_false(exif_degrees(SPAN("48/1 30/1 0/1"), SPAN(""), &v));
        assert_false(exif_degrees(SPAN("0/0 0/0 0/0"), SPAN("N"), &v));
}

static void warm_up_decodes_every_built_in_file(void **state)
{
        (void)state;
        struct decode_warm_up w;
        struct err e = {0};
        if (decode_warm_up_open(&w, &e) || decode_warm_up(&w, &e) || decode_warm_up(&w, &e))
                fail_msg("%s", e.msg);
        decode_warm_up_close(&w);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(alpha_is_blended_over_white),
                cmocka_unit_test(cmyk_follows_adobes_formula),
                cmocka_unit_test(floats_are_scaled_by_their_range),
                cmocka_unit_test(four_quarter_turns_are_none),
                cmocka_unit_test(resizing_keeps_flat_pictures_flat_and_any_size_works),
                cmocka_unit_test(shrinking_leaves_enough_for_every_product),
                cmocka_unit_test(hash_is_stable_against_size_and_light_and_tells_pictures_apart),
                cmocka_unit_test(palette_finds_the_colours),
                cmocka_unit_test(exif_text_is_read_and_cleaned),
                cmocka_unit_test(exif_numbers_and_places),
                cmocka_unit_test(warm_up_decodes_every_built_in_file),
        };
        return cmocka_run_group_tests(tests, setup, NULL);
}
