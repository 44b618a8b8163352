/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of base/ share and nobody else needs. */
#ifndef FA_BASE_PRIV_H
#define FA_BASE_PRIV_H

#include "base/base.h"

/* Length of the well-formed UTF-8 sequence at the start of p (n > 0 bytes), 0 when there is none. */
size_t utf8_sequence(const unsigned char *p, size_t n);

/* Value of a hexadecimal digit in either case, -1 for other characters. */
int hex_value(char c);
/* 2n lower-case digits and a NUL. */
void hex_write(char *out, const uint8_t *p, size_t n);

#endif
