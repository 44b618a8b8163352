/* SPDX-License-Identifier: Apache-2.0 */
/* Objects as a check of the storage wants them, and what becomes of the assets of one that is lost. */
#include "catalog/catalog_check_priv.h"

int catalog_check_objects(struct catalog *c, const struct sha256 *after, unsigned limit, struct arena *a,
                          struct check_object **out, size_t *n, struct err *e)
{
        static const struct sha256 zero;
        struct mono began = mono_now();
        struct db *db = batch_begin(c, limit, sizeof(**out), a, out, n, e);
        struct rows *s;
        int rc = -1;

        if (!db)
                return -1;
        s = db_query(db, e,
                     "SELECT o.sha256, o.size, o.scrubbed, (SELECT a.id FROM asset a WHERE a.sha256 = o.sha256 AND "
                     "a.status = 2 AND a.phash IS NOT NULL ORDER BY a.n LIMIT 1), CASE WHEN EXISTS (SELECT 1 FROM "
                     "asset a WHERE a.sha256 = o.sha256 AND a.error_code = 'lost') THEN 1 ELSE 0 END FROM object o "
                     "WHERE o.sha256 > ? AND o.collecting = 0 AND EXISTS (SELECT 1 FROM asset a WHERE a.sha256 = "
                     "o.sha256) ORDER BY o.sha256 LIMIT ?",
                     "hi", after ? after : &zero, (int)limit);
        while (s && (rc = db_step(db, s, e)) > 0)
                if (*n < limit)
                        (*out)[(*n)++] = (struct check_object){.item = {.sha256 = col_sha(s, 0),
                                                                        .size = col_u64(s, 1),
                                                                        .seen = col_i64(s, 2),
                                                                        .asked = true},
                                                               .derived = col_id(s, 3),
                                                               .lost = col_i64(s, 4) != 0};
        read_end(c, db, began);
        return rc;
}

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

static int move(struct tx *tx, int64_t n, const char *reason, struct err *e)
{
        struct row r;

        if (row_load(tx, n, &r, e) < 0 ||
            db_run(tx->db, e, "UPDATE asset SET error = ?, error_code = ? WHERE n = ?", "ttl", reason,
                   reason ? "lost" : NULL, n) < 0 ||
            row_set_status(tx, &r, reason ? ASSET_FAILED : ASSET_DONE, e) < 0)
                return -1;
        return lineage_add(tx, n, reason ? "lost" : "found again", "service", NULL, e);
}

static int move_all(struct tx *tx, const struct sha256 *h, const char *reason, uint64_t *moved, struct err *e)
{
        int64_t n = -1;
        int rc;

        *moved = 0;
        while ((rc = next_asset(tx, h, !reason, &n, e)) > 0) {
                if (move(tx, n, reason, e) < 0)
                        return -1;
                ++*moved;
        }
        return rc;
}

int assets_found_again(struct tx *tx, const struct sha256 *h, uint64_t *moved, struct err *e)
{
        return move_all(tx, h, NULL, moved, e);
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
