/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FA_INGEST_PRIV_H
#define FA_INGEST_PRIV_H

#include "catalog/catalog_ingest.h"
#include "embed/embed.h"
#include "ingest/ingest.h"
#include "jail/jail.h"
#include "organise/organise.h"
#include "queue/queue.h"
#include "sniff/sniff.h"
#include "storage/storage.h"
#include "worker/worker.h"

struct ingest {
        struct ingest_opts o;
};

/*
 * The results of analysing one picture, cached per object so that the same bytes are never decoded or embedded twice.
 */
struct understanding {
        const char *metadata; /* JSON object */
        uint64_t phash;
        float sure;
        float *vector;
        uint32_t dim;
        struct tag *tags;
        size_t ntags;
        const char *products; /* see model.h */
};

/*
 * Serialises the results to one blob of text and floats, and back. -1 when the blob has another format (then the
 * results are made again).
 */
void understanding_pack(const struct understanding *u, struct buf *out);
int understanding_unpack(struct span blob, uint32_t dim, struct arena *a, struct understanding *u) MUST_CHECK;

/* The names of a decode's products as a list; NULL when memory is short, or for names that cannot be in one. */
const char *products_made(const struct decode_result *d, struct arena *a) MUST_CHECK;

/* The input that the decoder is asked to make for the picture model. */
struct jail_input_wish ingest_model_input(struct ingest *ing);

/* ---- pipelines (pipeline.c) ---------------------------------------------------------- */

struct product {
        const char *name, *media_type; /* name of the derived file, and its media type */
};

/* A kind of file that is analysed. */
struct pipeline {
        enum job_type job;
        const char *const *types; /* media types as sniff() names them */
        size_t ntypes;
        size_t limit_at; /* offset in struct ingest_opts of the most bytes that are analysed */
        const char *limit_name;
        const char *step, *version; /* of the results cached per object; raise version when they must be made again */
        const struct product *products;
        size_t nproducts;
        int (*handle)(struct ingest *ing, const struct pipeline *p, struct worker_run *run, struct err *e);
};

/* Returns NULL for a type that is not analysed. */
const struct pipeline *pipeline_of(const char *media_type);
/* Sets the kind, task and note of a file of the detected type. */
void pipeline_classify(const struct ingest *ing, const struct sniff_type *t, uint64_t size, struct new_asset *out,
                       struct arena *a);

/* The handlers, one for each pipeline; they return like a worker_handle_fn. */
int image_handle(struct ingest *ing, const struct pipeline *p, struct worker_run *run, struct err *e);

#endif
