/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds rows that refer to a missing row, for each reference that a table description declares. Most references are
 * foreign keys in the engines, so a broken one means damage from outside the program; a few are not enforced by
 * anything else.
 */
#include "keep/keep_check_priv.h"
#include "keep/keep_catalog_tables.h"

#include <stdio.h>

#define SLICE 100

struct reference {
        const struct table *t;
        const struct table_column *c;
};

static enum table_engine engine_of(enum dialect d)
{
        return d == DIALECT_SQLITE ? IN_SQLITE : IN_POSTGRES;
}

/* Of x, a row of the table. */
static void put_condition(struct sql *q, const struct reference *r)
{
        buf_printf(&q->text, "x.%s IS NOT NULL AND NOT EXISTS (SELECT 1 FROM %s y WHERE y.%s = x.%s)", r->c->name,
                   r->c->table, r->c->key, r->c->name);
}

/* ---- telling --------------------------------------------------------------------------------- */

static char type_of(const struct table *t, struct span column)
{
        for (const struct table_column *c = t->columns; c->name; c++)
                if (span_eq(column, c->name))
                        return c->type;
        assert(!"a key without a column");
        return 't';
}

static void put_value(struct buf *b, char type, const struct rows *s, int i)
{
        char text[SHA256_TEXT_LEN];

        if (type == 'u')
                buf_puts(b, id_format(col_id(s, i), text));
        else if (type == 'b')
                buf_puts(b, sha256_format(col_sha(s, i), text));
        else if (type == 't')
                buf_puts(b, or_empty(col_str(s, i)));
        else
                buf_printf(b, "%lld", (long long)col_i64(s, i));
}

/* Writes the values of the key's columns, such as "asset 7, tag 2". Returns how many columns there are. */
static int put_key(struct buf *b, const struct table *t, const struct rows *s)
{
        const char *p = t->key;
        int i = 0;

        for (; *p; i++) {
                struct span column = {p, strcspn(p, ",")};
                buf_printf(b, "%s%.*s ", i ? ", " : "", (int)column.n, column.p);
                put_value(b, type_of(t, column), s, i);
                p += column.n;
                p += strspn(p, ", ");
        }
        return i;
}

static void tell_orphan(struct check_run *run, const struct reference *r, const struct rows *s)
{
        struct buf b;
        int n;

        buf_init(&b, 1024);
        buf_printf(&b, "it refers to what is not there: %s ", r->t->name);
        n = put_key(&b, r->t, s);
        buf_printf(&b, " (%s ", r->c->name);
        put_value(&b, r->c->type, s, n);
        check_tell(run, "%s)", buf_str(&b));
        buf_done(&b);
}

static int find_orphans(struct check_run *run, const struct reference *r, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(run->c, e);
        struct rows *s;
        struct sql q;
        int rc = -1;

        if (!db)
                return -1;
        sql_init(&q, db, NULL);
        buf_printf(&q.text, "SELECT %s, %s FROM %s x WHERE ", r->t->key, r->c->name, r->t->name);
        put_condition(&q, r);
        s = sql_run(&q, e);
        while (s && (rc = db_step(db, s, e)) > 0)
                tell_orphan(run, r, s);
        rows_free(s);
        sql_done(&q);
        read_end(run->c, db, began);
        return rc;
}

/* ---- mending ------------------------------------------------------------------------------------ */

struct orphans {
        struct reference r;
        size_t n;            /* rows that were repaired */
        int64_t rows[SLICE]; /* the asset of each row (0: none), or the row's key for its dropper */
};

/* The column that says which asset a row belongs to; NULL: no column does. */
static const char *asset_column(const struct table *t)
{
        if (strcmp(t->name, "asset") == 0)
                return "n";
        for (const struct table_column *c = t->columns; c->name; c++)
                if (c->table && t->owner && strcmp(c->name, t->owner) == 0 && strcmp(c->table, "asset") == 0)
                        return c->name;
        return NULL;
}

int check_drop_task(struct tx *tx, int64_t n, struct err *e)
{
        int64_t waited = 0;

        if (db_run(tx->db, e, "DELETE FROM task_error WHERE task = ?", "l", n) ||
            db_int(tx->db, e, &waited,
                   "DELETE FROM task WHERE n = ? RETURNING CASE WHEN purpose = 0 AND state IN (0, 1) THEN 1 ELSE 0 END",
                   "l", n) < 0)
                return -1;
        tx_waiting(tx, -waited);
        return 0;
}

typedef int drop_fn(struct tx *tx, int64_t n, struct err *e);

/*
 * The function that removes a row when a DELETE alone would leave dependent data behind; the row's key is a number.
 * NULL: a DELETE is enough.
 */
static drop_fn *dropper_of(const struct reference *r)
{
        if (strcmp(r->t->name, "task") == 0)
                return check_drop_task;
        return strcmp(r->t->name, "part") == 0 ? part_drop : NULL;
}

static void put_mend(struct sql *q, const struct reference *r)
{
        const struct table *t = r->t;
        const char *asset = asset_column(t);

        if (dropper_of(r)) {
                buf_printf(&q->text, "SELECT %s FROM %s x WHERE ", t->key, t->name);
                put_condition(q, r);
                buf_printf(&q->text, " LIMIT %d", SLICE);
                return;
        }
        if (r->c->orphan == ORPHAN_CLEARED)
                buf_printf(&q->text, "UPDATE %s SET %s = NULL", t->name, r->c->name);
        else
                buf_printf(&q->text, "DELETE FROM %s", t->name);
        buf_printf(&q->text, " WHERE (%s) IN (SELECT %s FROM %s x WHERE ", t->key, t->key, t->name);
        put_condition(q, r);
        buf_printf(&q->text, " LIMIT %d) RETURNING %s", SLICE, asset ? asset : "0");
}

/* The asset's sidecar, words and vectors may have contained the row. */
static int touch_asset(struct tx *tx, int64_t n, struct err *e)
{
        struct rows *s = db_query(tx->db, e, "SELECT id FROM asset WHERE n = ?", "l", n);
        int rc = s ? db_step(tx->db, s, e) : -1;
        struct id id;

        if (rc <= 0)
                return rc;
        id = col_id(s, 0);
        db_end(s);
        return tx_mark(tx, KEPT_ASSET, id, e) || tx_text(tx, n, e) ||
                               tx_event(tx, (struct event){.kind = EVENT_ROW, .asset = n}, e)
                       ? -1
                       : 0;
}

static int do_mend_orphans(struct tx *tx, void *arg, struct err *e)
{
        struct orphans *o = arg;
        drop_fn *drop = dropper_of(&o->r);
        struct rows *s;
        struct sql q;
        int rc = -1;

        o->n = 0;
        sql_init(&q, tx->db, NULL);
        put_mend(&q, &o->r);
        s = sql_run(&q, e);
        while (s && (rc = db_step(tx->db, s, e)) > 0 && o->n < SLICE)
                o->rows[o->n++] = col_i64(s, 0);
        rows_free(s);
        sql_done(&q);
        for (size_t i = 0; rc == 0 && i < o->n; i++)
                rc = drop ? drop(tx, o->rows[i], e) : touch_asset(tx, o->rows[i], e);
        return rc;
}

static int mend_orphans(struct check_run *run, const struct reference *r, struct err *e)
{
        struct orphans o = {.r = *r};

        do {
                if (write_do(run->c, LANE_BULK, do_mend_orphans, &o, e))
                        return -1;
                run->r->mended += o.n;
        } while (o.n > 0);
        return 0;
}

static int check_reference(struct check_run *run, const struct reference *r, struct err *e)
{
        uint64_t before = run->r->found;

        if (find_orphans(run, r, e))
                return -1;
        if (run->r->found == before || !run->o->repair || r->c->orphan == ORPHAN_TOLD)
                return 0;
        return mend_orphans(run, r, e);
}

/*
 * Tables are listed after those they refer to, so a row that one repair leaves without its target is found later in
 * the same run.
 */
int check_references(struct check_run *run, struct err *e)
{
        enum table_engine here = engine_of(run->c->dialect);

        for (const struct table *t = catalog_tables; t->name; t++)
                for (const struct table_column *c = t->columns; c->name; c++) {
                        const struct reference r = {.t = t, .c = c};
                        if (!(t->engines & here) || !(c->engines & here) || !c->table || c->orphan == ORPHAN_OTHERS)
                                continue;
                        if (check_reference(run, &r, e))
                                return -1;
                }
        return 0;
}
