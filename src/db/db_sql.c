/* SPDX-License-Identifier: Apache-2.0 */
/* Statements built from parts: their text comes from literals only, and all values are bound. */
#include "db/db_engine_priv.h"

void sql_init(struct sql *q, struct db *db, struct arena *a)
{
        *q = (struct sql){.db = db, .arena = a};
        buf_init(&q->text, SQL_MAX);
}

void sql_done(struct sql *q)
{
        buf_done(&q->text);
}

void sql_put(struct sql *q, const char *text)
{
        buf_puts(&q->text, text);
}

static void sql_bind(struct sql *q, const char *text, struct bind b)
{
        sql_put(q, text);
        if (q->n == BINDS_MAX)
                q->failed = true;
        else
                q->binds[q->n++] = b;
}

void sql_int(struct sql *q, const char *text, int64_t v)
{
        sql_bind(q, text, (struct bind){.type = 'l', .l = v});
}

void sql_text(struct sql *q, const char *text, const char *v)
{
        sql_bind(q, text, (struct bind){.type = 't', .p = v});
}

void sql_id(struct sql *q, const char *text, const struct id *v)
{
        sql_bind(q, text, (struct bind){.type = 'u', .p = v});
}

void sql_sha(struct sql *q, const char *text, const struct sha256 *v)
{
        sql_bind(q, text, (struct bind){.type = 'h', .p = v});
}

void sql_vector(struct sql *q, const char *text, const float *v, size_t dim)
{
        sql_bind(q, text, (struct bind){.type = 'f', .p = v, .l = (int64_t)dim});
}

struct rows *sql_run(struct sql *q, struct err *e)
{
        if (!q->failed && !buf_failed(&q->text))
                return q->db->driver->query_binds(q->db, buf_str(&q->text), q->binds, q->n, e);
        /* A buffer that failed well below its maximum size failed for lack of memory. */
        if (!q->failed && q->text.n < SQL_MAX / 2)
                err_oom(e);
        else
                err_set(e, ERR_INVALID, "filter: too many conditions");
        return NULL;
}

void sql_set(struct sql *q, const char *column, uint32_t bits)
{
        bool first = true;

        buf_printf(&q->text, " AND %s IN (", column);
        for (int i = 0; i < 32; i++) {
                if (!(bits & 1U << i))
                        continue;
                buf_printf(&q->text, first ? "%d" : ",%d", i);
                first = false;
        }
        sql_put(q, ")");
}
