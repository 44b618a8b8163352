/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures for /metrics and /admin/stats. They are requested every few seconds, so figures that grow with the catalog
 * come from counters that the writer keeps up to date; only those bounded by the backlog are counted by queries.
 */
#include "jobs/counts.h"
#include "catalog/catalog_rules.h"

static int count_assets(struct db *db, const char *owner, struct catalog_counts *out, struct err *e)
{
        struct rows *s = db_query(
                db, e,
                "SELECT kind, status, CAST(sum(count) AS bigint), CAST(sum(bytes) AS bigint) FROM counter WHERE "
                "?1 IS NULL OR owner = ?1 "
                "GROUP BY kind, status",
                "t", owner);
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                int kind = col_int(s, 0), status = col_int(s, 1);
                if (kind == COUNTER_WAITING)
                        continue;
                if (kind == COUNTER_OBJECTS) {
                        out->objects = col_u64(s, 2);
                        out->object_bytes = col_u64(s, 3);
                } else if (status == ASSET_STATUS_COUNT) {
                        out->trashed += col_u64(s, 2);
                } else if (kind < KIND_COUNT && status < ASSET_STATUS_COUNT) {
                        out->assets[kind][status] += col_u64(s, 2);
                        out->asset_bytes += col_u64(s, 3);
                }
        }
        return rc;
}

#define TASKS_BY_TYPE(dead)                                                                                            \
        "SELECT type, 0, 0, count(*), purpose FROM task WHERE state = 0 GROUP BY purpose, type UNION ALL "             \
        "SELECT type, 1, 0, count(*), purpose FROM task WHERE state = 1 GROUP BY purpose, type UNION ALL " dead

static int count_tasks(struct db *db, const char *owner, struct catalog_counts *out, struct err *e)
{
        const char *all = SQL(
                db,
                TASKS_BY_TYPE("SELECT type, 3, input_fault, count(*), purpose FROM task WHERE state = 3 GROUP BY "
                              "purpose, type, input_fault"),
                TASKS_BY_TYPE("SELECT t.type, 3, f.input_fault, count(*), t.purpose FROM task t JOIN task_failed f ON "
                              "f.task = t.n WHERE t.state = 3 GROUP BY t.purpose, t.type, f.input_fault"));
        const char *of_owner = SQL(
                db,
                "SELECT t.type, t.state, t.input_fault, count(*), t.purpose FROM task t JOIN asset a ON a.n = t.asset "
                "WHERE t.state IN (0, 1, 3) AND a.owner = ? GROUP BY 1, 2, 3, 5",
                "SELECT t.type, t.state, coalesce(f.input_fault, 0), count(*), t.purpose FROM task t JOIN asset a "
                "ON a.n = t.asset LEFT JOIN task_failed f ON f.task = t.n AND t.state = 3 "
                "WHERE t.state IN (0, 1, 3) AND a.owner = ? GROUP BY 1, 2, 3, 5");
        struct rows *s = owner ? db_query(db, e, of_owner, "t", owner) : db_query(db, e, all, "");
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                int type = col_int(s, 0), purpose = col_int(s, 4);
                if (type < 0 || type >= JOB_TYPE_COUNT || purpose < 0 || purpose >= PURPOSE_COUNT)
                        continue;
                if (col_int(s, 1) == TASK_DEAD)
                        *(purpose ? &out->purpose_dead[purpose][!col_int(s, 2)] : &out->dead[type][!col_int(s, 2)]) +=
                                col_u64(s, 3);
                else
                        *(purpose ? &out->purpose_waiting[purpose] : &out->waiting[type]) += col_u64(s, 3);
        }
        return rc;
}

static int find_oldest(struct db *db, const char *owner, struct catalog_counts *out, struct err *e)
{
        int64_t now = wall_now().us, first;
        int rc = 0;

        for (int type = 0; type < JOB_TYPE_COUNT && rc >= 0; type++) {
                rc = owner ? db_int(db, e, &first,
                                    "SELECT t.run_after FROM task t JOIN asset a ON a.n = t.asset WHERE t.state = 0 "
                                    "AND t.purpose = 0 AND t.type = ? AND a.owner = ? ORDER BY t.run_after LIMIT 1",
                                    "it", type, owner)
                           : db_int(db, e, &first,
                                    "SELECT min(run_after) FROM task WHERE state = 0 AND purpose = 0 AND type = ?", "i",
                                    type);
                if (rc > 0 && (double)(now - first) / 1e6 > out->oldest_ready_seconds)
                        out->oldest_ready_seconds = (double)(now - first) / 1e6;
        }
        return rc < 0 ? -1 : 0;
}

static int objects_of(struct db *db, const char *owner, struct catalog_counts *out, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT count(*), CAST(coalesce(sum(size), 0) AS bigint) FROM object WHERE sha256 IN "
                                  "(SELECT sha256 FROM asset WHERE owner = ?)",
                                  "t", owner);
        int rc = s ? db_step(db, s, e) : -1;

        if (rc <= 0)
                return rc;
        out->objects = col_u64(s, 0);
        out->object_bytes = col_u64(s, 1);
        db_end(s);
        return 0;
}

#define UNSORTED(hint) "SELECT count(*) FROM asset " hint " WHERE cluster IS NULL AND kind = 0 AND trashed = 0"

static int count_rest(struct db *db, const char *owner, struct catalog_counts *out, struct err *e)
{
        int64_t clusters = 0, unsorted = 0, embeddings = 0;

        if (owner) {
                if (db_int(db, e, &clusters, "SELECT count(*) FROM cluster WHERE owner = ?", "t", owner) < 0 ||
                    db_int(db, e, &unsorted,
                           "SELECT count(*) FROM asset WHERE cluster IS NULL AND kind = 0 AND trashed = 0 AND owner = "
                           "?",
                           "t", owner) < 0 ||
                    db_int(db, e, &embeddings,
                           "SELECT count(*) FROM embedding x JOIN part p ON p.n = x.part AND p.kind = 0 JOIN asset a "
                           "ON a.n = "
                           "p.asset WHERE a.owner = ?",
                           "t", owner) < 0 ||
                    objects_of(db, owner, out, e) < 0)
                        return -1;
        } else if (db_int(db, e, &clusters, "SELECT count(*) FROM cluster", "") < 0 ||
                   db_int(db, e, &unsorted, SQL(db, UNSORTED("INDEXED BY asset_unsorted"), UNSORTED("")), "") < 0 ||
                   db_int(db, e, &embeddings,
                          "SELECT (SELECT count(*) FROM embedding) - (SELECT count(*) FROM part p JOIN embedding x ON "
                          "x.part = "
                          "p.n WHERE p.kind > 0)",
                          "") < 0) {
                return -1;
        }
        out->clusters = (uint64_t)clusters;
        out->unsorted = (uint64_t)unsorted;
        out->embeddings = (uint64_t)embeddings;
        return 0;
}

int catalog_counts(struct catalog *c, const char *owner, struct catalog_counts *out, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int rc;

        *out = (struct catalog_counts){0};
        if (!db)
                return -1;
        rc = count_assets(db, owner, out, e) < 0 || count_tasks(db, owner, out, e) < 0 ||
                             find_oldest(db, owner, out, e) || count_rest(db, owner, out, e)
                     ? -1
                     : 0;
        read_end(c, db, began);
        return rc;
}
