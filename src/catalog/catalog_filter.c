/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements made of parts: asset filters. Text comes from literals only, all
 * values are bound. The trash condition comes first and literally, because the
 * partial indexes are chosen by it.
 */
#include "catalog/catalog_rules.h"

#define TAGS_MAX 16

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

static void put(struct sql *q, const char *text, struct bind b)
{
        sql_put(q, text);
        if (q->n == BINDS_MAX)
                q->failed = true;
        else
                q->binds[q->n++] = b;
}

void sql_int(struct sql *q, const char *text, int64_t v)
{
        put(q, text, (struct bind){.type = 'l', .l = v});
}

void sql_text(struct sql *q, const char *text, const char *v)
{
        put(q, text, (struct bind){.type = 't', .p = v});
}

void sql_id(struct sql *q, const char *text, const struct id *v)
{
        put(q, text, (struct bind){.type = 'u', .p = v});
}

void sql_sha(struct sql *q, const char *text, const struct sha256 *v)
{
        put(q, text, (struct bind){.type = 'h', .p = v});
}

void sql_vector(struct sql *q, const char *text, const float *v, size_t dim)
{
        put(q, text, (struct bind){.type = 'f', .p = v, .l = (int64_t)dim});
}

struct rows *sql_run(struct sql *q, struct err *e)
{
        if (!q->failed && !buf_failed(&q->text))
                return q->db->engine->query_binds(q->db, buf_str(&q->text), q->binds, q->n, e);
        /* A text that is far from its cap failed for want of memory. */
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

static int put_name(struct sql *q, const char *name, struct err *e)
{
        char *fold = text_fold(q->arena, name);

        return fold ? q->db->engine->name_filter(q, fold, e) : err_oom(e);
}

static int put_content_type(struct sql *q, const char *type, struct err *e)
{
        size_t n = strlen(type);
        char *end;

        if (n == 0 || type[n - 1] != '/') {
                sql_text(q, " AND a.content_type = ?", type);
                return 0;
        }
        end = arena_strdup(q->arena, type);
        if (!end)
                return err_oom(e);
        end[n - 1]++; /* '0', which follows the slash */
        sql_text(q, " AND a.content_type >= ?", type);
        sql_text(q, " AND a.content_type < ?", end);
        return 0;
}

static int put_tags(struct sql *q, const struct asset_filter *f, struct err *e)
{
        if (f->ntags > TAGS_MAX)
                return err_set(e, ERR_INVALID, "tags: at most %d in a filter", TAGS_MAX);
        for (size_t i = 0; i < f->ntags; i++) {
                char *fold = text_fold(q->arena, f->tags[i]);
                if (!fold)
                        return err_oom(e);
                sql_text(q, " AND a.n IN (SELECT x.asset FROM asset_tag x JOIN tag t ON t.n = x.tag WHERE t.fold = ?)",
                         fold);
        }
        return 0;
}

int sql_filter(struct sql *q, const struct asset_filter *f, struct err *e)
{
        sql_put(q, f->trashed ? " WHERE a.trashed > 0" : " WHERE a.trashed = 0");
        if (f->owner)
                sql_text(q, " AND a.owner = ?", f->owner);
        if (f->cluster_id && id_is_nil(*f->cluster_id))
                sql_put(q, " AND a.cluster IS NULL AND a.kind = 0");
        else if (f->cluster_id)
                sql_id(q, " AND a.cluster = ?", f->cluster_id);
        if (f->kinds)
                sql_set(q, "a.kind", f->kinds);
        if (f->statuses)
                sql_set(q, "a.status", f->statuses);
        if (f->sha256)
                sql_sha(q, " AND a.sha256 = ?", f->sha256);
        if (f->after.us)
                sql_int(q, " AND a.created >= ?", f->after.us);
        if (f->before.us)
                sql_int(q, " AND a.created < ?", f->before.us);
        if (f->content_type && put_content_type(q, f->content_type, e) < 0)
                return -1;
        if (f->name && *f->name && put_name(q, f->name, e) < 0)
                return -1;
        return put_tags(q, f, e);
}

bool filter_needs_asset(const struct asset_filter *f)
{
        return f->statuses || f->ntags || f->content_type || f->sha256 || (f->name && *f->name) || f->after.us ||
               f->before.us;
}
