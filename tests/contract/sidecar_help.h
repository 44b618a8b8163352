/* SPDX-License-Identifier: Apache-2.0 */
/* One sidecar alone, as a batch of one. */
#ifndef FA_TESTS_SIDECAR_HELP_H
#define FA_TESTS_SIDECAR_HELP_H

#include "storage/storage.h"

static inline int put_sidecar(struct storage *s, const char *name, struct span bytes, struct err *e)
{
        struct storage_batch *b;
        int rc = storage_batch_begin(s, &b, e);

        if (rc == 0)
                rc = storage_batch_put(b, name, bytes, e) || storage_batch_commit(b, e) ? -1 : 0;
        storage_batch_end(b);
        return rc;
}

static inline int remove_sidecar(struct storage *s, const char *name, struct err *e)
{
        struct storage_batch *b;
        int rc = storage_batch_begin(s, &b, e);

        if (rc == 0)
                rc = storage_batch_remove(b, name, e) || storage_batch_commit(b, e) ? -1 : 0;
        storage_batch_end(b);
        return rc;
}

#endif
