/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pure half of serving stored bytes: Range, ETag lists, HTTP dates and the
 * Content-Disposition value (RFC 9110, 6266, 8187). Text in, numbers or text out.
 */
#ifndef FA_HTTP_RANGE_H
#define FA_HTTP_RANGE_H

#include "base/base.h"

enum range_kind {
        RANGE_WHOLE, /* absent, not understood, or several: answer with everything */
        RANGE_PART,
        RANGE_UNSATISFIABLE,
};

/* RANGE_PART: 0 < *length and *first + *length <= size. */
enum range_kind range_parse(struct span value, uint64_t size, uint64_t *first, uint64_t *length);

/* If-None-Match: weak comparison with the bare etag (no quotes); "*" matches any. */
bool etag_list_matches(struct span list, const char *etag);
/* If-Range and others that need a strong one: exactly "etag" in quotes. */
bool etag_strong_equal(struct span value, const char *etag);

#define HTTP_DATE_LEN 30
/* "Sun, 06 Nov 1994 08:49:37 GMT", whole seconds. */
const char *http_date_format(struct wall t, char out[HTTP_DATE_LEN]);
/* Only that form is read; the two obsolete ones are ignored like any wrong date. */
bool http_date_parse(struct span s, int64_t *seconds);

/*
 * attachment; filename="ascii"; filename*=UTF-8''…: any bytes are accepted, only harmless ones are sent. filename
 * NULL: the type alone.
 */
void disposition_put(struct buf *b, bool attachment, const char *filename);

#endif
