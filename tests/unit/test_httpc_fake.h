/* SPDX-License-Identifier: Apache-2.0 */
/* A server that says exactly what a test wants, one answer a connection, and keeps what it was asked. */
#ifndef FA_TEST_HTTPC_FAKE_H
#define FA_TEST_HTTPC_FAKE_H

#include "base/base.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_ANSWERS 8

/* Answers the n-th connection with the n-th text; "" keeps silent until the test is over, HANG_UP answers nothing. */
#define HANG_UP "-"

struct fake {
        int fd, over[2];
        uint16_t port;
        pthread_t thread;
        const char *answers[MAX_ANSWERS];
        size_t nanswers, served;
        struct buf seen[MAX_ANSWERS];
};

static size_t body_length(const char *head)
{
        const char *at = strcasestr(head, "\r\nContent-Length:");

        return at ? strtoul(at + 17, NULL, 10) : 0;
}

static bool complete(const struct buf *b)
{
        const char *end = b->n ? strstr(buf_str(b), "\r\n\r\n") : NULL;

        return end && b->n >= (size_t)(end + 4 - b->p) + body_length(b->p);
}

static void read_request(int fd, struct buf *seen)
{
        char chunk[4096];
        bool continued = false;

        while (!complete(seen)) {
                ssize_t got = read(fd, chunk, sizeof chunk);
                if (got <= 0)
                        return;
                buf_put(seen, chunk, (size_t)got);
                if (!continued && strcasestr(buf_str(seen), "Expect: 100-continue")) {
                        static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
                        continued = write(fd, go_on, sizeof go_on - 1) > 0;
                }
        }
}

static void *serve(void *arg)
{
        struct fake *f = arg;

        for (; f->served < f->nanswers; f->served++) {
                struct pollfd ready[2] = {{.fd = f->fd, .events = POLLIN}, {.fd = f->over[0], .events = POLLIN}};
                const char *answer = f->answers[f->served];
                int fd;

                if (poll(ready, 2, 20000) <= 0 || ready[1].revents)
                        return NULL;
                fd = accept4(f->fd, NULL, NULL, SOCK_CLOEXEC);
                if (fd < 0)
                        return NULL;
                read_request(fd, &f->seen[f->served]);
                if (!answer[0]) {
                        poll(&ready[1], 1, 20000);
                } else if (strcmp(answer, HANG_UP) != 0) {
                        struct err e;
                        int rc = fd_write_all(fd, answer, strlen(answer), &e);
                        (void)rc; /* the client may have gone, which is its right */
                }
                shutdown(fd, SHUT_WR);
                close(fd);
        }
        return NULL;
}

static void fake_start(struct fake *f, const char *const *answers, size_t n)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof a;

        *f = (struct fake){.nanswers = n};
        for (size_t i = 0; i < n; i++) {
                f->answers[i] = answers[i];
                buf_init(&f->seen[i], 8 << 20);
        }
        assert_int_equal(pipe2(f->over, O_CLOEXEC), 0);
        f->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(f->fd, (struct sockaddr *)&a, sizeof a), 0);
        assert_int_equal(listen(f->fd, 8), 0);
        assert_int_equal(getsockname(f->fd, (struct sockaddr *)&a, &len), 0);
        f->port = ntohs(a.sin_port);
        assert_int_equal(thread_start(&f->thread, "fake", serve, f), 0);
}

static void fake_stop(struct fake *f)
{
        fd_close(&f->over[1]);
        pthread_join(f->thread, NULL);
        fd_close(&f->over[0]);
        fd_close(&f->fd);
        for (size_t i = 0; i < f->nanswers; i++)
                buf_done(&f->seen[i]);
}

static const char *url_of(const struct fake *f, const char *path, char out[128])
{
        snprintf(out, 128, "http://127.0.0.1:%u%s", f->port, path);
        return out;
}

#endif
