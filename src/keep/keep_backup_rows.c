/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a table's file tuple by tuple, so that a restore can end a transaction between any two rows and continue
 * there. Although the file's hash has been checked, every length in it is checked again.
 */
#include "keep/keep_backup_priv.h"
#include "keep/keep_copy_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define BUFFER    ((size_t)256 << 10)
#define FIELD_MAX ((uint32_t)1 << 30) /* PostgreSQL's own limit */

struct copy_file {
        int fd;
        size_t at, n; /* of held */
        char path[256];
        char held[BUFFER];
};

static int file_damaged(const struct copy_file *f, const char *why, struct err *e)
{
        return err_set(e, ERR_CORRUPT, "%.180s %s", f->path, why);
}

/* Reads n bytes into out (may be NULL), or fails: a file must not end inside a row. */
static int take_bytes(struct copy_file *f, size_t n, struct buf *out, char *small, struct err *e)
{
        while (n > 0) {
                size_t part = f->n - f->at;
                if (part == 0) {
                        ssize_t got = read(f->fd, f->held, BUFFER);
                        if (got < 0 && errno == EINTR)
                                continue;
                        if (got < 0)
                                return err_errno(e, errno, "cannot read %.180s", f->path);
                        if (got == 0)
                                return file_damaged(f, "ends in the middle", e);
                        f->at = 0;
                        f->n = (size_t)got;
                        continue;
                }
                part = part < n ? part : n;
                if (out)
                        buf_put(out, f->held + f->at, part);
                if (small) {
                        memcpy(small, f->held + f->at, part);
                        small += part;
                }
                f->at += part;
                n -= part;
        }
        return out && buf_failed(out) ? err_set(e, ERR_TOO_LARGE, "a row of %.160s does not fit into memory", f->path)
                                      : 0;
}

int copy_file_open(const char *path, struct copy_file **out, struct err *e)
{
        struct copy_file *f = mem_alloc(sizeof *f);
        const struct span header = COPY_HEADER;
        char first[32];

        if (!f)
                return err_oom(e);
        f->at = f->n = 0;
        snprintf(f->path, sizeof f->path, "%s", path);
        f->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (f->fd < 0)
                err_errno(e, errno, "cannot open %.180s", path);
        else if (take_bytes(f, header.n, NULL, first, e) == 0) {
                if (memcmp(first, header.p, header.n) == 0) {
                        *out = f;
                        return 0;
                }
                file_damaged(f, "is no copy of a table", e);
        }
        copy_file_close(f);
        return -1;
}

void copy_file_close(struct copy_file *f)
{
        if (!f)
                return;
        fd_close(&f->fd);
        mem_free(f);
}

int copy_file_row(struct copy_file *f, struct buf *out, struct err *e)
{
        unsigned char word[4];
        unsigned fields;

        if (take_bytes(f, 2, out, (char *)word, e))
                return -1;
        fields = (unsigned)word[0] << 8 | word[1];
        if (fields == 0xFFFF) {
                out->n -= 2; /* the trailer is not part of a row */
                return 0;
        }
        for (unsigned i = 0; i < fields; i++) {
                uint32_t length;
                if (take_bytes(f, 4, out, (char *)word, e))
                        return -1;
                length = (uint32_t)word[0] << 24 | (uint32_t)word[1] << 16 | (uint32_t)word[2] << 8 | word[3];
                if (length == UINT32_MAX) /* NULL */
                        continue;
                if (length >= FIELD_MAX)
                        return file_damaged(f, "has a field of impossible length", e);
                if (take_bytes(f, length, out, NULL, e))
                        return -1;
        }
        return 1;
}
