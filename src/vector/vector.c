/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The int8 array and its growth. The hard thing: a million rows of 512 bytes
 * must grow one by one without ever being copied; the arrays are anonymous
 * mappings moved by mremap, which moves page tables and not bytes.
 */
#include "vector/vector.h"
#include "vector_index_priv.h"

#include <math.h>
#include <string.h>
#include <sys/mman.h>

#define ROWS_FIRST 256

/* ---- f32 -------------------------------------------------------------------- */

typedef float f32x4 __attribute__((vector_size(16)));

float vec_dot(const float *a, const float *b, size_t dim)
{
        f32x4 sum[4] = {0};
        size_t i = 0;
        for (; i + 16 <= dim; i += 16)
                for (size_t k = 0; k < 4; k++) {
                        f32x4 x, y;
                        memcpy(&x, a + i + 4 * k, sizeof x);
                        memcpy(&y, b + i + 4 * k, sizeof y);
                        sum[k] += x * y;
                }
        f32x4 s = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        float total = (s[0] + s[1]) + (s[2] + s[3]);
        for (; i < dim; i++)
                total += a[i] * b[i];
        return total;
}

bool vec_normalise(float *v, size_t dim)
{
        double sum = 0;
        for (size_t i = 0; i < dim; i++)
                sum += (double)v[i] * v[i];
        if (!(sum > 0) || !isfinite(sum))
                return false;
        double scale = 1 / sqrt(sum);
        for (size_t i = 0; i < dim; i++)
                v[i] = (float)(v[i] * scale);
        return true;
}

/* ---- quantising ------------------------------------------------------------------ */

/* −127..127 times the returned scale; 0 for a zero vector, VECTOR_HOLE for one that is not finite. */
float vec_quantise(const float *v, size_t dim, int8_t *out)
{
        float most = 0;
        bool finite = true;
        for (size_t i = 0; i < dim; i++) {
                float a = fabsf(v[i]);
                finite &= isfinite(a) != 0;
                most = a > most ? a : most;
        }
        float inverse = finite && most > 0 ? 127 / most : 0;
        if (!isfinite(inverse)) /* subnormal: as good as zero */
                inverse = most = 0;
        for (size_t i = 0; i < dim; i++)
                out[i] = finite ? (int8_t)lrintf(v[i] * inverse) : 0;
        return finite ? most / 127 : VECTOR_HOLE;
}

/* ---- memory ----------------------------------------------------------------------- */

static void *map_grow(void *p, size_t old, size_t bytes)
{
        void *q = p ? mremap(p, old, bytes, MREMAP_MAYMOVE)
                    : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (q == MAP_FAILED)
                return NULL;
        if (bytes >= 4u << 20) /* fewer TLB misses in the scan; no matter if refused */
                madvise(q, bytes, MADV_HUGEPAGE);
        return q;
}

/* Pages not yet written cost nothing, so doubling wastes address space only. 0 or -1, old contents intact. */
static int reserve_rows(struct vec_index *x, size_t need)
{
        if (need <= x->cap)
                return 0;
        size_t cap = x->cap ? x->cap : ROWS_FIRST;
        while (cap < need)
                cap *= 2;
        if (need > UINT32_MAX || cap > SIZE_MAX / x->stride)
                return -1;
        int8_t *rows = map_grow(x->rows, x->cap * x->stride, cap * x->stride);
        if (!rows)
                return -1;
        x->rows = rows;
        float *scales = map_grow(x->scales, x->cap * sizeof *scales, cap * sizeof *scales);
        if (!scales) { /* longer rows do no harm, but cap describes both arrays: go back */
                x->rows = mremap(x->rows, cap * x->stride, x->cap ? x->cap * x->stride : x->stride, 0);
                if (!x->cap) {
                        munmap(x->rows, x->stride);
                        x->rows = NULL;
                }
                return -1;
        }
        x->scales = scales;
        x->cap = cap;
        return 0;
}

struct vec_index *vec_index_new(size_t dim)
{
        assert(dim >= 1 && dim <= VECTOR_MAX_DIM);
        struct vec_index *x = mem_calloc(1, sizeof *x);
        if (!x)
                return NULL;
        x->dim = dim;
        x->stride = (dim + VECTOR_ROW_ALIGN - 1) / VECTOR_ROW_ALIGN * VECTOR_ROW_ALIGN;
        return x;
}

void vec_index_free(struct vec_index *x)
{
        if (!x)
                return;
        if (x->rows)
                munmap(x->rows, x->cap * x->stride);
        if (x->scales)
                munmap(x->scales, x->cap * sizeof *x->scales);
        mem_free(x);
}

/* ---- rows ---------------------------------------------------------------------------- */

size_t vec_index_count(const struct vec_index *x)
{
        return x->count;
}

int vec_index_add(struct vec_index *x, const float *v, uint32_t *row)
{
        if (reserve_rows(x, x->count + 1))
                return -1;
        *row = (uint32_t)x->count++;
        vec_index_set(x, *row, v);
        return 0;
}

void vec_index_set(struct vec_index *x, uint32_t row, const float *v)
{
        assert(row < x->count);
        x->scales[row] = vec_quantise(v, x->dim, x->rows + row * x->stride);
}

void vec_index_clear(struct vec_index *x, uint32_t row)
{
        assert(row < x->count);
        memset(x->rows + row * x->stride, 0, x->stride);
        x->scales[row] = VECTOR_HOLE;
}

size_t vec_index_row_bytes(const struct vec_index *x)
{
        return x->stride + sizeof(float);
}

const void *vec_index_rows(const struct vec_index *x)
{
        return x->rows;
}

const float *vec_index_scales(const struct vec_index *x)
{
        return x->scales;
}

/* A cache file may hold anything: −128 and impossible scales are corrected, and padding is cleared. */
static void row_mend(struct vec_index *x, size_t row)
{
        int8_t *r = x->rows + row * x->stride;
        for (size_t i = 0; i < x->dim; i++)
                r[i] = r[i] == -128 ? -127 : r[i];
        memset(r + x->dim, 0, x->stride - x->dim);
        if (!(x->scales[row] >= 0) || !isfinite(x->scales[row]))
                x->scales[row] = VECTOR_HOLE;
}

int vec_index_load(struct vec_index *x, const void *rows, const float *scales, size_t count)
{
        if (reserve_rows(x, count))
                return -1;
        x->count = count;
        if (!count)
                return 0;
        memcpy(x->rows, rows, count * x->stride);
        memcpy(x->scales, scales, count * sizeof *scales);
        for (size_t i = 0; i < count; i++)
                row_mend(x, i);
        return 0;
}
