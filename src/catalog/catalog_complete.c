/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a task: everything that was found out about an asset, in one
 * write.
 */
#include "catalog/catalog_place_rules.h"

#include <stdio.h>

#define NEAR_MAX     50
#define PHASH_RADIUS 2 /* the furthest probing goes: distances up to 11 */

/* ---- near duplicates ------------------------------------------------------------ */

struct near {
        int64_t asset;
        int distance;
};

struct near_list {
        struct near found[NEAR_MAX];
        size_t n;
        int64_t self;
        uint64_t phash;
        unsigned below;
        bool trashed; /* those in the trash as well */
        const struct sha256 *object;
};

static int near_take(struct tx *tx, struct near_list *l, int64_t asset, uint64_t phash, struct err *e)
{
        int distance = __builtin_popcountll(phash ^ l->phash);
        int64_t fits;
        int rc;

        if (l->n == NEAR_MAX || asset == l->self || (unsigned)distance >= l->below)
                return 0;
        for (size_t i = 0; i < l->n; i++)
                if (l->found[i].asset == asset)
                        return 0;
        /* The same bytes are an exact duplicate, which is told elsewhere. */
        rc = db_int(tx->db, e, &fits, "SELECT 1 FROM asset WHERE n = ? AND (trashed = 0 OR ? <> 0) AND sha256 <> ?",
                    "lih", asset, (int)l->trashed, l->object);
        if (rc > 0)
                l->found[l->n++] = (struct near){.asset = asset, .distance = distance};
        return rc < 0 ? -1 : 0;
}

/* All values within radius bits of a quarter, with commas between. */
static void put_values(struct buf *b, unsigned value, unsigned radius)
{
        buf_printf(b, "%u", value);
        for (unsigned i = 0; radius >= 1 && i < 16; i++) {
                buf_printf(b, ",%u", value ^ 1U << i);
                for (unsigned j = i + 1; radius >= 2 && j < 16; j++)
                        buf_printf(b, ",%u", value ^ 1U << i ^ 1U << j);
        }
}

static int probe_values(struct tx *tx, struct near_list *l, const char *owner, int band, const char *values,
                        struct err *e)
{
        struct rows *s = db_query(tx->db, e,
                                  SQL(tx->db,
                                      "SELECT b.asset, b.phash FROM json_each('[' || ?3 || ']') v CROSS JOIN "
                                      "phash_band b ON b.owner = ?1 AND b.band = ?2 AND b.value = v.value",
                                      "SELECT asset, phash FROM phash_band WHERE owner = ?1 AND band = ?2 AND value = "
                                      "ANY (('{' || ?3 || '}')::integer[]) ORDER BY asset"),
                                  "tit", owner, band, values);
        int rc = s ? 1 : -1;

        while (rc > 0 && l->n < NEAR_MAX) {
                rc = db_step(tx->db, s, e);
                if (rc <= 0)
                        return rc;
                rc = near_take(tx, l, col_i64(s, 0), col_u64(s, 1), e) ? -1 : 1;
        }
        if (s)
                db_end(s);
        return rc < 0 ? -1 : 0;
}

static int probe_band(struct tx *tx, struct near_list *l, const char *owner, int band, unsigned radius, struct err *e)
{
        struct buf b;
        int rc;

        buf_init(&b, 4096);
        put_values(&b, (unsigned)(l->phash >> (16 * band) & 0xFFFF), radius);
        rc = buf_failed(&b) ? err_oom(e) : probe_values(tx, l, owner, band, buf_str(&b), e);
        buf_done(&b);
        return rc;
}

static int near_find(struct tx *tx, const struct row *r, uint64_t phash, bool trashed, struct err *e)
{
        struct near_list l = {.self = r->n,
                              .phash = phash,
                              .below = catalog_of(tx)->phash_distance,
                              .trashed = trashed,
                              .object = &r->sha256};
        unsigned radius = (l.below - 1) / 4;

        if (radius > PHASH_RADIUS)
                radius = PHASH_RADIUS;
        for (int band = 0; band < 4; band++)
                if (probe_band(tx, &l, r->owner, band, radius, e) < 0)
                        return -1;
        for (size_t i = 0; i < l.n; i++)
                if (db_run(tx->db, e,
                           "INSERT INTO near_duplicate (asset, other, distance) VALUES (?1, ?2, ?3), (?2, ?1, ?3) "
                           "ON CONFLICT (asset, other) DO UPDATE SET distance = excluded.distance",
                           "lli", r->n, l.found[i].asset, l.found[i].distance))
                        return -1;
        return 0;
}

int near_again(struct tx *tx, const struct row *r, struct err *e)
{
        int64_t phash = 0;
        int rc = db_int(tx->db, e, &phash, "SELECT phash FROM asset WHERE n = ?", "l", r->n);

        return rc > 0 && catalog_of(tx)->phash_distance ? near_find(tx, r, (uint64_t)phash, false, e) : rc;
}

int phash_put(struct tx *tx, const struct row *r, uint64_t phash, bool trashed, struct err *e)
{
        if (db_run(tx->db, e, "UPDATE asset SET phash = ? WHERE n = ?", "ll", (int64_t)phash, r->n) ||
            db_run(tx->db, e, "DELETE FROM phash_band WHERE asset = ?", "l", r->n) ||
            db_run(tx->db, e, "DELETE FROM near_duplicate WHERE asset = ?", "l", r->n) ||
            db_run(tx->db, e, "DELETE FROM near_duplicate WHERE other = ?", "l", r->n))
                return -1;
        for (int band = 0; band < 4; band++)
                if (db_run(tx->db, e,
                           "INSERT INTO phash_band (owner, band, value, asset, phash) VALUES (?, ?, ?, ?, ?)", "tiill",
                           r->owner, band, (int)(phash >> (16 * band) & 0xFFFF), r->n, (int64_t)phash))
                        return -1;
        return catalog_of(tx)->phash_distance && (trashed || !r->trashed) ? near_find(tx, r, phash, trashed, e) : 0;
}

/* ---- results of steps ------------------------------------------------------------------------ */

static int step_keep(struct tx *tx, const struct sha256 *object, const char *step, const char *version,
                     struct span data, struct err *e)
{
        return db_run(tx->db, e,
                      "INSERT INTO step_result (object, step, version, data) VALUES (?, ?, ?, ?) "
                      "ON CONFLICT (object, step, version) DO UPDATE SET data = excluded.data",
                      "httb", object, step, version, (const void *)data.p, data.n);
}

int catalog_step_get(struct catalog *c, struct sha256 object, const char *owner, const char *step, const char *version,
                     struct arena *a, struct span *out, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        struct rows *s;
        int rc = -1;
        char *p;

        *out = (struct span){0};
        if (!db)
                return -1;
        s = db_query(db, e,
                     "SELECT data FROM step_result WHERE object = ?1 AND step = ?2 AND version = ?3 AND "
                     "(SELECT count(*) FROM asset WHERE sha256 = ?1 AND owner = ?4) > 1",
                     "httt", &object, step, version, owner);
        if (s && (rc = db_step(db, s, e)) > 0) {
                size_t n = (size_t)col_bytes(s, 0);
                p = arena_alloc(a, n + 1);
                if (p && n)
                        memcpy(p, col_blob(s, 0), n);
                *out = (struct span){p, n};
                rc = p ? 1 : err_oom(e);
                db_end(s);
        }
        read_end(c, db, began);
        return rc;
}

/* ---- all of it -------------------------------------------------------------------------- */

/* The owner is locked before the task and the asset, as all who place do; nothing to place, nothing to lock. */
static int lock_places(struct tx *tx, const struct task_result *r, struct err *e)
{
        int64_t one;
        int rc = 1;

        if (r->placement.kind != PLACE_ASSIGN && r->placement.kind != PLACE_FOUND)
                rc = db_int(tx->db, e, &one, "SELECT 1 FROM asset WHERE id = ? AND cluster IS NOT NULL", "u",
                            &r->task->asset_id);
        return rc > 0 ? lock_owner_of_asset(tx, r->task->asset_id, e) : rc;
}

static int do_complete(struct tx *tx, void *arg, struct err *e)
{
        const struct task_result *r = arg;
        struct placement keep = {.kind = PLACE_KEEP};
        const struct placement *p = &r->placement;
        struct held task;
        struct row row;

        if (lock_places(tx, r, e) < 0 || placing_check(tx, r->task->owner, p, e) || lease_find(tx, r->task, &task, e) ||
            row_load(tx, task.asset, &row, e))
                return -1;
        if (task.purpose != PURPOSE_ANALYSE)
                return err_set(e, ERR_INTERNAL, "catalog: only an analysis is completed so");
        if (db_run(tx->db, e,
                   "UPDATE asset SET metadata = coalesce(?, metadata), stage = 'done', error = NULL, error_code = NULL "
                   "WHERE n = ?",
                   "tl", r->metadata, row.n))
                return -1;
        if (r->step && step_keep(tx, &row.sha256, r->step, r->step_version, r->step_data, e))
                return -1;
        if (r->products && products_put(tx, &row.sha256, r->products, e))
                return -1;
        if (r->has_phash && phash_put(tx, &row, r->phash, false, e))
                return -1;
        if (tags_replace(tx, row.n, ANALYSIS_SOURCES, r->tags, r->ntags, e))
                return -1;
        if (parts_put(tx, &row, &r->parts, e))
                return -1;
        /* A person may have decided, or thrown it away, while the worker was at it. */
        if (row.pinned || row.trashed)
                p = &keep;
        if (placement_apply(tx, row.owner, &row, p, "service", e) < 0)
                return -1;
        if (task_move(tx, task.n, TASK_LEASED, TASK_DONE, e) || row_set_status(tx, &row, ASSET_DONE, e) ||
            lineage_add(tx, row.n, "processed", "service", NULL, e))
                return -1;
        return tx_text(tx, row.n, e);
}

static int result_check(const struct task_result *r, struct err *e)
{
        if (r->products && !products_valid(span_of(r->products)))
                return err_set(e, ERR_INVALID, "products: '%.80s' is not a list of names", r->products);
        for (size_t i = 0; i < r->ntags; i++)
                if (!(ANALYSIS_SOURCES >> r->tags[i].source & 1))
                        return err_set(e, ERR_INVALID, "an analysis has no tags of source %s",
                                       tag_source_name(r->tags[i].source));
        return part_list_check(&r->parts, e);
}

int catalog_task_complete(struct catalog *c, const struct task_result *r, struct err *e)
{
        union {
                const struct task_result *in;
                void *arg;
        } pass = {.in = r};

        if (result_check(r, e))
                return -1;
        if (fault_err(FAULT("task.complete"), "result", e) || write_do(c, LANE_RESULT, do_complete, pass.arg, e) < 0)
                return -1;
        return fault_err(FAULT("task.complete.after"), "result", e);
}

/* ---- the other purposes ------------------------------------------------------------------ */

static int do_finish(struct tx *tx, void *arg, struct err *e)
{
        const struct task_finding *r = arg;
        struct held task;
        struct row row;
        char detail[64];

        /* Vectors change the sums of the folder: its owner is locked before the task, as all who place do. */
        if ((r->parts.n && lock_owner_of_asset(tx, r->task->asset_id, e)) || lease_find(tx, r->task, &task, e) ||
            row_load(tx, task.asset, &row, e))
                return -1;
        if (task.purpose == PURPOSE_ANALYSE)
                return err_set(e, ERR_INTERNAL, "catalog: an analysis is completed, not finished");
        if (r->has_tags && tags_replace(tx, row.n, 1u << r->source, r->tags, r->ntags, e))
                return -1;
        if (r->metadata && metadata_put(tx, row.n, &(struct source_metadata){r->source, r->metadata}, e))
                return -1;
        if (r->products && products_put(tx, &row.sha256, r->products, e))
                return -1;
        if (parts_put(tx, &row, &r->parts, e))
                return -1;
        snprintf(detail, sizeof detail, "{\"purpose\":\"%s\"}", task_purpose_name(task.purpose));
        if (db_run(tx->db, e, "UPDATE asset SET updated = ? WHERE n = ?", "ll", tx->now.us, row.n) ||
            task_move(tx, task.n, TASK_LEASED, TASK_DONE, e) ||
            lineage_add(tx, row.n, "processed", "service", detail, e) || tx_mark(tx, KEPT_ASSET, row.id, e))
                return -1;
        return tx_text(tx, row.n, e);
}

static int finding_check(const struct task_finding *r, struct err *e)
{
        if (r->source == TAG_HUMAN)
                return err_set(e, ERR_INVALID, "a worker's tag cannot be a person's");
        for (size_t i = 0; i < r->ntags; i++)
                if (r->tags[i].source != r->source)
                        return err_set(e, ERR_INVALID, "a tag of source %s among those of %s",
                                       tag_source_name(r->tags[i].source), tag_source_name(r->source));
        if (r->metadata && metadata_check(&(struct source_metadata){r->source, r->metadata}, e))
                return -1;
        if (r->products && !products_valid(span_of(r->products)))
                return err_set(e, ERR_INVALID, "products: '%.80s' is not a list of names", r->products);
        return part_list_check(&r->parts, e);
}

int catalog_task_finish(struct catalog *c, const struct task_finding *r, struct err *e)
{
        union {
                const struct task_finding *in;
                void *arg;
        } pass = {.in = r};

        if (finding_check(r, e))
                return -1;
        if (fault_err(FAULT("task.finish"), "result", e) < 0 || write_do(c, LANE_RESULT, do_finish, pass.arg, e))
                return -1;
        return fault_err(FAULT("task.finish.after"), "result", e);
}
