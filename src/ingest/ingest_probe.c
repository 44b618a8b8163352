/* SPDX-License-Identifier: Apache-2.0 */
/* The picture of a search: it is analysed and discarded, so it goes to an unlinked file and never into the storage. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "ingest/ingest_priv.h"

struct ingest_probe {
        struct ingest *ing;
        int fd;
        uint64_t size;
};

/* O_TMPFILE where the file system supports it; else a file that is unlinked at once. */
static int unlinked_file(const char *dir)
{
        int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (fd >= 0)
                return fd;
        char path[600];
        snprintf(path, sizeof path, "%s/probe-XXXXXX", dir);
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
                unlink(path);
        return fd;
}

int ingest_probe_begin(struct ingest *ing, struct ingest_probe **out, struct err *e)
{
        struct ingest_probe *p = mem_calloc(1, sizeof *p);
        if (!p)
                return err_oom(e);
        p->ing = ing;
        p->fd = unlinked_file(ing->o.tmp_path);
        if (p->fd < 0) {
                int err = errno;
                mem_free(p);
                return err_errno(e, err, "cannot spool the picture");
        }
        *out = p;
        return 0;
}

int ingest_probe_data(struct ingest_probe *p, struct span bytes, struct err *e)
{
        if (bytes.n > p->ing->o.max_image_bytes - p->size)
                return err_set(e, ERR_TOO_LARGE, "file: larger than MAX_IMAGE_BYTES (%llu bytes)",
                               (unsigned long long)p->ing->o.max_image_bytes);
        p->size += bytes.n;
        return fd_write_all(p->fd, bytes.p, bytes.n, e);
}

int ingest_probe_image(struct ingest_probe *p, float *vector, struct err *e)
{
        struct ingest *ing = p->ing;
        struct decode_request req = {
                .reader = JAIL_READ_IMAGE, .max_pixels = ing->o.max_image_pixels, .input = {ingest_model_input(ing)}};
        struct decode_result d;
        struct embed_image_result r = {.vector = vector};
        if (p->size == 0)
                return err_set(e, ERR_INVALID, "file: empty; send a JPEG, PNG, WebP, GIF, TIFF, AVIF or HEIC picture");
        struct err why;
        if (jail_decode(ing->o.probe_jail, p->fd, &req, &d, &why)) /* a file that crashes the decoder is no picture */
                return err_set(e, why.code == ERR_CRASHED ? ERR_CORRUPT : why.code, "%s", why.msg);
        struct span input = decode_result_input(&d, 0);
        int rc = embed_image(ing->o.embed, (const uint8_t *)input.p, input.n, &r, e);
        decode_result_done(&d);
        return rc;
}

void ingest_probe_free(struct ingest_probe *p)
{
        if (!p)
                return;
        fd_close(&p->fd);
        mem_free(p);
}
