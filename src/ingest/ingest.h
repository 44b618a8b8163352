/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a client's bytes to an acknowledged, and later understood, asset. The
 * hard thing is the order of an acceptance: every part durable under a temporary
 * name, then every name, then one catalog transaction, and only then the answer;
 * whatever fails before that leaves nothing behind.
 */
#ifndef FA_INGEST_H
#define FA_INGEST_H

#include "base/base.h"
#include "catalog/catalog_ingest.h"

struct catalog;
struct embed;
struct ingest;
struct jail;
struct job_receipt;
struct organise;
struct queue;
struct storage;
struct worker_run;

struct ingest_opts {
        struct catalog *catalog;
        struct storage *storage;
        struct queue *queue;
        struct jail *jail;       /* of the workers */
        struct jail *probe_jail; /* of searches by image, so that they never wait behind the queue */
        struct embed *embed;
        struct organise *organise;
        uint64_t max_file_size;   /* stored */
        uint64_t max_image_bytes; /* analysed */
        uint64_t max_image_pixels;
        uint32_t thumb_size, preview_size;
        const char *tmp_path; /* for images a search brings */
};

int ingest_open(const struct ingest_opts *opts, struct ingest **out, struct err *e) MUST_CHECK;
void ingest_close(struct ingest *ing);

/* ---- accepting one request ------------------------------------------------------- */

struct ingest_request; /* not thread-safe; holds temporary files until committed or freed */

struct ingest_caller {
        const char *owner;           /* the key's owner, or NULL when not bound */
        const char *key_id;          /* scope of idempotency keys; "" anonymous */
        const char *idempotency_key; /* from the header, or NULL */
};

int ingest_begin(struct ingest *ing, const struct ingest_caller *who, struct ingest_request **out,
                 struct err *e) MUST_CHECK;
/* owner, comments, tags, folder, idempotency_key; others are ERR_INVALID naming what is allowed, payload is
 * ERR_UNSUPPORTED. */
int ingest_field(struct ingest_request *r, const char *name, struct span value, struct err *e) MUST_CHECK;
/* One file: begin, data…, end. filename is cleaned here; content_type is the client's hint, may be NULL. */
int ingest_file_begin(struct ingest_request *r, const char *filename, const char *content_type,
                      struct err *e) MUST_CHECK;
int ingest_file_data(struct ingest_request *r, struct span bytes, struct err *e) MUST_CHECK;
int ingest_file_end(struct ingest_request *r, struct err *e) MUST_CHECK;
/* Everything arrived: make it durable and known. ERR_INVALID when there was no file. */
int ingest_commit(struct ingest_request *r, struct arena *a, struct job_receipt *out, struct err *e) MUST_CHECK;
/* Always; removes what was not committed. NULL is fine. */
void ingest_free(struct ingest_request *r);

/* ---- working ------------------------------------------------------------------------ */

/* Whether there are files of this type of job that are understood: the worker pool is to claim their tasks. */
bool ingest_understands(enum job_type job);
/* A worker_handle_fn, of all of them; ctx is the struct ingest. */
int ingest_handle(void *ctx, struct worker_run *run, struct err *e);
/*
 * Analyses an asset anew. ERR_UNSUPPORTED, and nothing changes: it is of a type that is not understood, or too large;
 * ERR_CONFLICT: that is under way; ERR_NOT_FOUND, also for another owner's (owner NULL: any).
 */
int ingest_reprocess(struct ingest *ing, struct id id, const char *owner, const char *actor, struct err *e) MUST_CHECK;
/* The media type of a product, by its name; NULL: no pipeline makes one of that name. */
const char *ingest_product_type(const char *name);

/* A picture a search brings: spooled to an unlinked file, decoded, embedded, forgotten. */
struct ingest_probe;
int ingest_probe_begin(struct ingest *ing, struct ingest_probe **out, struct err *e) MUST_CHECK;
int ingest_probe_data(struct ingest_probe *p, struct span bytes, struct err *e) MUST_CHECK;
/* vector: room for embed_dim floats. */
int ingest_probe_image(struct ingest_probe *p, float *vector, struct err *e) MUST_CHECK;
void ingest_probe_free(struct ingest_probe *p);

/* An asset of owner out of an object that the catalog does not know: named by its hash and what it looks like, to be
 * processed as an upload would be. */
int ingest_recover(struct ingest *ing, struct sha256 object, uint64_t size, const char *owner,
                   struct err *e) MUST_CHECK;

#endif
