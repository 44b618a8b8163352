/* SPDX-License-Identifier: Apache-2.0 */
/* The readers, one for each kind of file that the parent can name. */
#ifndef FA_DECODE_PRIV_H
#define FA_DECODE_PRIV_H

#include "decode/decode.h"

/* *out is initialised by the caller, who also frees it, whatever the result. */
typedef int decode_read_fn(int fd, const struct decode_request *want, struct decode_output *out, struct err *e);
decode_read_fn decode_read_image;

#endif
