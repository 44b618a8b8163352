/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks under leases. A claim gives a token one higher than the last; every
 * later write must bring it and find the task still leased. The time of expiry
 * is deliberately not asked then: a late worker whose lease nobody took back
 * has done the work, and throwing it away helps nobody.
 */
#include "catalog/catalog_rules.h"
#include "metrics/metrics.h"

#include <stdio.h>

/* ---- claim ------------------------------------------------------------------- */

struct claim_args {
        const char *worker;
        struct dur lease;
        struct due {
                enum task_purpose purpose;
                int type;
                int64_t since;
        } due[PURPOSE_COUNT * JOB_TYPE_COUNT]; /* the longest due first */
        size_t ndue;
        struct arena *arena;
        struct task *out;
        bool got;
};

/* Ready tasks of a purpose ?3 and the types ?2, each type by itself: so each costs a probe of the index and no more. */
#define EACH_TYPE(of, now)                                                                                             \
        of(0, now) " UNION ALL " of(1, now) " UNION ALL " of(2, now) " UNION ALL " of(3, now) " UNION ALL " of(        \
                4, now) " UNION ALL " of(5, now)
static_assert(JOB_TYPE_COUNT == 6, "EACH_TYPE has them all");
#define READY(type)                                                                                                    \
        "FROM task WHERE state = 0 AND purpose = ?3 AND type = " #type " AND (?2 >> " #type ") & 1 = 1 AND run_after "
#define FIRST_DUE(type, now)                                                                                           \
        "SELECT * FROM (SELECT type, run_after, n " READY(type) "<= " now " ORDER BY run_after, n LIMIT 1) AS t" #type
#define COUNT_DUE(type, now) "SELECT count(*) AS many " READY(type) "<= " now
#define NEXT_DUE(type, now)  "SELECT min(run_after) AS at " READY(type) "> " now
#define TYPES_DUE(now)       "SELECT type, run_after FROM (" EACH_TYPE(FIRST_DUE, now) ") AS due ORDER BY run_after, n"
#define MANY_DUE(now)        "SELECT CAST(sum(many) AS bigint) FROM (" EACH_TYPE(COUNT_DUE, now) ") AS due"
#define LATER_DUE(now)       "SELECT min(at) FROM (" EACH_TYPE(NEXT_DUE, now) ") AS later"
#define RAN_OUT(now)         "SELECT 1 FROM task WHERE state = 1 AND lease_until < " now " LIMIT 1"

static int due_of(struct db *db, enum task_purpose p, uint32_t types, struct claim_args *g, struct err *e)
{
        struct rows *s = db_query(db, e, BY_CLOCK(db, TYPES_DUE), "lii", db->now.us, (int)types, (int)p);
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                struct due d = {.purpose = p, .type = col_int(s, 0), .since = col_i64(s, 1)};
                size_t i = g->ndue++;
                for (; i > 0 && g->due[i - 1].since > d.since; i--)
                        g->due[i] = g->due[i - 1];
                g->due[i] = d;
        }
        return rc;
}

/* What of the kinds is due. */
static int types_due(struct db *db, uint64_t kinds, struct claim_args *g, struct err *e)
{
        g->ndue = 0;
        for (enum task_purpose p = 0; p < PURPOSE_COUNT; p++) {
                uint32_t types = task_kind_types(kinds, p);
                if (types && due_of(db, p, types, g, e) < 0)
                        return -1;
        }
        return 0;
}

/* What another worker has just locked is passed over, not waited for. 1, 0 none left, -1. */
static int take_task(struct tx *tx, const struct due *d, int64_t *n, struct err *e)
{
        return db_int(tx->db, e, n,
                      LOCKING(tx->db,
                              "SELECT n FROM task WHERE state = 0 AND purpose = ? AND type = ? AND run_after <= ? "
                              "ORDER BY run_after, n LIMIT 1",
                              "FOR UPDATE SKIP LOCKED"),
                      "iil", (int)d->purpose, d->type, tx->now.us);
}

static int task_read(struct tx *tx, int64_t n, struct arena *a, struct task *t, int64_t *asset, struct err *e)
{
        struct rows *s = db_query(
                tx->db, e,
                "SELECT t.id, a.id, j.id, t.type, t.token, t.deliveries, t.errors, t.crashes, a.owner, "
                "a.filename, a.content_type, a.sha256, a.size, a.cluster, a.pinned, a.n, t.purpose FROM task t "
                "JOIN asset a ON a.n = t.asset JOIN job j ON j.n = a.job WHERE t.n = ?",
                "l", n);
        bool ok = true;
        int rc = s ? db_step(tx->db, s, e) : -1;

        if (rc <= 0)
                return rc < 0 ? -1 : err_set(e, ERR_INTERNAL, "catalog: a task without an asset");
        *t = (struct task){.id = col_id(s, 0),
                           .asset_id = col_id(s, 1),
                           .job_id = col_id(s, 2),
                           .purpose = (enum task_purpose)col_int(s, 16),
                           .type = (enum job_type)col_int(s, 3),
                           .token = col_u64(s, 4),
                           .deliveries = (unsigned)col_int(s, 5),
                           .errors = (unsigned)col_int(s, 6),
                           .crashes = (unsigned)col_int(s, 7),
                           .owner = col_text(a, s, 8, &ok),
                           .filename = col_text(a, s, 9, &ok),
                           .content_type = col_text(a, s, 10, &ok),
                           .sha256 = col_sha(s, 11),
                           .size = col_u64(s, 12),
                           .pinned = col_int(s, 14) != 0};
        if (t->pinned)
                t->cluster_id = col_id(s, 13);
        *asset = col_i64(s, 15);
        db_end(s);
        return ok ? 0 : err_oom(e);
}

static int do_claim(struct tx *tx, void *arg, struct err *e)
{
        struct claim_args *g = arg;
        struct row r;
        int64_t n = 0, asset = 0;
        int rc = 0;

        g->got = false;
        for (size_t i = 0; i < g->ndue && rc == 0; i++)
                rc = take_task(tx, &g->due[i], &n, e);
        if (rc <= 0)
                return rc;
        if (task_move(tx, n, TASK_READY, TASK_LEASED, e) ||
            db_run(tx->db, e,
                   "UPDATE task SET token = token + 1, deliveries = deliveries + 1, worker = ?, lease_until = ? WHERE "
                   "n = ?",
                   "tll", g->worker, wall_add(tx->now, g->lease).us, n) ||
            task_read(tx, n, g->arena, g->out, &asset, e))
                return -1;
        if (g->out->purpose == PURPOSE_ANALYSE &&
            (row_load(tx, asset, &r, e) || row_set_status(tx, &r, ASSET_PROCESSING, e)))
                return -1;
        g->got = true;
        return 0;
}

int catalog_task_claim(struct catalog *c, const char *worker, struct dur lease, uint64_t kinds, struct arena *a,
                       struct task *out, struct err *e)
{
        struct claim_args g = {.worker = worker, .lease = lease, .arena = a, .out = out};
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int rc;

        /* An idle pool of workers asks often: a read says "nothing" without beginning a write. */
        if (!db)
                return -1;
        rc = types_due(db, kinds, &g, e);
        read_end(c, db, began);
        if (rc < 0 || g.ndue == 0)
                return rc;
        if (fault_err(FAULT("task.claim"), "claim", e) || write_do(c, LANE_RESULT, do_claim, &g, e) < 0 ||
            (g.got && fault_err(FAULT("task.claim.after"), "claim", e)))
                return -1;
        return g.got;
}

static int ready_of(struct db *db, enum task_purpose p, uint32_t types, uint64_t *now, struct wall *next, struct err *e)
{
        int64_t n = 0, first = 0;

        if (db_int(db, e, &n, BY_CLOCK(db, MANY_DUE), "lii", db->now.us, (int)types, (int)p) < 0 ||
            db_int(db, e, &first, BY_CLOCK(db, LATER_DUE), "lii", db->now.us, (int)types, (int)p) < 0)
                return -1;
        *now += (uint64_t)n;
        if (first && (!next->us || first < next->us))
                next->us = first;
        return 0;
}

int catalog_task_ready(struct catalog *c, uint64_t kinds, uint64_t *now, struct wall *next, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int rc = 0;

        *now = 0;
        *next = (struct wall){0};
        if (!db)
                return -1;
        for (enum task_purpose p = 0; p < PURPOSE_COUNT && rc == 0; p++) {
                uint32_t types = task_kind_types(kinds, p);
                if (types)
                        rc = ready_of(db, p, types, now, next, e);
        }
        read_end(c, db, began);
        return rc;
}

/* ---- leases --------------------------------------------------------------------------- */

#define LEASED(db)                                                                                                     \
        LOCKING(db, "SELECT n, asset, purpose FROM task WHERE id = ? AND token = ? AND state = 1", "FOR UPDATE")

int lease_find(struct tx *tx, const struct task *t, struct held *out, struct err *e)
{
        struct rows *s = db_query(tx->db, e, LEASED(tx->db), "ul", &t->id, (int64_t)t->token);
        int rc = s ? db_step(tx->db, s, e) : -1;

        if (rc < 0)
                return -1;
        if (rc == 0) {
                metrics_add(METRIC_TOKENS_REJECTED, 1);
                return err_set(e, ERR_STALE, "the lease is gone");
        }
        *out = (struct held){.n = col_i64(s, 0), .asset = col_i64(s, 1), .purpose = (enum task_purpose)col_int(s, 2)};
        db_end(s);
        return 0;
}

struct lease_args {
        const struct task *task;
        struct dur lease; /* or until it is ready again */
};

static int do_extend(struct tx *tx, void *arg, struct err *e)
{
        struct lease_args *g = arg;

        if (db_run(tx->db, e, "UPDATE task SET lease_until = ? WHERE id = ? AND token = ? AND state = 1", "lul",
                   wall_add(tx->now, g->lease).us, &g->task->id, (int64_t)g->task->token))
                return -1;
        /* Not counted as a refused write: a heartbeat may just have met its own task's end. */
        return db_changes(tx->db) > 0 ? 0 : err_set(e, ERR_STALE, "the lease is gone");
}

int catalog_task_extend(struct catalog *c, const struct task *t, struct dur lease, struct err *e)
{
        struct lease_args g = {.task = t, .lease = lease};

        if (fault_err(FAULT("task.extend"), "heartbeat", e) || write_do(c, LANE_RESULT, do_extend, &g, e) < 0)
                return -1;
        return fault_err(FAULT("task.extend.after"), "heartbeat", e);
}

/* The asset's status follows the task that analyses it, and no other. */
static int follow_analysis(struct tx *tx, const struct held *t, enum asset_status to, struct err *e)
{
        struct row r;

        if (t->purpose != PURPOSE_ANALYSE)
                return 0;
        return row_load(tx, t->asset, &r, e) ? -1 : row_set_status(tx, &r, to, e);
}

/* Back to ready; the asset waits again. */
static int back_to_ready(struct tx *tx, const struct held *t, struct wall run_after, struct err *e)
{
        if (task_move(tx, t->n, TASK_LEASED, TASK_READY, e) ||
            db_run(tx->db, e, "UPDATE task SET run_after = ?, worker = NULL WHERE n = ?", "ll", run_after.us, t->n))
                return -1;
        return follow_analysis(tx, t, ASSET_QUEUED, e);
}

static int do_release(struct tx *tx, void *arg, struct err *e)
{
        struct lease_args *g = arg;
        struct held t;
        int64_t n;
        int rc = db_int(tx->db, e, &n, LEASED(tx->db), "ul", &g->task->id, (int64_t)g->task->token);

        if (rc <= 0)
                return rc; /* somebody has it already: just as well */
        if (lease_find(tx, g->task, &t, e) || back_to_ready(tx, &t, wall_add(tx->now, g->lease), e))
                return -1;
        return db_run(
                tx->db, e,
                "UPDATE task SET deliveries = CASE WHEN deliveries > 0 THEN deliveries - 1 ELSE 0 END WHERE n = ?", "l",
                n);
}

int catalog_task_release(struct catalog *c, const struct task *t, struct dur delay, struct err *e)
{
        struct lease_args g = {.task = t, .lease = delay};

        if (fault_err(FAULT("task.release"), "handing back", e) || write_do(c, LANE_RESULT, do_release, &g, e) < 0)
                return -1;
        return fault_err(FAULT("task.release.after"), "handing back", e);
}

/* ---- failure ------------------------------------------------------------------------------- */

int task_errors(struct db *db, int64_t task, struct arena *a, struct task_error **out, size_t *n, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT stage, code, message, at, crash FROM (SELECT n, stage, code, message, at, "
                                  "crash FROM task_error WHERE task = ? ORDER BY n DESC LIMIT ?) AS latest ORDER BY n",
                                  "li", task, TASK_ERRORS_MAX);
        size_t cap = 0;
        bool ok = true;
        int rc = -1;

        *out = NULL;
        *n = 0;
        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, out, &cap, *n + 1, sizeof **out, e)) {
                        db_end(s);
                        return -1;
                }
                (*out)[(*n)++] = (struct task_error){.stage = col_text(a, s, 0, &ok),
                                                     .code = col_text(a, s, 1, &ok),
                                                     .message = col_text(a, s, 2, &ok),
                                                     .at = col_wall(s, 3),
                                                     .crash = col_int(s, 4) != 0};
        }
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}

/* An err_name: the fault of the input, not of the system. */
static bool error_named_input(const char *name)
{
        static const enum err_code input[] = {ERR_INVALID, ERR_UNSUPPORTED, ERR_CORRUPT, ERR_TOO_LARGE};

        for (size_t i = 0; i < COUNT_OF(input); i++)
                if (strcmp(name, err_name(input[i])) == 0)
                        return true;
        return false;
}

int task_note(struct tx *tx, int64_t task, const struct task_error *f, struct err *e)
{
        if (db_run(tx->db, e,
                   "INSERT INTO task_error (task, at, stage, code, message, crash) VALUES (?, ?, ?, ?, ?, ?)", "llttti",
                   task, f->at.us, f->stage, f->code, f->message, (int)f->crash) ||
            db_run(tx->db, e, "UPDATE task SET errors = errors + ?, crashes = crashes + ? WHERE n = ?", "iil",
                   (int)!f->crash, (int)f->crash, task))
                return -1;
        return db_run(tx->db, e,
                      SQL(tx->db,
                          "UPDATE task SET stage = ?2, code = ?3, error = ?4, input_fault = ?5, last_failed = ?6, "
                          "first_failed = CASE WHEN first_failed = 0 THEN ?6 ELSE first_failed END WHERE n = ?1",
                          "INSERT INTO task_failed (task, stage, code, error, input_fault, first_failed, last_failed) "
                          "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (task) DO UPDATE SET stage = "
                          "excluded.stage, code = excluded.code, error = excluded.error, input_fault = "
                          "excluded.input_fault, last_failed = excluded.last_failed"),
                      "ltttil", task, f->stage, f->code, f->message, (int)error_named_input(f->code), f->at.us);
}

static const char *stage_of(const struct held *t, const struct task_failure *f)
{
        return f->stage ? f->stage : t->purpose == PURPOSE_ANALYSE ? "stored" : task_purpose_name(t->purpose);
}

static int note_failure(struct tx *tx, const struct held *t, const struct task_failure *f, struct err *e)
{
        const struct task_error x = {.stage = stage_of(t, f),
                                     .code = err_name(f->code),
                                     .message = or_empty(f->reason),
                                     .at = tx->now,
                                     .crash = f->crash};

        return task_note(tx, t->n, &x, e);
}

static int lineage_failure(struct tx *tx, const struct held *t, const struct task_failure *f, struct err *e)
{
        struct buf b;
        int rc;

        buf_init(&b, 8192);
        buf_putc(&b, '{');
        if (t->purpose != PURPOSE_ANALYSE)
                buf_printf(&b, "\"purpose\":\"%s\",", task_purpose_name(t->purpose));
        buf_puts(&b, "\"stage\":");
        buf_json_str(&b, stage_of(t, f));
        buf_printf(&b, ",\"code\":\"%s\",\"error\":", err_name(f->code));
        buf_json_str(&b, or_empty(f->reason));
        buf_putc(&b, '}');
        rc = buf_failed(&b) ? err_oom(e)
                            : lineage_add(tx, t->asset, f->dead ? "failed" : "retried", "service", buf_str(&b), e);
        buf_done(&b);
        return rc;
}

/* What the asset tells of a failed analysis. */
static int tell_asset(struct tx *tx, const struct held *t, const struct task_failure *f, struct err *e)
{
        if (t->purpose != PURPOSE_ANALYSE)
                return 0;
        if (!f->dead)
                return db_run(tx->db, e, "UPDATE asset SET stage = ? WHERE n = ?", "tl", stage_of(t, f), t->asset);
        return db_run(tx->db, e, "UPDATE asset SET stage = ?, error = ?, error_code = ? WHERE n = ?", "tttl",
                      stage_of(t, f), or_empty(f->reason), err_name(f->code), t->asset);
}

static int task_failed(struct tx *tx, const struct held *t, const struct task_failure *f, struct err *e)
{
        if (note_failure(tx, t, f, e) || lineage_failure(tx, t, f, e) || tell_asset(tx, t, f, e))
                return -1;
        if (!f->dead)
                return back_to_ready(tx, t, f->retry_at, e);
        return task_move(tx, t->n, TASK_LEASED, TASK_DEAD, e) ? -1 : follow_analysis(tx, t, ASSET_FAILED, e);
}

struct fail_args {
        const struct task *task;
        const struct task_failure *f;
};

static int do_fail(struct tx *tx, void *arg, struct err *e)
{
        struct fail_args *g = arg;
        struct held t;

        return lease_find(tx, g->task, &t, e) ? -1 : task_failed(tx, &t, g->f, e);
}

int catalog_task_fail(struct catalog *c, const struct task *t, const struct task_failure *f, struct err *e)
{
        struct fail_args g = {.task = t, .f = f};

        if (fault_err(FAULT("task.fail"), "failure", e) || write_do(c, LANE_RESULT, do_fail, &g, e) < 0)
                return -1;
        return fault_err(FAULT("task.fail.after"), "failure", e);
}

struct expire_args {
        unsigned max_crashes;
        int moved;
};

/* One lease that ran out; 1, or 0 when there is none left. */
static int expire_one(struct tx *tx, unsigned max_crashes, struct err *e)
{
        struct task_failure f = {
                .code = ERR_CRASHED, .reason = "the lease ran out: its worker died or hung", .crash = true};
        struct rows *s = db_query(
                tx->db, e,
                LOCKING(tx->db,
                        "SELECT t.n, t.asset, t.purpose, t.crashes, a.stage FROM task t JOIN asset a ON a.n = t.asset "
                        "WHERE t.state = 1 AND t.lease_until < ? ORDER BY t.lease_until LIMIT 1",
                        "FOR UPDATE OF t SKIP LOCKED"),
                "l", tx->now.us);
        int rc = s ? db_step(tx->db, s, e) : -1;
        struct held t;
        char stage[32];

        if (rc <= 0)
                return rc;
        t = (struct held){.n = col_i64(s, 0), .asset = col_i64(s, 1), .purpose = (enum task_purpose)col_int(s, 2)};
        f.dead = (unsigned)col_int(s, 3) + 1 >= max_crashes;
        snprintf(stage, sizeof stage, "%s", or_empty(col_str(s, 4)));
        db_end(s);
        if (t.purpose == PURPOSE_ANALYSE)
                f.stage = stage;
        f.retry_at = tx->now;
        return task_failed(tx, &t, &f, e) ? -1 : 1;
}

static int do_expire(struct tx *tx, void *arg, struct err *e)
{
        struct expire_args *g = arg;
        struct mono began = mono_now();
        int rc = 1;

        /* A slice; the caller comes again when it was full. */
        g->moved = 0;
        while (rc > 0 && mono_since(began).ns < dur_ms(20).ns) {
                rc = expire_one(tx, g->max_crashes, e);
                g->moved += rc > 0;
        }
        return rc < 0 ? -1 : 0;
}

int catalog_task_expire(struct catalog *c, unsigned max_crashes, struct err *e)
{
        struct expire_args g = {.max_crashes = max_crashes};
        struct mono began = mono_now();
        struct db *db;
        int64_t one;
        int moved = 0, rc;

        for (;;) {
                db = read_begin(c, e);
                if (!db)
                        return -1;
                rc = db_int(db, e, &one, BY_CLOCK(db, RAN_OUT), "l", db->now.us);
                read_end(c, db, began);
                if (rc <= 0)
                        return rc < 0 ? -1 : moved;
                if (fault_err(FAULT("task.expire"), "lease", e) || write_do(c, LANE_RESULT, do_expire, &g, e) < 0 ||
                    fault_err(FAULT("task.expire.after"), "lease", e))
                        return -1;
                moved += g.moved;
                if (g.moved == 0)
                        return moved;
        }
}
