/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan: blocks of 64 rows, one filter word each, through the kernel chosen
 * for this CPU, into a heap of the best k. The hard thing is to do so little
 * besides reading rows that memory sets the pace: a zero filter word costs one
 * compare, a row that does not make the heap one multiply and one compare.
 */
#include "vector/vector.h"
#include "vector_index_priv.h"

#include <string.h>

#define BLOCK 64
/* With more bits set than this, scoring the whole block beats picking rows. */
#define BLOCK_DENSE 40
/*
 * Rows that each of the two threads takes at a time, and the number of bytes from which a second thread is worth
 * waking.
 */
#define PIECE      2048
#define WORTH_HELP ((size_t)8 << 20)

/* ---- kernels ------------------------------------------------------------------- */

void vec_kernel_c(const struct vec_query *q, const int8_t *rows, size_t n, int32_t *out)
{
        for (size_t i = 0; i < n; i++) {
                const int8_t *row = rows + i * q->stride;
                int32_t sum = 0;
                for (size_t d = 0; d < q->stride; d += VECTOR_ROW_ALIGN)
                        for (size_t j = 0; j < VECTOR_ROW_ALIGN; j++) /* a constant count, so that -O2 vectorises it */
                                sum += row[d + j] * q->q[d + j];
                out[i] = sum;
        }
}

struct kernel {
        const char *name;
        vec_kernel_fn *run;
};

/* Best first. */
static const struct kernel kernels[] = {
#if defined(__x86_64__)
        {"avx512vnni", vec_kernel_avx512},
        {"avx2", vec_kernel_avx2},
#endif
        {"c", vec_kernel_c},
};

static bool kernel_runs_here(const struct kernel *k)
{
#if defined(__x86_64__)
        if (k->run == vec_kernel_avx512)
                return __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512f") &&
                       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
        if (k->run == vec_kernel_avx2)
                return __builtin_cpu_supports("avx2");
#endif
        (void)k;
        return true;
}

/* Every thread that comes first writes the same answer; tests change it. */
static _Atomic(const struct kernel *) chosen;

static const struct kernel *chosen_kernel(void)
{
        const struct kernel *k = atomic_load_explicit(&chosen, memory_order_relaxed);
        if (k)
                return k;
        for (k = kernels; !kernel_runs_here(k);) /* the last one runs everywhere */
                k++;
        atomic_store_explicit(&chosen, k, memory_order_relaxed);
        return k;
}

const char *vec_kernel_name(void)
{
        return chosen_kernel()->name;
}

bool vec_kernel_force(const char *name)
{
        for (size_t i = 0; i < COUNT_OF(kernels); i++)
                if (!strcmp(kernels[i].name, name) && kernel_runs_here(&kernels[i])) {
                        atomic_store_explicit(&chosen, &kernels[i], memory_order_relaxed);
                        return true;
                }
        return false;
}

/* ---- the best k ------------------------------------------------------------------- */

/* A binary heap in the caller's array, the worst hit on top. */
struct best {
        struct vec_hit *hit;
        size_t n, k;
};

static bool ranks_below(struct vec_hit a, struct vec_hit b)
{
        return a.score < b.score || (a.score == b.score && a.row > b.row);
}

static void sift_down(struct vec_hit *hit, size_t n, struct vec_hit x)
{
        size_t i = 0;
        for (size_t child; (child = 2 * i + 1) < n; i = child) {
                if (child + 1 < n && ranks_below(hit[child + 1], hit[child]))
                        child++;
                if (!ranks_below(hit[child], x))
                        break;
                hit[i] = hit[child];
        }
        hit[i] = x;
}

static void best_add(struct best *b, struct vec_hit x)
{
        if (b->n == b->k) {
                if (ranks_below(b->hit[0], x))
                        sift_down(b->hit, b->n, x);
                return;
        }
        size_t i = b->n++;
        for (; i && ranks_below(x, b->hit[(i - 1) / 2]); i = (i - 1) / 2)
                b->hit[i] = b->hit[(i - 1) / 2];
        b->hit[i] = x;
}

/* Heap to list, best first. */
static void best_sort(struct best *b)
{
        for (size_t n = b->n; n > 1; n--) {
                struct vec_hit last = b->hit[n - 1];
                b->hit[n - 1] = b->hit[0];
                sift_down(b->hit, n - 1, last);
        }
}

/* ---- the scan ---------------------------------------------------------------------- */

struct scan {
        const struct vec_index *x;
        struct vec_query query;
        vec_kernel_fn *run;
        float scale; /* of the query */
        struct best best;
};

static void row_offer(struct scan *s, size_t row, int32_t dot)
{
        float row_scale = s->x->scales[row];
        float score = (float)dot * row_scale * s->scale;
        if (s->best.n == s->best.k && score <= s->best.hit[0].score) /* rows ascend: a later equal is worse */
                return;
        if (row_scale >= 0)
                best_add(&s->best, (struct vec_hit){(uint32_t)row, score});
}

static void block_scan(struct scan *s, size_t first, size_t n, uint64_t bits)
{
        int32_t dots[BLOCK];
        const int8_t *rows = s->x->rows + first * s->query.stride;
        if (__builtin_popcountll(bits) > BLOCK_DENSE) {
                s->run(&s->query, rows, n, dots);
                for (size_t i = 0; i < n; i++)
                        if (bits >> i & 1)
                                row_offer(s, first + i, dots[i]);
                return;
        }
        for (; bits; bits &= bits - 1) {
                size_t i = (size_t)__builtin_ctzll(bits);
                s->run(&s->query, rows + i * s->query.stride, 1, dots);
                row_offer(s, first + i, dots[0]);
        }
}

static void scan_rows(struct scan *s, const vec_bits *filter, size_t from, size_t to)
{
        for (size_t first = from; first < to; first += BLOCK) {
                size_t n = to - first < BLOCK ? to - first : BLOCK;
                uint64_t bits = filter ? filter[first / BLOCK] : ~(uint64_t)0;
                if (n < BLOCK)
                        bits &= ((uint64_t)1 << n) - 1;
                if (bits)
                        block_scan(s, first, n, bits);
        }
}

/* ---- the scan by two ------------------------------------------------------------------ */

/* Both threads take the next piece until none is left: the slower one, or one that never begins, does less. */
struct shared {
        struct scan half; /* the helper's */
        const vec_bits *filter;
        atomic_size_t next;
};

static void scan_pieces(struct scan *s, struct shared *all)
{
        for (size_t from; (from = atomic_fetch_add(&all->next, PIECE)) < s->x->count;)
                scan_rows(s, all->filter, from, s->x->count - from < PIECE ? s->x->count : from + PIECE);
}

static void scan_shared(void *arg)
{
        struct shared *all = arg;
        scan_pieces(&all->half, all);
}

/* False: there is no help or not enough to do, nothing was scanned. */
static bool scan_by_two(struct scan *s, const vec_bits *filter, struct helper *h)
{
        size_t k = s->best.k < s->x->count ? s->best.k : s->x->count;
        struct shared all = {.half = *s, .filter = filter};
        if (!h || s->x->count * s->query.stride < WORTH_HELP)
                return false;
        all.half.best = (struct best){.hit = mem_alloc(k * sizeof(struct vec_hit)), .k = k};
        if (!all.half.best.hit || !helper_lend(h, scan_shared, &all)) {
                mem_free(all.half.best.hit);
                return false;
        }
        scan_pieces(s, &all);
        if (helper_end(h))
                for (size_t i = 0; i < all.half.best.n; i++)
                        best_add(&s->best, all.half.best.hit[i]);
        mem_free(all.half.best.hit);
        return true;
}

size_t vec_index_search(const struct vec_index *x, const float *q, const vec_bits *filter, size_t k,
                        struct vec_hit *out, struct helper *h)
{
        _Alignas(VECTOR_ROW_ALIGN) int8_t values[VECTOR_MAX_DIM];
        _Alignas(VECTOR_ROW_ALIGN) uint8_t mag[VECTOR_MAX_DIM];
        struct scan s = {.x = x, .run = chosen_kernel()->run, .best = {.hit = out, .k = k}};
        int32_t sum = 0;
        if (!k || !x->count)
                return 0;
        memset(values, 0, x->stride);
        s.scale = vec_quantise(q, x->dim, values);
        if (s.scale < 0) /* not a vector: nothing is near it */
                return 0;
        for (size_t i = 0; i < x->stride; i++) {
                mag[i] = (uint8_t)(values[i] < 0 ? -values[i] : values[i]);
                sum += values[i];
        }
        s.query = (struct vec_query){values, mag, 128 * sum, x->stride};
        if (!scan_by_two(&s, filter, h))
                scan_rows(&s, filter, 0, x->count);
        best_sort(&s.best);
        return s.best.n;
}
