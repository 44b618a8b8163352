/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snippets of strangers' texts: a query, a line break, a text. A client puts
 * the result into its page, so nothing but balanced <mark> may be mark-up.
 */
#include "search/search_priv.h"
#include "fuzz.h"

/* An entity that is written here. */
static size_t entity_at(const char *p)
{
        static const char *const known[] = {"&amp;", "&lt;", "&gt;", "&quot;", "&#39;"};
        for (size_t i = 0; i < COUNT_OF(known); i++)
                if (!strncmp(p, known[i], strlen(known[i])))
                        return strlen(known[i]);
        return 0;
}

static void check_markup(const char *s)
{
        bool inside = false;
        size_t chars = 0, marked = 0;
        while (*s) {
                const char *tag = inside ? "</mark>" : "<mark>";
                size_t n = 1;
                if (*s == '<') {
                        demand(!strncmp(s, tag, strlen(tag)));
                        demand(!inside || marked > 0);
                        n = strlen(tag);
                        inside = !inside;
                        marked = 0;
                } else {
                        demand(*s != '>' && *s != '"' && *s != '\'');
                        n = *s == '&' ? entity_at(s) : 1;
                        demand(n > 0);
                        chars += ((unsigned char)*s & 0xC0) != 0x80;
                        marked++;
                }
                s += n;
        }
        demand(!inside && chars <= SNIPPET_CHARS + 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *p = (const char *)data, *cut = size ? memchr(p, '\n', size) : NULL;
        struct span query = {p, cut ? (size_t)(cut - p) : 0};
        struct span rest = cut ? (struct span){cut + 1, size - query.n - 1} : (struct span){p, size};
        char *q = exact_copy(query), *text = exact_copy(rest);
        struct arena *a = arena_new(4 << 20);
        demand(a != NULL);
        char *s = snippet_make(a, text, q);
        demand(s != NULL);
        demand(utf8_valid(span_of(s)) && !has_control(span_of(s)) && strlen(s) < SNIPPET_BYTES);
        check_markup(s);
        demand(utf8_valid(span_of(text)) || !*s);
        arena_free(a);
        free(q);
        free(text);
        return 0;
}
