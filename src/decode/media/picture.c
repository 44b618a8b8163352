/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of a picture. */
#include "decode/media/media_priv.h"

void picture_done(struct picture *p)
{
        g_free(p->px);
        *p = (struct picture){0};
}

int picture_new(struct picture *p, uint32_t w, uint32_t h, struct err *e)
{
        *p = (struct picture){.px = g_try_malloc((size_t)w * h * 3), .w = w, .h = h};
        return p->px ? 0 : err_oom(e);
}
