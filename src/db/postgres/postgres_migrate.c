/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold before the service starts: a server that keeps what it acknowledged, and the newest tables. All of
 * it runs under one advisory lock, so of instances that start together one does the work and the others find it done;
 * each migration is a transaction of its own together with its row in schema_version. Statements that may take long
 * are sent and polled for in short intervals, so that progress can be reported and a migration cancelled on request.
 */
#include "db/postgres/postgres_priv.h"

#include <poll.h>
#include <stdio.h>

#define MIGRATION_LOCK "7733091250041987"
#define SERVER_MIN     140000
#define TICK_MS        200

static int check_server(struct db *db, struct err *e)
{
        char word[64];

        if (PQserverVersion(pg_of(db)->h) < SERVER_MIN)
                return err_set(e, ERR_UNSUPPORTED, "DATABASE_URL: PostgreSQL %d is too old: 14 or newer is needed",
                               PQserverVersion(pg_of(db)->h) / 10000);
        if (pg_word(db, "SHOW fsync", word, sizeof word, e) < 0)
                return -1;
        if (strcmp(word, "on") != 0)
                return err_set(e, ERR_UNSUPPORTED,
                               "DATABASE_URL: the server runs with fsync = off and loses data at a crash: set fsync = "
                               "on in postgresql.conf and restart it");
        if (pg_word(db, "SHOW server_encoding", word, sizeof word, e) < 0)
                return -1;
        if (strcmp(word, "UTF8") != 0)
                return err_set(e, ERR_UNSUPPORTED,
                               "DATABASE_URL: the database's encoding is %s: create it with CREATE DATABASE … ENCODING "
                               "'UTF8' TEMPLATE template0",
                               word);
        return 0;
}

/* ---- waiting in small pieces --------------------------------------------------------------- */

/* libpq's own wait has no timeout and calls nobody back. The server answers a cancelled statement with an error. */
static void await_result(PGconn *h, struct migration_run *r)
{
        bool cancelled = false;
        char why[256];

        while (PQisBusy(h)) {
                struct pollfd p = {.fd = PQsocket(h), .events = POLLIN};
                poll(&p, 1, TICK_MS);
                if (migration_tick(r) && !cancelled) {
                        PGcancel *ask = PQgetCancel(h);
                        cancelled = ask && PQcancel(ask, why, sizeof why);
                        PQfreeCancel(ask);
                }
                if (!PQconsumeInput(h))
                        return; /* PQgetResult reports that the connection is gone */
        }
}

static bool has_failed(const PGresult *res)
{
        ExecStatusType st = PQresultStatus(res);

        return st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK;
}

static int exec_watched(struct db *db, const char *sql, struct migration_run *r, struct err *e)
{
        PGconn *h = pg_of(db)->h;
        PGresult *res, *bad = NULL;

        if (!PQsendQuery(h, sql))
                return pg_fail(db, NULL, e);
        while (await_result(h, r), (res = PQgetResult(h))) {
                r->at.statement++;
                if (has_failed(res) && !bad)
                        bad = res;
                else
                        PQclear(res);
        }
        if (bad)
                return pg_fail(db, bad, e);
        return r->stopped ? err_set(e, ERR_STOPPED, "stopped") : 0;
}

/* ---- migrations -------------------------------------------------------------------------- */

static int apply_migration(struct db *db, const struct db_migration *m, struct migration_run *r, struct err *e)
{
        struct err why, ignored;

        if (pg_exec(db, "BEGIN", e))
                return -1;
        if (fault_err(FAULT("catalog.migrate"), "fault", &why) == 0 && exec_watched(db, m->sql, r, &why) == 0 &&
            db_run(db, &why, "INSERT INTO schema_version (version, name, at) VALUES (?, ?, " DB_NOW ")", "it",
                   m->version, m->name) == 0)
                return pg_exec(db, "COMMIT", e) ? -1 : fault_err(FAULT("catalog.migrated"), "migration", e);
        migration_failed(r, &why, e);
        if (pg_exec(db, "ROLLBACK", &ignored))
                pg_of(db)->broken = true;
        return -1;
}

/* Connections of other programs to this database, except those that wait for the lock, as new programs do. */
static int await_others(struct db *db, const struct migration_run *run, struct err *e)
{
        static const char others[] =
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                "application_name = '" PG_PROGRAM "' AND pid <> pg_backend_pid() AND wait_event IS "
                "DISTINCT FROM 'advisory'";
        struct migration_run r = *run;
        char n[24];

        migration_wait(&r, "programs of an older version, which cannot work beside this one: stop them");
        for (;;) {
                if (pg_word(db, others, n, sizeof n, e) < 0)
                        return -1;
                if (strcmp(n, "0") == 0)
                        return 0;
                if (migration_tick(&r))
                        return migration_failed(&r, NULL, e);
                sleep_for(dur_ms(TICK_MS));
        }
}

static int apply_shared(struct db *db, const struct db_migration *m, struct migration_run *r, struct err *e)
{
        bool new = r->at.from == 0; /* no other program can be using it */

        return m->alone && !new &&await_others(db, r, e) ? -1 : apply_migration(db, m, r, e);
}

/* Another instance may be running a migration that takes long. */
static int take_turn(struct db *db, const struct migration_watch *watch, struct err *e)
{
        struct migration_run r = {.watch = watch};
        struct err why;

        migration_wait(&r, WAITS_FOR_LOCK);
        if (exec_watched(db, "SELECT pg_advisory_lock(" MIGRATION_LOCK ")", &r, &why))
                return migration_failed(&r, &why, e);
        return 0;
}

int pg_tables_make(struct db *db, const struct pg_tables *tables, struct err *e)
{
        struct err ignored;
        int rc = 0;

        if (check_server(db, e) || pg_exec(db, "SET statement_timeout = 0; SET lock_timeout = 0", e) ||
            take_turn(db, tables->watch, e))
                return -1;
        if (tables->need)
                rc = tables->need(db, e);
        if (rc == 0)
                rc = pg_exec(db,
                             "CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, name text NOT "
                             "NULL, at bigint NOT NULL)",
                             e);
        if (rc == 0)
                rc = migrations_run(db, tables->migrations, tables->version,
                                    tables->shared ? apply_shared : apply_migration, tables->watch, e);
        if (!pg_of(db)->broken && pg_exec(db, "SELECT pg_advisory_unlock(" MIGRATION_LOCK ")", &ignored))
                pg_of(db)->broken = true;
        return rc;
}
