/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Search: words to vectors and to full text, several lists fused into one, each hit with its
 * reasons. The hard thing is honesty about the number shown: a vector match has
 * its calibrated similarity, and a match of words needs a place on that scale.
 *
 * The scale of text matches (a hit found both ways shows the larger):
 *   1.00        the query is the file name, with or without its ending
 *   0.95        the query is a tag that a person gave
 *   0.70–0.90   the query is a tag that a model gave, by its confidence
 *   0.80        all words found, some of them in the file name
 *   0.70        … in the tags
 *   0.60        … in description or comments only, or in the text of a part
 * Words are exact evidence, so none of these is cut off by the threshold, which
 * is about vectors. The number says how it matched; the order is the fused rank.
 */
#include "search_priv.h"
#include "catalog/catalog_asset.h"
#include "metrics/metrics.h"

#include <string.h>
#include <unistd.h>

#define CACHE_ENTRIES 256
#define LISTS_MAX     4

struct search {
        struct search_opts opts;
        struct query_cache *cache;
        struct helper *helper; /* looks up words while the text model runs; NULL on one core */
};

/* One search on its way. */
struct run {
        struct search *s;
        const struct search_query *q;
        struct span text;
        struct mono start;
        struct arena *a, *tmp;
        struct search_list lists[LISTS_MAX];
        size_t nlists;
        const struct id *leave_out;
};

int search_open(const struct search_opts *opts, struct search **out, struct err *e)
{
        struct search *s = mem_calloc(1, sizeof *s);
        if (!s)
                return err_oom(e);
        s->opts = *opts;
        if (query_cache_open(CACHE_ENTRIES, embed_dim(opts->embed), &s->cache, e)) {
                mem_free(s);
                return -1;
        }
        if (sysconf(_SC_NPROCESSORS_ONLN) > 1 && helper_open("search-words", &s->helper))
                s->helper = NULL; /* then both are done one after the other */
        *out = s;
        return 0;
}

void search_close(struct search *s)
{
        if (!s)
                return;
        helper_close(s->helper);
        query_cache_close(s->cache);
        mem_free(s);
}

/* Each part blocks; the time is checked between them. */
static int in_time(const struct run *r, struct err *e)
{
        if (r->s->opts.timeout.ns > 0 && mono_since(r->start).ns > r->s->opts.timeout.ns)
                return err_set(e, ERR_TIMEOUT, "the search took longer than %.1f s", dur_seconds(r->s->opts.timeout));
        return 0;
}

/* ---- the lists ----------------------------------------------------------------------- */

static struct search_list *list_add(struct run *r, const struct search_list *l, struct err *e)
{
        struct search_list *at = &r->lists[r->nlists];
        if (r->nlists == LISTS_MAX) {
                err_set(e, ERR_INTERNAL, "search: too many lists");
                return NULL;
        }
        *at = *l;
        if (list_begin(at, r->tmp, e))
                return NULL;
        r->nlists++;
        return at;
}

/* The vectors of the model, near to v, which may be filled in later. */
static struct search_list *vectors_add(struct run *r, const float *v,
                                       float (*similarity)(const struct embed *m, float cosine), struct err *e)
{
        return list_add(r,
                        &(struct search_list){.kind = LIST_VECTORS,
                                              .model = r->s->opts.embed,
                                              .vector = v,
                                              .similarity = similarity,
                                              .threshold = r->q->threshold,
                                              .leave_out = r->leave_out},
                        e);
}

static int list_read(struct run *r, struct search_list *l, struct err *e)
{
        return list_ask(l, r->s->opts.catalog, &r->q->filter, e) ? -1 : in_time(r, e);
}

static int query_vector(struct run *r, float *v, struct err *e)
{
        const char *id = embed_model_id(r->s->opts.embed), *owner = r->q->filter.owner;
        /* Each owner has entries of its own: a fast answer must not reveal that another owner searched for the same. */
        const char *key = arena_printf(r->tmp, "%s\n%.*s", owner ? owner : "", (int)r->text.n, r->text.p);
        if (!key)
                return err_oom(e);
        if (query_cache_get(r->s->cache, id, span_of(key), v))
                return 0;
        if (embed_text(r->s->opts.embed, r->text, v, e))
                return -1;
        query_cache_put(r->s->cache, id, span_of(key), v);
        return 0;
}

/* The lists of words, which may be read on another thread. */
struct words {
        struct run *r;
        struct search_list *lists[2];
        int rc;
        struct err err;
};

static int words_begin(struct run *r, struct words *w, struct err *e)
{
        static const enum list_kind kinds[COUNT_OF(w->lists)] = {LIST_FIELDS, LIST_PARTS};
        const char *text = arena_strndup(r->tmp, r->text);
        *w = (struct words){.r = r};
        if (!text)
                return err_oom(e);
        for (size_t i = 0; i < COUNT_OF(kinds); i++) {
                w->lists[i] = list_add(r, &(struct search_list){.kind = kinds[i], .text = text}, e);
                if (!w->lists[i])
                        return -1;
        }
        return 0;
}

/* Changes nothing in the run except its lists. */
static void words_read(void *arg)
{
        struct words *w = arg;
        for (size_t i = 0; i < COUNT_OF(w->lists) && !w->rc; i++)
                w->rc = list_read(w->r, w->lists[i], &w->err);
}

static int words_end(const struct words *w, struct err *e)
{
        if (w->rc && e)
                *e = w->err;
        return w->rc ? -1 : 0;
}

/* ---- hits -------------------------------------------------------------------------------- */

static void hit_fill(const struct run *r, const struct ranked *x, struct asset *asset, struct search_hit *hit)
{
        float by_text = x->found_by_text ? text_similarity(r->text, asset, x) : -1;
        *hit = (struct search_hit){.asset = asset, .vector = -1, .score = x->score};
        if (x->found_by_vector)
                hit->vector = x->similarity;
        hit->similarity = hit->vector > by_text ? hit->vector : by_text;
        hit->filename = x->in_filename;
        hit->tags = x->in_tags;
        hit->text = x->in_text || (x->found_by_text && !x->in_filename && !x->in_tags);
}

/* Reads the page's assets at once. Assets that vanished since the lists were made are left out. */
static int page_fill(struct run *r, const struct ranked *x, size_t n, struct search_result *out, struct err *e)
{
        struct id *ids = arena_array(r->tmp, n + 1, sizeof *ids);
        const struct ranked **shown = arena_array(r->tmp, n + 1, sizeof *shown);
        const char *query = arena_strndup(r->tmp, r->text);
        struct asset *assets;
        size_t found, at = 0;
        out->hits = arena_array(r->a, n + 1, sizeof *out->hits);
        if (!ids || !shown || !query || !out->hits)
                return err_oom(e);
        for (size_t i = 0; i < n; i++)
                ids[i] = x[i].asset;
        if (!n)
                return 0;
        if (catalog_asset_get_many(r->s->opts.catalog, ids, n, r->q->filter.owner, r->a, &assets, &found, e))
                return -1;
        for (size_t i = 0; i < n && at < found; i++) {
                if (!id_eq(assets[at].id, x[i].asset))
                        continue;
                shown[out->n] = &x[i];
                hit_fill(r, &x[i], &assets[at++], &out->hits[out->n++]);
        }
        return parts_show(r->s->opts.catalog, shown, out->n, query, r->a, out->hits, e);
}

static int fill_answer(struct run *r, struct search_result *out, struct err *e)
{
        size_t n = 1, first = r->q->offset, count;
        struct ranked *all;
        for (size_t i = 0; i < r->nlists; i++)
                n += r->lists[i].n;
        all = arena_array(r->tmp, n, sizeof *all);
        if (!all)
                return err_oom(e);
        if (rank_fuse(r->lists, r->nlists, all, &n, e))
                return -1;
        if (n > SEARCH_DEPTH)
                n = SEARCH_DEPTH;
        if (first > n)
                first = n;
        count = n - first < r->q->limit ? n - first : r->q->limit;
        if (page_fill(r, all + first, count, out, e))
                return -1;
        out->total = n;
        out->threshold = r->q->threshold;
        out->model = embed_model_id(r->s->opts.embed);
        out->took_ms = dur_seconds(mono_since(r->start)) * 1000;
        return 0;
}

/* ---- the three ways in ---------------------------------------------------------------------- */

static int run_begin(struct run *r, struct search *s, const struct search_query *q, struct arena *a,
                     struct search_result *out, struct err *e)
{
        *out = (struct search_result){0};
        *r = (struct run){.s = s, .q = q, .start = mono_now(), .a = a};
        r->tmp = arena_new(4u << 20);
        return r->tmp ? 0 : err_oom(e);
}

static int run_end(struct run *r, const char *type, int rc)
{
        metrics_add(METRIC_SEARCH_QUERIES, 1, type, rc ? "failure" : "success");
        metrics_observe(METRIC_SEARCH_LATENCY, dur_seconds(mono_since(r->start)), type);
        arena_free(r->tmp);
        return rc ? -1 : 0;
}

/* After the start a hybrid search may lack vectors for a while: words still find. */
static int meaning_read(struct run *r, struct search_list *l, float *v, struct search_result *out, struct err *e)
{
        struct err why = {0};
        if (!query_vector(r, v, &why) && !list_read(r, l, &why))
                return 0;
        if (r->q->mode == SEARCH_HYBRID && why.code == ERR_UNAVAILABLE) {
                l->n = 0;
                out->warming = true;
                return 0;
        }
        if (e)
                *e = why;
        return -1;
}

static int meaning_only(struct run *r, struct search_result *out, struct err *e)
{
        float *v = arena_array(r->tmp, embed_dim(r->s->opts.embed), sizeof *v);
        struct search_list *l;
        if (!v)
                return err_oom(e);
        l = vectors_add(r, v, embed_similarity_text, e);
        return l ? meaning_read(r, l, v, out, e) : -1;
}

/* The two parts are independent, so words are looked up while the model runs if a core is free. */
static int meaning_and_words(struct run *r, struct search_result *out, struct err *e)
{
        float *v = arena_array(r->tmp, embed_dim(r->s->opts.embed), sizeof *v);
        struct search_list *l;
        struct words w;
        if (!v)
                return err_oom(e);
        l = vectors_add(r, v, embed_similarity_text, e);
        if (!l || words_begin(r, &w, e))
                return -1;
        bool lent = helper_lend(r->s->helper, words_read, &w);
        int rc = meaning_read(r, l, v, out, e);
        bool read = lent && helper_end(r->s->helper);
        if (rc)
                return -1;
        if (!read)
                words_read(&w);
        return words_end(&w, e);
}

static int words_only(struct run *r, struct err *e)
{
        struct words w;
        if (words_begin(r, &w, e))
                return -1;
        words_read(&w);
        return words_end(&w, e);
}

static int text_run(struct run *r, struct search_result *out, struct err *e)
{
        enum search_mode mode = r->q->mode;
        int rc;
        if (!r->text.n)
                return err_set(e, ERR_INVALID, "query: it is empty; say what to look for");
        if (mode == SEARCH_VECTOR)
                rc = meaning_only(r, out, e);
        else if (mode == SEARCH_TEXT || query_is_name(r->text))
                rc = words_only(r, e);
        else
                rc = meaning_and_words(r, out, e);
        return rc ? -1 : fill_answer(r, out, e);
}

int search_text(struct search *s, const struct search_query *q, struct arena *a, struct search_result *out,
                struct err *e)
{
        static const char *const types[] = {
                [SEARCH_HYBRID] = "hybrid", [SEARCH_VECTOR] = "vector", [SEARCH_TEXT] = "text"};
        struct run r;
        int rc = run_begin(&r, s, q, a, out, e);
        r.text = span_trim(span_of(q->text));
        if (!rc)
                rc = text_run(&r, out, e);
        return run_end(&r, types[q->mode], rc);
}

static int near_run(struct run *r, const float *v, struct search_result *out, struct err *e)
{
        struct search_list *l = vectors_add(r, v, embed_similarity_image, e);
        return l && !list_read(r, l, e) ? fill_answer(r, out, e) : -1;
}

/* An asset without a vector (a document, a picture still waiting) resembles nothing: an empty answer, no error. */
static int similar_run(struct run *r, struct search_result *out, struct err *e)
{
        struct err why = {0};
        struct asset x;
        float *v = arena_array(r->tmp, embed_dim(r->s->opts.embed), sizeof *v);
        if (!v)
                return err_oom(e);
        if (catalog_asset_get(r->s->opts.catalog, *r->leave_out, r->q->filter.owner, r->tmp, &x, e))
                return -1;
        if (catalog_vector_get(r->s->opts.catalog, embed_model_id(r->s->opts.embed), x.id, v, &why)) {
                if (why.code == ERR_NOT_FOUND)
                        return fill_answer(r, out, e);
                if (e)
                        *e = why;
                return -1;
        }
        return near_run(r, v, out, e);
}

int search_similar(struct search *s, struct id asset, const struct search_query *q, struct arena *a,
                   struct search_result *out, struct err *e)
{
        struct run r;
        int rc = run_begin(&r, s, q, a, out, e);
        r.leave_out = &asset;
        if (!rc)
                rc = similar_run(&r, out, e);
        return run_end(&r, "similar", rc);
}

int search_vector(struct search *s, const float *v, const struct search_query *q, struct arena *a,
                  struct search_result *out, struct err *e)
{
        struct run r;
        int rc = run_begin(&r, s, q, a, out, e);
        if (!rc)
                rc = near_run(&r, v, out, e);
        return run_end(&r, "image", rc);
}
