/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool: size connections are kept, up to max are opened, and whoever comes
 * after that waits in line, first come first served, no longer than the
 * timeout. A connection that broke is not handed out again, and takes the idle
 * ones with it: they died of the same restart. While the server is away one
 * attempt after the other is made, further and further apart.
 */
#include "catalog/postgres/postgres.h"
#include "metrics/metrics.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000

struct pg_waiter {
        struct cond cond;
        struct pg_waiter *next;
        struct pg_conn *db; /* granted; NULL: leave to open one */
        bool granted;
};

/* ---- under the lock --------------------------------------------------------------- */

static struct pg_conn *pop_idle(struct pg_catalog *c)
{
        struct pg_conn *db = c->idle;

        if (db) {
                c->idle = db->next;
                c->nidle--;
        }
        return db;
}

/* A connection, or the room of one that was closed (db NULL), to the first in line. */
static bool grant(struct pg_catalog *c, struct pg_conn *db)
{
        struct pg_waiter *w = c->first_waiter;

        if (!w)
                return false;
        c->first_waiter = w->next;
        w->db = db;
        w->granted = true;
        cond_signal(&w->cond);
        return true;
}

static void leave_line(struct pg_catalog *c, const struct pg_waiter *w)
{
        for (struct pg_waiter **p = &c->first_waiter; *p; p = &(*p)->next)
                if (*p == w) {
                        *p = w->next;
                        return;
                }
}

/* Leave to use *db, or to open one when it is NULL; false: not in time. */
static bool admit(struct pg_catalog *c, struct mono deadline, struct pg_conn **db)
{
        struct pg_waiter w = {.granted = false}, **tail = &c->first_waiter;
        bool in_time = true;

        *db = pop_idle(c);
        if (*db)
                return true;
        if (c->open < c->max) {
                c->open++;
                return true;
        }
        cond_init(&w.cond);
        while (*tail)
                tail = &(*tail)->next;
        *tail = &w;
        c->waiting++;
        while (!w.granted && in_time)
                in_time = cond_wait_until(&w.cond, &c->plock, deadline);
        c->waiting--;
        if (!w.granted)
                leave_line(c, &w);
        cond_done(&w.cond);
        *db = w.db;
        return w.granted;
}

/* ---- opening ------------------------------------------------------------------------- */

static void give_up_room(struct pg_catalog *c)
{
        lock_take(&c->plock);
        if (!grant(c, NULL))
                c->open--;
        lock_drop(&c->plock);
}

/* Waits its turn after failures of others; false when that is past the deadline. */
static bool wait_turn(struct pg_catalog *c, struct mono deadline)
{
        struct mono at;
        int64_t now = mono_now().ns;

        lock_take(&c->plock);
        at = c->retry_at;
        lock_drop(&c->plock);
        if (at.ns > deadline.ns)
                return false;
        if (at.ns > now)
                sleep_for((struct dur){at.ns - now});
        return true;
}

static void note_attempt(struct pg_catalog *c, bool worked)
{
        lock_take(&c->plock);
        if (worked) {
                c->backoff_ms = 0;
                c->retry_at = (struct mono){0};
        } else if (mono_reached(c->retry_at)) {
                c->backoff_ms = c->backoff_ms ? c->backoff_ms * 2 : BACKOFF_MIN_MS;
                if (c->backoff_ms > BACKOFF_MAX_MS)
                        c->backoff_ms = BACKOFF_MAX_MS;
                c->retry_at = mono_add(mono_now(), dur_ms(c->backoff_ms));
        }
        lock_drop(&c->plock);
}

static struct pg_conn *open_one(struct pg_catalog *c, struct mono deadline, struct err *e)
{
        const struct pg_login login = {.url = c->url, .password = c->password, .timeout = c->timeout};
        struct pg_conn *db = NULL;

        err_set(e, ERR_UNAVAILABLE, "catalog: PostgreSQL cannot be reached");
        while (!db && wait_turn(c, deadline)) {
                db = pg_connect(&login, e);
                note_attempt(c, db != NULL);
                if (!db && mono_reached(deadline))
                        break;
        }
        if (!db)
                give_up_room(c);
        return db;
}

struct pg_conn *pg_take(struct pg_catalog *c, struct mono deadline, struct err *e)
{
        struct pg_conn *db;
        bool admitted;

        lock_take(&c->plock);
        admitted = admit(c, deadline, &db);
        lock_drop(&c->plock);
        if (!admitted) {
                err_set(e, ERR_BUSY, "catalog: all %u connections were busy for %.3g s", c->max,
                        dur_seconds(c->timeout));
                return NULL;
        }
        if (!db)
                db = open_one(c, deadline, e);
        if (db)
                db->again = false;
        return db;
}

void pg_give_back(struct pg_catalog *c, struct pg_conn *db)
{
        struct pg_conn *dead = NULL;

        db->next = NULL;
        lock_take(&c->plock);
        if (db->broken) {
                dead = db;
                dead->next = c->idle;
                c->open -= c->nidle;
                c->idle = NULL;
                c->nidle = 0;
                if (!grant(c, NULL))
                        c->open--;
        } else if (!grant(c, db)) {
                if (c->nidle < c->size) {
                        db->next = c->idle;
                        c->idle = db;
                        c->nidle++;
                } else {
                        dead = db;
                        c->open--;
                }
        }
        lock_drop(&c->plock);
        while (dead) {
                struct pg_conn *next = dead->next;
                pg_disconnect(dead);
                dead = next;
        }
}

void pg_pool_close(struct pg_catalog *c)
{
        struct pg_conn *db;

        assert(c->open == c->nidle);
        while ((db = pop_idle(c)))
                pg_disconnect(db);
        c->open = 0;
}

/* ---- reading --------------------------------------------------------------------------- */

struct db *pg_read_begin(struct catalog *base, struct err *e)
{
        struct pg_catalog *c = pg_self(base);
        struct mono deadline = mono_add(mono_now(), c->timeout);
        struct pg_conn *db;
        bool gone;

        /* A connection may have died while it lay idle: that costs another one, not the request. */
        do {
                db = pg_take(c, deadline, e);
                if (!db)
                        return NULL;
                db->base.now = wall_now();
                if (pg_exec(&db->base, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", e) == 0)
                        return &db->base;
                gone = db->broken;
                pg_give_back(c, db);
        } while (gone && !mono_reached(deadline));
        return NULL;
}

void pg_read_end(struct catalog *c, struct db *base, struct mono began)
{
        struct pg_conn *db = pg_of(base);
        struct err ignored;

        /* A read has nothing to commit; what cannot even be rolled back is not used again. */
        if (!db->broken && pg_exec(base, "COMMIT", &ignored) < 0)
                db->broken = true;
        pg_give_back(pg_self(c), db);
        metrics_observe(METRIC_DB_DURATION, dur_seconds(mono_since(began)), "read");
}
