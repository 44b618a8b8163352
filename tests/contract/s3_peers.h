/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The S3 tests' other side, s3_peers.mjs: s3rver, a strict store, with
 * FA_S3=swift OpenStack Swift, a failing proxy before each, and a control port to tell what fails and ask what came.
 */
#ifndef FA_TEST_S3_PEERS_H
#define FA_TEST_S3_PEERS_H

#include "httpc/httpc.h"
#include "storage/storage.h"
#include "remove_tree.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define S3_BUCKET "test-bucket"

struct s3_peers {
        pid_t pid;
        int in; /* closing it ends them, also when the test dies */
        unsigned s3rver, strict, flaky_s3rver, flaky_strict, control;
        unsigned swift; /* 0 without FA_S3=swift */
};

static struct s3_peers s3_peers;

static unsigned s3_port_in(const char *line, const char *name)
{
        const char *at = strstr(line, name);

        return at ? (unsigned)strtoul(at + strlen(name), NULL, 10) : 0;
}

/* -1 when they do not start, which is a failure of the test: they are part of it. */
static int s3_peers_start(void)
{
        int in[2], out[2];
        char line[256] = "";
        size_t n = 0;

        if (pipe2(in, O_CLOEXEC) < 0 || pipe2(out, O_CLOEXEC) < 0)
                return -1;
        s3_peers.pid = fork();
        if (s3_peers.pid == 0) {
                dup2(in[0], STDIN_FILENO);
                dup2(out[1], STDOUT_FILENO);
                execlp("node", "node", PROJECT_DIR "/tests/contract/s3_peers.mjs", (char *)NULL);
                _exit(127);
        }
        close(in[0]);
        close(out[1]);
        s3_peers.in = in[1];
        while (n + 1 < sizeof line && !strchr(line, '\n')) {
                struct pollfd p = {.fd = out[0], .events = POLLIN};
                ssize_t got = poll(&p, 1, 60000) > 0 ? read(out[0], line + n, sizeof line - 1 - n) : 0;
                if (got <= 0)
                        break;
                n += (size_t)got;
                line[n] = '\0';
        }
        close(out[0]);
        s3_peers.s3rver = s3_port_in(line, "s3rver=");
        s3_peers.strict = s3_port_in(line, " strict=");
        s3_peers.flaky_s3rver = s3_port_in(line, "flaky_s3rver=");
        s3_peers.flaky_strict = s3_port_in(line, "flaky_strict=");
        s3_peers.swift = s3_port_in(line, " swift=");
        s3_peers.control = s3_port_in(line, "control=");
        if (s3_peers.s3rver && s3_peers.control)
                return 0;
        fprintf(stderr, "s3_peers.mjs does not start; is s3rver installed (npm ci)?\n");
        return -1;
}

static void s3_peers_stop(void)
{
        if (s3_peers.pid <= 0)
                return;
        close(s3_peers.in);
        kill(s3_peers.pid, SIGTERM);
        waitpid(s3_peers.pid, NULL, 0);
        s3_peers.pid = 0;
}

/* The strict store's account; s3rver takes any secret of the key S3RVER. */
static inline struct storage_s3_opts s3_strict_opts(char endpoint[64], unsigned port, const char *spool)
{
        snprintf(endpoint, 64, "http://127.0.0.1:%u", port);
        return (struct storage_s3_opts){.endpoint = endpoint,
                                        .region = "eu-test-1",
                                        .key = "KEYID",
                                        .secret = "se/cr+et=",
                                        .spool_path = spool};
}

static inline struct storage_s3_opts s3_s3rver_opts(char endpoint[64], unsigned port, const char *spool)
{
        struct storage_s3_opts o = s3_strict_opts(endpoint, port, spool);

        o.key = o.secret = "S3RVER";
        return o;
}

static inline struct storage_s3_opts s3_swift_opts(char endpoint[64], unsigned port, const char *spool)
{
        struct storage_s3_opts o = s3_strict_opts(endpoint, port, spool);

        o.key = "test:tester";
        return o;
}

#endif
