/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a client's bytes to an acknowledged and later analysed asset. The hard part is the order in which an upload is
 * accepted: every file durable under a temporary name, then every final name, then one catalog transaction, and only
 * then the answer; a failure before that leaves nothing behind.
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
        struct jail *probe_jail; /* for searches by image, so that they never wait behind the queue */
        struct embed *embed;
        struct organise *organise;
        uint64_t max_file_size;   /* of a stored file */
        uint64_t max_image_bytes; /* of an analysed image; larger ones are stored only */
        uint64_t max_image_pixels;
        uint32_t thumb_size, preview_size;
        const char *tmp_path; /* folder for the images of searches */
};

int ingest_open(const struct ingest_opts *opts, struct ingest **out, struct err *e) MUST_CHECK;
void ingest_close(struct ingest *ing);

/* ---- accepting one request ------------------------------------------------------- */

struct ingest_request; /* not thread-safe; holds temporary files until committed or freed */

struct ingest_caller {
        const char *owner;           /* the key's owner, or NULL when it is bound to none */
        const char *key_id;          /* scope of idempotency keys; "" anonymous */
        const char *idempotency_key; /* from the header, or NULL */
};

int ingest_begin(struct ingest *ing, const struct ingest_caller *who, struct ingest_request **out,
                 struct err *e) MUST_CHECK;
/*
 * Sets owner, comments, tags, folder or idempotency_key; other names are ERR_INVALID with a message that lists what
 * is allowed, payload is ERR_UNSUPPORTED.
 */
int ingest_field(struct ingest_request *r, const char *name, struct span value, struct err *e) MUST_CHECK;
/* One file: begin, data…, end. filename is cleaned here; content_type is the client's hint, may be NULL. */
int ingest_file_begin(struct ingest_request *r, const char *filename, const char *content_type,
                      struct err *e) MUST_CHECK;
int ingest_file_data(struct ingest_request *r, struct span bytes, struct err *e) MUST_CHECK;
int ingest_file_end(struct ingest_request *r, struct err *e) MUST_CHECK;
/*
 * To be called when everything has arrived: makes the files durable and records them in the catalog. ERR_INVALID when
 * there was no file.
 */
int ingest_commit(struct ingest_request *r, struct arena *a, struct job_receipt *out, struct err *e) MUST_CHECK;
/* Always to be called; removes the files that were not committed. NULL is fine. */
void ingest_free(struct ingest_request *r);

/* ---- working ------------------------------------------------------------------------ */

/* Whether a pipeline handles jobs of this type, so that the worker pool should claim their tasks. */
bool ingest_understands(enum job_type job);
/* The worker_handle_fn of all pipelines; ctx is the struct ingest. */
int ingest_handle(void *ctx, struct worker_run *run, struct err *e);
/*
 * Requests a new analysis of an asset. ERR_UNSUPPORTED, with nothing changed: no pipeline handles its type, or it is
 * too large; ERR_CONFLICT: an analysis is under way; ERR_NOT_FOUND, also for another owner's asset (owner NULL: any).
 */
int ingest_reprocess(struct ingest *ing, struct id id, const char *owner, const char *actor, struct err *e) MUST_CHECK;
/* The media type of a product by its name; NULL when no pipeline makes a product of that name. */
const char *ingest_product_type(const char *name);

/* The picture of a search by image: spooled to an unlinked file, decoded, embedded, and discarded. */
struct ingest_probe;
int ingest_probe_begin(struct ingest *ing, struct ingest_probe **out, struct err *e) MUST_CHECK;
int ingest_probe_data(struct ingest_probe *p, struct span bytes, struct err *e) MUST_CHECK;
/* vector: room for embed_dim floats. */
int ingest_probe_image(struct ingest_probe *p, float *vector, struct err *e) MUST_CHECK;
void ingest_probe_free(struct ingest_probe *p);

/*
 * Makes an asset of owner from an object that the catalog does not know; its name comes from its hash and its
 * detected type, and it is processed like an upload.
 */
int ingest_recover(struct ingest *ing, struct sha256 object, uint64_t size, const char *owner,
                   struct err *e) MUST_CHECK;

#endif
