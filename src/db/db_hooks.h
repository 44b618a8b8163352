/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the owner of a database has done at the moments of its transactions.
 * While a write runs, its function notes in tx->work what has to follow (counts,
 * texts to index, changes of an index in memory); these functions see to it.
 * They are the only way from here to the owner.
 *
 *     SQLite, one transaction for many writes:   begin { mark fn flush | rewind } … finish COMMIT committed
 *     PostgreSQL, a transaction for each:        begin fn flush finish COMMIT committed
 *
 * Each may be NULL. In SQLite all of them run on the writer's thread, or in
 * opened before it starts. Where a transaction is given up, begin comes next.
 */
#ifndef FA_DB_HOOKS_H
#define FA_DB_HOOKS_H

#include "db/db.h"

struct db_hooks {
        size_t work_size;                                         /* of tx->work, which comes zeroed */
        void (*work_done)(void *work);                            /* frees what it holds */
        int (*opened)(void *owner, struct db *db, struct err *e); /* once, the tables are there and nobody writes yet */
        void (*begin)(struct tx *tx);                             /* nothing is noted any more */
        void (*mark)(struct tx *tx);                              /* before each write of a transaction */
        int (*flush)(struct tx *tx, struct err *e);               /* the last thing inside its savepoint */
        void (*rewind)(struct tx *tx);                            /* it failed: back to what was noted at mark */
        int (*finish)(struct tx *tx, struct err *e);              /* before COMMIT */
        void (*committed)(struct tx *tx);                         /* before anybody is answered */
        /* SQLite: what the writer does by itself, in the bulk lane, when nobody waits or much is due. */
        int64_t (*due)(void *owner);
        write_fn *catch_up;
        void (*quiet)(void *owner); /* nothing was written for half a minute */
};

#endif
