/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parent's end of the jail: a few disposable decoder processes
 * (file-allocator-decode), started on first need, each handling one file at a
 * time. A child that crashes, hangs or talks nonsense is killed and replaced;
 * that costs the one file it was working on.
 */
#ifndef FA_JAIL_H
#define FA_JAIL_H

#include "base/base.h"
#include "jail/protocol.h"

struct jail_opts {
        const char *decoder_path; /* of file-allocator-decode */
        unsigned children;        /* most processes at once */
        struct dur timeout;       /* wall clock per file */
        struct dur cpu;           /* a child may use in its life; one that used half is replaced between two files */
        unsigned recycle_after;   /* files per child; 0 = never */
        uint64_t recycle_bytes;   /* a child that holds more resident memory is replaced between two files; 0 = never */
        enum jail_profile profile;
};

struct jail;

int jail_open(const struct jail_opts *opts, struct jail **out, struct err *e) MUST_CHECK;
void jail_close(struct jail *j); /* kills and reaps the children */

/* What to make of a picture. Sizes are the long side in pixels; 0 leaves that product out. */
struct decode_request {
        uint64_t max_pixels; /* refused from the header: width*height*pages */
        uint32_t thumb_size, preview_size;
        uint32_t model_width, model_height, crop_num, crop_den; /* see embed_image_spec; model_width 0: none */
};

struct decode_result {
        uint32_t width, height; /* upright (orientation applied) */
        uint32_t pages;
        uint64_t phash;  /* 64-bit DCT hash of the upright picture */
        char format[16]; /* "jpeg" "png" "webp" "gif" "tiff" "heif" "avif" */
        /* All inside one mapping that decode_result_done unmaps. Empty when not asked for. */
        struct span rgb;     /* model_width*model_height*3 */
        struct span thumb;   /* WebP */
        struct span preview; /* JPEG */
        struct span meta;    /* text of a JSON object, not checked: {"exif": {"Make": …, "gps": {"latitude": …}},
                                "color_palette": ["#rrggbb"], "icc": …, "animated": true, "frames": n} */
        void *map;
        size_t map_len;
};

/*
 * Decode the file behind fd (read from offset 0; the fd stays the caller's).
 * Waits for a free child. Errors: ERR_UNSUPPORTED, ERR_CORRUPT, ERR_TOO_LARGE
 * (pixels) are about the file and permanent; ERR_CRASHED and ERR_TIMEOUT cost
 * the child; ERR_UNAVAILABLE: no child could be started.
 */
int jail_decode(struct jail *j, int fd, const struct decode_request *req, struct decode_result *out,
                struct err *e) MUST_CHECK;
void decode_result_done(struct decode_result *r);

struct jail_state {
        unsigned running, busy;
        uint64_t files, crashes, timeouts;
        const char *isolation; /* "seccomp+landlock", "seccomp", "landlock", or "process": no more than that */
        char note[200];        /* what keeps it from being healthy, or "" */
};
void jail_state(struct jail *j, struct jail_state *out);
/* Start a child now if none runs, so that the state tells of a real one. ERR_UNAVAILABLE. */
int jail_try(struct jail *j, struct err *e) MUST_CHECK;

#endif
