/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists: one question to the catalog each, and its matches in one shape, so that
 * ranking need not know what was asked. A list is read to the same depth
 * whatever page is wanted.
 */
#include "search_priv.h"
#include "catalog/catalog_asset.h"

/* One more than is wanted where one is left out. */
static size_t depth_of(const struct search_list *l)
{
        return SEARCH_DEPTH + (l->leave_out != NULL);
}

int list_begin(struct search_list *l, struct arena *a, struct err *e)
{
        static const size_t sizes[] = {[LIST_VECTORS] = sizeof(struct vector_match),
                                       [LIST_FIELDS] = sizeof(struct text_match),
                                       [LIST_PARTS] = sizeof(struct part_match)};
        l->room = arena_array(a, depth_of(l), sizes[l->kind]);
        l->found = arena_array(a, depth_of(l), sizeof *l->found);
        l->n = 0;
        return l->room && l->found ? 0 : err_oom(e);
}

/* Cut off where the similarity shown would fall below the threshold. */
static int ask_vectors(struct search_list *l, struct catalog *c, const struct asset_filter *f, struct err *e)
{
        struct vector_match *m = l->room;
        size_t n;
        if (catalog_vector_search(c, embed_model_id(l->model), l->vector, f, depth_of(l), m, &n, e))
                return -1;
        for (size_t i = 0; i < n; i++) {
                float similarity = l->similarity(l->model, m[i].cosine);
                if (similarity >= l->threshold && !(l->leave_out && id_eq(*l->leave_out, m[i].asset)))
                        l->found[l->n++] = (struct found){.asset = m[i].asset,
                                                          .part = m[i].part,
                                                          .part_kind = m[i].kind,
                                                          .order = m[i].cosine,
                                                          .similarity = similarity};
        }
        return 0;
}

static int ask_fields(struct search_list *l, struct catalog *c, const struct asset_filter *f, struct err *e)
{
        struct text_match *m = l->room;
        size_t n;
        if (catalog_text_search(c, l->text, f, depth_of(l), m, &n, e))
                return -1;
        for (size_t i = 0; i < n; i++)
                l->found[l->n++] = (struct found){.asset = m[i].asset,
                                                  .order = -m[i].rank,
                                                  .in_filename = m[i].in_filename,
                                                  .in_tags = m[i].in_tags,
                                                  .in_text = m[i].in_text};
        return 0;
}

static int ask_parts(struct search_list *l, struct catalog *c, const struct asset_filter *f, struct err *e)
{
        struct part_match *m = l->room;
        size_t n;
        if (catalog_part_search(c, l->text, f, depth_of(l), m, &n, e))
                return -1;
        for (size_t i = 0; i < n; i++)
                l->found[l->n++] = (struct found){.asset = m[i].asset,
                                                  .part = m[i].part,
                                                  .part_kind = m[i].kind,
                                                  .order = -m[i].rank,
                                                  .in_text = true};
        return 0;
}

int list_ask(struct search_list *l, struct catalog *c, const struct asset_filter *f, struct err *e)
{
        static int (*const ask[])(struct search_list *, struct catalog *, const struct asset_filter *, struct err *) = {
                [LIST_VECTORS] = ask_vectors, [LIST_FIELDS] = ask_fields, [LIST_PARTS] = ask_parts};
        l->n = 0;
        return ask[l->kind](l, c, f, e);
}
