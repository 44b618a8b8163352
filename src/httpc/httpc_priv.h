/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: reading the one header that needs a grammar. */
#ifndef FA_HTTPC_PRIV_H
#define FA_HTTPC_PRIV_H

#include "httpc/httpc.h"

/*
 * The file name in a Content-Disposition value (RFC 6266): filename* (RFC 8187)
 * before filename, path parts and control characters dropped, at most size-1
 * bytes of well-formed UTF-8. "" when there is none that could be used.
 */
void httpc_disposition_name(struct span value, char *out, size_t size);

#endif
