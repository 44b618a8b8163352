/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snippets: the window of a text that says most of what was looked for, as
 * HTML in which nothing but <mark> is mark-up. The text is a stranger's, so
 * every other character that could be is escaped. Pure.
 */
#include "search_priv.h"
#include "text/text.h"

#include <string.h>

#define TERMS_MAX 32
#define RING      128 /* words have something between them, so a window has fewer */

struct terms {
        struct span word[TERMS_MAX]; /* folded */
        size_t n;
};

struct word {
        const char *begin, *end;
        size_t first, last; /* the same in characters of the text */
};

struct scan {
        const char *p;
        size_t at; /* characters before p */
};

/* ---- characters ------------------------------------------------------------------------- */

/* What separates words past ASCII: punctuation, spaces, symbols. The full-text indexes see it the same way. */
static bool is_separator(uint32_t c)
{
        static const uint32_t ranges[][2] = {
                {0x80, 0xA9},     {0xAB, 0xB1},       {0xB4, 0xB4},      {0xB6, 0xB8},     {0xBB, 0xBB},
                {0xBF, 0xBF},     {0xD7, 0xD7},       {0xF7, 0xF7},      {0x2000, 0x206F}, {0x20A0, 0x20CF},
                {0x2190, 0x245F}, {0x2500, 0x2775},   {0x2794, 0x2BFF},  {0x2E00, 0x2E2E}, {0x2E30, 0x2E7F},
                {0x3000, 0x3004}, {0x3008, 0x3020},   {0x3030, 0x3030},  {0xFE10, 0xFE1F}, {0xFE30, 0xFE6F},
                {0xFEFF, 0xFEFF}, {0xFF01, 0xFF0F},   {0xFF1A, 0xFF20},  {0xFF3B, 0xFF40}, {0xFF5B, 0xFF65},
                {0xFFF0, 0xFFFF}, {0x1F000, 0x1F0FF}, {0x1F300, 0x1FAFF}};
        for (size_t i = 0; i < COUNT_OF(ranges); i++)
                if (c >= ranges[i][0] && c <= ranges[i][1])
                        return true;
        return false;
}

static bool in_word(uint32_t c)
{
        if (c < 0x80)
                return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        return !is_separator(c);
}

/* Shown as one space: blanks, controls, and what turns the direction of the text around the snippet. */
static bool is_blank(uint32_t c)
{
        return c <= ' ' || (c >= 0x7F && c <= 0xA0) || (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

static bool word_at(const char *p)
{
        uint32_t c = 0;
        if (*p)
                text_next(p, &c);
        return in_word(c);
}

static const char *char_before(const char *p)
{
        for (p--; ((unsigned char)*p & 0xC0) == 0x80; p--)
                ;
        return p;
}

static const char *skip_chars(const char *p, size_t n)
{
        uint32_t c;
        for (; n && *p; n--)
                p += text_next(p, &c);
        return p;
}

static bool splits_word(const char *text, const char *p)
{
        return p > text && word_at(p) && word_at(char_before(p));
}

/* ---- words ------------------------------------------------------------------------------- */

static bool next_word(struct scan *s, struct word *w)
{
        uint32_t c;
        for (; *s->p && !word_at(s->p); s->at++)
                s->p += text_next(s->p, &c);
        w->begin = s->p;
        w->first = s->at;
        for (; *s->p && word_at(s->p); s->at++)
                s->p += text_next(s->p, &c);
        w->end = s->p;
        w->last = s->at;
        return w->end > w->begin;
}

static bool terms_have(const struct terms *t, struct span word)
{
        for (size_t i = 0; i < t->n; i++)
                if (t->word[i].n == word.n && !memcmp(t->word[i].p, word.p, word.n))
                        return true;
        return false;
}

/* They point into what is allocated here. */
static int terms_read(struct terms *t, const char *query, struct arena *a)
{
        struct scan s = {text_fold(a, query), 0};
        struct word w;
        t->n = 0;
        if (!s.p)
                return -1;
        while (t->n < TERMS_MAX && next_word(&s, &w)) {
                struct span word = {w.begin, (size_t)(w.end - w.begin)};
                if (!terms_have(t, word))
                        t->word[t->n++] = word;
        }
        return 0;
}

/* Bits of the terms with which the word begins. */
static uint32_t terms_of(const struct terms *t, const struct word *w)
{
        uint32_t found = 0;
        for (size_t i = 0; i < t->n; i++)
                if (text_begins((struct span){w->begin, (size_t)(w->end - w->begin)}, t->word[i]))
                        found |= 1u << i;
        return found;
}

/* ---- the window --------------------------------------------------------------------------- */

/* The matches that fit a window ending at the last of them. */
struct ring {
        struct word word[RING];
        uint32_t found[RING];
        size_t head, n;
        size_t times[TERMS_MAX], different;
};

static void ring_count(struct ring *r, uint32_t found, int by)
{
        for (size_t i = 0; i < TERMS_MAX; i++) {
                if (!(found >> i & 1))
                        continue;
                size_t was = r->times[i];
                r->times[i] = by > 0 ? was + 1 : was - 1;
                if (was == 0)
                        r->different++;
                else if (r->times[i] == 0)
                        r->different--;
        }
}

static void ring_push(struct ring *r, const struct word *w, uint32_t found)
{
        while (r->n && w->last - r->word[r->head].first > SNIPPET_CHARS) {
                ring_count(r, r->found[r->head], -1);
                r->head = (r->head + 1) % RING;
                r->n--;
        }
        size_t at = (r->head + r->n++) % RING;
        r->word[at] = *w;
        r->found[at] = found;
        ring_count(r, found, 1);
}

/* From the first match to the last of the window with the most terms, then the most matches, then the earliest. */
static struct word best_matches(const char *text, const struct terms *t)
{
        struct word best = {.begin = text, .end = text}, w;
        struct ring r = {.n = 0};
        struct scan s = {text, 0};
        size_t most = 0;
        while (next_word(&s, &w)) {
                uint32_t found = terms_of(t, &w);
                if (!found)
                        continue;
                if (w.last - w.first > SNIPPET_CHARS) {
                        w.last = w.first + SNIPPET_CHARS;
                        w.end = skip_chars(w.begin, SNIPPET_CHARS);
                }
                ring_push(&r, &w, found);
                size_t worth = r.different * RING + r.n;
                if (worth > most) {
                        most = worth;
                        best = (struct word){r.word[r.head].begin, w.end, r.word[r.head].first, w.last};
                }
        }
        return best;
}

/* What of the text is shown: the matches in the middle where there is text on both sides, cut between words. */
static struct span window_around(const char *text, const struct word *m)
{
        size_t left = SNIPPET_CHARS - (m->last - m->first), behind = text_chars(m->end);
        size_t before = behind < left / 2 ? left - behind : left / 2;
        const char *begin = m->begin, *end, *p;
        if (before > m->first)
                before = m->first;
        for (size_t i = 0; i < before; i++)
                begin = char_before(begin);
        while (splits_word(text, begin)) /* at most up to the match, before which there is no word */
                begin = skip_chars(begin, 1);
        end = skip_chars(m->end, left - before);
        for (p = end; p > m->end && splits_word(text, p);)
                p = char_before(p);
        if (p > m->end)
                end = p;
        return (struct span){begin, (size_t)(end - begin)};
}

/* ---- out ------------------------------------------------------------------------------------- */

struct writer {
        struct buf b;
        bool blank; /* one is due before the next character */
        bool any;
};

static void put_blank(struct writer *o)
{
        if (o->blank && o->any)
                buf_putc(&o->b, ' ');
        o->blank = false;
}

static void put_char(struct writer *o, const char *p, size_t n)
{
        static const char *const entities[] = {
                ['&'] = "&amp;", ['<'] = "&lt;", ['>'] = "&gt;", ['"'] = "&quot;", ['\''] = "&#39;"};
        unsigned char c = (unsigned char)*p;
        put_blank(o);
        if (c < COUNT_OF(entities) && entities[c])
                buf_puts(&o->b, entities[c]);
        else
                buf_put(&o->b, p, n);
        o->any = true;
}

static void put_text(struct writer *o, const char *p, const char *end)
{
        while (p < end) {
                uint32_t c;
                size_t n = text_next(p, &c);
                if (is_blank(c))
                        o->blank = true;
                else
                        put_char(o, p, n);
                p += n;
        }
}

static void put_window(struct writer *o, struct span window, const struct terms *t)
{
        const char *p = window.p, *end = window.p + window.n;
        struct scan s = {p, 0};
        struct word w;
        while (p < end && next_word(&s, &w) && w.begin < end) {
                bool marked = terms_of(t, &w) != 0;
                put_text(o, p, w.begin);
                p = w.end < end ? w.end : end;
                put_blank(o);
                if (marked)
                        buf_puts(&o->b, "<mark>");
                put_text(o, w.begin, p);
                if (marked)
                        buf_puts(&o->b, "</mark>");
        }
        put_text(o, p, end);
}

char *snippet_make(struct arena *a, const char *text, const char *query)
{
        struct writer o = {.any = false};
        struct span window;
        struct terms t;
        struct word m;
        char *out = NULL;
        if (!utf8_valid(span_of(text)) || !utf8_valid(span_of(query)))
                return arena_strdup(a, "");
        if (terms_read(&t, query, a))
                return NULL;
        m = best_matches(text, &t);
        window = window_around(text, &m);
        buf_init(&o.b, SNIPPET_BYTES);
        if (window.p > text)
                buf_puts(&o.b, "…");
        put_window(&o, window, &t);
        if (window.p[window.n])
                buf_puts(&o.b, "…");
        if (!buf_failed(&o.b))
                out = arena_strdup(a, o.any ? buf_str(&o.b) : "");
        buf_done(&o.b);
        return out;
}
