/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of assets. Totals come from the counters where the filter allows it. */
#include "catalog/catalog_rules.h"

#define MANY 2000 /* so many matches that going through the order finds a page sooner than an index of names does */

static const struct list assets = {.read = asset_read, .size = sizeof(struct asset), .n = "a.n", .n_column = 0};
static const struct order orders[] = {
        [SORT_CREATED_DESC] = {"a.created", 15, NULL, true},    [SORT_CREATED_ASC] = {"a.created", 15, NULL, false},
        [SORT_NAME_ASC] = {"a.name_fold", 9, text_fold, false}, [SORT_NAME_DESC] = {"a.name_fold", 9, text_fold, true},
        [SORT_SIZE_DESC] = {"a.size", 14, NULL, true},          [SORT_SIZE_ASC] = {"a.size", 14, NULL, false},
};

static bool counters_do(const struct asset_filter *f)
{
        return !f->cluster_id && !f->ntags && !f->content_type && !f->sha256 && !(f->name && *f->name) &&
               !f->after.us && !f->before.us && !(f->trashed && f->statuses);
}

static int total_from_counters(struct db *db, const struct asset_filter *f, uint64_t *total, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT kind, status, CAST(sum(count) AS bigint) FROM counter WHERE kind >= 0 AND "
                                  "(?1 IS NULL OR owner = ?1) "
                                  "GROUP BY kind, status",
                                  "t", f->owner);
        int rc;

        *total = 0;
        if (!s)
                return -1;
        while ((rc = db_step(db, s, e)) > 0) {
                int kind = col_int(s, 0), status = col_int(s, 1);
                if ((status == ASSET_STATUS_COUNT) != f->trashed || (f->kinds && !(f->kinds & 1U << kind)) ||
                    (f->statuses && !(f->statuses & 1U << status)))
                        continue;
                *total += col_u64(s, 2);
        }
        return rc;
}

static int total_by_scan(struct db *db, const struct asset_filter *f, struct arena *a, uint64_t *total, struct err *e)
{
        struct sql q;
        struct rows *s = NULL;
        int rc = -1;

        sql_init(&q, db, a);
        sql_put(&q, "SELECT count(*) FROM asset a");
        if (sql_filter(&q, f, e) == 0 && (s = sql_run(&q, e)) != NULL && (rc = db_step(db, s, e)) > 0)
                *total = col_u64(s, 0);
        rows_free(s);
        sql_done(&q);
        return rc < 0 ? -1 : 0;
}

static int list_page(struct db *db, const struct asset_filter *f, const struct page *p, struct arena *a,
                     struct asset_page *out, struct err *e)
{
        struct sql q;
        int rc = -1;

        sql_init(&q, db, a);
        sql_put(&q, ASSET_SELECT);
        if (sql_filter_names(&q, f, out->total > MANY ? NAMES_SCANNED : NAMES_INDEXED, e) == 0)
                rc = page_read(p, &q, &out->assets, &out->n, &out->next, e);
        sql_done(&q);
        return rc;
}

int catalog_asset_list(struct catalog *c, const struct asset_filter *f, enum asset_sort sort, unsigned limit,
                       const char *cursor, struct arena *a, struct asset_page *out, struct err *e)
{
        struct mono began = mono_now();
        struct page p = {.list = &assets,
                         .order = orders[sort],
                         .limit = limit,
                         .shape = shape_int(filter_shape(f), (int64_t)sort)};
        struct db *db;
        int rc;

        assert((unsigned)sort < COUNT_OF(orders));
        *out = (struct asset_page){0};
        if (page_begin(&p, c, cursor, a, e) < 0)
                return -1;
        if (f->name)
                words_settle(c, WORDS_OF_ASSETS);
        db = read_begin(c, e);
        if (!db)
                return -1;
        rc = counters_do(f) ? total_from_counters(db, f, &out->total, e) : total_by_scan(db, f, a, &out->total, e);
        if (rc == 0)
                rc = list_page(db, f, &p, a, out, e);
        read_end(c, db, began);
        return rc;
}

int catalog_trash_due(struct catalog *c, struct wall t, unsigned limit, struct arena *a, struct id **out, size_t *n,
                      struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        struct rows *s;
        size_t cap = 0;
        int rc = -1;

        *out = NULL;
        *n = 0;
        if (!db)
                return -1;
        s = db_query(db, e, "SELECT id FROM asset WHERE trashed > 0 AND trashed < ? ORDER BY trashed LIMIT ?", "li",
                     t.us, (int)limit);
        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, out, &cap, *n + 1, sizeof **out, e)) {
                        db_end(s);
                        rc = -1;
                        break;
                }
                (*out)[(*n)++] = col_id(s, 0);
        }
        read_end(c, db, began);
        return rc;
}
