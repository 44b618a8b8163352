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

#define DECODE_FORMATS 7

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
/* One tiny built-in file per format, as descriptors. */
struct decode_warm_up {
        int fd[DECODE_FORMATS];
};
int decode_warm_up_open(struct decode_warm_up *w, struct err *e) MUST_CHECK;
/* Decode them all the whole way: afterwards modules, tables and threads exist. As often as wished. */
int decode_warm_up(const struct decode_warm_up *w, struct err *e) MUST_CHECK;
void decode_warm_up_close(struct decode_warm_up *w);
/* ERR_UNSUPPORTED, ERR_CORRUPT, ERR_TOO_LARGE are the file's fault, others ours. */
int decode_file(int fd, const struct jail_request *req, struct decode_products *out, struct err *e) MUST_CHECK;
void decode_products_done(struct decode_products *p);

#endif
