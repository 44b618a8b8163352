/* SPDX-License-Identifier: Apache-2.0 */
/* Text that libvips made of hostile EXIF, and profiles: whatever goes in, short well-formed text comes out. */
#include <math.h>
#include <stdlib.h>
#include "decode/media/media_priv.h"

static void demand(bool holds)
{
        if (!holds)
                abort();
}

static bool has_control(struct span s)
{
        for (size_t i = 0; i < s.n; i++)
                if ((uint8_t)s.p[i] < 0x20 || s.p[i] == 0x7f)
                        return true;
        return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct span all = {(const char *)data, size}, v = exif_value(all);
        struct buf out;
        double n;
        demand(v.n <= size);
        buf_init(&out, 4096);
        exif_clean(v, &out);
        demand(out.n <= 256 && utf8_valid(buf_span(&out)) && !has_control(buf_span(&out)));
        buf_reset(&out);
        if (icc_description(all, &out))
                demand(out.n > 0 && out.n <= 256 && utf8_valid(buf_span(&out)) && !has_control(buf_span(&out)));
        buf_done(&out);
        if (exif_number(v, &n))
                demand(isfinite(n));
        if (exif_degrees(v, (struct span){all.p, size ? 1 : 0}, &n))
                demand(n >= -180 && n <= 180);
        if (exif_degrees(v, SPAN("N"), &n))
                demand(n >= 0 && n <= 90);
        return 0;
}
