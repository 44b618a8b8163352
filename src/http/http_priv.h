/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of this room share: a server, its connections, a request and
 * the reply it has been given. A reply is first stored and then sent by the one
 * place that knows in which phase of the request we are.
 */
#ifndef FA_HTTP_PRIV_H
#define FA_HTTP_PRIV_H

#include <netinet/in.h>
#include "http/gate.h"
#include "http/http.h"

struct MHD_Connection;
struct MHD_Daemon;
struct sockaddr;

/* What tests shorten. */
struct http_tuning {
        struct dur body_window; /* 30 s: over this much waiting the rate is judged */
        struct dur head_window; /* 30 s: a connection may be without a complete request this long */
        unsigned idle_seconds;  /* 30: silence on a connection */
        struct dur drain;       /* 2 s: how long a refused body is swallowed */
};
extern const struct http_tuning http_tuning_default;
int http_server_start_tuned(const struct http_opts *opts, const struct http_tuning *tuning, struct http_server **out,
                            struct err *e) MUST_CHECK;

/* ---- connections ------------------------------------------------------------- */

struct conn_slot {
        struct in6_addr ip; /* IPv4 mapped */
        struct mono since;  /* when the connection began to wait for a request */
        int fd;
        bool used, busy;
        bool leaving; /* shut down to make room; its thread has not noticed yet */
};

#define CONN_SLACK 64 /* connections that may be leaving at once */

struct conn_table {
        struct lock lock;
        struct cond wake;
        struct conn_slot *slots;         /* n and CONN_SLACK more */
        size_t n, used, leaving, per_ip; /* per_ip 0: no limit */
        struct dur head_window;
        struct mono said; /* when it was last logged that there are too many */
        bool stopping;
        pthread_t reaper;
};

int conn_table_init(struct conn_table *t, size_t n, size_t per_ip, struct dur head_window, struct err *e) MUST_CHECK;
void conn_table_done(struct conn_table *t);
/*
 * Whether one more connection is accepted. At the limit the connection that has been idle longest is shut down to
 * make room, so clients that only hold connections cannot keep others out. False when all are busy, or when the
 * address from has too many.
 */
bool conn_admit(struct conn_table *t, const struct sockaddr *from);
struct conn_slot *http_conn_open(struct conn_table *t, const struct sockaddr *from, int fd); /* NULL when full */
void http_conn_close(struct conn_table *t, struct conn_slot *slot);
/* A busy connection is judged by its body's rate, a waiting one by the head window. slot NULL is fine. */
void conn_set_busy(struct conn_table *t, struct conn_slot *slot, bool busy);
/*
 * Reads and drops what the client still sends, so that closing the socket does not reset the connection before the
 * client has read the answer: 64 MiB at most; for the rest of t nothing more is read, so that the client looks for
 * the answer. Stops at once when *stop becomes true, or the client closes.
 */
void conn_drain(int fd, struct dur t, const atomic_bool *stop);
/* All of it within t, or false. */
bool conn_write(int fd, struct span bytes, struct dur t);

/* ---- server ------------------------------------------------------------------ */

struct http_server {
        struct http_opts opts;
        struct http_tuning tuning;
        char *host, *origins, *hosts;
        struct networks *proxies;
        struct route_table *routes;
        struct conn_table conns;
        struct MHD_Daemon *daemon;
        uint16_t port;
        atomic_bool draining, stopping;
        struct lock lock;
        struct cond idle;
        unsigned running; /* requests past their headers and not completed */
};

/* ---- reply ------------------------------------------------------------------- */

#define REPLY_HEADERS 24

struct reply_header {
        const char *name, *value;
};

struct reply {
        bool ready, sent;
        unsigned status;
        struct reply_header headers[REPLY_HEADERS];
        size_t nheaders;
        char *body; /* mem_alloc'ed, the reply's */
        size_t n;
        bool has_content; /* then content, from first on, length bytes; fd or state are the reply's */
        struct http_content content;
        uint64_t first, length;
};

/* Sends the stored reply as the answer to a request whose body is read or refused unread. False: close. */
bool reply_queue(struct http_request *r);
/* The same in the middle of the body, written directly to the socket; afterwards the connection can only be closed. */
void reply_write(struct http_request *r);
void reply_drop(struct reply *p);
void reply_verdict(struct http_request *r);
/* Adds the rate-limit headers, which every answer carries. */
void reply_limits(struct http_request *r);

/* ---- request ----------------------------------------------------------------- */

struct http_request {
        struct http_server *server;
        struct MHD_Connection *connection;
        struct conn_slot *slot;
        int fd;
        struct in6_addr peer;
        struct arena *arena;
        const char *raw_uri;
        struct gate_field *fields; /* copies, NUL-terminated */
        size_t nfields;
        struct gate_verdict verdict;
        char id[64];
        char cause[300]; /* why a 5xx */
        struct mono started, body_end;
        bool begun;     /* the gate has judged */
        bool body_read; /* all of it */
        bool broken;    /* the arena or a header list ran out: only a bare 503 can be said */
        bool must_close;
        bool drained;
        uint64_t received;
        uint64_t charged; /* of a body of unknown length: counted against the limits so far */
        struct buf body;
        void *state; /* of the route's stream */
        bool streaming;
        /* For the body's rate: only time spent waiting for the client counts. */
        struct mono wait_from;
        int64_t waited_ns;
        uint64_t window_bytes;
        struct reply reply;
};

struct http_request *request_new(struct http_server *s, struct MHD_Connection *c, const char *raw_uri);
void request_free(struct http_request *r);
/* The three calls of the library, each answering whether the connection may go on. */
bool request_begin(struct http_request *r, const char *method, const char *version);
bool request_data(struct http_request *r, struct span bytes);
bool request_finish(struct http_request *r);
/*
 * The connection has finished the request: its state is freed, logged and counted. completed: the whole answer was
 * sent.
 */
void request_end(struct http_request *r, bool completed);

/* ---- account.c ---------------------------------------------------------------- */

void request_count(struct http_request *r, unsigned status);
/* The request's duration, and its line in the log. completed: the whole answer was sent. */
void request_account(struct http_request *r, unsigned status, bool completed);

#endif
