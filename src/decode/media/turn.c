/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turning pixels upright. The hard thing is the cache: a quarter turn walks
 * one side of the picture across rows, so it goes by small tiles.
 */
#include "decode/media/media_priv.h"

#define TILE 32

/* Where output (0,0) lies in the source, and the source's steps for one output pixel right and down. */
struct walk {
        ptrdiff_t start, right, down;
};

static struct walk walk_of(uint32_t w, uint32_t h, int orientation)
{
        ptrdiff_t x = 3, y = 3 * (ptrdiff_t)w, last_x = x * ((ptrdiff_t)w - 1), last_y = y * ((ptrdiff_t)h - 1);
        switch (orientation) {
        case 2:
                return (struct walk){last_x, -x, y};
        case 3:
                return (struct walk){last_x + last_y, -x, -y};
        case 4:
                return (struct walk){last_y, x, -y};
        case 5:
                return (struct walk){0, y, x};
        case 6:
                return (struct walk){last_y, -y, x};
        case 7:
                return (struct walk){last_x + last_y, -y, -x};
        default: /* 8 */
                return (struct walk){last_x, y, -x};
        }
}

static void turn_tile(const struct picture *in, struct walk k, struct picture *out, uint32_t x0, uint32_t y0)
{
        uint32_t x1 = x0 + TILE < out->w ? x0 + TILE : out->w, y1 = y0 + TILE < out->h ? y0 + TILE : out->h;
        for (uint32_t y = y0; y < y1; y++) {
                const uint8_t *s = in->px + k.start + k.down * (ptrdiff_t)y + k.right * (ptrdiff_t)x0;
                uint8_t *d = out->px + ((size_t)y * out->w + x0) * 3;
                for (uint32_t x = x0; x < x1; x++, s += k.right, d += 3) {
                        d[0] = s[0];
                        d[1] = s[1];
                        d[2] = s[2];
                }
        }
}

int picture_turn(struct picture *p, int orientation, struct err *e)
{
        struct picture out;
        if (orientation < 2 || orientation > 8)
                return 0;
        bool swap = orientation >= 5;
        if (picture_new(&out, swap ? p->h : p->w, swap ? p->w : p->h, e))
                return -1;
        struct walk k = walk_of(p->w, p->h, orientation);
        for (uint32_t y = 0; y < out.h; y += TILE)
                for (uint32_t x = 0; x < out.w; x += TILE)
                        turn_tile(p, k, &out, x, y);
        picture_done(p);
        *p = out;
        return 0;
}
