/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server: a listening socket of our own, the library's daemon on it, and
 * the callbacks that hand over to a request. Every connection has a thread, so
 * what a handler waits for stalls nobody else; their number is capped here.
 */
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include "http/http_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

/* Past 32 KiB the library maps it: it is given back when the connection ends, and only what is used is there. */
#define CONNECTION_MEMORY ((size_t)36 << 10)
#define CONNECTION_STACK  ((size_t)512 << 10)
/* Above our own cap, so that ours refuses first and counts. */
#define LIMIT_SLACK (CONN_SLACK + 16)

const struct http_tuning http_tuning_default = {
        .body_window = {30000000000},
        .head_window = {30000000000},
        .idle_seconds = 30,
        .drain = {2000000000},
};

/* ---- the library's callbacks ------------------------------------------------- */

/* Keep the text as it came: uri.c splits before it decodes. */
static size_t keep_escapes(void *cls, struct MHD_Connection *c, char *s)
{
        (void)cls, (void)c;
        return strlen(s);
}

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *c)
{
        return request_new(cls, c, uri);
}

static enum MHD_Result on_access(void *cls, struct MHD_Connection *c, const char *url, const char *method,
                                 const char *version, const char *data, size_t *n, void **state)
{
        (void)cls, (void)c, (void)url;
        struct http_request *r = *state;
        if (!r)
                return MHD_NO; /* no memory for even a request */
        bool go_on;
        if (!r->begun) {
                go_on = request_begin(r, method, version);
        } else if (*n > 0) {
                go_on = request_data(r, (struct span){data, *n});
                *n = 0;
        } else {
                go_on = request_finish(r);
        }
        return go_on ? MHD_YES : MHD_NO;
}

static void on_completed(void *cls, struct MHD_Connection *c, void **state, enum MHD_RequestTerminationCode how)
{
        (void)cls, (void)c;
        struct http_request *r = *state;
        *state = NULL;
        if (!r)
                return;
        request_end(r, how == MHD_REQUEST_TERMINATED_COMPLETED_OK);
        request_free(r);
}

static enum MHD_Result on_accept(void *cls, const struct sockaddr *from, socklen_t n)
{
        struct http_server *s = cls;
        (void)n;
        if (conn_admit(&s->conns, from))
                return MHD_YES;
        metrics_add(METRIC_HTTP_REJECTED_CONNECTIONS, 1);
        return MHD_NO;
}

static void on_connection(void *cls, struct MHD_Connection *c, void **slot, enum MHD_ConnectionNotificationCode what)
{
        struct http_server *s = cls;
        if (what == MHD_CONNECTION_NOTIFY_STARTED) {
                const struct sockaddr *from =
                        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS)->client_addr;
                int fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
                *slot = http_conn_open(&s->conns, from, fd);
        } else {
                http_conn_close(&s->conns, *slot);
                *slot = NULL;
        }
}

static void on_library_message(void *cls, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

static void on_library_message(void *cls, const char *fmt, va_list ap)
{
        char text[256];
        (void)cls;
        vsnprintf(text, sizeof text, fmt, ap);
        text[strcspn(text, "\r\n")] = '\0';
        log_debug("http", "%s", text);
}

/* ---- listening ---------------------------------------------------------------- */

static int listen_on(const struct addrinfo *a)
{
        int one = 1, zero = 0;
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -1;
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (a->ai_family == AF_INET6) /* "::" means every address, IPv4 too */
                setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero);
        if (bind(fd, a->ai_addr, a->ai_addrlen) || listen(fd, SOMAXCONN))
                fd_close(&fd);
        return fd;
}

static int open_listener(const char *host, uint16_t port, int *out, struct err *e)
{
        struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
        struct addrinfo *list = NULL;
        char service[8];
        snprintf(service, sizeof service, "%u", port);
        int rc = getaddrinfo(host, service, &hints, &list);
        if (rc)
                return err_set(e, ERR_INVALID, "cannot resolve the host \"%s\" to listen on: %s", host,
                               gai_strerror(rc));
        int fd = -1, why = 0;
        for (struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
                fd = listen_on(a);
                if (fd < 0)
                        why = errno;
        }
        freeaddrinfo(list);
        if (fd < 0)
                return err_set(e, ERR_UNAVAILABLE, "cannot listen on %s port %u: %s", host, port, strerror(why));
        *out = fd;
        return 0;
}

static uint16_t port_of(int fd)
{
        struct sockaddr_storage a;
        socklen_t n = sizeof a;
        if (getsockname(fd, (struct sockaddr *)&a, &n))
                return 0;
        if (a.ss_family == AF_INET6)
                return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
        return ntohs(((struct sockaddr_in *)&a)->sin_port);
}

static int start_daemon(struct http_server *s, int *fd, struct err *e)
{
        unsigned flags = MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC |
                         MHD_USE_ERROR_LOG;
        unsigned limit = s->opts.max_connections + LIMIT_SLACK;
        sigset_t all, before;
        sigfillset(&all); /* signals belong to the main thread; the library's threads inherit this */
        pthread_sigmask(SIG_SETMASK, &all, &before);
        s->daemon = MHD_start_daemon(flags, s->port, on_accept, s, on_access, s, MHD_OPTION_EXTERNAL_LOGGER,
                                     on_library_message, NULL, MHD_OPTION_LISTEN_SOCKET, *fd,
                                     MHD_OPTION_CONNECTION_LIMIT, limit, MHD_OPTION_CONNECTION_TIMEOUT,
                                     s->tuning.idle_seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
                                     MHD_OPTION_THREAD_STACK_SIZE, CONNECTION_STACK, MHD_OPTION_STRICT_FOR_CLIENT, 1,
                                     MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_URI_LOG_CALLBACK,
                                     on_uri, s, MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
                                     MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_END);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        if (!s->daemon)
                return err_set(e, ERR_INTERNAL, "libmicrohttpd could not be started");
        *fd = -1; /* the daemon's now */
        return 0;
}

/* ---- life --------------------------------------------------------------------- */

static void declare_series(enum http_method m, const char *path, const char *statuses)
{
        const char *method = http_method_name(m);
        struct span rest = span_of(statuses), item;
        while (span_cut(&rest, ' ', &item)) {
                char status[8];
                if (item.n != 3)
                        continue;
                snprintf(status, sizeof status, "%.3s", item.p);
                metrics_declare(METRIC_HTTP_REQUESTS, (const char *const[]){method, path, status, NULL});
        }
        metrics_declare(METRIC_HTTP_DURATION, (const char *const[]){method, path, NULL});
}

static void declare_metrics(const struct http_opts *o)
{
        for (size_t i = 0; i < o->nroutes; i++) {
                const struct http_route *r = o->routes[i];
                declare_series(r->method, r->path, r->statuses ? r->statuses : "200");
                declare_series(r->method, r->path, r->scope == HTTP_OPEN ? "400 500 503" : "400 401 403 429 500 503");
        }
        for (int m = 0; m < HTTP_METHODS; m++)
                declare_series((enum http_method)m, "unmatched", "404 405");
}

static int prepare_server(struct http_server *s, struct err *e)
{
        s->host = mem_strdup(s->opts.host);
        s->origins = mem_strdup(s->opts.allowed_origins ? s->opts.allowed_origins : "");
        s->hosts = mem_strdup(s->opts.allowed_hosts ? s->opts.allowed_hosts : "");
        s->routes = route_table_new(s->opts.routes, s->opts.nroutes);
        if (!s->host || !s->origins || !s->hosts || !s->routes)
                return err_oom(e);
        if (networks_parse("TRUSTED_PROXIES", s->opts.trusted_proxies, &s->proxies, e))
                return -1;
        return conn_table_init(&s->conns, s->opts.max_connections, s->opts.max_connections_per_ip,
                               s->tuning.head_window, e);
}

int http_server_start_tuned(const struct http_opts *opts, const struct http_tuning *tuning, struct http_server **out,
                            struct err *e)
{
        int fd = -1;
        struct http_server *s = mem_calloc(1, sizeof *s);
        if (!s)
                return err_oom(e);
        s->opts = *opts;
        s->tuning = *tuning;
        if (!s->opts.max_connections)
                s->opts.max_connections = 512;
        lock_init(&s->lock, "http.requests", RANK_HTTP);
        cond_init(&s->idle);
        int rc = prepare_server(s, e);
        if (!rc)
                rc = open_listener(s->host, opts->port, &fd, e);
        if (!rc) {
                s->port = port_of(fd);
                declare_metrics(opts);
                rc = start_daemon(s, &fd, e);
        }
        fd_close(&fd);
        if (rc) {
                http_server_stop(s);
                return -1;
        }
        *out = s;
        return 0;
}

int http_server_start(const struct http_opts *opts, struct http_server **out, struct err *e)
{
        return http_server_start_tuned(opts, &http_tuning_default, out, e);
}

uint16_t http_server_port(const struct http_server *s)
{
        return s->port;
}

void http_server_drain(struct http_server *s)
{
        atomic_store(&s->draining, true);
}

unsigned http_server_wait_idle(struct http_server *s, struct mono deadline)
{
        lock_take(&s->lock);
        while (s->running > 0 && cond_wait_until(&s->idle, &s->lock, deadline))
                continue;
        unsigned left = s->running;
        lock_drop(&s->lock);
        return left;
}

void http_server_stop(struct http_server *s)
{
        if (!s)
                return;
        atomic_store(&s->stopping, true);
        if (s->daemon)
                MHD_stop_daemon(s->daemon);
        conn_table_done(&s->conns);
        route_table_free(s->routes);
        networks_free(s->proxies);
        cond_done(&s->idle);
        lock_done(&s->lock);
        mem_free(s->host);
        mem_free(s->origins);
        mem_free(s->hosts);
        mem_free(s);
}
