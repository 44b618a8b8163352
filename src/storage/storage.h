/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Immutable objects named by their SHA-256, and the files derived from them. The hard thing is the word "kept":
 * storage_put_commit returns 0 only when the bytes, the name and the directory entry would survive a power cut.
 *
 * Layout of the directory backend under its path: objects/aa/<sha256> (0440), derived/aa/<sha256>/<name>, tmp/, the
 * sentinel file, sidecar/assets/aa/<id>.json (aa: the id's last byte), sidecar/folders/<id>.json. The S3 backend has
 * the same names as keys under its prefix, except tmp/.
 */
#ifndef FA_STORAGE_H
#define FA_STORAGE_H

#include "base/base.h"

struct storage;

/* Strings may be NULL or empty unless stated otherwise. */
struct storage_s3_opts {
        const char *bucket;       /* where the URL names none */
        const char *endpoint;     /* http:// or https://; none: Amazon's for the region */
        const char *region;       /* none: us-east-1 */
        const char *key, *secret; /* both or neither */
        const char *token;        /* of a session */
        const char *role_url;     /* where a container's host lends keys, used when key is not set */
        const char *role_token;   /* sent there as Authorization */
        bool force_path_style;    /* else bucket.host, but for endpoints that are addresses */
        const char *spool_path;   /* required: a local directory for uploads under way and objects just read */
        uint64_t spool_max_bytes; /* 0: 2 GiB */
        /*
         * Write-back: a commit returns when the object is durable in the spool; it is sent afterwards, and read from
         * the spool until then. The spool then belongs to this process alone, and an object that another instance may
         * still have to send is ERR_UNAVAILABLE and not ERR_NOT_FOUND.
         */
        bool write_back;
        /* For tests, 0: objects from 64 MiB on go in parts of at least 16 MiB. */
        uint64_t multipart_from, part_size;
};

struct storage_opts {
        const char *url;  /* "fs://", "s3://bucket/prefix" */
        const char *path; /* directory of the fs backend */
        struct storage_s3_opts s3;
        /* The catalog already holds objects: then a missing sentinel means an empty mount point, and opening is
         * refused. */
        bool expect_content;
        /*
         * Read-only: a directory is taken as it is, nothing in it is created or removed, and a directory that is no
         * storage is refused.
         */
        bool read_only;
        uint64_t min_free; /* fs: bytes of its volume that uploads leave free; 0: none */
};

/* Makes and syncs the directory tree at first use, removes leftovers in tmp/. */
int storage_open(const struct storage_opts *opts, struct storage **out, struct err *e) MUST_CHECK;
void storage_close(struct storage *s);
const char *storage_backend_name(const struct storage *s); /* "fs", "s3" */

/* ---- writing one object ------------------------------------------------------- */

struct storage_put; /* one upload under way; not thread-safe */

struct stored {
        struct sha256 sha256;
        uint64_t size;
        bool existed; /* the object existed already; with write-back as far as this instance knows */
};

int storage_put_begin(struct storage *s, struct storage_put **out, struct err *e) MUST_CHECK;
int storage_put_write(struct storage_put *p, const void *bytes, size_t n, struct err *e) MUST_CHECK;
uint64_t storage_put_size(const struct storage_put *p);
/* Up to n bytes at offset of what was written so far (for sniffing the tail). Returns the count or -1. */
int64_t storage_put_peek(struct storage_put *p, uint64_t offset, void *out, size_t n, struct err *e);
/* Ends the writing: makes the bytes durable under a temporary name and returns the hash. No write may follow. */
int storage_put_seal(struct storage_put *p, struct stored *out, struct err *e) MUST_CHECK;
/*
 * Gives the sealed bytes their content address, durably; an existing object of another size is replaced. Sets
 * existed.
 */
int storage_put_commit(struct storage_put *p, struct stored *out, struct err *e) MUST_CHECK;
/*
 * Called when the catalog refers to the object, so that nobody removes it any more: afterwards it is there, stored
 * again if it was removed since the commit (or there was none). replace: it replaces an object that is known to be
 * damaged.
 */
int storage_put_ensure(struct storage_put *p, bool replace, struct err *e) MUST_CHECK;
/* Frees p; what was not committed is removed. NULL is fine. Call it in every case. */
void storage_put_end(struct storage_put *p);

/* ---- reading --------------------------------------------------------------------- */

/* A read-only fd of the object at offset 0, for sendfile and the decoder. The caller closes it. ERR_NOT_FOUND, or
 * ERR_CORRUPT when the size differs from size (UINT64_MAX: not checked). */
int storage_open_object(struct storage *s, struct sha256 key, uint64_t size, int *fd, struct err *e) MUST_CHECK;
/*
 * For a reader that wants some of the bytes, not all of them at once: *fd as above where the object is a file on this
 * machine (then *out is NULL), else *fd is -1 and *out reads the store's bytes as they are asked for. One thread at a
 * time; offsets that go on where the last read ended are the quick ones.
 */
struct storage_read;
int storage_read_begin(struct storage *s, struct sha256 key, uint64_t size, int *fd, struct storage_read **out,
                       struct err *e) MUST_CHECK;
/*
 * The same for a check of what the disk or the store holds: copies on this machine are not used, and *size is the size
 * found there, whatever it should be.
 */
int storage_verify_begin(struct storage *s, struct sha256 key, uint64_t *size, int *fd, struct storage_read **out,
                         struct err *e) MUST_CHECK;
/* Bytes, 0 at the end, -1. */
int64_t storage_read_at(struct storage_read *r, uint64_t offset, void *out, size_t n, struct err *e) MUST_CHECK;
void storage_read_end(struct storage_read *r); /* NULL is fine */
/* False also when the store cannot be reached. */
bool storage_has_object(struct storage *s, struct sha256 key);
int storage_remove_object(struct storage *s, struct sha256 key,
                          struct err *e) MUST_CHECK; /* and all files derived from it; an absent one is fine. An upload
                                                        of the same bytes checks again, storage_put_ensure */
/* "fs://objects/ab/<sha256>", "s3://bucket/prefix/objects/ab/<sha256>" */
void storage_uri(const struct storage *s, struct sha256 key, char *out, size_t n);

/* ---- derived: can be made again, so written atomically but not synced -------------- */

#define STORAGE_DERIVED_NAME_LEN 65 /* of a name, with the NUL */
#define STORAGE_THUMB            "thumb.webp"
#define STORAGE_PREVIEW          "preview.jpg"

/* name: [a-z0-9.-]+ */
int storage_put_derived(struct storage *s, struct sha256 key, const char *name, struct span bytes,
                        struct err *e) MUST_CHECK;
int storage_open_derived(struct storage *s, struct sha256 key, const char *name, int *fd, uint64_t *size,
                         struct err *e) MUST_CHECK;
/* 1 it is there, 0 it is not, -1 it could not be told. */
int storage_has_derived(struct storage *s, struct sha256 key, const char *name, struct err *e) MUST_CHECK;

/* ---- sidecars: what the catalog decided about an asset or a folder, so that it can be made again -------- */

#define STORAGE_SIDECAR_NAME_LEN 64
#define STORAGE_SIDECAR_MAX      ((size_t)4 << 20) /* bytes of one */
#define STORAGE_BATCH_MAX        512

#define STORAGE_CATALOG_SIDECAR "catalog.json" /* of what belongs to no asset and no folder */
/* "assets/aa/<id>.json", "folders/<id>.json": the other names there are. */
const char *storage_asset_sidecar(struct id asset, char out[STORAGE_SIDECAR_NAME_LEN]);
const char *storage_folder_sidecar(struct id folder, char out[STORAGE_SIDECAR_NAME_LEN]);
/* False for any other name; id is nil for the catalog's. */
bool storage_sidecar_parse(struct span name, bool *folder, struct id *id);

/*
 * Several sidecars at once, since a directory makes them durable with a few syncs however many there are. After a
 * commit that returned 0 each would survive a power cut under its name, or is gone if it was to be removed. Without a
 * commit, or after a failed one, each has either its old or its new state, never one in between. One thread at a
 * time.
 */
struct storage_batch;
int storage_batch_begin(struct storage *s, struct storage_batch **out, struct err *e) MUST_CHECK;
/* Replaces what is there. Each name once, STORAGE_BATCH_MAX names at most. */
int storage_batch_put(struct storage_batch *b, const char *name, struct span bytes, struct err *e) MUST_CHECK;
int storage_batch_remove(struct storage_batch *b, const char *name, struct err *e) MUST_CHECK; /* absent is fine */
int storage_batch_commit(struct storage_batch *b, struct err *e) MUST_CHECK;
void storage_batch_end(struct storage_batch *b); /* in every case; NULL is fine */

/* Appends to out, whose cap counts: ERR_TOO_LARGE. ERR_NOT_FOUND. */
int storage_get_sidecar(struct storage *s, const char *name, struct buf *out, struct err *e) MUST_CHECK;

/* ---- listing ------------------------------------------------------------------------- */

enum storage_area { STORAGE_OBJECTS, STORAGE_DERIVED, STORAGE_SIDECARS };

struct storage_item {
        /* Its name does not fit the scheme, or it is no regular file: sha256 and id mean nothing. */
        bool stray;
        struct sha256 sha256; /* of objects and derived files */
        bool folder;          /* of sidecars: of a folder, else of an asset */
        struct id id;         /* of sidecars; nil: the catalog's */
        /* Derived: its name; sidecars: as storage_get_sidecar takes it; strays: all that follows the area; objects:
         * the hash. For as long as the call lasts. */
        const char *name;
        uint64_t size;
        struct wall mtime; /* when it was written */
};
/* 0 to go on, 1 to stop, -1 with e. */
typedef int storage_item_fn(void *ctx, const struct storage_item *item, struct err *e);
/*
 * Calls fn for each item of an area, in no order, and holds none of them in memory. Items that exist throughout are
 * reported; items created or removed meanwhile may be. With write-back the objects waiting in this instance's spool
 * are reported as well, and twice when they are sent meanwhile; objects that another instance has yet to send are
 * not. fn may use s, also to remove the item. 1 when fn stopped the walk.
 */
int storage_list(struct storage *s, enum storage_area area, storage_item_fn *fn, void *ctx, struct err *e) MUST_CHECK;

/* ---- state --------------------------------------------------------------------------- */

struct storage_state {
        uint64_t free_bytes, total_bytes; /* of the disk; on S3 of the spool */
        bool writable;
        bool write_back;                 /* on, or objects are left of when it was */
        uint64_t waiting, waiting_bytes; /* acknowledged, and not in the store yet */
        struct wall waiting_since;       /* the oldest of them; 0 none */
        char note[160];                  /* what is wrong, also when it is writable */
};
void storage_state(struct storage *s, struct storage_state *out);

#endif
