/* SPDX-License-Identifier: Apache-2.0 */
/* Taking files: one transaction for all that an ingest request brings. */
#ifndef FA_CATALOG_INGEST_H
#define FA_CATALOG_INGEST_H

#include "model/model.h"

struct catalog;

struct new_asset {
        struct id id;
        enum asset_kind kind;
        enum job_type type;
        const char *filename, *content_type;
        struct sha256 sha256;
        uint64_t size;
        uint32_t purposes; /* bits 1 << task_purpose; without ANALYSE the asset is done as soon as it is stored */
        const char *analysis_note; /* why it is not analysed although the type is known, or NULL */
};

struct new_job {
        struct id id;
        const char *owner, *comments;
        const char *const *tags; /* human tags */
        size_t ntags;
        const char *folder; /* put the files there, created if new; NULL none */
        struct wall created;
        const struct new_asset *assets;
        size_t nassets;
        const char *idempotency_scope; /* key id of the caller; "" = anonymous */
        const char *idempotency_key;   /* NULL none */
        struct sha256 content_hash;    /* of the request, compared on a repeat */
};

struct job_receipt {
        struct id job_id;
        struct wall created;
        bool replayed; /* the same idempotency key came before with the same content: its answer again */
        struct id *assets;
        size_t nassets;
        struct duplicate {
                struct id asset, of; /* an older asset of the same owner with the same bytes, not in the trash */
        } * duplicates;
        size_t nduplicates;
        const bool *damaged; /* an asset's object is known to be: put its bytes anew. NULL when replayed */
        bool other_content;  /* refused: the idempotency key was used with other content, by job_id at created */
};

/*
 * One transaction: job, objects, assets, tasks, tags, lineage, idempotency.
 * ERR_CONFLICT with receipt->other_content: the key was used with other content, by receipt->job_id.
 * ERR_BUSY: queue_max_depth tasks are waiting already. ERR_STALE: the bytes of a file are being removed at this
 * moment; put them again and come again. Once it returned 0 nobody removes them, but somebody may have before: the
 * caller looks, and calls catalog_ingest_undo if it cannot put them again.
 */
int catalog_ingest(struct catalog *c, const struct new_job *job, struct arena *a, struct job_receipt *out,
                   struct err *e) MUST_CHECK;
/* The job with all it brought is gone, and its idempotency key free. */
int catalog_ingest_undo(struct catalog *c, struct id job, struct err *e) MUST_CHECK;
/* Only the look-up of an idempotency key: 1 found (receipt filled), 0 not, -1 error or conflict as above. */
int catalog_idempotency_find(struct catalog *c, const struct new_job *job, struct arena *a, struct job_receipt *out,
                             struct err *e);

#endif
