/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder's work without its process: from a descriptor and a request to
 * everything that one decode makes. main.c wraps it into the jailed program;
 * tests call it directly.
 */
#ifndef FA_DECODE_H
#define FA_DECODE_H

#include "base/base.h"
#include "jail/protocol.h"

#define DECODE_FORMATS_MAX 32

struct decode_piece {
        struct jail_entry entry; /* with its length */
        void *bytes;             /* glib's */
};

struct decode_output {
        uint32_t width, height, pages; /* upright */
        uint64_t phash;
        char format[16];
        struct buf meta;
        struct decode_piece *piece; /* products, model inputs and texts, as they were made */
        size_t n, cap;
};

/* ERR_UNSUPPORTED, ERR_CORRUPT, ERR_TOO_LARGE are the file's fault, others ours; *out is empty then. */
int decode_file(int fd, const struct decode_request *want, struct decode_output *out, struct err *e) MUST_CHECK;
/* Add a piece. bytes is glib's (g_free) and the output's from here on, on failure too. */
int decode_output_add(struct decode_output *o, struct jail_entry entry, void *bytes, size_t n,
                      struct err *e) MUST_CHECK;
/* Table and bytes as the protocol lays them out, to an empty file; the number of entries in *entries. */
int decode_output_write(const struct decode_output *o, int fd, uint32_t *entries, struct err *e) MUST_CHECK;
void decode_output_done(struct decode_output *o);

/* ---- the program's start --------------------------------------------------------------- */

/* libvips as we use it: no cache, one thread, trusted loaders only, deterministic pixels. Once per process. */
int decode_init(const char *program, struct err *e) MUST_CHECK;
/* One tiny built-in file per format, as descriptors. */
struct decode_warm_up {
        int fd[DECODE_FORMATS_MAX]; /* -1 behind the last */
};
int decode_warm_up_open(struct decode_warm_up *w, struct err *e) MUST_CHECK;
/* Decode them all the whole way: afterwards modules, tables and threads exist. As often as wished. */
int decode_warm_up(const struct decode_warm_up *w, struct err *e) MUST_CHECK;
void decode_warm_up_close(struct decode_warm_up *w);

#endif
