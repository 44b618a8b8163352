/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connection pool: size connections are kept open and up to max are opened; further callers queue, first come
 * first served, no longer than the timeout. A broken connection is not handed out again, and the idle ones are closed
 * with it, since the same restart of the server broke them. While the server is unreachable, one connection attempt
 * at a time is made, with a growing delay.
 */
#include "db/postgres/postgres_priv.h"
#include "metrics/metrics.h"

#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 2000

struct pg_waiter {
        struct cond cond;
        struct pg_waiter *next;
        struct pg_conn *db; /* the connection granted; NULL: permission to open one */
        bool granted;
};

/* ---- under the lock --------------------------------------------------------------- */

static struct pg_conn *pop_idle(struct pg_database *d)
{
        struct pg_conn *db = d->idle;

        if (db) {
                d->idle = db->next;
                d->nidle--;
        }
        return db;
}

/* Gives a connection, or the slot of one that was closed (db NULL), to the first in the queue. */
static bool grant_first(struct pg_database *d, struct pg_conn *db)
{
        struct pg_waiter *w = d->first_waiter;

        if (!w)
                return false;
        d->first_waiter = w->next;
        w->db = db;
        w->granted = true;
        cond_signal(&w->cond);
        return true;
}

static void leave_line(struct pg_database *d, const struct pg_waiter *w)
{
        for (struct pg_waiter **p = &d->first_waiter; *p; p = &(*p)->next)
                if (*p == w) {
                        *p = w->next;
                        return;
                }
}

/* Waits for permission to use *db, or to open a connection when *db is NULL; false: not in time. */
static bool wait_for_room(struct pg_database *d, struct mono deadline, struct pg_conn **db)
{
        struct pg_waiter w = {.granted = false}, **tail = &d->first_waiter;
        bool in_time = true;

        *db = pop_idle(d);
        if (*db)
                return true;
        if (d->open < d->max) {
                d->open++;
                return true;
        }
        cond_init(&w.cond);
        while (*tail)
                tail = &(*tail)->next;
        *tail = &w;
        d->waiting++;
        while (!w.granted && in_time)
                in_time = cond_wait_until(&w.cond, &d->plock, deadline);
        d->waiting--;
        if (!w.granted)
                leave_line(d, &w);
        cond_done(&w.cond);
        *db = w.db;
        return w.granted;
}

/* ---- opening ------------------------------------------------------------------------- */

static void give_up_room(struct pg_database *d)
{
        lock_take(&d->plock);
        if (!grant_first(d, NULL))
                d->open--;
        lock_drop(&d->plock);
}

/* Waits out the delay after failed attempts of others; false when it ends past the deadline. */
static bool wait_turn(struct pg_database *d, struct mono deadline)
{
        struct mono at;
        int64_t now = mono_now().ns;

        lock_take(&d->plock);
        at = d->retry_at;
        lock_drop(&d->plock);
        if (at.ns > deadline.ns)
                return false;
        if (at.ns > now)
                sleep_for((struct dur){at.ns - now});
        return true;
}

static void note_attempt(struct pg_database *d, bool worked)
{
        lock_take(&d->plock);
        if (worked) {
                d->backoff_ms = 0;
                d->retry_at = (struct mono){0};
        } else if (mono_reached(d->retry_at)) {
                d->backoff_ms = d->backoff_ms ? d->backoff_ms * 2 : BACKOFF_MIN_MS;
                if (d->backoff_ms > BACKOFF_MAX_MS)
                        d->backoff_ms = BACKOFF_MAX_MS;
                d->retry_at = mono_add(mono_now(), dur_ms(d->backoff_ms));
        }
        lock_drop(&d->plock);
}

static struct pg_conn *open_one(struct pg_database *d, struct mono deadline, struct err *e)
{
        const struct pg_login login = pg_login_of(d);
        struct pg_conn *db = NULL;

        err_set(e, ERR_UNAVAILABLE, "catalog: PostgreSQL cannot be reached");
        while (!db && wait_turn(d, deadline)) {
                db = pg_connect(&login, e);
                note_attempt(d, db != NULL);
                if (!db && mono_reached(deadline))
                        break;
        }
        if (!db)
                give_up_room(d);
        return db;
}

struct pg_conn *pg_take(struct pg_database *d, struct mono deadline, struct err *e)
{
        struct pg_conn *db;
        bool admitted;

        lock_take(&d->plock);
        admitted = wait_for_room(d, deadline, &db);
        lock_drop(&d->plock);
        if (!admitted) {
                err_set(e, ERR_BUSY, "catalog: all %u connections were busy for %.3g s", d->max,
                        dur_seconds(d->timeout));
                return NULL;
        }
        if (!db)
                db = open_one(d, deadline, e);
        if (db)
                db->again = false;
        return db;
}

void pg_give_back(struct pg_database *d, struct pg_conn *db)
{
        struct pg_conn *dead = NULL;

        db->next = NULL;
        lock_take(&d->plock);
        if (db->broken) {
                dead = db;
                dead->next = d->idle;
                d->open -= d->nidle;
                d->idle = NULL;
                d->nidle = 0;
                if (!grant_first(d, NULL))
                        d->open--;
        } else if (!grant_first(d, db)) {
                if (d->nidle < d->size) {
                        db->next = d->idle;
                        d->idle = db;
                        d->nidle++;
                } else {
                        dead = db;
                        d->open--;
                }
        }
        lock_drop(&d->plock);
        while (dead) {
                struct pg_conn *next = dead->next;
                pg_disconnect(dead);
                dead = next;
        }
}

void pg_pool_close(struct pg_database *d)
{
        struct pg_conn *db;

        assert(d->open == d->nidle);
        while ((db = pop_idle(d)))
                pg_disconnect(db);
        d->open = 0;
}

/* ---- reading --------------------------------------------------------------------------- */

struct db *pg_read(struct database *base, struct err *e)
{
        struct pg_database *d = pg_self(base);
        struct mono deadline = mono_add(mono_now(), d->timeout);
        struct pg_conn *db;
        bool gone;

        /* A connection may have broken while idle: that costs another attempt, and the request does not fail. */
        do {
                db = pg_take(d, deadline, e);
                if (!db)
                        return NULL;
                db->base.now = wall_now();
                if (pg_exec(&db->base, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", e) == 0)
                        return &db->base;
                gone = db->broken;
                pg_give_back(d, db);
        } while (gone && !mono_reached(deadline));
        return NULL;
}

void pg_read_end(struct database *d, struct db *base, struct mono began)
{
        struct pg_conn *db = pg_of(base);
        struct err ignored;

        /* A read has nothing to commit; a connection that cannot even roll back is not used again. */
        if (!db->broken && pg_exec(base, "COMMIT", &ignored))
                db->broken = true;
        pg_give_back(pg_self(d), db);
        metrics_observe(METRIC_DB_DURATION, dur_seconds(mono_since(began)), "read");
}
