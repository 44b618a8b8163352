/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every storage backend promises, run once per row of the table of
 * backends. The hard thing is to ask only what the header promises: nothing
 * here looks behind it.
 */
#include "contract/s3_peers.h"
#include "storage/storage.h"

#include <fcntl.h>
#include <ftw.h>
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
static enum err_code absent(const struct fixture *f)
{
        return f->backend->later ? ERR_UNAVAILABLE : ERR_NOT_FOUND;
}

static int unlink_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
        (void)st, (void)kind, (void)at;
        return remove(path);
}

static int set_up(void **state)
{
        struct fixture *f = test_calloc(1, sizeof(*f));
        struct err e = {0};

        f->backend = *state;
        snprintf(f->path, sizeof(f->path), "storage-suite-XXXXXX");
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
        nftw(f->path, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
        test_free(f);
        return 0;
}

static char *pattern(size_t n, unsigned seed)
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
static int put(struct storage *s, const char *bytes, size_t n, size_t step, struct stored *out, struct err *e)
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

static void assert_holds(struct storage *s, struct sha256 key, const char *bytes, size_t n)
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

static void round_trip_of_every_size(void **state)
{
        struct fixture *f = *state;
        static const size_t sizes[] = {0,     1,          4095,       65535,       65536,
                                       65537, 128 * 1024, 200 * 1000, 5 * 1 << 20, (5 * 1 << 20) + 3};
        static const size_t steps[] = {0, 1000, 65536, 65537};

        for (size_t i = 0; i < COUNT_OF(sizes); i++) {
                char *bytes = pattern(sizes[i], (unsigned)i);
                for (size_t k = 0; k < COUNT_OF(steps); k++) {
                        struct stored was;
                        struct err e = {0};
                        if (put(f->s, bytes, sizes[i], steps[k], &was, &e) < 0)
                                fail_msg("%s", e.msg);
                        assert_int_equal(was.size, sizes[i]);
                        assert_int_equal(was.existed, k > 0);
                        assert_true(sha256_eq(was.sha256, sha256_of(bytes, sizes[i])));
                        assert_holds(f->s, was.sha256, bytes, sizes[i]);
                }
                free(bytes);
        }
}

static void peek_sees_what_was_written_so_far(void **state)
{
        struct fixture *f = *state;
        char *bytes = pattern(200001, 7), *got = malloc(200001);
        struct storage_put *p;
        struct err e;
        struct stored was;

        assert_int_equal(storage_put_begin(f->s, &p, &e), 0);
        assert_int_equal(storage_put_peek(p, 0, got, 10, &e), 0);
        for (size_t at = 0; at < 200001; at += 33333) {
                size_t n = 200001 - at < 33333 ? 200001 - at : 33333;
                assert_int_equal(storage_put_write(p, bytes + at, n, &e), 0);
                assert_int_equal(storage_put_size(p), at + n);
                size_t from = at > 40000 ? at - 40000 : 0;
                assert_int_equal(storage_put_peek(p, from, got, 200001, &e), at + n - from);
                assert_memory_equal(got, bytes + from, at + n - from);
        }
        assert_int_equal(storage_put_seal(p, &was, &e), 0);
        assert_int_equal(storage_put_peek(p, 200000, got, 10, &e), 1);
        assert_int_equal(got[0], bytes[200000]);
        storage_put_end(p);
        free(got);
        free(bytes);
}

static void an_abandoned_upload_leaves_nothing(void **state)
{
        struct fixture *f = *state;
        char *bytes = pattern(300000, 3);
        struct storage_put *p;
        struct stored was;
        struct err e;
        int fd;

        assert_int_equal(storage_put_begin(f->s, &p, &e), 0);
        assert_int_equal(storage_put_write(p, bytes, 300000, &e), 0);
        storage_put_end(p);
        assert_int_equal(storage_put_begin(f->s, &p, &e), 0);
        assert_int_equal(storage_put_write(p, bytes, 300000, &e), 0);
        assert_int_equal(storage_put_seal(p, &was, &e), 0);
        storage_put_end(p);
        storage_put_end(NULL);
        assert_false(storage_has_object(f->s, was.sha256));
        assert_int_equal(storage_open_object(f->s, was.sha256, UINT64_MAX, &fd, &e), -1);
        assert_int_equal(e.code, absent(f));
        free(bytes);
}

struct racer {
        struct storage *s;
        const char *bytes;
        size_t n;
        pthread_barrier_t *start;
        atomic_int *created;
        int failures;
};

static void *race(void *arg)
{
        struct racer *r = arg;

        for (unsigned i = 0; i < 8; i++) {
                struct stored was;
                struct err e;
                pthread_barrier_wait(r->start);
                if (put(r->s, r->bytes + i, r->n, 7000, &was, &e) < 0)
                        r->failures++;
                else if (!was.existed)
                        atomic_fetch_add(r->created, 1);
        }
        return NULL;
}

static void equal_uploads_at_once_share_one_object(void **state)
{
        struct fixture *f = *state;
        char *bytes = pattern(100100, 11);
        atomic_int created = 0;
        pthread_barrier_t start;
        struct racer racers[16];
        pthread_t threads[16];

        pthread_barrier_init(&start, NULL, 16);
        for (unsigned i = 0; i < 16; i++) {
                racers[i] = (struct racer){f->s, bytes, 100000, &start, &created, 0};
                assert_int_equal(thread_start(&threads[i], "race", race, &racers[i]), 0);
        }
        for (unsigned i = 0; i < 16; i++) {
                pthread_join(threads[i], NULL);
                assert_int_equal(racers[i].failures, 0);
        }
        pthread_barrier_destroy(&start);
        assert_int_equal(created, 8); /* 8 contents, each made by one of the 16 */
        for (unsigned i = 0; i < 8; i++)
                assert_holds(f->s, sha256_of(bytes + i, 100000), bytes + i, 100000);
        free(bytes);
}

static int64_t read_some(int fd, struct storage_read *r, uint64_t at, char *out, size_t n, struct err *e)
{
        return fd >= 0 ? pread(fd, out, n, (off_t)at) : storage_read_at(r, at, out, n, e);
}

static void a_part_can_be_read_without_the_rest(void **state)
{
        struct fixture *f = *state;
        static const uint64_t starts[] = {0, 1, 70000, 2999990, 1000000, 262143, 3000000, 5000000};
        char *bytes = pattern(3000000, 21), *got = malloc(70000);
        struct storage_opts o = opts_of(f);
        struct storage_read *r;
        struct stored was;
        struct err e = {0};
        int fd;

        assert_int_equal(put(f->s, bytes, 3000000, 0, &was, &e), 0);
        storage_close(f->s); /* with what it may have kept */
        assert_int_equal(storage_open(&o, &f->s, &e), 0);
        if (storage_read_begin(f->s, was.sha256, 3000000, &fd, &r, &e) < 0)
                fail_msg("%s", e.msg);
        assert_true((fd >= 0) != (r != NULL));
        for (size_t i = 0; i < COUNT_OF(starts); i++) {
                uint64_t at = starts[i];
                for (size_t k = 0; k < 20 && at < 3000000; k++) {
                        int64_t n = read_some(fd, r, at, got, 70000, &e);
                        assert_true(n > 0);
                        assert_memory_equal(got, bytes + at, (size_t)n);
                        at += (uint64_t)n;
                }
                if (at >= 3000000)
                        assert_int_equal(read_some(fd, r, at, got, 10, &e), 0);
        }
        fd_close(&fd);
        storage_read_end(r);
        assert_int_equal(storage_read_begin(f->s, was.sha256, 2999999, &fd, &r, &e), -1);
        assert_int_equal(e.code, ERR_CORRUPT);
        assert_int_equal(storage_read_begin(f->s, sha256_of("none", 4), 4, &fd, &r, &e), -1);
        assert_int_equal(e.code, absent(f));
        storage_read_end(NULL);
        free(got);
        free(bytes);
}

static void a_wrong_size_is_corruption(void **state)
{
        struct fixture *f = *state;
        struct stored was;
        struct err e;
        int fd;

        assert_int_equal(put(f->s, "abc", 3, 0, &was, &e), 0);
        assert_int_equal(storage_open_object(f->s, was.sha256, 4, &fd, &e), -1);
        assert_int_equal(e.code, ERR_CORRUPT);
        assert_int_equal(storage_open_object(f->s, was.sha256, UINT64_MAX, &fd, &e), 0);
        close(fd);
}

static struct storage_put *sealed(struct storage *s, const char *bytes, size_t n, struct stored *out)
{
        struct storage_put *p;
        struct err e;

        if (storage_put_begin(s, &p, &e) < 0 || storage_put_write(p, bytes, n, &e) < 0 ||
            storage_put_seal(p, out, &e) < 0)
                fail_msg("%s", e.msg);
        return p;
}

static void ensured_bytes_are_there_whatever_happened_since_the_commit(void **state)
{
        struct fixture *f = *state;
        char *bytes = pattern(150000, 15);
        struct stored was;
        struct storage_put *p = sealed(f->s, bytes, 150000, &was), *q;
        struct err e;

        assert_int_equal(storage_put_ensure(p, false, &e), 0); /* without a commit */
        assert_holds(f->s, was.sha256, bytes, was.size);
        assert_int_equal(storage_put_ensure(p, false, &e), 0);
        q = sealed(f->s, bytes, 150000, &was);
        assert_int_equal(storage_put_commit(q, &was, &e), 0);
        assert_true(was.existed);
        for (int i = 0; i < 4; i++) {
                assert_int_equal(storage_remove_object(f->s, was.sha256, &e), 0);
                assert_false(storage_has_object(f->s, was.sha256));
                assert_int_equal(storage_put_ensure(i % 2 ? p : q, i == 2, &e), 0);
                assert_holds(f->s, was.sha256, bytes, was.size);
        }
        storage_put_end(p);
        storage_put_end(q);
        assert_holds(f->s, was.sha256, bytes, was.size);
        free(bytes);
}

static void removing_takes_the_derived_files_too(void **state)
{
        struct fixture *f = *state;
        static const char *const more[] = {"a.webp", "b.webp", "c.webp", "d.webp", "z.webp"};
        struct stored was;
        uint64_t size;
        struct err e;
        int fd;

        assert_int_equal(put(f->s, "abc", 3, 0, &was, &e), 0);
        assert_int_equal(storage_put_derived(f->s, was.sha256, "thumb.webp", SPAN("small"), &e), 0);
        assert_int_equal(storage_put_derived(f->s, was.sha256, "thumb.webp", SPAN("better"), &e), 0);
        assert_int_equal(storage_open_derived(f->s, was.sha256, "thumb.webp", &fd, &size, &e), 0);
        assert_int_equal(size, 6);
        close(fd);
        for (size_t i = 0; i < COUNT_OF(more); i++) /* more than a page of a listing of the S3 peers */
                assert_int_equal(storage_put_derived(f->s, was.sha256, more[i], SPAN("x"), &e), 0);
        assert_int_equal(storage_remove_object(f->s, was.sha256, &e), 0);
        assert_false(storage_has_object(f->s, was.sha256));
        assert_int_equal(storage_open_derived(f->s, was.sha256, "thumb.webp", &fd, &size, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        for (size_t i = 0; i < COUNT_OF(more); i++)
                assert_int_equal(storage_open_derived(f->s, was.sha256, more[i], &fd, &size, &e), -1);
        assert_int_equal(storage_remove_object(f->s, was.sha256, &e), 0);
}

static void derived_names_cannot_leave_their_object(void **state)
{
        struct fixture *f = *state;
        static const char *const bad[] = {"",
                                          ".",
                                          "..",
                                          "../x",
                                          "a/b",
                                          "/etc/passwd",
                                          ".hidden",
                                          "a b",
                                          "THUMB",
                                          "a\nb.webp",
                                          "%2e",
                                          "x\\y",
                                          "0123456789012345678901234567890123456789012345678901234567890123.webp"};
        struct sha256 key = sha256_of("x", 1);
        uint64_t size;
        struct err e;
        int fd;

        for (size_t i = 0; i < COUNT_OF(bad); i++) {
                assert_int_equal(storage_put_derived(f->s, key, bad[i], SPAN("x"), &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
                assert_int_equal(storage_open_derived(f->s, key, bad[i], &fd, &size, &e), -1);
                assert_int_equal(e.code, ERR_INVALID);
        }
}

static void the_address_names_the_backend(void **state)
{
        struct fixture *f = *state;
        char uri[128], hex[SHA256_TEXT_LEN], want[128];
        struct sha256 key = sha256_of("abc", 3);

        assert_string_equal(storage_backend_name(f->s), f->backend->name);
        sha256_format(key, hex);
        snprintf(want, sizeof(want), "%s://%sobjects/ba/%s", f->backend->name, f->backend->place, hex);
        storage_uri(f->s, key, uri, sizeof(uri));
        assert_string_equal(uri, want);
}

static void health_is_told(void **state)
{
        struct fixture *f = *state;
        struct storage_state st;

        storage_state(f->s, &st);
        assert_true(st.writable);
        assert_string_equal(st.note, "");
        assert_true(st.total_bytes > 0 && st.free_bytes <= st.total_bytes);
}

static void any_allocation_may_fail(void **state)
{
        struct fixture *f = *state;
        char *bytes = pattern(70000, 5);
        bool worked = false;

        storage_close(f->s); /* a spool may be one process's alone */
        f->s = NULL;
        for (long n = 0; n < 256 && !worked; n++) {
                struct storage_opts o = opts_of(f);
                struct storage *other = NULL;
                struct stored was;
                struct err e = {0};
                int rc;
                mem_fail_after(n);
                rc = storage_open(&o, &other, &e);
                if (rc == 0)
                        rc = put(other, bytes, 70000, 0, &was, &e);
                if (rc == 0)
                        rc = storage_put_derived(other, was.sha256, "a.webp", SPAN("x"), &e);
                mem_fail_after(-1);
                storage_close(other);
                if (rc < 0)
                        assert_int_equal(e.code, ERR_OOM);
                worked = rc == 0;
        }
        assert_true(worked);
        struct storage_opts o = opts_of(f);
        assert_int_equal(storage_open(&o, &f->s, NULL), 0);
        assert_holds(f->s, sha256_of(bytes, 70000), bytes, 70000);
        free(bytes);
}

static void unknown_urls_are_refused(void **state)
{
        struct storage *s = NULL;
        struct err e;

        (void)state;
        assert_int_equal(storage_open(&(struct storage_opts){.url = "ftp://x", .path = "x"}, &s, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        assert_int_equal(storage_open(&(struct storage_opts){.url = "fs://", .path = ""}, &s, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        assert_int_equal(storage_open(&(struct storage_opts){.url = "s3:/x", .path = "x"}, &s, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
        storage_close(NULL);
}

#define EACH(test)                                                                                                     \
        {                                                                                                              \
#test, test, set_up, tear_down, NULL                                                                   \
        }

int main(void)
{
        static const struct CMUnitTest suite[] = {
                EACH(round_trip_of_every_size),
                EACH(peek_sees_what_was_written_so_far),
                EACH(an_abandoned_upload_leaves_nothing),
                EACH(equal_uploads_at_once_share_one_object),
                EACH(a_part_can_be_read_without_the_rest),
                EACH(a_wrong_size_is_corruption),
                EACH(ensured_bytes_are_there_whatever_happened_since_the_commit),
                EACH(removing_takes_the_derived_files_too),
                EACH(derived_names_cannot_leave_their_object),
                EACH(the_address_names_the_backend),
                EACH(health_is_told),
                EACH(any_allocation_may_fail),
        };
        const struct CMUnitTest once[] = {cmocka_unit_test(unknown_urls_are_refused)};
        struct CMUnitTest tests[COUNT_OF(suite)];
        int failed = cmocka_run_group_tests_name("storage", once, NULL, NULL);

        if (s3_peers_start() < 0)
                return 1;
        for (size_t b = 0; b < COUNT_OF(backends); b++) {
                if ((backends[b].peer == SWIFT) != (s3_peers.swift != 0)) /* FA_S3=swift: only that */
                        continue;
                for (size_t i = 0; i < COUNT_OF(suite); i++) {
                        tests[i] = suite[i];
                        tests[i].initial_state = (void *)(uintptr_t)&backends[b];
                }
                failed += cmocka_run_group_tests_name(backends[b].label, tests, NULL, NULL);
        }
        s3_peers_stop();
        return failed;
}
