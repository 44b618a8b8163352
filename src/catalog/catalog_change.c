/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The small changes all topics are made of: an asset's status, a task's state,
 * counters, tags, history. Each fact has one function that changes it, and that
 * function keeps everything derived from the fact in step.
 */
#include "catalog/catalog_rules.h"

#include <stdio.h>

#define STATUS_TRASH ASSET_STATUS_COUNT /* in the counters */

/* The columns of struct row, up to the condition; the row is locked. */
#define ROW_COLUMNS                                                                                                    \
        "SELECT n, job, id, cluster, owner, kind, type, status, trashed, pinned, similarity, size, sha256 FROM asset "

static int row_read(struct tx *tx, struct rows *s, struct row *out, struct err *e)
{
        int rc = db_step(tx->db, s, e);

        if (rc < 0)
                return -1;
        if (rc == 0)
                return err_set(e, ERR_NOT_FOUND, "no such asset");
        *out = (struct row){
                .n = col_i64(s, 0),
                .job = col_i64(s, 1),
                .id = col_id(s, 2),
                .cluster = col_id(s, 3),
                .kind = (enum asset_kind)col_int(s, 5),
                .type = (enum job_type)col_int(s, 6),
                .status = (enum asset_status)col_int(s, 7),
                .trashed = col_i64(s, 8) != 0,
                .pinned = col_int(s, 9) != 0,
                .similarity = col_null(s, 10) ? -1 : (float)col_f64(s, 10),
                .size = col_u64(s, 11),
                .sha256 = col_sha(s, 12),
        };
        snprintf(out->owner, sizeof out->owner, "%s", or_empty(col_str(s, 4)));
        db_end(s);
        return 0;
}

int row_find(struct tx *tx, struct id id, const char *owner, struct row *out, struct err *e)
{
        struct rows *s =
                db_query(tx->db, e, LOCKING(tx->db, ROW_COLUMNS "WHERE id = ?", "FOR NO KEY UPDATE"), "u", &id);

        if (!s || row_read(tx, s, out, e))
                return -1;
        if (owner && strcmp(owner, out->owner) != 0)
                return err_set(e, ERR_NOT_FOUND, "no such asset");
        return 0;
}

int row_load(struct tx *tx, int64_t n, struct row *out, struct err *e)
{
        struct rows *s = db_query(tx->db, e, LOCKING(tx->db, ROW_COLUMNS "WHERE n = ?", "FOR NO KEY UPDATE"), "l", n);

        return s ? row_read(tx, s, out, e) : -1;
}

/* ---- assets and tasks --------------------------------------------------------------- */

static bool is_unsettled(enum asset_status s)
{
        return s == ASSET_QUEUED || s == ASSET_PROCESSING;
}

int row_set_status(struct tx *tx, struct row *r, enum asset_status to, struct err *e)
{
        enum asset_status from = r->status;
        int64_t size = (int64_t)r->size;

        if (db_run(tx->db, e, "UPDATE asset SET status = ?, updated = ? WHERE n = ?", "ill", (int)to, tx->now.us, r->n))
                return -1;
        r->status = to;
        /* A sidecar does not tell whether a task waits or is being worked on. */
        if (!is_unsettled(from) || !is_unsettled(to))
                if (tx_mark(tx, KEPT_ASSET, r->id, e))
                        return -1;
        if (from == to)
                return 0;
        if (!r->trashed && (counter_add(tx, r->owner, r->kind, (int)from, -1, -size, e) ||
                            counter_add(tx, r->owner, r->kind, (int)to, 1, size, e)))
                return -1;
        if (job_count(tx, r->job, from, -1, e))
                return -1;
        return job_count(tx, r->job, to, 1, e);
}

int row_set_trashed(struct tx *tx, struct row *r, bool trashed, struct err *e)
{
        int64_t size = (int64_t)r->size;
        int off = trashed ? (int)r->status : STATUS_TRASH, on = trashed ? STATUS_TRASH : (int)r->status;

        assert(r->trashed != trashed);
        if (db_run(tx->db, e, "UPDATE asset SET trashed = ?, updated = ? WHERE n = ?", "lll",
                   trashed ? tx->now.us : (int64_t)0, tx->now.us, r->n))
                return -1;
        r->trashed = trashed;
        if (tx_mark(tx, KEPT_ASSET, r->id, e))
                return -1;
        if (counter_add(tx, r->owner, r->kind, off, -1, -size, e) || counter_add(tx, r->owner, r->kind, on, 1, size, e))
                return -1;
        return tx_event(tx, (struct event){.kind = EVENT_ROW, .asset = r->n}, e);
}

static bool is_waiting(enum task_state s)
{
        return s == TASK_READY || s == TASK_LEASED;
}

int task_move(struct tx *tx, int64_t task, enum task_state from, enum task_state to, struct err *e)
{
        int64_t purpose;
        int rc;

        assert(task_may_move(from, to));
        rc = db_int(tx->db, e, &purpose, "UPDATE task SET state = ? WHERE n = ? AND state = ? RETURNING purpose", "ili",
                    (int)to, task, (int)from);
        if (rc < 0)
                return -1;
        assert(rc == 1); /* callers have read the state in this transaction */
        if (purpose == PURPOSE_ANALYSE)
                tx_waiting(tx, (int)is_waiting(to) - (int)is_waiting(from));
        return 0;
}

int task_add(struct tx *tx, int64_t asset, enum task_purpose p, enum job_type type, struct err *e)
{
        struct id id = id_new();

        if (db_run(tx->db, e, "INSERT INTO task (id, asset, purpose, type, state, run_after) VALUES (?, ?, ?, ?, 0, ?)",
                   "uliil", &id, asset, (int)p, (int)type, tx->now.us))
                return -1;
        if (p == PURPOSE_ANALYSE)
                tx_waiting(tx, 1);
        return 0;
}

int task_renew(struct tx *tx, int64_t asset, enum task_purpose p, enum job_type type, struct err *e)
{
        int64_t under_way = 0;

        if (db_int(tx->db, e, &under_way,
                   "SELECT count(*) FROM task WHERE asset = ? AND purpose = ? AND state IN (0, 1)", "li", asset,
                   (int)p) < 0)
                return -1;
        if (under_way)
                return 1;
        if (db_run(tx->db, e, "DELETE FROM task WHERE asset = ? AND purpose = ?", "li", asset, (int)p))
                return -1;
        return task_add(tx, asset, p, type, e);
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

int tag_put(struct tx *tx, int64_t asset, const struct tag *t, struct err *e)
{
        int64_t tag;

        if (!t->name || !*t->name)
                return 0;
        if (tag_number(tx, t->name, &tag, e))
                return -1;
        return db_run(tx->db, e,
                      "INSERT INTO asset_tag (asset, tag, source, confidence) VALUES (?, ?, ?, ?) ON CONFLICT "
                      "(asset, tag, source) DO UPDATE SET confidence = CASE WHEN asset_tag.confidence > "
                      "excluded.confidence THEN asset_tag.confidence ELSE excluded.confidence END",
                      "llid", asset, tag, (int)t->source, (double)t->confidence);
}

int tags_replace(struct tx *tx, int64_t asset, uint32_t sources, const struct tag *tags, size_t n, struct err *e)
{
        if (db_run(tx->db, e, "DELETE FROM asset_tag WHERE asset = ? AND (? >> source) & 1 = 1", "li", asset,
                   (int)sources))
                return -1;
        for (size_t i = 0; i < n; i++) {
                assert(sources >> tags[i].source & 1);
                if (tag_put(tx, asset, &tags[i], e))
                        return -1;
        }
        return 0;
}

/* ---- locks ---------------------------------------------------------------------------- */

/* Owners are told from other things that are locked by name by the second number. */
#define OWNER_LOCK "SELECT pg_advisory_xact_lock(hashtextextended("
#define OWNER_SEED ", 7305826177))"

int lock_owner(struct tx *tx, const char *owner, struct err *e)
{
        return db_run(tx->db, e, SQL(tx->db, NULL, OWNER_LOCK "?" OWNER_SEED), "t", owner);
}

int lock_owner_of_asset(struct tx *tx, struct id asset, struct err *e)
{
        return db_run(tx->db, e, SQL(tx->db, NULL, OWNER_LOCK "owner" OWNER_SEED " FROM asset WHERE id = ?"), "u",
                      &asset);
}

int lock_owner_of_folder(struct tx *tx, struct id folder, struct err *e)
{
        return db_run(tx->db, e, SQL(tx->db, NULL, OWNER_LOCK "owner" OWNER_SEED " FROM cluster WHERE id = ?"), "u",
                      &folder);
}
