/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan on AVX-512 VNNI: vpdpbusd multiplies 64 unsigned by 64 signed bytes
 * and adds groups of four into 32 bits without saturating. The rows are made
 * unsigned by flipping the top bit (adding 128), and the 128·Σq that this adds
 * is known per query and taken off at the end.
 *
 * The test compiles this file a second time with VECTOR_EMULATED, through
 * SIMDe, which carries out the same operations in portable C: that proves the
 * arithmetic on any machine, not the speed nor the compiler's code for it.
 */
#include "vector_priv.h"

#ifdef VECTOR_EMULATED
#define KERNEL vec_kernel_avx512_emulated
static vec_kernel_fn vec_kernel_avx512_emulated;
#elif defined(__x86_64__)
#include <immintrin.h>
#define KERNEL vec_kernel_avx512
#endif

#ifdef KERNEL
/* Bytes, as for AVX2: from memory a scan without it is a tenth slower, by the processors' own prefetching alone. */
#define PREFETCH_AHEAD 2048

static inline __m512i add_products(__m512i sum, const int8_t *row, __m512i q, __m512i flip)
{
        return _mm512_dpbusd_epi32(sum, _mm512_xor_si512(_mm512_load_si512((const void *)row), flip), q);
}

/* Spelled out: SIMDe has no _mm512_reduce_add_epi32. */
static inline int32_t sum_lanes(__m512i v)
{
        __m256i half = _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
        __m128i s = _mm_add_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(1, 0, 3, 2)));
        s = _mm_add_epi32(s, _mm_shuffle_epi32(s, _MM_SHUFFLE(2, 3, 0, 1)));
        return _mm_cvtsi128_si32(s);
}

static inline int32_t row_dot(const struct vec_query *q, const int8_t *row)
{
        const __m512i flip = _mm512_set1_epi8((char)0x80);
        __m512i even = _mm512_setzero_si512(), odd = even;
        size_t d = 0;
        for (; d + 128 <= q->stride; d += 128) {
                __builtin_prefetch(row + d + PREFETCH_AHEAD);
                __builtin_prefetch(row + d + PREFETCH_AHEAD + 64);
                even = add_products(even, row + d, _mm512_load_si512((const void *)(q->q + d)), flip);
                odd = add_products(odd, row + d + 64, _mm512_load_si512((const void *)(q->q + d + 64)), flip);
        }
        if (d < q->stride)
                even = add_products(even, row + d, _mm512_load_si512((const void *)(q->q + d)), flip);
        return sum_lanes(_mm512_add_epi32(even, odd)) - q->sum128;
}

void KERNEL(const struct vec_query *q, const int8_t *rows, size_t n, int32_t *out)
{
        for (size_t i = 0; i < n; i++)
                out[i] = row_dot(q, rows + i * q->stride);
}
#endif
