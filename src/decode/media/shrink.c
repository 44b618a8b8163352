/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chooses how far a picture may be shrunk while it is read: cheap for large pictures, and still enough for every
 * wish.
 */
#include "decode/media/media_priv.h"

unsigned media_shrink(uint32_t w, uint32_t h, const struct decode_request *want)
{
        uint32_t shorter = w < h ? w : h, longer = w < h ? h : w;
        uint32_t model = 0, need_long = 256; /* the hash wants something to work on too */
        for (size_t i = 0; i < COUNT_OF(want->input); i++) {
                const struct jail_input_wish *in = &want->input[i];
                uint32_t side = in->width > in->height ? in->width : in->height;
                if (in->width && side > model)
                        model = side;
        }
        for (size_t i = 0; i < COUNT_OF(want->product); i++)
                if (want->product[i].name[0] && want->product[i].size > need_long)
                        need_long = want->product[i].size;
        /* 2.5 times the model's input on the short side keeps it within a grey level (measured, see decoding.md) */
        uint32_t need_short = model * 5 / 2;
        unsigned f = 1;
        while (f < 8 && shorter / (f * 2) >= need_short && shorter / (f * 2) > 0 && longer / (f * 2) >= need_long)
                f *= 2;
        return f;
}
