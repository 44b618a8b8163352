/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs as users see them, and the dead-letter queue. A job's progress is stored in its row by whatever changes an
 * asset's status, so lists never count.
 */
#include "jobs/jobs.h"
#include "catalog/catalog_rules.h"

#include <stdio.h>

#define JOB_SELECT                                                                                                     \
        "SELECT j.id, j.owner, j.status, j.queued, j.processing, j.done, j.failed, j.created, j.updated, "             \
        "j.completed, j.n FROM job j "

static int job_read(struct db *db, struct rows *s, struct arena *a, void *at, struct err *e)
{
        struct job_view *out = at;
        bool ok = true;

        (void)db;
        *out = (struct job_view){.id = col_id(s, 0),
                                 .owner = col_text(a, s, 1, &ok),
                                 .status = (enum job_status)col_int(s, 2),
                                 .queued = col_u64(s, 3),
                                 .processing = col_u64(s, 4),
                                 .done = col_u64(s, 5),
                                 .failed = col_u64(s, 6),
                                 .created = col_wall(s, 7),
                                 .updated = col_wall(s, 8),
                                 .completed = col_wall(s, 9)};
        out->total = out->queued + out->processing + out->done + out->failed;
        return ok ? 0 : err_oom(e);
}

static int job_assets(struct db *db, int64_t n, struct arena *a, struct job_view *out, struct err *e)
{
        struct rows *s =
                db_query(db, e,
                         "SELECT id, filename, status, stage, cluster, error, error_code FROM asset WHERE job = ? "
                         "ORDER BY position",
                         "l", n);
        size_t cap = 0;
        bool ok = true;
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, &out->assets, &cap, out->nassets + 1, sizeof *out->assets, e)) {
                        db_end(s);
                        return -1;
                }
                out->assets[out->nassets++] = (struct asset){.id = col_id(s, 0),
                                                             .job_id = out->id,
                                                             .filename = col_text(a, s, 1, &ok),
                                                             .status = (enum asset_status)col_int(s, 2),
                                                             .stage = col_text(a, s, 3, &ok),
                                                             .cluster_id = col_id(s, 4),
                                                             .error = col_text(a, s, 5, &ok),
                                                             .error_code = col_text(a, s, 6, &ok)};
        }
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}

int catalog_job_get(struct catalog *c, struct id job, const char *owner, struct arena *a, struct job_view *out,
                    struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        struct rows *s;
        int64_t n;
        int rc;

        if (!db)
                return -1;
        s = db_query(db, e, JOB_SELECT "WHERE j.id = ?1 AND (?2 IS NULL OR j.owner = ?2)", "ut", &job, owner);
        rc = s ? db_step(db, s, e) : -1;
        if (rc == 0)
                rc = err_set(e, ERR_NOT_FOUND, "no such job");
        if (rc > 0) {
                n = col_i64(s, 10);
                rc = job_read(db, s, a, out, e);
                db_end(s);
                if (rc == 0)
                        rc = job_assets(db, n, a, out, e);
        }
        read_end(c, db, began);
        return rc;
}

static const struct list jobs = {.read = job_read, .size = sizeof(struct job_view), .n = "j.n", .n_column = 10};

int catalog_job_list(struct catalog *c, const char *owner, int status, unsigned limit, const char *cursor,
                     struct arena *a, struct job_view **out, size_t *n, const char **next, struct err *e)
{
        struct mono began = mono_now();
        struct page p = {.list = &jobs,
                         .order = {.key = "j.created", .column = 7, .down = true},
                         .limit = limit,
                         .shape = shape_int(shape_str(1, owner), status)};
        struct db *db;
        struct sql q;
        int rc;

        *out = NULL;
        *n = 0;
        *next = NULL;
        if (page_begin(&p, c, cursor, a, e) < 0 || !(db = read_begin(c, e)))
                return -1;
        sql_init(&q, db, a);
        sql_put(&q, JOB_SELECT "WHERE true");
        if (owner)
                sql_text(&q, " AND j.owner = ?", owner);
        if (status >= 0)
                sql_int(&q, " AND j.status = ?", status);
        rc = page_read(&p, &q, out, n, next, e);
        sql_done(&q);
        read_end(c, db, began);
        return rc;
}

/* ---- the dead-letter queue ------------------------------------------------------------ */

/* The details of a failure are columns of the task in SQLite, and a table of their own in PostgreSQL. */
#define DEAD(failed, from)                                                                                             \
        "SELECT t.id, j.id, a.id, t.type, a.filename, a.owner, " failed ".stage, " failed ".error, code, t.errors, "   \
        "t.crashes, t.deliveries, first_failed, last_failed, t.n, t.purpose FROM " from                                \
        " JOIN asset a ON a.n = t.asset "                                                                              \
        "JOIN job j ON j.n = a.job WHERE t.state = 3"
#define DEAD_SELECT(db, rest)                                                                                          \
        SQL(db, DEAD("t", "task t") rest, DEAD("f", "task t JOIN task_failed f ON f.task = t.n") rest)
#define DEAD_COUNT(from) "SELECT count(*) FROM " from " WHERE state = 3 AND (?1 IS NULL OR stage = ?1)"
/* Restricts to one owner, over "t" and the failure "f". */
#define DEAD_COUNT_OF(failed, from)                                                                                    \
        "SELECT count(*) FROM " from " JOIN asset a ON a.n = t.asset WHERE t.state = 3 AND (?1 IS NULL OR " failed     \
        ".stage = ?1) AND a.owner = ?2"

static int dead_read(struct db *db, struct rows *s, struct arena *a, void *at, struct err *e)
{
        struct dead_task *out = at;
        bool ok = true;

        (void)db;
        *out = (struct dead_task){.task_id = col_id(s, 0),
                                  .job_id = col_id(s, 1),
                                  .asset_id = col_id(s, 2),
                                  .purpose = (enum task_purpose)col_int(s, 15),
                                  .type = (enum job_type)col_int(s, 3),
                                  .filename = col_text(a, s, 4, &ok),
                                  .owner = col_text(a, s, 5, &ok),
                                  .stage = col_text(a, s, 6, &ok),
                                  .error = col_text(a, s, 7, &ok),
                                  .code = col_text(a, s, 8, &ok),
                                  .errors = (unsigned)col_int(s, 9),
                                  .crashes = (unsigned)col_int(s, 10),
                                  .deliveries = (unsigned)col_int(s, 11),
                                  .first_failed = col_wall(s, 12),
                                  .last_failed = col_wall(s, 13)};
        return ok ? 0 : err_oom(e);
}

static int dead_count(struct db *db, const char *owner, const char *stage, uint64_t *total, struct err *e)
{
        int64_t n = 0;
        int rc = owner ? db_int(db, e, &n,
                                SQL(db, DEAD_COUNT_OF("t", "task t"),
                                    DEAD_COUNT_OF("f", "task t JOIN task_failed f ON f.task = t.n")),
                                "tt", stage, owner)
                       : db_int(db, e, &n, SQL(db, DEAD_COUNT("task"), DEAD_COUNT("task JOIN task_failed ON task = n")),
                                "t", stage);

        *total = (uint64_t)n;
        return rc;
}

static const struct list dead = {.read = dead_read, .size = sizeof(struct dead_task), .n = "t.n", .n_column = 14};

int catalog_dlq_list(struct catalog *c, const char *owner, const char *stage, unsigned limit, const char *cursor,
                     struct arena *a, struct dead_task **out, size_t *n, uint64_t *total, const char **next,
                     struct err *e)
{
        struct mono began = mono_now();
        struct page p = {.list = &dead,
                         .order = {.key = "last_failed", .column = 13, .down = true},
                         .limit = limit,
                         .shape = shape_str(shape_str(2, stage), owner)};
        struct db *db;
        struct sql q;
        int rc;

        *out = NULL;
        *n = 0;
        *next = NULL;
        *total = 0;
        if (page_begin(&p, c, cursor, a, e) < 0 || !(db = read_begin(c, e)))
                return -1;
        sql_init(&q, db, a);
        sql_put(&q, DEAD_SELECT(db, ""));
        if (owner)
                sql_text(&q, " AND a.owner = ?", owner);
        if (stage)
                sql_text(&q, SQL(db, " AND t.stage = ?", " AND f.stage = ?"), stage);
        rc = dead_count(db, owner, stage, total, e);
        if (rc >= 0)
                rc = page_read(&p, &q, out, n, next, e);
        sql_done(&q);
        read_end(c, db, began);
        return rc;
}

int catalog_dlq_get(struct catalog *c, struct id job, const char *owner, struct arena *a, struct dead_task **out,
                    size_t *n, struct err *e)
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
        s = db_query(db, e, DEAD_SELECT(db, " AND j.id = ?1 AND (?2 IS NULL OR a.owner = ?2) ORDER BY a.position"),
                     "ut", &job, owner);
        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, out, &cap, *n + 1, sizeof **out, e) || dead_read(db, s, a, &(*out)[*n], e) ||
                    task_errors(db, col_i64(s, 14), a, &(*out)[*n].history, &(*out)[*n].nhistory, e)) {
                        db_end(s);
                        rc = -1;
                        break;
                }
                ++*n;
        }
        read_end(c, db, began);
        if (rc == 0 && *n == 0)
                return err_set(e, ERR_NOT_FOUND, "the job has nothing in the dead-letter queue");
        return rc;
}

/* ---- out of the queue ------------------------------------------------------------------- */

struct dlq_args {
        const struct dlq_choice *which;
        size_t at; /* how much of the list is done */
        bool discard, more;
        uint64_t moved;
};

#define NEXT_DEAD                                                                                                      \
        "SELECT t.n, t.asset, t.purpose FROM asset a JOIN task t ON t.asset = a.n WHERE (?1 IS NULL OR a.owner = ?1) " \
        "AND "                                                                                                         \
        "t.state = 3 AND "

/* Finds the next dead task to move: returns 1, 0 when there is none, -1 on error. */
static int next_dead(struct tx *tx, struct dlq_args *g, struct held *out, struct err *e)
{
        const struct dlq_choice *w = g->which;

        for (;;) {
                const struct id *one = w->assets ? &w->assets[g->at] : NULL;
                struct rows *s;
                int rc;
                if (w->assets && g->at == w->n)
                        return 0;
                if (one)
                        s = db_query(tx->db, e,
                                     LOCKING(tx->db,
                                             NEXT_DEAD "a.id = ?2 AND (?3 IS NULL OR a.job = (SELECT n FROM job WHERE "
                                                       "id = ?3)) LIMIT 1",
                                             "FOR UPDATE OF t SKIP LOCKED"),
                                     "tuu", w->owner, one, w->job);
                else if (w->job)
                        s = db_query(tx->db, e,
                                     LOCKING(tx->db, NEXT_DEAD "a.job = (SELECT n FROM job WHERE id = ?2) LIMIT 1",
                                             "FOR UPDATE OF t SKIP LOCKED"),
                                     "tu", w->owner, w->job);
                else
                        s = db_query(tx->db, e,
                                     LOCKING(tx->db,
                                             "SELECT t.n, t.asset, t.purpose FROM task t CROSS JOIN asset a WHERE "
                                             "t.state = 3 AND "
                                             "a.n = t.asset AND (?1 IS NULL OR a.owner = ?1) LIMIT 1",
                                             "FOR UPDATE OF t SKIP LOCKED"),
                                     "t", w->owner);
                rc = s ? db_step(tx->db, s, e) : -1;
                g->at +=
                        one && rc == 0; /* a task taken leaves the queue: the asset is asked again and done with then */
                if (rc == 0 && one)
                        continue;
                if (rc <= 0)
                        return rc;
                *out = (struct held){
                        .n = col_i64(s, 0), .asset = col_i64(s, 1), .purpose = (enum task_purpose)col_int(s, 2)};
                db_end(s);
                return 1;
        }
}

/* Of an analysis, which the history meant when there was nothing else, it says nothing. */
static int dlq_lineage(struct tx *tx, const struct held *t, const char *action, const char *actor, struct err *e)
{
        char detail[64];

        snprintf(detail, sizeof detail, "{\"purpose\":\"%s\"}", task_purpose_name(t->purpose));
        return lineage_add(tx, t->asset, action, actor, t->purpose == PURPOSE_ANALYSE ? NULL : detail, e);
}

static int revive_task(struct tx *tx, const struct held *t, const char *actor, struct err *e)
{
        struct row r;

        if (task_move(tx, t->n, TASK_DEAD, TASK_READY, e) ||
            db_run(tx->db, e, "UPDATE task SET errors = 0, crashes = 0, run_after = ? WHERE n = ?", "ll", tx->now.us,
                   t->n))
                return -1;
        if (t->purpose == PURPOSE_ANALYSE &&
            (db_run(tx->db, e, "UPDATE asset SET error = NULL, error_code = NULL WHERE n = ?", "l", t->asset) ||
             row_load(tx, t->asset, &r, e) || row_set_status(tx, &r, ASSET_QUEUED, e)))
                return -1;
        return dlq_lineage(tx, t, "retried", actor, e);
}

static int discard_task(struct tx *tx, const struct held *t, const char *actor, struct err *e)
{
        struct row r;

        if (db_run(tx->db, e, "DELETE FROM task WHERE n = ?", "l", t->n) || row_load(tx, t->asset, &r, e) ||
            tx_mark(tx, KEPT_ASSET, r.id, e))
                return -1;
        return dlq_lineage(tx, t, "discarded", actor, e);
}

static int do_dlq(struct tx *tx, void *arg, struct err *e)
{
        struct dlq_args work = *(struct dlq_args *)arg, *g = &work; /* it may run again */
        struct mono began = mono_now();
        struct held t;
        int rc = 1;

        g->more = true;
        while (mono_since(began).ns < dur_ms(20).ns && (rc = next_dead(tx, g, &t, e)) > 0) {
                if (g->discard)
                        rc = discard_task(tx, &t, g->which->actor, e);
                else
                        rc = revive_task(tx, &t, g->which->actor, e);
                if (rc < 0)
                        return -1;
                g->moved++;
                rc = 1;
        }
        if (rc < 0)
                return -1;
        g->more = rc > 0;
        *(struct dlq_args *)arg = work;
        return 0;
}

static int dlq_move(struct catalog *c, bool discard, const struct dlq_choice *which, uint64_t *moved, struct err *e)
{
        struct dlq_args g = {.which = which, .discard = discard};

        *moved = 0;
        do {
                struct dlq_args slice = g;
                slice.moved = 0;
                if (write_do(c, LANE_BULK, do_dlq, &slice, e) < 0)
                        return -1; /* *moved tells of the slices before */
                *moved += slice.moved;
                g = slice;
        } while (g.more);
        return 0;
}

int catalog_dlq_retry(struct catalog *c, const struct dlq_choice *which, uint64_t *moved, struct err *e)
{
        return dlq_move(c, false, which, moved, e);
}

int catalog_dlq_discard(struct catalog *c, const struct dlq_choice *which, uint64_t *moved, struct err *e)
{
        return dlq_move(c, true, which, moved, e);
}
