/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One asset: reading it, and what a person does to it. Another owner's asset
 * does not exist; that is decided in the look-up, before anything else.
 */
#include "catalog/catalog_place_rules.h"

#include <stdio.h>

/* ---- reading -------------------------------------------------------------------- */

static int read_tags(struct db *db, int64_t n, struct arena *a, struct asset *out, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT t.name, x.source, x.confidence FROM asset_tag x JOIN tag t ON t.n = x.tag "
                                  "WHERE x.asset = ? ORDER BY x.source, x.confidence DESC, t.name",
                                  "l", n);
        size_t cap = 0;
        bool ok = true;
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, &out->tags, &cap, out->ntags + 1, sizeof *out->tags, e)) {
                        db_end(s);
                        return -1;
                }
                out->tags[out->ntags++] = (struct tag){.name = col_text(a, s, 0, &ok),
                                                       .source = (enum tag_source)col_int(s, 1),
                                                       .confidence = (float)col_f64(s, 2)};
        }
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}

/* The newest model's embedding stands for all. */
static int read_model(struct db *db, int64_t n, struct arena *a, struct asset *out, struct err *e)
{
        struct rows *s =
                db_query(db, e,
                         "SELECT m.id, m.dim FROM part p JOIN embedding x ON x.part = p.n JOIN model m ON m.n = "
                         "x.model WHERE p.asset = ? AND p.kind = 0 ORDER BY x.model DESC LIMIT 1",
                         "l", n);
        int rc = s ? db_step(db, s, e) : -1;
        bool ok = true;

        if (rc <= 0)
                return rc;
        out->model_id = col_text(a, s, 0, &ok);
        out->dimension = (uint32_t)col_int(s, 1);
        db_end(s);
        return ok ? 0 : err_oom(e);
}

int asset_read(struct db *db, struct rows *s, struct arena *a, void *at, struct err *e)
{
        struct asset *out = at;
        bool ok = true;

        *out = (struct asset){
                .id = col_id(s, 1),
                .job_id = col_id(s, 2),
                .kind = (enum asset_kind)col_int(s, 3),
                .type = (enum job_type)col_int(s, 4),
                .status = (enum asset_status)col_int(s, 5),
                .stage = col_text(a, s, 6, &ok),
                .error = col_text(a, s, 7, &ok),
                .error_code = col_text(a, s, 8, &ok),
                .filename = col_text(a, s, 9, &ok),
                .content_type = col_text(a, s, 10, &ok),
                .owner = col_text(a, s, 11, &ok),
                .comments = col_text(a, s, 12, &ok),
                .sha256 = col_sha(s, 13),
                .size = col_u64(s, 14),
                .created = col_wall(s, 15),
                .updated = col_wall(s, 16),
                .trashed = col_wall(s, 17),
                .metadata = col_text(a, s, ASSET_METADATA, &ok),
                .analysis_note = col_text(a, s, 19, &ok),
                .cluster_id = col_id(s, 20),
                .cluster_name = col_text(a, s, 21, &ok),
                .cluster_provisional = !col_null(s, 22) && col_int(s, 22) == CLUSTER_PROVISIONAL,
                .pinned = col_int(s, 23) != 0,
                .cluster_similarity = col_null(s, 24) ? -1 : (float)col_f64(s, 24),
                .duplicate_of = col_id(s, 25),
                .products = col_text(a, s, 26, &ok),
        };
        if (!ok)
                return err_oom(e);
        if (col_i64(s, ASSET_OTHERS) && metadata_read(db, col_i64(s, 0), out->metadata, a, &out->metadata, e))
                return -1;
        if (read_tags(db, col_i64(s, 0), a, out, e))
                return -1;
        return read_model(db, col_i64(s, 0), a, out, e);
}

static int read_near(struct db *db, struct arena *a, struct asset *out, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT b.id FROM asset a JOIN near_duplicate x ON x.asset = a.n JOIN asset b ON "
                                  "b.n = x.other AND b.trashed = 0 WHERE a.id = ? ORDER BY x.distance, b.n LIMIT 50",
                                  "u", &out->id);
        size_t cap = 0;
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, &out->near_duplicates, &cap, out->nnear + 1, sizeof(struct id), e)) {
                        db_end(s);
                        return -1;
                }
                out->near_duplicates[out->nnear++] = col_id(s, 0);
        }
        return rc;
}

static int read_tasks(struct db *db, struct arena *a, struct asset *out, struct err *e)
{
        struct rows *s = db_query(
                db, e,
                SQL(db,
                    "SELECT t.purpose, t.state, t.errors + t.crashes, t.error, t.code, t.stage FROM task t JOIN asset "
                    "a "
                    "ON a.n = t.asset WHERE a.id = ? ORDER BY t.purpose",
                    "SELECT t.purpose, t.state, t.errors + t.crashes, f.error, f.code, f.stage FROM task t JOIN asset "
                    "a "
                    "ON a.n = t.asset LEFT JOIN task_failed f ON f.task = t.n WHERE a.id = ? ORDER BY t.purpose"),
                "u", &out->id);
        bool ok = true, failed;
        int rc = -1;

        out->tasks = arena_array(a, PURPOSE_COUNT, sizeof *out->tasks);
        while (s && (rc = db_step(db, s, e)) > 0) {
                struct asset_task t = {.purpose = (enum task_purpose)col_int(s, 0),
                                       .state = (enum task_state)col_int(s, 1),
                                       .attempts = (unsigned)col_int(s, 2)};
                if (!out->tasks || out->ntasks == PURPOSE_COUNT || t.purpose >= PURPOSE_COUNT ||
                    t.state >= TASK_STATE_COUNT)
                        continue;
                failed = t.attempts > 0 && t.state != TASK_DONE;
                t.error = failed ? col_text(a, s, 3, &ok) : NULL;
                t.error_code = failed ? col_text(a, s, 4, &ok) : NULL;
                t.stage = failed ? col_text(a, s, 5, &ok) : NULL;
                out->tasks[out->ntasks++] = t;
        }
        return rc < 0 ? -1 : ok && out->tasks ? 0 : err_oom(e);
}

/* 1, 0 unknown or foreign, -1 */
static int asset_get(struct db *db, struct id id, const char *owner, struct arena *a, struct asset *out, struct err *e)
{
        struct rows *s =
                db_query(db, e, ASSET_SELECT "WHERE a.id = ?1 AND (?2 IS NULL OR a.owner = ?2)", "ut", &id, owner);
        int rc = s ? db_step(db, s, e) : -1;

        if (rc <= 0)
                return rc;
        rc = asset_read(db, s, a, out, e);
        db_end(s);
        return rc < 0 ? -1 : 1;
}

int catalog_asset_get(struct catalog *c, struct id id, const char *owner, struct arena *a, struct asset *out,
                      struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int rc;

        if (!db)
                return -1;
        rc = asset_get(db, id, owner, a, out, e);
        if (rc > 0)
                rc = read_near(db, a, out, e) < 0 || read_tasks(db, a, out, e) ? -1 : 0;
        else if (rc == 0)
                rc = err_set(e, ERR_NOT_FOUND, "no such asset");
        read_end(c, db, began);
        return rc;
}

int catalog_asset_get_many(struct catalog *c, const struct id *ids, size_t n, const char *owner, struct arena *a,
                           struct asset **out, size_t *found, struct err *e)
{
        struct mono began = mono_now();
        struct db *db;
        int rc = 0;

        *found = 0;
        *out = arena_array(a, n + 1, sizeof **out);
        if (!*out)
                return err_oom(e);
        db = read_begin(c, e);
        if (!db)
                return -1;
        for (size_t i = 0; i < n && rc >= 0; i++) {
                rc = asset_get(db, ids[i], owner, a, &(*out)[*found], e);
                *found += rc > 0;
        }
        read_end(c, db, began);
        return rc < 0 ? -1 : 0;
}

int catalog_lineage(struct catalog *c, struct id asset, const char *owner, struct arena *a, struct lineage_entry **out,
                    size_t *n, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        struct rows *s;
        int64_t number = 0;
        size_t cap = 0;
        bool ok = true;
        int rc;

        *out = NULL;
        *n = 0;
        if (!db)
                return -1;
        rc = db_int(db, e, &number, "SELECT n FROM asset WHERE id = ?1 AND (?2 IS NULL OR owner = ?2)", "ut", &asset,
                    owner);
        if (rc == 0)
                rc = err_set(e, ERR_NOT_FOUND, "no such asset");
        s = rc > 0 ? db_query(db, e, "SELECT at, action, actor, detail FROM lineage WHERE asset = ? ORDER BY n", "l",
                              number)
                   : NULL;
        rc = s ? 0 : -1;
        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, out, &cap, *n + 1, sizeof **out, e)) {
                        db_end(s);
                        rc = -1;
                        break;
                }
                (*out)[(*n)++] = (struct lineage_entry){.at = col_wall(s, 0),
                                                        .action = col_text(a, s, 1, &ok),
                                                        .actor = col_text(a, s, 2, &ok),
                                                        .detail = col_text(a, s, 3, &ok)};
        }
        read_end(c, db, began);
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}

/* ---- changing --------------------------------------------------------------------------- */

struct asset_args {
        struct id id;
        const char *owner, *actor;
        const struct asset_patch *patch;
        const char *fold; /* of the new name */
        struct tag *tags;
        struct id *operation;
        struct wall before;        /* purge only what was trashed before; 0: whatever it is */
        const enum job_type *type; /* of a reprocessing; NULL: the one it has */
};

static int rename_to(struct tx *tx, const struct row *r, const struct asset_args *g, struct err *e)
{
        struct buf b;
        int rc;

        buf_init(&b, 4096);
        buf_puts(&b, "{\"to\":");
        buf_json_str(&b, g->patch->filename);
        buf_putc(&b, '}');
        rc = buf_failed(&b) ? err_oom(e) : lineage_add(tx, r->n, "renamed", g->actor, buf_str(&b), e);
        buf_done(&b);
        if (rc < 0)
                return -1;
        return db_run(tx->db, e, "UPDATE asset SET filename = ?, name_fold = ? WHERE n = ?", "ttl", g->patch->filename,
                      g->fold, r->n);
}

/* By a person: the file is pinned where it is put, and the folder counts as filled by a person. */
static int move_to(struct tx *tx, struct row *r, const struct asset_args *g, struct err *e)
{
        struct id to = g->patch->cluster_id, op_id;
        char text[ID_TEXT_LEN], detail[128];
        struct folder f;
        int64_t op;

        if (!id_is_nil(to) && (folder_find(tx, to, r->owner, &f, e) || folder_touch(tx, to, e)))
                return -1;
        if (operation_add(tx, r->owner, g->actor, "move", id_is_nil(to) ? NULL : &to, NULL, &op_id, &op, e) ||
            operation_item(tx, op, r->n, &to, e) || row_place(tx, r, to, true, -1, e) < 0)
                return -1;
        if (id_is_nil(to))
                snprintf(detail, sizeof detail, "{\"cluster_id\":null}");
        else
                snprintf(detail, sizeof detail, "{\"cluster_id\":\"%s\"}", id_format(to, text));
        if (g->operation)
                *g->operation = op_id;
        return lineage_add(tx, r->n, "moved", g->actor, detail, e);
}

static int do_patch(struct tx *tx, void *arg, struct err *e)
{
        struct asset_args *g = arg;
        const struct asset_patch *p = g->patch;
        struct row r;

        if ((p->set_cluster && lock_owner_of_asset(tx, g->id, e)) || row_find(tx, g->id, g->owner, &r, e))
                return -1;
        if (p->filename && rename_to(tx, &r, g, e))
                return -1;
        if (p->set_comments &&
            (db_run(tx->db, e, "UPDATE asset SET comments = ? WHERE n = ?", "tl", p->comments, r.n) ||
             lineage_add(tx, r.n, "commented", g->actor, NULL, e)))
                return -1;
        if (p->set_tags && (tags_replace(tx, r.n, 1u << TAG_HUMAN, g->tags, p->ntags, e) ||
                            lineage_add(tx, r.n, "tagged", g->actor, NULL, e)))
                return -1;
        if (p->set_cluster && move_to(tx, &r, g, e))
                return -1;
        if (db_run(tx->db, e, "UPDATE asset SET updated = ? WHERE n = ?", "ll", tx->now.us, r.n) ||
            tx_mark(tx, KEPT_ASSET, r.id, e))
                return -1;
        return tx_text(tx, r.n, e);
}

int catalog_asset_patch(struct catalog *c, struct id id, const char *owner, const struct asset_patch *p,
                        const char *actor, struct id *operation, struct err *e)
{
        struct asset_args g = {.id = id, .owner = owner, .actor = actor, .patch = p, .operation = operation};
        struct arena *a = arena_new(1 << 20);
        int rc = 0;

        if (operation)
                *operation = (struct id){{0}};
        g.tags = a ? arena_array(a, p->ntags + 1, sizeof *g.tags) : NULL;
        g.fold = a && p->filename ? text_fold(a, p->filename) : NULL;
        if (!g.tags || (p->filename && !g.fold))
                rc = err_oom(e);
        for (size_t i = 0; rc == 0 && i < p->ntags; i++)
                g.tags[i] = (struct tag){.name = p->tags[i], .source = TAG_HUMAN, .confidence = 1};
        if (rc == 0)
                rc = write_do(c, LANE_RESULT, do_patch, &g, e);
        arena_free(a);
        return rc;
}

/* In the trash an asset keeps its folder's name but is not one of its members. */
static int set_trashed(struct tx *tx, struct asset_args *g, bool trashed, struct err *e)
{
        struct row r;

        if (lock_owner_of_asset(tx, g->id, e) || row_find(tx, g->id, g->owner, &r, e))
                return -1;
        if (r.trashed == trashed)
                return 0;
        if (row_set_trashed(tx, &r, trashed, e) < 0)
                return -1;
        if (!id_is_nil(r.cluster) && folder_member(tx, r.cluster, r.n, trashed ? -1 : 1, e) < 0)
                return -1;
        if (!trashed && near_again(tx, &r, e) < 0)
                return -1;
        return lineage_add(tx, r.n, trashed ? "trashed" : "restored", g->actor, NULL, e);
}

static int do_trash(struct tx *tx, void *arg, struct err *e)
{
        return set_trashed(tx, arg, true, e);
}

static int do_restore(struct tx *tx, void *arg, struct err *e)
{
        return set_trashed(tx, arg, false, e);
}

int catalog_asset_trash(struct catalog *c, struct id id, const char *owner, const char *actor, struct err *e)
{
        struct asset_args g = {.id = id, .owner = owner, .actor = actor};

        return write_do(c, LANE_RESULT, do_trash, &g, e);
}

int catalog_asset_restore(struct catalog *c, struct id id, const char *owner, const char *actor, struct err *e)
{
        struct asset_args g = {.id = id, .owner = owner, .actor = actor};

        return write_do(c, LANE_RESULT, do_restore, &g, e);
}

/* Before the asset, as workers do. */
static int tasks_lock(struct tx *tx, struct id asset, struct err *e)
{
        return db_run(tx->db, e,
                      SQL(tx->db, NULL,
                          "SELECT 1 FROM task t JOIN asset a ON a.n = t.asset WHERE a.id = ? ORDER BY t.n FOR UPDATE "
                          "OF t"),
                      "u", &asset);
}

/* Tasks go first and by hand: the count of waiting ones must know. */
static int tasks_drop(struct tx *tx, int64_t asset, struct err *e)
{
        int64_t waiting = 0;

        if (db_int(tx->db, e, &waiting, "SELECT count(*) FROM task WHERE asset = ? AND purpose = 0 AND state IN (0, 1)",
                   "l", asset) < 0 ||
            db_run(tx->db, e, "DELETE FROM task WHERE asset = ?", "l", asset))
                return -1;
        tx_waiting(tx, -waiting);
        return 0;
}

/* The oldest of its duplicates takes its place for the others. Each is marked. */
static int duplicates_pass_on(struct tx *tx, const struct row *r, struct err *e)
{
        struct rows *s =
                db_query(tx->db, e, "SELECT id FROM asset WHERE sha256 = ? AND duplicate_of = ? ORDER BY n LIMIT 1",
                         "hu", &r->sha256, &r->id);
        int rc = s ? db_step(tx->db, s, e) : -1;
        struct id next;

        if (rc <= 0)
                return rc;
        next = col_id(s, 0);
        db_end(s);
        s = db_query(tx->db, e,
                     "UPDATE asset SET duplicate_of = CASE WHEN id = ?3 THEN NULL ELSE ?3 END WHERE sha256 = ?1 AND "
                     "duplicate_of = ?2 RETURNING id",
                     "huu", &r->sha256, &r->id, &next);
        rc = -1;
        while (s && (rc = db_step(tx->db, s, e)) > 0)
                if (tx_mark(tx, KEPT_ASSET, col_id(s, 0), e)) {
                        db_end(s);
                        return -1;
                }
        return rc;
}

static int purge_row(struct tx *tx, const struct row *r, const char *actor, struct err *e)
{
        if (!r->trashed && !id_is_nil(r->cluster) && folder_member(tx, r->cluster, r->n, -1, e) < 0)
                return -1;
        if (counter_add(tx, r->owner, r->kind, r->trashed ? ASSET_STATUS_COUNT : (int)r->status, -1, -(int64_t)r->size,
                        e) ||
            job_count(tx, r->job, r->status, -1, e) || tasks_drop(tx, r->n, e) ||
            lineage_add(tx, r->n, "purged", actor, NULL, e))
                return -1;
        if (duplicates_pass_on(tx, r, e) < 0 || tx_mark(tx, KEPT_ASSET, r->id, e) || parts_words_leave(tx, r->n, e) ||
            db_run(tx->db, e, "DELETE FROM asset WHERE n = ?", "l", r->n) || object_release(tx, &r->sha256, e) ||
            tx_event(tx, (struct event){.kind = EVENT_VECTOR, .asset = r->n}, e) < 0)
                return -1;
        return tx_text(tx, r->n, e);
}

static int do_purge(struct tx *tx, void *arg, struct err *e)
{
        struct asset_args *g = arg;
        struct row r;
        int64_t trashed = 0;

        if (lock_owner_of_asset(tx, g->id, e) || tasks_lock(tx, g->id, e) || row_find(tx, g->id, g->owner, &r, e))
                return -1;
        if (g->before.us && db_int(tx->db, e, &trashed, "SELECT trashed FROM asset WHERE n = ?", "l", r.n) < 0)
                return -1;
        if (g->before.us && (!trashed || trashed >= g->before.us))
                return err_set(e, ERR_NOT_FOUND, "it has not been in the trash for that long");
        return purge_row(tx, &r, g->actor, e);
}

int catalog_trash_purge(struct catalog *c, struct id id, struct wall t, const char *actor, struct err *e)
{
        struct asset_args g = {.id = id, .before = t, .actor = actor};

        return write_do(c, LANE_RESULT, do_purge, &g, e);
}

int catalog_asset_purge(struct catalog *c, struct id id, const char *owner, const char *actor, struct err *e)
{
        struct asset_args g = {.id = id, .owner = owner, .actor = actor};

        return write_do(c, LANE_RESULT, do_purge, &g, e);
}

/* The next asset of the job that is left: 1, 0 none, -1. */
static int next_of_job(struct tx *tx, struct id job, struct id *out, struct err *e)
{
        struct rows *s = db_query(
                tx->db, e, "SELECT a.id FROM asset a JOIN job j ON j.n = a.job WHERE j.id = ? ORDER BY a.n LIMIT 1",
                "u", &job);
        int rc = s ? db_step(tx->db, s, e) : -1;

        if (rc > 0) {
                *out = col_id(s, 0);
                db_end(s);
        }
        return rc;
}

static int do_undo(struct tx *tx, void *arg, struct err *e)
{
        struct asset_args *g = arg;
        struct asset_args one = {.actor = "service"};
        int rc;

        while ((rc = next_of_job(tx, g->id, &one.id, e)) > 0)
                if (do_purge(tx, &one, e))
                        return -1;
        if (rc < 0 || db_run(tx->db, e, "DELETE FROM idempotency WHERE job = ?", "u", &g->id))
                return -1;
        return db_run(tx->db, e, "DELETE FROM job WHERE id = ?", "u", &g->id);
}

int catalog_ingest_undo(struct catalog *c, struct id job, struct err *e)
{
        struct asset_args g = {.id = job};

        return write_do(c, LANE_RESULT, do_undo, &g, e);
}

struct add_args {
        struct id id;
        const char *owner;
        enum task_purpose purpose;
};

static int do_add(struct tx *tx, void *arg, struct err *e)
{
        struct add_args *g = arg;
        struct row r;
        int rc;

        if (tasks_lock(tx, g->id, e) || row_find(tx, g->id, g->owner, &r, e))
                return -1;
        rc = task_renew(tx, r.n, g->purpose, r.type, e);
        return rc > 0 ? err_set(e, ERR_CONFLICT, "a task for this asset is already in progress") : rc;
}

int catalog_task_add(struct catalog *c, struct id id, const char *owner, enum task_purpose p, struct err *e)
{
        struct add_args g = {.id = id, .owner = owner, .purpose = p};

        assert(p > PURPOSE_ANALYSE && p < PURPOSE_COUNT);
        if (fault_err(FAULT("task.add"), "task", e) || write_do(c, LANE_RESULT, do_add, &g, e) < 0)
                return -1;
        return fault_err(FAULT("task.add.after"), "task", e);
}

static int do_reprocess(struct tx *tx, void *arg, struct err *e)
{
        struct asset_args *g = arg;
        struct row r;
        enum job_type type;
        int busy;

        if (tasks_lock(tx, g->id, e) || row_find(tx, g->id, g->owner, &r, e))
                return -1;
        type = g->type ? *g->type : r.type;
        busy = task_renew(tx, r.n, PURPOSE_ANALYSE, type, e);
        if (busy > 0)
                return err_set(e, ERR_CONFLICT, "a task for this asset is already in progress");
        if (busy < 0 ||
            db_run(tx->db, e,
                   "UPDATE asset SET type = ?, stage = 'stored', error = NULL, error_code = NULL, note = NULL WHERE n "
                   "= ?",
                   "il", (int)type, r.n) ||
            row_set_status(tx, &r, ASSET_QUEUED, e))
                return -1;
        return lineage_add(tx, r.n, "reprocessed", g->actor, NULL, e);
}

int catalog_asset_reprocess(struct catalog *c, struct id id, const char *owner, const enum job_type *type,
                            const char *actor, struct err *e)
{
        struct asset_args g = {.id = id, .owner = owner, .type = type, .actor = actor};

        return write_do(c, LANE_RESULT, do_reprocess, &g, e);
}
