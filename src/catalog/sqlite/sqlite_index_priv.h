/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vectors in memory, as the index files share them. A table is changed by
 * one thread at a time: the loader while it loads it, then the writer.
 */
#ifndef FA_CATALOG_SQLITE_INDEX_PRIV_H
#define FA_CATALOG_SQLITE_INDEX_PRIV_H

#include "catalog/sqlite/sqlite_priv.h"
#include "vector/vector_table.h"

struct index {
        char model_id[MODEL_ID_MAX]; /* this and the next two never change */
        int64_t model;
        uint32_t dim;
        pthread_rwlock_t lock; /* searches read; the writer thread writes, briefly */
        unsigned generation;   /* of use_model */
        bool collecting;       /* a load is under way: events wait in pending */
        struct table *table;   /* NULL: warming */
        atomic_bool warm;

        /* The writer's and the loader's; the handing over is a write, which orders them. */
        struct table *incoming;
        unsigned incoming_generation;
        struct event *pending;
        size_t npending, pending_cap;
        bool pending_lost;
        atomic_ulong changes;             /* vectors since the cache was written */
        int64_t table_epoch, saved_epoch; /* the epoch that the table holds; the loader's: the file's */
};

#endif
