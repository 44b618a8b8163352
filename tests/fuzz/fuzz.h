/* SPDX-License-Identifier: Apache-2.0 */
/* What fuzz targets share. */
#ifndef FA_FUZZ_H
#define FA_FUZZ_H

#include <stdlib.h>
#include <string.h>
#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void demand(bool holds)
{
        if (!holds)
                abort();
}

/* A copy exactly as long as promised, so that a read past its end shows. */
static inline char *exact_copy(struct span s)
{
        char *out = malloc(s.n + 1);
        demand(out != NULL);
        if (s.n)
                memcpy(out, s.p, s.n);
        out[s.n] = '\0';
        return out;
}

static inline bool has_control(struct span s)
{
        for (size_t i = 0; i < s.n; i++)
                if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
                        return true;
        return false;
}

#endif
