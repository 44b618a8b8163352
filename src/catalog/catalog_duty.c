/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What keeps several instances out of each other's way. Both are rows and no
 * session locks: a row's lease ends by the database's clock when its holder
 * hangs with its connections open, and it takes no connection out of the pool.
 */
#include "catalog/catalog_place_rules.h"

/* ---- duties ----------------------------------------------------------------------------- */

struct duty_args {
        const char *duty, *holder;
        struct dur lease, every;
        bool taken;
};

static int do_take(struct tx *tx, void *arg, struct err *e)
{
        struct duty_args *g = arg;
        int64_t now = tx->now.us;

        g->taken = false;
        if (db_run(tx->db, e,
                   "INSERT INTO duty (name, holder, until, done) VALUES (?1, ?2, ?3, 0) ON CONFLICT (name) DO UPDATE "
                   "SET holder = excluded.holder, until = excluded.until "
                   "WHERE CASE WHEN duty.until > ?4 THEN duty.holder = ?2 ELSE duty.done <= ?5 END",
                   "ttlll", g->duty, g->holder, wall_add(tx->now, g->lease).us, now, now - g->every.ns / 1000))
                return -1;
        g->taken = db_changes(tx->db) > 0;
        return 0;
}

int catalog_duty_take(struct catalog *c, const char *duty, const char *holder, struct dur lease, struct dur every,
                      struct err *e)
{
        struct duty_args g = {.duty = duty, .holder = holder, .lease = lease, .every = every};

        return write_do(c, LANE_BULK, do_take, &g, e) < 0 ? -1 : g.taken;
}

static int do_done(struct tx *tx, void *arg, struct err *e)
{
        struct duty_args *g = arg;

        return db_run(tx->db, e, "UPDATE duty SET until = 0, done = ? WHERE name = ? AND holder = ? AND until > 0",
                      "ltt", tx->now.us, g->duty, g->holder);
}

int catalog_duty_done(struct catalog *c, const char *duty, const char *holder, struct err *e)
{
        struct duty_args g = {.duty = duty, .holder = holder};

        return write_do(c, LANE_BULK, do_done, &g, e);
}

/* ---- placing ---------------------------------------------------------------------------- */

/* With SQLite nobody places but this process, which takes turns by itself. */
static bool is_shared(const struct catalog *c)
{
        return c->dialect != DIALECT_SQLITE;
}

int catalog_placing_version(struct catalog *c, const char *owner, uint64_t *out, struct err *e)
{
        struct mono began = mono_now();
        struct db *db;
        int64_t version = 0;
        int rc;

        *out = 0;
        if (!is_shared(c))
                return 0;
        db = read_begin(c, e);
        if (!db)
                return -1;
        rc = db_int(db, e, &version, "SELECT version FROM placed WHERE owner = ?", "t", owner);
        read_end(c, db, began);
        *out = (uint64_t)version + 1; /* 0 is for "do not check" */
        return rc < 0 ? -1 : 0;
}

int placing_check(struct tx *tx, const char *owner, const struct placement *p, struct err *e)
{
        int64_t version;

        if (!is_shared(catalog_of(tx)) || (p->kind != PLACE_FOUND && !(p->kind == PLACE_UNSORTED && p->seen)))
                return 0;
        if (db_int(tx->db, e, &version,
                   "INSERT INTO placed (owner, version) VALUES (?, 1) ON CONFLICT (owner) DO UPDATE SET "
                   "version = placed.version + 1 RETURNING version",
                   "t", owner) < 0)
                return -1;
        if (p->seen && p->seen != (uint64_t)version)
                return err_set(e, ERR_CONFLICT, "placement: another instance placed meanwhile");
        return 0;
}
