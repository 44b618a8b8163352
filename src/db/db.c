/* SPDX-License-Identifier: Apache-2.0 */
/* The database interface: what is the same for both engines, and the dispatch to the engine for the rest. */
#include "db/db_engine_priv.h"

/* ---- statements --------------------------------------------------------------------- */

struct rows *db_query(struct db *db, struct err *e, const char *sql, const char *fmt, ...)
{
        va_list ap;
        struct rows *s;

        va_start(ap, fmt);
        s = db->driver->query(db, e, sql, fmt, &ap);
        va_end(ap);
        return s;
}

int db_step(struct db *db, struct rows *s, struct err *e)
{
        return db->driver->step(db, s, e);
}

void db_end(struct rows *s)
{
        s->driver->end(s);
}

int db_run(struct db *db, struct err *e, const char *sql, const char *fmt, ...)
{
        va_list ap;
        struct rows *s;
        int rc;

        if (!sql)
                return 0;
        va_start(ap, fmt);
        s = db->driver->query(db, e, sql, fmt, &ap);
        va_end(ap);
        if (!s)
                return -1;
        while ((rc = db_step(db, s, e)) > 0)
                ;
        return rc;
}

int64_t db_changes(struct db *db)
{
        return db->driver->changes(db);
}

int db_int(struct db *db, struct err *e, int64_t *out, const char *sql, const char *fmt, ...)
{
        va_list ap;
        struct rows *s;
        int rc;

        va_start(ap, fmt);
        s = db->driver->query(db, e, sql, fmt, &ap);
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
                s->driver->rows_free(s);
}

/* ---- columns -------------------------------------------------------------------------- */

bool col_null(const struct rows *s, int i)
{
        return s->driver->col_null(s, i);
}

int64_t col_i64(const struct rows *s, int i)
{
        return s->driver->col_i64(s, i);
}

double col_f64(const struct rows *s, int i)
{
        return s->driver->col_f64(s, i);
}

const char *col_str(const struct rows *s, int i)
{
        return s->driver->col_str(s, i);
}

const void *col_blob(const struct rows *s, int i)
{
        return s->driver->col_blob(s, i);
}

int col_bytes(const struct rows *s, int i)
{
        return s->driver->col_bytes(s, i);
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

        if (p && col_bytes(s, i) == (int)sizeof id)
                memcpy(&id, p, sizeof id);
        return id;
}

struct sha256 col_sha(const struct rows *s, int i)
{
        struct sha256 h = {{0}};
        const void *p = col_blob(s, i);

        if (p && col_bytes(s, i) == (int)sizeof h)
                memcpy(&h, p, sizeof h);
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

struct db *database_read(struct database *d, struct err *e)
{
        return d->engine->read(d, e);
}

void database_read_end(struct database *d, struct db *db, struct mono began)
{
        d->engine->read_end(d, db, began);
}

int database_write(struct database *d, enum lane lane, write_fn *fn, void *arg, struct err *e)
{
        return d->engine->write(d, lane, fn, arg, e);
}

unsigned database_writes_waiting(const struct database *d)
{
        return d->engine->writes_waiting ? d->engine->writes_waiting(d) : 0;
}

int tx_open(struct tx *tx, const struct database *d, struct err *e)
{
        *tx = (struct tx){.owner = d->owner};
        if (d->hooks->work_size && !(tx->work = mem_calloc(1, d->hooks->work_size)))
                return err_oom(e);
        return 0;
}

void tx_close(struct tx *tx, const struct database *d)
{
        if (tx->work && d->hooks->work_done)
                d->hooks->work_done(tx->work);
        mem_free(tx->work);
}

/* ---- the database as a whole --------------------------------------------------------------- */

void database_state(struct database *d, struct database_state *out)
{
        *out = (struct database_state){0};
        d->engine->state(d, out);
}

int database_room(struct database *d, struct err *e)
{
        return d->engine->room ? d->engine->room(d, e) : 0;
}

void database_close(struct database *d)
{
        if (d)
                d->engine->close(d);
}
