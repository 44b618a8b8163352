/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Search: words to vectors and to full text, one fused list, each hit with its
 * reasons. The hard thing is honesty about the number shown: a vector match has
 * its calibrated similarity, and a match of words needs a place on that scale.
 *
 * The scale of text matches (a hit found both ways shows the larger):
 *   1.00        the query is the file name, with or without its ending
 *   0.95        the query is a tag that a person gave
 *   0.70–0.90   the query is a tag that a model gave, by its confidence
 *   0.80        all words found, some of them in the file name
 *   0.70        … in the tags
 *   0.60        … in description or comments only
 * Words are exact evidence, so none of these is cut off by the threshold, which
 * is about vectors. The number says how it matched; the order is the fused rank.
 */
#include "search_priv.h"
#include "catalog/catalog_asset.h"
#include "metrics/metrics.h"

#include <string.h>
#include <unistd.h>

#define CACHE_ENTRIES 256

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
        bool text_calibration; /* which of the model's two scales */
        struct arena *a, *tmp;
        struct vector_match *v;
        struct text_match *t;
        size_t nv, nt;
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

static float similarity_of(const struct run *r, float cosine)
{
        const struct embed *m = r->s->opts.embed;
        return r->text_calibration ? embed_similarity_text(m, cosine) : embed_similarity_image(m, cosine);
}

/* ---- the two lists ------------------------------------------------------------------- */

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

/* The nearest k, cut off where the similarity shown would fall below the threshold. */
static int vector_read(struct run *r, const float *v, size_t k, struct err *e)
{
        size_t n = 0, kept = 0;
        if (catalog_vector_search(r->s->opts.catalog, embed_model_id(r->s->opts.embed), v, &r->q->filter, k, r->v, &n,
                                  e))
                return -1;
        for (size_t i = 0; i < n; i++)
                if (similarity_of(r, r->v[i].cosine) >= r->q->threshold)
                        r->v[kept++] = r->v[i];
        r->nv = kept;
        return in_time(r, e);
}

static int vector_list(struct run *r, const float *v, struct err *e)
{
        size_t extra = r->leave_out != NULL, kept = 0;
        r->v = arena_array(r->tmp, SEARCH_DEPTH + extra, sizeof *r->v);
        if (!r->v)
                return err_oom(e);
        if (vector_read(r, v, SEARCH_DEPTH + extra, e))
                return -1;
        for (size_t i = 0; i < r->nv; i++)
                if (!r->leave_out || !id_eq(*r->leave_out, r->v[i].asset))
                        r->v[kept++] = r->v[i];
        r->nv = kept;
        return 0;
}

/* Builds the list of word matches; may run on another thread. */
struct words {
        struct run *r;
        const char *text;
        int rc;
        struct err err;
};

static int words_begin(struct run *r, struct words *w, struct err *e)
{
        *w = (struct words){.r = r, .text = arena_strndup(r->tmp, r->text)};
        r->t = arena_array(r->tmp, SEARCH_DEPTH, sizeof *r->t);
        return w->text && r->t ? 0 : err_oom(e);
}

/* Changes nothing in the run except its list. */
static void words_read(void *arg)
{
        struct words *w = arg;
        struct run *r = w->r;
        w->rc = catalog_text_search(r->s->opts.catalog, w->text, &r->q->filter, SEARCH_DEPTH, r->t, &r->nt, &w->err);
}

static int words_end(struct words *w, struct err *e)
{
        if (!w->rc)
                return in_time(w->r, e);
        if (e)
                *e = w->err;
        return -1;
}

/* ---- hits -------------------------------------------------------------------------------- */

static void hit_fill(const struct run *r, const struct ranked *x, struct asset *asset, struct search_hit *hit)
{
        float by_text = x->found_by_text ? text_similarity(r->text, asset, x) : -1;
        *hit = (struct search_hit){.asset = asset, .vector = -1, .score = x->score};
        if (x->found_by_vector)
                hit->vector = similarity_of(r, x->cosine);
        hit->similarity = hit->vector > by_text ? hit->vector : by_text;
        hit->filename = x->in_filename;
        hit->tags = x->in_tags;
        hit->text = x->in_text || (x->found_by_text && !x->in_filename && !x->in_tags);
}

/* Reads the page's assets at once. Assets that vanished since the lists were made are left out. */
static int page_fill(struct run *r, const struct ranked *x, size_t n, struct search_result *out, struct err *e)
{
        struct id *ids = arena_array(r->tmp, n + 1, sizeof *ids);
        struct asset *assets;
        size_t found, at = 0;
        out->hits = arena_array(r->a, n + 1, sizeof *out->hits);
        if (!ids || !out->hits)
                return err_oom(e);
        for (size_t i = 0; i < n; i++)
                ids[i] = x[i].asset;
        if (!n)
                return 0;
        if (catalog_asset_get_many(r->s->opts.catalog, ids, n, r->q->filter.owner, r->a, &assets, &found, e))
                return -1;
        for (size_t i = 0; i < n && at < found; i++)
                if (id_eq(assets[at].id, x[i].asset))
                        hit_fill(r, &x[i], &assets[at++], &out->hits[out->n++]);
        return 0;
}

static int fill_answer(struct run *r, struct search_result *out, struct err *e)
{
        size_t n = 0, first = r->q->offset, count;
        struct ranked *all = arena_array(r->tmp, r->nv + r->nt + 1, sizeof *all);
        if (!all)
                return err_oom(e);
        if (rank_fuse(r->v, r->nv, r->t, r->nt, all, &n, e))
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
static int meaning_list(struct run *r, struct search_result *out, struct err *e)
{
        float *v = arena_array(r->tmp, embed_dim(r->s->opts.embed), sizeof *v);
        struct err why = {0};
        if (!v)
                return err_oom(e);
        if (!query_vector(r, v, &why) && !vector_list(r, v, &why))
                return 0;
        if (r->q->mode == SEARCH_HYBRID && why.code == ERR_UNAVAILABLE) {
                r->nv = 0;
                out->warming = true;
                return 0;
        }
        if (e)
                *e = why;
        return -1;
}

/* The two parts are independent, so words are looked up while the model runs if a core is free. */
static int both_lists(struct run *r, struct search_result *out, struct err *e)
{
        struct words w;
        if (words_begin(r, &w, e))
                return -1;
        bool lent = helper_lend(r->s->helper, words_read, &w);
        int rc = meaning_list(r, out, e);
        bool read = lent && helper_end(r->s->helper);
        if (rc)
                return -1;
        if (!read)
                words_read(&w);
        return words_end(&w, e);
}

static int words_list(struct run *r, struct err *e)
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
        r->text_calibration = true;
        if (mode == SEARCH_VECTOR)
                rc = meaning_list(r, out, e);
        else if (mode == SEARCH_TEXT || query_is_name(r->text))
                rc = words_list(r, e);
        else
                rc = both_lists(r, out, e);
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
        return vector_list(r, v, e) ? -1 : fill_answer(r, out, e);
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
                rc = vector_list(&r, v, e);
        if (!rc)
                rc = fill_answer(&r, out, e);
        return run_end(&r, "image", rc);
}
