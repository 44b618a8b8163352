/* SPDX-License-Identifier: Apache-2.0 */
/* The readers: one for each kind of file that the parent can name. */
#ifndef FA_DECODE_PRIV_H
#define FA_DECODE_PRIV_H

#include "decode/decode.h"

/* *out is prepared and, whatever comes, the caller's to end. */
typedef int decode_read_fn(int fd, const struct decode_request *want, struct decode_output *out, struct err *e);
decode_read_fn decode_read_image;

#endif
