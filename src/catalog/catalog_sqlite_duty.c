/* SPDX-License-Identifier: Apache-2.0 */
/* Duties, for the one instance there is: kept on the disk, so that a restart does not bring them forward. */
#include "catalog/catalog_sqlite_priv.h"

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
                   "ttlll", g->duty, g->holder, wall_add(tx->now, g->lease).us, now, now - g->every.ns / 1000) < 0)
                return -1;
        g->taken = db_changes(tx->db) > 0;
        return 0;
}

int sqlite_duty_take(struct catalog *c, const char *duty, const char *holder, struct dur lease, struct dur every,
                     struct err *e)
{
        struct duty_args g = {.duty = duty, .holder = holder, .lease = lease, .every = every};

        return write_do(self_of(c), LANE_BULK, do_take, &g, e) < 0 ? -1 : g.taken;
}

static int do_done(struct tx *tx, void *arg, struct err *e)
{
        struct duty_args *g = arg;

        return db_run(tx->db, e, "UPDATE duty SET until = 0, done = ? WHERE name = ? AND holder = ? AND until > 0",
                      "ltt", tx->now.us, g->duty, g->holder);
}

int sqlite_duty_done(struct catalog *c, const char *duty, const char *holder, struct err *e)
{
        struct duty_args g = {.duty = duty, .holder = holder};

        return write_do(self_of(c), LANE_BULK, do_done, &g, e);
}

/* Nobody places but this process, which takes turns by itself. */
int sqlite_placing_version(struct catalog *c, const char *owner, uint64_t *out, struct err *e)
{
        (void)c;
        (void)owner;
        (void)e;
        *out = 0;
        return 0;
}
