/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the S3 backend share: storage_s3.c opens, removes and
 * answers for its health, storage_s3_identity.c has the keys,
 * storage_s3_call.c makes requests, storage_s3_spool.c keeps local copies within a bound, storage_s3_put.c and
 * storage_s3_get.c move objects, storage_s3_list.c lists keys and has the sidecars, storage_s3_back.c sends later what
 * was acknowledged before, storage_s3_xml.c reads the little of XML that is needed.
 */
#ifndef FA_STORAGE_S3_PRIV_H
#define FA_STORAGE_S3_PRIV_H

#include "httpc/httpc.h"
#include "storage/storage_priv.h"

#define S3_SENTINEL  ".file-allocator"
#define S3_KEY_MAX   160 /* "derived/aa/<sha256>/<name>" */
#define S3_IDLE_MAX  16  /* connections kept */
#define S3_SENDERS   4   /* threads that send what waits */
#define S3_COPIES    256 /* each holds a descriptor */
#define S3_BODY_MAX  ((size_t)4 << 20)
#define S3_SMALL_MAX ((size_t)32 << 20) /* derived objects; they pass through memory */

struct s3_copy; /* a local copy, storage_s3_spool.c */

/* A claim: one thread works on this key, and others wait. Lives on that thread's stack. */
struct s3_claim {
        char key[S3_KEY_MAX];
        struct s3_claim *next;
};

struct s3_identity {
        char key[256], secret[256], token[4096];
        struct wall until, renew; /* of a lent one */
};

/* Bytes in a file, and what they are. */
struct s3_body {
        struct s3 *s;
        int fd;
        struct sha256 sha256;
        uint64_t size;
};

struct s3_waiting; /* an object that was acknowledged and is not in the store yet, storage_s3_back.c */

struct s3 {
        struct storage base;
        char *bucket, *prefix; /* the prefix is "" or ends in a slash */
        char *place;           /* "bucket/prefix/" */
        char *root;            /* URL up to the prefix: "http://host/bucket/" or "http://bucket.host/" */
        char *region;
        char *role_url, *role_token; /* NULL: the key is ours for good */
        char *spool_path;
        uint64_t spool_max, multipart_from, part_size;
        int spool; /* the directory */
        bool write_back;
        int waiting;         /* directory of the objects that wait, by their hash; -1: there is none */
        atomic_bool closing; /* no more tries */
        struct lock syncing;
        atomic_int sync_errno; /* of waiting; once it failed, nothing proves what is durable there */
        unsigned nsenders;
        pthread_t senders[S3_SENDERS];

        struct lock lock; /* what follows; never held while the network is waited for */
        struct cond changed;
        struct s3_identity id;
        struct httpc *idle[S3_IDLE_MAX];
        unsigned nidle;
        struct s3_claim *claims;
        struct s3_copy *copies; /* the one used last comes first */
        unsigned ncopies;
        uint64_t used;                    /* bytes promised to uploads, downloads and copies */
        uint64_t copied;                  /* of these, in copies */
        struct s3_waiting *first, **last; /* the one that waits longest comes first */
        uint64_t nwaiting, waiting_bytes; /* part of used */
        struct cond work;                 /* something to send, or closing */
        struct mono rest_until;           /* after failures in a row */
        unsigned failures;
        char trouble[160]; /* the last of them; "" none */
        struct mono state_until;
        bool probing, reachable;
        char note[160];
};

/* ---- storage_s3_identity.c ---------------------------------------------------- */

int s3_identity_open(struct s3 *s, const struct storage_s3_opts *o, struct err *e) MUST_CHECK;
/* What the container's host answers: a flat JSON object. Pure: fuzzed. */
int s3_identity_read(struct span body, struct s3_identity *id, struct err *e) MUST_CHECK;
/* A copy of what to sign with now; may ask the container's host. */
int s3_identity_get(struct s3 *s, struct s3_identity *id, struct err *e) MUST_CHECK;

/* ---- storage_s3_call.c ------------------------------------------------------- */

struct s3_request {
        const char *method;
        const char *key;   /* below the prefix; NULL: the bucket itself */
        const char *query; /* encoded, sorted by name, every name with "="; NULL none */
        struct span body;
        int body_fd; /* > 0: size bytes from offset on, whose SHA-256 is payload (hex) */
        uint64_t offset, size;
        const char *payload;
        uint64_t range_from, range_n; /* range_n 0: the whole */
        int out_fd;                   /* > 0: emptied before each try */
        size_t max_body;              /* 0: S3_BODY_MAX */
        bool probe;                   /* one try, and a short one */
};
/*
 * 0 for every answer that another try would not change: below 500 and not 429. -1 with ERR_UNAVAILABLE when none came
 * after five tries, or with what failed on this side. r needs httpc_response_done in either case.
 */
int s3_do(struct s3 *s, const struct s3_request *q, struct httpc_response *r, struct err *e) MUST_CHECK;
/* -1 with the store's message. what: "cannot store object …". */
int s3_refused(const struct httpc_response *r, const char *what, const char *key, struct err *e);
/* Size of an object; ERR_NOT_FOUND. */
int s3_head(struct s3 *s, const char *key, uint64_t *size, struct err *e) MUST_CHECK;
void s3_object_key(struct sha256 key, char out[S3_KEY_MAX]);
/* name "": the folder, with its slash */
void s3_derived_key(struct sha256 key, const char *name, char out[S3_KEY_MAX]);

/* ---- storage_s3_spool.c ------------------------------------------------------- */

int s3_spool_open(struct s3 *s, struct err *e) MUST_CHECK;
void s3_spool_close(struct s3 *s);
/* A new file without a name. */
int s3_spool_file(struct s3 *s, int *fd, struct err *e) MUST_CHECK;
/*
 * Reserves n more bytes of the spool; copies that nobody reads make room. mine: how many the caller has reserved
 * already. ERR_BUSY, ERR_TOO_LARGE.
 */
int s3_spool_reserve(struct s3 *s, uint64_t mine, uint64_t n, struct err *e) MUST_CHECK;
void s3_spool_release(struct s3 *s, uint64_t n);
/* Waits until no other thread has claimed this key, then claims it. */
void s3_claim(struct s3 *s, struct s3_claim *c, const char *key);
void s3_unclaim(struct s3 *s, struct s3_claim *c);
/* A descriptor of its own at offset 0; false: there is no copy. */
bool s3_copy_open(struct s3 *s, const char *key, int *fd, uint64_t *size);
/* Takes over the file and the bytes promised for it, whatever happens. ttl 0: for as long as there is room. */
void s3_copy_keep(struct s3 *s, const char *key, int fd, uint64_t size, struct dur ttl);
/* Removes the copies whose key begins like this. */
void s3_copy_drop(struct s3 *s, const char *key);

/* Lock held: s3_copy_keep, but false when the caller still has the file. */
bool s3_copy_add(struct s3 *s, const char *key, int fd, uint64_t size, struct dur ttl) MUST_CHECK;
/* Lock held. */
bool s3_copy_known(struct s3 *s, const char *key);

/* ---- storage_s3_back.c -------------------------------------------------------- */

struct s3_waiting {
        struct sha256 sha256;
        uint64_t size;
        struct wall since;
        struct mono not_before; /* after failures of its own */
        unsigned failures;
        bool busy;  /* a thread sends it */
        bool again; /* and asks once more whether the store has it */
        struct s3_waiting *next;
};

/* Finds what waits from an earlier run. ERR_CONFLICT: another process has this spool. */
int s3_back_open(struct s3 *s, struct err *e) MUST_CHECK;
/* Stops sending; objects not yet sent stay for the next run. */
void s3_back_close(struct s3 *s);
/* Whether the object waits to be sent; if it is being sent at the moment, the store is asked again afterwards. */
bool s3_back_waits(struct s3 *s, struct sha256 key);
/* Durably among what waits. promised: the bytes of the spool, 0 when it has taken them over. */
int s3_back_put(const struct s3_body *b, uint64_t *promised, bool *existed, struct err *e) MUST_CHECK;
/* 1 found (a descriptor of its own), 0 it does not wait here, -1. */
int s3_back_find(struct s3 *s, struct sha256 key, int *fd, uint64_t *size, struct err *e) MUST_CHECK;
/* The caller has claimed its key. Absent is fine. */
int s3_back_remove(struct s3 *s, struct sha256 key, struct err *e) MUST_CHECK;
/* Tells what waits, as "aa/<sha256>". */
int s3_back_list(struct s3 *s, storage_found_fn *found, void *ctx, struct err *e) MUST_CHECK;
/* Lock held: what waits. */
void s3_back_state(const struct s3 *s, struct storage_state *out);
/* Lock held. It no longer waits; its bytes are the caller's to release or to pass on. -1: errno. */
int s3_back_take(struct s3 *s, struct sha256 key, uint64_t size);
/* Lock held. Out of the list, and freed. */
void s3_back_cut(struct s3 *s, struct s3_waiting **at);

/* ---- storage_s3_send.c -------------------------------------------------------- */

/* Begin to send. */
int s3_send_start(struct s3 *s, struct err *e) MUST_CHECK;
void s3_send_stop(struct s3 *s);

/* ---- storage_s3_put.c, storage_s3_get.c ------------------------------------------ */

/* Into the store unless it is there in the right size; it is there afterwards. The caller has claimed the key. */
int s3_store(const struct s3_body *b, const char *key, bool *existed, struct err *e) MUST_CHECK;
/* ERR_CORRUPT when fd's bytes are not those of key. */
int s3_check_hash(int fd, struct sha256 key, uint64_t size, struct err *e) MUST_CHECK;

extern storage_put_begin_fn s3_put_begin;
extern storage_put_write_fn s3_put_write;
extern storage_put_peek_fn s3_put_peek;
extern storage_put_seal_fn s3_put_seal;
extern storage_put_commit_fn s3_put_commit;
extern storage_put_ensure_fn s3_put_ensure;
extern storage_put_end_fn s3_put_end;
extern storage_put_derived_fn s3_put_derived;
extern storage_open_object_fn s3_open_object;
extern storage_open_derived_fn s3_open_derived;
extern storage_read_begin_fn s3_read_begin, s3_verify_begin;
extern storage_read_at_fn s3_read_at;
extern storage_read_end_fn s3_read_end;

/* ---- storage_s3_list.c ---------------------------------------------------------- */

/* Each key that begins with folder below the prefix; path is what follows. Stops with what found returns. */
int s3_list_keys(struct s3 *s, const char *folder, storage_found_fn *found, void *ctx, struct err *e) MUST_CHECK;
/* Absent is fine. (storage_s3_call.c) */
int s3_remove_key(struct s3 *s, const char *key, struct err *e) MUST_CHECK;

extern storage_list_fn s3_list;

/* ---- storage_s3_batch.c --------------------------------------------------------- */

extern storage_batch_begin_fn s3_batch_begin;
extern storage_batch_put_fn s3_batch_put;
extern storage_batch_remove_fn s3_batch_remove;
extern storage_batch_commit_fn s3_batch_commit;
extern storage_batch_end_fn s3_batch_end;
extern storage_get_sidecar_fn s3_get_sidecar;

/* ---- storage_s3_xml.c ---------------------------------------------------------- */

/* The text of the next <tag> in *rest, entities decoded, which is cut off; false when there is none or it is longer
 * than out. */
bool s3_xml_next(struct span *rest, const char *tag, char *out, size_t n);
/* What is between the next <tag> and its end, as it stands there. */
bool s3_xml_part(struct span *rest, const char *tag, struct span *inside);
bool s3_xml_has(struct span xml, const char *tag);

#endif
