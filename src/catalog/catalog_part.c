/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of assets and their vectors. The hard thing is what stays: a list that
 * says again what is there must leave numbers and other models' vectors alone,
 * and a whole's old vector leaves the folder's prototype before the new one is
 * stored, so the sum never holds both.
 */
#include "catalog/catalog_engine_priv.h"
#include "catalog/catalog_place_rules.h"

#include <stdlib.h>

/* ---- what a list may say ------------------------------------------------------------ */

static bool vector_valid(const struct part_vector *v)
{
        if (!v->model_id || !*v->model_id || strlen(v->model_id) >= MODEL_ID_MAX || v->dim == 0 ||
            v->dim > VECTOR_MAX_DIM)
                return false;
        for (uint32_t i = 0; i < v->dim; i++)
                if (!__builtin_isfinite(v->v[i]))
                        return false;
        return true;
}

static int part_check(const struct new_part *p, struct err *e)
{
        if ((unsigned)p->kind >= PART_KIND_COUNT || p->position > INT32_MAX || p->page > INT32_MAX)
                return err_set(e, ERR_INVALID, "a part of kind %d at %u cannot be", (int)p->kind, p->position);
        if (p->kind == PART_WHOLE && p->position != 0)
                return err_set(e, ERR_INVALID, "an asset has one whole");
        if (p->text && (strlen(p->text) > PART_TEXT_MAX || !utf8_valid(span_of(p->text))))
                return err_set(e, ERR_INVALID, "a part's text is not up to %d bytes of UTF-8", PART_TEXT_MAX);
        for (size_t i = 0; i < p->nvectors; i++)
                if (!vector_valid(&p->vectors[i]))
                        return err_set(e, ERR_INVALID, "the vector is not 1 to %d finite numbers", VECTOR_MAX_DIM);
        return 0;
}

int part_list_check(const struct part_list *l, struct err *e)
{
        if (l->n > PARTS_MAX)
                return err_set(e, ERR_INVALID, "%zu parts, at most %d are allowed", l->n, PARTS_MAX);
        for (size_t i = 0; i < l->n; i++)
                if (part_check(&l->parts[i], e))
                        return -1;
        return 0;
}

/* ---- what is replaced ---------------------------------------------------------------- */

static int by_place(const void *a, const void *b)
{
        const struct new_part *x = *(const struct new_part *const *)a, *y = *(const struct new_part *const *)b;

        if (x->kind != y->kind)
                return x->kind < y->kind ? -1 : 1;
        return x->position < y->position ? -1 : x->position > y->position;
}

static bool as_it_was(const struct new_part *p, const struct rows *s)
{
        const char *text = col_str(s, 6);

        return col_i64(s, 3) == p->time_us && col_u64(s, 4) == p->page && col_u64(s, 5) == p->offset &&
               (text != NULL) == (p->text != NULL) && (!text || strcmp(text, p->text) == 0);
}

/* Numbers of the asset's parts that the list speaks for and does not hold as they are, in an array of the arena. */
static int stale_parts(struct tx *tx, int64_t asset, const struct part_list *l, struct arena *a, int64_t **out,
                       size_t *n, struct err *e)
{
        const struct new_part **sorted = arena_array(a, l->n + 1, sizeof *sorted);
        struct rows *s;
        size_t cap = 0;
        int rc = -1;

        if (!sorted)
                return err_oom(e);
        for (size_t i = 0; i < l->n; i++)
                sorted[i] = &l->parts[i];
        qsort(sorted, l->n, sizeof *sorted, by_place);
        s = db_query(tx->db, e,
                     "SELECT n, kind, position, coalesce(time_us, 0), coalesce(page, 0), coalesce(text_offset, 0), "
                     "text FROM part WHERE asset = ? AND kind > 0",
                     "l", asset);
        while (s && (rc = db_step(tx->db, s, e)) > 0) {
                struct new_part at = {.kind = (enum part_kind)col_int(s, 1), .position = (uint32_t)col_i64(s, 2)};
                const struct new_part *key = &at, **same;
                if (!(l->replaces & 1u << at.kind))
                        continue;
                same = bsearch(&key, sorted, l->n, sizeof *sorted, by_place);
                if (same && as_it_was(*same, s))
                        continue;
                if (arena_grow(a, out, &cap, *n + 1, sizeof **out, e)) {
                        db_end(s);
                        return -1;
                }
                (*out)[(*n)++] = col_i64(s, 0);
        }
        return rc;
}

/* SQLite's index has no text of its own: it is told what it had. PostgreSQL's words are a column of the row. */
static int words_leave_part(struct tx *tx, int64_t n, struct err *e)
{
        return db_run(tx->db, e,
                      SQL(tx->db,
                          "INSERT INTO part_fts (part_fts, rowid, text) SELECT 'delete', p.n, p.text FROM part p WHERE "
                          "p.n = ? AND p.text IS NOT NULL AND EXISTS (SELECT 1 FROM part_fts_docsize d WHERE d.id = "
                          "p.n)",
                          NULL),
                      "l", n);
}

int part_drop(struct tx *tx, int64_t n, struct err *e)
{
        return words_leave_part(tx, n, e) || db_run(tx->db, e, "DELETE FROM part WHERE n = ?", "l", n) ? -1 : 0;
}

int parts_words_leave(struct tx *tx, int64_t asset, struct err *e)
{
        int64_t n = 0;
        int rc = 1;

        while (tx->db->dialect == DIALECT_SQLITE && rc > 0) {
                rc = db_int(tx->db, e, &n,
                            "SELECT n FROM part WHERE asset = ? AND text IS NOT NULL AND n > ? ORDER BY n LIMIT 1",
                            "ll", asset, n);
                if (rc > 0 && words_leave_part(tx, n, e))
                        rc = -1;
        }
        return rc < 0 ? -1 : 0;
}

static int drop_stale(struct tx *tx, int64_t asset, const struct part_list *l, struct arena *a, struct err *e)
{
        int64_t *stale = NULL;
        size_t n = 0;

        if (stale_parts(tx, asset, l, a, &stale, &n, e))
                return -1;
        for (size_t i = 0; i < n; i++)
                if (part_drop(tx, stale[i], e))
                        return -1;
        return 0;
}

/* ---- vectors --------------------------------------------------------------------------- */

/* A whole's old vector, if there is one, off the prototype of the folder the asset is in. */
static int vector_leave(struct tx *tx, const struct row *r, int64_t part, int64_t model, struct err *e)
{
        float v[VECTOR_MAX_DIM];
        struct rows *s = db_query(tx->db, e,
                                  SQL(tx->db, "SELECT vec FROM embedding WHERE part = ? AND model = ?",
                                      "SELECT unit FROM embedding WHERE part = ? AND model = ?"),
                                  "ll", part, model);
        int rc = s ? db_step(tx->db, s, e) : -1;
        size_t dim;

        if (rc <= 0)
                return rc;
        dim = col_vector(s, 0, v);
        db_end(s);
        return prototype_add(tx, r->cluster, model, v, dim, -1, 1, e);
}

static int vector_put(struct tx *tx, const struct row *r, enum part_kind kind, int64_t part,
                      const struct part_vector *v, struct err *e)
{
        bool summed = kind == PART_WHOLE && !r->trashed && !id_is_nil(r->cluster);
        int64_t model;

        if (model_number(tx, v->model_id, v->dim, &model, e) || (summed && vector_leave(tx, r, part, model, e)) ||
            vector_write(tx, r, kind, part, model, v->v, v->dim, e))
                return -1;
        return summed ? prototype_add(tx, r->cluster, model, v->v, v->dim, 1, 1, e) : 0;
}

/* ---- putting ----------------------------------------------------------------------------- */

int part_whole(struct tx *tx, int64_t asset, int64_t *n, struct err *e)
{
        static const struct new_part whole = {.kind = PART_WHOLE};
        int rc = db_int(tx->db, e, n, "SELECT n FROM part WHERE asset = ? AND kind = 0 AND position = 0", "l", asset);

        return rc < 0 ? -1 : rc > 0 ? 0 : catalog_of(tx)->search->part_add(tx, asset, &whole, n, e);
}

static int part_put(struct tx *tx, const struct row *r, const struct new_part *p, struct err *e)
{
        int64_t n = 0;
        int rc = db_int(tx->db, e, &n, "SELECT n FROM part WHERE asset = ? AND kind = ? AND position = ?", "lii", r->n,
                        (int)p->kind, (int)p->position);

        if (rc < 0 || (rc == 0 && catalog_of(tx)->search->part_add(tx, r->n, p, &n, e)))
                return -1;
        for (size_t i = 0; i < p->nvectors; i++)
                if (vector_put(tx, r, p->kind, n, &p->vectors[i], e))
                        return -1;
        return 0;
}

static bool has_vectors(const struct part_list *l)
{
        for (size_t i = 0; i < l->n; i++)
                if (l->parts[i].nvectors)
                        return true;
        return false;
}

int parts_put(struct tx *tx, const struct row *r, const struct part_list *l, struct err *e)
{
        int64_t whole;
        int rc = 0;

        if (l->replaces) {
                struct arena *a = arena_new(512u << 20);
                rc = a ? drop_stale(tx, r->n, l, a, e) : err_oom(e);
                arena_free(a);
        }
        if (rc || (l->n && part_whole(tx, r->n, &whole, e)))
                return -1;
        for (size_t i = 0; i < l->n; i++)
                if (part_put(tx, r, &l->parts[i], e))
                        return -1;
        if (!l->replaces && !has_vectors(l))
                return 0;
        return tx_event(tx, (struct event){.kind = EVENT_VECTOR, .asset = r->n}, e);
}

struct parts_args {
        struct id asset;
        const char *owner;
        const struct part_list *list;
};

static int do_parts_put(struct tx *tx, void *arg, struct err *e)
{
        const struct parts_args *g = arg;
        struct row r;

        if (lock_owner_of_asset(tx, g->asset, e) || row_find(tx, g->asset, g->owner, &r, e))
                return -1;
        return parts_put(tx, &r, g->list, e);
}

int catalog_parts_put(struct catalog *c, struct id asset, const char *owner, const struct part_list *list,
                      struct err *e)
{
        struct parts_args g = {.asset = asset, .owner = owner, .list = list};

        if (part_list_check(list, e))
                return -1;
        return write_do(c, LANE_RESULT, do_parts_put, &g, e);
}

int parts_again(struct tx *tx, struct err *e)
{
        return catalog_of(tx)->search->parts_again(tx, e);
}

/* ---- reading ------------------------------------------------------------------------------ */

static int read_part(struct db *db, int64_t n, struct arena *a, struct part *out, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT kind, position, coalesce(page, 0), coalesce(time_us, 0), "
                                  "coalesce(text_offset, 0), text FROM part WHERE n = ?",
                                  "l", n);
        int rc = s ? db_step(db, s, e) : -1;
        bool ok = true;

        *out = (struct part){0};
        if (rc <= 0)
                return rc;
        *out = (struct part){.n = n,
                             .kind = (enum part_kind)col_int(s, 0),
                             .position = (uint32_t)col_i64(s, 1),
                             .page = (uint32_t)col_i64(s, 2),
                             .time_us = col_i64(s, 3),
                             .offset = col_u64(s, 4),
                             .text = col_text(a, s, 5, &ok)};
        db_end(s);
        return ok ? 0 : err_oom(e);
}

int catalog_parts_get(struct catalog *c, const int64_t *numbers, size_t n, struct arena *a, struct part **out,
                      struct err *e)
{
        struct mono began = mono_now();
        struct db *db;
        int rc = 0;

        *out = arena_array(a, n + 1, sizeof **out);
        if (!*out)
                return err_oom(e);
        db = read_begin(c, e);
        if (!db)
                return -1;
        for (size_t i = 0; i < n && rc == 0; i++)
                rc = read_part(db, numbers[i], a, &(*out)[i], e);
        read_end(c, db, began);
        return rc;
}
