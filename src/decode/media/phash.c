/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A 64-bit perceptual hash by the discrete cosine transform, after C. Zauner,
 * "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010),
 * section 3.2: 32x32 grey, the 8x8 lowest frequencies without the first row
 * and column (they hold the mean), one bit each: above their median or not.
 * Integers only, so that the same pixels give the same bits on every machine.
 */
#include <math.h>
#include <stdlib.h>
#include "decode/media/media_priv.h"

#define SIDE 32
#define LOW  8

/* cos((2x+1) u pi / 64) for u = 1 to 8, in 1/16384. */
static void fill_cosines(int64_t t[LOW][SIDE])
{
        for (int u = 0; u < LOW; u++)
                for (int x = 0; x < SIDE; x++)
                        t[u][x] = llround(16384 * cos((2 * x + 1) * (u + 1) * G_PI / (2 * SIDE)));
}

static int by_value(const void *a, const void *b)
{
        int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
        return (x > y) - (x < y);
}

static uint64_t hash_of(const uint8_t *rgb)
{
        int64_t t[LOW][SIDE], rows[SIDE][LOW], c[LOW * LOW], sorted[LOW * LOW];
        fill_cosines(t);
        for (int y = 0; y < SIDE; y++) {
                for (int u = 0; u < LOW; u++) {
                        rows[y][u] = 0;
                        for (int x = 0; x < SIDE; x++) {
                                const uint8_t *p = rgb + (y * SIDE + x) * 3;
                                rows[y][u] += t[u][x] * (299 * p[0] + 587 * p[1] + 114 * p[2]);
                        }
                }
        }
        for (int v = 0; v < LOW; v++) {
                for (int u = 0; u < LOW; u++) {
                        int64_t sum = 0;
                        for (int y = 0; y < SIDE; y++)
                                sum += t[v][y] * (rows[y][u] / 1000);
                        c[v * LOW + u] = sum;
                }
        }
        memcpy(sorted, c, sizeof c);
        qsort(sorted, LOW * LOW, sizeof sorted[0], by_value);
        int64_t median = (sorted[LOW * LOW / 2 - 1] + sorted[LOW * LOW / 2]) / 2;
        uint64_t hash = 0;
        for (int i = 0; i < LOW * LOW; i++)
                hash = hash << 1 | (c[i] > median);
        return hash;
}

int picture_phash(const struct picture *p, uint64_t *hash, struct err *e)
{
        struct picture small;
        if (picture_resize(p, (struct box){0, 0, p->w, p->h}, SIDE, SIDE, &small, e))
                return -1;
        *hash = hash_of(small.px);
        picture_done(&small);
        return 0;
}
