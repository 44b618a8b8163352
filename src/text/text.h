/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for finding: the folding that stored names and typed queries share, file
 * names in pieces, and user text as a full-text expression. Pure; results are
 * allocated in the caller's arena.
 */
#ifndef FA_TEXT_H
#define FA_TEXT_H

#include "base/base.h"

/* Simple case folding of well-formed UTF-8. NULL on OOM. */
char *text_fold(struct arena *a, const char *s) MUST_CHECK;
/* Whether the text, folded, begins with the word, which is folded already. Both well-formed UTF-8. */
bool text_begins(struct span text, struct span folded);
size_t text_chars(const char *s); /* code points */
/* The code point at p, of well-formed UTF-8 and not at its end; its length in bytes. */
size_t text_next(const char *p, uint32_t *c);
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

/* The next word of well-formed UTF-8 from *s on, which moves behind it; of a long word the first 128 bytes. */
bool text_word_next(const char **s, struct span *out);

#endif
