/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the S3 backend share: the peers of s3_peers.h, a spool for
 * each test, and objects that are all different.
 */
#ifndef FA_TEST_S3_WORLD_H
#define FA_TEST_S3_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "contract/s3_peers.h"
#include "contract/storage_put.h"

#define MIB ((uint64_t)1 << 20)

static char spool[64], told[1 << 16];
static struct httpc *client;

/* Rules of the proxies, see s3_peers.mjs; NULL: only ask. What is known goes to told. */
static void control(const char *path, const char *rules)
{
        struct httpc_response r;
        struct err e = {0};
        char url[128];

        snprintf(url, sizeof url, "http://127.0.0.1:%u%s", s3_peers.control, path);
        if (httpc_do(client, &(struct httpc_request){.method = "POST", .url = url, .body = span_of(rules)}, &r, &e) < 0)
                fail_msg("%s", e.msg);
        snprintf(told, sizeof told, "%s", buf_str(&r.body));
        httpc_response_done(&r);
}

static inline unsigned long count_of(const char *name)
{
        const char *at = strstr(told, name);

        return at ? strtoul(at + strlen(name), NULL, 10) : 999;
}

/* Requests seen, of the answer to control(), that begin so and hold that. */
static inline unsigned seen(const char *method, const char *part)
{
        unsigned n = 0;
        char begins[32];

        control("/", NULL);
        snprintf(begins, sizeof begins, "seen %s ", method);
        for (const char *line = told; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
                char one[1024];
                snprintf(one, sizeof one, "%.*s", (int)strcspn(line, "\n"), line);
                n += strncmp(one, begins, strlen(begins)) == 0 && strstr(one, part) != NULL;
        }
        return n;
}

static int group_up(void **state)
{
        struct err e;

        (void)state;
        return s3_peers_start() < 0 || httpc_new(&client, &e) < 0 ? -1 : 0;
}

static int group_down(void **state)
{
        (void)state;
        httpc_free(client);
        s3_peers_stop();
        return 0;
}

static int set_up(void **state)
{
        (void)state;
        snprintf(spool, sizeof spool, "s3-spool-XXXXXX");
        assert_non_null(mkdtemp(spool));
        control("/rules", "[]");
        return 0;
}

/* The end of a test that leaves nothing behind. */
static inline int spool_is_empty(void **state)
{
        (void)state;
        assert_int_equal(rmdir(spool), 0); /* nothing in it has a name */
        return 0;
}

static char endpoint[64];

static struct storage_opts opts_at(unsigned port)
{
        return (struct storage_opts){.url = "s3://" S3_BUCKET "/own", .s3 = s3_strict_opts(endpoint, port, spool)};
}

static struct storage *must_open(struct storage_opts o)
{
        struct storage *s = NULL;
        struct err e = {0};

        if (storage_open(&o, &s, &e) < 0)
                fail_msg("%s", e.msg);
        return s;
}

static char *pattern(size_t n, unsigned seed)
{
        char *p = malloc(n + 1);
        uint64_t x = seed * 2654435761u + 1;

        for (size_t i = 0; i < n; i++) {
                x = x * 6364136223846793005u + 1442695040888963407u;
                p[i] = (char)(x >> 56);
        }
        return p;
}

/* A different object at each call. */
static struct stored must_put(struct storage *s, size_t n)
{
        static unsigned seed;
        char *bytes = pattern(n, ++seed);
        struct stored was;
        struct err e = {0};

        if (put(s, bytes, n, &was, &e) < 0)
                fail_msg("%s", e.msg);
        free(bytes);
        return was;
}

static void must_hold(struct storage *s, struct stored was)
{
        struct err e = {0};
        int fd = -1;
        char *got = malloc(was.size + 1);

        if (storage_open_object(s, was.sha256, was.size, &fd, &e) < 0)
                fail_msg("%s", e.msg);
        assert_int_equal(read(fd, got, was.size + 1), was.size);
        assert_true(sha256_eq(sha256_of(got, was.size), was.sha256));
        free(got);
        close(fd);
}

#endif
