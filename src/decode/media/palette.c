/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Up to five colours a picture is made of: a histogram of 4 bits a channel,
 * its fullest bins, each far enough from those already chosen, and of each
 * the true mean of its pixels.
 */
#include "decode/media/media_priv.h"

#define BINS     4096
#define DISTANCE (56 * 56) /* squared, in RGB: closer colours count as one */

struct bin {
        uint32_t n, sum[3];
};

static bool is_new(const struct palette *p, const uint8_t c[3])
{
        for (unsigned i = 0; i < p->n; i++) {
                int d = 0;
                for (int k = 0; k < 3; k++)
                        d += (c[k] - p->rgb[i][k]) * (c[k] - p->rgb[i][k]);
                if (d < DISTANCE)
                        return false;
        }
        return true;
}

/* The fullest bin whose mean is new; its count is taken. False when none is left. */
static bool pick_colour(struct bin *bins, struct palette *out)
{
        for (;;) {
                struct bin *best = bins;
                for (int i = 1; i < BINS; i++)
                        if (bins[i].n > best->n)
                                best = &bins[i];
                if (!best->n)
                        return false;
                uint8_t c[3];
                for (int k = 0; k < 3; k++)
                        c[k] = (uint8_t)(best->sum[k] / best->n);
                best->n = 0;
                if (is_new(out, c)) {
                        memcpy(out->rgb[out->n++], c, 3);
                        return true;
                }
        }
}

void picture_palette(const struct picture *p, struct palette *out)
{
        struct bin bins[BINS];
        memset(bins, 0, sizeof bins);
        *out = (struct palette){0};
        /* at most some 65,000 samples: also keeps the sums in 32 bits */
        size_t n = (size_t)p->w * p->h, skip = n / 65536 + 1;
        for (size_t i = 0; i < n; i += skip) {
                const uint8_t *c = p->px + 3 * i;
                struct bin *b = &bins[(c[0] >> 4) << 8 | (c[1] >> 4) << 4 | c[2] >> 4];
                b->n++;
                for (int k = 0; k < 3; k++)
                        b->sum[k] += c[k];
        }
        while (out->n < COUNT_OF(out->rgb) && pick_colour(bins, out))
                ;
}
