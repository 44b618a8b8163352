/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads folders: lists, one folder, a snapshot for the organiser, and the tags of its members. The cover is the
 * newest picture that is not in the trash, the last one of an upload of several; it is looked up, not stored.
 */
#include "folders/folders.h"
#include "catalog/catalog_rules.h"

#define CLUSTER_SELECT                                                                                                 \
        "SELECT c.id, c.owner, c.name, c.status, c.threshold, c.locked, c.touched, c.named, c.count, "                 \
        "(SELECT x.id FROM asset x WHERE x.cluster = c.id AND x.trashed = 0 AND x.kind = 0 ORDER BY x.created DESC, "  \
        "x.n DESC LIMIT 1), c.version, c.created, c.updated, c.n, c.name_fold FROM cluster c "

static const struct order orders[] = {
        [CLUSTERS_BY_NAME] = {"c.name_fold", 14, text_fold, false},
        [CLUSTERS_BY_COUNT] = {"c.count", 8, NULL, true},
        [CLUSTERS_BY_UPDATED] = {"c.updated", 12, NULL, true},
        [CLUSTERS_BY_CREATED] = {"c.created", 11, NULL, true},
};

static int cluster_read(struct db *db, struct rows *s, struct arena *a, void *at, struct err *e)
{
        struct cluster *out = at;
        bool ok = true;

        (void)db;
        *out = (struct cluster){.id = col_id(s, 0),
                                .owner = col_text(a, s, 1, &ok),
                                .name = col_text(a, s, 2, &ok),
                                .status = (enum cluster_status)col_int(s, 3),
                                .threshold = (float)col_f64(s, 4),
                                .locked = col_int(s, 5) != 0,
                                .touched = col_int(s, 6) != 0,
                                .named = col_int(s, 7) != 0,
                                .asset_count = col_u64(s, 8),
                                .cover = col_id(s, 9),
                                .version = col_u64(s, 10),
                                .created = col_wall(s, 11),
                                .updated = col_wall(s, 12)};
        return ok ? 0 : err_oom(e);
}

static const struct list clusters = {.read = cluster_read, .size = sizeof(struct cluster), .n = "c.n", .n_column = 13};

static void put_filter(struct sql *q, const struct cluster_filter *f)
{
        sql_put(q, "WHERE true");
        if (f->owner)
                sql_text(q, " AND c.owner = ?", f->owner);
        if (f->status >= 0)
                sql_int(q, " AND c.status = ?", f->status);
}

static int total_of(struct db *db, const struct cluster_filter *f, struct arena *a, uint64_t *total, struct err *e)
{
        struct sql q;
        struct rows *s;
        int rc = -1;

        sql_init(&q, db, a);
        sql_put(&q, "SELECT count(*) FROM cluster c ");
        put_filter(&q, f);
        s = sql_run(&q, e);
        if (s && (rc = db_step(db, s, e)) > 0)
                *total = col_u64(s, 0);
        rows_free(s);
        sql_done(&q);
        return rc < 0 ? -1 : 0;
}

int catalog_cluster_list(struct catalog *c, const struct cluster_filter *f, enum cluster_sort sort, unsigned limit,
                         const char *cursor, struct arena *a, struct cluster **out, size_t *n, uint64_t *total,
                         const char **next, struct err *e)
{
        struct mono began = mono_now();
        struct page p = {.list = &clusters,
                         .order = orders[sort],
                         .limit = limit,
                         .shape = shape_int(shape_int(shape_str(3, f->owner), f->status), (int64_t)sort)};
        struct db *db;
        struct sql q;
        int rc;

        *out = NULL;
        *n = 0;
        *total = 0;
        *next = NULL;
        if (page_begin(&p, c, cursor, a, e) < 0 || !(db = read_begin(c, e)))
                return -1;
        sql_init(&q, db, a);
        sql_put(&q, CLUSTER_SELECT);
        put_filter(&q, f);
        rc = total_of(db, f, a, total, e);
        if (rc == 0)
                rc = page_read(&p, &q, out, n, next, e);
        sql_done(&q);
        read_end(c, db, began);
        return rc;
}

static int survivor_of(struct db *db, struct id id, const char *owner, struct id *survivor, struct err *e)
{
        struct rows *s =
                db_query(db, e,
                         "SELECT x.target FROM cluster_alias x JOIN cluster c ON c.id = x.target WHERE x.id = ?1 "
                         "AND (?2 IS NULL OR c.owner = ?2)",
                         "ut", &id, owner);
        int rc = s ? db_step(db, s, e) : -1;

        if (rc > 0) {
                *survivor = col_id(s, 0);
                db_end(s);
        }
        return rc < 0 ? -1 : 0;
}

int catalog_cluster_get(struct catalog *c, struct id id, const char *owner, struct arena *a, struct cluster *out,
                        struct id *survivor, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        struct rows *s;
        int rc;

        if (survivor)
                *survivor = (struct id){{0}};
        if (!db)
                return -1;
        s = db_query(db, e, CLUSTER_SELECT "WHERE c.id = ?1 AND (?2 IS NULL OR c.owner = ?2)", "ut", &id, owner);
        rc = s ? db_step(db, s, e) : -1;
        if (rc > 0) {
                rc = cluster_read(db, s, a, out, e);
                db_end(s);
        } else if (rc == 0) {
                rc = survivor ? survivor_of(db, id, owner, survivor, e) : 0;
                if (rc == 0)
                        rc = err_set(e, ERR_NOT_FOUND,
                                     survivor && !id_is_nil(*survivor) ? "the folder was merged into another"
                                                                       : "no such folder");
        }
        read_end(c, db, began);
        return rc;
}

int catalog_cluster_snapshot(struct catalog *c, const char *model_id, const char *owner, struct arena *a,
                             struct cluster **out, float **prototypes, size_t *n, struct err *e)
{
        struct mono began = mono_now();
        struct db *db;
        struct rows *s;
        size_t cap = 0, pcap = 0;
        int64_t model;
        uint32_t dim;
        int rc = -1;

        *out = NULL;
        *prototypes = NULL;
        *n = 0;
        if (model_in_use(c, model_id, &model, &dim, e) < 0 || !(db = read_begin(c, e)))
                return -1;
        s = db_query(
                db, e,
                "SELECT c.id, c.owner, c.name, c.status, c.threshold, c.locked, c.touched, c.named, c.count, NULL, "
                "c.version, c.created, c.updated, p.sum FROM cluster c JOIN cluster_prototype p ON p.cluster = c.id "
                "WHERE c.owner = ? AND p.model = ? ORDER BY c.n",
                "tl", owner, model);
        while (s && (rc = db_step(db, s, e)) > 0) {
                float *v;
                if ((size_t)col_bytes(s, 13) != dim * sizeof(float))
                        continue;
                if (arena_grow(a, out, &cap, *n + 1, sizeof **out, e) ||
                    arena_grow(a, prototypes, &pcap, *n + 1, dim * sizeof(float), e) ||
                    cluster_read(db, s, a, &(*out)[*n], e)) {
                        db_end(s);
                        rc = -1;
                        break;
                }
                v = *prototypes + *n * dim;
                memcpy(v, col_blob(s, 13), dim * sizeof(float));
                *n += vec_normalise(v, dim);
        }
        read_end(c, db, began);
        return rc;
}

int catalog_cluster_tags(struct catalog *c, struct id cluster, size_t max, struct arena *a, struct tag_count **out,
                         size_t *n, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        struct rows *s;
        size_t cap = 0;
        bool ok = true;
        int rc = -1;

        *out = NULL;
        *n = 0;
        if (!db)
                return -1;
        /* A tag given by both a person and a model counts once, with the higher confidence. */
        s = db_query(
                db, e,
                "SELECT name, count(*), avg(best) FROM (SELECT t.name AS name, max(x.confidence) AS best FROM asset a "
                "JOIN asset_tag x ON x.asset = a.n JOIN tag t ON t.n = x.tag WHERE a.cluster = ? AND a.trashed = 0 "
                "GROUP BY a.n, t.n, t.name) AS each_one GROUP BY name ORDER BY 2 DESC, 3 DESC, 1 LIMIT ?",
                "ul", &cluster, (int64_t)max);
        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, out, &cap, *n + 1, sizeof **out, e)) {
                        db_end(s);
                        rc = -1;
                        break;
                }
                (*out)[(*n)++] = (struct tag_count){.name = col_text(a, s, 0, &ok),
                                                    .members = col_u64(s, 1),
                                                    .mean_confidence = (float)col_f64(s, 2)};
        }
        read_end(c, db, began);
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}

int catalog_owners(struct catalog *c, struct arena *a, const char ***out, size_t *n, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        struct rows *s;
        size_t cap = 0;
        bool ok = true;
        int rc = -1;

        *out = NULL;
        *n = 0;
        if (!db)
                return -1;
        s = db_query(
                db, e,
                "SELECT owner FROM counter WHERE kind = 0 AND status < 4 GROUP BY owner HAVING sum(count) > 0 ORDER BY "
                "owner",
                "");
        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, out, &cap, *n + 1, sizeof **out, e)) {
                        db_end(s);
                        rc = -1;
                        break;
                }
                (*out)[(*n)++] = col_text(a, s, 0, &ok);
        }
        read_end(c, db, began);
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}
