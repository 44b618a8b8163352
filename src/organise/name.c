/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What to call a folder, from the tags of its members. The hard thing is the
 * level: three retrievers are "Golden retriever", ten mixed dogs are "Dogs",
 * and "Animal" or "Object 1" helps nobody. No I/O here.
 *
 * In this order:
 *  1. a person's tag on nearly all members and not on much else ("Rex");
 *  2. the most specific class on nearly all members. Of classifier tags the most
 *     specific is the least probable: a class never has more mass than the
 *     kinds above it, and all tags of one picture lie on one such chain;
 *  3. a word of a vision-language model on nearly all;
 *  4. the model's folder category, when the members' mean P is at least one half
 *     (a member without the tag counts 0: tags begin at one half);
 *  5. any other tag with that mean.
 * If the owner has a folder of that name, the best tag that sets this one apart
 * is added: "Dogs – beagle".
 */
#include "organise_priv.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define NEARLY_ALL      0.8f
#define NEARLY_ALL_KEEP 0.65f
#define MEAN_MIN        0.5f
#define MEAN_KEEP       0.4f
#define APART_KEEP      0.35f
#define TITLE_MAX       80 /* bytes; room for a suffix in every file system */
#define DASH            " \xe2\x80\x93 "

/* ---- titles -------------------------------------------------------------------------- */

/* Bytes of the UTF-8 character at s, whose form utf8_valid has checked. */
static size_t char_len(const char *s)
{
        unsigned char c = (unsigned char)*s;
        return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

/* Not in a file name of any system the library view may be mounted on. */
static bool is_unwanted(const char *s)
{
        return (unsigned char)*s < 0x20 || *s == 0x7f || strchr("/\\:*?\"<>|_", *s) ||
               (s[0] == '\xc2' && (unsigned char)s[1] < 0xa0);
}

/* The two-byte letters of Latin-1, Greek and Cyrillic whose capital is at a fixed distance; others stay. */
static unsigned capital_of(unsigned c)
{
        if (c >= 0xe0 && c <= 0xfe && c != 0xf7)
                return c - 0x20;
        if ((c >= 0x3b1 && c <= 0x3c9 && c != 0x3c2) || (c >= 0x430 && c <= 0x44f))
                return c - 0x20;
        return c;
}

static void capitalise_first(char *s)
{
        unsigned char *u = (unsigned char *)s;
        if (*u >= 'a' && *u <= 'z') {
                *u = (unsigned char)(*u - 'a' + 'A');
        } else if (*u >= 0xc2 && *u < 0xe0) {
                unsigned c = capital_of((*u & 0x1fu) << 6 | (u[1] & 0x3fu));
                u[0] = (unsigned char)(0xc0 | c >> 6);
                u[1] = (unsigned char)(0x80 | (c & 0x3f));
        }
}

const char *organise_title(struct arena *a, const char *tag)
{
        char out[TITLE_MAX + 1];
        size_t n = 0;
        bool gap = false;
        if (!tag || !utf8_valid(span_of(tag)))
                return "Unnamed group";
        for (const char *s = tag; *s;) {
                size_t len = char_len(s);
                if (*s == ' ' || is_unwanted(s) || (*s == '.' && n == 0)) {
                        gap = n > 0;
                } else {
                        if (n + gap + len > TITLE_MAX)
                                break;
                        if (gap)
                                out[n++] = ' ';
                        gap = false;
                        memcpy(out + n, s, len);
                        n += len;
                }
                s += len;
        }
        while (n && (out[n - 1] == '.' || out[n - 1] == ' '))
                n--;
        out[n] = '\0';
        if (!n)
                return "Unnamed group";
        capitalise_first(out);
        return arena_strdup(a, out);
}

const char *name_dated(struct arena *a, struct wall when)
{
        static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
        char text[WALL_TEXT_LEN];
        uint64_t month = 1;
        wall_format(when, text);
        if (!span_u64((struct span){text + 5, 2}, &month) || month < 1 || month > 12)
                month = 1;
        return arena_printf(a, "Similar photos (%s %.4s)", months[month - 1], text);
}

/* ---- evidence ---------------------------------------------------------------------------- */

/* A person's word over a model's, a classifier's over a describer's. */
static unsigned source_rank(enum tag_source s)
{
        return s == TAG_HUMAN ? 2 : s == TAG_ZERO_SHOT ? 1 : 0;
}

static struct name_evidence *evidence_of(struct name_evidence *v, size_t n, const char *tag)
{
        for (size_t i = 0; i < n; i++)
                if (!strcasecmp(v[i].tag, tag))
                        return &v[i];
        return NULL;
}

/* One member's tag from two sources counts once, with the better. */
static bool counted_better(const struct tag *tags, size_t n, size_t at)
{
        for (size_t i = 0; i < n; i++) {
                if (i == at || tags[i].source == TAG_EXIF || strcasecmp(tags[i].name, tags[at].name))
                        continue;
                unsigned mine = source_rank(tags[at].source), other = source_rank(tags[i].source);
                if (other > mine || (other == mine && i < at))
                        return true;
        }
        return false;
}

int name_tally(struct arena *a, const struct embed *m, const struct tag *const *lists, const size_t *counts, size_t n,
               struct name_evidence **out, size_t *nout)
{
        size_t total = 0;
        *nout = 0;
        for (size_t i = 0; i < n; i++)
                total += counts[i];
        struct name_evidence *v = arena_array(a, total + 1, sizeof *v);
        if (!v)
                return -1;
        for (size_t i = 0; i < n; i++) {
                for (size_t k = 0; k < counts[i]; k++) {
                        const struct tag *t = &lists[i][k];
                        if (t->source == TAG_EXIF || t->confidence < MEAN_MIN || counted_better(lists[i], counts[i], k))
                                continue;
                        struct name_evidence *x = evidence_of(v, *nout, t->name);
                        if (!x) {
                                x = &v[(*nout)++];
                                *x = (struct name_evidence){.tag = t->name, .source = t->source};
                                x->category = t->source == TAG_ZERO_SHOT && embed_is_category(m, t->name);
                        }
                        x->mean += (t->confidence - x->mean) / (float)(x->members + 1);
                        x->members++;
                        if (source_rank(t->source) > source_rank(x->source))
                                x->source = t->source;
                }
        }
        *out = v;
        return 0;
}

static float coverage_of(const struct name_evidence *v, uint64_t members)
{
        return members ? (float)v->members / (float)members : 0;
}

static float support_of(const struct name_evidence *v, uint64_t members)
{
        return coverage_of(v, members) * v->mean;
}

/* "other" is a drawer, not a name. */
static bool says_something(const struct name_evidence *v)
{
        return !v->generic && strcasecmp(v->tag, "other") != 0;
}

/* ---- choosing -------------------------------------------------------------------------------- */

/* The most specific classifier tag has the least support; of people's and describers' words the most supported is best.
 */
static bool more_telling(const struct name_evidence *x, const struct name_evidence *best, uint64_t members)
{
        if (!best)
                return true;
        if (x->source != best->source)
                return source_rank(x->source) > source_rank(best->source);
        float a = support_of(x, members), b = support_of(best, members);
        if (a < b || a > b)
                return x->source == TAG_ZERO_SHOT ? a < b : a > b;
        return strcasecmp(x->tag, best->tag) < 0;
}

/*
 * Some kinds above a class are wider than its folder category ("fluid" than
 * "drinks"). Mass tells: what lies within the category cannot have more of it.
 */
static float category_support(const struct name_evidence *v, size_t n, uint64_t members)
{
        float most = 0;
        for (size_t i = 0; i < n; i++)
                if (v[i].category && support_of(&v[i], members) > most)
                        most = support_of(&v[i], members);
        return most > 0 ? most : 1;
}

static const struct name_evidence *best_specific(const struct name_evidence *v, size_t n, uint64_t members, float share,
                                                 const struct name_evidence *not_this)
{
        const struct name_evidence *best = NULL;
        float widest = category_support(v, n, members);
        for (size_t i = 0; i < n; i++) {
                const struct name_evidence *x = &v[i];
                if (x == not_this || x->category || !says_something(x) || coverage_of(x, members) < share ||
                    x->mean < MEAN_MIN || (x->source == TAG_ZERO_SHOT && support_of(x, members) > widest))
                        continue;
                if (more_telling(x, best, members))
                        best = x;
        }
        return best;
}

static const struct name_evidence *best_supported(const struct name_evidence *v, size_t n, uint64_t members,
                                                  bool category)
{
        const struct name_evidence *best = NULL;
        for (size_t i = 0; i < n; i++)
                if (v[i].category == category && says_something(&v[i]) && support_of(&v[i], members) >= MEAN_MIN &&
                    (!best || support_of(&v[i], members) > support_of(best, members)))
                        best = &v[i];
        return best;
}

static bool is_taken(const char *name, const char *const *taken, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (!strcasecmp(taken[i], name))
                        return true;
        return false;
}

const char *name_choose(struct arena *a, const struct name_evidence *v, size_t n, uint64_t members,
                        const char *const *taken, size_t ntaken)
{
        const struct name_evidence *best = best_specific(v, n, members, NEARLY_ALL, NULL);
        if (!best)
                best = best_supported(v, n, members, true);
        if (!best)
                best = best_supported(v, n, members, false);
        if (!best)
                return NULL;
        const char *plain = organise_title(a, best->tag);
        if (!plain || !is_taken(plain, taken, ntaken))
                return plain;
        const struct name_evidence *apart =
                best->category ? best_specific(v, n, members, MEAN_MIN, best) : best_supported(v, n, members, true);
        if (!apart)
                return plain;
        const struct name_evidence *wide = best->category ? best : apart, *narrow = best->category ? apart : best;
        const char *both = arena_printf(a, "%s" DASH "%s", wide->tag, narrow->tag);
        both = both ? organise_title(a, both) : NULL;
        return both && !is_taken(both, taken, ntaken) ? both : plain;
}

/* ---- keeping ------------------------------------------------------------------------------------ */

static bool title_is(struct arena *a, const char *tag, struct span text)
{
        const char *title = organise_title(a, tag);
        return title && strlen(title) == text.n && !strncasecmp(title, text.p, text.n);
}

static bool part_holds(struct arena *a, struct span text, const struct name_evidence *v, size_t n, uint64_t members,
                       float share)
{
        for (size_t i = 0; i < n; i++) {
                if (!title_is(a, v[i].tag, text))
                        continue;
                return v[i].category ? support_of(&v[i], members) >= MEAN_KEEP
                                     : coverage_of(&v[i], members) >= share && v[i].mean >= MEAN_KEEP;
        }
        return false;
}

static bool text_holds(struct arena *a, struct span text, const struct name_evidence *v, size_t n, uint64_t members)
{
        const char *dash = memmem(text.p, text.n, DASH, strlen(DASH));
        if (!dash)
                return part_holds(a, text, v, n, members, NEARLY_ALL_KEEP);
        struct span left = {text.p, (size_t)(dash - text.p)};
        struct span right = {dash + strlen(DASH), text.n - left.n - strlen(DASH)};
        return part_holds(a, left, v, n, members, NEARLY_ALL_KEEP) && part_holds(a, right, v, n, members, APART_KEEP);
}

/* Without the " 2" that keeps names unique. */
static struct span without_number(const char *name)
{
        struct span s = span_of(name);
        while (s.n && s.p[s.n - 1] >= '0' && s.p[s.n - 1] <= '9')
                s.n--;
        if (s.n == strlen(name) || s.n < 2 || s.p[s.n - 1] != ' ')
                return span_of(name);
        s.n--;
        return s;
}

bool name_holds(struct arena *a, const char *current, const struct name_evidence *v, size_t n, uint64_t members)
{
        struct span bare = without_number(current);
        return text_holds(a, span_of(current), v, n, members) ||
               (bare.n < strlen(current) && text_holds(a, bare, v, n, members));
}
