/* SPDX-License-Identifier: Apache-2.0 */
/* Reads one object as the disk or the store has it, and compares it with its name. */
#include "admin/admin_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define PIECE ((size_t)256 << 10)

static int64_t read_piece(int fd, struct storage_read *r, uint64_t at, char *piece, struct err *e)
{
        ssize_t n;
        if (fd < 0)
                return storage_read_at(r, at, piece, PIECE, e);
        do
                n = pread(fd, piece, PIECE, (off_t)at);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return err_errno(e, errno, "cannot read it");
        return n;
}

static int read_all(const struct verify *v, int fd, struct storage_read *r, struct err *e)
{
        struct sha256_ctx *sha = sha256_new();
        char *piece = mem_alloc(PIECE);
        uint64_t at = 0;
        int64_t n = 0;
        bool go_on = true, same = false;
        int rc = sha && piece ? 0 : err_oom(e);
        while (rc == 0 && go_on && (n = read_piece(fd, r, at, piece, e)) > 0) {
                sha256_update(sha, piece, (size_t)n);
                at += (uint64_t)n;
                go_on = !v->go_on || v->go_on(v->ctx, (size_t)n);
        }
        if (rc == 0)
                same = sha256_eq(sha256_final(sha), v->object) && at == v->size;
        sha256_free(sha);
        mem_free(piece);
        if (rc < 0 || n < 0)
                return -1;
        if (!go_on)
                return 1;
        return same ? 0 : err_set(e, ERR_CORRUPT, "its bytes are not those of its name");
}

/* What an error says of the object itself; opened: it was found. */
static enum damage damage_of(enum err_code code, bool opened)
{
        if (code == ERR_NOT_FOUND)
                return DAMAGE_MISSING;
        return code == ERR_CORRUPT || (code == ERR_IO && opened) ? DAMAGE_BYTES : DAMAGE_NONE;
}

static int verify_once(const struct verify *v, enum damage *damage, struct err *e)
{
        char hex[SHA256_TEXT_LEN];
        struct storage_read *r;
        uint64_t size;
        int fd, rc = 0;
        *damage = DAMAGE_NONE;
        if (storage_verify_begin(v->storage, v->object, &size, &fd, &r, e)) {
                *damage = damage_of(e->code, false);
                return -1;
        }
        if (size != v->size) {
                *damage = DAMAGE_SIZE;
                rc = err_set(e, ERR_CORRUPT, "object %s has %llu bytes and should have %llu",
                             sha256_format(v->object, hex), (unsigned long long)size, (unsigned long long)v->size);
        } else if (!v->quick) {
                /* Reads from the disk, without displacing pages that others read. */
                if (fd >= 0)
                        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
                rc = read_all(v, fd, r, e);
                if (rc < 0)
                        *damage = damage_of(e->code, true);
                if (fd >= 0)
                        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
        }
        fd_close(&fd);
        storage_read_end(r);
        return rc;
}

int verify_object(const struct verify *v, enum damage *damage, struct err *e)
{
        int rc = verify_once(v, damage, e);
        if (rc < 0 && *damage != DAMAGE_NONE)
                rc = verify_once(v, damage, e); /* an object is called damaged only if it is so twice */
        return rc;
}
