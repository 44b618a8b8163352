/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's side of the jail: a few disposable decoder processes (file-allocator-decode), started when first
 * needed, each handling one file at a time. A child that crashes, hangs or sends an invalid reply is killed and
 * replaced; that fails only the file it was working on.
 */
#ifndef FA_JAIL_H
#define FA_JAIL_H

#include "base/base.h"
#include "jail/protocol.h"

struct jail_opts {
        const char *decoder_path; /* path of file-allocator-decode */
        unsigned children;        /* most processes at once */
        struct dur timeout;       /* wall clock per file */
        struct dur cpu; /* CPU time of a child's lifetime; one that has used half of it is replaced between two files */
        unsigned recycle_after; /* files per child; 0 = never */
        uint64_t recycle_bytes; /* a child that holds more resident memory is replaced between two files; 0 = never */
        enum jail_profile profile;
};

struct jail;

int jail_open(const struct jail_opts *opts, struct jail **out, struct err *e) MUST_CHECK;
void jail_close(struct jail *j); /* kills and reaps the children */

/* ---- one file: what is wanted of it is a struct decode_request (protocol.h) ------------- */

struct decode_product {
        char name[JAIL_NAME_MAX]; /* the wish's name; in a series, with this product's number in place of '#' */
        const char *media_type;   /* static */
        struct span bytes;
};

struct decode_input {
        unsigned wish; /* index in the request */
        enum part_kind part;
        uint32_t position;
        uint64_t time_us;
        uint32_t width, height; /* as asked for */
        struct span bytes;      /* exactly as long as the wish's tensor */
};

/* UTF-8 without control characters but tab, newline, return and form feed. */
struct decode_text {
        enum part_kind part;
        uint32_t position, page, offset;
        struct span text;
};

/* All spans point into one mapping. Everything stays valid until decode_result_done. */
struct decode_result {
        uint32_t width, height; /* of the upright picture (orientation applied) */
        uint32_t pages;
        uint64_t phash;   /* 64-bit DCT hash of the upright picture */
        char format[16];  /* "jpeg" "png" "webp" "gif" "tiff" "heif" "avif" */
        struct span meta; /* text of a JSON object, not parsed: {"exif": {"Make": …, "gps": {"latitude": …}},
                             "color_palette": ["#rrggbb"], "icc": …, "animated": true, "frames": n} */
        struct decode_product *products;
        struct decode_input *inputs; /* those of one wish are ordered by position */
        struct decode_text *texts;   /* ordered by kind and position of their parts */
        size_t nproducts, ninputs, ntexts;
        void *map;
        size_t map_len;
};

/*
 * Decodes the file behind fd, from offset 0; the fd stays the caller's. Waits for a free child. On failure *out is
 * empty. ERR_UNSUPPORTED, ERR_CORRUPT and ERR_TOO_LARGE (pixels) are faults of the file and permanent; ERR_CRASHED
 * and ERR_TIMEOUT cost the child; ERR_UNAVAILABLE: no child could be started; ERR_INVALID: a request that no decoder
 * could fulfil.
 */
int jail_decode(struct jail *j, int fd, const struct decode_request *req, struct decode_result *out,
                struct err *e) MUST_CHECK;
void decode_result_done(struct decode_result *r); /* twice is fine */
/* The first input made for the request's i-th wish; empty when there is none. */
struct span decode_result_input(const struct decode_result *r, unsigned wish);

struct jail_state {
        unsigned running, busy;
        uint64_t files, crashes, timeouts;
        const char *isolation; /* "seccomp+landlock", "seccomp", "landlock", or "process": separate processes only */
        char note[200];        /* why the jail is not healthy, or "" */
};
void jail_state(struct jail *j, struct jail_state *out);
/* Starts a child now if none runs, so that the state describes a real one. ERR_UNAVAILABLE. */
int jail_try(struct jail *j, struct err *e) MUST_CHECK;

#endif
