/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs as users see them, and the dead-letter queue. A job's progress is kept
 * on its row by whoever changes an asset's status, so lists never count.
 */
#include "catalog/catalog_postgres_priv.h"

#define LIMIT_MAX 1000

#define JOB_SELECT                                                                                                     \
        "SELECT j.id, j.owner, j.status, j.queued, j.processing, j.done, j.failed, j.created, j.updated, "             \
        "j.completed, "                                                                                                \
        "j.n FROM job j "

static int job_read(struct pg_rows *s, struct arena *a, struct job_view *out, struct err *e)
{
        bool ok = true;

        *out = (struct job_view){.id = pg_col_id(s, 0),
                                 .owner = pg_col_text(a, s, 1, &ok),
                                 .status = (enum job_status)pg_col_int(s, 2),
                                 .queued = pg_col_u64(s, 3),
                                 .processing = pg_col_u64(s, 4),
                                 .done = pg_col_u64(s, 5),
                                 .failed = pg_col_u64(s, 6),
                                 .created = pg_col_wall(s, 7),
                                 .updated = pg_col_wall(s, 8),
                                 .completed = pg_col_wall(s, 9)};
        out->total = out->queued + out->processing + out->done + out->failed;
        return ok ? 0 : err_oom(e);
}

static int job_assets(struct pg_conn *db, int64_t n, struct arena *a, struct job_view *out, struct err *e)
{
        struct pg_rows *s =
                pg_query(db, e,
                         "SELECT id, filename, status, stage, cluster, error, error_code FROM asset WHERE job = ? "
                         "ORDER BY position",
                         "l", n);
        size_t cap = 0;
        bool ok = true;
        int rc = -1;

        while (s && (rc = pg_step(db, s, e)) > 0) {
                if (arena_grow(a, &out->assets, &cap, out->nassets + 1, sizeof(*out->assets), e) < 0) {
                        pg_end(s);
                        return -1;
                }
                out->assets[out->nassets++] = (struct asset){.id = pg_col_id(s, 0),
                                                             .job_id = out->id,
                                                             .filename = pg_col_text(a, s, 1, &ok),
                                                             .status = (enum asset_status)pg_col_int(s, 2),
                                                             .stage = pg_col_text(a, s, 3, &ok),
                                                             .cluster_id = pg_col_id(s, 4),
                                                             .error = pg_col_text(a, s, 5, &ok),
                                                             .error_code = pg_col_text(a, s, 6, &ok)};
        }
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}

int catalog_pg_job_get(struct catalog *c, struct id job, const char *owner, struct arena *a, struct job_view *out,
                       struct err *e)
{
        struct mono began = mono_now();
        struct pg_conn *db = pg_read_begin(pg_self(c), e);
        struct pg_rows *s;
        int64_t n;
        int rc;

        if (!db)
                return -1;
        s = pg_query(db, e, JOB_SELECT "WHERE j.id = ?1 AND (?2 IS NULL OR j.owner = ?2)", "ut", &job, owner);
        rc = s ? pg_step(db, s, e) : -1;
        if (rc == 0)
                rc = err_set(e, ERR_NOT_FOUND, "no such job");
        if (rc > 0) {
                n = pg_col_i64(s, 10);
                rc = job_read(s, a, out, e);
                pg_end(s);
                if (rc == 0)
                        rc = job_assets(db, n, a, out, e);
        }
        pg_read_end(pg_self(c), db, began);
        return rc;
}

static int job_page(struct pg_conn *db, struct pg_rows *s, unsigned limit, uint64_t shape, struct arena *a,
                    struct job_view **out, size_t *n, const char **next, struct err *e)
{
        const char *here = NULL;
        size_t cap = 0;
        int rc;

        while ((rc = pg_step(db, s, e)) > 0) {
                if (*n == limit) {
                        *next = here;
                        return 0;
                }
                if (arena_grow(a, out, &cap, *n + 1, sizeof(**out), e) < 0 || job_read(s, a, &(*out)[*n], e) < 0)
                        return -1;
                if (++*n == limit) {
                        struct cursor cur = {.key = pg_col_i64(s, 7), .n = pg_col_i64(s, 10)};
                        here = cursor_write(a, shape, &cur);
                        if (!here)
                                return err_oom(e);
                }
        }
        return rc;
}

int catalog_pg_job_list(struct catalog *c, const char *owner, int status, unsigned limit, const char *cursor,
                        struct arena *a, struct job_view **out, size_t *n, const char **next, struct err *e)
{
        struct mono began = mono_now();
        uint64_t shape = shape_int(shape_str(1, owner), status);
        struct pg_rows *s = NULL;
        struct cursor cur;
        struct pg_conn *db;
        struct sql q;
        int rc = cursor_read(a, shape, cursor, &cur, e);

        *out = NULL;
        *n = 0;
        *next = NULL;
        if (rc < 0)
                return -1;
        if (limit == 0 || limit > LIMIT_MAX)
                return err_set(e, ERR_INVALID, "limit: %u, allowed are 1 to %d", limit, LIMIT_MAX);
        db = pg_read_begin(pg_self(c), e);
        if (!db)
                return -1;
        pg_sql_init(&q, a);
        pg_sql_put(&q, JOB_SELECT "WHERE true");
        if (owner)
                pg_sql_text(&q, " AND j.owner = ?", owner);
        if (status >= 0)
                pg_sql_int(&q, " AND j.status = ?", status);
        if (rc > 0) {
                pg_sql_int(&q, " AND (j.created, j.n) < (?", cur.key);
                pg_sql_int(&q, ", ?)", cur.n);
        }
        pg_sql_int(&q, " ORDER BY j.created DESC, j.n DESC LIMIT ?", (int64_t)limit + 1);
        s = pg_sql_run(&q, db, e);
        rc = s ? job_page(db, s, limit, shape, a, out, n, next, e) : -1;
        pg_rows_free(s);
        pg_sql_done(&q);
        pg_read_end(pg_self(c), db, began);
        return rc;
}

/* ---- the dead-letter queue ------------------------------------------------------------ */

#define DEAD_SELECT                                                                                                    \
        "SELECT t.id, j.id, a.id, t.type, a.filename, a.owner, f.stage, f.error, f.code, t.errors, t.crashes, "        \
        "t.deliveries, f.first_failed, f.last_failed, t.n FROM task t JOIN task_failed f ON f.task = t.n "             \
        "JOIN asset a ON a.n = t.asset "                                                                               \
        "JOIN job j ON j.n = a.job WHERE t.state = 3"

static int dead_read(struct pg_rows *s, struct arena *a, struct dead_task *out, struct err *e)
{
        bool ok = true;

        *out = (struct dead_task){.task_id = pg_col_id(s, 0),
                                  .job_id = pg_col_id(s, 1),
                                  .asset_id = pg_col_id(s, 2),
                                  .type = (enum job_type)pg_col_int(s, 3),
                                  .filename = pg_col_text(a, s, 4, &ok),
                                  .owner = pg_col_text(a, s, 5, &ok),
                                  .stage = pg_col_text(a, s, 6, &ok),
                                  .error = pg_col_text(a, s, 7, &ok),
                                  .code = pg_col_text(a, s, 8, &ok),
                                  .errors = (unsigned)pg_col_int(s, 9),
                                  .crashes = (unsigned)pg_col_int(s, 10),
                                  .deliveries = (unsigned)pg_col_int(s, 11),
                                  .first_failed = pg_col_wall(s, 12),
                                  .last_failed = pg_col_wall(s, 13)};
        return ok ? 0 : err_oom(e);
}

static int dead_page(struct pg_conn *db, struct pg_rows *s, unsigned limit, uint64_t shape, struct arena *a,
                     struct dead_task **out, size_t *n, const char **next, struct err *e)
{
        const char *here = NULL;
        size_t cap = 0;
        int rc;

        while ((rc = pg_step(db, s, e)) > 0) {
                if (*n == limit) {
                        *next = here;
                        return 0;
                }
                if (arena_grow(a, out, &cap, *n + 1, sizeof(**out), e) < 0 || dead_read(s, a, &(*out)[*n], e) < 0)
                        return -1;
                if (++*n == limit) {
                        struct cursor cur = {.key = pg_col_i64(s, 13), .n = pg_col_i64(s, 14)};
                        here = cursor_write(a, shape, &cur);
                        if (!here)
                                return err_oom(e);
                }
        }
        return rc;
}

int catalog_pg_dlq_list(struct catalog *c, const char *stage, unsigned limit, const char *cursor, struct arena *a,
                        struct dead_task **out, size_t *n, uint64_t *total, const char **next, struct err *e)
{
        struct mono began = mono_now();
        uint64_t shape = shape_str(2, stage);
        struct pg_rows *s = NULL;
        struct cursor cur;
        struct pg_conn *db;
        struct sql q;
        int rc = cursor_read(a, shape, cursor, &cur, e);
        int64_t count = 0;

        *out = NULL;
        *n = 0;
        *next = NULL;
        *total = 0;
        if (rc < 0)
                return -1;
        if (limit == 0 || limit > LIMIT_MAX)
                return err_set(e, ERR_INVALID, "limit: %u, allowed are 1 to %d", limit, LIMIT_MAX);
        db = pg_read_begin(pg_self(c), e);
        if (!db)
                return -1;
        pg_sql_init(&q, a);
        pg_sql_put(&q, DEAD_SELECT);
        if (stage)
                pg_sql_text(&q, " AND f.stage = ?", stage);
        if (rc > 0) {
                pg_sql_int(&q, " AND (f.last_failed, t.n) < (?", cur.key);
                pg_sql_int(&q, ", ?)", cur.n);
        }
        pg_sql_int(&q, " ORDER BY f.last_failed DESC, t.n DESC LIMIT ?", (int64_t)limit + 1);
        rc = pg_int(db, e, &count,
                    "SELECT count(*) FROM task t JOIN task_failed f ON f.task = t.n WHERE t.state = 3 AND (?1 IS NULL "
                    "OR f.stage "
                    "= ?1)",
                    "t", stage);
        *total = (uint64_t)count;
        s = rc < 0 ? NULL : pg_sql_run(&q, db, e);
        rc = s ? dead_page(db, s, limit, shape, a, out, n, next, e) : -1;
        pg_rows_free(s);
        pg_sql_done(&q);
        pg_read_end(pg_self(c), db, began);
        return rc;
}

static int history(struct pg_conn *db, int64_t task, struct arena *a, struct dead_task *out, struct err *e)
{
        struct pg_rows *s = pg_query(
                db, e, "SELECT stage, code, message, at, crash FROM task_error WHERE task = ? ORDER BY n", "l", task);
        size_t cap = 0;
        bool ok = true;
        int rc = -1;

        while (s && (rc = pg_step(db, s, e)) > 0) {
                if (arena_grow(a, &out->history, &cap, out->nhistory + 1, sizeof(*out->history), e) < 0) {
                        pg_end(s);
                        return -1;
                }
                out->history[out->nhistory++] = (struct task_error){.stage = pg_col_text(a, s, 0, &ok),
                                                                    .code = pg_col_text(a, s, 1, &ok),
                                                                    .message = pg_col_text(a, s, 2, &ok),
                                                                    .at = pg_col_wall(s, 3),
                                                                    .crash = pg_col_int(s, 4) != 0};
        }
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}

int catalog_pg_dlq_get(struct catalog *c, struct id job, struct arena *a, struct dead_task **out, size_t *n,
                       struct err *e)
{
        struct mono began = mono_now();
        struct pg_conn *db = pg_read_begin(pg_self(c), e);
        struct pg_rows *s;
        size_t cap = 0;
        int rc = -1;

        *out = NULL;
        *n = 0;
        if (!db)
                return -1;
        s = pg_query(db, e, DEAD_SELECT " AND j.id = ? ORDER BY a.position", "u", &job);
        while (s && (rc = pg_step(db, s, e)) > 0) {
                if (arena_grow(a, out, &cap, *n + 1, sizeof(**out), e) < 0 || dead_read(s, a, &(*out)[*n], e) < 0 ||
                    history(db, pg_col_i64(s, 14), a, &(*out)[*n], e) < 0) {
                        pg_end(s);
                        rc = -1;
                        break;
                }
                ++*n;
        }
        pg_read_end(pg_self(c), db, began);
        if (rc == 0 && *n == 0)
                return err_set(e, ERR_NOT_FOUND, "the job has nothing in the dead-letter queue");
        return rc;
}

/* ---- out of the queue ------------------------------------------------------------------- */

struct dlq_args {
        const struct id *job, *assets;
        size_t n, at; /* at: how far the list is done */
        bool discard, more;
        uint64_t moved;
};

/* The next dead task to move: 1 found, 0 none, -1. */
static int next_dead(struct pg_tx *tx, struct dlq_args *g, int64_t *task, int64_t *asset, struct err *e)
{
        for (;;) {
                const struct id *one = g->assets ? &g->assets[g->at] : NULL;
                struct pg_rows *s;
                int rc;
                if (g->assets && g->at == g->n)
                        return 0;
                if (one)
                        s = pg_query(
                                tx->db, e,
                                "SELECT t.n, t.asset FROM asset a JOIN task t ON t.asset = a.n WHERE a.id = ?1 AND "
                                "t.state = 3 AND (?2 IS NULL OR a.job = (SELECT n FROM job WHERE id = ?2)) LIMIT 1 "
                                "FOR UPDATE OF t SKIP LOCKED",
                                "uu", one, g->job);
                else if (g->job)
                        s = pg_query(tx->db, e,
                                     "SELECT t.n, t.asset FROM job j JOIN asset a ON a.job = j.n JOIN task t ON "
                                     "t.asset = a.n "
                                     "WHERE j.id = ? AND t.state = 3 LIMIT 1 FOR UPDATE OF t SKIP LOCKED",
                                     "u", g->job);
                else
                        s = pg_query(tx->db, e,
                                     "SELECT n, asset FROM task WHERE state = 3 LIMIT 1 FOR UPDATE SKIP LOCKED", "");
                rc = s ? pg_step(tx->db, s, e) : -1;
                g->at +=
                        one && rc == 0; /* a task taken leaves the queue: the asset is asked again and done with then */
                if (rc == 0 && one)
                        continue;
                if (rc <= 0)
                        return rc;
                *task = pg_col_i64(s, 0);
                *asset = pg_col_i64(s, 1);
                pg_end(s);
                return 1;
        }
}

static int revive(struct pg_tx *tx, int64_t task, int64_t asset, struct err *e)
{
        struct row r;

        if (pg_task_move(tx, task, TASK_DEAD, TASK_READY, e) < 0 ||
            pg_run(tx->db, e, "UPDATE task SET errors = 0, crashes = 0, run_after = ? WHERE n = ?", "ll", tx->now.us,
                   task) < 0 ||
            pg_run(tx->db, e, "UPDATE asset SET error = NULL, error_code = NULL WHERE n = ?", "l", asset) < 0 ||
            pg_row_load(tx, asset, &r, e) < 0 || pg_row_set_status(tx, &r, ASSET_QUEUED, e) < 0)
                return -1;
        return pg_lineage_add(tx, asset, "retried", "user", NULL, e);
}

static int do_dlq(struct pg_tx *tx, void *arg, struct err *e)
{
        struct dlq_args work = *(struct dlq_args *)arg, *g = &work; /* it may run again */
        struct mono began = mono_now();
        int64_t task, asset;
        int rc = 1;

        g->more = true;
        while (mono_since(began).ns < dur_ms(20).ns && (rc = next_dead(tx, g, &task, &asset, e)) > 0) {
                if (g->discard)
                        rc = pg_run(tx->db, e, "DELETE FROM task WHERE n = ?", "l", task) < 0
                                     ? -1
                                     : pg_lineage_add(tx, asset, "discarded", "user", NULL, e);
                else
                        rc = revive(tx, task, asset, e);
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

static int dlq_move(struct catalog *c, bool discard, const struct id *job, const struct id *assets, size_t n,
                    uint64_t *moved, struct err *e)
{
        struct dlq_args g = {.job = job, .assets = assets, .n = n, .discard = discard};

        *moved = 0;
        do {
                struct dlq_args slice = g;
                slice.moved = 0;
                if (pg_write(pg_self(c), do_dlq, &slice, e) < 0)
                        return -1; /* *moved tells of the slices before */
                *moved += slice.moved;
                g = slice;
        } while (g.more);
        return 0;
}

int catalog_pg_dlq_retry(struct catalog *c, const struct id *job, const struct id *assets, size_t n, uint64_t *moved,
                         struct err *e)
{
        return dlq_move(c, false, job, assets, n, moved, e);
}

int catalog_pg_dlq_discard(struct catalog *c, const struct id *job, const struct id *assets, size_t n, uint64_t *moved,
                           struct err *e)
{
        return dlq_move(c, true, job, assets, n, moved, e);
}
