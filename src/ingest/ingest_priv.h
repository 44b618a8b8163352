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

/* What was learnt of one picture; kept per object so that the same bytes are never decoded or embedded twice. */
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

/* Text and floats in one blob, and back. -1 when the blob is not one of ours (then it is made again). */
void understanding_pack(const struct understanding *u, struct buf *out);
int understanding_unpack(struct span blob, uint32_t dim, struct arena *a, struct understanding *u) MUST_CHECK;

/* The names of what a decode made, as a list of products; NULL on OOM, or for names that cannot be one. */
const char *products_made(const struct decode_result *d, struct arena *a) MUST_CHECK;

/* What the decoder is asked to make for the model of pictures. */
struct jail_input_wish ingest_model_input(struct ingest *ing);

/* ---- pipelines (pipeline.c) ---------------------------------------------------------- */

struct product {
        const char *name, *media_type; /* name: of the derived file */
};

/* A kind of files that is understood. */
struct pipeline {
        enum job_type job;
        const char *const *types; /* media types, as sniff says them */
        size_t ntypes;
        size_t limit_at; /* where struct ingest_opts has the most bytes that are analysed */
        const char *limit_name;
        const char *step, *version; /* of what is kept per object; raise version when results must be made again */
        const struct product *products;
        size_t nproducts;
        int (*handle)(struct ingest *ing, const struct pipeline *p, struct worker_run *run, struct err *e);
};

/* NULL: not understood. */
const struct pipeline *pipeline_of(const char *media_type);
/* The kind, task and note a sniffed type gets. */
void pipeline_classify(const struct ingest *ing, const struct sniff_type *t, uint64_t size, struct new_asset *out,
                       struct arena *a);

/* Handlers, one a pipeline; they end like a worker_handle_fn. */
int image_handle(struct ingest *ing, const struct pipeline *p, struct worker_run *run, struct err *e);

#endif
