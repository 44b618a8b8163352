/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the suites of all storage backends share: the table of backends, a
 * storage of its own for each test, and how a suite is run on each.
 */
#ifndef FA_TEST_STORAGE_SUITE_H
#define FA_TEST_STORAGE_SUITE_H

#include "contract/s3_peers.h"
#include "storage/storage.h"
#include "remove_tree.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define MIB ((size_t)1 << 20)

struct backend {
        const char *label;
        const char *name;
        const char *place; /* in an address, before the object's own path */
        const char *url;
        enum peer { NONE, S3RVER, STRICT, SWIFT } peer;
        bool parts; /* objects from 100,000 bytes on go in parts */
        bool later; /* with write-back */
};

static const struct backend backends[] = {
        {"fs", "fs", "", "fs://", NONE, false},
        {"s3 on s3rver", "s3", S3_BUCKET "/some/prefix/", "s3://" S3_BUCKET "/some/prefix", S3RVER, false},
        {"s3 in parts on s3rver", "s3", S3_BUCKET "/parts/", "s3://" S3_BUCKET "/parts/", S3RVER, true},
        {"s3 on a strict store", "s3", S3_BUCKET "/", "s3://" S3_BUCKET, STRICT, false},
        {"s3 in parts on a strict store", "s3", S3_BUCKET "/a b/\xc3\xa9+&=/",
         "s3://" S3_BUCKET "/a b/\xc3\xa9+&=", STRICT, true},
        {"s3 with write-back on s3rver", "s3", S3_BUCKET "/later/", "s3://" S3_BUCKET "/later", S3RVER, false, true},
        {"s3 with write-back in parts on a strict store", "s3", S3_BUCKET "/later/", "s3://" S3_BUCKET "/later", STRICT,
         true, true},
        {"s3 on Swift", "s3", S3_BUCKET "/", "s3://" S3_BUCKET, SWIFT, false},
        {"s3 in parts on Swift", "s3", S3_BUCKET "/a b/\xc3\xa9+&=/", "s3://" S3_BUCKET "/a b/\xc3\xa9+&=", SWIFT,
         true},
};

struct fixture {
        const struct backend *backend;
        char path[64], endpoint[64];
        struct storage *s;
};

static struct storage_opts opts_of(struct fixture *f)
{
        struct storage_opts o = {.url = f->backend->url, .path = f->path};

        switch (f->backend->peer) {
        case NONE:
                return o;
        case S3RVER:
                o.s3 = s3_s3rver_opts(f->endpoint, s3_peers.s3rver, f->path);
                break;
        case STRICT:
                o.s3 = s3_strict_opts(f->endpoint, s3_peers.strict, f->path);
                break;
        case SWIFT:
                o.s3 = s3_swift_opts(f->endpoint, s3_peers.swift, f->path);
                break;
        }
        o.s3.write_back = f->backend->later;
        if (f->backend->parts) {
                o.s3.multipart_from = 100000;
                o.s3.part_size = f->backend->peer == SWIFT ? 5 << 20 : 1 << 20; /* Swift takes no less, as Amazon */
        }
        return o;
}

/* Who has its name from the catalog may have to wait for another instance to send it. */
static inline enum err_code absent(const struct fixture *f)
{
        return f->backend->later ? ERR_UNAVAILABLE : ERR_NOT_FOUND;
}

static int set_up(void **state)
{
        struct fixture *f = test_calloc(1, sizeof *f);
        struct err e = {0};

        f->backend = *state;
        snprintf(f->path, sizeof f->path, "storage-suite-XXXXXX");
        assert_non_null(mkdtemp(f->path));
        struct storage_opts o = opts_of(f);
        if (storage_open(&o, &f->s, &e) < 0)
                fail_msg("%s", e.msg);
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        mem_fail_after(-1);
        storage_close(f->s);
        remove_tree(f->path);
        test_free(f);
        return 0;
}

static inline char *pattern(size_t n, unsigned seed)
{
        char *p = malloc(n ? n : 1);
        uint64_t x = seed * 2654435761u + 1;

        for (size_t i = 0; i < n; i++) {
                x = x * 6364136223846793005u + 1442695040888963407u;
                p[i] = (char)(x >> 56);
        }
        return p;
}

/* In pieces of step bytes; 0: all at once. */
static inline int put(struct storage *s, const char *bytes, size_t n, size_t step, struct stored *out, struct err *e)
{
        struct storage_put *p;
        int rc = storage_put_begin(s, &p, e);

        for (size_t at = 0; rc == 0 && at < n;) {
                size_t part = step && step < n - at ? step : n - at;
                rc = storage_put_write(p, bytes + at, part, e);
                at += part;
        }
        if (rc == 0)
                rc = storage_put_seal(p, out, e);
        if (rc == 0)
                rc = storage_put_commit(p, out, e);
        storage_put_end(p);
        return rc;
}

static inline void assert_holds(struct storage *s, struct sha256 key, const char *bytes, size_t n)
{
        struct err e = {0};
        int fd = -1;
        char *got = malloc(n + 1);

        if (storage_open_object(s, key, n, &fd, &e) < 0)
                fail_msg("%s", e.msg);
        size_t have = 0;
        for (ssize_t k; have <= n && (k = read(fd, got + have, n + 1 - have)) > 0;)
                have += (size_t)k;
        assert_int_equal(have, n);
        assert_memory_equal(got, bytes, n);
        free(got);
        close(fd);
}

#define EACH(test)                                                                                                     \
        {                                                                                                              \
#test, test, set_up, tear_down, NULL                                                                   \
        }
#define EACH_MAX 32

static int run_on_each_backend(const struct CMUnitTest *suite, size_t n)
{
        struct CMUnitTest tests[EACH_MAX];
        int failed = 0;

        if (s3_peers_start() < 0)
                return 1;
        for (size_t b = 0; b < COUNT_OF(backends); b++) {
                if ((backends[b].peer == SWIFT) != (s3_peers.swift != 0)) /* FA_S3=swift: only that */
                        continue;
                for (size_t i = 0; i < n; i++) {
                        tests[i] = suite[i];
                        tests[i].initial_state = (void *)(uintptr_t)&backends[b];
                }
                failed += _cmocka_run_group_tests(backends[b].label, tests, n, NULL, NULL);
        }
        s3_peers_stop();
        return failed;
}

#endif
