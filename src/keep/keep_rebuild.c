/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A catalog made again out of what sidecars tell and the storage holds. The
 * hard thing is to arrive at the same catalog by its own rules: rows come in
 * the order of their ids, sums and near duplicates are made as ever, and only
 * times and states are set as they were told.
 */
#include "keep/keep_rebuild.h"
#include "catalog/catalog_place_rules.h"
#include "keep/keep_catalog_tables.h"

#include <stdio.h>

/* ---- the state ------------------------------------------------------------------------ */

/* 1 the catalog is in use, 0 it is as new, -1. */
static int has_rows(struct db *db, struct err *e)
{
        const char *between = "";
        struct rows *s;
        struct sql q;
        int rc;

        sql_init(&q, db, NULL);
        for (const struct table *t = catalog_tables; t->name; t++) {
                if (!(t->flags & TABLE_TELLS))
                        continue;
                buf_printf(&q.text, "%sSELECT 1 FROM %s", between, t->name);
                between = " UNION ALL ";
        }
        sql_put(&q, " LIMIT 1");
        s = sql_run(&q, e);
        rc = s ? db_step(db, s, e) : -1;
        rows_free(s);
        sql_done(&q);
        return rc;
}

static int state_of(struct db *db, enum rebuild_state *out, struct err *e)
{
        int64_t one;
        int rc = db_int(db, e, &one, "SELECT begun FROM rebuild LIMIT 1", "");

        *out = REBUILD_BEGUN;
        if (rc == 0) {
                rc = has_rows(db, e);
                *out = rc > 0 ? REBUILD_FULL : REBUILD_EMPTY;
        }
        return rc < 0 ? -1 : 0;
}

int keep_rebuild_state(struct catalog *c, enum rebuild_state *out, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int rc;

        if (!db)
                return -1;
        rc = state_of(db, out, e);
        read_end(c, db, began);
        return rc;
}

/* Servers on the same database. Who rebuilds has another name there (app_rebuild.c). */
static int check_alone(struct tx *tx, struct err *e)
{
        int64_t one;
        int rc;

        if (tx->db->dialect == DIALECT_SQLITE)
                return 0;
        rc = db_int(tx->db, e, &one,
                    "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = "
                    "'file-allocator' AND current_setting('application_name') <> 'file-allocator' LIMIT 1",
                    "");
        return rc > 0 ? err_set(e, ERR_CONFLICT, "a server is running on this catalog: stop it first") : rc;
}

static int do_begin(struct tx *tx, void *arg, struct err *e)
{
        enum rebuild_state state;

        (void)arg;
        if (check_alone(tx, e) < 0 || state_of(tx->db, &state, e))
                return -1;
        if (state == REBUILD_FULL)
                return err_set(e, ERR_CONFLICT,
                               "the catalog is not empty: a rebuild needs an empty one; move this one away, or give an "
                               "empty database");
        if (state == REBUILD_BEGUN)
                return 0;
        return db_run(tx->db, e, "INSERT INTO rebuild (begun) VALUES (?)", "l", tx->now.us);
}

int keep_rebuild_begin(struct catalog *c, struct err *e)
{
        return write_do(c, LANE_BULK, do_begin, NULL, e);
}

static int do_finish(struct tx *tx, void *arg, struct err *e)
{
        (void)arg;
        if (db_run(tx->db, e,
                   "UPDATE asset SET duplicate_of = NULL WHERE duplicate_of IS NOT NULL AND NOT EXISTS (SELECT 1 FROM "
                   "asset x WHERE x.id = asset.duplicate_of)",
                   "") ||
            db_run(tx->db, e, "DELETE FROM rebuild_item", ""))
                return -1;
        return db_run(tx->db, e, "DELETE FROM rebuild", "");
}

int keep_rebuild_finish(struct catalog *c, struct err *e)
{
        return write_do(c, LANE_BULK, do_finish, NULL, e);
}

/* A row of a key that is revoked: as long as there is one the API asks for keys. */
static int do_close(struct tx *tx, void *arg, struct err *e)
{
        struct id id = id_new();
        struct sha256 none = {{0}};
        int64_t one;
        int rc = db_int(tx->db, e, &one, "SELECT 1 FROM api_key LIMIT 1", "");

        (void)arg;
        if (rc != 0)
                return rc < 0 ? -1 : 0;
        return db_run(tx->db, e,
                      "INSERT INTO api_key (id, name, prefix, hash, scope, created, created_by, expires, revoked, "
                      "revoked_by) VALUES (?1, 'keys before the rebuild', '', ?2, ?3, ?4, 'rebuild', 0, ?4, 'rebuild')",
                      "uhil", &id, &none, (int)KEY_READ, tx->now.us);
}

int keep_rebuild_close_api(struct catalog *c, struct err *e)
{
        return write_do(c, LANE_BULK, do_close, NULL, e);
}

/* ---- what was found ------------------------------------------------------------------------ */

struct found_args {
        const struct rebuild_item *items;
        size_t n;
};

static const void *key_of(const struct rebuild_item *i, size_t *n)
{
        *n = i->kind == KEPT_OBJECT ? sizeof i->sha256 : sizeof i->id;
        return i->kind == KEPT_OBJECT ? (const void *)&i->sha256 : (const void *)&i->id;
}

static int do_found(struct tx *tx, void *arg, struct err *e)
{
        const struct found_args *g = arg;

        for (size_t i = 0; i < g->n; i++) {
                size_t n;
                const void *key = key_of(&g->items[i], &n);
                if (db_run(tx->db, e,
                           "INSERT INTO rebuild_item (kind, key, size) VALUES (?, ?, ?) ON CONFLICT (kind, key) DO "
                           "UPDATE SET size = excluded.size",
                           "ibl", (int)g->items[i].kind, key, n, (int64_t)g->items[i].size))
                        return -1;
        }
        return 0;
}

int keep_rebuild_found(struct catalog *c, const struct rebuild_item *items, size_t n, struct err *e)
{
        struct found_args g = {.items = items, .n = n};

        return n == 0 ? 0 : write_do(c, LANE_BULK, do_found, &g, e);
}

int keep_rebuild_todo(struct catalog *c, enum kept_kind kind, const struct rebuild_item *after, unsigned limit,
                      struct arena *a, struct rebuild_item **out, size_t *n, struct err *e)
{
        struct mono began = mono_now();
        size_t key_n = 0;
        const void *key = after ? key_of(after, &key_n) : "";
        struct db *db = batch_begin(c, limit, sizeof **out, a, out, n, e);
        struct rows *s;
        int rc = -1;

        if (!db)
                return -1;
        /* An object is in the catalog when an asset brought it. */
        s = db_query(db, e,
                     "SELECT key, size FROM rebuild_item WHERE kind = ?1 AND done = 0 AND key > ?2 AND (?1 <> 3 OR NOT "
                     "EXISTS (SELECT 1 FROM object WHERE sha256 = key)) ORDER BY key LIMIT ?3",
                     "ibi", (int)kind, key, key_n, (int)limit);
        while (s && (rc = db_step(db, s, e)) > 0) {
                struct rebuild_item *i = &(*out)[*n];
                i->kind = kind;
                i->size = col_u64(s, 1);
                if (kind == KEPT_OBJECT)
                        i->sha256 = col_sha(s, 0);
                else
                        i->id = col_id(s, 0);
                ++*n;
        }
        read_end(c, db, began);
        return rc;
}

static int item_done(struct tx *tx, enum kept_kind kind, const void *key, size_t n, struct err *e)
{
        return db_run(tx->db, e, "UPDATE rebuild_item SET done = 1 WHERE kind = ? AND key = ?", "ib", (int)kind, key,
                      n);
}

/* ---- folders ----------------------------------------------------------------------------------- */

/* A name may be taken when the mark of a folder's end had no time to be followed. */
static int add_folder(struct tx *tx, const struct cluster *k, struct wall updated, struct err *e)
{
        struct folder f = {.id = k->id,
                           .status = k->status,
                           .threshold = k->threshold,
                           .locked = k->locked,
                           .touched = k->touched,
                           .named = k->named};

        snprintf(f.owner, sizeof f.owner, "%s", k->owner);
        if (folder_free_name(tx, k->owner, k->name, f.name, e) < 0 || folder_add(tx, &f, e))
                return -1;
        return db_run(tx->db, e, "UPDATE cluster SET created = ?, updated = ? WHERE id = ?", "llu", k->created.us,
                      updated.us, &k->id);
}

static int find_known(struct tx *tx, const char *sql, struct id id, struct err *e)
{
        int64_t one;

        return db_int(tx->db, e, &one, sql, "u", &id);
}

#define KNOWN_FOLDER "SELECT 1 FROM cluster WHERE id = ?"

struct folder_args {
        const struct kept_folder *f;
};

static int do_folder(struct tx *tx, void *arg, struct err *e)
{
        const struct kept_folder *f = ((struct folder_args *)arg)->f;
        int rc = find_known(tx, KNOWN_FOLDER, f->folder.id, e);

        if (rc == 0)
                rc = add_folder(tx, &f->folder, f->folder.updated, e);
        for (size_t i = 0; rc >= 0 && i < f->naliases; i++)
                rc = db_run(tx->db, e,
                            "INSERT INTO cluster_alias (id, target) VALUES (?, ?) ON CONFLICT (id) DO NOTHING", "uu",
                            &f->aliases[i], &f->folder.id);
        return rc < 0 ? -1 : item_done(tx, KEPT_FOLDER, &f->folder.id, sizeof f->folder.id, e);
}

int keep_rebuild_folder(struct catalog *c, const struct kept_folder *f, struct err *e)
{
        struct folder_args g = {.f = f};

        return write_do(c, LANE_BULK, do_folder, &g, e);
}

/* The folder an asset says it is in; the one that knows more was not readable. */
static int need_folder(struct tx *tx, const struct asset *x, struct err *e)
{
        struct cluster k = {.id = x->cluster_id,
                            .owner = x->owner,
                            .name = x->cluster_name && *x->cluster_name ? x->cluster_name : "Folder",
                            .status = x->cluster_provisional ? CLUSTER_PROVISIONAL : CLUSTER_ACTIVE,
                            .threshold = catalog_of(tx)->folder_threshold,
                            .touched = !x->cluster_provisional,
                            .named = !x->cluster_provisional,
                            .created = x->created};
        int rc = find_known(tx, KNOWN_FOLDER, x->cluster_id, e);

        return rc != 0 ? rc : add_folder(tx, &k, x->updated, e);
}

/* ---- assets --------------------------------------------------------------------------------------- */

struct assets_args {
        const struct kept_asset *const *assets;
        size_t n;
        enum kept_fate *fates;
        const char **fold;
};

static int check_object(struct tx *tx, const struct asset *x, enum kept_fate *fate, struct err *e)
{
        int64_t size;
        int rc = db_int(tx->db, e, &size, "SELECT size FROM rebuild_item WHERE kind = 3 AND key = ?", "h", &x->sha256);

        *fate = rc <= 0 ? FATE_NO_OBJECT : (uint64_t)size == x->size ? FATE_RESTORED : FATE_WRONG_SIZE;
        return rc < 0 ? -1 : 0;
}

/* The job as the asset that changed it last saw it; its counts are those of its assets. */
static int put_job(struct tx *tx, const struct kept_asset *k, int64_t *n, struct err *e)
{
        const struct asset *x = &k->asset;
        static const enum asset_status all[] = {ASSET_QUEUED, ASSET_DONE, ASSET_FAILED};
        int one[COUNT_OF(all)];

        for (size_t i = 0; i < COUNT_OF(all); i++)
                one[i] = x->status == all[i];
        return db_int(tx->db, e, n,
                      "INSERT INTO job (id, owner, comments, status, queued, processing, done, failed, created, "
                      "updated, completed) VALUES (?1, ?2, ?3, 0, ?4, 0, ?5, ?6, ?7, ?8, ?9) "
                      "ON CONFLICT (id) DO UPDATE SET queued = job.queued + excluded.queued, "
                      "done = job.done + excluded.done, failed = job.failed + excluded.failed, "
                      "completed = CASE WHEN excluded.updated > job.updated THEN excluded.completed ELSE job.completed "
                      "END, updated = CASE WHEN excluded.updated > job.updated THEN excluded.updated ELSE job.updated "
                      "END RETURNING n",
                      "uttiiilll", &x->job_id, x->owner, k->job_comments, one[0], one[1], one[2], k->job_created.us,
                      k->job_updated.us, k->job_completed.us) < 0
                       ? -1
                       : 0;
}

/* As job_flush tells it. */
static int settle_job(struct tx *tx, int64_t job, struct err *e)
{
        return db_run(
                tx->db, e,
                "UPDATE job SET status = CASE WHEN queued > 0 AND done + failed = 0 THEN 0 WHEN queued > 0 THEN 1 "
                "WHEN failed = 0 THEN 2 WHEN done = 0 THEN 3 ELSE 4 END, "
                "completed = CASE WHEN queued > 0 THEN 0 WHEN completed > 0 THEN completed ELSE updated END "
                "WHERE n = ?",
                "l", job);
}

static int put_row(struct tx *tx, const struct kept_asset *k, const char *fold, struct row *r, struct err *e)
{
        const struct asset *x = &k->asset;
        bool damaged;

        *r = (struct row){.id = x->id,
                          .cluster = x->cluster_id,
                          .kind = x->kind,
                          .type = x->type,
                          .status = x->status,
                          .trashed = x->trashed.us > 0,
                          .pinned = x->pinned,
                          .similarity = x->cluster_similarity,
                          .size = x->size,
                          .sha256 = x->sha256};
        snprintf(r->owner, sizeof r->owner, "%s", x->owner);
        if (object_acquire(tx, &x->sha256, x->size, &damaged, e) || put_job(tx, k, &r->job, e) ||
            settle_job(tx, r->job, e) || (!id_is_nil(x->cluster_id) && need_folder(tx, x, e) < 0))
                return -1;
        return db_int(tx->db, e, &r->n,
                      "INSERT INTO asset (id, job, position, owner, kind, type, status, stage, error, error_code, "
                      "filename, name_fold, content_type, comments, sha256, size, created, updated, trashed, metadata, "
                      "note, cluster, pinned, similarity, duplicate_of) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, "
                      "?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, "
                      "CASE WHEN ?24 < 0 THEN NULL ELSE ?24 END, ?25) RETURNING n",
                      "ulitiiittttttthllllttuidu", &x->id, r->job, k->position, x->owner, (int)x->kind, (int)x->type,
                      (int)x->status, or_empty(x->stage), x->error, x->error_code, x->filename, fold, x->content_type,
                      x->comments, &x->sha256, (int64_t)x->size, x->created.us, x->updated.us, x->trashed.us,
                      x->metadata, x->analysis_note, id_is_nil(x->cluster_id) ? NULL : &x->cluster_id, (int)x->pinned,
                      (double)x->cluster_similarity, id_is_nil(x->duplicate_of) ? NULL : &x->duplicate_of) < 0
                       ? -1
                       : 0;
}

static int put_tags(struct tx *tx, int64_t n, const struct asset *x, struct err *e)
{
        for (size_t i = 0; i < x->ntags; i++)
                if (tag_put(tx, n, &x->tags[i], e))
                        return -1;
        return 0;
}

static int put_metadata(struct tx *tx, int64_t n, const struct kept_asset *k, struct err *e)
{
        for (size_t i = 0; i < k->nothers; i++)
                if (metadata_put(tx, n, &k->others[i], e))
                        return -1;
        return 0;
}

static int put_vectors(struct tx *tx, const struct row *r, const struct kept_asset *k, struct err *e)
{
        int64_t model, whole = 0;

        if (k->nvectors && part_whole(tx, r->n, &whole, e))
                return -1;
        for (size_t i = 0; i < k->nvectors; i++) {
                const struct kept_vector *v = &k->vectors[i];
                if (model_number(tx, v->model, v->dim, &model, e) ||
                    vector_write(tx, r, PART_WHOLE, whole, model, v->v, v->dim, e) < 0)
                        return -1;
        }
        if (k->nvectors && tx_event(tx, (struct event){.kind = EVENT_VECTOR, .asset = r->n}, e) < 0)
                return -1;
        if (id_is_nil(r->cluster) || r->trashed)
                return 0;
        if (db_run(tx->db, e, "UPDATE cluster SET count = count + 1 WHERE id = ?", "u", &r->cluster))
                return -1;
        return folder_sum(tx, r->cluster, r->n, 1, e);
}

static int put_lineage(struct tx *tx, int64_t n, const struct kept_asset *k, struct err *e)
{
        for (size_t i = 0; i < k->nlineage; i++) {
                const struct lineage_entry *l = &k->lineage[i];
                if (db_run(tx->db, e, "INSERT INTO lineage (asset, at, action, actor, detail) VALUES (?, ?, ?, ?, ?)",
                           "llttt", n, l->at.us, l->action, l->actor, l->detail))
                        return -1;
        }
        return 0;
}

/* A file that was analysed: only such has metadata of its own. */
static bool was_analysed(const struct kept_asset *k)
{
        return k->asset.status == ASSET_DONE && k->asset.metadata && !k->asset.analysis_note;
}

static int put_history(struct tx *tx, int64_t task, const struct kept_dead *dead, struct err *e)
{
        for (size_t i = 0; i < dead->nhistory; i++)
                if (task_note(tx, task, &dead->history[i], e))
                        return -1;
        return db_run(tx->db, e, "UPDATE task SET deliveries = ?, errors = ?, crashes = ? WHERE n = ?", "iiil",
                      (int)dead->deliveries, (int)dead->errors, (int)dead->crashes, task);
}

/* The task of its analysis: waiting again, done, or back in the dead-letter queue with its history. */
static int put_task(struct tx *tx, const struct row *r, const struct kept_asset *k, struct err *e)
{
        int64_t task;

        if (r->status != ASSET_QUEUED && !k->dead && !was_analysed(k))
                return 0;
        if (task_add(tx, r->n, PURPOSE_ANALYSE, r->type, e))
                return -1;
        if (r->status == ASSET_QUEUED)
                return 0;
        if (db_int(tx->db, e, &task, "SELECT n FROM task WHERE asset = ?", "l", r->n) <= 0 ||
            task_move(tx, task, TASK_READY, TASK_LEASED, e))
                return -1;
        if (k->dead && put_history(tx, task, k->dead, e))
                return -1;
        return task_move(tx, task, TASK_LEASED, k->dead ? TASK_DEAD : TASK_DONE, e);
}

static int put_asset(struct tx *tx, const struct kept_asset *k, const char *fold, struct err *e)
{
        const struct asset *x = &k->asset;
        struct row r;
        int status = x->trashed.us > 0 ? ASSET_STATUS_COUNT : (int)x->status;
        int rc = find_known(tx, "SELECT 1 FROM asset WHERE id = ?", x->id, e);

        if (rc < 0)
                return -1;
        if (rc == 0 && (put_row(tx, k, fold, &r, e) || put_tags(tx, r.n, x, e) || put_metadata(tx, r.n, k, e) ||
                        counter_add(tx, x->owner, x->kind, status, 1, (int64_t)x->size, e) ||
                        (*k->asset.products && products_put(tx, &r.sha256, k->asset.products, e)) ||
                        (k->has_phash && phash_put(tx, &r, k->phash, true, e)) || put_vectors(tx, &r, k, e) < 0 ||
                        put_lineage(tx, r.n, k, e) || put_task(tx, &r, k, e) || tx_text(tx, r.n, e)))
                return -1;
        return item_done(tx, KEPT_ASSET, &x->id, sizeof x->id, e);
}

static int do_assets(struct tx *tx, void *arg, struct err *e)
{
        struct assets_args *g = arg;

        for (size_t i = 0; i < g->n; i++)
                if (check_object(tx, &g->assets[i]->asset, &g->fates[i], e) ||
                    (g->fates[i] == FATE_RESTORED && put_asset(tx, g->assets[i], g->fold[i], e)))
                        return -1;
        return 0;
}

int keep_rebuild_assets(struct catalog *c, const struct kept_asset *const *assets, size_t n, enum kept_fate *fates,
                        struct err *e)
{
        struct assets_args g = {.assets = assets, .n = n, .fates = fates};
        struct arena *a = arena_new(16 << 20);
        int rc = 0;

        g.fold = a ? arena_array(a, n + 1, sizeof *g.fold) : NULL;
        if (!g.fold)
                rc = err_oom(e);
        for (size_t i = 0; rc == 0 && i < n; i++)
                if (!(g.fold[i] = text_fold(a, assets[i]->asset.filename)))
                        rc = err_oom(e);
        if (rc == 0)
                rc = write_do(c, LANE_BULK, do_assets, &g, e);
        arena_free(a);
        return rc;
}
