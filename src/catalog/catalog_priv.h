/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the engines of the catalog share: the table of operations, cursors and
 * the folding of text. An operation's type is its public prototype, so a change
 * of catalog.h that an engine missed does not compile.
 */
#ifndef FA_CATALOG_PRIV_H
#define FA_CATALOG_PRIV_H

#include "catalog/catalog.h"

#define CATALOG_OP(name) typedef __typeof__(catalog_##name) catalog_##name##_fn;
#include "catalog/catalog_ops.def"
#undef CATALOG_OP
typedef void catalog_close_fn(struct catalog *c);

struct catalog_ops {
#define CATALOG_OP(name) catalog_##name##_fn *name;
#include "catalog/catalog_ops.def"
#undef CATALOG_OP
        catalog_close_fn *close;
};

struct catalog { /* first member of an engine's own struct */
        const struct catalog_ops *ops;
};

typedef int catalog_open_fn(const struct catalog_opts *opts, struct catalog **out, struct err *e);
catalog_open_fn catalog_sqlite_open, catalog_postgres_open;

struct catalog_migration {
        int version; /* 0 ends the list */
        const char *name, *sql;
};
extern const struct catalog_migration catalog_migrations_sqlite[], catalog_migrations_postgres[];

/* ---- cursors ------------------------------------------------------------------ */

/* Where a page ended: the sort key of its last row (number or text) and the row's number. */
struct cursor {
        int64_t key, n;
        const char *text; /* NULL: key is a number */
};
/* shape: a hash of filter and sort; the cursor of another shape is refused. NULL on OOM. */
const char *cursor_write(struct arena *a, uint64_t shape, const struct cursor *cur) MUST_CHECK;
/* 1 filled, 0 there is none (NULL or ""), -1 ERR_INVALID. */
int cursor_read(struct arena *a, uint64_t shape, const char *s, struct cursor *out, struct err *e) MUST_CHECK;
/* FNV-1a over a value, for shapes. Start with h = 0. */
uint64_t shape_bytes(uint64_t h, const void *p, size_t n);
uint64_t shape_str(uint64_t h, const char *s); /* NULL differs from "" */
uint64_t shape_int(uint64_t h, int64_t v);
uint64_t filter_shape(const struct asset_filter *f);

/* ---- text ----------------------------------------------------------------------- */

/* Simple case folding of well-formed UTF-8. NULL on OOM. */
char *text_fold(struct arena *a, const char *s) MUST_CHECK;
size_t text_chars(const char *s); /* code points */
/* A file name for indexing: itself, then its pieces where letters, digits and cases meet ("IMG1234" adds "IMG 1234").
 */
char *text_name_words(struct arena *a, const char *name) MUST_CHECK;
/*
 * User text as an FTS5 expression: each word a quoted prefix, joined by op
 * (" AND ", " OR "), all inside column (NULL: any). NULL on OOM; "" when there is no word.
 */
char *text_fts_query(struct arena *a, const char *text, const char *op, const char *column) MUST_CHECK;

/* Whether any of the words begins a word of the text; both folded. words is put back as it was. */
bool text_has_any(const char *folded, char *words);

/* A growing array that starts on the arena's side; the old block is left to it. 0 or -1. */
int arena_grow(struct arena *a, void *pp, size_t *cap, size_t need, size_t elem, struct err *e) MUST_CHECK;

bool error_is_input(enum err_code code); /* the input's fault, not the system's */
const char *or_empty(const char *s);

#endif
