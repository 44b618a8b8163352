/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Marks of what has changed, and reading all that a sidecar tells. The catalog
 * makes them (tx_mark). The hard thing is to take one away: it names the change
 * it stands for, so what came after it was read keeps its own.
 */
#include "catalog/catalog_rules.h"
#include "keep/keep_sidecar.h"

#include <stdlib.h>

static const struct id nil;

/* ---- reading and clearing ---------------------------------------------------------------- */

int keep_marks(struct catalog *c, const struct sidecar_mark *after, unsigned limit, struct arena *a,
               struct sidecar_mark **out, size_t *n, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = batch_begin(c, limit, sizeof **out, a, out, n, e);
        struct rows *s;
        int rc = -1;

        if (!db)
                return -1;
        s = db_query(db, e,
                     "SELECT kind, id, change FROM sidecar_mark WHERE (kind, id) > (?, ?) ORDER BY kind, id LIMIT ?",
                     "iui", after ? (int)after->kind : -1, after ? &after->id : &nil, (int)limit);
        while (s && (rc = db_step(db, s, e)) > 0)
                (*out)[(*n)++] = (struct sidecar_mark){
                        .kind = (enum kept_kind)col_int(s, 0), .id = col_id(s, 1), .change = col_i64(s, 2)};
        read_end(c, db, began);
        return rc;
}

struct clear_args {
        const struct sidecar_mark *marks;
        size_t n;
};

static int do_clear(struct tx *tx, void *arg, struct err *e)
{
        const struct clear_args *g = arg;

        for (size_t i = 0; i < g->n; i++)
                if (db_run(tx->db, e, "DELETE FROM sidecar_mark WHERE kind = ? AND id = ? AND change = ?", "iul",
                           (int)g->marks[i].kind, &g->marks[i].id, g->marks[i].change))
                        return -1;
        return 0;
}

int keep_marks_clear(struct catalog *c, const struct sidecar_mark *marks, size_t n, struct err *e)
{
        struct clear_args g = {.marks = marks, .n = n};

        return n == 0 ? 0 : write_do(c, LANE_BULK, do_clear, &g, e);
}

struct all_args {
        int64_t after, last; /* the last asset marked, before and by this slice */
        bool more;
};

#define ALL_SLICE 2000

static int do_all_assets(struct tx *tx, void *arg, struct err *e)
{
        struct all_args *g = arg;
        int rc = db_int(tx->db, e, &g->last,
                        "SELECT max(n) FROM (SELECT n FROM asset WHERE n > ? ORDER BY n LIMIT ?) AS slice", "li",
                        g->after, ALL_SLICE);

        g->more = rc > 0;
        if (rc <= 0)
                return rc;
        return db_run(tx->db, e,
                      "INSERT INTO sidecar_mark (kind, id, at, change) SELECT 0, id, ?, ? FROM asset WHERE n > ? AND n "
                      "<= ? ORDER BY id ON CONFLICT (kind, id) DO UPDATE SET change = excluded.change",
                      "llll", tx->now.us, mark_change(), g->after, g->last);
}

static int do_all_folders(struct tx *tx, void *arg, struct err *e)
{
        (void)arg;
        if (db_run(tx->db, e,
                   "INSERT INTO sidecar_mark (kind, id, at, change) SELECT 1, id, ?, ? FROM cluster WHERE true ORDER "
                   "BY "
                   "id ON CONFLICT (kind, id) DO UPDATE SET change = excluded.change",
                   "ll", tx->now.us, mark_change()))
                return -1;
        return tx_mark(tx, KEPT_CATALOG, nil, e);
}

int keep_marks_all(struct catalog *c, struct err *e)
{
        struct all_args g = {.more = true};

        while (g.more) { /* in slices, since others wait for the writer */
                if (write_do(c, LANE_BULK, do_all_assets, &g, e) < 0)
                        return -1;
                g.after = g.last;
        }
        return write_do(c, LANE_BULK, do_all_folders, NULL, e);
}

int keep_marks_waiting(struct catalog *c, uint64_t *n, struct wall *since, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        struct rows *s;
        int rc = -1;

        *n = 0;
        *since = (struct wall){0};
        if (!db)
                return -1;
        s = db_query(db, e, "SELECT count(*), coalesce(min(at), 0) FROM sidecar_mark", "");
        if (s && (rc = db_step(db, s, e)) > 0) {
                *n = col_u64(s, 0);
                *since = col_wall(s, 1);
                db_end(s);
        }
        read_end(c, db, began);
        return rc < 0 ? -1 : 0;
}

/* ---- an asset ---------------------------------------------------------------------------------- */

static int read_rest(struct db *db, int64_t n, struct arena *a, struct kept_asset *out, struct err *e)
{
        struct rows *s =
                db_query(db, e,
                         "SELECT a.position, a.phash, j.comments, j.created, j.updated, j.completed FROM asset "
                         "a JOIN job j ON j.n = a.job WHERE a.n = ?",
                         "l", n);
        int rc = s ? db_step(db, s, e) : -1;
        bool ok = true;

        if (rc <= 0)
                return rc;
        out->position = col_int(s, 0);
        out->has_phash = !col_null(s, 1);
        out->phash = out->has_phash ? col_u64(s, 1) : 0;
        out->job_comments = col_text(a, s, 2, &ok);
        out->job_created = col_wall(s, 3);
        out->job_updated = col_wall(s, 4);
        out->job_completed = col_wall(s, 5);
        db_end(s);
        return ok ? 0 : err_oom(e);
}

/* Of the whole; other parts are made again from the object. */
static int read_vectors(struct db *db, int64_t n, struct arena *a, struct kept_asset *out, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  SQL(db,
                                      "SELECT m.id, m.dim, x.vec FROM part p JOIN embedding x ON x.part = p.n JOIN "
                                      "model m ON m.n = x.model WHERE p.asset = ? AND p.kind = 0 ORDER BY x.model",
                                      "SELECT m.id, m.dim, x.unit FROM part p JOIN embedding x ON x.part = p.n JOIN "
                                      "model m ON m.n = x.model WHERE p.asset = ? AND p.kind = 0 ORDER BY x.model"),
                                  "l", n);
        size_t cap = 0;
        bool ok = true;
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                uint32_t dim = (uint32_t)col_int(s, 1);
                float *v = arena_array(a, dim, sizeof *v);
                if (!v || arena_grow(a, &out->vectors, &cap, out->nvectors + 1, sizeof *out->vectors, e)) {
                        db_end(s);
                        return err_oom(e);
                }
                if ((size_t)col_bytes(s, 2) != dim * sizeof *v)
                        continue;
                memcpy(v, col_blob(s, 2), dim * sizeof *v);
                out->vectors[out->nvectors++] =
                        (struct kept_vector){.model = col_text(a, s, 0, &ok), .dim = dim, .v = v};
        }
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}

static int read_lineage(struct db *db, int64_t n, struct arena *a, struct kept_asset *out, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT at, action, actor, detail FROM (SELECT n, at, action, actor, detail FROM "
                                  "lineage WHERE asset = ? ORDER BY n DESC LIMIT ?) AS latest ORDER BY n",
                                  "li", n, KEPT_LINEAGE_MAX);
        size_t cap = 0;
        bool ok = true;
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, &out->lineage, &cap, out->nlineage + 1, sizeof *out->lineage, e)) {
                        db_end(s);
                        return -1;
                }
                out->lineage[out->nlineage++] = (struct lineage_entry){.at = col_wall(s, 0),
                                                                       .action = col_text(a, s, 1, &ok),
                                                                       .actor = col_text(a, s, 2, &ok),
                                                                       .detail = col_text(a, s, 3, &ok)};
        }
        return rc < 0 ? -1 : ok ? 0 : err_oom(e);
}

static int read_dead(struct db *db, int64_t n, struct arena *a, struct kept_asset *out, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT n, deliveries, errors, crashes FROM task WHERE asset = ? AND purpose = 0 AND "
                                  "state = 3",
                                  "l", n);
        int rc = s ? db_step(db, s, e) : -1;
        int64_t task;

        if (rc <= 0)
                return rc;
        out->dead = arena_alloc(a, sizeof *out->dead);
        if (!out->dead) {
                db_end(s);
                return err_oom(e);
        }
        task = col_i64(s, 0);
        *out->dead = (struct kept_dead){.deliveries = (unsigned)col_int(s, 1),
                                        .errors = (unsigned)col_int(s, 2),
                                        .crashes = (unsigned)col_int(s, 3)};
        db_end(s);
        return task_errors(db, task, a, &out->dead->history, &out->dead->nhistory, e);
}

static int read_asset(struct db *db, struct id id, struct arena *a, struct kept_asset *out, struct err *e)
{
        struct rows *s = db_query(db, e, ASSET_SELECT "WHERE a.id = ?", "u", &id);
        int rc = s ? db_step(db, s, e) : -1;
        bool ok = true;
        int64_t n;

        if (rc <= 0)
                return rc < 0 ? -1 : err_set(e, ERR_NOT_FOUND, "no such asset");
        n = col_i64(s, 0);
        rc = asset_read(db, s, a, &out->asset, e);
        out->asset.metadata = col_text(a, s, ASSET_METADATA, &ok);
        db_end(s);
        if (!ok)
                return err_oom(e);
        if (rc < 0 || metadata_list(db, n, a, &out->others, &out->nothers, e) || read_rest(db, n, a, out, e) < 0 ||
            read_vectors(db, n, a, out, e) || read_lineage(db, n, a, out, e))
                return -1;
        return out->asset.status == ASSET_FAILED ? read_dead(db, n, a, out, e) : 0;
}

int keep_asset_read(struct catalog *c, struct id id, struct arena *a, struct kept_asset *out, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int rc;

        *out = (struct kept_asset){0};
        if (!db)
                return -1;
        rc = read_asset(db, id, a, out, e);
        read_end(c, db, began);
        return rc;
}

/* ---- a folder ------------------------------------------------------------------------------------- */

static int read_folder(struct db *db, struct id id, struct arena *a, struct cluster *out, struct err *e)
{
        struct rows *s =
                db_query(db, e,
                         "SELECT owner, name, status, threshold, locked, touched, named, created, updated FROM "
                         "cluster WHERE id = ?",
                         "u", &id);
        int rc = s ? db_step(db, s, e) : -1;
        bool ok = true;

        if (rc <= 0)
                return rc < 0 ? -1 : err_set(e, ERR_NOT_FOUND, "no such folder");
        *out = (struct cluster){.id = id,
                                .owner = col_text(a, s, 0, &ok),
                                .name = col_text(a, s, 1, &ok),
                                .status = (enum cluster_status)col_int(s, 2),
                                .threshold = (float)col_f64(s, 3),
                                .locked = col_int(s, 4) != 0,
                                .touched = col_int(s, 5) != 0,
                                .named = col_int(s, 6) != 0,
                                .created = col_wall(s, 7),
                                .updated = col_wall(s, 8)};
        db_end(s);
        return ok ? 0 : err_oom(e);
}

static int read_aliases(struct db *db, struct id id, struct arena *a, struct kept_folder *out, struct err *e)
{
        struct rows *s = db_query(db, e, "SELECT id FROM cluster_alias WHERE target = ? ORDER BY id", "u", &id);
        size_t cap = 0;
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, &out->aliases, &cap, out->naliases + 1, sizeof *out->aliases, e)) {
                        db_end(s);
                        return -1;
                }
                out->aliases[out->naliases++] = col_id(s, 0);
        }
        return rc;
}

int keep_folder_read(struct catalog *c, struct id id, struct arena *a, struct kept_folder *out, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int rc;

        *out = (struct kept_folder){0};
        if (!db)
                return -1;
        rc = read_folder(db, id, a, &out->folder, e);
        if (rc == 0)
                rc = read_aliases(db, id, a, out, e);
        read_end(c, db, began);
        return rc;
}
