/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merges lists by reciprocal rank fusion (Cormack, Clarke & Büttcher, SIGIR 2009, k = 60), which needs no common
 * scale of cosines and bm25. The hard thing is that pages must not shift: every order here ends in the id.
 */
#include "search_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RRF_K 60

float rrf_score(size_t rank)
{
        return (float)(1.0 / (double)(RRF_K + rank));
}

static int by_order(const void *a, const void *b)
{
        const struct found *x = a, *y = b;
        if (x->order < y->order || x->order > y->order)
                return x->order > y->order ? -1 : 1;
        return id_cmp(x->asset, y->asset);
}

static int by_score(const void *a, const void *b)
{
        const struct ranked *x = a, *y = b;
        if (x->score < y->score || x->score > y->score)
                return x->score > y->score ? -1 : 1;
        if (x->found_by_vector != y->found_by_vector)
                return x->found_by_vector ? -1 : 1;
        if (x->similarity < y->similarity || x->similarity > y->similarity)
                return x->similarity > y->similarity ? -1 : 1;
        if (x->cosine < y->cosine || x->cosine > y->cosine)
                return x->cosine > y->cosine ? -1 : 1;
        return id_cmp(x->asset, y->asset);
}

static void show_part(struct ranked *r, const struct found *x)
{
        r->part = x->part;
        r->part_kind = x->part_kind;
}

static void take_vector(struct ranked *r, const struct found *x)
{
        if (r->found_by_vector && x->similarity <= r->similarity)
                return;
        r->found_by_vector = true;
        r->similarity = x->similarity;
        r->cosine = x->order;
        if (!r->words_in_part)
                show_part(r, x);
}

static void take_words(struct ranked *r, const struct found *x, enum list_kind kind)
{
        r->found_by_text = true;
        r->in_filename |= x->in_filename;
        r->in_tags |= x->in_tags;
        r->in_text |= x->in_text;
        if (kind == LIST_PARTS && !r->words_in_part) {
                r->words_in_part = true;
                show_part(r, x);
        }
}

static int take_list(const struct search_list *l, struct idmap *row, struct ranked *out, size_t *nout)
{
        for (size_t i = 0; i < l->n; i++) {
                const struct found *x = &l->found[i];
                uint32_t at;
                if (!idmap_get(row, x->asset, &at)) {
                        at = (uint32_t)*nout;
                        if (idmap_put(row, x->asset, at))
                                return -1;
                        out[(*nout)++] = (struct ranked){.asset = x->asset};
                }
                out[at].score += rrf_score(i + 1);
                if (l->kind == LIST_VECTORS)
                        take_vector(&out[at], x);
                else
                        take_words(&out[at], x, l->kind);
        }
        return 0;
}

int rank_fuse(struct search_list *lists, size_t n, struct ranked *out, size_t *nout, struct err *e)
{
        struct idmap *row = idmap_new();
        int rc = row ? 0 : -1;
        *nout = 0;
        for (size_t i = 0; i < n && rc == 0; i++) {
                if (lists[i].n)
                        qsort(lists[i].found, lists[i].n, sizeof *lists[i].found, by_order);
                rc = take_list(&lists[i], row, out, nout);
        }
        if (rc == 0 && *nout)
                qsort(out, *nout, sizeof *out, by_score);
        idmap_free(row);
        return rc ? err_oom(e) : 0;
}

/* ---- a text match on the scale of similarities ------------------------------------------- */

/* Compares base letters only: a match that FTS folds beyond ASCII still counts as a match of words, one step lower. */
static bool same_letters(struct span a, const char *s, size_t n)
{
        return a.n == n && !strncasecmp(a.p, s, n);
}

static bool is_filename(struct span q, const char *name)
{
        const char *dot = name ? strrchr(name, '.') : NULL;
        return name && (same_letters(q, name, strlen(name)) ||
                        (dot && dot > name && same_letters(q, name, (size_t)(dot - name))));
}

float text_similarity(struct span q, const struct asset *x, const struct ranked *r)
{
        float best = r->in_filename ? 0.8f : r->in_tags ? 0.7f : 0.6f;
        if (is_filename(q, x->filename))
                return 1;
        for (size_t i = 0; i < x->ntags; i++) {
                const struct tag *t = &x->tags[i];
                if (!t->name || !same_letters(q, t->name, strlen(t->name)))
                        continue;
                float c = t->confidence < 0 ? 0 : t->confidence > 1 ? 1 : t->confidence;
                float s = t->source == TAG_HUMAN ? 0.95f : 0.7f + 0.2f * c;
                best = s > best ? s : best;
        }
        return best;
}

/* ---- names or meanings -------------------------------------------------------------------------- */

static bool is_extension(struct span w)
{
        static const char *const known[] = {"jpg",  "jpeg", "png",  "gif",  "webp", "heic", "heif", "avif", "tif",
                                            "tiff", "bmp",  "svg",  "raw",  "dng",  "cr2",  "nef",  "arw",  "mp4",
                                            "mov",  "mkv",  "avi",  "webm", "mp3",  "flac", "wav",  "ogg",  "m4a",
                                            "pdf",  "doc",  "docx", "xls",  "xlsx", "ppt",  "pptx", "odt",  "txt",
                                            "md",   "csv",  "json", "xml",  "zip",  "tar",  "gz",   "7z"};
        for (size_t i = 0; i < COUNT_OF(known); i++)
                if (span_ieq(w, known[i]))
                        return true;
        return false;
}

static bool word_is_name(struct span w)
{
        size_t digits = 0;
        bool run = false;
        size_t ending = 0;
        for (size_t i = 0; i < w.n; i++) {
                if (w.p[i] == '_')
                        return true;
                if (w.p[i] == '.')
                        ending = i + 1;
                digits = w.p[i] >= '0' && w.p[i] <= '9' ? digits + 1 : 0;
                run = run || digits >= 3;
        }
        return run || is_extension((struct span){w.p + ending, w.n - ending});
}

bool query_is_name(struct span q)
{
        struct span rest = q, w;
        bool any = false;
        while (span_cut(&rest, ' ', &w)) {
                w = span_trim(w);
                if (!w.n)
                        continue;
                if (!word_is_name(w))
                        return false;
                any = true;
        }
        return any;
}
