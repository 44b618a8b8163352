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

/*
 * The headers that sign a request, one a line: Host, x-amz-date, x-amz-content-sha256, the session token if there is
 * one, Authorization. The URL's path is encoded as it is sent, its query sorted, every name with "=". payload: hex
 * SHA-256 of the body, or UNSIGNED-PAYLOAD. -1 when the URL has no host or out failed.
 */
int httpc_sign(const struct httpc_sigv4 *s, const char *method, const char *url, const char *payload, struct wall now,
               struct buf *out, struct err *e) MUST_CHECK;

#endif
