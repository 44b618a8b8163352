/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Grouping by cosine. The hard thing is to give the same answer in whatever order the rows come, and a harmless one
 * when vectors are zero or not numbers: every comparison is written so that NaN loses, and every tie is broken.
 */
#include "cluster/cluster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Unit vectors have length 1; a vector shorter than this is a hole or a fault. */
#define LENGTH2_MIN 0.25f
/* The mean of unit vectors that cancel out is rounding noise of about this length. */
#define MEAN_MIN 1e-5

/* The nearest neighbours considered when a folder is founded. This bounds the pair table to 64 KiB. */
#define FOUND_MAX 256

typedef float f32x4 __attribute__((vector_size(16)));

/* Symmetric to the bit: swapping a and b changes no rounding. */
static float dot_product(const float *a, const float *b, size_t dim)
{
        f32x4 sum[2] = {0};
        size_t i = 0;
        for (; i + 8 <= dim; i += 8)
                for (size_t k = 0; k < 2; k++) {
                        f32x4 x, y;
                        memcpy(&x, a + i + 4 * k, sizeof x);
                        memcpy(&y, b + i + 4 * k, sizeof y);
                        sum[k] += x * y;
                }
        f32x4 s = sum[0] + sum[1];
        float total = (s[0] + s[1]) + (s[2] + s[3]);
        for (; i < dim; i++)
                total += a[i] * b[i];
        return total;
}

static bool has_direction(const float *v, size_t dim)
{
        float length2 = dot_product(v, v, dim);
        return length2 >= LENGTH2_MIN && isfinite(length2);
}

/* ---- assignment ----------------------------------------------------------------- */

static bool is_nearer(const struct cluster_candidate *a, const struct cluster_candidate *b)
{
        return a->cosine > b->cosine || (a->cosine == b->cosine && a->index < b->index);
}

struct cluster_choice cluster_choose(const struct cluster_candidate *c, size_t n, float margin)
{
        const struct cluster_candidate *best = NULL;
        float second = -INFINITY; /* of another folder than the best */
        for (size_t i = 0; i < n; i++)
                if (!isnan(c[i].cosine) && (!best || is_nearer(&c[i], best)))
                        best = &c[i];
        if (!best)
                return (struct cluster_choice){CLUSTER_UNSORTED, 0, -1, "no candidate"};
        for (size_t i = 0; i < n; i++)
                if (c[i].index != best->index && c[i].cosine > second)
                        second = c[i].cosine;
        struct cluster_choice r = {CLUSTER_UNSORTED, best->index, best->cosine, "assigned"};
        if (!(best->cosine >= best->threshold))
                r.why = "below threshold";
        else if (!(best->cosine - second >= margin))
                r.why = "too close to the second";
        else
                r.verdict = CLUSTER_ASSIGN;
        return r;
}

/* ---- founding ----------------------------------------------------------------------- */

struct neighbour {
        float cosine;
        uint32_t row;
};

static int neighbour_cmp(const void *a, const void *b)
{
        const struct neighbour *x = a, *y = b;
        if (x->cosine != y->cosine)
                return x->cosine > y->cosine ? -1 : 1;
        return x->row < y->row ? -1 : x->row > y->row;
}

struct founding {
        struct neighbour *list; /* nearest first */
        size_t n;
        bool *close; /* n × n: the pair reaches the threshold */
        uint16_t group[FOUND_MAX], best[FOUND_MAX];
        size_t nbest;
};

static size_t neighbours_of(const float *v, const float *near, size_t n, size_t dim, float threshold,
                            struct neighbour *list)
{
        size_t m = 0;
        if (!has_direction(v, dim))
                return 0;
        for (size_t i = 0; i < n; i++) {
                float c = dot_product(v, near + i * dim, dim);
                if (c >= threshold && has_direction(near + i * dim, dim))
                        list[m++] = (struct neighbour){c, (uint32_t)i};
        }
        if (m)
                qsort(list, m, sizeof *list, neighbour_cmp);
        return m < FOUND_MAX ? m : FOUND_MAX;
}

static void pairs_fill(struct founding *f, const float *near, size_t dim, float threshold)
{
        for (size_t i = 0; i < f->n; i++)
                for (size_t k = 0; k < i; k++) {
                        const float *a = near + f->list[i].row * dim, *b = near + f->list[k].row * dim;
                        f->close[i * f->n + k] = f->close[k * f->n + i] = dot_product(a, b, dim) >= threshold;
                }
}

/* The group of first and of every neighbour, from the nearest on, that is close to all members so far. */
static size_t group_from(struct founding *f, size_t first)
{
        size_t size = 0;
        f->group[size++] = (uint16_t)first;
        for (size_t i = 0; i < f->n; i++) {
                bool fits = i != first;
                for (size_t k = 0; k < size && fits; k++)
                        fits = f->close[i * f->n + f->group[k]];
                if (fits)
                        f->group[size++] = (uint16_t)i;
        }
        return size;
}

/*
 * Greedy once from each neighbour: the nearest alone may be an outlier that
 * shuts the real group out. The first of equally large groups wins.
 */
static void group_best(struct founding *f)
{
        for (size_t first = 0; first < f->n; first++) {
                size_t size = group_from(f, first);
                if (size > f->nbest) {
                        memcpy(f->best, f->group, size * sizeof *f->group);
                        f->nbest = size;
                }
        }
}

static int u32_cmp(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
        return x < y ? -1 : x > y;
}

size_t cluster_found(const float *v, const float *near, size_t n, size_t dim, float threshold, size_t min_size,
                     uint32_t *members)
{
        struct founding *f = n ? mem_calloc(1, sizeof *f) : NULL;
        size_t count = 0;
        if (!f)
                return 0;
        f->list = mem_calloc(n, sizeof *f->list);
        f->n = f->list ? neighbours_of(v, near, n, dim, threshold, f->list) : 0;
        f->close = f->n ? mem_calloc(f->n * f->n, sizeof *f->close) : NULL;
        if (f->close) {
                pairs_fill(f, near, dim, threshold);
                group_best(f);
        }
        if (f->nbest && f->nbest + 1 >= min_size) {
                for (; count < f->nbest; count++)
                        members[count] = f->list[f->best[count]].row;
                qsort(members, count, sizeof *members, u32_cmp);
        }
        mem_free(f->close);
        mem_free(f->list);
        mem_free(f);
        return count;
}

/* ---- prototypes ------------------------------------------------------------------------ */

bool cluster_centroid(const float *vecs, size_t n, size_t dim, float *out)
{
        double length2 = 0;
        for (size_t from = 0; from < dim;
             from += 64) { /* in strips, so that the sums are double without an allocation */
                double sum[64] = {0};
                size_t width = dim - from < 64 ? dim - from : 64;
                for (size_t r = 0; r < n; r++)
                        for (size_t i = 0; i < width; i++)
                                sum[i] += vecs[r * dim + from + i];
                for (size_t i = 0; i < width; i++) {
                        double mean = n ? sum[i] / (double)n : 0;
                        out[from + i] = (float)mean;
                        length2 += mean * mean;
                }
        }
        if (!(length2 > MEAN_MIN * MEAN_MIN) || !isfinite(length2))
                return false;
        float scale = (float)(1 / sqrt(length2));
        for (size_t i = 0; i < dim; i++)
                out[i] *= scale;
        return true;
}

/* ---- merging ------------------------------------------------------------------------------ */

struct pair {
        uint32_t a, b; /* a < b */
        float cosine;
};

static int pair_cmp(const void *x, const void *y)
{
        const struct pair *p = x, *q = y;
        if (p->cosine != q->cosine)
                return p->cosine > q->cosine ? -1 : 1;
        if (p->a != q->a)
                return p->a < q->a ? -1 : 1;
        return p->b < q->b ? -1 : p->b > q->b;
}

static bool outlives_other(const struct cluster_group *g, uint32_t a, uint32_t b)
{
        if (g[a].fixed != g[b].fixed)
                return g[a].fixed;
        if (g[a].count != g[b].count)
                return g[a].count > g[b].count;
        return a < b;
}

/* Groups whose prototype or threshold is no number take no part. 0, or -1 on OOM. */
static int pairs_collect(const struct cluster_group *g, size_t n, size_t dim, float hysteresis, struct pair **pairs,
                         size_t *count, struct err *e)
{
        size_t cap = 0;
        for (uint32_t b = 1; b < n; b++)
                for (uint32_t a = 0; a < b; a++) {
                        float need = g[a].threshold > g[b].threshold ? g[a].threshold : g[b].threshold;
                        if (g[a].fixed && g[b].fixed)
                                continue;
                        float c = dot_product(g[a].prototype, g[b].prototype, dim);
                        if (!(c >= need + hysteresis) || !has_direction(g[a].prototype, dim) ||
                            !has_direction(g[b].prototype, dim) || isnan(g[a].threshold) || isnan(g[b].threshold))
                                continue;
                        if (mem_grow((void **)pairs, &cap, *count + 1, sizeof **pairs))
                                return err_oom(e);
                        (*pairs)[(*count)++] = (struct pair){a, b, c};
                }
        return 0;
}

size_t cluster_merges(const struct cluster_group *g, size_t n, size_t dim, float hysteresis, struct cluster_merge *out,
                      size_t max, struct err *e)
{
        struct pair *pairs = NULL;
        size_t npairs = 0, count = 0;
        bool *taken = mem_calloc(n ? n : 1, sizeof *taken);
        if (e)
                e->code = ERR_NONE;
        if (!taken) {
                err_oom(e);
                return 0;
        }
        if (!pairs_collect(g, n, dim, hysteresis, &pairs, &npairs, e) && npairs) {
                qsort(pairs, npairs, sizeof *pairs, pair_cmp);
                for (size_t i = 0; i < npairs && count < max; i++) {
                        struct pair p = pairs[i];
                        if (taken[p.a] || taken[p.b])
                                continue;
                        taken[p.a] = taken[p.b] = true;
                        bool keep_a = outlives_other(g, p.a, p.b);
                        out[count++] = (struct cluster_merge){keep_a ? p.b : p.a, keep_a ? p.a : p.b, p.cosine};
                }
        }
        mem_free(pairs);
        mem_free(taken);
        return count;
}
