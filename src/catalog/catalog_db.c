/* SPDX-License-Identifier: Apache-2.0 */
/* The database interface: what is the same for every engine, and the way to the engine for the rest. */
#include "catalog/catalog_db.h"

/* Similarity that a folder made by an upload starts with. CLUSTER_THRESHOLD's default. */
#define FOLDER_THRESHOLD 0.72f

void catalog_init(struct catalog *c, const struct engine *engine, const struct catalog_opts *opts)
{
        *c = (struct catalog){.engine = engine,
                              .idempotency_ttl = opts->idempotency_ttl,
                              .phash_distance = opts->phash_distance,
                              .folder_threshold =
                                      opts->folder_threshold > 0 ? opts->folder_threshold : FOLDER_THRESHOLD,
                              .queue_max_depth = opts->queue_max_depth,
                              .min_free = opts->min_free};
}

/* ---- statements --------------------------------------------------------------------- */

struct rows *db_query(struct db *db, struct err *e, const char *sql, const char *fmt, ...)
{
        va_list ap;
        struct rows *s;

        va_start(ap, fmt);
        s = db->engine->query(db, e, sql, fmt, &ap);
        va_end(ap);
        return s;
}

int db_step(struct db *db, struct rows *s, struct err *e)
{
        return db->engine->step(db, s, e);
}

void db_end(struct rows *s)
{
        s->engine->end(s);
}

int db_run(struct db *db, struct err *e, const char *sql, const char *fmt, ...)
{
        va_list ap;
        struct rows *s;
        int rc;

        if (!sql)
                return 0;
        va_start(ap, fmt);
        s = db->engine->query(db, e, sql, fmt, &ap);
        va_end(ap);
        if (!s)
                return -1;
        while ((rc = db_step(db, s, e)) > 0)
                ;
        return rc;
}

int64_t db_changes(struct db *db)
{
        return db->engine->changes(db);
}

int db_int(struct db *db, struct err *e, int64_t *out, const char *sql, const char *fmt, ...)
{
        va_list ap;
        struct rows *s;
        int rc;

        va_start(ap, fmt);
        s = db->engine->query(db, e, sql, fmt, &ap);
        va_end(ap);
        if (!s)
                return -1;
        rc = db_step(db, s, e);
        if (rc <= 0)
                return rc;
        if (col_null(s, 0))
                rc = 0;
        else
                *out = col_i64(s, 0);
        db_end(s);
        return rc;
}

void rows_free(struct rows *s)
{
        if (s)
                s->engine->rows_free(s);
}

/* ---- columns -------------------------------------------------------------------------- */

bool col_null(const struct rows *s, int i)
{
        return s->engine->col_null(s, i);
}

int64_t col_i64(const struct rows *s, int i)
{
        return s->engine->col_i64(s, i);
}

double col_f64(const struct rows *s, int i)
{
        return s->engine->col_f64(s, i);
}

const char *col_str(const struct rows *s, int i)
{
        return s->engine->col_str(s, i);
}

const void *col_blob(const struct rows *s, int i)
{
        return s->engine->col_blob(s, i);
}

int col_bytes(const struct rows *s, int i)
{
        return s->engine->col_bytes(s, i);
}

int col_int(const struct rows *s, int i)
{
        return (int)col_i64(s, i);
}

uint64_t col_u64(const struct rows *s, int i)
{
        return (uint64_t)col_i64(s, i);
}

struct wall col_wall(const struct rows *s, int i)
{
        return (struct wall){col_i64(s, i)};
}

struct id col_id(const struct rows *s, int i)
{
        struct id id = {{0}};
        const void *p = col_blob(s, i);

        if (p && col_bytes(s, i) == (int)sizeof(id))
                memcpy(&id, p, sizeof(id));
        return id;
}

struct sha256 col_sha(const struct rows *s, int i)
{
        struct sha256 h = {{0}};
        const void *p = col_blob(s, i);

        if (p && col_bytes(s, i) == (int)sizeof(h))
                memcpy(&h, p, sizeof(h));
        return h;
}

const char *col_text(struct arena *a, const struct rows *s, int i, bool *ok)
{
        const char *p, *copy;

        if (col_null(s, i))
                return NULL;
        p = col_str(s, i);
        copy = p ? arena_strndup(a, (struct span){p, (size_t)col_bytes(s, i)}) : NULL;
        if (!copy)
                *ok = false;
        return copy;
}

/* ---- transactions --------------------------------------------------------------------- */

struct db *read_begin(struct catalog *c, struct err *e)
{
        return c->engine->read_begin(c, e);
}

void read_end(struct catalog *c, struct db *db, struct mono began)
{
        c->engine->read_end(c, db, began);
}

int write_do(struct catalog *c, enum lane lane, write_fn *fn, void *arg, struct err *e)
{
        return c->engine->write(c, lane, fn, arg, e);
}

void tx_done(struct tx *tx)
{
        mem_free(tx->texts);
        mem_free(tx->deltas);
        mem_free(tx->jobs);
        mem_free(tx->marks);
}

int tx_text(struct tx *tx, int64_t asset, struct err *e)
{
        if (mem_grow((void **)&tx->texts, &tx->texts_cap, tx->ntexts + 1, sizeof(*tx->texts)) < 0)
                return err_oom(e);
        tx->texts[tx->ntexts++] = asset;
        return 0;
}

int tx_event(struct tx *tx, struct event ev, struct err *e)
{
        return tx->db->engine->event(tx, ev, e);
}
