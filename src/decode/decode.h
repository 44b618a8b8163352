/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder's work without its process: from a descriptor and a request to everything that one decode produces.
 * main.c wraps it into the jailed program; tests call it directly.
 */
#ifndef FA_DECODE_H
#define FA_DECODE_H

#include "base/base.h"
#include "jail/protocol.h"

#define DECODE_FORMATS_MAX 32

struct decode_piece {
        struct jail_entry entry; /* with its length set */
        void *bytes;             /* allocated by glib */
};

struct decode_output {
        uint32_t width, height, pages; /* upright */
        uint64_t phash;
        char format[16];
        struct buf meta;
        struct decode_piece *piece; /* products, model inputs and texts, in the order in which they were made */
        size_t n, cap;
};

/*
 * ERR_UNSUPPORTED, ERR_CORRUPT and ERR_TOO_LARGE are faults of the file, other errors are ours; on failure *out is
 * empty.
 */
int decode_file(int fd, const struct decode_request *want, struct decode_output *out, struct err *e) MUST_CHECK;
/* Adds a piece. bytes is allocated by glib (g_free) and belongs to the output from now on, on failure too. */
int decode_output_add(struct decode_output *o, struct jail_entry entry, void *bytes, size_t n,
                      struct err *e) MUST_CHECK;
/* Writes table and bytes to an empty file, laid out as the protocol says; *entries receives the number of entries. */
int decode_output_write(const struct decode_output *o, int fd, uint32_t *entries, struct err *e) MUST_CHECK;
void decode_output_done(struct decode_output *o);

/* ---- the program's start --------------------------------------------------------------- */

/* Sets libvips up: no cache, one thread, trusted loaders only, deterministic pixels. Once per process. */
int decode_init(const char *program, struct err *e) MUST_CHECK;
/* One tiny built-in file per format, as descriptors. */
struct decode_warm_up {
        int fd[DECODE_FORMATS_MAX]; /* -1 after the last */
};
int decode_warm_up_open(struct decode_warm_up *w, struct err *e) MUST_CHECK;
/* Decodes all of them completely: afterwards modules, tables and threads exist. May be called any number of times. */
int decode_warm_up(const struct decode_warm_up *w, struct err *e) MUST_CHECK;
void decode_warm_up_close(struct decode_warm_up *w);

#endif
