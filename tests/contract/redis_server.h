/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real redis-server on a free port in a temporary folder, which a test may
 * stop, freeze, empty and start again; it leaves a running one behind.
 */
#ifndef FA_REDIS_SERVER_H
#define FA_REDIS_SERVER_H

#include "base/base.h"

#include <arpa/inet.h>
#include <hiredis/hiredis.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/fa-queue-XXXXXX";
static char url[64];
static unsigned port;
static pid_t server;

static inline unsigned free_port(void)
{
        struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t n = sizeof a;
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
        close(fd);
        return ntohs(a.sin_port);
}

/* NULL when nobody answers. */
static inline redisContext *dial(void)
{
        redisContext *c = redisConnectWithTimeout("127.0.0.1", (int)port, (struct timeval){.tv_sec = 2});

        if (!c || c->err || redisSetTimeout(c, (struct timeval){.tv_sec = 10}) != REDIS_OK) {
                if (c)
                        redisFree(c);
                return NULL;
        }
        return c;
}

/* A command on a connection of its own; its reply's number, the count of its elements, or -1 for an error. */
static inline long long command(const char *fmt, ...)
{
        redisContext *c = dial();
        redisReply *r;
        long long n;
        va_list ap;

        if (!c)
                return -1;
        va_start(ap, fmt);
        r = redisvCommand(c, fmt, ap);
        va_end(ap);
        n = !r || r->type == REDIS_REPLY_ERROR ? -1
            : r->type == REDIS_REPLY_INTEGER   ? r->integer
                                               : (long long)r->elements;
        if (r)
                freeReplyObject(r);
        redisFree(c);
        return n;
}

static inline void start_server(const char *more, const char *value)
{
        char number[8];

        snprintf(number, sizeof number, "%u", port);
        server = fork();
        assert_true(server >= 0);
        if (server == 0) {
                prctl(PR_SET_PDEATHSIG, SIGKILL);
                if (!freopen("/dev/null", "w", stdout))
                        _exit(126);
                execlp("redis-server", "redis-server", "--port", number, "--bind", "127.0.0.1", "--save", "",
                       "--appendonly", "no", "--daemonize", "no", "--dir", folder, "--unixsocket", "r.sock", more,
                       value, (char *)NULL);
                _exit(127);
        }
        for (int i = 0; i < 1000; i++) {
                int status;
                if (waitpid(server, &status, WNOHANG) == server)
                        fail_msg("redis-server is missing or does not start");
                if (command("PING") == 0 || more)
                        break;
                sleep_for(dur_ms(10));
        }
}

static inline void kill_server(void)
{
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
}

static inline int set_up_server(void **state)
{
        (void)state;
        assert_non_null(mkdtemp(folder));
        port = free_port();
        snprintf(url, sizeof url, "redis://127.0.0.1:%u", port);
        start_server(NULL, NULL);
        return 0;
}

static inline int tear_down_server(void **state)
{
        char sock[64];

        (void)state;
        kill_server();
        snprintf(sock, sizeof sock, "%s/r.sock", folder);
        unlink(sock);
        rmdir(folder);
        return 0;
}

#endif
