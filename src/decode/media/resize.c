/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The resampler the models were trained with, down to the bit: a triangle
 * filter stretched by the scale, 22-bit integer weights, horizontal pass
 * first and rounded to 8 bits, then vertical. The hard thing: the box is only
 * a window on the source, so the filter reads the pixels around it too;
 * cropping first would change the edge by a grey level.
 */
#include <math.h>
#include "decode/media/media_priv.h"
#ifdef __x86_64__
#include <immintrin.h>
#endif

#define BITS 22

/* For output i: first source index and count weights in k[i * most]. */
struct taps {
        uint32_t most;
        uint32_t *first, *count;
        int32_t *k;
};

static void taps_done(struct taps *t)
{
        mem_free(t->first);
        mem_free(t->count);
        mem_free(t->k);
}

static double triangle_weight(double x)
{
        x = fabs(x);
        return x < 1 ? 1 - x : 0;
}

static int taps_new(struct taps *t, uint32_t in, double from, double len, uint32_t out, struct err *e)
{
        double scale = len / out, stretch = scale > 1 ? scale : 1;
        *t = (struct taps){.most = (uint32_t)ceil(stretch) * 2 + 1};
        t->first = mem_calloc(out, sizeof *t->first);
        t->count = mem_calloc(out, sizeof *t->count);
        t->k = mem_calloc((size_t)out * t->most, sizeof *t->k);
        double *w = mem_calloc(t->most, sizeof *w);
        if (!t->first || !t->count || !t->k || !w) {
                taps_done(t);
                mem_free(w);
                return err_oom(e);
        }
        for (uint32_t i = 0; i < out; i++) {
                double centre = from + (i + 0.5) * scale, sum = 0;
                int64_t lo = (int64_t)(centre - stretch + 0.5), hi = (int64_t)(centre + stretch + 0.5);
                lo = lo < 0 ? 0 : lo > (int64_t)in - 1 ? (int64_t)in - 1 : lo;
                hi = hi > (int64_t)in ? (int64_t)in : hi <= lo ? lo + 1 : hi;
                uint32_t n = (uint32_t)(hi - lo);
                for (uint32_t j = 0; j < n; j++)
                        sum += w[j] = triangle_weight(((double)(lo + j) - centre + 0.5) / stretch);
                for (uint32_t j = 0; j < n; j++) /* weights are never negative: half away from zero is floor(x+0.5) */
                        t->k[(size_t)i * t->most + j] =
                                sum > 0 ? (int32_t)(w[j] * (1.0 / sum) * (1 << BITS) + 0.5) : (1 << BITS) / (int32_t)n;
                t->first[i] = (uint32_t)lo;
                t->count[i] = n;
        }
        mem_free(w);
        return 0;
}

static inline uint8_t round_off(int32_t acc)
{
        int32_t v = acc >> BITS;
        return v < 0 ? 0 : v > 255 ? 255 : (uint8_t)v;
}

static void row_across(const uint8_t *in, const struct taps *t, uint32_t out_w, uint8_t *out)
{
        for (uint32_t x = 0; x < out_w; x++) {
                const int32_t *k = t->k + (size_t)x * t->most;
                const uint8_t *s = in + (size_t)t->first[x] * 3;
                int32_t r = 1 << (BITS - 1), g = r, b = r;
                for (uint32_t j = 0; j < t->count[x]; j++, s += 3) {
                        r += k[j] * s[0];
                        g += k[j] * s[1];
                        b += k[j] * s[2];
                }
                out[3 * x] = round_off(r);
                out[3 * x + 1] = round_off(g);
                out[3 * x + 2] = round_off(b);
        }
}

/* Columns from i on of one output row, from count rows of n bytes. */
static void row_down(const uint8_t *in, size_t i, size_t n, const int32_t *k, uint32_t count, uint8_t *out)
{
        for (; i < n; i++) {
                int32_t acc = 1 << (BITS - 1);
                for (uint32_t j = 0; j < count; j++)
                        acc += k[j] * in[n * j + i];
                out[i] = round_off(acc);
        }
}

/* The same integers, several at a time; chosen at run time. */
#ifdef __x86_64__
/* A pixel is three bytes and read as four, hence the last one of a window by itself: nothing is read past the row. */
__attribute__((target("avx2"))) static void row_across_avx2(const uint8_t *in, const struct taps *t, uint32_t out_w,
                                                            uint8_t *out)
{
        for (uint32_t x = 0; x < out_w; x++) {
                const int32_t *k = t->k + (size_t)x * t->most;
                const uint8_t *s = in + (size_t)t->first[x] * 3;
                uint32_t last = t->count[x] - 1;
                int32_t px;
                __m128i acc = _mm_set1_epi32(1 << (BITS - 1));
                for (uint32_t j = 0; j < last; j++, s += 3) {
                        memcpy(&px, s, 4);
                        __m128i v = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(px));
                        acc = _mm_add_epi32(acc, _mm_mullo_epi32(v, _mm_set1_epi32(k[j])));
                }
                px = s[0] | s[1] << 8 | s[2] << 16;
                __m128i v = _mm_cvtepu8_epi32(_mm_cvtsi32_si128(px));
                acc = _mm_srai_epi32(_mm_add_epi32(acc, _mm_mullo_epi32(v, _mm_set1_epi32(k[last]))), BITS);
                acc = _mm_packus_epi16(_mm_packs_epi32(acc, acc), acc);
                px = _mm_cvtsi128_si32(acc);
                out[3 * x] = (uint8_t)px;
                out[3 * x + 1] = (uint8_t)(px >> 8);
                out[3 * x + 2] = (uint8_t)(px >> 16);
        }
}

/* Returns how many columns it did. */
__attribute__((target("avx2"))) static size_t row_down_avx2(const uint8_t *in, size_t n, const int32_t *k,
                                                            uint32_t count, uint8_t *out)
{
        size_t i = 0;
        for (; i + 8 <= n; i += 8) {
                __m256i acc = _mm256_set1_epi32(1 << (BITS - 1));
                for (uint32_t j = 0; j < count; j++) {
                        __m256i v = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(in + n * j + i)));
                        acc = _mm256_add_epi32(acc, _mm256_mullo_epi32(v, _mm256_set1_epi32(k[j])));
                }
                acc = _mm256_srai_epi32(acc, BITS);
                __m128i p = _mm_packs_epi32(_mm256_castsi256_si128(acc), _mm256_extracti128_si256(acc, 1));
                _mm_storel_epi64((__m128i *)(out + i), _mm_packus_epi16(p, p));
        }
        return i;
}
#endif

static bool have_avx2(void)
{
#ifdef __x86_64__
        return __builtin_cpu_supports("avx2");
#else
        return false;
#endif
}

static void resize_across(bool wide, const uint8_t *in, const struct taps *t, uint32_t out_w, uint8_t *out)
{
#ifdef __x86_64__
        if (wide) {
                row_across_avx2(in, t, out_w, out);
                return;
        }
#endif
        (void)wide;
        row_across(in, t, out_w, out);
}

static void resize_down(bool wide, const uint8_t *in, size_t n, const int32_t *k, uint32_t count, uint8_t *out)
{
        size_t done = 0;
#ifdef __x86_64__
        if (wide)
                done = row_down_avx2(in, n, k, count, out);
#endif
        (void)wide;
        row_down(in, done, n, k, count, out);
}

static int resize_both(const struct picture *in, const struct taps *tx, const struct taps *ty, struct picture *out,
                       struct err *e)
{
        uint32_t top = ty->first[0], bottom = ty->first[out->h - 1] + ty->count[out->h - 1];
        size_t n = (size_t)out->w * 3;
        bool wide = have_avx2();
        struct picture mid;
        if (picture_new(&mid, out->w, bottom - top, e))
                return -1;
        for (uint32_t y = top; y < bottom; y++)
                resize_across(wide, in->px + (size_t)y * in->w * 3, tx, out->w, mid.px + (y - top) * n);
        for (uint32_t y = 0; y < out->h; y++)
                resize_down(wide, mid.px + (ty->first[y] - top) * n, n, ty->k + (size_t)y * ty->most, ty->count[y],
                            out->px + y * n);
        picture_done(&mid);
        return 0;
}

int picture_resize(const struct picture *in, struct box box, uint32_t w, uint32_t h, struct picture *out, struct err *e)
{
        struct taps tx, ty;
        if (picture_new(out, w, h, e))
                return -1;
        if (box.w == in->w && box.h == in->h && w == in->w && h == in->h) { /* the filter is the identity */
                memcpy(out->px, in->px, (size_t)w * h * 3);
                return 0;
        }
        int rc = taps_new(&tx, in->w, box.x, box.w, w, e);
        if (!rc) {
                rc = taps_new(&ty, in->h, box.y, box.h, h, e);
                if (!rc) {
                        rc = resize_both(in, &tx, &ty, out, e);
                        taps_done(&ty);
                }
                taps_done(&tx);
        }
        if (rc)
                picture_done(out);
        return rc;
}
