/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine implements: a driver for each connection, and the functions of the whole database. */
#ifndef FA_DB_ENGINE_PRIV_H
#define FA_DB_ENGINE_PRIV_H

#include "db/db_hooks.h"

#include <stdarg.h>

/* Statements that are not cached are run by query_binds and freed by rows_free. */
typedef struct rows *query_fn(struct db *db, struct err *e, const char *sql, const char *fmt, va_list *ap);
typedef struct rows *query_binds_fn(struct db *db, const char *sql, const struct bind *binds, size_t n, struct err *e);

struct driver {
        query_fn *query;
        query_binds_fn *query_binds;
        __typeof__(rows_free) *rows_free;
        __typeof__(db_step) *step;
        __typeof__(db_end) *end;
        __typeof__(db_changes) *changes;
        __typeof__(col_null) *col_null;
        __typeof__(col_i64) *col_i64;
        __typeof__(col_f64) *col_f64;
        __typeof__(col_str) *col_str;
        __typeof__(col_blob) *col_blob;
        __typeof__(col_bytes) *col_bytes;
};

/* These functions have the contract of the public prototype that they are typed after. */
struct engine {
        __typeof__(database_close) *close;
        __typeof__(database_state) *state;
        __typeof__(database_room) *room; /* NULL: the engine manages its own space */
        __typeof__(database_read) *read;
        __typeof__(database_read_end) *read_end;
        __typeof__(database_write) *write;
        __typeof__(database_writes_waiting) *writes_waiting; /* NULL: the engine has no queue of writes */
};

struct database { /* first member of an engine's own */
        const struct engine *engine;
        const struct db_hooks *hooks;
        void *owner; /* passed to the hooks */
};

/* Allocates tx->work before the first use of tx. 0 or -1. (db.c) */
int tx_open(struct tx *tx, const struct database *d, struct err *e) MUST_CHECK;
void tx_close(struct tx *tx, const struct database *d);

#endif
