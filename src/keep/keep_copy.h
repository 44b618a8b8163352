/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies a whole SQLite catalog into an empty PostgreSQL database. The source is only read, in one read transaction;
 * the target records how far the copy is, so it can be interrupted anywhere and started again. It counts as finished,
 * and a server accepts it, only after both sides have been proven equal.
 *
 * The order of calls: open, load, verify, finish, close; objects at any time after open. One thread at a time.
 */
#ifndef FA_KEEP_COPY_H
#define FA_KEEP_COPY_H

#include "base/base.h"

struct keep_copy;

struct keep_copy_opts {
        const char *from;     /* path of the SQLite file */
        const char *to;       /* postgresql://… */
        const char *password; /* overrides the URL's; NULL or "": the URL's */
        size_t batch_bytes;   /* a transaction ends after this many bytes; 0: 16 MiB */
        /* Called periodically; what: "reading", "copying", "indexing words", "comparing". May be NULL. */
        void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
        void *ctx;
};

/*
 * Reads the source once to count and hash its rows, and examines the target without changing it. ERR_CONFLICT: the
 * target holds something else, was begun from another source, the source has changed since, or a server is connected;
 * the message says what to do.
 */
int keep_copy_open(const struct keep_copy_opts *opts, struct keep_copy **out, struct err *e) MUST_CHECK;
void keep_copy_close(struct keep_copy *c); /* NULL is fine */

enum keep_copy_state { COPY_NEW, COPY_BEGUN, COPY_FINISHED };
/* The state of the target when it was opened. */
enum keep_copy_state keep_copy_state(const struct keep_copy *c);

/* Migrates the target's tables and copies the rows that it lacks. Does nothing when the copy is finished. */
int keep_copy_load(struct keep_copy *c, struct err *e) MUST_CHECK;
/* Compares both sides; *equal receives the result, and keep_copy_tables and keep_copy_groups give the details. */
int keep_copy_verify(struct keep_copy *c, bool *equal, struct err *e) MUST_CHECK;
/* Marks the target as complete. To be called only after a verification that found both sides equal. */
int keep_copy_finish(struct keep_copy *c, struct err *e) MUST_CHECK;

struct keep_copy_table { /* the hash: SHA-256 of the rows in the order of their key, in PostgreSQL's binary COPY
                               format */
        const char *name;
        uint64_t rows, target_rows;
        struct sha256 hash, target_hash;
};
const struct keep_copy_table *keep_copy_tables(const struct keep_copy *c, size_t *n);

struct keep_copy_group { /* what: "files", "folders", "tasks"; bytes: of folders, their members */
        const char *what;
        char owner[80], status[24];
        uint64_t count, target_count, bytes, target_bytes;
};
const struct keep_copy_group *keep_copy_groups(const struct keep_copy *c, size_t *n);
/*
 * Number of texts that were not valid UTF-8 and had bytes replaced by U+FFFD, since PostgreSQL accepts valid UTF-8
 * only.
 */
uint64_t keep_copy_mended(const struct keep_copy *c);

/*
 * The next object of the source with its products, in the order of hashes: returns 1, 0 at the end, -1 on error.
 * products has room for PRODUCTS_MAX bytes (model.h).
 */
int keep_copy_object(struct keep_copy *c, struct sha256 *object, uint64_t *size, char *products, size_t room,
                     struct err *e) MUST_CHECK;

#endif
