/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The uncased WordPiece tokenizer of BERT. The hard thing: its Unicode is not
 * today's Unicode but what the reference library does, so classes and folding
 * come from tables read off that library, and the golden lines under
 * tests/data/wordpiece hold us to it.
 *
 * Works on one pass over the text with one word in hand; the cost of a word is
 * bounded by its 100 code points, and nothing is read past the last id wanted.
 */
#include "embed/embed.h"
#include "embed/unicode_tables_priv.h"

#include <string.h>

#define WORD_MAX_CHARS  100 /* longer words are unknown, as in the reference */
#define VOCAB_MAX_BYTES (16u << 20)

struct piece {
        const char *p;
        uint32_t n;
        bool inner; /* written ## in the file: continues a word */
};

struct wordpiece {
        char *text;           /* the vocabulary file */
        struct piece *pieces; /* id → piece */
        size_t count;
        uint32_t *slots; /* hash table: id + 1, 0 when free */
        size_t mask;
        uint32_t longest; /* bytes of the longest piece */
        int64_t cls, sep, unk;
};

/* The word being collected, folded; its code points' byte ends are kept for the longest-match search. */
struct word {
        char bytes[WORD_MAX_CHARS * 4];
        uint16_t end[WORD_MAX_CHARS + 1];
        size_t chars; /* may pass WORD_MAX_CHARS: then only counted */
};

struct encoder {
        const struct wordpiece *w;
        struct word word;
        int64_t *ids;
        size_t n, max; /* max leaves room for [SEP] */
};

/* ---- vocabulary ----------------------------------------------------------- */

static uint64_t piece_hash(const char *p, size_t n, bool inner)
{
        uint64_t h = inner ? 0x9e3779b97f4a7c15u : 0xcbf29ce484222325u; /* FNV-1a with a second basis */
        for (size_t i = 0; i < n; i++)
                h = (h ^ (uint8_t)p[i]) * 0x100000001b3u;
        return h ^ h >> 29;
}

/* The id of a piece or -1. */
static int64_t piece_find(const struct wordpiece *w, const char *p, size_t n, bool inner)
{
        if (n > w->longest)
                return -1;
        for (size_t i = piece_hash(p, n, inner) & w->mask; w->slots[i]; i = (i + 1) & w->mask) {
                const struct piece *q = &w->pieces[w->slots[i] - 1];
                if (q->n == n && q->inner == inner && memcmp(q->p, p, n) == 0)
                        return w->slots[i] - 1;
        }
        return -1;
}

static int pieces_read(struct wordpiece *w, size_t bytes, struct err *e)
{
        struct span rest = {w->text, bytes}, line;
        size_t cap = 0;
        while (span_cut(&rest, '\n', &line)) {
                if (line.n && line.p[line.n - 1] == '\r')
                        line.n--;
                if (!line.n && !rest.n) /* after the last newline */
                        break;
                if (mem_grow((void **)&w->pieces, &cap, w->count + 1, sizeof *w->pieces))
                        return err_oom(e);
                bool inner = line.n > 2 && line.p[0] == '#' && line.p[1] == '#';
                struct piece q = {line.p + (inner ? 2 : 0), (uint32_t)(line.n - (inner ? 2 : 0)), inner};
                if (q.n > w->longest)
                        w->longest = q.n;
                w->pieces[w->count++] = q;
        }
        return 0;
}

static int pieces_index(struct wordpiece *w, struct err *e)
{
        size_t size = 1024;
        while (size < w->count * 2)
                size *= 2;
        w->mask = size - 1;
        w->slots = mem_calloc(size, sizeof *w->slots);
        if (!w->slots)
                return err_oom(e);
        for (size_t id = 0; id < w->count; id++) {
                const struct piece *q = &w->pieces[id];
                size_t i = piece_hash(q->p, q->n, q->inner) & w->mask;
                while (w->slots[i])
                        i = (i + 1) & w->mask;
                w->slots[i] = (uint32_t)id + 1;
        }
        return 0;
}

static int specials_find(struct wordpiece *w, const char *path, struct err *e)
{
        const struct {
                const char *name;
                int64_t *id;
        } special[] = {{"[CLS]", &w->cls}, {"[SEP]", &w->sep}, {"[UNK]", &w->unk}};
        for (size_t i = 0; i < COUNT_OF(special); i++) {
                *special[i].id = piece_find(w, special[i].name, 5, false);
                if (*special[i].id < 0)
                        return err_set(e, ERR_CORRUPT, "vocabulary %s has no %s", path, special[i].name);
        }
        return 0;
}

int wordpiece_open(const char *vocab_path, struct wordpiece **out, struct err *e)
{
        int rc = -1;
        size_t bytes;
        struct wordpiece *w = mem_calloc(1, sizeof *w);
        if (!w)
                return err_oom(e);
        if (file_read_all(vocab_path, VOCAB_MAX_BYTES, &w->text, &bytes, e))
                goto out;
        if (pieces_read(w, bytes, e) || pieces_index(w, e) || specials_find(w, vocab_path, e))
                goto out;
        *out = w;
        w = NULL;
        rc = 0;
out:
        wordpiece_close(w);
        return rc;
}

void wordpiece_close(struct wordpiece *w)
{
        if (!w)
                return;
        mem_free(w->slots);
        mem_free(w->pieces);
        mem_free(w->text);
        mem_free(w);
}

/* ---- characters ------------------------------------------------------------- */

static bool in_ranges(const struct unicode_range *r, size_t n, uint32_t c)
{
        size_t lo = 0, hi = n;
        while (lo < hi) {
                size_t mid = (lo + hi) / 2;
                if (c > r[mid].last)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        return lo < n && c >= r[lo].first;
}

#define IN(table, c) in_ranges(unicode_##table, unicode_##table##_count, (c))

/* A Hangul syllable's jamo follow from its number (Unicode, section 3.12). */
static size_t hangul_split(uint32_t c, uint32_t out[3])
{
        uint32_t s = c - 0xac00;
        out[0] = 0x1100 + s / 588;
        out[1] = 0x1161 + s % 588 / 28;
        out[2] = 0x11a7 + s % 28;
        return out[2] == 0x11a7 ? 2 : 3;
}

/* Decomposed, without marks, lower case: 0 to 3 code points. */
static size_t fold_char(uint32_t c, uint32_t out[3])
{
        size_t lo = 0, hi = unicode_folds_count;
        if (c >= 0xac00 && c <= 0xd7a3)
                return hangul_split(c, out);
        while (lo < hi) {
                size_t mid = (lo + hi) / 2;
                if (c >= unicode_folds[mid].first + unicode_folds[mid].n)
                        lo = mid + 1;
                else
                        hi = mid;
        }
        const struct unicode_fold *f = &unicode_folds[lo];
        if (lo == unicode_folds_count || c < f->first) {
                out[0] = c;
                return 1;
        }
        if (f->to >= 0) {
                out[0] = (uint32_t)f->to + (c - f->first);
                return 1;
        }
        if (f->to == -1)
                return 0;
        const uint32_t *several = unicode_fold_several[-2 - f->to];
        size_t n = 0;
        while (n < 3 && several[n]) {
                out[n] = several[n];
                n++;
        }
        return n;
}

/* The next code point of s from *at on; U+FFFD for a byte that begins nothing well-formed. */
static uint32_t utf8_next(struct span s, size_t *at)
{
        const uint8_t *p = (const uint8_t *)s.p + *at;
        size_t left = s.n - *at, len = p[0] < 0x80 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
        static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
        ++*at;
        if (len == 1)
                return p[0];
        if (p[0] < 0xc2 || p[0] > 0xf4 || len > left)
                return 0xfffd;
        uint32_t c = p[0] & (0x7fu >> len);
        for (size_t i = 1; i < len; i++) {
                if ((p[i] & 0xc0) != 0x80)
                        return 0xfffd;
                c = c << 6 | (p[i] & 0x3fu);
        }
        if (c < least[len] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
                return 0xfffd;
        *at += len - 1;
        return c;
}

static size_t utf8_put(char *p, uint32_t c)
{
        if (c < 0x80) {
                p[0] = (char)c;
                return 1;
        }
        size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = len - 1; i; i--) {
                p[i] = (char)(0x80 | (c & 0x3f));
                c >>= 6;
        }
        p[0] = (char)((0xf00u >> len & 0xf0) | c);
        return len;
}

/* ---- words to ids --------------------------------------------------------------- */

static void id_put(struct encoder *x, int64_t id)
{
        if (x->n < x->max)
                x->ids[x->n++] = id;
}

/* Longest piece first; a word with any part outside the vocabulary is one [UNK]. */
static void word_flush(struct encoder *x)
{
        struct word *word = &x->word;
        int64_t found[WORD_MAX_CHARS];
        size_t n = 0, chars = word->chars;
        word->chars = 0;
        if (!chars)
                return;
        if (chars > WORD_MAX_CHARS) {
                id_put(x, x->w->unk);
                return;
        }
        for (size_t from = 0; from < chars;) {
                size_t to = chars, start = word->end[from];
                int64_t id = -1;
                for (; to > from; to--) {
                        id = piece_find(x->w, word->bytes + start, word->end[to] - start, from > 0);
                        if (id >= 0)
                                break;
                }
                if (id < 0) {
                        id_put(x, x->w->unk);
                        return;
                }
                found[n++] = id;
                from = to;
        }
        for (size_t i = 0; i < n; i++)
                id_put(x, found[i]);
}

static void word_add(struct word *word, uint32_t c)
{
        if (word->chars < WORD_MAX_CHARS) {
                size_t at = word->chars ? word->end[word->chars] : 0;
                word->end[0] = 0;
                word->end[word->chars + 1] = (uint16_t)(at + utf8_put(word->bytes + at, c));
        }
        word->chars++;
}

static void char_add(struct encoder *x, uint32_t c)
{
        uint32_t folded[3];
        if (IN(removed, c) || c == 0xfffd)
                return;
        if (IN(space, c)) {
                word_flush(x);
                return;
        }
        bool alone = IN(cjk, c);
        if (alone)
                word_flush(x);
        size_t n = fold_char(c, folded);
        for (size_t i = 0; i < n; i++) {
                bool punct = IN(punct, folded[i]);
                if (punct)
                        word_flush(x);
                word_add(&x->word, folded[i]);
                if (punct)
                        word_flush(x);
        }
        if (alone)
                word_flush(x);
}

size_t wordpiece_encode(const struct wordpiece *w, struct span text, int64_t *ids, size_t max)
{
        struct encoder x = {.w = w, .ids = ids, .max = max - 1};
        assert(max >= 2);
        id_put(&x, w->cls);
        for (size_t at = 0; at < text.n && x.n < x.max;)
                char_add(&x, utf8_next(text, &at));
        word_flush(&x);
        x.max = max;
        id_put(&x, w->sep);
        return x.n;
}
