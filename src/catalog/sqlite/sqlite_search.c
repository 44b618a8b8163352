/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nearest neighbours under filters. Filters come first, as a bitmap over the
 * rows; the integer scan finds candidates among what is left, and the stored
 * f32 vectors decide. Few rows left are scored exactly, all of them. The lock
 * is held for the scan only, never while SQL runs.
 */
#include "catalog/sqlite/sqlite_index_priv.h"

#include <stdlib.h>

/* Reading a row costs as much as scanning hundreds: a few of the best are scored exactly, more would show in no order.
 */
#define RESCORED  64
#define SPARE     64       /* so many more than asked for are rescored, for those that int8 put a little too low */
#define EXACT_MAX RESCORED /* rows that are scored without a scan */

/* Assets that pass the part of a filter only SQL can answer. */
struct chosen {
        bool any; /* there is such a part */
        int64_t *n;
        size_t count, cap;
};

static int choose_rows(struct sqlite_catalog *c, const struct asset_filter *f, struct chosen *out, struct err *e)
{
        struct asset_filter live = *f;
        struct mono began = mono_now();
        struct arena *a;
        struct db *db;
        struct rows *s = NULL;
        struct sql q;
        int rc = -1;

        live.trashed = false;
        out->any = true;
        a = arena_new(1 << 20);
        if (!a)
                return err_oom(e);
        if (f->name)
                sqlite_words_settle(&c->base, WORDS_OF_ASSETS);
        db = read_begin(&c->base, e);
        if (!db) {
                arena_free(a);
                return -1;
        }
        sql_init(&q, db, a);
        sql_put(&q, "SELECT a.n FROM asset a");
        if (sql_filter(&q, &live, e) == 0)
                s = sql_run(&q, e);
        while (s && (rc = db_step(db, s, e)) > 0) {
                if (mem_grow((void **)&out->n, &out->cap, out->count + 1, sizeof *out->n)) {
                        rc = err_oom(e);
                        break;
                }
                out->n[out->count++] = col_i64(s, 0);
        }
        rows_free(s);
        sql_done(&q);
        read_end(&c->base, db, began);
        arena_free(a);
        return rc;
}

static bool passes_filter(const struct row_key *k, const struct asset_filter *f, uint32_t owner, uint32_t folder)
{
        if (!k->live || (f->parts && !(f->parts & 1U << k->part)) || (f->owner && k->owner != owner) ||
            (f->kinds && !(f->kinds & 1U << k->kind)))
                return false;
        if (!f->cluster_id)
                return true;
        return k->folder == folder && (folder != 0 || k->kind == KIND_MEDIA);
}

/* How many rows are left; their bits are set. */
static size_t mark_rows(struct table *t, const struct asset_filter *f, const struct chosen *ch, vec_bits *bits)
{
        uint32_t owner = f->owner ? table_owner(t, f->owner, false) : 0;
        uint32_t folder = f->cluster_id ? table_folder(t, *f->cluster_id, false) : 0;
        size_t left = 0;

        if (owner == NO_ROW || folder == NO_ROW)
                return 0;
        if (ch->any) {
                for (size_t i = 0; i < ch->count; i++) {
                        uint32_t row = table_first(t, ch->n[i]);
                        for (; row != NO_ROW; row = t->names[row].next) {
                                if (!passes_filter(&t->keys[row], f, owner, folder))
                                        continue;
                                bits[row / 64] |= (vec_bits)1 << row % 64;
                                left++;
                        }
                }
                return left;
        }
        for (size_t row = 0; row < t->rows; row++) {
                if (!passes_filter(&t->keys[row], f, owner, folder))
                        continue;
                bits[row / 64] |= (vec_bits)1 << row % 64;
                left++;
        }
        return left;
}

static struct vector_match match_of(const struct table *t, uint32_t row, float cosine)
{
        const struct row_name *name = &t->names[row];

        return (struct vector_match){
                .asset = name->id, .part = name->part, .kind = (enum part_kind)t->keys[row].part, .cosine = cosine};
}

static void take_all(const struct table *t, const vec_bits *bits, struct vector_match *out, size_t *n)
{
        for (size_t w = 0; w < vec_bits_words(t->rows); w++)
                for (vec_bits left = bits[w]; left; left &= left - 1)
                        out[(*n)++] = match_of(t, (uint32_t)(w * 64) + (uint32_t)__builtin_ctzll(left), 0);
}

struct found {
        struct vector_match *matches; /* of parts */
        size_t n, exact;              /* the first of them are to be scored exactly, for the others int8 must do */
        bool all;                     /* nothing else passes the filter */
};

/* Under the read lock. */
static int gather_candidates(struct table *t, struct helper *h, const float *q, const struct asset_filter *f,
                             const struct chosen *ch, size_t k, struct found *out, struct err *e)
{
        size_t want = k + SPARE, left;
        vec_bits *bits = mem_calloc(vec_bits_words(t->rows) + 1, sizeof *bits);
        struct vec_hit *hits = NULL;
        int rc = 0;

        if (!bits)
                return err_oom(e);
        left = mark_rows(t, f, ch, bits);
        if (want < EXACT_MAX)
                want = want < left ? want : left;
        out->matches = mem_alloc(((left <= EXACT_MAX ? left : want) + 1) * sizeof *out->matches);
        if (!out->matches) {
                rc = err_oom(e);
        } else if (left <= EXACT_MAX) {
                take_all(t, bits, out->matches, &out->n);
        } else if (!(hits = mem_alloc(want * sizeof *hits))) {
                rc = err_oom(e);
        } else {
                size_t found = vec_index_search(t->vec, q, bits, want, hits, h);
                for (size_t i = 0; i < found; i++)
                        out->matches[out->n++] = match_of(t, hits[i].row, hits[i].score);
        }
        out->exact = left <= EXACT_MAX || out->n < RESCORED ? out->n : RESCORED;
        out->all = out->n >= left;
        mem_free(hits);
        mem_free(bits);
        return rc;
}

/* The first exact ones get their f32 cosine; what vanished from the catalog since is left out. */
static int rescore_exact(struct sqlite_catalog *c, int64_t model, uint32_t dim, const float *q, struct found *f,
                         struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(&c->base, e);
        struct vector_match *m = f->matches;
        size_t kept = 0;
        int rc = 0;

        if (!db)
                return -1;
        for (size_t i = 0; i < f->exact && rc >= 0; i++) {
                struct rows *s = db_query(db, e, "SELECT vec FROM embedding WHERE part = ? AND model = ?", "ll",
                                          m[i].part, model);
                rc = s ? db_step(db, s, e) : -1;
                if (rc <= 0)
                        continue;
                if ((size_t)col_bytes(s, 0) == dim * sizeof(float)) {
                        m[i].cosine = vec_dot(q, col_blob(s, 0), dim);
                        m[kept++] = m[i];
                }
                db_end(s);
        }
        read_end(&c->base, db, began);
        for (size_t i = f->exact; i < f->n; i++)
                m[kept++] = m[i];
        f->n = kept;
        return rc < 0 ? -1 : 0;
}

static int still_warming(struct err *e)
{
        return err_set(e, ERR_UNAVAILABLE, "warming: vectors are being loaded");
}

static int search_index(struct sqlite_catalog *c, struct index *x, const float *q, const struct asset_filter *f,
                        const struct chosen *ch, size_t k, struct found *out, struct err *e)
{
        int rc;

        *out = (struct found){.n = 0};
        assert(pthread_rwlock_rdlock(&x->lock) == 0);
        rc = x->table ? gather_candidates(x->table, c->helper, q, f, ch, k, out, e) : still_warming(e);
        assert(pthread_rwlock_unlock(&x->lock) == 0);
        if (rc < 0 || out->n == 0)
                return rc;
        if (rescore_exact(c, x->model, x->dim, q, out, e))
                return -1;
        qsort(out->matches, out->n, sizeof *out->matches, match_cmp);
        return 0;
}

/* Where many parts of one asset are near, more are looked at until there are k assets. */
static int search_assets(struct sqlite_catalog *c, struct index *x, const float *q, const struct asset_filter *f,
                         const struct chosen *ch, size_t k, struct vector_match *out, size_t *n, struct err *e)
{
        struct found found;
        bool more = true;
        int rc = 0;

        for (size_t parts = k; rc == 0 && more; parts *= 4) {
                rc = search_index(c, x, q, f, ch, parts, &found, e);
                if (rc == 0)
                        rc = match_group(found.matches, found.n, out, k, n, e);
                more = *n < k && !found.all && parts < GROUPED_MAX;
                mem_free(found.matches);
        }
        return rc;
}

int sqlite_vector_search(struct catalog *c, const char *model_id, const float *q, const struct asset_filter *f,
                         size_t k, struct vector_match *out, size_t *n, struct err *e)
{
        struct index *x = index_of(self_of(c), model_id);
        struct chosen ch = {0};
        int rc = 0;

        if (!x || !atomic_load(&x->warm))
                return still_warming(e);
        if (filter_needs_asset(f))
                rc = choose_rows(self_of(c), f, &ch, e);
        if (rc == 0)
                rc = search_assets(self_of(c), x, q, f, &ch, k, out, n, e);
        mem_free(ch.n);
        return rc;
}

int sqlite_vector_put(struct tx *tx, const struct row *r, enum part_kind kind, int64_t part, int64_t model,
                      const float *v, uint32_t dim, struct err *e)
{
        (void)kind;
        (void)r;
        return db_run(tx->db, e,
                      "INSERT INTO embedding (part, model, vec) VALUES (?, ?, ?) "
                      "ON CONFLICT (part, model) DO UPDATE SET vec = excluded.vec",
                      "llb", part, model, v, (size_t)dim * sizeof *v);
}

/* ---- prototypes --------------------------------------------------------------------------- */

int sqlite_prototype_put(struct tx *tx, int64_t n, const struct id *cluster, int64_t model, int64_t count,
                         const float *sum, size_t dim, struct err *e)
{
        if (n)
                return db_run(tx->db, e, "UPDATE cluster_prototype SET count = ?, sum = ? WHERE n = ?", "lbl", count,
                              sum, dim * sizeof *sum, n);
        return db_run(tx->db, e, "INSERT INTO cluster_prototype (cluster, model, count, sum) VALUES (?, ?, ?, ?)",
                      "ullb", cluster, model, count, sum, dim * sizeof *sum);
}

struct proto_hit {
        struct id id;
        float cosine;
};

/* Insertion into the best k so far; k is small. */
static void keep_best(struct proto_hit *best, size_t *n, size_t k, struct proto_hit h)
{
        size_t i = *n;

        if (*n == k) {
                if (best[k - 1].cosine >= h.cosine)
                        return;
                i = k - 1;
        } else {
                ++*n;
        }
        for (; i > 0 && best[i - 1].cosine < h.cosine; i--)
                best[i] = best[i - 1];
        best[i] = h;
}

static int nearest_prototypes(struct index *x, const char *owner, const float *q, size_t k, struct proto_hit *best,
                              size_t *n, struct err *e)
{
        struct table *t;
        uint32_t number;
        int rc = 0;

        assert(pthread_rwlock_rdlock(&x->lock) == 0);
        t = x->table;
        number = t ? table_owner(t, owner, false) : NO_ROW;
        if (!t)
                rc = still_warming(e);
        for (size_t i = 1; number != NO_ROW && i < t->nfolders; i++) {
                const struct folder_slot *s = &t->folders[i];
                if (s->open && s->owner == number)
                        keep_best(best, n, k, (struct proto_hit){.id = s->id, .cosine = vec_dot(q, s->unit, t->dim)});
        }
        assert(pthread_rwlock_unlock(&x->lock) == 0);
        return rc;
}

static int name_them(struct sqlite_catalog *c, const char *owner, const struct proto_hit *best, size_t n,
                     struct arena *a, struct prototype_match *out, size_t *found, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(&c->base, e);
        bool ok = true;
        int rc = 0;

        if (!db)
                return -1;
        for (size_t i = 0; i < n && rc >= 0; i++) {
                struct rows *s = db_query(
                        db, e, "SELECT name, threshold, count FROM cluster WHERE id = ? AND owner = ? AND locked = 0",
                        "ut", &best[i].id, owner);
                rc = s ? db_step(db, s, e) : -1;
                if (rc <= 0)
                        continue;
                out[(*found)++] = (struct prototype_match){.cluster = best[i].id,
                                                           .name = col_text(a, s, 0, &ok),
                                                           .cosine = best[i].cosine,
                                                           .threshold = (float)col_f64(s, 1),
                                                           .count = col_u64(s, 2)};
                db_end(s);
        }
        read_end(&c->base, db, began);
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}

int sqlite_prototype_search(struct catalog *c, const char *model_id, const char *owner, const float *q, size_t k,
                            struct arena *a, struct prototype_match *out, size_t *n, struct err *e)
{
        struct index *x = index_of(self_of(c), model_id);
        struct proto_hit *best;
        size_t found = 0;

        if (!x)
                return still_warming(e);
        best = arena_array(a, k, sizeof *best);
        if (!best)
                return err_oom(e);
        if (nearest_prototypes(x, owner, q, k, best, &found, e))
                return -1;
        return name_them(self_of(c), owner, best, found, a, out, n, e);
}
