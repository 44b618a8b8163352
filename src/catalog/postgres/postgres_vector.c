/* SPDX-License-Identifier: Apache-2.0 */
/* The tables in PostgreSQL, and the extension pgvector that they need. */
#include "catalog/postgres/postgres_priv.h"

#include <stdio.h>

#define MINOR_MIN 8 /* pgvector 0.8: iterative scans */

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
        int rc = pg_word(db, installed, has, sizeof has, e);

        if (rc < 0 || pg_word(db, available, offers, sizeof offers, e) < 0)
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

/* ---- tables ------------------------------------------------------------------------------ */

const struct pg_tables pg_catalog_tables = {.migrations = catalog_migrations_postgres, .need = check_vector};

int pg_migrate(struct db *db, const struct migration_watch *watch, struct err *e)
{
        struct pg_tables tables = pg_catalog_tables;

        tables.watch = watch;
        return pg_tables_make(db, &tables, e);
}

int pg_migrate_to(struct db *db, int version, struct err *e)
{
        struct pg_tables tables = pg_catalog_tables;

        tables.version = version;
        return pg_tables_make(db, &tables, e);
}

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
