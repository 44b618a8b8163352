/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text for finding: case folding that is the same for what is stored and what
 * is asked, file names in pieces, and user text as a full-text expression. The
 * hard thing: whatever a user types, the expression has no syntax of its own.
 */
#include "text/text.h"
#include "text/fold_table_priv.h"

#include <string.h>

#define WORDS_MAX 32
#define WORD_MAX  128

/* Next code point of well-formed UTF-8; an ill-formed byte passes as itself. */
static size_t next_char(const unsigned char *p, uint32_t *c)
{
        if (p[0] < 0xC0) {
                *c = p[0];
                return 1;
        }
        if (p[0] < 0xE0 && p[1]) {
                *c = (p[0] & 0x1FU) << 6 | (p[1] & 0x3FU);
                return 2;
        }
        if (p[0] < 0xF0 && p[1] && p[2]) {
                *c = (p[0] & 0x0FU) << 12 | (p[1] & 0x3FU) << 6 | (p[2] & 0x3FU);
                return 3;
        }
        if (p[1] && p[2] && p[3]) {
                *c = (p[0] & 0x07U) << 18 | (p[1] & 0x3FU) << 12 | (p[2] & 0x3FU) << 6 | (p[3] & 0x3FU);
                return 4;
        }
        *c = p[0];
        return 1;
}

static size_t put_char(uint32_t c, char *out)
{
        if (c < 0x80) {
                out[0] = (char)c;
                return 1;
        }
        if (c < 0x800) {
                out[0] = (char)(0xC0 | c >> 6);
                out[1] = (char)(0x80 | (c & 0x3F));
                return 2;
        }
        if (c < 0x10000) {
                out[0] = (char)(0xE0 | c >> 12);
                out[1] = (char)(0x80 | (c >> 6 & 0x3F));
                out[2] = (char)(0x80 | (c & 0x3F));
                return 3;
        }
        out[0] = (char)(0xF0 | c >> 18);
        out[1] = (char)(0x80 | (c >> 12 & 0x3F));
        out[2] = (char)(0x80 | (c >> 6 & 0x3F));
        out[3] = (char)(0x80 | (c & 0x3F));
        return 4;
}

static uint32_t fold_char(uint32_t c)
{
        size_t lo = 0, hi = COUNT_OF(fold_ranges);

        if (c < 0x80)
                return c >= 'A' && c <= 'Z' ? c + 32 : c;
        while (lo < hi) { /* the first range that begins after c */
                size_t mid = (lo + hi) / 2;
                if (fold_ranges[mid].first <= c)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        /* Ranges may interlace: the one before the nearest may hold c as well. */
        for (size_t i = 0; i < 3 && lo > i; i++) {
                const struct fold_range *r = &fold_ranges[lo - 1 - i];
                if (c <= r->last && (c - r->first) % r->stride == 0)
                        return (uint32_t)((int64_t)c + r->delta);
        }
        return c;
}

char *text_fold(struct arena *a, const char *s)
{
        const unsigned char *p = (const unsigned char *)s;
        char *out = arena_alloc(a, strlen(s) * 2 + 4); /* a folded character takes at most a byte more */
        size_t n = 0;

        if (!out)
                return NULL;
        while (*p) {
                uint32_t c;
                size_t len = next_char(p, &c);
                if (len == 1)
                        out[n++] = (char)(c < 0x80 ? fold_char(c) : c);
                else
                        n += put_char(fold_char(c), out + n);
                p += len;
        }
        out[n] = '\0';
        return out;
}

bool text_begins(struct span text, struct span folded)
{
        while (folded.n) {
                uint32_t c, d;
                if (!text.n)
                        return false;
                size_t nc = text_next(text.p, &c), nd = text_next(folded.p, &d);
                if (fold_char(c) != d)
                        return false;
                text = (struct span){text.p + nc, text.n - nc};
                folded = (struct span){folded.p + nd, folded.n - nd};
        }
        return true;
}

size_t text_next(const char *p, uint32_t *c)
{
        return next_char((const unsigned char *)p, c);
}

size_t text_chars(const char *s)
{
        size_t n = 0;

        for (; *s; s++)
                n += ((unsigned char)*s & 0xC0) != 0x80;
        return n;
}

enum sort_of { OTHER, LOWER, UPPER, DIGIT, WIDE };

static enum sort_of sort_of(unsigned char c)
{
        if (c >= 'a' && c <= 'z')
                return LOWER;
        if (c >= 'A' && c <= 'Z')
                return UPPER;
        if (c >= '0' && c <= '9')
                return DIGIT;
        return c >= 0x80 ? WIDE : OTHER;
}

char *text_name_words(struct arena *a, const char *name)
{
        size_t len = strlen(name), n = 0;
        char *out = arena_alloc(a, len * 3 + 2);
        bool split = false;

        if (!out)
                return NULL;
        memcpy(out, name, len);
        n = len;
        out[n++] = ' ';
        for (size_t i = 0; i < len; i++) {
                enum sort_of here = sort_of((unsigned char)name[i]);
                enum sort_of before = i ? sort_of((unsigned char)name[i - 1]) : OTHER;
                bool digit_edge = (here == DIGIT) != (before == DIGIT) && here != OTHER && before != OTHER;
                if (digit_edge || (here == UPPER && before == LOWER)) {
                        out[n++] = ' ';
                        split = true;
                }
                out[n++] = name[i];
        }
        out[split ? n : len] = '\0';
        return out;
}

/* What FTS5's tokenizer would take as part of a word, or might: past ASCII it decides itself. */
static bool word_byte(unsigned char c)
{
        return sort_of(c) != OTHER;
}

/* The next run of characters without blanks that holds something to search for. */
static bool next_word(const char **s, struct span *out)
{
        const char *p = *s;

        for (;;) {
                bool any = false;
                while (*p && (unsigned char)*p <= ' ')
                        p++;
                if (!*p)
                        return false;
                out->p = p;
                while ((unsigned char)*p > ' ') {
                        any |= word_byte((unsigned char)*p);
                        p++;
                }
                out->n = (size_t)(p - out->p);
                *s = p;
                if (any)
                        return true;
        }
}

static void put_word(struct buf *b, struct span w)
{
        if (w.n > WORD_MAX) {
                w.n = WORD_MAX;
                while (w.n > 0 && ((unsigned char)w.p[w.n] & 0xC0) == 0x80)
                        w.n--;
        }
        buf_putc(b, '"');
        for (size_t i = 0; i < w.n; i++) {
                if (w.p[i] == '"')
                        buf_putc(b, '"');
                buf_putc(b, w.p[i]);
        }
        buf_puts(b, "\"*");
}

char *text_fts_query(struct arena *a, const char *text, const char *op, const char *column)
{
        struct buf b;
        struct span w;
        char *out;
        size_t n = 0;

        if (!utf8_valid(span_of(text)))
                return arena_strdup(a, "");
        buf_init(&b, 16 * 1024);
        if (column)
                buf_printf(&b, "{%s} : (", column);
        while (n < WORDS_MAX && next_word(&text, &w)) {
                if (n++)
                        buf_puts(&b, op);
                put_word(&b, w);
        }
        if (column)
                buf_putc(&b, ')');
        out = buf_failed(&b) ? NULL : arena_strdup(a, n ? buf_str(&b) : "");
        buf_done(&b);
        return out;
}

/* word at the beginning of a word of text. */
static bool starts_word(const char *text, struct span word)
{
        for (const char *p = text; (p = strstr(p, word.p)) != NULL; p++)
                if (p == text || !word_byte((unsigned char)p[-1]) || !word_byte((unsigned char)word.p[0]))
                        return true;
        return false;
}

bool text_has_any(const char *folded, char *words)
{
        for (char *p = words; *p;) {
                char *end = p, after;
                bool found;
                while (*p && !word_byte((unsigned char)*p))
                        p++;
                for (end = p; word_byte((unsigned char)*end); end++)
                        ;
                if (end == p)
                        return false;
                after = *end;
                *end = '\0';
                found = starts_word(folded, span_of(p));
                *end = after;
                if (found)
                        return true;
                p = end;
        }
        return false;
}
