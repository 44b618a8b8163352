/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where one asset belongs. The hard thing is what must not happen: a folder between two that nearly agree, a picture
 * that the model does not understand as a founding member, or a file moved that a person left unsorted.
 *
 * cluster_choose only compares numbers. It is given calibrated similarities in place of cosines: the calibration is
 * monotone, so the order is the same, and threshold and margin keep the unit in which people set them.
 */
#include "cluster/cluster.h"
#include "catalog/catalog_asset.h"
#include "folders/folders.h"
#include "catalog/catalog_place.h"
#include "catalog/catalog_search.h"
#include "organise_priv.h"

#include <string.h>

#define PROTOTYPES  8
#define NEIGHBOURS  50
#define MERGE_LEAD  0.15f
#define TAKEN_NAMES PROTOTYPES

/*
 * Folders' means lie closer to one another than their members do: with members
 * at cosine r to their own mean, a member of one is at about r·c to the other's
 * mean when the means are at c. The lead makes up for that and is the hysteresis.
 */
float merge_bar(float threshold)
{
        float room = (1 - threshold) / 2;
        return threshold + (room < MERGE_LEAD ? room : MERGE_LEAD);
}

/* ---- how sure the model was ---------------------------------------------------------- */

static bool has_category(const struct embed *m, const struct tag *tags, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (tags[i].source == TAG_ZERO_SHOT && tags[i].confidence >= SURE_MIN &&
                    embed_is_category(m, tags[i].name))
                        return true;
        return false;
}

void place_learn(struct organise *o, const struct tag *tags, size_t n)
{
        if (!atomic_load_explicit(&o->classifies, memory_order_relaxed) && has_category(o->opts.embed, tags, n))
                atomic_store_explicit(&o->classifies, true, memory_order_relaxed);
}

bool place_sure(struct organise *o, const struct tag *tags, size_t n)
{
        return !atomic_load_explicit(&o->classifies, memory_order_relaxed) || has_category(o->opts.embed, tags, n);
}

/* ---- existing folders -------------------------------------------------------------------- */

struct candidates {
        struct prototype_match m[PROTOTYPES];
        float similarity[PROTOTYPES];
        size_t n;
};

static float dot_product(const float *a, const float *b, size_t n)
{
        double sum = 0;
        for (size_t i = 0; i < n; i++)
                sum += (double)a[i] * b[i];
        return (float)sum;
}

static void candidate_put(struct candidates *c, struct prototype_match m, float similarity)
{
        size_t at = c->n;
        for (size_t i = 0; i < c->n; i++)
                if (id_eq(c->m[i].cluster, m.cluster))
                        return;
        if (at == PROTOTYPES && c->m[at - 1].cosine >= m.cosine)
                return;
        if (at == PROTOTYPES)
                at--;
        else
                c->n++;
        for (; at && c->m[at - 1].cosine < m.cosine; at--) {
                c->m[at] = c->m[at - 1];
                c->similarity[at] = c->similarity[at - 1];
        }
        c->m[at] = m;
        c->similarity[at] = similarity;
}

/* A dry run's merged folders answer for their survivors, and the folders it founded are looked at here. */
static void as_in_world(const struct world *w, struct prototype_match *m)
{
        uint32_t row;
        if (!w || !w->taken || !idmap_get(w->rows, m->cluster, &row))
                return;
        const struct folder *f = &w->folders[w->folders[row].into];
        m->cluster = f->id;
        m->name = f->name;
        m->threshold = f->threshold;
}

static int candidates_find(struct organise *o, const struct place_input *in, const struct world *w, struct arena *a,
                           struct candidates *c, struct err *e)
{
        struct prototype_match found[PROTOTYPES];
        size_t n = 0, dim = embed_dim(o->opts.embed);
        c->n = 0;
        if (catalog_prototype_search(o->opts.catalog, embed_model_id(o->opts.embed), in->owner, in->vector, PROTOTYPES,
                                     a, found, &n, e))
                return -1;
        for (size_t i = 0; i < n; i++) {
                as_in_world(w, &found[i]);
                candidate_put(c, found[i], embed_similarity_image(o->opts.embed, found[i].cosine));
        }
        for (size_t i = w ? w->first_made : 0; w && i < w->n; i++) {
                const struct folder *f = &w->folders[i];
                float cosine = dot_product(in->vector, f->prototype, dim);
                struct prototype_match m = {f->id, f->name, cosine, f->threshold, 0};
                candidate_put(c, m, embed_similarity_image(o->opts.embed, cosine));
        }
        return 0;
}

/*
 * Two folders are so alike that a pass would merge them, but may not (a person touched both): the nearer one is
 * taken.
 */
static bool nearly_one(struct organise *o, const struct world *w, const struct candidates *c)
{
        uint32_t i, k;
        if (!w || c->n < 2 || !idmap_get(w->rows, c->m[0].cluster, &i) || !idmap_get(w->rows, c->m[1].cluster, &k))
                return false;
        const struct folder *x = &w->folders[i], *y = &w->folders[k];
        float cosine = dot_product(x->prototype, y->prototype, embed_dim(o->opts.embed));
        float stricter = x->threshold > y->threshold ? x->threshold : y->threshold;
        return embed_similarity_image(o->opts.embed, cosine) >= merge_bar(stricter);
}

/* 1 assigned, 0 no folder is near, 2 between two: not to be founded upon, a pass will merge or decide; -1 error. */
static int try_assign(struct organise *o, const struct world *w, const struct candidates *c, struct arena *a,
                      struct placement *out, struct err *e)
{
        struct cluster_candidate in[PROTOTYPES];
        for (size_t i = 0; i < c->n; i++)
                in[i] = (struct cluster_candidate){(uint32_t)i, c->similarity[i], c->m[i].threshold};
        struct cluster_choice choice = cluster_choose(in, c->n, o->opts.margin);
        bool reached = c->n && c->similarity[0] >= c->m[0].threshold;
        bool assign = choice.verdict == CLUSTER_ASSIGN;
        size_t at = assign ? choice.index : 0;
        if (!assign && reached && nearly_one(o, w, c))
                assign = true;
        if (!c->n)
                out->why = "no folder to compare with";
        else if (c->n == 1)
                out->why = arena_printf(a, "%.2f to %s (needs %.2f)", (double)c->similarity[at], c->m[at].name,
                                        (double)c->m[at].threshold);
        else
                out->why = arena_printf(a, "%.2f to %s (needs %.2f), second %.2f to %s", (double)c->similarity[at],
                                        c->m[at].name, (double)c->m[at].threshold, (double)c->similarity[!at],
                                        c->m[!at].name);
        if (!out->why)
                return err_oom(e);
        if (!assign)
                return reached ? 2 : 0;
        out->kind = PLACE_ASSIGN;
        out->cluster_id = c->m[at].cluster;
        out->similarity = c->similarity[at];
        out->name = c->m[at].name;
        return 1;
}

/* ---- founding ---------------------------------------------------------------------------------- */

struct neighbours {
        const struct asset *self; /* as stored, for its human tags; may be NULL */
        const struct asset *asset[NEIGHBOURS];
        float *vectors; /* row-major */
        size_t n;
};

static const struct asset *asset_of(const struct asset *v, size_t n, struct id id)
{
        for (size_t i = 0; i < n; i++)
                if (id_eq(v[i].id, id))
                        return &v[i];
        return NULL;
}

/* Whether it may become a member: not if a person chose to leave it unsorted, or if the model is unsure. */
static bool may_found(struct organise *o, const struct asset *x)
{
        return x && !x->pinned && !x->trashed.us && id_is_nil(x->cluster_id) && place_sure(o, x->tags, x->ntags);
}

static int neighbours_load(struct organise *o, const struct vector_match *near, size_t n, const struct place_input *in,
                           struct arena *tmp, struct neighbours *out, struct err *e)
{
        struct id ids[NEIGHBOURS + 1] = {in->asset};
        struct asset *assets;
        size_t found, dim = embed_dim(o->opts.embed);
        for (size_t i = 0; i < n; i++)
                ids[i + 1] = near[i].asset;
        if (catalog_asset_get_many(o->opts.catalog, ids, n + 1, in->owner, tmp, &assets, &found, e))
                return -1;
        out->vectors = arena_array(tmp, n * dim, sizeof *out->vectors);
        if (!out->vectors)
                return err_oom(e);
        out->self = asset_of(assets, found, in->asset);
        for (size_t i = 0; i < n; i++) {
                struct err miss = {0};
                const struct asset *x = asset_of(assets, found, near[i].asset);
                if (!may_found(o, x))
                        continue;
                if (catalog_vector_get(o->opts.catalog, embed_model_id(o->opts.embed), x->id,
                                       out->vectors + out->n * dim, &miss)) {
                        if (miss.code == ERR_NOT_FOUND)
                                continue;
                        *e = miss;
                        return -1;
                }
                out->asset[out->n++] = x;
        }
        return 0;
}

/* Unsorted assets of the owner above the founding threshold, without the asset itself. */
static int near_unsorted(struct organise *o, const struct place_input *in, const struct world *w, float cosine,
                         struct vector_match *near, size_t *n, struct err *e)
{
        struct vector_match all[NEIGHBOURS + 1];
        const struct id nil = {{0}};
        const struct asset_filter f = {
                .owner = in->owner, .kinds = 1u << KIND_MEDIA, .cluster_id = &nil, .parts = 1u << PART_WHOLE};
        size_t found = 0;
        uint32_t ignored;
        *n = 0;
        if (catalog_vector_search(o->opts.catalog, embed_model_id(o->opts.embed), in->vector, &f, COUNT_OF(all), all,
                                  &found, e))
                return -1;
        for (size_t i = 0; i < found && *n < NEIGHBOURS; i++)
                if (all[i].cosine >= cosine && !id_eq(all[i].asset, in->asset) &&
                    !(w && w->taken && idmap_get(w->taken, all[i].asset, &ignored)))
                        near[(*n)++] = all[i];
        return 0;
}

int name_mark_generic(struct organise *o, const char *owner, struct name_evidence *v, size_t n, uint64_t members,
                      struct err *e)
{
        for (size_t i = 0; i < n; i++) {
                struct arena *tmp;
                struct asset_page page = {0};
                if (v[i].source != TAG_HUMAN || 2 * v[i].members < members)
                        continue;
                tmp = arena_new(1u << 20);
                if (!tmp)
                        return err_oom(e);
                const struct asset_filter f = {.owner = owner, .tags = &v[i].tag, .ntags = 1};
                int rc = catalog_asset_list(o->opts.catalog, &f, SORT_CREATED_DESC, 1, NULL, tmp, &page, e);
                arena_free(tmp);
                if (rc)
                        return -1;
                v[i].generic = page.total > 2 * v[i].members;
        }
        return 0;
}

/* The new asset's machine tags come from its result, its human ones from the catalog. */
static int own_tags(const struct place_input *in, const struct asset *stored, struct arena *tmp, const struct tag **out,
                    size_t *n, struct err *e)
{
        struct tag *all = arena_array(tmp, in->ntags + (stored ? stored->ntags : 0) + 1, sizeof *all);
        if (!all)
                return err_oom(e);
        *n = 0;
        for (size_t i = 0; i < in->ntags; i++)
                if (in->tags[i].source != TAG_HUMAN)
                        all[(*n)++] = in->tags[i];
        for (size_t i = 0; stored && i < stored->ntags; i++)
                if (stored->tags[i].source == TAG_HUMAN)
                        all[(*n)++] = stored->tags[i];
        *out = all;
        return 0;
}

static int found_name(struct organise *o, const struct place_input *in, const struct neighbours *near,
                      const uint32_t *rows, size_t n, const struct candidates *c, struct arena *a, struct arena *tmp,
                      const char **out, struct err *e)
{
        const struct tag *lists[NEIGHBOURS + 1];
        size_t counts[NEIGHBOURS + 1], nev;
        const char *taken[TAKEN_NAMES];
        struct name_evidence *ev;
        if (own_tags(in, near->self, tmp, &lists[0], &counts[0], e))
                return -1;
        for (size_t i = 0; i < n; i++) {
                lists[i + 1] = near->asset[rows[i]]->tags;
                counts[i + 1] = near->asset[rows[i]]->ntags;
        }
        /* A folder of the same name shows the same things, so it is among the nearest; no list of all folders is
         * needed. */
        for (size_t i = 0; i < c->n; i++)
                taken[i] = c->m[i].name;
        if (name_tally(tmp, o->opts.embed, lists, counts, n + 1, &ev, &nev))
                return err_oom(e);
        if (name_mark_generic(o, in->owner, ev, nev, n + 1, e))
                return -1;
        *out = name_choose(a, ev, nev, n + 1, taken, c->n);
        if (!*out)
                *out = name_dated(a, wall_now());
        return *out ? 0 : err_oom(e);
}

/* Members and their similarities to the new prototype; row 0 of vecs is the founding asset. */
static int found_members(struct organise *o, const struct place_input *in, const struct neighbours *near,
                         const uint32_t *rows, size_t n, struct arena *a, struct arena *tmp, struct placement *out,
                         struct err *e)
{
        size_t dim = embed_dim(o->opts.embed);
        float *vecs = arena_array(tmp, (n + 2) * dim, sizeof *vecs);
        struct id *ids = arena_array(a, n, sizeof *ids);
        float *similarity = arena_array(a, n, sizeof *similarity);
        if (!vecs || !ids || !similarity)
                return err_oom(e);
        float *centroid = vecs + (n + 1) * dim;
        memcpy(vecs, in->vector, dim * sizeof *vecs);
        for (size_t i = 0; i < n; i++)
                memcpy(vecs + (i + 1) * dim, near->vectors + rows[i] * dim, dim * sizeof *vecs);
        if (!cluster_centroid(vecs, n + 1, dim, centroid))
                return err_set(e, ERR_INTERNAL, "founding members without a mean direction");
        out->similarity = embed_similarity_image(o->opts.embed, dot_product(vecs, centroid, dim));
        for (size_t i = 0; i < n; i++) {
                ids[i] = near->asset[rows[i]]->id;
                similarity[i] = embed_similarity_image(o->opts.embed, dot_product(vecs + (i + 1) * dim, centroid, dim));
        }
        out->members = ids;
        out->member_similarity = similarity;
        out->nmembers = n;
        return 0;
}

static int try_found(struct organise *o, const struct place_input *in, const struct world *w,
                     const struct candidates *c, struct arena *a, struct arena *tmp, struct placement *out,
                     struct err *e)
{
        struct vector_match near[NEIGHBOURS];
        struct neighbours nb = {0};
        uint32_t rows[NEIGHBOURS];
        float cosine = embed_cosine_image(o->opts.embed, o->opts.threshold);
        size_t n = 0;
        if (near_unsorted(o, in, w, cosine, near, &n, e))
                return -1;
        if (n + 1 < o->opts.min_size)
                return 0;
        if (neighbours_load(o, near, n, in, tmp, &nb, e))
                return -1;
        n = cluster_found(in->vector, nb.vectors, nb.n, embed_dim(o->opts.embed), cosine, o->opts.min_size, rows);
        if (!n)
                return 0;
        if (found_members(o, in, &nb, rows, n, a, tmp, out, e) ||
            found_name(o, in, &nb, rows, n, c, a, tmp, &out->name, e))
                return -1;
        out->kind = PLACE_FOUND;
        out->cluster_id = id_new();
        out->threshold = o->opts.threshold;
        out->why = arena_printf(a, "founded with %zu unsorted neighbours, similarity to their mean %.2f", n,
                                (double)out->similarity);
        return out->why ? 0 : err_oom(e);
}

int place_decide(struct organise *o, const struct place_input *in, const struct world *w, struct arena *a,
                 struct placement *out, struct err *e)
{
        struct candidates c;
        int rc = -1;
        struct arena *tmp = arena_new(16u << 20);
        *out = (struct placement){.kind = PLACE_UNSORTED, .similarity = -1};
        uint64_t seen;
        if (!tmp)
                return err_oom(e);
        /* Read before the folders are: a change after it makes the commit fail. */
        if (catalog_placing_version(o->opts.catalog, in->owner, &seen, e) || candidates_find(o, in, w, a, &c, e))
                goto out;
        rc = try_assign(o, w, &c, a, out, e);
        if (rc == 0)
                rc = try_found(o, in, w, &c, a, tmp, out, e);
        out->seen = seen;
out:
        arena_free(tmp);
        return rc < 0 ? -1 : 0;
}
