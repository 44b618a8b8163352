/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kernel gives the same integers. Those this CPU can run are called as
 * they ship; the AVX-512 VNNI kernel is also compiled here from the same source
 * through SIMDe, which carries out each of its operations on any CPU. That
 * proves its arithmetic (bias, signs, no saturation, tails); it does not prove
 * the machine code of the shipped build, which a CPU with VNNI must run.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vector/vector.h"
#include "vector/vector_priv.h"

#pragma GCC diagnostic ignored "-Wpsabi" /* the emulation's vectors never cross a file */
#if __has_include(<simde/x86/avx512.h>)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#pragma GCC diagnostic pop
#define VECTOR_EMULATED
#include "../../src/vector/vector_avx512.c"
#endif

#define ROWS 11 /* a group of eight, of four, and odd ones */

enum fill { FILL_RANDOM, FILL_MOST, FILL_LEAST, FILL_MIXED, FILLS };

static uint32_t seed = 7;

static int8_t value(enum fill fill)
{
        seed = seed * 1664525 + 1013904223;
        switch (fill) {
        case FILL_MOST:
                return 127;
        case FILL_LEAST:
                return -127;
        case FILL_MIXED:
                return seed >> 31 ? 127 : -127;
        default:
                return (int8_t)((int)(seed >> 16) % 255 - 127);
        }
}

struct batch {
        _Alignas(64) int8_t rows[ROWS * VECTOR_MAX_DIM];
        _Alignas(64) int8_t q[VECTOR_MAX_DIM];
        _Alignas(64) uint8_t mag[VECTOR_MAX_DIM];
        int32_t want[ROWS];
        struct vec_query query;
};

static void batch_make(struct batch *b, size_t dim, enum fill rows, enum fill query)
{
        size_t stride = (dim + 63) / 64 * 64;
        int32_t sum = 0;
        memset(b, 0, sizeof *b);
        for (size_t d = 0; d < dim; d++) {
                b->q[d] = value(query);
                b->mag[d] = (uint8_t)abs(b->q[d]);
                sum += b->q[d];
        }
        for (size_t r = 0; r < ROWS; r++)
                for (size_t d = 0; d < dim; d++) {
                        int8_t v = value(rows);
                        b->rows[r * stride + d] = v;
                        b->want[r] += v * b->q[d];
                }
        b->query = (struct vec_query){b->q, b->mag, 128 * sum, stride};
}

static void check(vec_kernel_fn *run)
{
        static struct batch b;
        int32_t got[ROWS];
        for (size_t dim = 1; dim <= VECTOR_MAX_DIM; dim += dim < 140 ? 1 : 53)
                for (int fill = 0; fill < FILLS * FILLS; fill++) {
                        batch_make(&b, dim, fill / FILLS, fill % FILLS);
                        for (size_t n = 1; n <= ROWS; n += 5) {
                                run(&b.query, b.rows, n, got);
                                assert_memory_equal(got, b.want, n * sizeof *got);
                        }
                }
        batch_make(&b, VECTOR_MAX_DIM, FILL_LEAST, FILL_MOST);
        run(&b.query, b.rows, ROWS, got);
        assert_memory_equal(got, b.want, sizeof got);
        assert_int_equal(got[0], -127 * 127 * VECTOR_MAX_DIM);
}

static void the_c_kernel_is_exact(void **state)
{
        (void)state;
        check(vec_kernel_c);
}

static void the_avx2_kernel_is_exact(void **state)
{
        (void)state;
        if (!vec_kernel_force("avx2"))
                skip();
#if defined(__x86_64__)
        check(vec_kernel_avx2);
#endif
}

static void the_avx512_kernel_is_exact(void **state)
{
        (void)state;
        if (!vec_kernel_force("avx512vnni"))
                skip();
#if defined(__x86_64__)
        check(vec_kernel_avx512);
#endif
}

static void the_avx512_kernel_is_exact_in_emulation(void **state)
{
        (void)state;
#ifdef VECTOR_EMULATED
        check(vec_kernel_avx512_emulated);
#else
        skip();
#endif
}

/* Seen through the public interface: same hits, same scores, bit for bit. */
static void the_kernel_never_shows_in_the_result(void **state)
{
        enum { DIM = 517, COUNT = 333, K = 40 };
        static const char *const names[] = {"c", "avx2", "avx512vnni"};
        struct vec_index *x = vec_index_new(DIM);
        struct vec_hit hits[K], first[K] = {{0}};
        float v[DIM];
        uint32_t row;
        (void)state;
        for (size_t r = 0; r <= COUNT; r++) {
                for (size_t d = 0; d < DIM; d++)
                        v[d] = value(FILL_RANDOM);
                assert_true(vec_normalise(v, DIM));
                if (r < COUNT)
                        assert_int_equal(vec_index_add(x, v, &row), 0);
        }
        for (size_t i = 0; i < COUNT_OF(names); i++) {
                if (!vec_kernel_force(names[i]))
                        continue;
                assert_string_equal(vec_kernel_name(), names[i]);
                assert_int_equal(vec_index_search(x, v, NULL, K, hits, NULL), K);
                if (i)
                        assert_memory_equal(hits, first, sizeof hits);
                memcpy(first, hits, sizeof hits);
        }
        assert_false(vec_kernel_force("none"));
        vec_index_free(x);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_c_kernel_is_exact),
                cmocka_unit_test(the_avx2_kernel_is_exact),
                cmocka_unit_test(the_avx512_kernel_is_exact),
                cmocka_unit_test(the_avx512_kernel_is_exact_in_emulation),
                cmocka_unit_test(the_kernel_never_shows_in_the_result),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
