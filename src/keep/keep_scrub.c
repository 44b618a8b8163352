/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the catalog records about the bytes of objects: when each was last read, what was wrong with it, and how far
 * the pass over all of them is. The time in an object's row is the pass's only cursor, so a restart continues where
 * the last result was written, and objects added meanwhile need no place in a list.
 */
#include "keep/keep.h"
#include "catalog/catalog_rules.h"

/* ---- the pass -------------------------------------------------------------------------- */

static int read_pass(struct db *db, struct scrub_state *out, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT began, hurry, objects, bytes, bad, finished, last_began, last_objects, "
                                  "last_bytes, last_bad FROM scrub WHERE n = 1",
                                  "");
        int rc = s ? db_step(db, s, e) : -1;

        if (rc <= 0)
                return rc < 0 ? -1 : err_set(e, ERR_INTERNAL, "catalog: the scrubber's row is missing");
        out->now = (struct scrub_pass){
                .began = col_wall(s, 0), .objects = col_u64(s, 2), .bytes = col_u64(s, 3), .bad = col_u64(s, 4)};
        out->hurry = col_i64(s, 1) != 0;
        out->last = (struct scrub_pass){.finished = col_wall(s, 5),
                                        .began = col_wall(s, 6),
                                        .objects = col_u64(s, 7),
                                        .bytes = col_u64(s, 8),
                                        .bad = col_u64(s, 9)};
        db_end(s);
        out->running = out->now.began.us > 0 && out->last.began.us != out->now.began.us;
        return 0;
}

static int read_objects(struct db *db, struct scrub_state *out, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT CAST(coalesce(sum(count), 0) AS bigint), CAST(coalesce(sum(bytes), 0) AS "
                                  "bigint) FROM counter WHERE owner = '' AND kind = ?",
                                  "i", COUNTER_OBJECTS);
        int rc = s ? db_step(db, s, e) : -1;
        int64_t bad = 0;

        if (rc <= 0)
                return rc;
        out->objects = col_u64(s, 0);
        out->bytes = col_u64(s, 1);
        db_end(s);
        if (db_int(db, e, &bad, "SELECT count(*) FROM object WHERE bad_since > 0", "") < 0)
                return -1;
        out->bad = (uint64_t)bad;
        return 0;
}

int keep_scrub_state(struct catalog *c, struct scrub_state *out, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int rc;

        *out = (struct scrub_state){0};
        if (!db)
                return -1;
        rc = read_pass(db, out, e) || read_objects(db, out, e) ? -1 : 0;
        read_end(c, db, began);
        return rc;
}

struct scrub_args {
        bool hurry;
        const struct sha256 *objects;
        const struct scrub_item *items;
        size_t count, n;
};

static int do_pass_begin(struct tx *tx, void *arg, struct err *e)
{
        struct scrub_args *g = arg;

        return db_run(tx->db, e,
                      "UPDATE scrub SET began = ?1, hurry = ?2, objects = 0, bytes = 0, bad = 0 WHERE n = 1 AND (began "
                      "= last_began OR (hurry = 0 AND ?2 <> 0))",
                      "li", tx->now.us, (int)g->hurry);
}

int keep_scrub_begin(struct catalog *c, bool hurry, struct err *e)
{
        struct scrub_args g = {.hurry = hurry};

        return write_do(c, LANE_BULK, do_pass_begin, &g, e);
}

static int do_pass_end(struct tx *tx, void *arg, struct err *e)
{
        (void)arg;
        return db_run(tx->db, e,
                      "UPDATE scrub SET finished = ?, last_began = began, last_objects = objects, last_bytes = bytes, "
                      "last_bad = bad, hurry = 0 WHERE n = 1 AND began <> last_began",
                      "l", tx->now.us);
}

int keep_scrub_end(struct catalog *c, struct err *e)
{
        return write_do(c, LANE_BULK, do_pass_end, NULL, e);
}

static int do_ask(struct tx *tx, void *arg, struct err *e)
{
        struct scrub_args *g = arg;

        g->n = 0;
        for (size_t i = 0; i < g->count; i++) {
                if (db_run(tx->db, e, "UPDATE object SET scrubbed = 0 WHERE sha256 = ?", "h", &g->objects[i]))
                        return -1;
                g->n += db_changes(tx->db) > 0;
        }
        return 0;
}

int keep_scrub_ask(struct catalog *c, const struct sha256 *objects, size_t count, size_t *n, struct err *e)
{
        struct scrub_args g = {.objects = objects, .count = count};

        if (write_do(c, LANE_BULK, do_ask, &g, e) < 0)
                return -1;
        *n = g.n;
        return 0;
}

/* ---- objects --------------------------------------------------------------------------- */

int keep_scrub_next(struct catalog *c, struct wall before, bool asked, unsigned limit, struct arena *a,
                    struct scrub_item **out, size_t *n, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = batch_begin(c, limit, sizeof **out, a, out, n, e);
        struct rows *s;
        int rc = -1;

        if (!db)
                return -1;
        s = db_query(
                db, e,
                "SELECT sha256, size, scrubbed FROM object WHERE scrubbed < ? AND collecting = 0 ORDER BY scrubbed "
                "LIMIT ?",
                "li", asked ? (int64_t)1 : before.us, (int)limit);
        while (s && (rc = db_step(db, s, e)) > 0)
                if (*n < limit)
                        (*out)[(*n)++] = (struct scrub_item){.sha256 = col_sha(s, 0),
                                                             .size = col_u64(s, 1),
                                                             .seen = col_i64(s, 2),
                                                             .asked = col_i64(s, 2) == 0};
        read_end(c, db, began);
        return rc;
}

/* An object that could not be read keeps its state, and its turn is over. */
static int note_result(struct tx *tx, const struct scrub_item *i, struct err *e)
{
        if (i->skipped)
                return db_run(tx->db, e, "UPDATE object SET scrubbed = ?3 WHERE sha256 = ?1 AND scrubbed = ?2", "hll",
                              &i->sha256, i->seen, tx->now.us);
        return db_run(tx->db, e,
                      "UPDATE object SET scrubbed = ?3, bad = ?4, bad_since = CASE WHEN ?5 = 0 THEN 0 WHEN bad_since > "
                      "0 THEN bad_since ELSE ?3 END WHERE sha256 = ?1 AND scrubbed = ?2 AND collecting = 0",
                      "hllti", &i->sha256, i->seen, tx->now.us, i->bad, (int)(i->bad != NULL));
}

static int do_seen(struct tx *tx, void *arg, struct err *e)
{
        const struct scrub_args *g = arg;
        int64_t objects = 0, bytes = 0, bad = 0;

        for (size_t i = 0; i < g->n; i++) {
                const struct scrub_item *it = &g->items[i];
                if (note_result(tx, it, e))
                        return -1;
                if (it->asked || it->skipped)
                        continue;
                objects++;
                bytes += (int64_t)it->size;
                bad += it->bad != NULL;
        }
        return db_run(tx->db, e,
                      "UPDATE scrub SET objects = objects + ?, bytes = bytes + ?, bad = bad + ? WHERE n = 1 AND began "
                      "<> last_began",
                      "lll", objects, bytes, bad);
}

int keep_scrub_seen(struct catalog *c, const struct scrub_item *items, size_t n, struct err *e)
{
        struct scrub_args g = {.items = items, .n = n};

        return n ? write_do(c, LANE_BULK, do_seen, &g, e) : 0;
}

/* ---- what is bad -------------------------------------------------------------------------- */

static int assets_of(struct db *db, struct bad_object *b, struct arena *a, struct err *e)
{
        struct rows *s;
        int64_t total = 0;
        int rc = -1;

        b->assets = arena_array(a, BAD_ASSETS, sizeof *b->assets);
        if (!b->assets)
                return err_oom(e);
        if (db_int(db, e, &total, "SELECT count(*) FROM asset WHERE sha256 = ?", "h", &b->sha256) < 0)
                return -1;
        b->total_assets = (size_t)total;
        s = db_query(db, e, "SELECT id FROM asset WHERE sha256 = ? ORDER BY n LIMIT 20", "h", &b->sha256);
        while (s && (rc = db_step(db, s, e)) > 0)
                if (b->nassets < BAD_ASSETS)
                        b->assets[b->nassets++] = col_id(s, 0);
        return rc;
}

int keep_bad_objects(struct catalog *c, unsigned limit, struct arena *a, struct bad_object **out, size_t *n,
                     struct err *e)
{
        struct mono began = mono_now();
        struct db *db = batch_begin(c, limit, sizeof **out, a, out, n, e);
        struct rows *s;
        bool ok = true;
        int rc = -1;

        if (!db)
                return -1;
        s = db_query(db, e,
                     "SELECT sha256, size, bad, bad_since, scrubbed FROM object WHERE bad_since > 0 ORDER BY "
                     "bad_since, sha256 LIMIT ?",
                     "i", (int)limit);
        while (s && (rc = db_step(db, s, e)) > 0)
                if (*n < limit)
                        (*out)[(*n)++] = (struct bad_object){.sha256 = col_sha(s, 0),
                                                             .size = col_u64(s, 1),
                                                             .reason = col_text(a, s, 2, &ok),
                                                             .found = col_wall(s, 3),
                                                             .checked = col_wall(s, 4)};
        for (size_t i = 0; rc == 0 && i < *n; i++)
                rc = assets_of(db, &(*out)[i], a, e);
        read_end(c, db, began);
        if (!ok)
                return err_oom(e);
        return rc < 0 ? -1 : 0;
}
