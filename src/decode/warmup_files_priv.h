/* SPDX-License-Identifier: Apache-2.0 */
/* The tiny pictures of warmup_files.c, one per format. */
#ifndef FA_DECODE_WARMUP_FILES_PRIV_H
#define FA_DECODE_WARMUP_FILES_PRIV_H

#include <stddef.h>

struct warmup_file {
        const unsigned char *p;
        size_t n;
};
extern const struct warmup_file warmup_files[]; /* n 0 ends it; at most DECODE_FORMATS_MAX */

#endif
