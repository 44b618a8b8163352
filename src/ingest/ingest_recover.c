/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes an asset again from an object that the catalog does not know. Its name is lost; its type can still be
 * detected.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "ingest/ingest_priv.h"
#include "catalog/catalog_ingest.h"

/* Reads up to n bytes of the object, from a local file or from the store. */
static int64_t read_some(int fd, struct storage_read *r, uint64_t at, char *out, size_t n, struct err *e)
{
        size_t got = 0;
        while (got < n) {
                int64_t k = fd >= 0 ? pread(fd, out + got, n - got, (off_t)(at + got))
                                    : storage_read_at(r, at + got, out + got, n - got, e);
                if (k < 0)
                        return fd >= 0 ? err_errno(e, errno, "cannot read an object") : -1;
                if (k == 0)
                        break;
                got += (size_t)k;
        }
        return (int64_t)got;
}

static int sniff_object(struct ingest *ing, struct sha256 object, uint64_t size, struct sniff_type *type, struct err *e)
{
        struct storage_read *r = NULL;
        size_t tail_n = size < SNIFF_TAIL ? (size_t)size : SNIFF_TAIL;
        char *bytes = mem_alloc(SNIFF_HEAD + SNIFF_TAIL);
        int64_t head = -1, tail = 0;
        int fd = -1;
        if (!bytes)
                return err_oom(e);
        if (storage_read_begin(ing->o.storage, object, size, &fd, &r, e) == 0)
                head = read_some(fd, r, 0, bytes, SNIFF_HEAD, e);
        if (head >= 0 && size > SNIFF_HEAD)
                tail = read_some(fd, r, size - tail_n, bytes + SNIFF_HEAD, tail_n, e);
        if (head >= 0 && tail >= 0) {
                struct sniff_input in = {.head = {bytes, (size_t)head}, .size = size};
                in.tail = (struct span){bytes + SNIFF_HEAD, (size_t)tail};
                *type = sniff(&in);
        }
        fd_close(&fd);
        storage_read_end(r);
        mem_free(bytes);
        return head < 0 || tail < 0 ? -1 : 0;
}

static int keep_recovered(struct ingest *ing, struct sha256 object, const struct sniff_type *type, uint64_t size,
                          const char *owner, struct arena *a, struct err *e)
{
        struct new_asset asset = {.id = id_new(), .sha256 = object};
        struct new_job job = {.id = id_new(),
                              .owner = owner,
                              .created = wall_now(),
                              .assets = &asset,
                              .nassets = 1,
                              .idempotency_scope = "recovery"};
        struct job_receipt receipt;
        char hex[SHA256_TEXT_LEN];
        asset.filename =
                arena_printf(a, "%.16s%s%s", sha256_format(object, hex), *type->extension ? "." : "", type->extension);
        pipeline_classify(ing, type, size, &asset, a);
        return asset.filename ? catalog_ingest(ing->o.catalog, &job, a, &receipt, e) : err_oom(e);
}

int ingest_recover(struct ingest *ing, struct sha256 object, uint64_t size, const char *owner, struct err *e)
{
        struct sniff_type type;
        struct arena *a;
        int rc = sniff_object(ing, object, size, &type, e);
        if (rc)
                return -1;
        a = arena_new(1 << 20);
        rc = a ? keep_recovered(ing, object, &type, size, owner, a, e) : err_oom(e);
        arena_free(a);
        return rc;
}
