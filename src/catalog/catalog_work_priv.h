/* SPDX-License-Identifier: Apache-2.0 */
/* What a transaction gathers for its end: tx->work, begun anew with each transaction. */
#ifndef FA_CATALOG_WORK_PRIV_H
#define FA_CATALOG_WORK_PRIV_H

#include "catalog/catalog_engine_priv.h"

struct work {           /* first member of an engine's own */
        int64_t *texts; /* assets whose searchable text changed */
        size_t ntexts, texts_cap;
        struct counter_delta { /* written at the end of the write, in one order for all */
                char owner[OWNER_MAX + 1];
                int kind, status;
                int64_t n, bytes;
        } * deltas;
        size_t ndeltas, deltas_cap;
        struct job_delta {
                int64_t job, by[ASSET_STATUS_COUNT];
        } * jobs;
        size_t njobs, jobs_cap;
        int64_t waiting;   /* change of the number of waiting tasks */
        struct work_mark { /* what its sidecar does not tell any more */
                enum kept_kind kind;
                struct id id;
        } * marks;
        size_t nmarks, marks_cap;
        struct { /* at the last work_mark */
                size_t ntexts, nmarks;
                int64_t waiting;
        } before;
};

static inline struct work *work_of(struct tx *tx)
{
        return tx->work;
}

/* As the hooks of the same names. */
void work_done(void *work);
void work_begin(struct tx *tx);
void work_mark(struct tx *tx);
void work_rewind(struct tx *tx);

/* Brings what is searched by words up to date with the assets marked by tx_text. */
int text_flush(struct tx *tx, struct err *e) MUST_CHECK;
int mark_flush(struct tx *tx, struct err *e) MUST_CHECK;
/* Writes what was counted: the last thing in a write. */
int count_flush(struct tx *tx, struct err *e) MUST_CHECK;

#endif
