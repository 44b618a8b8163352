/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Referring to objects. The row is the lock: an ingest that refers to an object
 * holds its row for the length of its transaction, the collector (keep_gc.c)
 * marks it before it removes the bytes. docs/internals/gc.md has the argument.
 */
#include "catalog/catalog_rules.h"

/* 1 it is there and held, 0 it is not (any more), -1. */
static int hold_object(struct tx *tx, const struct sha256 *h, bool *damaged, bool *orphaned, struct err *e)
{
        /* Shared: many may refer to an object at the same moment. */
        struct rows *s = db_query(
                tx->db, e,
                LOCKING(tx->db, "SELECT collecting, orphaned, bad_since FROM object WHERE sha256 = ?", "FOR SHARE"),
                "h", h);
        int rc = s ? db_step(tx->db, s, e) : -1;
        bool collecting;

        if (rc <= 0)
                return rc;
        collecting = col_i64(s, 0) != 0;
        *orphaned = col_i64(s, 1) != 0;
        *damaged = col_i64(s, 2) != 0;
        db_end(s);
        return collecting ? err_set(e, ERR_STALE, "the bytes of this file are being removed at this moment") : 1;
}

int object_acquire(struct tx *tx, const struct sha256 *h, uint64_t size, bool *damaged, struct err *e)
{
        bool orphaned = true;

        *damaged = false;
        if (db_run(tx->db, e,
                   "INSERT INTO object (sha256, size, created, scrubbed) VALUES (?1, ?2, ?3, ?3) ON CONFLICT (sha256) "
                   "DO NOTHING",
                   "hll", h, (int64_t)size, tx->now.us))
                return -1;
        if (db_changes(tx->db) > 0)
                return counter_add(tx, "", COUNTER_OBJECTS, 0, 1, (int64_t)size, e);
        while (orphaned) {
                int rc;
                if (db_run(tx->db, e,
                           "UPDATE object SET orphaned = 0 WHERE sha256 = ? AND orphaned > 0 AND collecting = 0", "h",
                           h))
                        return -1;
                /* Its last asset may have gone between the two statements: then it is orphaned again. */
                rc = hold_object(tx, h, damaged, &orphaned, e);
                if (rc <= 0)
                        return rc < 0 ? -1 : err_set(e, ERR_STALE, "the bytes of this file were removed just now");
        }
        return 0;
}

int products_put(struct tx *tx, const struct sha256 *h, const char *products, struct err *e)
{
        return db_run(tx->db, e, "UPDATE object SET products = ?2 WHERE sha256 = ?1 AND products <> ?2", "ht", h,
                      products);
}

int object_release(struct tx *tx, const struct sha256 *h, struct err *e)
{
        int64_t one;

        /* Locked first, looked at afterwards: whoever refers to it by then is seen, and who comes later waits. */
        if (db_int(tx->db, e, &one, LOCKING(tx->db, "SELECT 1 FROM object WHERE sha256 = ?", "FOR NO KEY UPDATE"), "h",
                   h) < 0)
                return -1;
        return db_run(tx->db, e,
                      "UPDATE object SET orphaned = ?2 WHERE sha256 = ?1 AND orphaned = 0 AND NOT EXISTS (SELECT 1 "
                      "FROM asset WHERE sha256 = ?1)",
                      "hl", h, tx->now.us);
}

int catalog_objects_known(struct catalog *c, const struct sha256 *objects, size_t n, bool *known, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int64_t one;
        int rc = 0;

        if (!db)
                return -1;
        for (size_t i = 0; i < n && rc >= 0; i++) {
                rc = db_int(db, e, &one, "SELECT 1 FROM object WHERE sha256 = ?", "h", &objects[i]);
                known[i] = rc > 0;
        }
        read_end(c, db, began);
        return rc < 0 ? -1 : 0;
}

/* ---- bytes that were lost, and found again ------------------------------------------------ */

struct lost_args {
        const struct sha256 *object;
        const char *reason;
        uint64_t moved;
};

/* The next asset after *n: 1, 0 none, -1. */
static int next_asset(struct tx *tx, const struct sha256 *h, bool lost, int64_t *n, struct err *e)
{
        return lost ? db_int(tx->db, e, n,
                             "SELECT n FROM asset WHERE sha256 = ? AND n > ? AND status = 3 AND error_code = 'lost' "
                             "ORDER BY n LIMIT 1",
                             "hl", h, *n)
                    : db_int(tx->db, e, n,
                             "SELECT n FROM asset WHERE sha256 = ? AND n > ? AND status = 2 ORDER BY n LIMIT 1", "hl",
                             h, *n);
}

static int move_asset(struct tx *tx, int64_t n, const char *reason, struct err *e)
{
        struct row r;

        if (row_load(tx, n, &r, e) ||
            db_run(tx->db, e, "UPDATE asset SET error = ?, error_code = ? WHERE n = ?", "ttl", reason,
                   reason ? "lost" : NULL, n) ||
            row_set_status(tx, &r, reason ? ASSET_FAILED : ASSET_DONE, e))
                return -1;
        return lineage_add(tx, n, reason ? "lost" : "found again", "service", NULL, e);
}

static int move_all(struct tx *tx, const struct sha256 *h, const char *reason, uint64_t *moved, struct err *e)
{
        int64_t n = -1;
        int rc;

        *moved = 0;
        while ((rc = next_asset(tx, h, !reason, &n, e)) > 0) {
                if (move_asset(tx, n, reason, e))
                        return -1;
                ++*moved;
        }
        return rc;
}

static int do_lost(struct tx *tx, void *arg, struct err *e)
{
        struct lost_args *g = arg;

        return move_all(tx, g->object, g->reason, &g->moved, e);
}

int catalog_object_lost(struct catalog *c, struct sha256 object, const char *reason, uint64_t *moved, struct err *e)
{
        struct lost_args g = {.object = &object, .reason = reason};

        if (write_do(c, LANE_BULK, do_lost, &g, e) < 0)
                return -1;
        *moved = g.moved;
        return 0;
}

static int do_mended(struct tx *tx, void *arg, struct err *e)
{
        uint64_t moved;

        if (db_run(tx->db, e, "UPDATE object SET scrubbed = ?2, bad = NULL, bad_since = 0 WHERE sha256 = ?1", "hl",
                   (const struct sha256 *)arg, tx->now.us))
                return -1;
        return move_all(tx, arg, NULL, &moved, e);
}

int catalog_object_mended(struct catalog *c, struct sha256 object, struct err *e)
{
        return write_do(c, LANE_RESULT, do_mended, &object, e);
}
