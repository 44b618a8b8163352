/* SPDX-License-Identifier: Apache-2.0 */
/* A lost catalog made again out of the storage. */
#ifndef FA_APP_REBUILD_H
#define FA_APP_REBUILD_H

#include "sidecar/sidecar.h"

struct config;

#define RECOVERED_OWNER "recovered"

struct app_rebuild_opts {
        const char *from;  /* a folder or s3://bucket/prefix instead of the settings' storage; NULL: that */
        const char *owner; /* of files that no sidecar tells of; NULL: RECOVERED_OWNER */
        bool dry_run;      /* into a catalog that is thrown away */
        void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
        void (*bad)(void *ctx, const char *why);
        void *ctx;
};

int app_rebuild(const struct config *c, const struct app_rebuild_opts *opts, struct rebuild_report *out,
                struct err *e) MUST_CHECK;

#endif
