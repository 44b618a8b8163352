/* SPDX-License-Identifier: Apache-2.0 */
/* What the backups of both engines share: copying and hashing of files, and one error. */
#include "keep/keep_backup_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define CHUNK ((size_t)256 << 10)

int backup_too_new(const struct keep_backup *b, int newest, struct err *e)
{
        return err_set(e, ERR_CONFLICT,
                       "the backup's catalog has schema version %d, this program knows up to %d: restore it with the "
                       "program that made it, or a newer one",
                       b->schema_version, newest);
}

int backup_copy_fd(int in, int out, struct sha256 *hash, struct err *e)
{
        struct sha256_ctx *sha = sha256_new();
        char *chunk = mem_alloc(CHUNK);
        ssize_t n = 0;
        int rc = sha && chunk ? 0 : err_oom(e);

        while (rc == 0) {
                n = read(in, chunk, CHUNK);
                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        break;
                sha256_update(sha, chunk, (size_t)n);
                if (out >= 0)
                        rc = fd_write_all(out, chunk, (size_t)n, e);
        }
        if (rc == 0 && n < 0)
                rc = err_errno(e, errno, "cannot read a file of the backup");
        if (rc == 0)
                *hash = sha256_final(sha);
        sha256_free(sha);
        mem_free(chunk);
        return rc;
}

int keep_backup_hash(const char *path, struct sha256 *hash, uint64_t *size, struct err *e)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC), rc;
        off_t end;

        if (fd < 0)
                return err_errno(e, errno, "cannot open %.180s", path);
        rc = backup_copy_fd(fd, -1, hash, e);
        end = lseek(fd, 0, SEEK_CUR); /* of what was hashed */
        *size = end > 0 ? (uint64_t)end : 0;
        fd_close(&fd);
        return rc;
}
