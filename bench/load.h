/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the benchmark's clients share: a keep-alive connection over plain
 * sockets, loopback only, and a list of durations with percentiles. Cheap on
 * purpose: the clients run on the same cores as the server they measure.
 */
#ifndef FA_BENCH_LOAD_H
#define FA_BENCH_LOAD_H

#include "base/base.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static inline void die(const char *what)
{
        fprintf(stderr, "bench: %s: %s\n", what, errno ? strerror(errno) : "failed");
        exit(1);
}

/* A number of the command line between least and greatest. */
static inline unsigned number(const char *s, unsigned least, unsigned greatest)
{
        uint64_t v;
        if (!span_u64(span_of(s), &v) || v < least || v > greatest) {
                fprintf(stderr, "bench: '%s' is not a number from %u to %u\n", s, least, greatest);
                exit(2);
        }
        return (unsigned)v;
}

/* ---- durations ------------------------------------------------------------------ */

struct times {
        double *ms;
        size_t n, cap;
};

static inline void times_add(struct times *t, double ms)
{
        if (mem_grow((void **)&t->ms, &t->cap, t->n + 1, sizeof *t->ms))
                die("memory");
        t->ms[t->n++] = ms;
}

static inline void times_join(struct times *to, struct times *from)
{
        for (size_t i = 0; i < from->n; i++)
                times_add(to, from->ms[i]);
        mem_free(from->ms);
        *from = (struct times){0};
}

static inline int times_compare(const void *a, const void *b)
{
        double x = *(const double *)a, y = *(const double *)b;
        return (x > y) - (x < y);
}

static inline void times_sort(struct times *t)
{
        if (t->n)
                qsort(t->ms, t->n, sizeof *t->ms, times_compare);
}

/* Of a sorted list; the smallest duration that p of all do not pass. */
static inline double times_at(const struct times *t, double p)
{
        if (!t->n)
                return 0;
        size_t i = (size_t)(p * (double)t->n);
        return t->ms[i < t->n ? i : t->n - 1];
}

/* ---- a connection ------------------------------------------------------------------ */

struct conn {
        int fd;
        uint16_t port;
        char in[65536]; /* the last answer, NUL-terminated; longer ones are cut */
        const char *body;
        size_t nbody;
};

static inline int conn_open(struct conn *c, uint16_t port)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
        struct timeval limit = {.tv_sec = 60};
        int one = 1;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        c->port = port;
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0)
                return -1;
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        if (connect(c->fd, (struct sockaddr *)&to, sizeof to)) {
                fd_close(&c->fd);
                return -1;
        }
        return 0;
}

static inline int conn_send(struct conn *c, struct iovec *v, int n)
{
        while (n > 0) {
                struct msghdr m = {.msg_iov = v, .msg_iovlen = (size_t)n};
                ssize_t sent = sendmsg(c->fd, &m, MSG_NOSIGNAL);
                if (sent < 0 && errno == EINTR)
                        continue;
                if (sent <= 0)
                        return -1;
                while (n > 0 && (size_t)sent >= v->iov_len) {
                        sent -= (ssize_t)v->iov_len;
                        v++;
                        n--;
                }
                if (n > 0) {
                        v->iov_base = (char *)v->iov_base + sent;
                        v->iov_len -= (size_t)sent;
                }
        }
        return 0;
}

/* More of the answer into c->in; past its end the bytes are dropped. -1 at the end of the stream. */
static inline int conn_more(struct conn *c, size_t *have, size_t *total)
{
        char drop[4096];
        size_t room = sizeof c->in - 1 - *have;
        ssize_t got;
        do
                got = recv(c->fd, room ? c->in + *have : drop, room ? room : sizeof drop, 0);
        while (got < 0 && errno == EINTR);
        if (got <= 0)
                return -1;
        *total += (size_t)got;
        if (room)
                *have += (size_t)got;
        c->in[*have] = '\0';
        return 0;
}

/* Reads one answer with a Content-Length. Its status, or -1. */
static inline int conn_reply(struct conn *c)
{
        size_t have = 0, total = 0;
        char *end, *length;
        unsigned long long n = 0;
        c->in[0] = '\0';
        while (!(end = strstr(c->in, "\r\n\r\n")))
                if (conn_more(c, &have, &total))
                        return -1;
        length = strcasestr(c->in, "\r\nContent-Length:");
        if (length && length < end)
                n = strtoull(length + 17, NULL, 10);
        c->body = end + 4;
        size_t head = (size_t)(c->body - c->in);
        while (total < head + n)
                if (conn_more(c, &have, &total))
                        return -1;
        c->nbody = have - head;
        return strncmp(c->in, "HTTP/1.1 ", 9) ? -1 : (int)strtol(c->in + 9, NULL, 10);
}

static inline int conn_get(struct conn *c, const char *target)
{
        char head[1024];
        int n = snprintf(head, sizeof head, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", target, c->port);
        struct iovec v = {head, (size_t)n};
        if (n < 0 || (size_t)n >= sizeof head || conn_send(c, &v, 1))
                return -1;
        return conn_reply(c);
}

#endif
