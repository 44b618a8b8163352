/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The periodic pass: merge folders, place unsorted assets again, improve names. It computes on a snapshot and commits
 * one small operation after the other; the catalog checks each again (folder version, members still unsorted), and an
 * outdated operation is left to the next pass. The hard thing is the dry run, which must report the same without
 * writing: it keeps the folders that it would have made in a struct world.
 */
#include "cluster/cluster.h"
#include "catalog/catalog_asset.h"
#include "folders/folders.h"
#include "catalog/catalog_place.h"
#include "catalog/catalog_search.h"
#include "metrics/metrics.h"
#include "organise_priv.h"

#include <string.h>

#define PAGE            100
#define UNSORTED_A_PASS 1000 /* an owner */
#define MERGES_A_PASS   1000
#define NAME_SAMPLE     100
#define NAME_TAGS       32

struct pass {
        struct organise *o;
        const char *owner; /* in a */
        bool dry;
        organise_go_on_fn *go_on;
        struct arena *a;   /* the report's */
        struct arena *tmp; /* the owner's */
        struct organise_report *out;
        size_t *cap; /* of out->changes */
        struct cluster *clusters;
        float *prototypes;
        size_t nclusters;
        struct world w;
};

/* Operations that lost a race are left to the next pass. */
static bool put_off(const struct err *e)
{
        return e->code == ERR_CONFLICT || e->code == ERR_NOT_FOUND;
}

static int report_change(struct pass *p, struct organise_change c, struct err *e)
{
        struct organise_report *r = p->out;
        if (arena_grow(p->a, &r->changes, p->cap, r->n + 1, sizeof *r->changes, e))
                return -1;
        c.owner = p->owner;
        c.name = arena_strdup(p->a, c.name);
        r->changes[r->n++] = c;
        return 0;
}

/* ---- the world ------------------------------------------------------------------------ */

static int world_add(struct pass *p, struct folder f, struct err *e)
{
        struct world *w = &p->w;
        if (arena_grow(p->tmp, &w->folders, &w->cap, w->n + 1, sizeof *w->folders, e))
                return -1;
        f.into = (uint32_t)w->n;
        if (idmap_put(w->rows, f.id, f.into))
                return err_oom(e);
        w->folders[w->n++] = f;
        return 0;
}

static int world_load(struct pass *p, struct err *e)
{
        size_t dim = embed_dim(p->o->opts.embed);
        p->w.rows = idmap_new();
        if (p->dry)
                p->w.taken = idmap_new();
        if (!p->w.rows || (p->dry && !p->w.taken))
                return err_oom(e);
        if (catalog_cluster_snapshot(p->o->opts.catalog, embed_model_id(p->o->opts.embed), p->owner, p->tmp,
                                     &p->clusters, &p->prototypes, &p->nclusters, e))
                return -1;
        for (size_t i = 0; i < p->nclusters; i++) {
                const struct cluster *c = &p->clusters[i];
                if (world_add(p, (struct folder){c->id, c->name, c->threshold, p->prototypes + i * dim, 0}, e))
                        return -1;
        }
        p->w.first_made = p->w.n;
        return 0;
}

/* ---- merges --------------------------------------------------------------------------------- */

static int merge_commit(struct pass *p, const struct cluster *into, const struct cluster *from, struct err *e)
{
        const uint64_t versions[2] = {into->version, from->version};
        struct lock *lock = owner_lock(p->o, p->owner);
        struct wall updated;
        lock_take(lock);
        int rc = catalog_cluster_merge(p->o->opts.catalog, into->id, &from->id, 1, versions, p->owner, "service", NULL,
                                       &updated, e);
        lock_drop(lock);
        return rc;
}

static int merge_one(struct pass *p, uint32_t into, uint32_t from, float cosine, struct err *e)
{
        const struct cluster *x = &p->clusters[into], *y = &p->clusters[from];
        struct err why = {0};
        if (!p->dry && merge_commit(p, x, y, &why)) {
                if (put_off(&why))
                        return 0;
                *e = why;
                return -1;
        }
        p->w.folders[from].into = into;
        return report_change(p,
                             (struct organise_change){.action = "merge",
                                                      .cluster = x->id,
                                                      .other = y->id,
                                                      .name = x->name,
                                                      .similarity = embed_similarity_image(p->o->opts.embed, cosine)},
                             e);
}

/* Locked folders are no groups; cluster_merges' hysteresis is 0 since each folder's bar includes its own. */
static int merge_clusters(struct pass *p, struct err *e)
{
        const struct embed *m = p->o->opts.embed;
        size_t n = 0, found, dim = embed_dim(m);
        struct cluster_group *g = arena_array(p->tmp, p->nclusters + 1, sizeof *g);
        uint32_t *row = arena_array(p->tmp, p->nclusters + 1, sizeof *row);
        struct cluster_merge *out = arena_array(p->tmp, MERGES_A_PASS, sizeof *out);
        if (!g || !row || !out)
                return err_oom(e);
        for (size_t i = 0; i < p->nclusters; i++) {
                const struct cluster *c = &p->clusters[i];
                if (c->locked)
                        continue;
                row[n] = (uint32_t)i;
                g[n++] = (struct cluster_group){p->prototypes + i * dim, (uint32_t)c->asset_count,
                                                embed_cosine_image(m, merge_bar(c->threshold)), c->touched || c->named};
        }
        if (n < 2)
                return 0;
        struct err why = {0};
        found = cluster_merges(g, n, dim, 0, out, MERGES_A_PASS, &why);
        if (why.code) {
                *e = why;
                return -1;
        }
        for (size_t i = 0; i < found && p->go_on(p->o); i++)
                if (merge_one(p, row[out[i].into], row[out[i].from], out[i].cosine, e))
                        return -1;
        return 0;
}

/* ---- the unsorted ---------------------------------------------------------------------------- */

/* catalog_place knows no task's asset: it is one member among the others. */
static int as_members(const struct place_input *in, struct placement *d, struct arena *tmp, struct err *e)
{
        struct id *ids = arena_array(tmp, d->nmembers + 1, sizeof *ids);
        float *similarity = arena_array(tmp, d->nmembers + 1, sizeof *similarity);
        if (!ids || !similarity)
                return err_oom(e);
        ids[0] = in->asset;
        similarity[0] = d->similarity;
        for (size_t i = 0; i < d->nmembers; i++) {
                ids[i + 1] = d->members[i];
                similarity[i + 1] = d->member_similarity[i];
        }
        d->members = ids;
        d->member_similarity = similarity;
        d->nmembers++;
        return 0;
}

/* Decides again under the lock: the first decision, without it, only told whether there is anything to do. */
static int place_commit(struct pass *p, const struct place_input *in, struct arena *tmp, struct placement *d,
                        struct err *e)
{
        struct lock *lock = owner_lock(p->o, p->owner);
        lock_take(lock);
        int rc = place_decide(p->o, in, &p->w, tmp, d, e);
        if (!rc && d->kind != PLACE_UNSORTED) {
                rc = as_members(in, d, tmp, e);
                if (!rc)
                        rc = catalog_place(p->o->opts.catalog, p->owner, d, "service", e);
        }
        lock_drop(lock);
        if (!rc && d->kind == PLACE_FOUND)
                metrics_add(METRIC_CLUSTERS_CREATED, 1);
        return rc;
}

/* The mean of a folder that exists in a dry run only. */
static int world_found(struct pass *p, const struct placement *d, struct err *e)
{
        size_t dim = embed_dim(p->o->opts.embed);
        float *vecs = arena_array(p->tmp, (d->nmembers + 1) * dim, sizeof *vecs);
        if (!vecs)
                return err_oom(e);
        for (size_t i = 0; i < d->nmembers; i++)
                if (catalog_vector_get(p->o->opts.catalog, embed_model_id(p->o->opts.embed), d->members[i],
                                       vecs + i * dim, e))
                        return -1;
        float *mean = vecs + d->nmembers * dim;
        if (!cluster_centroid(vecs, d->nmembers, dim, mean))
                return err_set(e, ERR_INTERNAL, "founding members without a mean direction");
        const char *name = arena_strdup(p->tmp, d->name);
        return name ? world_add(p, (struct folder){d->cluster_id, name, d->threshold, mean, 0}, e) : err_oom(e);
}

static int place_dry(struct pass *p, const struct place_input *in, struct arena *tmp, struct placement *d,
                     struct err *e)
{
        if (as_members(in, d, tmp, e))
                return -1;
        for (size_t i = 0; i < d->nmembers; i++)
                if (idmap_put(p->w.taken, d->members[i], 1))
                        return err_oom(e);
        return d->kind == PLACE_FOUND ? world_found(p, d, e) : 0;
}

static int retry_one(struct pass *p, const struct asset *x, struct arena *tmp, struct err *e)
{
        struct organise *o = p->o;
        struct placement d;
        struct err why = {0};
        uint32_t ignored;
        float *v = arena_array(tmp, embed_dim(o->opts.embed), sizeof *v);
        if (!v)
                return err_oom(e);
        if (x->pinned || !place_sure(o, x->tags, x->ntags) || (p->dry && idmap_get(p->w.taken, x->id, &ignored)))
                return 0;
        const struct place_input in = {p->owner, x->id, v, x->tags, x->ntags};
        int rc = catalog_vector_get(o->opts.catalog, embed_model_id(o->opts.embed), x->id, v, &why);
        if (!rc)
                rc = place_decide(o, &in, &p->w, tmp, &d, &why);
        if (!rc && d.kind != PLACE_UNSORTED)
                rc = p->dry ? place_dry(p, &in, tmp, &d, &why) : place_commit(p, &in, tmp, &d, &why);
        if (rc) {
                if (put_off(&why))
                        return 0;
                *e = why;
                return -1;
        }
        if (d.kind == PLACE_UNSORTED)
                return 0;
        return report_change(p,
                             (struct organise_change){.action = d.kind == PLACE_FOUND ? "found" : "assign",
                                                      .cluster = d.cluster_id,
                                                      .other = x->id,
                                                      .name = d.name,
                                                      .similarity = d.similarity},
                             e);
}

static int retry_page(struct pass *p, const struct asset_page *page, struct err *e)
{
        for (size_t i = 0; i < page->n; i++)
                place_learn(p->o, page->assets[i].tags, page->assets[i].ntags);
        for (size_t i = 0; i < page->n && p->go_on(p->o); i++) {
                struct arena *tmp = arena_new(16u << 20);
                int rc = tmp ? retry_one(p, &page->assets[i], tmp, e) : err_oom(e);
                arena_free(tmp);
                if (rc)
                        return -1;
        }
        return 0;
}

/* The caller holds o->lock. NULL: no entry yet. */
static struct resume *resume_of(struct organise *o, const char *owner)
{
        for (size_t i = 0; i < o->nresume; i++)
                if (!strcmp(o->resume[i].owner, owner))
                        return &o->resume[i];
        return NULL;
}

static char *resume_get(struct organise *o, const char *owner)
{
        lock_take(&o->lock);
        struct resume *r = resume_of(o, owner);
        char *copy = r && r->cursor ? mem_strdup(r->cursor) : NULL;
        lock_drop(&o->lock);
        return copy;
}

/* Takes over cursor. If it is lost for want of memory, the next pass starts from the beginning. */
static void resume_set(struct organise *o, const char *owner, char *cursor)
{
        lock_take(&o->lock);
        struct resume *r = resume_of(o, owner);
        size_t len = strlen(owner);
        if (!r && cursor && len <= OWNER_MAX &&
            !mem_grow((void **)&o->resume, &o->cap_resume, o->nresume + 1, sizeof *r)) {
                r = &o->resume[o->nresume++];
                *r = (struct resume){.cursor = NULL};
                memcpy(r->owner, owner, len + 1);
        }
        if (r) {
                mem_free(r->cursor);
                r->cursor = cursor;
                cursor = NULL;
        }
        lock_drop(&o->lock);
        mem_free(cursor);
}

/* Newest first, a limited number per pass; the next pass continues where this one stopped. */
static int retry_unsorted(struct pass *p, struct err *e)
{
        const struct id nil = {{0}};
        const struct asset_filter f = {
                .owner = p->owner, .kinds = 1u << KIND_MEDIA, .statuses = 1u << ASSET_DONE, .cluster_id = &nil};
        char *cursor = resume_get(p->o, p->owner);
        int rc = 0;
        for (size_t done = 0; done < UNSORTED_A_PASS && !rc && p->go_on(p->o);) {
                struct asset_page page = {0};
                struct arena *tmp = arena_new(64u << 20);
                rc = tmp ? catalog_asset_list(p->o->opts.catalog, &f, SORT_CREATED_DESC, PAGE, cursor, tmp, &page, e)
                         : err_oom(e);
                if (!rc)
                        rc = retry_page(p, &page, e);
                done += page.n ? page.n : UNSORTED_A_PASS;
                mem_free(cursor);
                cursor = !rc && page.next ? mem_strdup(page.next) : NULL;
                arena_free(tmp);
                if (!cursor)
                        break;
        }
        if (!p->dry) {
                if (cursor) /* there is more to look at: the next pass is not idle */
                        atomic_fetch_add_explicit(&p->o->changes, 1, memory_order_relaxed);
                resume_set(p->o, p->owner, cursor);
        } else {
                mem_free(cursor);
        }
        return rc;
}

/* ---- names -------------------------------------------------------------------------------------- */

static int name_still_holds(struct pass *p, const struct cluster *c, struct arena *tmp, bool *holds, struct err *e)
{
        struct tag_count *counts;
        size_t n;
        if (catalog_cluster_tags(p->o->opts.catalog, c->id, NAME_TAGS, tmp, &counts, &n, e))
                return -1;
        struct name_evidence *v = arena_array(tmp, n + 1, sizeof *v);
        if (!v)
                return err_oom(e);
        for (size_t i = 0; i < n; i++)
                v[i] = (struct name_evidence){.tag = counts[i].name,
                                              .members = counts[i].members,
                                              .mean = counts[i].mean_confidence,
                                              .category = embed_is_category(p->o->opts.embed, counts[i].name)};
        *holds = name_holds(tmp, c->name, v, n, c->asset_count);
        return 0;
}

/* From a sample of the members, which tells the sources of tags apart. NULL name: nothing better. */
static int name_anew(struct pass *p, const struct cluster *c, struct arena *tmp, const char **name, struct err *e)
{
        const struct asset_filter f = {.owner = p->owner, .cluster_id = &c->id};
        struct asset_page page;
        struct name_evidence *v;
        size_t n, ntaken = 0;
        *name = NULL;
        if (catalog_asset_list(p->o->opts.catalog, &f, SORT_CREATED_DESC, NAME_SAMPLE, NULL, tmp, &page, e))
                return -1;
        const struct tag **lists = arena_array(tmp, page.n + 1, sizeof *lists);
        size_t *counts = arena_array(tmp, page.n + 1, sizeof *counts);
        const char **taken = arena_array(tmp, p->nclusters + 1, sizeof *taken);
        if (!lists || !counts || !taken)
                return err_oom(e);
        for (size_t i = 0; i < page.n; i++) {
                lists[i] = page.assets[i].tags;
                counts[i] = page.assets[i].ntags;
        }
        for (size_t i = 0; i < p->nclusters; i++)
                if (!id_eq(p->clusters[i].id, c->id) && p->w.folders[i].into == i)
                        taken[ntaken++] = p->clusters[i].name;
        if (name_tally(tmp, p->o->opts.embed, lists, counts, page.n, &v, &n))
                return err_oom(e);
        if (name_mark_generic(p->o, p->owner, v, n, page.n, e))
                return -1;
        *name = name_choose(tmp, v, n, page.n, taken, ntaken);
        for (size_t i = 0; i < ntaken && *name; i++)
                if (!strcmp(taken[i], *name))
                        *name = NULL; /* a number at the end would be no better name */
        return 0;
}

static int rename_one(struct pass *p, const struct cluster *seen, struct arena *tmp, struct err *e)
{
        struct catalog *cat = p->o->opts.catalog;
        struct cluster now;
        bool holds = false;
        const char *name;
        if (catalog_cluster_get(cat, seen->id, p->owner, tmp, &now, NULL, e))
                return -1;
        if (now.touched || now.named || now.status != CLUSTER_PROVISIONAL || !now.asset_count)
                return 0;
        if (name_still_holds(p, &now, tmp, &holds, e))
                return -1;
        if (holds)
                return 0;
        if (name_anew(p, &now, tmp, &name, e))
                return -1;
        if (!name || !strcmp(name, now.name))
                return 0;
        const struct cluster_change ch = {.kind = CHANGE_RENAME, .name = name, .version = now.version};
        struct wall updated;
        if (!p->dry && catalog_cluster_change(cat, now.id, p->owner, &ch, "service", NULL, &updated, e))
                return -1;
        return report_change(
                p, (struct organise_change){.action = "rename", .cluster = now.id, .name = name, .similarity = -1}, e);
}

static int rename_clusters(struct pass *p, struct err *e)
{
        for (size_t i = 0; i < p->nclusters && p->go_on(p->o); i++) {
                const struct cluster *c = &p->clusters[i];
                struct err why = {0};
                if (p->w.folders[i].into != i || c->touched || c->named || c->status != CLUSTER_PROVISIONAL)
                        continue;
                struct arena *tmp = arena_new(64u << 20);
                int rc = tmp ? rename_one(p, c, tmp, &why) : err_oom(&why);
                arena_free(tmp);
                if (rc && !put_off(&why)) {
                        *e = why;
                        return -1;
                }
        }
        return 0;
}

/* ---- the pass ------------------------------------------------------------------------------------- */

static int pass_owner(struct pass *p, struct err *e)
{
        int rc = -1;
        p->tmp = arena_new((size_t)1 << 30);
        if (!p->tmp)
                return err_oom(e);
        if (world_load(p, e) || merge_clusters(p, e) || retry_unsorted(p, e) || rename_clusters(p, e))
                goto out;
        rc = 0;
out:
        idmap_free(p->w.rows);
        idmap_free(p->w.taken);
        arena_free(p->tmp);
        return rc;
}

int pass_run(struct organise *o, const char *owner, bool dry_run, organise_go_on_fn *go_on, struct arena *a,
             struct organise_report *out, struct err *e)
{
        struct err own = {0};
        const char **owners = &owner;
        size_t n = 1, cap = 0;
        *out = (struct organise_report){0};
        if (!e)
                e = &own;
        if (!owner && catalog_owners(o->opts.catalog, a, &owners, &n, e))
                return -1;
        for (size_t i = 0; i < n && go_on(o); i++) {
                struct pass p = {.o = o,
                                 .owner = arena_strdup(a, owners[i]),
                                 .dry = dry_run,
                                 .go_on = go_on,
                                 .a = a,
                                 .out = out,
                                 .cap = &cap};
                if (!p.owner)
                        return err_oom(e);
                if (pass_owner(&p, e))
                        return -1;
        }
        return 0;
}

int organise_pass(struct organise *o, const char *owner, bool dry_run, struct arena *a, struct organise_report *out,
                  struct err *e)
{
        return pass_run(o, owner, dry_run, organise_runs, a, out, e);
}
