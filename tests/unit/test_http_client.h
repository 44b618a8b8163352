/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client made of raw sockets for the tests of the http room: it says exactly
 * the bytes it is told to, also wrong ones, and never waits longer than 5 s.
 */
#ifndef TEST_HTTP_CLIENT_H
#define TEST_HTTP_CLIENT_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/base.h"

struct answer {
        int status; /* 0: the connection ended without an answer */
        char head[8192];
        char body[65536];
        size_t n; /* body bytes, also those past the array */
};

static inline int client_open(uint16_t port)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
        struct timeval five = {5, 0};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(fd >= 0);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &five, sizeof five);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &five, sizeof five);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
        return fd;
}

/* False when the server has closed. */
static inline bool client_send(int fd, const void *p, size_t n)
{
        for (const char *c = p; n > 0;) {
                ssize_t k = send(fd, c, n, MSG_NOSIGNAL);
                if (k <= 0)
                        return false;
                c += k;
                n -= (size_t)k;
        }
        return true;
}

static inline bool client_say(int fd, const char *s)
{
        return client_send(fd, s, strlen(s));
}

/* Value of a header of the answer in a static buffer; NULL when absent. */
static inline const char *answer_header(const struct answer *a, const char *name)
{
        static char value[4][1024];
        static int turn;
        size_t n = strlen(name);
        for (const char *line = strstr(a->head, "\r\n"); line; line = strstr(line, "\r\n")) {
                line += 2;
                if (strncasecmp(line, name, n) != 0 || line[n] != ':')
                        continue;
                const char *from = line + n + 1 + strspn(line + n + 1, " ");
                char *out = value[turn++ % 4];
                snprintf(out, sizeof value[0], "%.*s", (int)strcspn(from, "\r"), from);
                return out;
        }
        return NULL;
}

static inline void read_head(int fd, struct answer *a)
{
        size_t n = 0;
        while (n + 1 < sizeof a->head && (n < 4 || memcmp(a->head + n - 4, "\r\n\r\n", 4) != 0)) {
                if (recv(fd, a->head + n, 1, 0) != 1)
                        break;
                n++;
        }
        a->head[n] = '\0';
        if (n > 12 && memcmp(a->head, "HTTP/1.1 ", 9) == 0)
                a->status = (int)strtol(a->head + 9, NULL, 10);
}

static inline void read_bytes(int fd, struct answer *a, size_t want)
{
        char scrap[16384];
        while (want > 0) {
                ssize_t k = recv(fd, scrap, want < sizeof scrap ? want : sizeof scrap, 0);
                if (k <= 0)
                        return;
                for (ssize_t i = 0; i < k; i++, a->n++) {
                        if (a->n + 1 < sizeof a->body)
                                a->body[a->n] = scrap[i];
                }
                want -= (size_t)k;
        }
}

/* The next final answer on this connection; head tells that it has no body. */
static inline struct answer *client_read(int fd, bool head)
{
        static struct answer a;
        memset(&a, 0, sizeof a);
        read_head(fd, &a);
        const char *length = answer_header(&a, "Content-Length");
        const char *coding = answer_header(&a, "Transfer-Encoding");
        if (a.status < 200 || a.status == 204 || a.status == 304 || head)
                return &a;
        while (coding) { /* chunked */
                char line[32];
                size_t n = 0;
                while (n < sizeof line - 1 && recv(fd, line + n, 1, 0) == 1 && line[n++] != '\n')
                        continue;
                line[n] = '\0';
                size_t size = strtoul(line, NULL, 16);
                read_bytes(fd, &a, size);
                if (recv(fd, line, 2, MSG_WAITALL) != 2 || size == 0)
                        return &a;
        }
        read_bytes(fd, &a, length ? strtoul(length, NULL, 10) : SIZE_MAX);
        return &a;
}

/* True when nothing more comes and the server has closed. */
static inline bool client_closed(int fd)
{
        char c;
        ssize_t n = recv(fd, &c, 1, 0);
        return n == 0 || (n < 0 && errno != EAGAIN);
}

static inline struct answer *client_ask(uint16_t port, const char *request)
{
        int fd = client_open(port);
        client_say(fd, request);
        struct answer *a = client_read(fd, strncmp(request, "HEAD", 4) == 0);
        close(fd);
        return a;
}

/* Sends head and then n bytes as fast as they go, without ever looking; then reads. */
static inline struct answer *client_push(uint16_t port, const char *head, size_t n, bool chunked)
{
        static char block[65536 + 16];
        int fd = client_open(port);
        client_say(fd, head);
        memset(block, 'x', sizeof block);
        if (chunked) {
                memcpy(block, "10000\r\n", 7);
                memcpy(block + 7 + 65536, "\r\n", 2);
        }
        size_t size = chunked ? 65536 + 9 : 65536;
        for (size_t sent = 0; sent < n; sent += 65536) {
                if (!client_send(fd, block, size))
                        break;
        }
        struct answer *a = client_read(fd, false);
        close(fd);
        return a;
}

#endif
