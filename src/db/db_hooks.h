/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callbacks through which the owner of a database takes part in its transactions. While a write runs, its function
 * notes in tx->work what has to follow (counts, texts to index, changes to an index in memory); these callbacks carry
 * it out. They are the only calls from this room up to the owner.
 *
 *     SQLite, one transaction for many writes:  begin { mark fn flush | rewind } … finish COMMIT committed
 *     PostgreSQL, one transaction per write:    begin fn flush finish COMMIT committed
 *
 * Each callback may be NULL. In SQLite all of them run on the writer thread, except opened, which runs before that
 * thread starts. After a transaction that was rolled back, the next call is begin.
 */
#ifndef FA_DB_HOOKS_H
#define FA_DB_HOOKS_H

#include "db/db.h"

struct db_hooks {
        size_t work_size;                                         /* of tx->work, which is zeroed at first */
        void (*work_done)(void *work);                            /* frees what it holds */
        int (*opened)(void *owner, struct db *db, struct err *e); /* once: the tables exist and nobody writes yet */
        void (*begin)(struct tx *tx);                             /* forgets everything noted so far */
        void (*mark)(struct tx *tx);                              /* before each write of a transaction */
        int (*flush)(struct tx *tx, struct err *e);               /* the last step inside the write's savepoint */
        void (*rewind)(struct tx *tx);                            /* the write failed: back to what was noted at mark */
        int (*finish)(struct tx *tx, struct err *e);              /* before COMMIT */
        void (*committed)(struct tx *tx);                         /* before any caller gets its answer */
        /*
         * SQLite only: background work of the writer thread, run in the bulk lane when no write waits or much is due.
         */
        int64_t (*due)(void *owner);
        write_fn *catch_up;
        void (*quiet)(void *owner); /* nothing has been written for half a minute */
};

#endif
