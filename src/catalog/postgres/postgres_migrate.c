/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold before the service starts: a server that keeps what it
 * acknowledged, pgvector, and the newest tables. All of it happens under one
 * advisory lock, so that instances that start together find the work done once;
 * each migration is a transaction of its own with its entry in schema_version.
 * What may take long is sent and waited for in small pieces, so that progress
 * can be told and a migration cancelled that was asked to stop.
 */
#include "catalog/postgres/postgres.h"

#include <poll.h>
#include <stdio.h>

#define MIGRATION_LOCK "7733091250041987"
#define MINOR_MIN      8 /* pgvector 0.8: iterative scans */
#define SERVER_MIN     140000
#define TICK_MS        200

static int check_server(struct db *db, struct err *e)
{
        char word[64];

        if (PQserverVersion(pg_of(db)->h) < SERVER_MIN)
                return err_set(e, ERR_UNSUPPORTED, "DATABASE_URL: PostgreSQL %d is too old: 14 or newer is needed",
                               PQserverVersion(pg_of(db)->h) / 10000);
        if (pg_word(db, "SHOW fsync", word, sizeof(word), e) < 0)
                return -1;
        if (strcmp(word, "on") != 0)
                return err_set(e, ERR_UNSUPPORTED,
                               "DATABASE_URL: the server runs with fsync = off and loses data at a crash: set fsync = "
                               "on in postgresql.conf and restart it");
        if (pg_word(db, "SHOW server_encoding", word, sizeof(word), e) < 0)
                return -1;
        if (strcmp(word, "UTF8") != 0)
                return err_set(e, ERR_UNSUPPORTED,
                               "DATABASE_URL: the database's encoding is %s: make it with CREATE DATABASE … ENCODING "
                               "'UTF8' TEMPLATE template0",
                               word);
        return 0;
}

/* ---- pgvector --------------------------------------------------------------------------- */

static bool version_fits(const char *version)
{
        struct span rest = span_of(version), part;
        uint64_t major = 0, minor = 0;

        if (!span_cut(&rest, '.', &part) || !span_u64(part, &major))
                return false;
        if (span_cut(&rest, '.', &part) && !span_u64(part, &minor))
                return false;
        return major > 0 || minor >= MINOR_MIN;
}

static int not_installed(struct db *db, struct err *e)
{
        return err_set(e, ERR_UNAVAILABLE,
                       "pgvector is missing on the PostgreSQL server: install it there (Debian 13: "
                       "postgresql-%d-pgvector; else from source, 0.8 or newer) and start again",
                       PQserverVersion(pg_of(db)->h) / 10000);
}

static int may_not_create(struct db *db, const char *why, struct err *e)
{
        return err_set(e, ERR_FORBIDDEN,
                       "role %.40s may not create the extension pgvector (%.60s): let a superuser run CREATE EXTENSION "
                       "vector; in database %.40s, then start again",
                       PQuser(pg_of(db)->h), why, PQdb(pg_of(db)->h));
}

static int create_vector(struct db *db, struct err *e)
{
        PGresult *res = PQexec(pg_of(db)->h, "CREATE EXTENSION IF NOT EXISTS vector");
        const char *state, *text;

        if (PQresultStatus(res) == PGRES_COMMAND_OK) {
                PQclear(res);
                return 0;
        }
        state = PQresultErrorField(res, PG_DIAG_SQLSTATE);
        text = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
        if (!state || strcmp(state, "42501") != 0)
                return pg_fail(db, res, e);
        may_not_create(db, or_empty(text), e);
        PQclear(res);
        return -1;
}

static int check_vector(struct db *db, struct err *e)
{
        static const char installed[] = "SELECT extversion FROM pg_extension WHERE extname = 'vector'";
        static const char available[] = "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'";
        char has[64], offers[64];
        int rc = pg_word(db, installed, has, sizeof(has), e);

        if (rc < 0 || pg_word(db, available, offers, sizeof(offers), e) < 0)
                return -1;
        if (rc == 0 && !offers[0])
                return not_installed(db, e);
        if (rc > 0 && version_fits(has))
                return 0;
        if (!version_fits(offers))
                return err_set(e, ERR_UNSUPPORTED,
                               "pgvector %s is too old: install 0.%d or newer on the PostgreSQL server, and let a "
                               "superuser run ALTER EXTENSION vector UPDATE; if the database has it already",
                               rc > 0 ? has : offers, MINOR_MIN);
        if (rc > 0)
                return err_set(
                        e, ERR_UNSUPPORTED,
                        "pgvector in database %.60s is %s and too old: let a superuser run ALTER EXTENSION vector "
                        "UPDATE; there, which brings %s",
                        PQdb(pg_of(db)->h), has, offers);
        return create_vector(db, e);
}

/* ---- waiting in small pieces --------------------------------------------------------------- */

/* libpq's own wait has no end and asks nobody. The server answers a cancelled statement with an error. */
static void await_result(PGconn *h, struct migration_run *r)
{
        bool cancelled = false;
        char why[256];

        while (PQisBusy(h)) {
                struct pollfd p = {.fd = PQsocket(h), .events = POLLIN};
                poll(&p, 1, TICK_MS);
                if (migration_tick(r) && !cancelled) {
                        PGcancel *ask = PQgetCancel(h);
                        cancelled = ask && PQcancel(ask, why, sizeof(why));
                        PQfreeCancel(ask);
                }
                if (!PQconsumeInput(h))
                        return; /* PQgetResult says that the connection is gone */
        }
}

static bool failed(const PGresult *res)
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
                if (failed(res) && !bad)
                        bad = res;
                else
                        PQclear(res);
        }
        if (bad)
                return pg_fail(db, bad, e);
        return r->stopped ? err_set(e, ERR_STOPPED, "stopped") : 0;
}

/* ---- migrations -------------------------------------------------------------------------- */

static int apply(struct db *db, const struct catalog_migration *m, struct migration_run *r, struct err *e)
{
        struct err why, ignored;

        if (pg_exec(db, "BEGIN", e) < 0)
                return -1;
        if (fault_err(FAULT("catalog.migrate"), "fault", &why) == 0 && exec_watched(db, m->sql, r, &why) == 0 &&
            db_run(db, &why, "INSERT INTO schema_version (version, name, at) VALUES (?, ?, " DB_NOW ")", "it",
                   m->version, m->name) == 0)
                return pg_exec(db, "COMMIT", e) < 0 ? -1 : fault_err(FAULT("catalog.migrated"), "migration", e);
        migration_failed(r, &why, e);
        if (pg_exec(db, "ROLLBACK", &ignored) < 0)
                pg_of(db)->broken = true;
        return -1;
}

/* The list cut off behind version. */
static int run_list(struct db *db, int version, const struct migration_watch *watch, struct err *e)
{
        struct catalog_migration *list;
        size_t n = 0;
        int rc;

        if (version == 0)
                return migrations_run(db, catalog_migrations_postgres, apply, watch, e);
        while (catalog_migrations_postgres[n].version && catalog_migrations_postgres[n].version <= version)
                n++;
        list = mem_calloc(n + 1, sizeof(*list));
        if (!list)
                return err_oom(e);
        memcpy(list, catalog_migrations_postgres, n * sizeof(*list));
        rc = migrations_run(db, list, apply, watch, e);
        mem_free(list);
        return rc;
}

static int upgrade(struct db *db, int version, const struct migration_watch *watch, struct err *e)
{
        if (pg_exec(db,
                    "CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, name text NOT NULL, "
                    "at bigint NOT NULL)",
                    e) < 0)
                return -1;
        return run_list(db, version, watch, e);
}

/* Another instance may be at a migration that takes long. */
static int take_turn(struct db *db, const struct migration_watch *watch, struct err *e)
{
        struct migration_run r = {.watch = watch};
        struct err why;

        migration_wait(&r);
        if (exec_watched(db, "SELECT pg_advisory_lock(" MIGRATION_LOCK ")", &r, &why))
                return migration_failed(&r, &why, e);
        return 0;
}

static int migrate(struct db *db, int version, const struct migration_watch *watch, struct err *e)
{
        struct err ignored;
        int rc;

        if (check_server(db, e) < 0 || pg_exec(db, "SET statement_timeout = 0; SET lock_timeout = 0", e) < 0 ||
            take_turn(db, watch, e) < 0)
                return -1;
        rc = check_vector(db, e) < 0 || upgrade(db, version, watch, e) < 0 ? -1 : 0;
        if (!pg_of(db)->broken && pg_exec(db, "SELECT pg_advisory_unlock(" MIGRATION_LOCK ")", &ignored) < 0)
                pg_of(db)->broken = true;
        return rc;
}

int pg_migrate(struct db *db, const struct migration_watch *watch, struct err *e)
{
        return migrate(db, 0, watch, e);
}

int pg_migrate_to(struct db *db, int version, struct err *e)
{
        return migrate(db, version, NULL, e);
}

/* ---- looking ahead -------------------------------------------------------------------------- */

int catalog_postgres_plan(const struct catalog_opts *opts, struct arena *a, struct migration_plan *out, struct err *e)
{
        char *url = pg_plain_url(opts->url);
        const struct pg_login login = {.url = url,
                                       .password = opts->db_password && *opts->db_password ? opts->db_password : NULL,
                                       .timeout = opts->db_pool_timeout};
        struct pg_conn *db = url ? pg_connect(&login, e) : NULL;
        int rc = url ? -1 : err_oom(e), there;

        if (db && pg_exec(&db->base, "SET default_transaction_read_only = on", e) == 0 &&
            (there = pg_table_exists(&db->base, "schema_version", e)) >= 0)
                rc = there ? migrations_plan(&db->base, catalog_migrations_postgres, a, out, e)
                           : err_set(e, ERR_NOT_FOUND, "there is no catalog in database %.100s", PQdb(db->h));
        out->engine = "postgresql";
        pg_disconnect(db);
        mem_free(url);
        return rc;
}
