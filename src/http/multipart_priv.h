/* SPDX-License-Identifier: Apache-2.0 */
/* The headers of one part and the parameters of a header value; for the multipart files only. */
#ifndef FA_HTTP_MULTIPART_PRIV_H
#define FA_HTTP_MULTIPART_PRIV_H

#include "http/http.h"

/* "value; name=token; name="quoted"": the value first, then one parameter a call. */
struct param_reader {
        struct span rest;
};
struct span param_reader_init(struct param_reader *r, struct span header_value);
/* 1 and the unquoted text in *value, 0 at the end, -1 and ERR_INVALID. */
int param_next(struct param_reader *r, struct span *name, struct buf *value, struct err *e) MUST_CHECK;

struct part_headers {
        struct buf name, filename, filename_ext, content_type;
        bool has_disposition, has_name, has_filename, has_filename_ext, has_type, has_encoding;
};

void part_headers_init(struct part_headers *h, size_t max);
void part_headers_done(struct part_headers *h);
void part_headers_reset(struct part_headers *h);
int part_headers_line(struct part_headers *h, struct span line, struct err *e) MUST_CHECK;
/* *out points into h until the next reset. */
int part_headers_finish(struct part_headers *h, struct multipart_part *out, struct err *e) MUST_CHECK;

#endif
