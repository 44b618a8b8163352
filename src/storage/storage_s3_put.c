/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing one object: to the spool while it is hashed, then to the store (with write-back later, storage_s3_back.c),
 * then a check of what the store has. The hard thing is the last request of a multipart upload: its answer may be
 * lost although it was carried out, so the state of the store counts and not the answer.
 */
#include "storage/storage_s3_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PARTS_MAX  10000 /* of the protocol */
#define PIECE      ((size_t)32 << 10)
#define UPLOAD_ID  1024
#define LOOKS      4                   /* after the first */
#define RESERVE_AT ((uint64_t)1 << 20) /* bytes are promised in such steps */

struct s3_put {
        struct storage_put base;
        struct s3 *s;
        int fd;
        uint64_t promised;
        struct sha256_ctx *sha;
};

int s3_put_begin(struct storage *base, struct storage_put **out, struct err *e)
{
        struct s3_put *p = mem_calloc(1, sizeof *p);

        if (!p)
                return err_oom(e);
        p->base.storage = base;
        p->s = (struct s3 *)base;
        p->fd = -1;
        p->sha = sha256_new();
        if (!p->sha) {
                s3_put_end(&p->base);
                return err_oom(e);
        }
        if (s3_spool_file(p->s, &p->fd, e)) {
                s3_put_end(&p->base);
                return -1;
        }
        *out = &p->base;
        return 0;
}

static int reserve_spool(struct s3_put *p, size_t n, struct err *e)
{
        uint64_t need = p->base.size + n, step;

        if (need <= p->promised)
                return 0;
        need -= p->promised;
        step = need < RESERVE_AT ? RESERVE_AT : need;
        /* Near the limit the exact number may fit where a step does not. */
        if (step > need && s3_spool_reserve(p->s, p->promised, step, NULL) == 0) {
                p->promised += step;
                return 0;
        }
        if (s3_spool_reserve(p->s, p->promised, need, e))
                return -1;
        p->promised += need;
        return 0;
}

int s3_put_write(struct storage_put *base, const void *bytes, size_t n, struct err *e)
{
        struct s3_put *p = (struct s3_put *)base;
        int rc = FAULT("storage.write");

        if (rc)
                return err_errno(e, rc, "cannot write to the spool %.100s", p->s->spool_path);
        if (reserve_spool(p, n, e) || fd_write_all(p->fd, bytes, n, e))
                return -1;
        sha256_update(p->sha, bytes, n);
        base->size += n;
        return 0;
}

static int read_back(int fd, uint64_t offset, void *out, size_t n, struct err *e)
{
        char *to = out;

        while (n > 0) {
                ssize_t got = pread(fd, to, n, (off_t)offset);
                if (got < 0 && errno == EINTR)
                        continue;
                if (got <= 0)
                        return err_errno(e, got < 0 ? errno : EIO, "cannot read an upload back from the spool");
                to += got;
                offset += (uint64_t)got;
                n -= (size_t)got;
        }
        return 0;
}

int s3_put_peek(struct storage_put *base, uint64_t offset, void *out, size_t n, struct err *e)
{
        return read_back(((struct s3_put *)base)->fd, offset, out, n, e);
}

/* The bytes are synced before they have a name under which they could be found. */
static int sync_bytes(struct s3_put *p, struct err *e)
{
        int rc = FAULT("storage.fsync");

        if (rc == 0 && fsync(p->fd))
                rc = errno;
        return rc ? err_errno(e, rc, "cannot sync an upload in the spool %.100s", p->s->spool_path) : 0;
}

int s3_put_seal(struct storage_put *base, struct err *e)
{
        struct s3_put *p = (struct s3_put *)base;

        if (p->s->write_back && sync_bytes(p, e))
                return -1;
        base->is = (struct stored){.sha256 = sha256_final(p->sha), .size = base->size};
        if (p->promised > base->size) {
                s3_spool_release(p->s, p->promised - base->size);
                p->promised = base->size;
        }
        return 0;
}

/* ---- in one request --------------------------------------------------------------- */

static int send_whole(const struct s3_body *b, const char *key, struct err *e)
{
        char hex[SHA256_TEXT_LEN];
        struct httpc_response r;
        int rc = fault_err(FAULT("storage.send"), "cannot store an object", e);

        if (rc < 0)
                return rc;
        rc = s3_do(b->s,
                   &(struct s3_request){.method = "PUT",
                                        .key = key,
                                        .body_fd = b->fd,
                                        .size = b->size,
                                        .payload = sha256_format(b->sha256, hex)},
                   &r, e);
        if (rc == 0)
                rc = fault_err(FAULT("storage.send.after"), "cannot store an object", e);
        if (rc == 0 && r.status != 200 && r.status != 201)
                rc = s3_refused(&r, "cannot store", key, e);
        httpc_response_done(&r);
        return rc;
}

/* ---- in parts ---------------------------------------------------------------------- */

struct parts {
        const struct s3_body *body;
        const char *key;
        uint64_t part_size;
        struct buf id;   /* "uploadId=…", encoded */
        struct buf list; /* what completes the upload */
};

static int begin_parts(struct parts *m, struct err *e)
{
        struct httpc_response r;
        char id[UPLOAD_ID];
        int rc = s3_do(m->body->s, &(struct s3_request){.method = "POST", .key = m->key, .query = "uploads="}, &r, e);

        if (rc == 0 && r.status != 200) {
                rc = s3_refused(&r, "cannot begin an upload in parts of", m->key, e);
        } else if (rc == 0) {
                struct span body = buf_span(&r.body);
                if (!s3_xml_next(&body, "UploadId", id, sizeof id) || !id[0]) {
                        rc = err_set(e, ERR_UNAVAILABLE, "the object store gives no id for an upload in parts");
                } else {
                        buf_puts(&m->id, "uploadId=");
                        httpc_escape(&m->id, id);
                        rc = buf_failed(&m->id) ? err_oom(e) : 0;
                }
        }
        httpc_response_done(&r);
        return rc;
}

static int hash_part(const struct s3_body *b, uint64_t at, uint64_t n, char hex[SHA256_TEXT_LEN], struct err *e)
{
        char piece[PIECE];
        struct sha256_ctx *sha = sha256_new();
        int rc = sha ? 0 : err_oom(e);

        while (rc == 0 && n > 0) {
                size_t k = n < PIECE ? (size_t)n : PIECE;
                rc = read_back(b->fd, at, piece, k, e);
                if (rc == 0)
                        sha256_update(sha, piece, k);
                at += k;
                n -= k;
        }
        if (rc == 0)
                sha256_format(sha256_final(sha), hex);
        sha256_free(sha);
        return rc;
}

static int note_part(struct parts *m, unsigned number, const struct httpc_response *r, struct err *e)
{
        struct span etag;

        if (!httpc_response_header(r, "ETag", &etag) || etag.n == 0 || etag.n > 200 || memchr(etag.p, '<', etag.n) ||
            memchr(etag.p, '&', etag.n))
                return err_set(e, ERR_UNAVAILABLE, "the object store gives no ETag for a part of %.80s", m->key);
        buf_printf(&m->list, "<Part><PartNumber>%u</PartNumber><ETag>%.*s</ETag></Part>", number, (int)etag.n, etag.p);
        return buf_failed(&m->list) ? err_oom(e) : 0;
}

static int send_part(struct parts *m, unsigned number, uint64_t at, struct err *e)
{
        uint64_t left = m->body->size - at, n = left < m->part_size ? left : m->part_size;
        char hex[SHA256_TEXT_LEN], query[3 * UPLOAD_ID + 64];
        struct httpc_response r;
        int rc;

        snprintf(query, sizeof query, "partNumber=%u&%s", number, buf_str(&m->id));
        if (atomic_load(&m->body->s->closing))
                return err_set(e, ERR_UNAVAILABLE, "the service ends");
        if (fault_err(FAULT("storage.part"), "cannot store a part", e) || hash_part(m->body, at, n, hex, e))
                return -1;
        rc = s3_do(m->body->s,
                   &(struct s3_request){.method = "PUT",
                                        .key = m->key,
                                        .query = query,
                                        .body_fd = m->body->fd,
                                        .offset = at,
                                        .size = n,
                                        .payload = hex},
                   &r, e);
        if (rc == 0)
                rc = r.status == 200 ? note_part(m, number, &r, e)
                                     : s3_refused(&r, "cannot store a part of", m->key, e);
        httpc_response_done(&r);
        return rc;
}

/* The store may answer 200 and say in the body that it failed. */
static int finish_parts(struct parts *m, struct err *e)
{
        struct httpc_response r;
        int rc;

        buf_puts(&m->list, "</CompleteMultipartUpload>");
        if (buf_failed(&m->list))
                return err_oom(e);
        if (fault_err(FAULT("storage.complete"), "cannot complete an upload in parts", e))
                return -1;
        rc = s3_do(m->body->s,
                   &(struct s3_request){
                           .method = "POST", .key = m->key, .query = buf_str(&m->id), .body = buf_span(&m->list)},
                   &r, e);
        if (rc == 0 && (r.status != 200 || !s3_xml_has(buf_span(&r.body), "CompleteMultipartUploadResult")))
                rc = s3_refused(&r, "cannot complete the upload of", m->key, e);
        httpc_response_done(&r);
        return rc == 0 ? fault_err(FAULT("storage.complete.after"), "cannot complete an upload in parts", e) : rc;
}

static bool is_there(const struct s3_body *b, const char *key)
{
        uint64_t size;

        return s3_head(b->s, key, &size, NULL) == 0 && size == b->size;
}

/* Parts of an upload that is neither completed nor aborted are paid for and listed nowhere. */
static void abort_parts(struct parts *m)
{
        struct httpc_response r;
        struct err ignored;

        if (s3_do(m->body->s, &(struct s3_request){.method = "DELETE", .key = m->key, .query = buf_str(&m->id)}, &r,
                  &ignored))
                ignored.code = ERR_NONE; /* a rule of the bucket's life cycle takes it */
        httpc_response_done(&r);
}

static uint64_t part_size_of(const struct s3 *s, uint64_t size)
{
        uint64_t least = (size + PARTS_MAX - 1) / PARTS_MAX, mib = (uint64_t)1 << 20;

        return least <= s->part_size ? s->part_size : (least + mib - 1) / mib * mib;
}

static int send_parts(const struct s3_body *b, const char *key, struct err *e)
{
        struct parts m = {.body = b, .key = key, .part_size = part_size_of(b->s, b->size)};
        unsigned number = 1;
        int rc;

        buf_init(&m.id, 3 * UPLOAD_ID + 16);
        buf_init(&m.list, (size_t)PARTS_MAX * 300);
        buf_puts(&m.list, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
        rc = begin_parts(&m, e);
        if (rc == 0) {
                for (uint64_t at = 0; rc == 0 && at < b->size; at += m.part_size)
                        rc = send_part(&m, number++, at, e);
                if (rc == 0 && finish_parts(&m, e) && !is_there(b, key))
                        rc = -1;
                if (rc < 0)
                        abort_parts(&m);
        }
        buf_done(&m.id);
        buf_done(&m.list);
        return rc;
}

/* ---- the address ------------------------------------------------------------------------- */

static int check_stored(const struct s3_body *b, const char *key, uint64_t size, struct err *e)
{
        if (size == b->size)
                return 0;
        return err_set(e, ERR_CORRUPT, "object %.100s is damaged: it has %llu bytes instead of %llu", key + 11,
                       (unsigned long long)size, (unsigned long long)b->size);
}

/* Some stores need a moment before they find what they have just taken. */
static int find_stored(const struct s3_body *b, const char *key, uint64_t *size, struct err *e)
{
        struct err why = {0};
        int rc = s3_head(b->s, key, size, &why);

        for (int tried = 0; rc < 0 && why.code == ERR_NOT_FOUND && tried < LOOKS; tried++) {
                sleep_for(dur_ms((int64_t)100 << tried));
                rc = s3_head(b->s, key, size, &why);
        }
        if (rc < 0)
                err_set(e, why.code == ERR_NOT_FOUND ? ERR_IO : why.code, "after it was stored: %.200s", why.msg);
        return rc;
}

static int send_and_check(const struct s3_body *b, const char *key, struct err *e)
{
        int rc = b->size < b->s->multipart_from ? send_whole(b, key, e) : send_parts(b, key, e);
        uint64_t size;

        if (rc < 0) {
                /* A 404 for a write means that the bucket does not exist. */
                if (e && e->code == ERR_NOT_FOUND)
                        e->code = ERR_UNAVAILABLE;
                return -1;
        }
        return find_stored(b, key, &size, e) ? -1 : check_stored(b, key, size, e);
}

int s3_store(const struct s3_body *b, const char *key, bool *existed, struct err *e)
{
        uint64_t size = 0;
        struct err why = {0};
        int rc = s3_head(b->s, key, &size, &why);

        *existed = rc == 0;
        /* An existing object of another size is damaged, and these bytes are right. */
        if (rc == 0 ? size != b->size : why.code == ERR_NOT_FOUND)
                rc = send_and_check(b, key, &why);
        if (rc < 0 && e)
                *e = why;
        return rc;
}

/* It is read next, by the decoder; the spool has it already. */
static void keep_copy(struct s3_put *p, const char *key)
{
        int fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 3);

        if (fd < 0)
                return;
        s3_copy_keep(p->s, key, fd, p->promised, (struct dur){0});
        p->promised = 0;
}

int s3_put_commit(struct storage_put *base, struct err *e)
{
        struct s3_put *p = (struct s3_put *)base;
        char key[S3_KEY_MAX];
        struct s3_body body = {.s = p->s, .fd = p->fd, .sha256 = base->is.sha256, .size = base->size};
        struct s3_claim claim;
        int rc;

        if (p->s->write_back)
                return s3_back_put(&body, &p->promised, &base->is.existed, e);
        s3_object_key(base->is.sha256, key);
        s3_claim(p->s, &claim, key);
        rc = s3_store(&body, key, &base->is.existed, e);
        if (rc == 0)
                keep_copy(p, key);
        s3_unclaim(p->s, &claim);
        return rc;
}

int s3_put_ensure(struct storage_put *base, bool replace, struct err *e)
{
        struct s3_put *p = (struct s3_put *)base;
        struct s3_body body = {.s = p->s, .fd = p->fd, .sha256 = base->is.sha256, .size = base->size};
        char key[S3_KEY_MAX];
        struct s3_claim claim;
        bool existed;
        int rc;

        if (base->stage == PUT_SEALED && s3_put_commit(base, e))
                return -1;
        if (!replace && s3_back_waits(p->s, base->is.sha256))
                return 0;
        s3_object_key(base->is.sha256, key);
        s3_claim(p->s, &claim, key);
        rc = replace ? send_and_check(&body, key, e) : s3_store(&body, key, &existed, e);
        if (replace)
                s3_copy_drop(p->s, key); /* of what was there before */
        s3_unclaim(p->s, &claim);
        return rc;
}

void s3_put_end(struct storage_put *base)
{
        struct s3_put *p = (struct s3_put *)base;

        fd_close(&p->fd);
        if (p->promised > 0)
                s3_spool_release(p->s, p->promised);
        sha256_free(p->sha);
        mem_free(p);
}

/* ---- derived ----------------------------------------------------------------------------- */

int s3_put_derived(struct storage *base, struct sha256 key, const char *name, struct span bytes, struct err *e)
{
        struct s3 *s = (struct s3 *)base;
        char path[S3_KEY_MAX];
        struct s3_claim claim;
        struct httpc_response r;
        int rc;

        s3_derived_key(key, name, path);
        if (fault_err(FAULT("storage.derived"), "cannot store a derived file", e))
                return -1;
        s3_claim(s, &claim, path);
        rc = s3_do(s, &(struct s3_request){.method = "PUT", .key = path, .body = bytes}, &r, e);
        if (rc == 0 && r.status != 200 && r.status != 201)
                rc = s3_refused(&r, "cannot store", path, e);
        httpc_response_done(&r);
        s3_copy_drop(s, path);
        s3_unclaim(s, &claim);
        return rc == 0 ? fault_err(FAULT("storage.derived.after"), "cannot store a derived file", e) : rc;
}
