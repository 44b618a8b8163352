/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Words of parts. A part's text is indexed after its commit, as the words of
 * new assets are, since a document comes with hundreds of them. Numbers of new
 * parts ascend but for the last one, which may be given again when it was
 * deleted: a part at or below the mark is indexed at once. What is indexed
 * stands in part_fts_docsize, where a start finds the mark again.
 */
#include "catalog/sqlite/sqlite_priv.h"

#include <stdlib.h>

#define SLICE       64 /* parts a write, and bytes: some 10 ms */
#define SLICE_BYTES (128 * 1024)
#define LOOKED_MAX  (4 * PARTS_SCORED_MAX)

int parts_open(struct sqlite_catalog *c, struct db *db, struct err *e)
{
        int64_t done = 0, newest = 0;

        if (db_int(db, e, &done, "SELECT coalesce(max(id), 0) FROM part_fts_docsize", "") < 0 ||
            db_int(db, e, &newest, "SELECT coalesce(max(n), 0) FROM part WHERE text IS NOT NULL", "") < 0)
                return -1;
        atomic_store(&c->parts_done, done);
        atomic_store(&c->parts_newest, newest > done ? newest : done);
        return 0;
}

static int words_enter(struct db *db, int64_t n, const char *text, struct err *e)
{
        return db_run(db, e, "INSERT INTO part_fts (rowid, text) VALUES (?, ?)", "lt", n, text);
}

int sqlite_part_add(struct tx *tx, int64_t asset, const struct new_part *p, int64_t *n, struct err *e)
{
        struct sqlite_work *w = sqlite_work_of(tx);

        if (db_int(tx->db, e, n,
                   "INSERT INTO part (asset, kind, position, time_us, page, text_offset, text) VALUES (?, ?, ?, "
                   "nullif(?, 0), nullif(?, 0), nullif(?, 0), ?) RETURNING n",
                   "liilllt", asset, (int)p->kind, (int)p->position, p->time_us, (int64_t)p->page, (int64_t)p->offset,
                   p->text) < 0)
                return -1;
        if (!p->text)
                return 0;
        if (*n <= w->parts_done)
                return words_enter(tx->db, *n, p->text, e);
        if (*n > w->parts_newest)
                w->parts_newest = *n;
        return 0;
}

/* The next part with a text behind the mark: 1, 0 there is none, -1. */
static int next_part(struct db *db, int64_t after, int64_t *n, size_t *bytes, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT n, text FROM part INDEXED BY part_text WHERE text IS NOT NULL AND n > ? "
                                  "ORDER BY n LIMIT 1",
                                  "l", after);
        int rc = s ? db_step(db, s, e) : -1;

        if (rc <= 0)
                return rc;
        *n = col_i64(s, 0);
        *bytes += (size_t)col_bytes(s, 1);
        rc = words_enter(db, *n, col_str(s, 1), e);
        db_end(s);
        return rc < 0 ? -1 : 1;
}

int parts_catch_up(struct tx *tx, struct err *e)
{
        struct sqlite_work *w = sqlite_work_of(tx);
        size_t bytes = 0;
        int rc = 1;

        for (unsigned i = 0; i < SLICE && bytes < SLICE_BYTES && rc > 0; i++)
                rc = next_part(tx->db, w->parts_done, &w->parts_done, &bytes, e);
        if (rc == 0) /* the last of them are gone already */
                w->parts_done = w->parts_newest;
        return rc < 0 ? -1 : 0;
}

int sqlite_parts_settle(struct tx *tx, struct err *e)
{
        struct sqlite_work *w = sqlite_work_of(tx);

        while (w->parts_done < w->parts_newest)
                if (parts_catch_up(tx, e))
                        return -1;
        return 0;
}

int sqlite_parts_again(struct tx *tx, struct err *e)
{
        struct sqlite_work *w = sqlite_work_of(tx);

        w->parts_done = w->parts_newest;
        return db_run(tx->db, e, "INSERT INTO part_fts (part_fts) VALUES ('rebuild')", "");
}

/* A part is committed before it can be found, and then the mark is past it. */
bool sqlite_parts_have_text(struct catalog *c)
{
        return atomic_load(&self_of(c)->parts_newest) > 0;
}

/* ---- searching ------------------------------------------------------------------------ */

struct best { /* the best part of each asset, in an array of the arena */
        struct part_match *m;
        size_t n, cap;
        struct idmap *of; /* asset: where in m */
};

static int best_take(struct best *b, struct arena *a, const struct part_match *x, struct err *e)
{
        uint32_t at;

        if (idmap_get(b->of, x->asset, &at)) {
                if (x->rank < b->m[at].rank || (x->rank == b->m[at].rank && x->part < b->m[at].part))
                        b->m[at] = *x;
                return 0;
        }
        if (arena_grow(a, &b->m, &b->cap, b->n + 1, sizeof *b->m, e))
                return -1;
        if (idmap_put(b->of, x->asset, (uint32_t)b->n))
                return err_oom(e);
        b->m[b->n++] = *x;
        return 0;
}

static int by_rank(const void *a, const void *b)
{
        const struct part_match *x = a, *y = b;

        if (x->rank < y->rank || x->rank > y->rank)
                return x->rank < y->rank ? -1 : 1;
        return id_cmp(x->asset, y->asset);
}

/* Rows come with the newest part first, so where there are too many the newest are compared. */
static int read_best(struct db *db, struct rows *s, struct best *b, struct arena *a, struct err *e)
{
        int rc = -1;

        for (unsigned looked = 0; s && looked < LOOKED_MAX && b->n < PARTS_SCORED_MAX; looked++) {
                rc = db_step(db, s, e);
                if (rc <= 0)
                        return rc;
                struct part_match x = {.asset = col_id(s, 0),
                                       .part = col_i64(s, 1),
                                       .kind = (enum part_kind)col_int(s, 2),
                                       .rank = (float)col_f64(s, 3)};
                if (best_take(b, a, &x, e))
                        return -1;
        }
        return s ? 0 : -1;
}

int sqlite_part_search(struct db *db, const char *text, const struct asset_filter *f, size_t k, struct arena *a,
                       struct part_match *out, size_t *n, struct err *e)
{
        char *expr = text_fts_query(a, text, " AND ", NULL);
        struct best best = {.of = NULL};
        struct rows *s = NULL;
        struct sql q;
        int rc = -1;

        if (!expr)
                return err_oom(e);
        if (!*expr)
                return 0;
        best.of = idmap_new();
        if (!best.of)
                return err_oom(e);
        sql_init(&q, db, a);
        sql_put(&q, "SELECT a.id, p.n, p.kind, part_rank(part_fts, 1.0) FROM part_fts CROSS JOIN part p ON p.n = "
                    "part_fts.rowid CROSS JOIN asset a ON a.n = p.asset");
        if (sql_filter(&q, f, e) == 0) {
                if (f->parts)
                        sql_set(&q, "p.kind", f->parts);
                sql_text(&q, " AND part_fts MATCH ? ORDER BY part_fts.rowid DESC", expr);
                s = sql_run(&q, e);
                rc = read_best(db, s, &best, a, e);
        }
        rows_free(s);
        sql_done(&q);
        idmap_free(best.of);
        if (rc == 0 && best.n)
                qsort(best.m, best.n, sizeof *best.m, by_rank);
        for (size_t i = 0; rc == 0 && i < best.n && i < k; i++)
                out[(*n)++] = best.m[i];
        return rc;
}
