/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exact nearest neighbours over an array of unit vectors. Every vector is
 * stored as int8, round(127·x/absmax of the row), with a per-row f32 scale. A
 * query is quantised the same way, all rows that a bitmap lets through are
 * scored by an integer dot product, and the caller rescores the best few with
 * f32. Kernels: AVX-512 VNNI, AVX2, plain C; all three give the same integers,
 * which a test holds them to.
 *
 * Pure maths on arrays: no locks, no files. One writer or many readers at a
 * time is the caller's business.
 */
#ifndef FA_VECTOR_H
#define FA_VECTOR_H

#include "base/base.h"

#define VECTOR_MAX_DIM 2048 /* multiple of 64 is fastest; rows are padded with zeros to one */

/* ---- f32 ------------------------------------------------------------------- */

float vec_dot(const float *a, const float *b, size_t dim);
/* Scale to unit length in place; returns false (and leaves it) when the length is 0 or not finite. */
bool vec_normalise(float *v, size_t dim);

/* ---- int8 index ------------------------------------------------------------- */

struct vec_index;

/* dim 1..VECTOR_MAX_DIM. NULL on OOM. */
struct vec_index *vec_index_new(size_t dim) MUST_CHECK;
void vec_index_free(struct vec_index *x);
size_t vec_index_count(const struct vec_index *x); /* rows, holes included */
/* Append a row, returns its number through *row. Amortised growth without copying more than it must (mremap). */
int vec_index_add(struct vec_index *x, const float *v, uint32_t *row) MUST_CHECK; /* -1 on OOM */
/* Overwrite an existing row. */
void vec_index_set(struct vec_index *x, uint32_t row, const float *v);
/* The row is never returned from now on, until vec_index_set gives it a vector again. */
void vec_index_clear(struct vec_index *x, uint32_t row);

/* Raw rows for a cache file: bytes per row (padded int8 row, then f32 scale), and bulk load, which replaces all rows
 * and mends what no quantiser writes. */
size_t vec_index_row_bytes(const struct vec_index *x);
const void *vec_index_rows(const struct vec_index *x); /* count * padded-dim int8 */
const float *vec_index_scales(const struct vec_index *x);
int vec_index_load(struct vec_index *x, const void *rows, const float *scales, size_t count) MUST_CHECK;

/* One bit a row, 64 rows a word; row r is bit r%64 of word r/64. NULL lets all through. */
typedef uint64_t vec_bits;
static inline size_t vec_bits_words(size_t rows)
{
        return (rows + 63) / 64;
}

struct vec_hit {
        uint32_t row;
        float score; /* approximate cosine */
};

/*
 * The k rows of highest score among those whose bit is set, best first, ties
 * by lower row. Returns the number written (≤ k). q has dim floats, unit length.
 * h (may be NULL) is asked to scan along; the answer is the same.
 */
size_t vec_index_search(const struct vec_index *x, const float *q, const vec_bits *filter, size_t k,
                        struct vec_hit *out, struct helper *h);

/* "avx512vnni", "avx2" or "c": the kernel chosen at run time. */
const char *vec_kernel_name(void);
/* For tests and the bench: force a kernel by name; false if this CPU lacks it. */
bool vec_kernel_force(const char *name);

#endif
