/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Merges two lists by reciprocal rank fusion (Cormack, Clarke & Büttcher, SIGIR 2009, k = 60), which needs no common
 * scale of cosine and bm25. The hard thing is that pages must not shift: every order here ends in the id.
 */
#include "search_priv.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RRF_K 60

float rrf_score(size_t vector_rank, size_t text_rank)
{
        double s = 0;
        if (vector_rank)
                s += 1.0 / (double)(RRF_K + vector_rank);
        if (text_rank)
                s += 1.0 / (double)(RRF_K + text_rank);
        return (float)s;
}

static int by_cosine(const void *a, const void *b)
{
        const struct vector_match *x = a, *y = b;
        if (x->cosine < y->cosine || x->cosine > y->cosine)
                return x->cosine > y->cosine ? -1 : 1;
        return id_cmp(x->asset, y->asset);
}

static int by_rank(const void *a, const void *b)
{
        const struct text_match *x = a, *y = b;
        if (x->rank < y->rank || x->rank > y->rank)
                return x->rank < y->rank ? -1 : 1;
        return id_cmp(x->asset, y->asset);
}

static int by_score(const void *a, const void *b)
{
        const struct ranked *x = a, *y = b;
        if (x->score < y->score || x->score > y->score)
                return x->score > y->score ? -1 : 1;
        if (x->found_by_vector != y->found_by_vector)
                return x->found_by_vector ? -1 : 1;
        if (x->cosine < y->cosine || x->cosine > y->cosine)
                return x->cosine > y->cosine ? -1 : 1;
        return id_cmp(x->asset, y->asset);
}

int rank_fuse(struct vector_match *v, size_t nv, struct text_match *t, size_t nt, struct ranked *out, size_t *n,
              struct err *e)
{
        struct idmap *row = idmap_new();
        int rc = -1;
        uint32_t at;
        *n = 0;
        if (!row)
                return err_oom(e);
        if (nv)
                qsort(v, nv, sizeof *v, by_cosine);
        if (nt)
                qsort(t, nt, sizeof *t, by_rank);
        for (size_t i = 0; i < nv; i++) {
                if (idmap_put(row, v[i].asset, (uint32_t)*n))
                        goto out;
                out[(*n)++] = (struct ranked){.asset = v[i].asset,
                                              .found_by_vector = true,
                                              .cosine = v[i].cosine,
                                              .score = rrf_score(i + 1, 0)};
        }
        for (size_t i = 0; i < nt; i++) {
                if (!idmap_get(row, t[i].asset, &at)) {
                        at = (uint32_t)(*n)++;
                        out[at] = (struct ranked){.asset = t[i].asset};
                }
                out[at].score += rrf_score(0, i + 1);
                out[at].found_by_text = true;
                out[at].in_filename = t[i].in_filename;
                out[at].in_tags = t[i].in_tags;
                out[at].in_text = t[i].in_text;
        }
        if (*n)
                qsort(out, *n, sizeof *out, by_score);
        rc = 0;
out:
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
