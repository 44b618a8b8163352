/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder's work without its process: from a descriptor and a request to
 * the products of one decode. main.c wraps it into the jailed program; tests
 * call it directly.
 */
#ifndef FA_DECODE_H
#define FA_DECODE_H

#include "base/base.h"
#include "jail/protocol.h"

struct decode_products {
        uint32_t width, height, pages; /* upright */
        uint64_t phash;
        char format[16];
        uint8_t *rgb;
        void *thumb, *preview;
        size_t rgb_len, thumb_len, preview_len;
        struct buf meta;
};

/* libvips as we use it: no cache, one thread, trusted loaders only, deterministic pixels. Once per process. */
int decode_init(const char *program, struct err *e) MUST_CHECK;
/* Decode one tiny built-in file per format the whole way: afterwards modules, tables and threads exist. */
int decode_warm_up(struct err *e) MUST_CHECK;
/* ERR_UNSUPPORTED, ERR_CORRUPT, ERR_TOO_LARGE are the file's fault, others ours. */
int decode_file(int fd, const struct jail_request *req, struct decode_products *out, struct err *e) MUST_CHECK;
void decode_products_done(struct decode_products *p);

#endif
