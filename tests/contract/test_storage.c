/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every storage backend promises, run once per row of the table of
 * backends. The hard thing is to ask only what the header promises: nothing
 * here looks behind it.
 */
#include "contract/storage_suite.h"

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
        assert_int_equal(storage_has_derived(f->s, was.sha256, "thumb.webp", &e), 1);
        assert_int_equal(storage_has_derived(f->s, was.sha256, "none.webp", &e), 0);
        assert_int_equal(storage_has_derived(f->s, was.sha256, "no name", &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
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
        snprintf(want, sizeof want, "%s://%sobjects/ba/%s", f->backend->name, f->backend->place, hex);
        storage_uri(f->s, key, uri, sizeof uri);
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
        int failed = cmocka_run_group_tests_name("storage", once, NULL, NULL);

        return failed + run_on_each_backend(suite, COUNT_OF(suite));
}
