/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collects what a reader makes of a file, piece by piece, and writes it to the memory file that the parent will
 * check.
 */
#include <string.h>
#include <vips/vips.h>
#include "decode/decode.h"

int decode_output_add(struct decode_output *o, struct jail_entry entry, void *bytes, size_t n, struct err *e)
{
        void *grown = o->piece;
        if (mem_grow(&grown, &o->cap, o->n + 1, sizeof *o->piece)) {
                g_free(bytes);
                return err_oom(e);
        }
        o->piece = grown;
        entry.length = n;
        o->piece[o->n++] = (struct decode_piece){entry, bytes};
        return 0;
}

int decode_output_write(const struct decode_output *o, int fd, uint32_t *entries, struct err *e)
{
        size_t n = o->n + 1, sum = n * sizeof(struct jail_entry) + o->meta.n;
        for (size_t i = 0; i < o->n; i++)
                sum += o->piece[i].entry.length;
        if (n > JAIL_ENTRIES_MAX || sum > JAIL_OUTPUT_MAX)
                return err_set(e, ERR_INTERNAL, "the products of this file are too large");
        struct jail_entry *table = mem_calloc(n, sizeof *table);
        if (!table)
                return err_oom(e);
        table[0] = (struct jail_entry){.kind = JAIL_METADATA, .length = o->meta.n};
        for (size_t i = 0; i < o->n; i++)
                table[i + 1] = o->piece[i].entry;
        int rc = fd_write_all(fd, table, n * sizeof *table, e);
        mem_free(table);
        if (!rc)
                rc = fd_write_all(fd, o->meta.p, o->meta.n, e);
        for (size_t i = 0; i < o->n && !rc; i++)
                rc = fd_write_all(fd, o->piece[i].bytes, o->piece[i].entry.length, e);
        *entries = (uint32_t)n;
        return rc;
}

void decode_output_done(struct decode_output *o)
{
        for (size_t i = 0; i < o->n; i++)
                g_free(o->piece[i].bytes);
        mem_free(o->piece);
        buf_done(&o->meta);
        *o = (struct decode_output){0};
}
