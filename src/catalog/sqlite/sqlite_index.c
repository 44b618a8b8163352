/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeping the vectors in memory equal to the catalog. Nothing is computed from
 * a change: after each commit the writer reads the truth of whatever was
 * touched and puts that in. So it does not matter if an event is applied twice,
 * late, or for a change that the loaded snapshot already held.
 */
#include "catalog/sqlite/sqlite_index_priv.h"
#include "log/log.h"

#include <malloc.h>
#include <stdio.h>

#define SAVE_CHANGES 10000 /* vectors since the last cache file that make a new one worth it */

static void must_succeed(int rc)
{
        assert(rc == 0);
}

static struct index *index_new(const char *id, int64_t model, uint32_t dim)
{
        struct index *x = mem_calloc(1, sizeof *x);

        if (!x)
                return NULL;
        must_succeed(pthread_rwlock_init(&x->lock, NULL));
        snprintf(x->model_id, sizeof x->model_id, "%s", id);
        x->model = model;
        x->dim = dim;
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

struct index *index_of(struct sqlite_catalog *c, const char *model_id)
{
        for (size_t i = 0; i < atomic_load(&c->nindexes); i++)
                if (strcmp(c->indexes[i]->model_id, model_id) == 0)
                        return c->indexes[i];
        return NULL;
}

int index_model(struct catalog *c, const char *id, int64_t *model, uint32_t *dim, struct err *e)
{
        struct index *x = index_of(self_of(c), id);

        if (!x)
                return err_set(e, ERR_UNAVAILABLE, "warming: model %.100s is not in use", id);
        *model = x->model;
        *dim = x->dim;
        return 0;
}

static int index_epoch(struct db *db, int64_t *out, struct err *e)
{
        int rc = db_int(db, e, out, "SELECT value FROM meta WHERE key = 'epoch'", "");

        return rc == 0 ? err_set(e, ERR_INTERNAL, "catalog: the epoch is missing") : rc < 0 ? -1 : 0;
}

bool sqlite_warm(struct catalog *base)
{
        struct sqlite_catalog *c = self_of(base);
        size_t n = atomic_load(&c->nindexes);

        for (size_t i = 0; i < n; i++)
                if (!atomic_load(&c->indexes[i]->warm))
                        return false;
        return n > 0;
}

/* Back to warming. The table goes; the loader makes another. */
static void cool_index(struct sqlite_catalog *c, struct index *x)
{
        struct table *old;

        must_succeed(pthread_rwlock_wrlock(&x->lock));
        old = x->table;
        x->table = NULL;
        atomic_store(&x->warm, false);
        must_succeed(pthread_rwlock_unlock(&x->lock));
        table_free(old);
        loader_ask(c, &c->want_load);
}

/* ---- after a commit -------------------------------------------------------------- */

/* Columns: a.id, a.owner, a.kind, a.cluster, a.trashed. */
static struct entry asset_columns(const struct rows *s, int64_t asset)
{
        return (struct entry){.asset = asset,
                              .id = col_id(s, 0),
                              .owner = col_str(s, 1),
                              .kind = (enum asset_kind)col_int(s, 2),
                              .folder = col_id(s, 3),
                              .trashed = col_i64(s, 4) != 0};
}

/* Where the asset is and whether it is in the trash; its vectors are as they were. */
static int apply_row(struct db *db, struct index *x, struct table *t, int64_t asset, struct err *e)
{
        struct rows *s = db_query(db, e, "SELECT id, owner, kind, cluster, trashed FROM asset WHERE n = ?", "l", asset);
        int rc = s ? db_step(db, s, e) : -1;
        struct entry in;

        if (rc < 0)
                return -1;
        must_succeed(pthread_rwlock_wrlock(&x->lock));
        if (rc == 0)
                table_keep(t, asset, NULL, 0);
        else
                in = asset_columns(s, asset);
        for (uint32_t row = table_first(t, asset); rc > 0 && row != NO_ROW; row = t->names[row].next)
                if (!in.owner || table_set_key(t, row, &in))
                        rc = -1;
        must_succeed(pthread_rwlock_unlock(&x->lock));
        if (rc != 0)
                db_end(s);
        return rc < 0 ? err_oom(e) : 0;
}

/* Columns: as asset_columns, then p.n, p.kind, x.vec. */
static int apply_part(struct index *x, struct table *t, int64_t asset, const struct rows *s)
{
        struct entry in = asset_columns(s, asset);
        int rc;

        in.part = col_i64(s, 5);
        in.part_kind = (enum part_kind)col_int(s, 6);
        if ((size_t)col_bytes(s, 7) == t->dim * sizeof(float))
                in.vec = col_blob(s, 7);
        must_succeed(pthread_rwlock_wrlock(&x->lock));
        rc = in.owner ? table_put(t, &in) : -1;
        must_succeed(pthread_rwlock_unlock(&x->lock));
        return rc;
}

/* All parts of the asset, as they are now. */
static int apply_parts(struct db *db, struct index *x, struct table *t, int64_t asset, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT a.id, a.owner, a.kind, a.cluster, a.trashed, p.n, p.kind, x.vec FROM asset a "
                                  "JOIN part p ON p.asset = a.n JOIN embedding x ON x.part = p.n AND x.model = ? WHERE "
                                  "a.n = ? ORDER BY p.n",
                                  "ll", t->model, asset);
        int64_t *there = NULL;
        size_t n = 0, cap = 0;
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                if (mem_grow((void **)&there, &cap, n + 1, sizeof *there) || apply_part(x, t, asset, s)) {
                        db_end(s);
                        rc = err_oom(e);
                        break;
                }
                there[n++] = col_i64(s, 5);
        }
        if (rc == 0) {
                must_succeed(pthread_rwlock_wrlock(&x->lock));
                table_keep(t, asset, there, n);
                must_succeed(pthread_rwlock_unlock(&x->lock));
        }
        mem_free(there);
        return rc;
}

static int apply_folder(struct db *db, struct index *x, struct table *t, struct id id, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT c.owner, c.locked, p.sum FROM cluster c LEFT JOIN cluster_prototype p ON "
                                  "p.cluster = c.id AND p.model = ? WHERE c.id = ?",
                                  "lu", t->model, &id);
        int rc = s ? db_step(db, s, e) : -1;
        const float *sum = NULL;

        if (rc < 0)
                return -1;
        if (rc > 0 && (size_t)col_bytes(s, 2) == t->dim * sizeof(float))
                sum = col_blob(s, 2);
        must_succeed(pthread_rwlock_wrlock(&x->lock));
        if (rc == 0)
                rc = table_folder_put(t, id, NULL, true, NULL);
        else
                rc = table_folder_put(t, id, col_str(s, 0), col_int(s, 1) != 0, sum) ? -1 : 1;
        must_succeed(pthread_rwlock_unlock(&x->lock));
        if (rc != 0)
                db_end(s);
        return rc < 0 ? err_oom(e) : 0;
}

static int apply_one(struct db *db, struct index *x, struct table *t, const struct event *ev, struct err *e)
{
        int rc;

        switch (ev->kind) {
        case EVENT_VECTOR:
                atomic_fetch_add(&x->changes, 1);
                return apply_parts(db, x, t, ev->asset, e);
        case EVENT_ROW:
                return apply_row(db, x, t, ev->asset, e);
        case EVENT_FOLDER:
                return apply_folder(db, x, t, ev->cluster, e);
        default:
                must_succeed(pthread_rwlock_wrlock(&x->lock));
                rc = table_relabel(t, ev->cluster, ev->to);
                must_succeed(pthread_rwlock_unlock(&x->lock));
                return rc < 0 ? err_oom(e) : 0;
        }
}

/* The table's epoch follows last: a cache written half-way through carries the old one and is never used. */
static int apply_events(struct db *db, struct index *x, struct table *t, const struct event *events, size_t n,
                        struct err *e)
{
        int64_t epoch;

        for (size_t i = 0; i < n; i++)
                if (apply_one(db, x, t, &events[i], e) < 0)
                        return -1;
        if (index_epoch(db, &epoch, e))
                return -1;
        must_succeed(pthread_rwlock_wrlock(&x->lock));
        x->table_epoch = epoch;
        must_succeed(pthread_rwlock_unlock(&x->lock));
        return 0;
}

static void keep_for_later(struct index *x, const struct event *events, size_t n)
{
        if (mem_grow((void **)&x->pending, &x->pending_cap, x->npending + n, sizeof *events)) {
                x->pending_lost = true;
                return;
        }
        memcpy(x->pending + x->npending, events, n * sizeof *events);
        x->npending += n;
}

static void apply_all(struct sqlite_catalog *c, struct db *db, struct index *x, const struct event *events, size_t n)
{
        struct err e;

        if (!x->table) {
                must_succeed(pthread_rwlock_wrlock(&x->lock));
                if (x->collecting)
                        keep_for_later(x, events, n);
                must_succeed(pthread_rwlock_unlock(&x->lock));
        } else if (apply_events(db, x, x->table, events, n, &e)) {
                cool_index(c, x);
        }
}

void index_apply(struct sqlite_catalog *c, struct db *db, const struct event *events, size_t n)
{
        for (size_t i = 0; i < atomic_load(&c->nindexes); i++)
                apply_all(c, db, c->indexes[i], events, n);
}

/* ---- loading ------------------------------------------------------------------------ */

/* 1 gone on, -1. Columns as in apply_part; of a cached row there is no vector. */
static int load_row(struct table *t, const struct rows *s, bool cached, struct err *e)
{
        struct entry in = asset_columns(s, col_i64(s, 8));

        in.part = col_i64(s, 5);
        in.part_kind = (enum part_kind)col_int(s, 6);
        if (!cached && (size_t)col_bytes(s, 7) == t->dim * sizeof(float))
                in.vec = col_blob(s, 7);
        if (cached && table_row(t, in.part) == NO_ROW)
                return err_set(e, ERR_CORRUPT, "vector cache: a part is missing");
        return !in.owner || table_put(t, &in) ? err_oom(e) : 1;
}

static int load_rows(struct db *db, struct table *t, bool cached, const atomic_bool *stop, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT a.id, a.owner, a.kind, a.cluster, a.trashed, p.n, p.kind, CASE WHEN ? THEN "
                                  "NULL ELSE x.vec END, a.n FROM embedding x CROSS JOIN part p ON p.n = x.part CROSS "
                                  "JOIN asset a ON a.n = p.asset WHERE x.model = ? ORDER BY x.part",
                                  "il", (int)cached, t->model);
        size_t seen = 0;
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                seen++;
                rc = atomic_load(stop) ? err_set(e, ERR_UNAVAILABLE, "closing") : load_row(t, s, cached, e);
                if (rc < 0) {
                        db_end(s);
                        break;
                }
        }
        if (rc == 0 && cached && seen + t->nfree != vec_index_count(t->vec))
                rc = err_set(e, ERR_CORRUPT, "vector cache: it holds parts that are gone");
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
                if (table_folder_put(t, col_id(s, 0), col_str(s, 1), col_int(s, 2) != 0, sum)) {
                        db_end(s);
                        return err_oom(e);
                }
        }
        return rc;
}

static struct table *load_table(struct sqlite_catalog *c, const struct index *x, struct db *db, bool use_cache,
                                int64_t *from_cache, struct err *e)
{
        struct table *t = table_new(x->dim, x->model);
        int64_t epoch;
        bool cached;

        *from_cache = -1;
        if (!t) {
                err_oom(e);
                return NULL;
        }
        if (index_epoch(db, &epoch, e)) {
                table_free(t);
                return NULL;
        }
        cached = use_cache && cache_load(c->vector_dir, x->model_id, epoch, t);
        if (!cached && vec_index_count(t->vec) > 0) { /* it failed half-way: begin anew */
                table_free(t);
                return load_table(c, x, db, false, from_cache, e);
        }
        if (load_rows(db, t, cached, &c->loader_stop, e) == 0 && load_folders(db, t, e) == 0) {
                if (cached)
                        *from_cache = epoch;
                return t;
        }
        table_free(t);
        return cached && e->code == ERR_CORRUPT ? load_table(c, x, db, false, from_cache, e) : NULL;
}

/* On the writer thread, inside a transaction that writes nothing: what is pending is committed and not newer than what
 * is read here. */
static int do_install(struct tx *tx, void *arg, struct err *e)
{
        size_t events = sqlite_work_of(tx)->nevents; /* of others in this batch */
        struct index *x = arg;
        struct table *old;
        bool current;

        must_succeed(pthread_rwlock_rdlock(&x->lock));
        current = x->incoming_generation == x->generation;
        must_succeed(pthread_rwlock_unlock(&x->lock));
        if (!current || x->pending_lost)
                return err_set(e, ERR_UNAVAILABLE, "warming");
        if (events == 0 && apply_events(tx->db, x, x->incoming, x->pending, x->npending, e))
                return -1;
        if (events) /* they are not committed yet: come again */
                return err_set(e, ERR_BUSY, "warming");
        must_succeed(pthread_rwlock_wrlock(&x->lock));
        old = x->table;
        x->table = x->incoming;
        x->incoming = NULL;
        x->collecting = false;
        x->npending = 0;
        atomic_store(&x->warm, true);
        must_succeed(pthread_rwlock_unlock(&x->lock));
        table_free(old);
        return 0;
}

static int install_table(struct sqlite_catalog *c, struct index *x, struct table *t, unsigned generation, struct err *e)
{
        int rc;

        x->incoming = t;
        x->incoming_generation = generation;
        do
                rc = write_do(&c->base, LANE_ACK, do_install, x, e); /* the lane that comes first in a batch */
        while (rc < 0 && e->code == ERR_BUSY);
        table_free(x->incoming); /* NULL when it was installed */
        x->incoming = NULL;
        return rc;
}

static void load_index(struct sqlite_catalog *c, struct index *x)
{
        struct mono began = mono_now();
        int64_t from_cache = -1;
        struct err e = {0};
        unsigned generation;
        struct table *t;
        struct db *db;

        must_succeed(pthread_rwlock_wrlock(&x->lock));
        generation = x->generation;
        x->collecting = true; /* before the snapshot begins: what it misses is in pending */
        x->npending = 0;
        x->pending_lost = false;
        must_succeed(pthread_rwlock_unlock(&x->lock));
        db = read_begin(&c->base, &e);
        t = db ? load_table(c, x, db, true, &from_cache, &e) : NULL;
        if (db) {
                struct conn *conn = conn_of(db);
                sqlite3_db_release_memory(conn->h); /* pages of all assets, which nobody asks for */
                read_end(&c->base, db, began);
                malloc_trim(0);
        }
        if (t && install_table(c, x, t, generation, &e) == 0) {
                atomic_store(&x->changes, 0);
                x->saved_epoch = from_cache;
                log_info("catalog", "vectors of %s in memory after %.1f s%s", x->model_id,
                         dur_seconds(mono_since(began)), from_cache >= 0 ? ", from the cache" : "");
                return;
        }
        if (atomic_load(&c->loader_stop))
                return;
        log_warning("catalog", "loading vectors of %s: %s; trying again", x->model_id, e.msg);
        sleep_for(dur_ms(200));
        loader_ask(c, &c->want_load);
}

void index_load(struct sqlite_catalog *c)
{
        for (size_t i = 0; i < atomic_load(&c->nindexes); i++)
                if (!atomic_load(&c->indexes[i]->warm))
                        load_index(c, c->indexes[i]);
}

/* ---- models in use ------------------------------------------------------------------------ */

static int do_drop(struct tx *tx, void *arg, struct err *e)
{
        (void)e;
        cool_index(self_of(catalog_of(tx)), arg);
        return 0;
}

/* The model's index, made when there is none. NULL on error. */
static struct index *index_need(struct sqlite_catalog *c, const char *id, int64_t model, uint32_t dim, struct err *e)
{
        struct index *x;
        size_t n;

        lock_take(&c->llock);
        n = atomic_load(&c->nindexes);
        x = index_of(c, id);
        if (!x && n == MODELS_MAX) {
                err_set(e, ERR_INVALID, "%d models are in use already", MODELS_MAX);
        } else if (!x && !(x = index_new(id, model, dim))) {
                err_oom(e);
        } else if (x != index_of(c, id)) {
                c->indexes[n] = x;
                atomic_store(&c->nindexes, n + 1);
        }
        lock_drop(&c->llock);
        return x;
}

int sqlite_use_model(struct catalog *base, const char *id, int64_t model, uint32_t dim, struct err *e)
{
        struct sqlite_catalog *c = self_of(base);
        struct index *x = index_need(c, id, model, dim, e);

        if (!x)
                return -1;
        must_succeed(pthread_rwlock_wrlock(&x->lock));
        x->generation++;
        must_succeed(pthread_rwlock_unlock(&x->lock));
        /* The table is the writer's to drop; the loader loads it again. */
        return write_do(base, LANE_RESULT, do_drop, x, e);
}

/* ---- the cache file --------------------------------------------------------------------------- */

static bool nobody_waits(void *ctx)
{
        struct sqlite_catalog *c = ctx;

        return database_writes_waiting(c->base.database) == 0 && !atomic_load(&c->loader_stop);
}

/*
 * The table is kept still by the read lock, which a waiting write ends the
 * saving for: a cache is not worth a stall. final: the writer is gone already.
 */
static void save_index(struct sqlite_catalog *c, struct index *x, bool final)
{
        struct err e = {0};

        if (!final && atomic_load(&x->changes) < SAVE_CHANGES)
                return;
        must_succeed(pthread_rwlock_rdlock(&x->lock));
        if (x->table && x->table_epoch != x->saved_epoch) {
                if (cache_save(c->vector_dir, x->model_id, x->table_epoch, x->table, final ? NULL : nobody_waits, c,
                               &e) == 0) {
                        x->saved_epoch = x->table_epoch;
                        atomic_store(&x->changes, 0);
                } else if (e.code != ERR_BUSY) {
                        log_warning("catalog", "vector cache not written: %s", e.msg);
                }
        }
        must_succeed(pthread_rwlock_unlock(&x->lock));
}

void index_save(struct sqlite_catalog *c, bool final)
{
        for (size_t i = 0; i < atomic_load(&c->nindexes); i++)
                save_index(c, c->indexes[i], final);
}
