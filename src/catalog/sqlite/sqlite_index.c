/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping the vectors in memory equal to the catalog. Nothing is computed from
 * a change: after each commit the writer reads the truth of whatever was
 * touched and puts that in. So it does not matter if an event is applied twice,
 * late, or for a change that the loaded snapshot already held.
 */
#include "catalog/sqlite/sqlite_index.h"
#include "log/log.h"

#include <malloc.h>
#include <stdio.h>

#define SAVE_CHANGES 10000 /* vectors since the last cache file that make a new one worth it */

static void must(int rc)
{
        assert(rc == 0);
}

struct index *index_new(void)
{
        struct index *x = mem_calloc(1, sizeof(*x));

        if (!x)
                return NULL;
        must(pthread_rwlock_init(&x->lock, NULL));
        x->saved_epoch = -1;
        return x;
}

void index_free(struct index *x)
{
        if (!x)
                return;
        table_free(x->table);
        table_free(x->incoming);
        mem_free(x->pending);
        pthread_rwlock_destroy(&x->lock);
        mem_free(x);
}

int index_model(struct catalog *c, int64_t *model, uint32_t *dim, struct err *e)
{
        struct index *x = self_of(c)->index;

        must(pthread_rwlock_rdlock(&x->lock));
        *model = x->model;
        *dim = x->dim;
        must(pthread_rwlock_unlock(&x->lock));
        return *dim ? 0 : err_set(e, ERR_UNAVAILABLE, "no model is in use");
}

int index_epoch(struct db *db, int64_t *out, struct err *e)
{
        int rc = db_int(db, e, out, "SELECT value FROM meta WHERE key = 'epoch'", "");

        return rc == 0 ? err_set(e, ERR_INTERNAL, "catalog: the epoch is missing") : rc < 0 ? -1 : 0;
}

bool sqlite_warm(struct catalog *c)
{
        return atomic_load(&self_of(c)->index->warm);
}

/* Back to warming. The table goes; the keeper makes another. */
static void cool(struct sqlite_catalog *c)
{
        struct index *x = c->index;
        struct table *old;

        must(pthread_rwlock_wrlock(&x->lock));
        old = x->table;
        x->table = NULL;
        atomic_store(&x->warm, false);
        must(pthread_rwlock_unlock(&x->lock));
        table_free(old);
        keeper_ask(c, &c->want_load);
}

/* ---- after a commit -------------------------------------------------------------- */

static int apply_asset(struct sqlite_catalog *c, struct table *t, int64_t n, struct err *e)
{
        struct index *x = c->index;
        struct rows *s = db_query(&c->wdb.base, e,
                                  "SELECT a.id, a.owner, a.kind, a.cluster, a.trashed, x.vec FROM asset a "
                                  "JOIN embedding x ON x.asset = a.n AND x.model = ? WHERE a.n = ?",
                                  "ll", t->model, n);
        int rc = s ? db_step(&c->wdb.base, s, e) : -1;
        struct entry in = {.n = n};

        if (rc < 0)
                return -1;
        must(pthread_rwlock_wrlock(&x->lock));
        if (rc == 0) {
                table_drop(t, n);
        } else {
                in.id = col_id(s, 0);
                in.owner = col_str(s, 1);
                in.kind = (enum asset_kind)col_int(s, 2);
                in.folder = col_id(s, 3);
                in.trashed = col_i64(s, 4) != 0;
                if ((size_t)col_bytes(s, 5) == t->dim * sizeof(float))
                        in.vec = col_blob(s, 5);
                rc = in.owner ? table_put(t, &in) : -1;
        }
        must(pthread_rwlock_unlock(&x->lock));
        if (in.owner)
                db_end(s);
        return rc < 0 ? err_oom(e) : 0;
}

static int apply_folder(struct sqlite_catalog *c, struct table *t, struct id id, struct err *e)
{
        struct index *x = c->index;
        struct rows *s = db_query(&c->wdb.base, e,
                                  "SELECT c.owner, c.locked, p.sum FROM cluster c LEFT JOIN cluster_prototype p ON "
                                  "p.cluster = c.id AND p.model = ? WHERE c.id = ?",
                                  "lu", t->model, &id);
        int rc = s ? db_step(&c->wdb.base, s, e) : -1;
        const float *sum = NULL;

        if (rc < 0)
                return -1;
        if (rc > 0 && (size_t)col_bytes(s, 2) == t->dim * sizeof(float))
                sum = col_blob(s, 2);
        must(pthread_rwlock_wrlock(&x->lock));
        if (rc == 0)
                rc = table_folder_put(t, id, NULL, true, NULL);
        else
                rc = table_folder_put(t, id, col_str(s, 0), col_int(s, 1) != 0, sum) < 0 ? -1 : 1;
        must(pthread_rwlock_unlock(&x->lock));
        if (rc != 0)
                db_end(s);
        return rc < 0 ? err_oom(e) : 0;
}

static int apply_one(struct sqlite_catalog *c, struct table *t, const struct event *ev, struct err *e)
{
        int rc;

        switch (ev->kind) {
        case EVENT_VECTOR:
                atomic_fetch_add(&c->index->changes, 1);
                return apply_asset(c, t, ev->asset, e);
        case EVENT_ROW:
                return apply_asset(c, t, ev->asset, e);
        case EVENT_FOLDER:
                return apply_folder(c, t, ev->cluster, e);
        default:
                must(pthread_rwlock_wrlock(&c->index->lock));
                rc = table_relabel(t, ev->cluster, ev->to);
                must(pthread_rwlock_unlock(&c->index->lock));
                return rc < 0 ? err_oom(e) : 0;
        }
}

/* The table's epoch follows last: a cache written half-way through carries the old one and is never used. */
static int apply(struct sqlite_catalog *c, struct table *t, const struct event *events, size_t n, struct err *e)
{
        int64_t epoch;

        for (size_t i = 0; i < n; i++)
                if (apply_one(c, t, &events[i], e) < 0)
                        return -1;
        if (index_epoch(&c->wdb.base, &epoch, e) < 0)
                return -1;
        must(pthread_rwlock_wrlock(&c->index->lock));
        c->index->table_epoch = epoch;
        must(pthread_rwlock_unlock(&c->index->lock));
        return 0;
}

static void keep_for_later(struct index *x, const struct event *events, size_t n)
{
        if (mem_grow((void **)&x->pending, &x->pending_cap, x->npending + n, sizeof(*events)) < 0) {
                x->pending_lost = true;
                return;
        }
        memcpy(x->pending + x->npending, events, n * sizeof(*events));
        x->npending += n;
}

void index_apply(struct sqlite_catalog *c, const struct event *events, size_t n)
{
        struct index *x = c->index;
        struct err e;

        if (!x->table) {
                must(pthread_rwlock_wrlock(&x->lock));
                if (x->collecting)
                        keep_for_later(x, events, n);
                must(pthread_rwlock_unlock(&x->lock));
        } else if (apply(c, x->table, events, n, &e) < 0) {
                cool(c);
        }
}

/* ---- loading ------------------------------------------------------------------------ */

static int load_rows(struct db *db, struct table *t, bool cached, const atomic_bool *stop, struct err *e)
{
        struct rows *s =
                db_query(db, e,
                         "SELECT a.n, a.id, a.owner, a.kind, a.cluster, a.trashed, CASE WHEN ? THEN NULL ELSE x.vec "
                         "END FROM embedding x JOIN asset a ON a.n = x.asset WHERE x.model = ? ORDER BY x.asset",
                         "il", (int)cached, t->model);
        size_t seen = 0;
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                struct entry in = {.n = col_i64(s, 0),
                                   .id = col_id(s, 1),
                                   .owner = col_str(s, 2),
                                   .kind = (enum asset_kind)col_int(s, 3),
                                   .folder = col_id(s, 4),
                                   .trashed = col_i64(s, 5) != 0};
                if (!cached && (size_t)col_bytes(s, 6) == t->dim * sizeof(float))
                        in.vec = col_blob(s, 6);
                seen++;
                if (atomic_load(stop)) {
                        rc = err_set(e, ERR_UNAVAILABLE, "closing");
                } else if (cached && table_row(t, in.n) == NO_ROW) {
                        rc = err_set(e, ERR_CORRUPT, "vector cache: an asset is missing");
                } else if (!in.owner || table_put(t, &in) < 0) {
                        rc = err_oom(e);
                }
                if (rc < 0) {
                        db_end(s);
                        break;
                }
        }
        if (rc == 0 && cached && seen + t->nfree != vec_index_count(t->vec))
                rc = err_set(e, ERR_CORRUPT, "vector cache: it holds assets that are gone");
        return rc;
}

static int load_folders(struct db *db, struct table *t, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT c.id, c.owner, c.locked, p.sum FROM cluster_prototype p JOIN cluster c ON "
                                  "c.id = p.cluster WHERE p.model = ?",
                                  "l", t->model);
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                const float *sum = NULL;
                if ((size_t)col_bytes(s, 3) == t->dim * sizeof(float))
                        sum = col_blob(s, 3);
                if (table_folder_put(t, col_id(s, 0), col_str(s, 1), col_int(s, 2) != 0, sum) < 0) {
                        db_end(s);
                        return err_oom(e);
                }
        }
        return rc;
}

static struct table *load_table(struct sqlite_catalog *c, struct db *db, const char *model_id, int64_t model,
                                uint32_t dim, bool use_cache, int64_t *from_cache, struct err *e)
{
        struct table *t = table_new(dim, model);
        int64_t epoch;
        bool cached;

        *from_cache = -1;
        if (!t) {
                err_oom(e);
                return NULL;
        }
        if (index_epoch(db, &epoch, e) < 0) {
                table_free(t);
                return NULL;
        }
        cached = use_cache && cache_load(c, model_id, epoch, t);
        if (!cached && vec_index_count(t->vec) > 0) { /* it failed half-way: begin anew */
                table_free(t);
                return load_table(c, db, model_id, model, dim, false, from_cache, e);
        }
        if (load_rows(db, t, cached, &c->keeper_stop, e) == 0 && load_folders(db, t, e) == 0) {
                if (cached)
                        *from_cache = epoch;
                return t;
        }
        table_free(t);
        return cached && e->code == ERR_CORRUPT ? load_table(c, db, model_id, model, dim, false, from_cache, e) : NULL;
}

/* On the writer thread, inside a transaction that writes nothing: what is pending is committed and not newer than what
 * is read here. */
static int do_install(struct tx *tx, void *arg, struct err *e)
{
        struct sqlite_catalog *c = self_of(tx->c);
        struct sqlite_tx *all = (struct sqlite_tx *)tx;
        struct index *x = c->index;
        struct table *old;
        bool current;

        (void)arg;
        must(pthread_rwlock_rdlock(&x->lock));
        current = x->incoming_generation == x->generation;
        must(pthread_rwlock_unlock(&x->lock));
        if (!current || x->pending_lost)
                return err_set(e, ERR_UNAVAILABLE, "warming");
        if (all->nevents == 0 && apply(c, x->incoming, x->pending, x->npending, e) < 0)
                return -1;
        if (all->nevents) /* others of this batch are not committed yet: come again */
                return err_set(e, ERR_BUSY, "warming");
        must(pthread_rwlock_wrlock(&x->lock));
        old = x->table;
        x->table = x->incoming;
        x->incoming = NULL;
        x->collecting = false;
        x->npending = 0;
        atomic_store(&x->warm, true);
        must(pthread_rwlock_unlock(&x->lock));
        table_free(old);
        return 0;
}

static int install(struct sqlite_catalog *c, struct table *t, unsigned generation, struct err *e)
{
        struct index *x = c->index;
        int rc;

        x->incoming = t;
        x->incoming_generation = generation;
        do
                rc = write_do(&c->base, LANE_ACK, do_install, NULL, e); /* the lane that comes first in a batch */
        while (rc < 0 && e->code == ERR_BUSY);
        table_free(x->incoming); /* NULL when it was installed */
        x->incoming = NULL;
        return rc;
}

void index_load(struct sqlite_catalog *c)
{
        struct index *x = c->index;
        struct mono began = mono_now();
        char model_id[sizeof(x->model_id)];
        int64_t model, from_cache = -1;
        struct err e = {0};
        unsigned generation;
        struct table *t;
        struct db *db;
        uint32_t dim;

        must(pthread_rwlock_wrlock(&x->lock));
        snprintf(model_id, sizeof(model_id), "%s", x->model_id);
        model = x->model;
        dim = x->dim;
        generation = x->generation;
        x->collecting = true; /* before the snapshot begins: what it misses is in pending */
        x->npending = 0;
        x->pending_lost = false;
        must(pthread_rwlock_unlock(&x->lock));
        if (!dim)
                return;
        db = read_begin(&c->base, &e);
        t = db ? load_table(c, db, model_id, model, dim, true, &from_cache, &e) : NULL;
        if (db) {
                struct conn *conn = conn_of(db);
                sqlite3_db_release_memory(conn->h); /* pages of all assets, which nobody asks for */
                read_end(&c->base, db, began);
                malloc_trim(0);
        }
        if (t && install(c, t, generation, &e) == 0) {
                atomic_store(&x->changes, 0);
                x->saved_epoch = from_cache;
                log_info("catalog", "vectors of %s in memory after %.1f s%s", model_id, dur_seconds(mono_since(began)),
                         from_cache >= 0 ? ", from the cache" : "");
                return;
        }
        if (atomic_load(&c->keeper_stop))
                return;
        log_warning("catalog", "loading vectors of %s: %s; trying again", model_id, e.msg);
        sleep_for(dur_ms(200));
        keeper_ask(c, &c->want_load);
}

/* ---- the model in use ---------------------------------------------------------------------- */

static int do_drop(struct tx *tx, void *arg, struct err *e)
{
        (void)arg;
        (void)e;
        cool(self_of(tx->c));
        return 0;
}

int sqlite_use_model(struct catalog *c, const char *id, int64_t model, uint32_t dim, struct err *e)
{
        struct index *x = self_of(c)->index;

        must(pthread_rwlock_wrlock(&x->lock));
        snprintf(x->model_id, sizeof(x->model_id), "%s", id);
        x->model = model;
        x->dim = dim;
        x->generation++;
        must(pthread_rwlock_unlock(&x->lock));
        /* The table is the writer's to drop; the keeper loads it again. */
        return write_do(c, LANE_RESULT, do_drop, NULL, e);
}

/* ---- the cache file --------------------------------------------------------------------------- */

static bool nobody_waits(struct sqlite_catalog *c)
{
        return atomic_load(&c->writes_waiting) == 0 && !atomic_load(&c->keeper_stop);
}

/*
 * The table is kept still by the read lock, which a waiting write ends the
 * saving for: a cache is not worth a stall. final: the writer is gone already.
 */
void index_save(struct sqlite_catalog *c, bool final)
{
        struct index *x = c->index;
        struct err e = {0};

        if (!final && atomic_load(&x->changes) < SAVE_CHANGES)
                return;
        must(pthread_rwlock_rdlock(&x->lock));
        if (x->table && x->table_epoch != x->saved_epoch) {
                if (cache_save(c, x->model_id, x->table_epoch, x->table, final ? NULL : nobody_waits, &e) == 0) {
                        x->saved_epoch = x->table_epoch;
                        atomic_store(&x->changes, 0);
                } else if (e.code != ERR_BUSY) {
                        log_warning("catalog", "vector cache not written: %s", e.msg);
                }
        }
        must(pthread_rwlock_unlock(&x->lock));
}
