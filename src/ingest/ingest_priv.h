/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FA_INGEST_PRIV_H
#define FA_INGEST_PRIV_H

#include "catalog/catalog.h"
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
};

/* Text and floats in one blob, and back. -1 when the blob is not one of ours (then it is made again). */
void understanding_pack(const struct understanding *u, struct buf *out);
int understanding_unpack(struct span blob, uint32_t dim, struct arena *a, struct understanding *u) MUST_CHECK;

/* What the decoder is asked to make for the model of pictures. */
struct jail_input_wish ingest_model_input(struct ingest *ing);

/* The kind, task and note a sniffed type gets. */
void ingest_classify(const struct ingest *ing, const struct sniff_type *t, uint64_t size, struct new_asset *out,
                     struct arena *a);

#endif
