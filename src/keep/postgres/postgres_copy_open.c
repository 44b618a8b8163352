/* SPDX-License-Identifier: Apache-2.0 */
/* Checks whether a database may be the target of a copy. */
#include "keep/keep_copy_priv.h"
#include "keep/keep_catalog_tables.h"
#include "keep/postgres/postgres_copy_priv.h"

#include <stdio.h>

#define COPY_LOCK "7733091250042001"
#define SECONDS   10 /* timeout of one attempt to connect */

/* A copy runs for minutes without a pause, longer than a server's session timeouts may allow. */
#define COPY_SESSION "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0"

/* The server may still list a connection, even one of ours, that was closed a moment ago: it is given time. */
#define TRIES 60
#define REST  dur_ms(50)

static int lock_target(struct db *db, struct err *e)
{
        int64_t mine = 0;

        if (pg_exec(db, COPY_SESSION, e))
                return -1;
        for (int i = 0; !mine; i++) {
                if (i == TRIES)
                        return err_set(e, ERR_CONFLICT, "another copy into this database is running");
                if (i > 0)
                        sleep_for(REST);
                if (db_int(db, e, &mine, "SELECT pg_try_advisory_lock(" COPY_LOCK ")::integer", "") < 0)
                        return -1;
        }
        return 0;
}

int copy_target_open(const char *url, const char *password, struct copy_target **out, struct err *e)
{
        struct copy_target *t = mem_calloc(1, sizeof *t);
        char *plain = pg_plain_url(url);
        const struct pg_login login = {
                .url = plain, .password = password && *password ? password : NULL, .timeout = dur_s(SECONDS)};

        if (!t || !plain)
                err_oom(e);
        else
                t->conn = pg_connect(&login, e);

        mem_free(plain);
        if (t && t->conn)
                t->db = &t->conn->base;
        if (t && t->db && lock_target(t->db, e) == 0) {
                *out = t;
                return 0;
        }
        copy_target_close(t);
        return -1;
}

void copy_target_close(struct copy_target *t)
{
        if (!t)
                return;
        pg_disconnect(t->conn);
        mem_free(t);
}

/* ---- looking --------------------------------------------------------------------------- */

static int no_server(struct db *db, struct err *e)
{
        int64_t one;
        int rc = 1;

        for (int i = 0; rc > 0 && i < TRIES; i++) {
                if (i > 0)
                        sleep_for(REST);
                rc = db_int(db, e, &one,
                            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name = "
                            "'file-allocator' AND pid <> pg_backend_pid() LIMIT 1",
                            "");
        }
        return rc > 0 ? err_set(e, ERR_CONFLICT, "a server is running on the target: stop it first") : rc;
}

static int expect_empty(struct db *db, struct err *e)
{
        char sql[96], word[8];

        for (const struct table *t = catalog_tables; t->name; t++) {
                int rc = 0;
                if ((t->flags & (TABLE_COPIED | TABLE_BACKED_UP)) && !(t->flags & TABLE_TRIED))
                        rc = pg_table_exists(db, t->name, e);
                if (rc == 0)
                        continue;
                snprintf(sql, sizeof sql, "SELECT 1 FROM %s LIMIT 1", t->name);
                if (rc > 0)
                        rc = pg_word(db, sql, word, sizeof word, e);
                if (rc > 0)
                        return err_set(e, ERR_CONFLICT,
                                       "database %.60s holds rows of a table \"%s\" that no copy began: an empty "
                                       "database is needed",
                                       PQdb(pg_of(db)->h), t->name);
                if (rc < 0)
                        return -1;
        }
        return 0;
}

int copy_target_look(struct copy_target *t, struct copy_found *out, struct err *e)
{
        int rc;

        *out = (struct copy_found){0};
        rc = pg_table_exists(t->db, "catalog_copy", e);
        if (rc < 0 || (rc > 0 && pg_copy_found(t->db, out, e)))
                return -1;
        if (out->finished)
                return 0;
        if (no_server(t->db, e))
                return -1;
        return out->begun ? 0 : expect_empty(t->db, e);
}
