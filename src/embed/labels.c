/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Class probabilities → tags people would choose. The hard thing is the more
 * general words: every class drags a chain of WordNet hypernyms ("retriever,
 * sporting dog, hunting dog, canine, …, living thing") of which one or two are
 * worth a tag.
 *
 * A hypernym becomes a tag when
 *  - its mass (the sum of its classes' probabilities) is at least one half, so
 *    it is more likely true than not;
 *  - at least half of its classes lie in the winning folder category. This is
 *    what keeps out both the words that say too little ("animal" covers 398
 *    classes of dozens of categories) and senses that strayed in ("drug" for a
 *    cup, by way of punch);
 *  - it is the shortest word of its band. Bands are two bits of information
 *    wide: with −log2(share of classes) as a word's information content
 *    (Resnik 1995), words within a factor of four in coverage say nearly the
 *    same thing, and of words that say the same the common one is the short
 *    one (Zipf's law of abbreviation);
 *  - it is no word of a warehouse or an ontology ("durables", "fluid"): a short
 *    list, because no measure on the hierarchy tells these from "bread";
 *  - it does not repeat the category or the class ("dog" beside "dogs").
 */
#include "embed_priv.h"
#include "json/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define LABELS_MAX_BYTES (8u << 20)
#define HYPERNYMS_MAX    3 /* tags, not words known */
#define BAND_WIDTH       4 /* coverage, that is two bits */
#define MASS_MIN         0.5f

static const char *const hollow[] = {
        "apparatus", "area",  "commodity", "concoction", "control", "course",  "design",  "drug",      "durables",
        "fare",      "feed",  "fluid",     "foodstuff",  "game",    "housing", "measure", "nutriment", "point",
        "produce",   "shape", "staff",     "substance",  "surface", "system",  "ware",    "weight",    "work",
};

struct hypernym {
        const char *name;
        uint32_t *classes;
        size_t n, cap;
};

struct labels {
        struct json *doc; /* owns all names */
        const char **class_name;
        uint32_t *class_category;
        size_t nclasses;
        const char **category;
        size_t ncategories;
        struct hypernym *hypernyms; /* most specific first */
        size_t nhypernyms, cap_hypernyms;
};

/* ---- reading ----------------------------------------------------------------------- */

static int category_find(const struct labels *l, const char *name)
{
        for (size_t i = 0; name && i < l->ncategories; i++)
                if (!strcmp(l->category[i], name))
                        return (int)i;
        return -1;
}

static int bad_labels(struct err *e, const char *what, size_t i)
{
        return err_set(e, ERR_CORRUPT, "the model's labels: %s %zu is not understood", what, i);
}

static int read_categories(struct labels *l, const struct json *arr, struct err *e)
{
        l->category = mem_calloc(json_count(arr) + 1, sizeof *l->category);
        if (!l->category)
                return err_oom(e);
        for (size_t i = 0; i < json_count(arr); i++) {
                l->category[i] = json_str(json_at(arr, i));
                if (!l->category[i])
                        return bad_labels(e, "category", i);
        }
        l->ncategories = json_count(arr);
        return l->ncategories ? 0 : bad_labels(e, "category", 0);
}

/* A quadratic search over some hundred names, once at load. */
static int hypernym_note(struct labels *l, const char *name, uint32_t class, struct err *e)
{
        struct hypernym *h = NULL;
        for (size_t i = 0; i < l->nhypernyms && !h; i++)
                if (!strcmp(l->hypernyms[i].name, name))
                        h = &l->hypernyms[i];
        if (!h) {
                if (mem_grow((void **)&l->hypernyms, &l->cap_hypernyms, l->nhypernyms + 1, sizeof *h))
                        return err_oom(e);
                h = &l->hypernyms[l->nhypernyms++];
                *h = (struct hypernym){.name = name};
        }
        if (h->n && h->classes[h->n - 1] == class) /* some chains name a word twice */
                return 0;
        if (mem_grow((void **)&h->classes, &h->cap, h->n + 1, sizeof *h->classes))
                return err_oom(e);
        h->classes[h->n++] = class;
        return 0;
}

static int read_class(struct labels *l, const struct json *v, uint32_t i, struct err *e)
{
        int category = category_find(l, json_get_str(v, "category", NULL));
        const struct json *words = json_get(v, "hypernyms");
        l->class_name[i] = json_get_str(v, "name", NULL);
        if (!l->class_name[i] || category < 0)
                return bad_labels(e, "label", i);
        l->class_category[i] = (uint32_t)category;
        for (size_t k = 0; k < json_count(words); k++) {
                const char *word = json_str(json_at(words, k));
                if (!word)
                        return bad_labels(e, "label", i);
                if (hypernym_note(l, word, i, e))
                        return -1;
        }
        return 0;
}

static int hypernym_cmp(const void *a, const void *b)
{
        const struct hypernym *x = a, *y = b;
        if (x->n != y->n)
                return x->n < y->n ? -1 : 1;
        return strcmp(x->name, y->name);
}

static int read_labels(struct labels *l, struct err *e)
{
        const struct json *arr = json_get(l->doc, "labels");
        if (read_categories(l, json_get(l->doc, "categories"), e))
                return -1;
        l->nclasses = json_count(arr);
        l->class_name = mem_calloc(l->nclasses + 1, sizeof *l->class_name);
        l->class_category = mem_calloc(l->nclasses + 1, sizeof *l->class_category);
        if (!l->class_name || !l->class_category)
                return err_oom(e);
        for (size_t i = 0; i < l->nclasses; i++)
                if (read_class(l, json_at(arr, i), (uint32_t)i, e))
                        return -1;
        if (!l->nclasses)
                return bad_labels(e, "label", 0);
        if (l->nhypernyms)
                qsort(l->hypernyms, l->nhypernyms, sizeof *l->hypernyms, hypernym_cmp);
        return 0;
}

int labels_parse(struct span text, struct labels **out, struct err *e)
{
        struct labels *l = mem_calloc(1, sizeof *l);
        if (!l)
                return err_oom(e);
        l->doc = json_parse(text, e);
        if (!l->doc || read_labels(l, e)) {
                labels_close(l);
                return -1;
        }
        *out = l;
        return 0;
}

int labels_open(const char *path, struct labels **out, struct err *e)
{
        char *text = NULL;
        size_t n;
        if (file_read_all(path, LABELS_MAX_BYTES, &text, &n, e))
                return -1;
        int rc = labels_parse((struct span){text, n}, out, e);
        mem_free(text);
        return rc;
}

void labels_close(struct labels *l)
{
        if (!l)
                return;
        for (size_t i = 0; i < l->nhypernyms; i++)
                mem_free(l->hypernyms[i].classes);
        mem_free(l->hypernyms);
        mem_free(l->category);
        mem_free(l->class_category);
        mem_free(l->class_name);
        json_free(l->doc);
        mem_free(l);
}

size_t labels_classes(const struct labels *l)
{
        return l->nclasses;
}

bool labels_is_category(const struct labels *l, const char *name)
{
        return category_find(l, name) >= 0;
}

/* ---- tagging ---------------------------------------------------------------------------- */

static void tag_put(struct embed_image_result *out, const char *name, float p, bool category)
{
        if (out->ntags < EMBED_MAX_TAGS)
                out->tags[out->ntags++] = (struct embed_tag){name, p < 1 ? p : 1, category};
}

/* Equal but for case and a plural ending on either side. */
static bool same_word(const char *a, const char *b)
{
        size_t na = strlen(a), nb = strlen(b), n = na < nb ? na : nb;
        const char *rest = na < nb ? b + n : a + n;
        return strncasecmp(a, b, n) == 0 && (!*rest || !strcasecmp(rest, "s") || !strcasecmp(rest, "es"));
}

static bool tag_present(const struct embed_image_result *out, const char *name)
{
        for (size_t i = 0; i < out->ntags; i++)
                if (same_word(out->tags[i].name, name))
                        return true;
        return false;
}

static float hypernym_mass(const struct labels *l, const struct hypernym *h, const float *probs, uint32_t category)
{
        float mass = 0;
        size_t inside = 0;
        for (size_t i = 0; i < h->n; i++) {
                mass += probs[h->classes[i]];
                inside += l->class_category[h->classes[i]] == category;
        }
        return 2 * inside >= h->n ? mass : 0;
}

static bool says_something(const char *name)
{
        for (size_t i = 0; i < COUNT_OF(hollow); i++)
                if (!strcmp(hollow[i], name))
                        return false;
        return true;
}

static bool better_word(const struct hypernym *a, const struct hypernym *b)
{
        return !b || strlen(a->name) < strlen(b->name);
}

static void hypernyms_tag(const struct labels *l, const float *probs, uint32_t category, struct embed_image_result *out)
{
        size_t put = 0, i = 0;
        while (i < l->nhypernyms && put < HYPERNYMS_MAX) {
                const struct hypernym *best = NULL;
                float best_mass = 0;
                size_t band = 0; /* coverage of its most specific word, 0 until found */
                for (; i < l->nhypernyms && (!band || l->hypernyms[i].n < band * BAND_WIDTH); i++) {
                        const struct hypernym *h = &l->hypernyms[i];
                        float mass = hypernym_mass(l, h, probs, category);
                        if (!(mass >= MASS_MIN) || !says_something(h->name))
                                continue;
                        if (!band)
                                band = h->n;
                        if (better_word(h, best)) {
                                best = h;
                                best_mass = mass;
                        }
                }
                if (best && !tag_present(out, best->name)) {
                        tag_put(out, best->name, best_mass, false);
                        put++;
                }
        }
}

/* Insertion sort: stable, and the list is twelve long. Categories were put in first and stay before equals. */
static void tags_sort(struct embed_image_result *out)
{
        for (size_t i = 1; i < out->ntags; i++) {
                struct embed_tag t = out->tags[i];
                size_t k = i;
                for (; k && out->tags[k - 1].confidence < t.confidence; k--)
                        out->tags[k] = out->tags[k - 1];
                out->tags[k] = t;
        }
}

int labels_tag(const struct labels *l, const float *probs, struct embed_image_result *out, struct err *e)
{
        uint32_t best = 0;
        float *mass = mem_calloc(l->ncategories, sizeof *mass);
        if (!mass)
                return err_oom(e);
        for (size_t i = 0; i < l->nclasses; i++)
                mass[l->class_category[i]] += probs[i];
        for (uint32_t c = 0; c < l->ncategories; c++) {
                if (mass[c] > mass[best])
                        best = c;
                if (mass[c] >= MASS_MIN)
                        tag_put(out, l->category[c], mass[c], true);
        }
        out->sure = mass[best] >= 0 ? fminf(mass[best], 1) : 0; /* 0 for what is not a number */
        mem_free(mass);
        for (size_t i = 0; i < l->nclasses; i++)
                if (probs[i] >= MASS_MIN && !tag_present(out, l->class_name[i]))
                        tag_put(out, l->class_name[i], probs[i], false);
        hypernyms_tag(l, probs, best, out);
        tags_sort(out);
        return 0;
}
