/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outgoing HTTP over libcurl: one blocking call a request, bounded in time and
 * size. http and https only, no proxy surprises for loopback. A GET or HEAD
 * follows up to five redirects, never from https to http; the caller's headers
 * (which may hold a key) stay behind when the origin changes.
 */
#ifndef FA_HTTPC_H
#define FA_HTTPC_H

#include "base/base.h"

struct httpc; /* a reusable connection; one thread at a time */

int httpc_new(struct httpc **out, struct err *e) MUST_CHECK;
void httpc_free(struct httpc *h);

struct httpc_part { /* of a multipart/form-data body */
        const char *name;
        const char *value;    /* a field; NULL for a file */
        const char *file;     /* a regular file to stream from */
        const char *filename; /* sent name */
};

/*
 * AWS Signature Version 4. What is signed must be what is sent: the query's names sorted and each with "=", every byte
 * but A-Za-z0-9-._~ (and / in the path) as %XX in capitals, no "." or ".." segments. Redirects are not followed.
 * The headers may hold neither Expect nor Content-Type.
 */
struct httpc_sigv4 {
        const char *region, *service, *key, *secret;
        const char *token;   /* of a session; NULL or "" none */
        const char *payload; /* hex SHA-256 of the body, sent and signed; NULL: taken of body (not of body_fd) */
};

struct httpc_request {
        const char *method, *url;
        const char *const *headers; /* "Name: value" */
        size_t nheaders;
        struct span body; /* sent when nparts is 0 */
        const struct httpc_part *parts;
        size_t nparts;
        int body_fd; /* > 0: the body is body_size bytes of this file from body_offset on; stays the caller's */
        uint64_t body_offset, body_size;
        const struct httpc_sigv4 *sigv4;          /* NULL: unsigned */
        bool keep_headers;                        /* for httpc_response_header */
        struct dur connect_timeout, idle_timeout; /* 0: 5 s, 60 s without a byte */
        size_t max_body;                          /* of the answer; 0: 64 MiB */
        int out_fd; /* > 0: the answer's body goes there when the status is 2xx, unbounded */
        /* Bytes of the body sent; of the answer where there is no body to send. total is 0 while unknown. */
        void (*progress)(void *ctx, uint64_t done, uint64_t total);
        void *ctx;
};
struct httpc_response {
        unsigned status;
        struct buf body;
        char content_type[128];
        char retry_after[32];
        int64_t length;     /* of the whole body by Content-Length, also of a HEAD; -1 unknown */
        struct buf headers; /* kept on request */
        char filename[256]; /* from Content-Disposition, path parts dropped; "" none */
};
/*
 * 0 for any HTTP answer, whatever its status; -1 when there was none (ERR_UNAVAILABLE refused, unreachable or broken
 * off, ERR_TIMEOUT), it was too large (ERR_TOO_LARGE), or a file to send could not be read (ERR_NOT_FOUND, ERR_IO).
 * *out is set up here and needs httpc_response_done in either case.
 */
int httpc_do(struct httpc *h, const struct httpc_request *q, struct httpc_response *out, struct err *e) MUST_CHECK;
void httpc_response_done(struct httpc_response *r);
/* The first header of that name, in any case; false when there is none or they were not kept. */
bool httpc_response_header(const struct httpc_response *r, const char *name, struct span *value);
/* Percent-encode for a path segment or a query value. */
void httpc_escape(struct buf *out, const char *s);

#endif
