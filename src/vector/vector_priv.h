/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of src/vector. Included by its files and by the test that runs the AVX-512 kernel through an emulation.
 */
#ifndef FA_VECTOR_PRIV_H
#define FA_VECTOR_PRIV_H

#include <stddef.h>
#include <stdint.h>

#define VECTOR_ROW_ALIGN 64 /* bytes; also the unit all kernels work in */

/*
 * A query made ready for every kernel. All values are within −127..127; the
 * −128 that int8 also has would break the sign trick of AVX2, and nobody stores it.
 */
struct vec_query {
        const int8_t *q;    /* stride bytes, 64-aligned, zero-padded */
        const uint8_t *mag; /* |q| */
        int32_t sum128;     /* 128·Σq: what biasing the rows to unsigned adds to each product sum */
        size_t stride;      /* multiple of 64 */
};

/* out[i] = Σ row[i]·q, exactly. rows are 64-aligned, stride apart. */
typedef void vec_kernel_fn(const struct vec_query *q, const int8_t *rows, size_t n, int32_t *out);

vec_kernel_fn vec_kernel_c;
#if defined(__x86_64__)
vec_kernel_fn vec_kernel_avx2;
vec_kernel_fn vec_kernel_avx512;
#endif

#endif
