/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate: a request line and a header list in, a verdict out. No socket, no
 * library, no state, so that tests and a fuzzer can call it. It trusts nothing
 * that libmicrohttpd let through.
 */
#ifndef FA_HTTP_GATE_H
#define FA_HTTP_GATE_H

#include "http/address.h"
#include "http/http.h"
#include "http/route.h"
#include "http/uri.h"

#define GATE_MAX_URI     8192
#define GATE_MAX_HEADERS 16384
/* Largest body that a client may send with a request that takes none; it is read and dropped. */
#define GATE_STRAY_BODY ((uint64_t)64 << 10)

struct gate_field {
        struct span name, value;
};

struct gate_config {
        const struct route_table *routes;
        const char *allowed_origins, *allowed_hosts;
        bool draining;
        http_keys_required_fn *keys_required; /* NULL: never */
        http_authenticate_fn *authenticate;
        void *ctx;
        const struct networks *proxies;
        http_admit_fn *admit;
        void *admit_ctx;
};

struct gate_request {
        struct span method, uri, version;
        const struct gate_field *fields;
        size_t nfields;
        struct in6_addr peer; /* the other end of the connection */
};

struct gate_verdict {
        unsigned status; /* 0: go on; 204: an OPTIONS request, answered; else the refusal */
        const char *code;
        char message[240];
        char details[96]; /* JSON text, "" = none */
        bool close;       /* the end of the request is uncertain: nothing more may be read from this connection */
        bool head, preflight;
        bool has_body, chunked;
        uint64_t content_length;  /* UINT64_MAX when chunked; 0 without a body */
        uint64_t max_body;        /* UINT64_MAX: no limit */
        const char *allow;        /* for 405 and OPTIONS */
        const char *method;       /* a known name or "OTHER": safe as a metric label */
        const char *cors_origin;  /* the allowed Origin to echo; NULL none */
        const char *cors_headers; /* what a preflight asked to send, if it is a clean list */
        struct uri uri;
        struct route_match match;
        struct http_caller caller;
        char refused_key[40];   /* the part of an unknown key that may be logged, "" nothing */
        bool key_refused;       /* a key was sent and is unknown */
        struct in6_addr client; /* the peer, or the client that a trusted proxy names */
        struct http_admission admission;
};

void gate_judge(const struct gate_config *c, const struct gate_request *q, struct arena *a, struct gate_verdict *v);

/* ---- shared by the gate's two files ---- */

/* Fills the refusal and returns false, so that "return gate_refuse(...)" reads well. */
bool gate_refuse(struct gate_verdict *v, unsigned status, const char *code, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Whole seconds that are enough. */
unsigned long long gate_seconds(struct dur d);
/* Whether limits hold for it. */
bool gate_limited(const struct http_route *route);
/* First field of that name; *count gets how many there are (may be NULL). */
const struct gate_field *gate_field(const struct gate_request *q, const char *name, size_t *count);
bool gate_is_token(struct span s);
struct span gate_session(const struct gate_request *q);
/* Called only where the answer matters: it may have to query a database. */
bool gate_keys_required(const struct gate_config *c);
/* Checks the syntax of Host and, while there are no keys, which pages may send requests. */
bool gate_check_host(const struct gate_request *q, struct gate_verdict *v);
bool gate_check_site(const struct gate_config *c, const struct gate_request *q, struct arena *a,
                     struct gate_verdict *v);
/*
 * Only the rule for pages of other origins. Requests with a session cookie are held to it as well, since a browser
 * sends cookies by itself, to all ports of a host.
 */
bool gate_check_origin(const struct gate_request *q, struct gate_verdict *v);

#endif
