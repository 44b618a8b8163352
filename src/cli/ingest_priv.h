/* SPDX-License-Identifier: Apache-2.0 */
/* Between the run of an ingest (ingest.c), one file's way to the server (upload.c) and what is shown of it (meter.c).
 */
#ifndef FA_CLI_INGEST_PRIV_H
#define FA_CLI_INGEST_PRIV_H

#include "cli/cli_priv.h"
#include "cli/meter_priv.h"

struct upload_opts { /* shared by all workers, read-only */
        const char *owner, *folder, *tags;
        const char *held_by; /* whose files count as "there already"; NULL: what the key may see */
        bool again;
        atomic_bool *stop; /* no more retries: the run is over */
};

struct upload { /* one worker's */
        struct api api;
        struct sha256_ctx *hash;
        char *chunk;
        _Atomic uint64_t sent; /* of the file at hand; read by the meter */
        uint64_t size;
        const struct upload_opts *opts;
};

enum upload_outcome { UPLOAD_DONE, UPLOAD_SKIPPED, UPLOAD_FAILED };

struct upload_result {
        enum upload_outcome outcome;
        char system_id[ID_TEXT_LEN], job_id[ID_TEXT_LEN];
        char error[480];
        int fatal; /* an exit code when no other file would fare better */
};

int upload_init(struct upload *u, const struct api *api, const struct upload_opts *opts, struct err *e) MUST_CHECK;
void upload_done(struct upload *u);
void upload_file(struct upload *u, const struct walk_file *f, struct upload_result *r);

#endif
