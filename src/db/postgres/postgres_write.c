/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A write: one transaction on the caller's thread. The hard part is its end: when the connection breaks during
 * COMMIT, the outcome is unknown. Each transaction therefore leaves a mark, and the next connection waits until the
 * transaction is over and then looks for the mark. The transaction's number alone would not do: after a crash it may
 * be given to another transaction.
 */
#include "db/postgres/postgres_priv.h"
#include "metrics/metrics.h"

#include <stdio.h>

#define TRIES_MAX       12
#define UNKNOWN_SECONDS 30
#define XID_TEXT        32

enum outcome { DONE, FAILED, AGAIN };

/* ---- one transaction ---------------------------------------------------------------- */

struct mark {
        char id[ID_TEXT_LEN], xid[XID_TEXT];
};

static int begin_write(struct tx *tx, struct mark *mark, struct err *e)
{
        PGresult *res;
        char sql[256];
        uint64_t us;

        id_format(id_new(), mark->id);
        snprintf(sql, sizeof sql,
                 "BEGIN; INSERT INTO write_mark (id, at) VALUES ('%s', (extract(epoch FROM clock_timestamp()) * "
                 "1000000)::bigint) RETURNING at, pg_current_xact_id()::text",
                 mark->id);
        res = PQexec(pg_of(tx->db)->h, sql);

        if (PQresultStatus(res) != PGRES_TUPLES_OK)
                return pg_fail(tx->db, res, e);
        if (!span_u64(span_of(PQgetvalue(res, 0, 0)), &us))
                us = 0;
        tx->now = tx->db->now = (struct wall){(int64_t)us};
        snprintf(mark->xid, XID_TEXT, "%s", PQgetvalue(res, 0, 1));
        PQclear(res);
        return 0;
}

/* Returns 1 when the mark is there, 0 when it is not and never will be, -1 when that is not known yet. */
static int look_for(struct db *db, const struct mark *mark)
{
        struct err ignored;
        char sql[128], word[32];

        /*
         * A number from before a crash may not have been assigned yet; that is an error, and it means the transaction
         * is over.
         */
        snprintf(sql, sizeof sql, "SELECT coalesce(pg_xact_status('%s'::xid8), 'over')", mark->xid);
        if (pg_word(db, sql, word, sizeof word, &ignored) < 0 && pg_of(db)->broken)
                return -1;
        if (strcmp(word, "in progress") == 0)
                return -1;
        snprintf(sql, sizeof sql, "SELECT 1 FROM write_mark WHERE id = '%s'", mark->id);
        return pg_word(db, sql, word, sizeof word, &ignored);
}

static enum outcome what_became_of(struct pg_database *d, const struct mark *mark, struct err *e)
{
        struct mono deadline = mono_add(mono_now(), dur_s(UNKNOWN_SECONDS));
        struct err ignored;

        while (!mono_reached(deadline)) {
                struct pg_conn *db = pg_take(d, deadline, &ignored);
                int rc = db ? look_for(&db->base, mark) : -1;
                if (db)
                        pg_give_back(d, db);
                if (rc >= 0)
                        return rc > 0 ? DONE : AGAIN;
                sleep_for(dur_ms(50));
        }
        err_set(e, ERR_UNAVAILABLE,
                "catalog: the connection to PostgreSQL was lost during a commit; the outcome is unknown");
        return FAILED;
}

static enum outcome commit_write(struct pg_database *d, struct tx *tx, const struct mark *mark, struct err *e)
{
        struct mono began = mono_now();
        struct pg_conn *db = pg_of(tx->db);
        int fault = FAULT("catalog.commit");
        PGresult *res;
        bool done;

        if (fault) {
                err_errno(e, fault, "catalog: commit");
                return FAILED;
        }
        res = PQexec(db->h, "COMMIT");
        if (PQresultStatus(res) != PGRES_COMMAND_OK) {
                pg_fail(tx->db, res, e);
                if (!db->broken)
                        return db->again ? AGAIN : FAILED;
                pg_give_back(d, db);
                tx->db = NULL;
                return what_became_of(d, mark, e);
        }
        done = strcmp(PQcmdStatus(res), "COMMIT") ==
               0; /* COMMIT of a failed transaction rolls back, and the command tag says so */
        PQclear(res);
        if (!done) {
                err_set(e, ERR_INTERNAL, "catalog: the transaction had failed before its commit");
                return FAILED;
        }
        fault = FAULT(
                "catalog.committed"); /* this fault point only kills the process between the commit and the answer */
        metrics_observe(METRIC_DB_DURATION, dur_seconds(mono_since(began)), "commit");
        return DONE;
}

/* Writes what the hooks collected during this write, in the same transaction. */
static int flush_gathered(struct pg_database *d, struct tx *tx, struct err *e)
{
        const struct db_hooks *hooks = d->base.hooks;

        if (hooks->flush && hooks->flush(tx, e) < 0)
                return -1;
        return hooks->finish ? hooks->finish(tx, e) : 0;
}

static enum outcome run_once(struct pg_database *d, struct tx *tx, write_fn *fn, void *arg, struct err *e)
{
        struct pg_conn *db = pg_of(tx->db);
        struct mark mark;
        enum outcome out;
        struct err ignored;

        if (d->base.hooks->begin)
                d->base.hooks->begin(tx);
        db->again = false;
        if (begin_write(tx, &mark, e) == 0 && fn(tx, arg, e) >= 0 && flush_gathered(d, tx, e) == 0) {
                out = commit_write(d, tx, &mark, e);
                if (out == DONE && d->base.hooks->committed)
                        d->base.hooks->committed(tx);
                if (!tx->db || out == DONE)
                        return out;
        } else {
                out = db->again ? AGAIN : FAILED;
        }
        if (!db->broken && pg_exec(tx->db, "ROLLBACK", &ignored))
                db->broken = true;
        return out;
}

/* A random delay that grows, so that transactions that conflicted do not conflict again. */
static void step_aside(int tries)
{
        sleep_for(dur_ms((int64_t)(random_u64() % (2U << (tries < 6 ? tries : 6)))));
}

int pg_write(struct database *base, enum lane lane, write_fn *fn, void *arg, struct err *e)
{
        struct pg_database *d = pg_self(base);
        struct mono began = mono_now(), deadline = mono_add(began, d->timeout);
        struct tx tx;
        struct err why = {0};
        enum outcome out = AGAIN;
        struct pg_conn *db;

        (void)lane; /* every caller writes on its own connection */
        if (tx_open(&tx, base, e))
                return -1;
        for (int tries = 0; out == AGAIN && tries < TRIES_MAX; tries++) {
                if (tries > 0) {
                        step_aside(tries);
                        if (mono_reached(deadline))
                                deadline = mono_add(mono_now(), dur_s(1));
                }
                db = pg_take(d, deadline, &why);
                if (!db) {
                        out = FAILED;
                        break;
                }
                tx.db = &db->base;
                out = run_once(d, &tx, fn, arg, &why);
                if (tx.db)
                        pg_give_back(d, db);
        }
        tx_close(&tx, base);
        metrics_observe(METRIC_DB_DURATION, dur_seconds(mono_since(began)), "write");
        if (out == DONE)
                return 0;
        if (e)
                *e = why;
        return -1;
}

/* A mark older than UNKNOWN_SECONDS is not asked for any more. */
int pg_marks_sweep(struct db *db, struct err *e)
{
        return db_run(db, e, "DELETE FROM write_mark WHERE at < " DB_NOW " - 600000000", "");
}
