/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small changes all topics are made of: an asset's status, a task's state,
 * counters, tags, history. Each fact has one function that changes it, and that
 * function keeps everything derived from the fact in step.
 */
#include "catalog/catalog_sqlite_priv.h"

#include <stdio.h>

#define STATUS_TRASH ASSET_STATUS_COUNT /* in the counters */

/* One literal, so that one statement serves: the columns of struct row. */
#define ROW_COLUMNS                                                                                                    \
        "SELECT n, job, id, cluster, owner, kind, type, status, trashed, pinned, similarity, size, sha256 FROM asset "

static int row_read(struct tx *tx, sqlite3_stmt *s, struct row *out, struct err *e)
{
        int rc = db_step(tx->db, s, e);

        if (rc < 0)
                return -1;
        if (rc == 0)
                return err_set(e, ERR_NOT_FOUND, "no such asset");
        *out = (struct row){
                .n = sqlite3_column_int64(s, 0),
                .job = sqlite3_column_int64(s, 1),
                .id = col_id(s, 2),
                .cluster = col_id(s, 3),
                .kind = (enum asset_kind)sqlite3_column_int(s, 5),
                .type = (enum job_type)sqlite3_column_int(s, 6),
                .status = (enum asset_status)sqlite3_column_int(s, 7),
                .trashed = sqlite3_column_int64(s, 8) != 0,
                .pinned = sqlite3_column_int(s, 9) != 0,
                .similarity = col_null(s, 10) ? -1 : (float)sqlite3_column_double(s, 10),
                .size = col_u64(s, 11),
                .sha256 = col_sha(s, 12),
        };
        snprintf(out->owner, sizeof(out->owner), "%s", (const char *)sqlite3_column_text(s, 4));
        db_end(s);
        return 0;
}

int row_find(struct tx *tx, struct id id, const char *owner, struct row *out, struct err *e)
{
        sqlite3_stmt *s = db_query(tx->db, e, ROW_COLUMNS "WHERE id = ?", "u", &id);

        if (!s || row_read(tx, s, out, e) < 0)
                return -1;
        if (owner && strcmp(owner, out->owner) != 0)
                return err_set(e, ERR_NOT_FOUND, "no such asset");
        return 0;
}

int row_load(struct tx *tx, int64_t n, struct row *out, struct err *e)
{
        sqlite3_stmt *s = db_query(tx->db, e, ROW_COLUMNS "WHERE n = ?", "l", n);

        return s ? row_read(tx, s, out, e) : -1;
}

int counter_add(struct tx *tx, const char *owner, int kind, int status, int64_t n, int64_t bytes, struct err *e)
{
        if (n > 0)
                return db_run(
                        tx->db, e,
                        "INSERT INTO counter (owner, kind, status, count, bytes) VALUES (?, ?, ?, ?, ?) "
                        "ON CONFLICT DO UPDATE SET count = count + excluded.count, bytes = bytes + excluded.bytes",
                        "tiill", owner, kind, status, n, bytes);
        return db_run(
                tx->db, e,
                "UPDATE counter SET count = count + ?, bytes = bytes + ? WHERE owner = ? AND kind = ? AND status = ?",
                "lltii", n, bytes, owner, kind, status);
}

int job_count(struct tx *tx, int64_t job, enum asset_status status, int delta, struct err *e)
{
        switch (status) {
        case ASSET_QUEUED:
                return db_run(tx->db, e, "UPDATE job SET queued = queued + ? WHERE n = ?", "il", delta, job);
        case ASSET_PROCESSING:
                return db_run(tx->db, e, "UPDATE job SET processing = processing + ? WHERE n = ?", "il", delta, job);
        case ASSET_DONE:
                return db_run(tx->db, e, "UPDATE job SET done = done + ? WHERE n = ?", "il", delta, job);
        default:
                return db_run(tx->db, e, "UPDATE job SET failed = failed + ? WHERE n = ?", "il", delta, job);
        }
}

/* The numbers are enum job_status: queued 0, processing 1, done 2, failed 3, partial 4. */
int job_settle(struct tx *tx, int64_t job, struct err *e)
{
        return db_run(
                tx->db, e,
                "UPDATE job SET updated = ?1, "
                "completed = CASE WHEN queued + processing > 0 THEN 0 WHEN completed > 0 THEN completed ELSE ?1 END, "
                "status = CASE WHEN queued > 0 AND processing + done + failed = 0 THEN 0 "
                "WHEN queued + processing > 0 THEN 1 WHEN failed = 0 THEN 2 WHEN done = 0 THEN 3 ELSE 4 END "
                "WHERE n = ?2",
                "ll", tx->now.us, job);
}

int row_set_status(struct tx *tx, struct row *r, enum asset_status to, struct err *e)
{
        enum asset_status from = r->status;
        int64_t size = (int64_t)r->size;

        if (db_run(tx->db, e, "UPDATE asset SET status = ?, updated = ? WHERE n = ?", "ill", (int)to, tx->now.us,
                   r->n) < 0)
                return -1;
        r->status = to;
        if (from == to)
                return 0;
        if (!r->trashed && (counter_add(tx, r->owner, r->kind, (int)from, -1, -size, e) < 0 ||
                            counter_add(tx, r->owner, r->kind, (int)to, 1, size, e) < 0))
                return -1;
        if (job_count(tx, r->job, from, -1, e) < 0 || job_count(tx, r->job, to, 1, e) < 0)
                return -1;
        return job_settle(tx, r->job, e);
}

int row_set_trashed(struct tx *tx, struct row *r, bool trashed, struct err *e)
{
        int64_t size = (int64_t)r->size;
        int off = trashed ? (int)r->status : STATUS_TRASH, on = trashed ? STATUS_TRASH : (int)r->status;

        assert(r->trashed != trashed);
        if (db_run(tx->db, e, "UPDATE asset SET trashed = ?, updated = ? WHERE n = ?", "lll",
                   trashed ? tx->now.us : (int64_t)0, tx->now.us, r->n) < 0)
                return -1;
        r->trashed = trashed;
        if (counter_add(tx, r->owner, r->kind, off, -1, -size, e) < 0)
                return -1;
        return counter_add(tx, r->owner, r->kind, on, 1, size, e);
}

static bool waits(enum task_state s)
{
        return s == TASK_READY || s == TASK_LEASED;
}

int task_move(struct tx *tx, int64_t task, enum task_state from, enum task_state to, struct err *e)
{
        assert(task_may_move(from, to));
        if (db_run(tx->db, e, "UPDATE task SET state = ? WHERE n = ? AND state = ?", "ili", (int)to, task, (int)from) <
            0)
                return -1;
        assert(db_changes(tx->db) == 1); /* callers have read the state in this transaction */
        tx->waiting += (int)waits(to) - (int)waits(from);
        return 0;
}

int task_add(struct tx *tx, int64_t asset, enum job_type type, struct err *e)
{
        struct id id = id_new();

        if (db_run(tx->db, e, "INSERT INTO task (id, asset, type, state, run_after) VALUES (?, ?, ?, 0, ?)", "ulil",
                   &id, asset, (int)type, tx->now.us) < 0)
                return -1;
        tx->waiting++;
        return 0;
}

int lineage_add(struct tx *tx, int64_t asset, const char *action, const char *actor, const char *detail, struct err *e)
{
        return db_run(tx->db, e, "INSERT INTO lineage (asset, at, action, actor, detail) VALUES (?, ?, ?, ?, ?)",
                      "llttt", asset, tx->now.us, action, actor ? actor : "service", detail);
}

static int tag_number(struct tx *tx, const char *name, int64_t *n, struct err *e)
{
        int rc = db_int(tx->db, e, n, "SELECT n FROM tag WHERE name = ?", "t", name);
        struct arena *a;
        char *fold;

        if (rc != 0)
                return rc < 0 ? -1 : 0;
        a = arena_new(64 * 1024);
        fold = a ? text_fold(a, name) : NULL;
        if (!fold)
                rc = err_oom(e);
        else
                rc = db_int(tx->db, e, n, "INSERT INTO tag (name, fold) VALUES (?, ?) RETURNING n", "tt", name, fold);
        arena_free(a);
        return rc < 0 ? -1 : 0;
}

int tags_replace(struct tx *tx, int64_t asset, bool human, const struct tag *tags, size_t n, struct err *e)
{
        int64_t tag;

        if (db_run(tx->db, e, "DELETE FROM asset_tag WHERE asset = ? AND (source = 0) = ?", "li", asset, (int)human) <
            0)
                return -1;
        for (size_t i = 0; i < n; i++) {
                if (!tags[i].name || !*tags[i].name)
                        continue;
                assert((tags[i].source == TAG_HUMAN) == human);
                if (tag_number(tx, tags[i].name, &tag, e) < 0 ||
                    db_run(tx->db, e,
                           "INSERT INTO asset_tag (asset, tag, source, confidence) VALUES (?, ?, ?, ?) ON CONFLICT DO "
                           "UPDATE SET confidence = max(confidence, excluded.confidence)",
                           "llid", asset, tag, (int)tags[i].source, (double)tags[i].confidence) < 0)
                        return -1;
        }
        return 0;
}

int object_drop(struct tx *tx, const struct sha256 *h, bool *orphan, struct err *e)
{
        int64_t size;
        int rc = db_int(tx->db, e, &size,
                        "DELETE FROM object WHERE sha256 = ?1 AND NOT EXISTS (SELECT 1 FROM asset WHERE sha256 = ?1) "
                        "RETURNING size",
                        "h", h);

        *orphan = rc > 0;
        return rc <= 0 ? rc : counter_add(tx, "", -1, 0, -1, -size, e);
}
