/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cache file of quantised vectors. It is a cache and is believed only when
 * everything fits: epoch, model, sizes and the checksum over all of it; else
 * the rows of the catalog are read, which takes longer and is always right.
 */
#include "vector/vector_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE ((size_t)4 << 20)

struct header {
        char magic[8];
        uint32_t version, dim;
        uint64_t count, row_bytes;
        int64_t epoch;
        struct sha256 model, sum; /* sum: over the header with sum zero, then all that follows */
};

static const char magic[8] = "FAVEC\r\n\x1a";

/* <dir>/<model id>.i8, with what a path would misread replaced. */
static int path_of(const char *dir, const char *model_id, const char *suffix, char *out, size_t max)
{
        char safe[200];
        size_t n = 0;

        for (const char *p = model_id; *p && n < sizeof safe - 1; p++) {
                bool ok = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
                          *p == '-' || (*p == '.' && n > 0);
                safe[n++] = ok ? *p : '_';
        }
        safe[n] = '\0';
        return snprintf(out, max, "%s/%s.i8%s", dir, safe, suffix) < (int)max ? 0 : -1;
}

static struct header header_of(const char *model_id, int64_t epoch, const struct table *t)
{
        struct header h = {.version = 1,
                           .dim = t->dim,
                           .count = vec_index_count(t->vec),
                           .row_bytes = vec_index_row_bytes(t->vec),
                           .epoch = epoch,
                           .model = sha256_of(model_id, strlen(model_id))};

        memcpy(h.magic, magic, sizeof magic);
        return h;
}

static size_t body_size(const struct header *h)
{
        return h->count * (sizeof(int64_t) + h->row_bytes);
}

static bool sum_fits(const struct header *h, const char *body)
{
        struct header zeroed = *h;
        struct sha256_ctx *sum = sha256_new();
        struct sha256 got;

        if (!sum)
                return false;
        memset(&zeroed.sum, 0, sizeof zeroed.sum);
        sha256_update(sum, &zeroed, sizeof zeroed);
        sha256_update(sum, body, body_size(h));
        got = sha256_final(sum);
        sha256_free(sum);
        return sha256_eq(got, h->sum);
}

static bool header_fits(const struct header *h, const char *model_id, int64_t epoch, const struct table *t, size_t size)
{
        struct header want = header_of(model_id, epoch, t);

        return memcmp(h->magic, magic, sizeof magic) == 0 && h->version == want.version && h->dim == want.dim &&
               h->row_bytes == want.row_bytes && h->epoch == epoch && sha256_eq(h->model, want.model) &&
               h->count < NO_ROW && size == sizeof *h + body_size(h);
}

/* Body: part numbers (0: a hole), scales, rows. */
static int take_over(const struct header *h, const char *body, struct table *t)
{
        const int64_t *numbers = (const int64_t *)body;
        const float *scales = (const float *)(body + h->count * sizeof(int64_t));

        if (vec_index_load(t->vec, scales + h->count, scales, h->count) < 0 || table_reserve(t, h->count) < 0)
                return -1;
        for (uint32_t i = 0; i < h->count; i++) {
                if (numbers[i] < 0 || (numbers[i] > 0 && table_link(t, numbers[i], i) < 0))
                        return -1;
                t->names[i].part = numbers[i];
                if (numbers[i] == 0) {
                        if (mem_grow((void **)&t->free_rows, &t->free_cap, t->nfree + 1, sizeof *t->free_rows) < 0)
                                return -1;
                        t->free_rows[t->nfree++] = i;
                }
        }
        return 0;
}

int cache_load(const char *dir, const char *model_id, int64_t epoch, struct table *t)
{
        char path[4096];
        struct stat st;
        void *p = MAP_FAILED;
        int fd = -1, loaded = 0;

        if (path_of(dir, model_id, "", path, sizeof path) == 0)
                fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && fstat(fd, &st) == 0 && (size_t)st.st_size >= sizeof(struct header))
                p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED) {
                const struct header *h = p;
                const char *body = (const char *)p + sizeof *h;
                loaded = header_fits(h, model_id, epoch, t, (size_t)st.st_size) && sum_fits(h, body) &&
                         take_over(h, body, t) == 0;
                munmap(p, (size_t)st.st_size);
        }
        fd_close(&fd);
        return loaded;
}

int cache_whole(const char *path)
{
        int fd = open(path, O_RDONLY | O_CLOEXEC), whole = -1;
        void *p = MAP_FAILED;
        struct stat st;

        if (fd >= 0 && fstat(fd, &st) == 0) {
                whole = 0;
                if ((size_t)st.st_size >= sizeof(struct header))
                        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        }
        if (p != MAP_FAILED) {
                const struct header *h = p;
                whole = memcmp(h->magic, magic, sizeof magic) == 0 && h->count < NO_ROW && h->row_bytes < UINT32_MAX &&
                        (size_t)st.st_size == sizeof *h + body_size(h) && sum_fits(h, (const char *)p + sizeof *h);
                munmap(p, (size_t)st.st_size);
        }
        fd_close(&fd);
        return whole;
}

struct out {
        bool (*go_on)(void *ctx);
        void *ctx;
        struct sha256_ctx *sum;
        int fd;
};

static int put_bytes(struct out *o, const void *p, size_t n, struct err *e)
{
        const char *at = p;

        while (n > 0) {
                size_t part = n < PIECE ? n : PIECE;
                if (o->go_on && !o->go_on(o->ctx))
                        return err_set(e, ERR_BUSY, "writes wait");
                sha256_update(o->sum, at, part);
                if (fd_write_all(o->fd, at, part, e) < 0)
                        return -1;
                at += part;
                n -= part;
        }
        return 0;
}

static int put_numbers(struct out *o, const struct table *t, size_t count, struct err *e)
{
        int64_t block[4096];

        for (size_t i = 0; i < count;) {
                size_t n = 0;
                while (n < COUNT_OF(block) && i < count)
                        block[n++] = t->names[i++].part;
                if (put_bytes(o, block, n * sizeof *block, e) < 0)
                        return -1;
        }
        return 0;
}

static int write_file(struct out *o, const char *model_id, int64_t epoch, const struct table *t, struct err *e)
{
        struct header h = header_of(model_id, epoch, t);

        if (fault_err(FAULT("catalog.cache"), "vector cache", e) < 0 || put_bytes(o, &h, sizeof h, e) < 0 ||
            put_numbers(o, t, h.count, e) < 0 ||
            put_bytes(o, vec_index_scales(t->vec), h.count * sizeof(float), e) < 0 ||
            put_bytes(o, vec_index_rows(t->vec), h.count * (h.row_bytes - sizeof(float)), e) < 0)
                return -1;
        h.sum = sha256_final(o->sum);
        if (pwrite(o->fd, &h, sizeof h, 0) != (ssize_t)sizeof h || fsync(o->fd) < 0)
                return err_errno(e, errno, "vector cache");
        return 0;
}

int cache_save(const char *dir, const char *model_id, int64_t epoch, const struct table *t, bool (*go_on)(void *ctx),
               void *ctx, struct err *e)
{
        struct out o = {.go_on = go_on, .ctx = ctx, .fd = -1};
        char path[4096], tmp[4096];
        int rc = -1;

        if (path_of(dir, model_id, "", path, sizeof path) < 0 || path_of(dir, model_id, ".new", tmp, sizeof tmp) < 0)
                return err_set(e, ERR_INVALID, "vector cache: path too long");
        o.sum = sha256_new();
        o.fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (!o.sum)
                err_oom(e);
        else if (o.fd < 0)
                err_errno(e, errno, "vector cache");
        else if (write_file(&o, model_id, epoch, t, e) == 0 && (rc = rename(tmp, path)) < 0)
                err_errno(e, errno, "vector cache");
        sha256_free(o.sum);
        fd_close(&o.fd);
        if (rc < 0)
                unlink(tmp);
        else
                rc = fault_err(FAULT("catalog.cache.after"), "vector cache", e);
        return rc;
}
