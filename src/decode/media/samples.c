/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arithmetic on samples. The hard thing is to do it like the models' training
 * did: no profile, high byte of 16 bits, alpha over white, CMYK by Adobe's
 * formula.
 */
#include <math.h>
#include "decode/media/media_priv.h"

/* (c*a + 255*(255-a)) / 255, rounded. */
static uint8_t over_white(unsigned c, unsigned a)
{
        return (uint8_t)((c * a + 255 * (255 - a) + 127) / 255);
}

void samples_blend_white(const uint8_t *in, unsigned bands, size_t n, uint8_t *rgb)
{
        if (bands <= 2) {
                for (size_t i = n; i-- > 0;) { /* from the end: the output is longer than the input */
                        uint8_t c = bands == 1 ? in[i] : over_white(in[2 * i], in[2 * i + 1]);
                        rgb[3 * i] = rgb[3 * i + 1] = rgb[3 * i + 2] = c;
                }
                return;
        }
        for (size_t i = 0; i < n && bands == 4; i++) {
                const uint8_t *p = in + 4 * i;
                unsigned a = p[3];
                for (unsigned k = 0; k < 3; k++)
                        rgb[3 * i + k] = over_white(p[k], a);
        }
        if (bands == 3 && in != rgb)
                memcpy(rgb, in, 3 * n);
}

void samples_from_cmyk(const uint8_t *in, size_t n, uint8_t *rgb)
{
        for (size_t i = 0; i < n; i++) {
                unsigned nk = 255u - in[4 * i + 3];
                uint8_t out[3];
                for (unsigned k = 0; k < 3; k++) {
                        unsigned t = in[4 * i + k] * nk + 128;
                        out[k] = (uint8_t)(nk - ((t + (t >> 8)) >> 8));
                }
                memcpy(rgb + 3 * i, out, 3);
        }
}

void samples_from_float(const float *in, unsigned bands, size_t n, uint8_t *out)
{
        unsigned colours = bands == 2 || bands == 4 ? bands - 1 : bands;
        float lo = 0, hi = 0;
        for (size_t i = 0; i < n; i++)
                for (unsigned k = 0; k < colours; k++) {
                        float v = in[i * bands + k];
                        if (isfinite(v)) {
                                lo = fminf(lo, v);
                                hi = fmaxf(hi, v);
                        }
                }
        /* 0..1, 0..255 and 0..65535 are what programs write; anything else is stretched from its own range */
        float top = hi <= 1 ? 1 : hi <= 255 ? 255 : hi <= 65535 ? 65535 : hi;
        float scale = 255 / (top - lo);
        for (size_t i = 0; i < n * bands; i++) {
                bool alpha = colours < bands && i % bands == colours;
                float v = alpha ? in[i] * (in[i] <= 1 ? 255 : 1) : (in[i] - lo) * scale;
                out[i] = !(v > 0) ? 0 : v >= 255 ? 255 : (uint8_t)(v + 0.5f); /* NaN is black */
        }
}
