/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of lists, and the cursors that lead from one to the next. */
#ifndef FA_DB_PAGE_H
#define FA_DB_PAGE_H

#include "db/db.h"

/* ---- cursors (db_cursor.c) ------------------------------------------------------------ */

/* Where a page ended: the sort key of its last row (a number or a text) and that row's number. */
struct cursor {
        int64_t key, n;
        const char *text; /* NULL: key is a number */
};
/* shape is a hash of filter and sort order; a cursor of another shape is refused. Returns NULL when memory is short. */
const char *cursor_write(struct arena *a, const struct sha256 *secret, uint64_t shape,
                         const struct cursor *cur) MUST_CHECK;
/* Returns 1 with *out filled, 0 for an empty cursor (NULL or ""), -1 with ERR_INVALID. */
int cursor_read(struct arena *a, const struct sha256 *secret, uint64_t shape, const char *s, struct cursor *out,
                struct err *e) MUST_CHECK;
/* FNV-1a over a value, for shapes. Start with h = 0. */
uint64_t shape_bytes(uint64_t h, const void *p, size_t n);
uint64_t shape_str(uint64_t h, const char *s); /* NULL differs from "" */
uint64_t shape_int(uint64_t h, int64_t v);

/* ---- pages (db_page.c) ------------------------------------------------------------------ */

typedef int row_read_fn(struct db *db, struct rows *s, struct arena *a, void *out, struct err *e);
/* The sort key of a text, in the arena; NULL when memory is short. */
typedef char *page_fold_fn(struct arena *a, const char *text);
struct list { /* what is listed */
        row_read_fn *read;
        size_t size;   /* of what read fills */
        const char *n; /* the number's name, for the order, and its column, for the cursor */
        int n_column;
};
struct order {
        const char *key; /* the sort key's name, and its column; of a text the column may be the unfolded one */
        int column;
        page_fold_fn *text; /* NULL: a number */
        bool down;
};
struct page {
        const struct list *list;
        struct order order;
        unsigned limit;
        uint64_t shape; /* of filter and sort */
        const struct sha256 *secret;
        struct cursor after;
        bool later; /* not the first page: it begins after that */
};
/* Reads the cursor ("" or NULL: the first page), which was sealed with that secret, and checks the limit. */
int page_start(struct page *p, const struct sha256 *secret, const char *cursor, struct arena *a,
               struct err *e) MUST_CHECK;
/*
 * Appends the page's condition, order and limit to q, a SELECT that ends in a condition, and runs it: *out receives
 * an array in the arena.
 */
int page_read(const struct page *p, struct sql *q, void *out, size_t *n, const char **next, struct err *e) MUST_CHECK;

/*
 * Starts a read of at most limit rows into an array in the arena. The array is stored in *out, a pointer to elements
 * of elem bytes; *n, the number of rows so far, is set to 0. Returns NULL when nothing was started; otherwise the
 * caller must call database_read_end.
 */
struct db *database_batch(struct database *d, unsigned limit, size_t elem, struct arena *a, void *out, size_t *n,
                          struct err *e) MUST_CHECK;

#endif
