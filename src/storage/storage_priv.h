/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a storage backend provides. storage.c checks arguments and the order of
 * calls once, so that a backend may rely on both: names are valid, nothing is
 * written after a seal, nothing is committed unsealed or twice.
 */
#ifndef FA_STORAGE_PRIV_H
#define FA_STORAGE_PRIV_H

#include "storage/storage.h"

struct storage_ops;

/* A backend's own struct begins with one of these. */
struct storage {
        const struct storage_ops *ops;
        const char *place; /* what an address says between :// and the object's own path; NULL nothing */
};

struct storage_read {
        struct storage *storage;
};

struct storage_batch {
        struct storage *storage;
        unsigned n;
        bool failed, over;
};

enum put_stage { PUT_OPEN, PUT_SEALED, PUT_COMMITTED, PUT_FAILED };

struct storage_put {
        struct storage *storage;
        enum put_stage stage;
        uint64_t size;    /* bytes taken so far */
        struct stored is; /* from the seal on */
};

typedef int storage_open_fn(const struct storage_opts *opts, struct storage **out, struct err *e);
typedef void storage_close_fn(struct storage *s);
/* A backend fills size and is; storage.c keeps stage and storage. */
typedef int storage_put_begin_fn(struct storage *s, struct storage_put **out, struct err *e);
typedef int storage_put_write_fn(struct storage_put *p, const void *bytes, size_t n, struct err *e);
/* offset and n lie inside what was written. */
typedef int storage_put_peek_fn(struct storage_put *p, uint64_t offset, void *out, size_t n, struct err *e);
typedef int storage_put_seal_fn(struct storage_put *p, struct err *e);
typedef int storage_put_commit_fn(struct storage_put *p, struct err *e);
typedef int storage_put_ensure_fn(struct storage_put *p, bool replace, struct err *e);
typedef void storage_put_end_fn(struct storage_put *p);
typedef int storage_open_object_fn(struct storage *s, struct sha256 key, int *fd, uint64_t *size, struct err *e);
typedef bool storage_has_object_fn(struct storage *s, struct sha256 key);
typedef int storage_remove_object_fn(struct storage *s, struct sha256 key, struct err *e);
typedef int storage_put_derived_fn(struct storage *s, struct sha256 key, const char *name, struct span bytes,
                                   struct err *e);
typedef int storage_open_derived_fn(struct storage *s, struct sha256 key, const char *name, int *fd, uint64_t *size,
                                    struct err *e);
/* Either *fd or *out. */
typedef int storage_read_begin_fn(struct storage *s, struct sha256 key, int *fd, uint64_t *size,
                                  struct storage_read **out, struct err *e);
/* n > 0; 0 only at the end. */
typedef int64_t storage_read_at_fn(struct storage_read *r, uint64_t offset, void *out, size_t n, struct err *e);
typedef void storage_read_end_fn(struct storage_read *r);
/* Names are valid, and a batch takes nothing after its commit or a failure. */
typedef int storage_batch_begin_fn(struct storage *s, struct storage_batch **out, struct err *e);
typedef int storage_batch_put_fn(struct storage_batch *b, const char *name, struct span bytes, struct err *e);
typedef int storage_batch_remove_fn(struct storage_batch *b, const char *name, struct err *e);
typedef int storage_batch_commit_fn(struct storage_batch *b, struct err *e);
typedef void storage_batch_end_fn(struct storage_batch *b);
typedef int storage_get_sidecar_fn(struct storage *s, const char *name, struct buf *out, struct err *e);
/* What a backend has found below an area: "aa/<sha256>". regular: a file. */
struct storage_found {
        const char *path;
        bool regular;
        uint64_t size;
        struct wall mtime;
};
typedef int storage_found_fn(void *ctx, const struct storage_found *f, struct err *e);
/* folder: "objects", "derived" or "sidecar". Stops with what found returns unless that is 0. */
typedef int storage_list_fn(struct storage *s, const char *folder, storage_found_fn *found, void *ctx, struct err *e);
typedef void storage_state_fn(struct storage *s, struct storage_state *out);

struct storage_ops {
        const char *name; /* also the scheme of the URL */
        storage_open_fn *open;
        storage_close_fn *close;
        storage_put_begin_fn *put_begin;
        storage_put_write_fn *put_write;
        storage_put_peek_fn *put_peek;
        storage_put_seal_fn *put_seal;
        storage_put_commit_fn *put_commit;
        storage_put_ensure_fn *put_ensure;
        storage_put_end_fn *put_end;
        storage_open_object_fn *open_object;
        storage_has_object_fn *has_object;
        storage_remove_object_fn *remove_object;
        storage_put_derived_fn *put_derived;
        storage_open_derived_fn *open_derived;
        storage_read_begin_fn *read_begin; /* NULL with the next three: objects are files here anyway */
        storage_read_begin_fn *verify_begin;
        storage_read_at_fn *read_at;
        storage_read_end_fn *read_end;
        storage_batch_begin_fn *batch_begin;
        storage_batch_put_fn *batch_put;
        storage_batch_remove_fn *batch_remove;
        storage_batch_commit_fn *batch_commit;
        storage_batch_end_fn *batch_end;
        storage_get_sidecar_fn *get_sidecar;
        storage_list_fn *list;
        storage_state_fn *state;
};

/* May a derived file be called so? (storage_list.c) */
bool storage_derived_named(const char *name);
/* Give the unnamed file of fd a name. 0 or -1 with errno. */
int storage_link_unnamed(int fd, int dir, const char *name);

extern const struct storage_ops storage_fs_ops;
extern const struct storage_ops storage_s3_ops;

#endif
