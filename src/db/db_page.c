/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages of lists. A page begins strictly after the (sort key, row number) where the previous one ended, so rows that
 * are added meanwhile cause neither repeats nor gaps. One row more than the limit is read, to know whether there is a
 * next page.
 */
#include "db/db_page.h"

#define LIMIT_MAX 1000

int page_start(struct page *p, const struct sha256 *secret, const char *cursor, struct arena *a, struct err *e)
{
        int rc;

        if (p->limit == 0 || p->limit > LIMIT_MAX)
                return err_set(e, ERR_INVALID, "limit: %u, allowed are 1 to %d", p->limit, LIMIT_MAX);
        p->secret = secret;
        rc = cursor_read(a, p->secret, p->shape, cursor, &p->after, e);
        p->later = rc > 0;
        return rc < 0 ? -1 : 0;
}

static void put_position(struct sql *q, const struct page *p)
{
        buf_printf(&q->text, " AND (%s, %s) %c (", p->order.key, p->list->n, p->order.down ? '<' : '>');
        if (p->order.text)
                sql_text(q, "?", or_empty(p->after.text));
        else
                sql_int(q, "?", p->after.key);
        sql_int(q, ", ?)", p->after.n);
}

/* The cursor that continues after the current row of s. */
static const char *cursor_here(const struct page *p, const struct rows *s, struct arena *a)
{
        struct cursor cur = {.n = col_i64(s, p->list->n_column)};

        if (p->order.text)
                cur.text = p->order.text(a, or_empty(col_str(s, p->order.column)));
        else
                cur.key = col_i64(s, p->order.column);
        return p->order.text && !cur.text ? NULL : cursor_write(a, p->secret, p->shape, &cur);
}

static int read_rows(const struct page *p, struct db *db, struct rows *s, struct arena *a, void *out, size_t *n,
                     const char **next, struct err *e)
{
        const char *here = NULL;
        char **rows = out;
        size_t cap = 0, size = p->list->size;
        int rc;

        while ((rc = db_step(db, s, e)) > 0) {
                if (*n == p->limit) {
                        *next = here;
                        return 0;
                }
                if (arena_grow(a, out, &cap, *n + 1, size, e) || p->list->read(db, s, a, *rows + *n * size, e) < 0)
                        return -1;
                if (++*n == p->limit && !(here = cursor_here(p, s, a)))
                        return err_oom(e);
        }
        return rc;
}

int page_read(const struct page *p, struct sql *q, void *out, size_t *n, const char **next, struct err *e)
{
        const char *way = p->order.down ? "DESC" : "ASC";
        struct rows *s;
        int rc;

        if (p->later)
                put_position(q, p);
        buf_printf(&q->text, " ORDER BY %s %s, %s %s LIMIT %u", p->order.key, way, p->list->n, way, p->limit + 1);
        s = sql_run(q, e);
        rc = s ? read_rows(p, q->db, s, q->arena, out, n, next, e) : -1;
        rows_free(s);
        return rc;
}

struct db *database_batch(struct database *d, unsigned limit, size_t elem, struct arena *a, void *out, size_t *n,
                          struct err *e)
{
        void *rows = arena_array(a, limit + (size_t)1, elem);

        *n = 0;
        memcpy(out, &rows, sizeof rows);
        if (!rows) {
                err_oom(e);
                return NULL;
        }
        return database_read(d, e);
}
