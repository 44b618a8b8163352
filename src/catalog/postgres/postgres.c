/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog on PostgreSQL: opening, closing, and what its hooks do at the moments of a transaction. */
#include "catalog/postgres/postgres_priv.h"

#include <stdio.h>

#define EXACT_MAX 20000

/* ---- transactions --------------------------------------------------------------------- */

static int hook_opened(void *owner, struct db *db, struct err *e)
{
        struct pg_catalog *c = owner;

        return pg_copy_check(db, e) < 0 ? -1 : cursor_secret_load(&c->base, db, e);
}

/* Counts last: they are in rows that everybody writes. */
static int hook_finish(struct tx *tx, struct err *e)
{
        int64_t waiting = work_of(tx)->waiting;

        if (text_flush(tx, e) || mark_flush(tx, e))
                return -1;
        if (waiting && counter_add(tx, "", COUNTER_WAITING, 0, waiting, 0, e))
                return -1;
        return count_flush(tx, e);
}

static const struct db_hooks hooks = {
        .work_size = sizeof(struct work),
        .work_done = work_done,
        .opened = hook_opened,
        .begin = work_begin,
        .finish = hook_finish,
};

/* ---- what the rules ask for ----------------------------------------------------------------- */

/* Over all instances. The sum is of what is committed: a crowd may pass the limit by its own number. */
static int pg_waiting(struct tx *tx, int64_t *n, struct err *e)
{
        *n = 0;
        return db_int(tx->db, e, n, "SELECT sum(count)::bigint FROM counter WHERE owner = '' AND kind = ?", "i",
                      COUNTER_WAITING) < 0
                       ? -1
                       : 0;
}

static void pg_note(struct catalog *base, char *out, size_t max)
{
        struct pg_catalog *c = pg_catalog_of(base);

        lock_take(&c->klock);
        snprintf(out, max, "%s", c->keeper_note);
        lock_drop(&c->klock);
}

static void pg_close(struct catalog *base)
{
        struct pg_catalog *c = pg_catalog_of(base);

        pg_keeper_stop(c);
        database_close(base->database);
        lock_done(&c->klock);
        cond_done(&c->kcond);
        mem_free(c);
}

static const struct search_engine pg_search = {
        .name = "postgresql",
        .close = pg_close,
        .note = pg_note,
        .waiting = pg_waiting,
        .event = pg_event,
        .vector_put = pg_vector_put,
        .prototype_put = pg_prototype_put,
        .part_add = pg_part_add,
        .parts_again = pg_parts_again,
        .part_search = pg_part_search,
        .text_put = pg_text_put,
        .use_model = pg_use_model,
        .model = pg_model,
        .warm = pg_warm,
        .vector_search = pg_vector_search,
        .prototype_search = pg_prototype_search,
        .text_search = pg_text_search,
};

/* ---- opening ---------------------------------------------------------------------------------- */

int catalog_postgres_open(const struct catalog_opts *opts, struct catalog **out, struct err *e)
{
        struct pg_catalog *c = mem_calloc(1, sizeof *c);
        struct pg_opts database = {.url = opts->url,
                                   .password = opts->db_password,
                                   .pool_size = opts->db_pool_size,
                                   .max_overflow = opts->db_max_overflow,
                                   .pool_timeout = opts->db_pool_timeout,
                                   .tables = pg_catalog_tables,
                                   .hooks = &hooks,
                                   .owner = c};

        if (!c)
                return err_oom(e);
        database.tables.watch = opts->watch;
        database.tables.shared = true;
        catalog_init(&c->base, DIALECT_POSTGRES, &pg_search, opts);
        c->exact_max = opts->vector_exact_max ? (int64_t)opts->vector_exact_max : EXACT_MAX;
        lock_init(&c->klock, "catalog keeper", RANK_CATALOG_INDEX);
        cond_init(&c->kcond);
        if (pg_database_open(&database, &c->base.database, e) == 0 && pg_keeper_start(c, e) == 0) {
                *out = &c->base;
                return 0;
        }
        pg_close(&c->base);
        return -1;
}
