/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan on AVX2. The hard thing is that vpmaddubsw, the only wide byte
 * multiply, wants one unsigned side and saturates: |q| goes in as the unsigned
 * side and the row takes q's sign, so a pair sums to at most 2·127·127 = 32258,
 * which fits 16 bits and nothing is ever lost.
 *
 * Rows are read strictly one after the other: reading four side by side saves
 * loads of the query and is faster in cache, but slower from memory, where the
 * prefetchers want one ascending stream. Only the final folding joins four rows.
 */
#include "vector_priv.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* Bytes. Of 0 to 16384 tried, 2048 was never slower; without any a cold scan loses up to a quarter. */
#define PREFETCH_AHEAD 2048

static inline __m256i add_products(__m256i sum, const int8_t *row, __m256i q, __m256i mag, __m256i ones)
{
        __m256i signed_row = _mm256_sign_epi8(_mm256_load_si256((const __m256i *)row), q);
        return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(mag, signed_row), ones));
}

static inline int32_t sum_lanes(__m256i v)
{
        __m128i s = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1)));
        return _mm_cvtsi128_si32(s);
}

/* The four totals at once, stored to out. */
static inline void sum_lanes4(__m256i a, __m256i b, __m256i c, __m256i e, int32_t *out)
{
        __m256i s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, e));
        _mm_storeu_si128((__m128i *)out, _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256(s, 1)));
}

/* A row's products in eight partial sums. */
static inline __m256i row_sums(const struct vec_query *q, const int8_t *row)
{
        const __m256i ones = _mm256_set1_epi16(1);
        __m256i even = _mm256_setzero_si256(), odd = even;
        for (size_t d = 0; d < q->stride; d += 64) {
                _mm_prefetch((const char *)row + d + PREFETCH_AHEAD, _MM_HINT_T0);
                even = add_products(even, row + d, _mm256_load_si256((const __m256i *)(q->q + d)),
                                    _mm256_load_si256((const __m256i *)(q->mag + d)), ones);
                odd = add_products(odd, row + d + 32, _mm256_load_si256((const __m256i *)(q->q + d + 32)),
                                   _mm256_load_si256((const __m256i *)(q->mag + d + 32)), ones);
        }
        return _mm256_add_epi32(even, odd);
}

void vec_kernel_avx2(const struct vec_query *q, const int8_t *rows, size_t n, int32_t *out)
{
        size_t i = 0;
        for (; i + 4 <= n; i += 4) {
                const int8_t *row = rows + i * q->stride;
                __m256i a = row_sums(q, row), b = row_sums(q, row + q->stride);
                __m256i c = row_sums(q, row + 2 * q->stride), e = row_sums(q, row + 3 * q->stride);
                sum_lanes4(a, b, c, e, out + i);
        }
        for (; i < n; i++)
                out[i] = sum_lanes(row_sums(q, rows + i * q->stride));
}
#endif
