/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder prepares pictures exactly as the built-in model's own tools do:
 * every input value its golden file lists must agree, and the embedding too.
 */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "decode/decode.h"
#include "embed/embed.h"
#include "json/json.h"

#define MODEL PROJECT_DIR "/models/builtin"
#define SIDE  260
#define RGB   (SIDE * SIDE * 3)

static struct json *golden;

static int setup(void **state)
{
        (void)state;
        struct err e;
        char *text;
        size_t n;
        if (decode_init("test_decode_golden", &e) || file_read_all(MODEL "/golden.json", 1 << 20, &text, &n, &e))
                return -1;
        golden = json_parse((struct span){text, n}, &e);
        mem_free(text);
        return golden ? 0 : -1;
}

static int teardown(void **state)
{
        (void)state;
        json_free(golden);
        return 0;
}

static const uint8_t *decode(const char *file, struct decode_output *out)
{
        const struct decode_request want = {
                .max_pixels = 1 << 24, .input = {{.width = SIDE, .height = SIDE, .crop_num = 260, .crop_den = 292}}};
        struct err e = {0};
        char path[512];
        snprintf(path, sizeof path, MODEL "/%s", file);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        if (decode_file(fd, &want, out, &e))
                fail_msg("%s: %s", file, e.msg);
        close(fd);
        assert_int_equal(out->n, 1);
        assert_int_equal(out->piece[0].entry.length, RGB);
        return out->piece[0].bytes;
}

/* A model input value back to the grey level it came from: (x-127)/128. */
static int level(const struct json *v)
{
        return (int)lround(json_num(v) * 128 + 127);
}

static void input_values_are_the_golden_ones(void **state)
{
        (void)state;
        const struct json *images = json_get(golden, "images");
        assert_true(json_count(images) >= 3);
        for (size_t i = 0; i < json_count(images); i++) {
                const struct json *g = json_at(images, i), *t = json_get(g, "tensor");
                struct decode_output out;
                const uint8_t *rgb = decode(json_get_str(g, "file", ""), &out);
                for (size_t x = 0; x < 8; x++)
                        assert_int_equal(rgb[3 * x], level(json_at(json_get(t, "first8_row0_R"), x)));
                for (size_t c = 0; c < 3; c++) {
                        size_t centre = (SIDE / 2 * SIDE + SIDE / 2) * 3;
                        assert_int_equal(rgb[centre + c], level(json_at(json_get(t, "center_RGB"), c)));
                        double sum = 0;
                        for (size_t k = c; k < RGB; k += 3)
                                sum += (rgb[k] - 127.0) / 128;
                        double want = json_num(json_at(json_get(t, "mean_rgb"), c));
                        assert_true(fabs(sum / (SIDE * SIDE) - want) < 1e-5); /* the golden mean is a float sum */
                }
                decode_output_done(&out);
        }
}

static void embeddings_are_the_golden_ones(void **state)
{
        (void)state;
        struct embed *m;
        struct err e;
        const struct embed_opts opts = {.model_dir = MODEL, .runtime_dir = PROJECT_DIR "/.cache/onnxruntime/lib"};
        if (embed_open(&opts, false, &m, &e)) {
                print_message("no runtime here: %s\n", e.msg);
                skip();
        }
        const struct json *images = json_get(golden, "images");
        for (size_t i = 0; i < json_count(images); i++) {
                const struct json *g = json_at(images, i), *want = json_get(g, "embedding");
                float v[4096];
                struct embed_image_result r = {.vector = v};
                struct decode_output out;
                assert_true(embed_dim(m) <= COUNT_OF(v));
                const uint8_t *rgb = decode(json_get_str(g, "file", ""), &out);
                if (embed_image(m, rgb, RGB, &r, &e))
                        fail_msg("%s", e.msg);
                double dot = 0, norm = 0;
                for (size_t k = 0; k < embed_dim(m); k++) {
                        double w = json_num(json_at(want, k));
                        dot += v[k] * w;
                        norm += w * w;
                }
                assert_true(dot / sqrt(norm) >= 0.999);
                decode_output_done(&out);
        }
        embed_close(m);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(input_values_are_the_golden_ones),
                cmocka_unit_test(embeddings_are_the_golden_ones),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
