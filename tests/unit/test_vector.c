/* SPDX-License-Identifier: Apache-2.0 */
/* The int8 index: rows, filters, the best k, recall, growth. */
#include <setjmp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "vector/vector.h"

static uint64_t seed = 1;

static double uniform(void)
{
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        return (double)(seed >> 11) / 9007199254740992.0;
}

static float normal(void)
{
        return (float)(sqrt(-2 * log(uniform() + 1e-300)) * cos(6.283185307179586 * uniform()));
}

static void random_unit(float *v, size_t dim)
{
        do
                for (size_t i = 0; i < dim; i++)
                        v[i] = normal();
        while (!vec_normalise(v, dim));
}

static struct vec_index *random_index(size_t dim, size_t rows)
{
        struct vec_index *x = vec_index_new(dim);
        float v[VECTOR_MAX_DIM];
        uint32_t row;
        assert_non_null(x);
        for (size_t i = 0; i < rows; i++) {
                random_unit(v, dim);
                assert_int_equal(vec_index_add(x, v, &row), 0);
                assert_int_equal(row, i);
        }
        return x;
}

/* A row's vector, as far as its digits tell; of one that is never returned zero. */
static void read_row(const struct vec_index *x, size_t dim, uint32_t row, float *out)
{
        size_t stride = vec_index_row_bytes(x) - sizeof(float);
        const int8_t *digits = (const int8_t *)vec_index_rows(x) + row * stride;
        float scale = vec_index_scales(x)[row];
        for (size_t i = 0; i < dim; i++)
                out[i] = scale > 0 ? digits[i] * scale : 0;
}

static void assert_same_hits(const struct vec_hit *a, const struct vec_hit *b, size_t n)
{
        for (size_t i = 0; i < n; i++) {
                assert_int_equal(a[i].row, b[i].row);
                assert_true(a[i].score == b[i].score);
        }
}

static void unit_vectors_find_themselves(void **state)
{
        static const size_t dims[] = {1, 2, 3, 63, 64, 65, 384, 512, 2047, 2048};
        float v[VECTOR_MAX_DIM];
        (void)state;
        for (size_t d = 0; d < COUNT_OF(dims); d++) {
                struct vec_index *x = random_index(dims[d], 50);
                struct vec_hit hit;
                random_unit(v, dims[d]);
                vec_index_set(x, 31, v);
                assert_int_equal(vec_index_search(x, v, NULL, 1, &hit, NULL), 1);
                if (dims[d] > 3)
                        assert_int_equal(hit.row, 31);
                assert_float_equal(hit.score, 1, 0.01);
                vec_index_free(x);
        }
}

static void a_filter_equals_filtering_afterwards(void **state)
{
        enum { ROWS = 1000, DIM = 96 };
        struct vec_index *x = random_index(DIM, ROWS);
        static struct vec_hit all[ROWS], some[ROWS], want[ROWS];
        static const double densities[] = {0, 0.001, 0.02, 0.3, 0.6, 0.9, 1};
        float q[DIM];
        (void)state;
        for (size_t t = 0; t < 70; t++) {
                vec_bits filter[(ROWS + 63) / 64] = {0};
                size_t k = 1 + (size_t)(uniform() * 200), n = 0;
                for (size_t r = 0; r < ROWS; r++)
                        if (uniform() < densities[t % COUNT_OF(densities)])
                                filter[r / 64] |= (vec_bits)1 << r % 64;
                filter[ROWS / 64] |= ~(vec_bits)0 << ROWS % 64; /* bits past the end mean nothing */
                random_unit(q, DIM);
                assert_int_equal(vec_index_search(x, q, NULL, ROWS, all, NULL), ROWS);
                for (size_t i = 0; i < ROWS && n < k; i++)
                        if (filter[all[i].row / 64] >> all[i].row % 64 & 1)
                                want[n++] = all[i];
                assert_int_equal(vec_index_search(x, q, filter, k, some, NULL), n);
                assert_same_hits(some, want, n);
        }
        vec_index_free(x);
}

/* Fifty different vectors, so most rows tie with hundreds of others, in both one's pieces. */
static void two_find_what_one_finds(void **state)
{
        enum { ROWS = 20000, DIM = 512, KINDS = 50, K = 1064 };
        static float kinds[KINDS][DIM];
        static struct vec_hit one[K], two[K];
        vec_bits *filter = mem_calloc(ROWS / 64 + 1, sizeof *filter);
        struct vec_index *x = vec_index_new(DIM);
        struct helper *h;
        uint32_t row;
        (void)state;
        assert_int_equal(helper_open("helper", &h), 0);
        for (size_t i = 0; i < KINDS; i++)
                random_unit(kinds[i], DIM);
        for (size_t i = 0; i < ROWS; i++)
                assert_int_equal(vec_index_add(x, kinds[(size_t)(uniform() * KINDS) % KINDS], &row), 0);
        for (int t = 0; t < 40; t++) {
                float q[DIM];
                size_t k = t % 2 ? K : 10;
                random_unit(q, DIM);
                for (size_t r = 0; r < ROWS; r++)
                        if (uniform() < 0.5)
                                filter[r / 64] ^= (vec_bits)1 << r % 64;
                size_t n = vec_index_search(x, q, t % 4 < 2 ? filter : NULL, k, one, NULL);
                assert_int_equal(vec_index_search(x, q, t % 4 < 2 ? filter : NULL, k, two, h), n);
                assert_same_hits(two, one, n);
        }
        helper_close(h);
        vec_index_free(x);
        mem_free(filter);
}

static void hits_come_best_first_and_ties_by_row(void **state)
{
        enum { ROWS = 300, DIM = 8 };
        struct vec_index *x = vec_index_new(DIM);
        struct vec_hit hits[ROWS + 5];
        float v[DIM] = {0}, q[DIM] = {1};
        uint32_t row;
        (void)state;
        for (size_t i = 0; i < ROWS; i++) { /* five values only: many ties */
                v[0] = (float)(i * 7 % 5) / 4;
                v[1] = 1;
                assert_int_equal(vec_index_add(x, v, &row), 0);
        }
        for (size_t k = 1; k <= ROWS + 5; k += 19) {
                size_t n = vec_index_search(x, q, NULL, k, hits, NULL);
                assert_int_equal(n, k < ROWS ? k : ROWS);
                for (size_t i = 1; i < n; i++)
                        assert_true(hits[i - 1].score > hits[i].score ||
                                    (hits[i - 1].score == hits[i].score && hits[i - 1].row < hits[i].row));
        }
        assert_int_equal(vec_index_search(x, q, NULL, 0, hits, NULL), 0);
        vec_index_free(x);
}

static void cleared_rows_are_never_returned_until_set(void **state)
{
        enum { ROWS = 200, DIM = 32 };
        struct vec_index *x = random_index(DIM, ROWS);
        struct vec_hit hits[ROWS];
        float q[DIM], v[DIM];
        (void)state;
        for (uint32_t r = 0; r < ROWS; r += 2)
                vec_index_clear(x, r);
        random_unit(q, DIM);
        assert_int_equal(vec_index_search(x, q, NULL, ROWS, hits, NULL), ROWS / 2);
        for (size_t i = 0; i < ROWS / 2; i++)
                assert_int_equal(hits[i].row % 2, 1);
        read_row(x, DIM, 4, v);
        assert_true(vec_dot(v, v, DIM) == 0);
        vec_index_set(x, 4, q);
        assert_int_equal(vec_index_search(x, q, NULL, 1, hits, NULL), 1);
        assert_int_equal(hits[0].row, 4);
        assert_int_equal(vec_index_count(x), ROWS);
        vec_index_free(x);
}

static void what_is_no_vector_does_no_harm(void **state)
{
        enum { DIM = 16 };
        struct vec_index *x = vec_index_new(DIM);
        struct vec_hit hits[8];
        float zero[DIM] = {0}, nan_row[DIM] = {0}, inf_row[DIM] = {0}, tiny[DIM] = {0}, q[DIM];
        uint32_t row;
        (void)state;
        nan_row[3] = NAN;
        inf_row[3] = INFINITY;
        tiny[3] = 1e-42f;
        random_unit(q, DIM);
        assert_int_equal(vec_index_search(x, q, NULL, 8, hits, NULL), 0);
        assert_int_equal(vec_index_add(x, zero, &row), 0);
        assert_int_equal(vec_index_add(x, nan_row, &row), 0);
        assert_int_equal(vec_index_add(x, inf_row, &row), 0);
        assert_int_equal(vec_index_add(x, tiny, &row), 0);
        assert_int_equal(vec_index_add(x, q, &row), 0);
        assert_int_equal(vec_index_search(x, q, NULL, 8, hits, NULL), 3); /* q, and two of score 0 */
        assert_int_equal(hits[0].row, 4);
        assert_true(hits[1].score == 0 && hits[2].score == 0);
        assert_int_equal(vec_index_search(x, nan_row, NULL, 8, hits, NULL), 0);
        assert_int_equal(vec_index_search(x, zero, NULL, 2, hits, NULL), 2);
        assert_false(vec_normalise(zero, DIM));
        assert_false(vec_normalise(nan_row, DIM));
        assert_false(vec_normalise(inf_row, DIM));
        vec_index_free(x);
        vec_index_free(NULL);
}

/* Pictures come in groups: 60 centres, rows scattered about them. int8 finds candidates, f32 ranks them. */
static void int8_with_rescore_recalls_the_exact_ten(void **state)
{
        enum { ROWS = 6000, DIM = 512, CENTRES = 60, K = 10, QUERIES = 60 };
        float *rows = mem_calloc(ROWS, DIM * sizeof *rows), centres[CENTRES][DIM], q[DIM];
        struct vec_index *x = vec_index_new(DIM);
        struct vec_hit rough[4 * K];
        uint32_t row;
        int found = 0, found_raw = 0;
        (void)state;
        assert_non_null(rows);
        for (size_t c = 0; c < CENTRES; c++)
                random_unit(centres[c], DIM);
        for (size_t r = 0; r < ROWS; r++) {
                float *v = rows + r * DIM;
                for (size_t i = 0; i < DIM; i++)
                        v[i] = centres[r % CENTRES][i] + 0.03f * normal();
                vec_normalise(v, DIM);
                assert_int_equal(vec_index_add(x, v, &row), 0);
        }
        for (size_t t = 0; t < QUERIES; t++) {
                for (size_t i = 0; i < DIM; i++)
                        q[i] = centres[t % CENTRES][i] + 0.03f * normal();
                vec_normalise(q, DIM);
                assert_int_equal(vec_index_search(x, q, NULL, 4 * K, rough, NULL), 4 * K);
                float cut = 2; /* the K-th best exact score */
                for (size_t i = 0; i < K; i++) {
                        float next = -2;
                        for (size_t r = 0; r < ROWS; r++) {
                                float s = vec_dot(q, rows + r * DIM, DIM);
                                next = s < cut && s > next ? s : next;
                        }
                        cut = next;
                }
                for (size_t i = 0; i < 4 * K; i++) {
                        bool right = vec_dot(q, rows + rough[i].row * DIM, DIM) >= cut;
                        found += right;
                        found_raw += right && i < K;
                }
        }
        print_message("recall@10: int8 alone %.4f, best 40 rescored with f32 %.4f\n", (double)found_raw / (K * QUERIES),
                      (double)found / (K * QUERIES));
        assert_true(found >= 0.99 * K * QUERIES);
        vec_index_free(x);
        mem_free(rows);
}

static void rows_survive_growth_and_a_cache_file(void **state)
{
        enum { ROWS = 5000, DIM = 100 };
        struct vec_index *x = random_index(DIM, ROWS), *y = vec_index_new(DIM);
        static struct vec_hit a[50], b[50];
        float q[DIM];
        (void)state;
        assert_int_equal((uintptr_t)vec_index_rows(x) % 64, 0);
        assert_int_equal(vec_index_row_bytes(x), 128 + 4);
        vec_index_clear(x, 77);
        assert_int_equal(vec_index_load(y, vec_index_rows(x), vec_index_scales(x), ROWS), 0);
        assert_int_equal(vec_index_count(y), ROWS);
        random_unit(q, DIM);
        assert_int_equal(vec_index_search(x, q, NULL, 50, a, NULL), 50);
        assert_int_equal(vec_index_search(y, q, NULL, 50, b, NULL), 50);
        assert_same_hits(a, b, 50);
        vec_index_free(x);
        vec_index_free(y);
}

static void a_damaged_cache_is_put_right(void **state)
{
        enum { DIM = 65, STRIDE = 128, ROWS = 3 };
        int8_t rows[ROWS * STRIDE];
        float scales[ROWS] = {1, NAN, -INFINITY}, q[DIM], v[DIM];
        struct vec_index *x = vec_index_new(DIM);
        struct vec_hit hits[ROWS];
        (void)state;
        memset(rows, -128, sizeof rows);
        random_unit(q, DIM);
        assert_int_equal(vec_index_load(x, rows, scales, ROWS), 0);
        assert_int_equal(vec_index_search(x, q, NULL, ROWS, hits, NULL), 1);
        read_row(x, DIM, 0, v);
        for (size_t i = 0; i < DIM; i++)
                assert_true(v[i] == -127);
        vec_index_free(x);
}

static void dequantised_rows_are_close(void **state)
{
        enum { DIM = 512 };
        struct vec_index *x = vec_index_new(DIM);
        float v[DIM], w[DIM];
        uint32_t row;
        (void)state;
        random_unit(v, DIM);
        assert_int_equal(vec_index_add(x, v, &row), 0);
        read_row(x, DIM, row, w);
        assert_true(vec_dot(v, w, DIM) > 0.9995f);
        vec_index_free(x);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(unit_vectors_find_themselves),
                cmocka_unit_test(a_filter_equals_filtering_afterwards),
                cmocka_unit_test(two_find_what_one_finds),
                cmocka_unit_test(hits_come_best_first_and_ties_by_row),
                cmocka_unit_test(cleared_rows_are_never_returned_until_set),
                cmocka_unit_test(what_is_no_vector_does_no_harm),
                cmocka_unit_test(int8_with_rescore_recalls_the_exact_ten),
                cmocka_unit_test(rows_survive_growth_and_a_cache_file),
                cmocka_unit_test(a_damaged_cache_is_put_right),
                cmocka_unit_test(dequantised_rows_are_close),
        };
        print_message("kernel %s\n", vec_kernel_name());
        return cmocka_run_group_tests(tests, NULL, NULL);
}
