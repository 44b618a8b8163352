/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in model against the vectors its maker recorded. The golden
 * pictures are drawn here by the formulas of models/builtin/build.py and
 * resized by a plain triangle filter, so this test needs no decoder.
 */
#include <setjmp.h>
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>
#include <cmocka.h>

#include "embed/embed.h"
#include "json/json.h"

#define MODEL   PROJECT_DIR "/models/builtin"
#define RUNTIME PROJECT_DIR "/.cache/onnxruntime/lib"
#define DIM     512
#define SIDE    260

static struct embed *model;
static struct json *golden;

static int setup(void **state)
{
        struct err e = {0};
        char *text;
        size_t n;
        (void)state;
        if (embed_open(&(struct embed_opts){MODEL, RUNTIME}, true, &model, &e) ||
            file_read_all(MODEL "/golden.json", 1 << 20, &text, &n, &e)) {
                print_error("%s\n", e.msg);
                return -1;
        }
        golden = json_parse((struct span){text, n}, &e);
        mem_free(text);
        return golden ? 0 : -1;
}

static int teardown(void **state)
{
        (void)state;
        json_free(golden);
        embed_close(model);
        return 0;
}

static double cosine_to(const float *v, const struct json *want)
{
        double dot = 0, aa = 0, bb = 0;
        assert_int_equal(json_count(want), DIM);
        for (size_t i = 0; i < DIM; i++) {
                double w = json_num(json_at(want, i));
                dot += v[i] * w;
                aa += (double)v[i] * v[i];
                bb += w * w;
        }
        assert_float_equal(aa, 1.0, 1e-5);
        return dot / sqrt(aa * bb);
}

/* ---- golden texts ------------------------------------------------------------- */

static void texts_agree_with_the_reference(void **state)
{
        const struct json *texts = json_get(golden, "texts");
        double worst = 1;
        (void)state;
        for (size_t i = 0; i < json_count(texts); i++) {
                const struct json *t = json_at(texts, i);
                float v[DIM];
                struct err e;
                assert_int_equal(embed_text(model, json_span(json_get(t, "text")), v, &e), 0);
                double c = cosine_to(v, json_get(t, "embedding"));
                worst = c < worst ? c : worst;
        }
        print_message("%zu texts, smallest cosine %.6f\n", json_count(texts), worst);
        assert_int_equal(json_count(texts), 12);
        assert_true(worst >= 0.999);
}

/* ---- golden pictures ------------------------------------------------------------ */

struct picture {
        uint8_t *rgb;
        size_t w, h;
};

static struct picture picture_new(size_t w, size_t h)
{
        struct picture p = {mem_alloc(w * h * 3), w, h};
        assert_non_null(p.rgb);
        return p;
}

static uint8_t cut_byte(double x)
{
        return (uint8_t)(x < 0 ? 0 : x > 255 ? 255 : x);
}

static struct picture draw_gradient(void)
{
        struct picture p = picture_new(256, 200);
        uint8_t *o = p.rgb;
        for (size_t y = 0; y < p.h; y++)
                for (size_t x = 0; x < p.w; x++, o += 3) {
                        o[0] = (uint8_t)x;
                        o[1] = (uint8_t)(y * 255 / 199);
                        o[2] = (uint8_t)(255 - x);
                }
        return p;
}

static struct picture draw_checker(void)
{
        struct picture p = picture_new(128, 128);
        uint8_t *o = p.rgb;
        for (size_t y = 0; y < p.h; y++)
                for (size_t x = 0; x < p.w; x++, o += 3) {
                        uint8_t c = (x / 16 + y / 16) % 2 ? 255 : 0;
                        o[0] = o[1] = c;
                        o[2] = (uint8_t)(255 - c / 2);
                }
        return p;
}

static struct picture draw_rings(void)
{
        struct picture p = picture_new(640, 480);
        uint8_t *o = p.rgb;
        for (size_t y = 0; y < p.h; y++)
                for (size_t x = 0; x < p.w; x++, o += 3) {
                        double r = hypot((double)x - 320, (double)y - 240);
                        o[0] = cut_byte(127 + 120 * sin(r / 9));
                        o[1] = cut_byte(127 + 120 * cos((double)x / 23));
                        o[2] = cut_byte(60 + 40 * sin((double)y / 17));
                }
        return p;
}

/* One output sample: n source samples of the given stride; the window may leave the crop but not the picture. */
static uint8_t triangle(const uint8_t *src, size_t stride, size_t n, double start, double scale, size_t out)
{
        double stretch = scale > 1 ? scale : 1, centre = start + ((double)out + 0.5) * scale, sum = 0, norm = 0;
        int lo = (int)(centre - stretch + 0.5), hi = (int)(centre + stretch + 0.5);
        lo = lo < 0 ? 0 : lo;
        hi = hi > (int)n ? (int)n : hi;
        for (int i = lo; i < hi; i++) {
                double w = 1 - fabs((i - centre + 0.5) / stretch);
                w = w > 0 ? w : 0;
                norm += w;
                sum += w * src[(size_t)i * stride];
        }
        return cut_byte(sum / norm + 0.5);
}

static void prepare(struct picture p, uint8_t *rgb)
{
        struct embed_image_spec s = embed_image_spec(model);
        size_t least = p.w < p.h ? p.w : p.h, side = s.crop_num * least / s.crop_den;
        size_t left = (p.w - side + 1) / 2, top = (p.h - side + 1) / 2;
        double scale = (double)side / SIDE;
        struct picture wide = picture_new(SIDE, p.h);
        for (size_t y = 0; y < p.h; y++)
                for (size_t x = 0; x < SIDE; x++)
                        for (size_t c = 0; c < 3; c++)
                                wide.rgb[(y * SIDE + x) * 3 + c] =
                                        triangle(p.rgb + y * p.w * 3 + c, 3, p.w, (double)left, scale, x);
        for (size_t y = 0; y < SIDE; y++)
                for (size_t x = 0; x < SIDE; x++)
                        for (size_t c = 0; c < 3; c++)
                                rgb[(y * SIDE + x) * 3 + c] =
                                        triangle(wide.rgb + x * 3 + c, SIDE * 3, p.h, (double)top, scale, y);
        mem_free(wide.rgb);
}

static void pictures_agree_with_the_reference(void **state)
{
        struct picture (*const draw[])(void) = {draw_gradient, draw_checker, draw_rings};
        static uint8_t rgb[SIDE * SIDE * 3];
        const struct json *images = json_get(golden, "images");
        (void)state;
        assert_int_equal(json_count(images), COUNT_OF(draw));
        for (size_t i = 0; i < COUNT_OF(draw); i++) {
                struct picture p = draw[i]();
                float v[DIM];
                struct err e;
                struct embed_image_result r = {.vector = v};
                prepare(p, rgb);
                mem_free(p.rgb);
                assert_int_equal(embed_image(model, rgb, sizeof rgb, &r, &e), 0);
                double c = cosine_to(v, json_get(json_at(images, i), "embedding"));
                print_message("%s: cosine %.6f\n", json_get_str(json_at(images, i), "file", "?"), c);
                assert_true(c >= 0.999);
                for (size_t k = 1; k < r.ntags; k++)
                        assert_true(r.tags[k - 1].confidence >= r.tags[k].confidence);
        }
}

/* ---- the rest of the promise --------------------------------------------------------- */

static void names_itself_by_what_gives_vectors_meaning(void **state)
{
        (void)state;
        assert_string_equal(embed_model_id(model), "builtin-fe305fca6a84-fp32-p1");
        assert_int_equal(embed_dim(model), DIM);
        struct embed_image_spec s = embed_image_spec(model);
        assert_int_equal(s.width, SIDE);
        assert_int_equal(s.height, SIDE);
        assert_int_equal(s.crop_num, 260);
        assert_int_equal(s.crop_den, 292);
        assert_true(embed_is_category(model, "dogs"));
        assert_false(embed_is_category(model, "golden retriever"));
        print_message("ONNX Runtime %s\n", embed_runtime_version(model));
}

static void calibration_is_monotone_and_inverts(void **state)
{
        (void)state;
        assert_float_equal(embed_similarity_image(model, 0.62f), 0.72, 0.001);
        assert_float_equal(embed_similarity_text(model, 0.45f), 0.5, 0.001);
        float before = -1;
        for (int i = -100; i <= 100; i++) {
                float c = (float)i / 100, s = embed_similarity_image(model, c);
                assert_true(s > before && s >= 0 && s <= 1);
                before = s;
                assert_float_equal(embed_cosine_image(model, s), c, 0.01);
        }
        assert_float_equal(embed_cosine_image(model, 0.72f), 0.62, 0.001);
        assert_true(embed_cosine_image(model, 0) == -1 && embed_cosine_image(model, 1) == 1);
        assert_true(embed_cosine_image(model, NAN) == -1);
}

static void texts_of_any_length_and_bytes_embed(void **state)
{
        (void)state;
        float v[DIM], w[DIM];
        struct err e;
        char noise[5000];
        for (size_t i = 0; i < sizeof noise; i++)
                noise[i] = (char)(i * 31 + 7);
        assert_int_equal(embed_text(model, (struct span){noise, sizeof noise}, v, &e), 0);
        char *words = mem_calloc(1, 40001);
        assert_non_null(words);
        for (size_t i = 0; i < 10000; i++)
                memcpy(words + i * 4, "dog ", 4);
        assert_int_equal(embed_text(model, (struct span){words, 40000}, v, &e), 0);
        assert_int_equal(embed_text(model, (struct span){words, 4000}, w, &e), 0);
        assert_memory_equal(v, w, sizeof v); /* both cut to the same 126 pieces */
        mem_free(words);
}

static void wrong_amount_of_pixels_is_refused(void **state)
{
        (void)state;
        uint8_t few[30] = {0};
        float v[DIM];
        struct err e;
        struct embed_image_result r = {.vector = v};
        assert_int_equal(embed_image(model, few, sizeof few, &r, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
}

static void a_folder_without_a_model_is_named(void **state)
{
        (void)state;
        struct embed *m = NULL;
        struct err e;
        assert_int_equal(embed_open(&(struct embed_opts){TEST_DATA "/nowhere", RUNTIME}, false, &m, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        assert_non_null(strstr(e.msg, "nowhere"));
        assert_null(m);
        embed_close(NULL);
}

/* libm under ONNX Runtime's name: a library that loads and is not it. */
static void a_foreign_library_is_refused_by_name(void **state)
{
        char dir[] = "/tmp/fa-embed-XXXXXX", path[64];
        struct embed *m = NULL;
        struct err e;
        Dl_info libm;
        (void)state;
        assert_true(dladdr(dlsym(RTLD_DEFAULT, "cbrt"), &libm));
        assert_non_null(mkdtemp(dir));
        snprintf(path, sizeof path, "%s/libonnxruntime.so.1", dir);
        assert_int_equal(symlink(libm.dli_fname, path), 0);
        int rc = embed_open(&(struct embed_opts){MODEL, dir}, false, &m, &e);
        unlink(path);
        rmdir(dir);
        assert_int_equal(rc, -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        assert_non_null(strstr(e.msg, "OrtGetApiBase"));
        assert_non_null(strstr(e.msg, dir));
}

/* A copy of the built-in folder, by links, whose manifest differs in one place. */
static int open_with_manifest(const char *from, const char *to, struct err *e)
{
        static const char *const files[] = {"image.onnx", "text.onnx", "vocab.txt", "labels.json", "golden.json"};
        char dir[] = "/tmp/fa-embed-XXXXXX", path[256], *text;
        struct embed *m = NULL;
        size_t n;
        struct err ignored;
        assert_non_null(mkdtemp(dir));
        for (size_t i = 0; i < COUNT_OF(files); i++) {
                char target[512];
                snprintf(path, sizeof path, "%s/%s", dir, files[i]);
                snprintf(target, sizeof target, MODEL "/%s", files[i]);
                assert_int_equal(symlink(target, path), 0);
        }
        assert_int_equal(file_read_all(MODEL "/model.json", 1 << 20, &text, &n, &ignored), 0);
        char *at = strstr(text, from);
        assert_non_null(at);
        snprintf(path, sizeof path, "%s/model.json", dir);
        FILE *f = fopen(path, "w");
        assert_non_null(f);
        fprintf(f, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
        fclose(f);
        mem_free(text);
        int rc = embed_open(&(struct embed_opts){dir, RUNTIME}, true, &m, e);
        embed_close(m);
        unlink(path);
        for (size_t i = 0; i < COUNT_OF(files); i++) {
                snprintf(path, sizeof path, "%s/%s", dir, files[i]);
                unlink(path);
        }
        rmdir(dir);
        return rc;
}

static void a_model_that_does_not_fit_its_manifest_never_opens(void **state)
{
        static const struct {
                const char *from, *to, *says;
                enum err_code code;
        } cases[] = {
                {"\"bytes\": 13322078", "\"bytes\": 13322079", "13322079", ERR_CORRUPT},
                {"fe305fca6a84dc08", "fe305fca6a84dc09", "sha256", ERR_CORRUPT},
                {"\"dim\": 512", "\"dim\": 500", "500", ERR_CORRUPT},
                {"\"dim\": 512", "\"dim\": 0", "dim", ERR_CORRUPT},
                {"\"file\": \"image.onnx\"", "\"file\": \"../image.onnx\"", "outside", ERR_CORRUPT},
                {"\"image_embeds\"", "\"nonsense\"", "nonsense", ERR_UNAVAILABLE},
                {"\"wordpiece-uncased\"", "\"bpe\"", "bpe", ERR_UNSUPPORTED},
                {"\"filter\": \"triangle\"", "\"filter\": \"bicubic\"", "bicubic", ERR_UNSUPPORTED},
                {"\"a\": 10.0", "\"a\": -10.0", "calibration", ERR_CORRUPT},
                {"\"max_tokens\": 128", "\"max_tokens\": 1", "max_tokens", ERR_CORRUPT},
                {"\"file\": \"image.onnx\"", "\"file\": \"vocab.txt\"", "", ERR_UNAVAILABLE},
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
                struct err e = {0};
                assert_int_equal(open_with_manifest(cases[i].from, cases[i].to, &e), -1);
                print_message("%s\n", e.msg);
                assert_non_null(strstr(e.msg, cases[i].says));
                if (cases[i].says[0])
                        assert_int_equal(e.code, cases[i].code);
        }
}

struct talker {
        pthread_t thread;
        int failures;
};

static void *talk(void *arg)
{
        struct talker *t = arg;
        static const char *const texts[] = {"dog", "a red sports car", "sunset at the beach"};
        for (int i = 0; i < 12; i++) {
                float alone[DIM], v[DIM];
                struct err e;
                struct span text = span_of(texts[i % 3]);
                if (embed_text(model, text, v, &e) || embed_text(model, text, alone, &e) ||
                    memcmp(v, alone, sizeof v) != 0)
                        t->failures++;
        }
        return NULL;
}

static void threads_share_a_model(void **state)
{
        struct talker talkers[4] = {0};
        (void)state;
        for (size_t i = 0; i < COUNT_OF(talkers); i++)
                assert_int_equal(pthread_create(&talkers[i].thread, NULL, talk, &talkers[i]), 0);
        for (size_t i = 0; i < COUNT_OF(talkers); i++) {
                pthread_join(talkers[i].thread, NULL);
                assert_int_equal(talkers[i].failures, 0);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(texts_agree_with_the_reference),
                cmocka_unit_test(pictures_agree_with_the_reference),
                cmocka_unit_test(names_itself_by_what_gives_vectors_meaning),
                cmocka_unit_test(calibration_is_monotone_and_inverts),
                cmocka_unit_test(texts_of_any_length_and_bytes_embed),
                cmocka_unit_test(wrong_amount_of_pixels_is_refused),
                cmocka_unit_test(a_folder_without_a_model_is_named),
                cmocka_unit_test(a_foreign_library_is_refused_by_name),
                cmocka_unit_test(a_model_that_does_not_fit_its_manifest_never_opens),
                cmocka_unit_test(threads_share_a_model),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
