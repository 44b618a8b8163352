/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP/1.1 server engine over libmicrohttpd, one thread a connection. It
 * knows routes, limits, keys and pages of bytes, but no asset. The hard part is
 * refusing early and safely: a strict gate judges the header list before any
 * body byte is read, and one function answers in mid-body so that the client
 * sees the answer and not a reset.
 */
#ifndef FA_HTTP_H
#define FA_HTTP_H

#include <netinet/in.h>
#include "base/base.h"

struct http_server;
struct http_request;

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE, HTTP_METHODS };
const char *http_method_name(enum http_method m);

/* The scope a route asks for. OPEN routes need no key (probes, docs). */
enum http_scope { HTTP_OPEN, HTTP_SCOPE_READ, HTTP_SCOPE_WRITE, HTTP_SCOPE_ADMIN };

/* The caller. Filled by the authenticate callback; while no key is required every caller is an anonymous admin. */
struct http_caller {
        enum http_scope scope; /* the highest it has */
        char owner[65];        /* bound to this owner; "" = not bound */
        char key_id[40];       /* "" = anonymous, "env" = API_KEY */
};

/* The cookie that carries a browser session's token; such a request must also pass the same-origin rule. */
#define HTTP_SESSION_COOKIE "fa_session"

/*
 * A key or a session's token: 1 and *out filled; 0 unknown, and out->key_id is the part of it that may be logged; -1
 * it cannot be checked at the moment (503). Runs on the connection's thread, for routes that are not OPEN.
 */
typedef int http_authenticate_fn(void *ctx, struct span key, struct http_caller *out);
/* Whether routes that are not OPEN need a key now. */
typedef bool http_keys_required_fn(void *ctx);

/* The client that a request counts against. */
struct http_visitor {
        const struct http_caller *caller; /* key_id "" when no valid key came along */
        struct in6_addr address;          /* an IPv4 address is mapped; the client's own if a trusted proxy names it */
};

struct http_admission {
        struct dur wait; /* 0: the request is admitted; otherwise the time until the next attempt */
        char limit[80];  /* the one that was passed, for people */
        /* Sent with every answer unless quota is 0. */
        uint64_t quota, left;
        struct dur reset;
};

/*
 * May this request, with a body of so many bytes, go on? Called on the connection's thread, once for each request to
 * a route that is not OPEN or that changes something, before any byte of the body is read; also for a wrong key. A
 * body of unknown length counts as 1, and the bytes that arrive are reported later with out NULL.
 */
typedef void http_admit_fn(void *ctx, const struct http_visitor *who, uint64_t bytes, struct http_admission *out);

/* ---- routes ------------------------------------------------------------------ */

/* The whole request is here (headers, and the body if the route buffers one). Must reply exactly once. */
typedef void http_handle_fn(struct http_request *r);

/*
 * A body consumed as it arrives. begin may reply (refusing the body); data
 * returns 0, or -1 after having replied (mid-body refusal); finish must reply
 * unless a reply was given; end always runs last, also when the client went
 * away (then without finish), and frees the state.
 */
struct http_stream {
        void *(*begin)(struct http_request *r); /* NULL after a reply refuses; NULL without a reply is a 500 */
        int (*data)(struct http_request *r, void *state, struct span bytes);
        void (*finish)(struct http_request *r, void *state);
        void (*end)(void *state);
};

enum http_body { HTTP_BODY_NONE, HTTP_BODY_JSON, HTTP_BODY_STREAM };

struct http_route {
        enum http_method method;
        const char *path; /* "/api/v1/objects/{id}/content": {name} is one segment, percent-decoded */
        enum http_scope scope;
        enum http_body body;
        uint64_t
                max_body; /* BODY_JSON: 0 means 1 MiB. STREAM: declared or sent length past it is a 413; 0 = no limit */
        http_handle_fn *handle;           /* NONE and JSON */
        const struct http_stream *stream; /* STREAM */
        const char *statuses; /* "202 400 413": declared for metrics and docs; 401 403 429 500 503 are added by scope */
        bool unbound;         /* only for callers bound to no owner */
        bool while_draining;  /* answered while the server drains (probes, reads) */
        bool quiet;           /* logged at debug only (probes, metrics) */
};

/* ---- server ------------------------------------------------------------------ */

struct http_opts {
        const char *host;                                 /* IP literal or name to bind */
        uint16_t port;                                    /* 0: any free one */
        unsigned max_connections, max_connections_per_ip; /* per_ip 0: off */
        uint64_t min_body_rate;                           /* bytes a second over 30 s; slower bodies are closed */
        const char *allowed_origins;                      /* comma-separated exact origins; "" = none */
        const char
                *allowed_hosts; /* comma-separated, besides IP literals and localhost; used while no key is required */
        http_keys_required_fn *keys_required; /* NULL: never */
        http_authenticate_fn *authenticate;
        void *ctx;                   /* http_context(r) and authenticate's */
        const char *trusted_proxies; /* networks whose X-Forwarded-For is believed; NULL or "" = none */
        http_admit_fn *admit;        /* NULL: no limits */
        void *admit_ctx;
        const struct http_route *const *routes;
        size_t nroutes;
};

int http_server_start(const struct http_opts *opts, struct http_server **out, struct err *e) MUST_CHECK;
uint16_t http_server_port(const struct http_server *s);
/* From now on requests to routes without while_draining get 503 with Retry-After; requests under way go on. */
void http_server_drain(struct http_server *s);
/* Wait until no request is under way or the deadline passes; returns the number still running. */
unsigned http_server_wait_idle(struct http_server *s, struct mono deadline);
void http_server_stop(struct http_server *s); /* closes everything and frees; NULL is fine */

/* ---- request ------------------------------------------------------------------ */

void *http_context(const struct http_request *r);
struct arena *http_arena(struct http_request *r); /* dies with the request; capped at 64 MiB */
const struct http_route *http_route_of(const struct http_request *r);
const char *http_request_id(
        const struct http_request *r); /* the client's X-Request-ID if it is a token of 1 to 63 bytes, else a new one */
const struct http_caller *http_caller(const struct http_request *r);
/* Notes for the log that a key was refused. what: the part of it that may be logged, "" nothing. */
void http_key_refused(const struct http_request *r, const char *what);
/* Sent from this machine, and not by a proxy that runs on it. */
bool http_is_local(const struct http_request *r);
/* The session token of the request's cookie, empty without one. */
struct span http_session(const struct http_request *r);
const char *http_header(const struct http_request *r, const char *name); /* NULL when absent */
const char *http_path_param(const struct http_request *r,
                            const char *name); /* decoded, valid UTF-8; never NULL for a declared name */
/* Decoded value of the i-th occurrence of a query argument; NULL past the last. "" for "?a=" and "?a". */
const char *http_query_nth(const struct http_request *r, const char *name, size_t i);
static inline const char *http_query(const struct http_request *r, const char *name)
{
        return http_query_nth(r, name, 0);
}
struct span http_body(const struct http_request *r);     /* BODY_JSON */
struct mono http_body_end(const struct http_request *r); /* when the last body byte arrived */

/* ---- reply -------------------------------------------------------------------- */

/* Extra headers; call before the reply. Value must hold no control character (asserted). */
void http_add_header(struct http_request *r, const char *name, const char *value);
void http_reply(struct http_request *r, unsigned status, const char *content_type, struct span body); /* copies */
/* JSON out of a buf; a failed buf becomes a 500. The buf stays the caller's. */
void http_reply_json(struct http_request *r, unsigned status, const struct buf *json);
/* {"error","code","details","request_id"}. details: JSON text or NULL. */
void http_reply_error(struct http_request *r, unsigned status, const char *code, const char *details, const char *fmt,
                      ...) PRINTF_LIKE(5, 6);
/* Status and code from an err: INVALID 400 … IO 500 (logged here, message replaced by a general one for 500). */
void http_reply_err(struct http_request *r, const struct err *e);
void http_reply_redirect(struct http_request *r, unsigned status, const char *location);
bool http_replied(const struct http_request *r);

/*
 * Stored bytes: GET and HEAD with Range (one range; several → whole), If-Range,
 * ETag, If-None-Match, Last-Modified, 206/304/416. Takes over fd or read+free.
 */
struct http_content {
        int fd;                                                             /* -1: use read */
        int64_t (*read)(void *state, uint64_t offset, char *out, size_t n); /* bytes, 0 at the end, -1 error */
        void (*free)(void *state);
        void *state;
        uint64_t size; /* UINT64_MAX: unknown, sent in chunks, no ranges */
        const char *content_type;
        const char *etag;          /* without quotes; NULL none */
        const char *filename;      /* for Content-Disposition (RFC 6266 with RFC 8187 filename*); NULL none */
        bool attachment;           /* else inline */
        const char *cache_control; /* NULL: "private, no-cache" */
        struct wall modified;      /* us 0: none */
};
void http_reply_content(struct http_request *r, const struct http_content *c);

/* ---- multipart/form-data (RFC 7578), incremental -------------------------------- */

struct multipart_part {
        const char *name;         /* "" when missing */
        const char *filename;     /* NULL when the part has none; filename* wins (RFC 8187) */
        const char *content_type; /* NULL when absent */
};
struct multipart_events {
        int (*part_begin)(void *ctx, const struct multipart_part *p, struct err *e);
        int (*part_data)(void *ctx, struct span bytes, struct err *e); /* never called with 0 bytes */
        int (*part_end)(void *ctx, struct err *e);
};
struct multipart_limits {
        size_t max_parts;        /* 1000 */
        size_t max_header_bytes; /* 8 KiB a part */
};
struct multipart;
/* content_type: the request's whole header value; refuses other types (ERR_UNSUPPORTED) and bad or > 70 byte boundaries
 * (ERR_INVALID). */
int multipart_new(struct span content_type, const struct multipart_limits *lim, const struct multipart_events *ev,
                  void *ctx, struct multipart **out, struct err *e) MUST_CHECK;
/* Any split of the same bytes gives the same events. An event's -1 is passed on. After an error only multipart_free. */
int multipart_feed(struct multipart *m, struct span bytes, struct err *e) MUST_CHECK;
/* ERR_INVALID when the closing boundary has not come. */
int multipart_finish(struct multipart *m, struct err *e) MUST_CHECK;
void multipart_free(struct multipart *m);

#endif
