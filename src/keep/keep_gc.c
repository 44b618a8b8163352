/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Garbage collection of objects that no asset refers to. The object's row serves as the lock: a collector marks it
 * before it removes the bytes and deletes it afterwards, and an ingest that refers to an object locks its row for the
 * length of its transaction. So either the ingest comes first and the collector finds an asset, or the mark comes
 * first and the ingest finds the mark. docs/internals/gc.md has the full argument.
 */
#include "catalog/catalog_rules.h"
#include "keep/keep.h"

/* ---- collecting ---------------------------------------------------------------------- */

/* Objects whose grace period is over, or whose collector's lease has expired. */
#define DOOMED "FROM object WHERE orphaned > 0 AND orphaned <= ?1 AND collecting < ?2 "

int keep_gc_due(struct catalog *c, struct dur grace, bool *due, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int64_t one = 0;
        int rc;

        *due = false;
        if (!db)
                return -1;
        rc = db_int(db, e, &one, "SELECT 1 " DOOMED "LIMIT 1", "ll", db->now.us - grace.ns / 1000, db->now.us);
        read_end(c, db, began);
        *due = rc > 0;
        return rc < 0 ? -1 : 0;
}

static int do_recover(struct tx *tx, void *arg, struct err *e)
{
        (void)arg;
        return db_run(tx->db, e, "UPDATE object SET collecting = 1 WHERE orphaned > 0 AND collecting > 1", "");
}

int keep_gc_recover(struct catalog *c, struct err *e)
{
        if (c->dialect != DIALECT_SQLITE)
                return 0; /* another instance may be collecting */
        return write_do(c, LANE_BULK, do_recover, NULL, e);
}

struct gc_args {
        struct dur grace, lease;
        unsigned limit;
        struct doomed *out; /* room for limit */
        const struct doomed *done;
        size_t n;
        bool taken;
};

static int find_candidates(struct tx *tx, struct gc_args *g, struct err *e)
{
        struct rows *s = db_query(tx->db, e,
                                  LOCKING(tx->db, "SELECT sha256, size " DOOMED "ORDER BY orphaned LIMIT ?3",
                                          "FOR NO KEY UPDATE SKIP LOCKED"),
                                  "lli", tx->now.us - g->grace.ns / 1000, tx->now.us, (int)g->limit);
        int rc = -1;

        g->n = 0;
        while (s && (rc = db_step(tx->db, s, e)) > 0)
                if (g->n < g->limit)
                        g->out[g->n++] = (struct doomed){.sha256 = col_sha(s, 0), .size = col_u64(s, 1)};
        return rc;
}

static int do_begin(struct tx *tx, void *arg, struct err *e)
{
        struct gc_args *g = arg;
        int64_t until = wall_add(tx->now, g->lease).us;
        size_t kept = 0;

        if (find_candidates(tx, g, e))
                return -1;
        for (size_t i = 0; i < g->n; i++) {
                if (db_run(tx->db, e,
                           "UPDATE object SET collecting = ?2 WHERE sha256 = ?1 AND NOT EXISTS (SELECT 1 FROM asset "
                           "WHERE sha256 = ?1)",
                           "hl", &g->out[i].sha256, until))
                        return -1;
                if (db_changes(tx->db) > 0) {
                        g->out[i].until = until;
                        g->out[kept++] = g->out[i];
                } else if (db_run(tx->db, e, "UPDATE object SET orphaned = 0, collecting = 0 WHERE sha256 = ?", "h",
                                  &g->out[i].sha256)) {
                        return -1; /* an asset refers to it after all, and that decides */
                }
        }
        g->n = kept;
        return 0;
}

int keep_gc_begin(struct catalog *c, struct dur grace, struct dur lease, unsigned limit, struct arena *a,
                  struct doomed **out, size_t *n, struct err *e)
{
        struct gc_args g = {.grace = grace, .lease = lease, .limit = limit};

        *n = 0;
        *out = g.out = arena_array(a, limit, sizeof **out);
        if (!g.out)
                return err_oom(e);
        if (write_do(c, LANE_BULK, do_begin, &g, e) < 0)
                return -1;
        *n = g.n;
        return 0;
}

static int do_stray(struct tx *tx, void *arg, struct err *e)
{
        struct gc_args *g = arg;
        int64_t until = wall_add(tx->now, g->lease).us;

        /* The time is set far back, so that the next collector need not wait for the grace period again. */
        if (db_run(tx->db, e,
                   "INSERT INTO object (sha256, size, created, orphaned, collecting, scrubbed) VALUES (?1, ?2, ?3, 1, "
                   "?4, ?3) ON CONFLICT (sha256) DO NOTHING",
                   "hlll", &g->out->sha256, (int64_t)g->out->size, tx->now.us, until))
                return -1;
        g->taken = db_changes(tx->db) > 0;
        if (!g->taken)
                return 0;
        g->out->until = until;
        return counter_add(tx, "", COUNTER_OBJECTS, 0, 1, (int64_t)g->out->size, e);
}

int keep_gc_stray(struct catalog *c, struct doomed *o, struct dur lease, struct err *e)
{
        struct gc_args g = {.lease = lease, .out = o};

        return write_do(c, LANE_BULK, do_stray, &g, e) < 0 ? -1 : g.taken;
}

static int do_end(struct tx *tx, void *arg, struct err *e)
{
        const struct gc_args *g = arg;

        for (size_t i = 0; i < g->n; i++) {
                int64_t size;
                int rc = db_int(tx->db, e, &size,
                                "DELETE FROM object WHERE sha256 = ? AND collecting = ? RETURNING size", "hl",
                                &g->done[i].sha256, g->done[i].until);
                if (rc < 0 || (rc > 0 && counter_add(tx, "", COUNTER_OBJECTS, 0, -1, -size, e)))
                        return -1;
        }
        return 0;
}

int keep_gc_end(struct catalog *c, const struct doomed *o, size_t n, struct err *e)
{
        struct gc_args g = {.done = o, .n = n};

        return n ? write_do(c, LANE_BULK, do_end, &g, e) : 0;
}
