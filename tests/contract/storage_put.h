/* SPDX-License-Identifier: Apache-2.0 */
/* An object in one piece, for tests that are about something else. */
#ifndef FA_TEST_STORAGE_PUT_H
#define FA_TEST_STORAGE_PUT_H

#include "storage/storage.h"

static inline int put(struct storage *s, const void *bytes, size_t n, struct stored *out, struct err *e)
{
        struct storage_put *p;
        int rc = storage_put_begin(s, &p, e);

        if (rc == 0)
                rc = storage_put_write(p, bytes, n, e);
        if (rc == 0)
                rc = storage_put_seal(p, out, e);
        if (rc == 0)
                rc = storage_put_commit(p, out, e);
        storage_put_end(p);
        return rc;
}

#endif
