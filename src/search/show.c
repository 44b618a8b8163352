/* SPDX-License-Identifier: Apache-2.0 */
/* What a hit shows of its asset: which part was found, and of the part's text the words. */
#include "search_priv.h"
#include "catalog/catalog_part.h"

/* Parts read at a time, each with up to PART_TEXT_MAX of text. */
#define BATCH       16
#define BATCH_BYTES ((size_t)BATCH * (PART_TEXT_MAX + 4096) + (1u << 20))

/* A whole that is only near has nothing to show, and most hits are such: no need to read it. */
static bool is_read(const struct ranked *x)
{
        return x->part != 0 && (x->words_in_part || x->part_kind != PART_WHOLE);
}

/* A part that vanished since the lists were made has number 0; then the hit is of the asset, its whole. */
static int show_one(const struct part *p, const char *query, struct arena *a, struct search_hit *hit, struct err *e)
{
        char *snippet = NULL;
        if (!p->n)
                return 0;
        if (p->text && !(snippet = snippet_make(a, p->text, query)))
                return err_oom(e);
        hit->part = p->kind;
        hit->time_us = p->time_us;
        hit->page = p->page;
        hit->snippet = snippet && *snippet ? snippet : NULL;
        return 0;
}

static int show_batch(struct catalog *c, const struct ranked *const *x, size_t n, const char *query, struct arena *a,
                      struct search_hit *hits, struct err *e)
{
        struct arena *tmp = arena_new(BATCH_BYTES);
        int64_t numbers[BATCH];
        struct part *parts;
        size_t nread = 0, at = 0;
        int rc = tmp ? 0 : err_oom(e);
        for (size_t i = 0; i < n; i++)
                if (is_read(x[i]))
                        numbers[nread++] = x[i]->part;
        if (rc == 0 && nread)
                rc = catalog_parts_get(c, numbers, nread, tmp, &parts, e);
        for (size_t i = 0; i < n && nread && rc == 0; i++)
                if (is_read(x[i]))
                        rc = show_one(&parts[at++], query, a, &hits[i], e);
        arena_free(tmp);
        return rc;
}

int parts_show(struct catalog *c, const struct ranked *const *x, size_t n, const char *query, struct arena *a,
               struct search_hit *hits, struct err *e)
{
        for (size_t i = 0; i < n; i += BATCH)
                if (show_batch(c, x + i, n - i < BATCH ? n - i : BATCH, query, a, hits + i, e))
                        return -1;
        return 0;
}
