/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole SQLite catalog into an empty PostgreSQL database. The source is only
 * read, in one read transaction; the target remembers how far the copy is, so
 * that it can be cut off anywhere and started again. It counts as finished,
 * and a server accepts it, only after both sides were proven equal.
 *
 * The order of calls: open, load, verify, finish, close; objects at any time
 * after open. One thread at a time.
 */
#ifndef FA_CATALOG_COPY_H
#define FA_CATALOG_COPY_H

#include "base/base.h"

struct catalog_copy;

struct catalog_copy_opts {
        const char *from;     /* path of the SQLite file */
        const char *to;       /* postgresql://… */
        const char *password; /* instead of the url's; NULL or "": what it says */
        size_t batch_bytes;   /* a transaction ends past so many; 0: 16 MiB */
        /* Called every so many rows; what: "reading", "copying", "indexing words", "comparing". May be NULL. */
        void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
        void *ctx;
};

/*
 * Reads the source once for its rows and hashes, and looks at the target
 * without changing it. ERR_CONFLICT: the target holds something else, was begun
 * from another source, the source has changed since, or a server is connected;
 * the message says what to do.
 */
int catalog_copy_open(const struct catalog_copy_opts *opts, struct catalog_copy **out, struct err *e) MUST_CHECK;
void catalog_copy_close(struct catalog_copy *c); /* NULL is fine */

enum catalog_copy_state { COPY_NEW, COPY_BEGUN, COPY_FINISHED };
/* As it was found at the opening. */
enum catalog_copy_state catalog_copy_state(const struct catalog_copy *c);

/* Brings the target's tables up to date and copies what it lacks. Nothing to do when finished. */
int catalog_copy_load(struct catalog_copy *c, struct err *e) MUST_CHECK;
/* Compares everything; *equal tells the result, catalog_copy_tables and _groups the details. */
int catalog_copy_verify(struct catalog_copy *c, bool *equal, struct err *e) MUST_CHECK;
/* Marks the target as complete. Only after a verify that found it equal. */
int catalog_copy_finish(struct catalog_copy *c, struct err *e) MUST_CHECK;

struct catalog_copy_table { /* the hash: SHA-256 of the rows in the order of their key, in PostgreSQL's binary COPY
                               format */
        const char *name;
        uint64_t rows, target_rows;
        struct sha256 hash, target_hash;
};
const struct catalog_copy_table *catalog_copy_tables(const struct catalog_copy *c, size_t *n);

struct catalog_copy_group { /* what: "files", "folders", "tasks"; bytes: of folders, their members */
        const char *what;
        char owner[80], status[24];
        uint64_t count, target_count, bytes, target_bytes;
};
const struct catalog_copy_group *catalog_copy_groups(const struct catalog_copy *c, size_t *n);
/* Texts that were not UTF-8 and had bytes replaced by U+FFFD: PostgreSQL takes no others. */
uint64_t catalog_copy_mended(const struct catalog_copy *c);

/* The objects of the source, each once, ordered by hash: 1, 0 at the end, -1. */
int catalog_copy_object(struct catalog_copy *c, struct sha256 *object, uint64_t *size, struct err *e) MUST_CHECK;

#endif
