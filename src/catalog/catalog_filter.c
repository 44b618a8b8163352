/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asset filters as conditions. The trash condition comes first and literally,
 * because the partial indexes are chosen by it.
 */
#include "catalog/catalog_rules.h"

#define TAGS_MAX 16

/* ---- names ------------------------------------------------------------------------------ */

static char *fts_phrase(struct arena *a, const char *fold)
{
        size_t len = strlen(fold), n = 0;
        char *out = arena_alloc(a, len * 2 + 3);

        if (!out)
                return NULL;
        out[n++] = '"';
        for (size_t i = 0; i < len; i++) {
                if (fold[i] == '"')
                        out[n++] = '"';
                out[n++] = fold[i];
        }
        out[n++] = '"';
        out[n] = '\0';
        return out;
}

/* SQLite: from three characters on there are trigrams to look up; shorter names are compared one by one. */
static int name_by_trigrams(struct sql *q, const char *fold, enum name_way way, struct err *e)
{
        char *phrase;

        if (way == NAMES_SCANNED || text_chars(fold) < 3) {
                sql_text(q, " AND instr(a.name_fold, ?) > 0", fold);
                return 0;
        }
        phrase = fts_phrase(q->arena, fold);
        if (!phrase)
                return err_oom(e);
        sql_text(q, " AND a.n IN (SELECT rowid FROM name_fts WHERE name_fts MATCH ?)", phrase);
        return 0;
}

/* PostgreSQL: a substring as a LIKE pattern, which a trigram index can answer where there is one. */
static int name_by_pattern(struct sql *q, const char *fold, struct err *e)
{
        char *like = arena_alloc(q->arena, strlen(fold) * 2 + 3);
        size_t n = 0;

        if (!like)
                return err_oom(e);
        like[n++] = '%';
        for (const char *p = fold; *p; p++) {
                if (strchr("%_\\", *p))
                        like[n++] = '\\';
                like[n++] = *p;
        }
        like[n++] = '%';
        like[n] = '\0';
        sql_text(q, " AND a.name_fold LIKE ?", like);
        return 0;
}

static int put_name(struct sql *q, const char *name, enum name_way way, struct err *e)
{
        char *fold = text_fold(q->arena, name);

        if (!fold)
                return err_oom(e);
        return q->db->dialect == DIALECT_SQLITE ? name_by_trigrams(q, fold, way, e) : name_by_pattern(q, fold, e);
}

/* ---- filters ------------------------------------------------------------------------------ */

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

int sql_filter_names(struct sql *q, const struct asset_filter *f, enum name_way way, struct err *e)
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
        if (f->content_type && put_content_type(q, f->content_type, e))
                return -1;
        if (f->name && *f->name && put_name(q, f->name, way, e))
                return -1;
        return put_tags(q, f, e);
}

int sql_filter(struct sql *q, const struct asset_filter *f, struct err *e)
{
        return sql_filter_names(q, f, NAMES_INDEXED, e);
}

bool filter_needs_asset(const struct asset_filter *f)
{
        return f->statuses || f->ntags || f->content_type || f->sha256 || (f->name && *f->name) || f->after.us ||
               f->before.us;
}

uint64_t filter_shape(const struct asset_filter *f)
{
        uint64_t h = shape_str(0, f->owner);

        h = shape_int(h, f->kinds);
        h = shape_int(h, f->statuses);
        h = f->cluster_id ? shape_bytes(h, f->cluster_id->b, sizeof f->cluster_id->b) : shape_int(h, 0);
        for (size_t i = 0; i < f->ntags; i++)
                h = shape_str(h, f->tags[i]);
        h = shape_str(shape_int(h, (int64_t)f->ntags), f->content_type);
        h = f->sha256 ? shape_bytes(h, f->sha256->b, sizeof f->sha256->b) : shape_int(h, 0);
        h = shape_str(h, f->name);
        h = shape_int(shape_int(h, f->after.us), f->before.us);
        return shape_int(h, f->trashed);
}
