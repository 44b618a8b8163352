/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spool of the S3 backend: what it spares the store, how readers share it,
 * and that it keeps its bound. Needs node and s3rver, and fails without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "contract/s3_world.h"

#include <dirent.h>

static void what_was_just_written_is_not_fetched(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.strict));
        struct stored was = must_put(s, 100000);

        (void)state;
        control("/rules", "[]");
        must_hold(s, was);
        must_hold(s, was);
        assert_int_equal(seen("GET", ""), 0);
        assert_int_equal(seen("HEAD", ""), 0);
        storage_close(s);
}

static void a_range_fetches_no_more_than_it_needs(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.strict));
        struct stored was = must_put(s, 20 * MIB);
        struct storage_read *r;
        struct err e;
        char got[100];
        int fd;

        (void)state;
        storage_close(s);
        s = must_open(opts_at(s3_peers.strict));
        control("/rules", "[]");
        assert_int_equal(storage_read_begin(s, was.sha256, was.size, &fd, &r, &e), 0);
        assert_int_equal(fd, -1);
        assert_int_equal(storage_read_at(r, 15 * MIB, got, 100, &e), 100);
        assert_int_equal(storage_read_at(r, 15 * MIB + 100, got, 100, &e), 100);
        assert_int_equal(seen("GET", "bytes=15728640-15990783"), 1);
        assert_int_equal(seen("GET", ""), 1);
        storage_read_end(r);
        must_hold(s, was); /* from now on there is a file */
        assert_int_equal(storage_read_begin(s, was.sha256, was.size, &fd, &r, &e), 0);
        assert_true(fd >= 0 && r == NULL);
        close(fd);
        storage_close(s);
}

struct reader {
        struct storage *s;
        struct stored was;
        pthread_barrier_t *start;
        int fd;
};

static void *read_one(void *arg)
{
        struct reader *r = arg;
        struct err e;

        pthread_barrier_wait(r->start);
        if (storage_open_object(r->s, r->was.sha256, r->was.size, &r->fd, &e) < 0)
                r->fd = -1;
        return NULL;
}

static void readers_of_one_object_share_one_download(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.strict));
        struct stored was = must_put(s, 3 * MIB);
        pthread_barrier_t start;
        struct reader readers[8];
        pthread_t threads[8];

        (void)state;
        storage_close(s);
        s = must_open(opts_at(s3_peers.strict));
        control("/rules", "[]");
        pthread_barrier_init(&start, NULL, 8);
        for (unsigned i = 0; i < 8; i++) {
                readers[i] = (struct reader){s, was, &start, -1};
                assert_int_equal(thread_start(&threads[i], "reader", read_one, &readers[i]), 0);
        }
        for (unsigned i = 0; i < 8; i++) {
                pthread_join(threads[i], NULL);
                assert_true(readers[i].fd >= 0);
                assert_int_equal(lseek(readers[i].fd, 0, SEEK_CUR), 0);
                assert_int_equal(lseek(readers[i].fd, 10 + i, SEEK_SET), 10 + i); /* an offset of its own */
        }
        for (unsigned i = 0; i < 8; i++)
                close(readers[i].fd);
        pthread_barrier_destroy(&start);
        assert_int_equal(seen("GET", ""), 1);
        storage_close(s);
}

static void uploads_stay_within_the_bound(void **state)
{
        struct storage_opts o = opts_at(s3_peers.strict);
        struct storage_put *a, *b;
        struct storage_state st;
        struct stored was;
        struct storage *s;
        struct err e;
        char *bytes = pattern(4 * MIB + 1, 99);

        (void)state;
        o.s3.spool_max_bytes = 4 * MIB;
        s = must_open(o);
        assert_int_equal(put(s, bytes, 4 * MIB + 1, &was, &e), -1);
        assert_int_equal(e.code, ERR_TOO_LARGE);
        assert_int_equal(storage_put_begin(s, &a, &e), 0);
        assert_int_equal(storage_put_begin(s, &b, &e), 0);
        assert_int_equal(storage_put_write(a, bytes, 3 * MIB, &e), 0);
        storage_state(s, &st);
        assert_int_equal(st.total_bytes, 4 * MIB);
        assert_int_equal(st.free_bytes, MIB);
        assert_int_equal(storage_put_write(b, bytes, MIB, &e), 0);
        assert_int_equal(storage_put_write(b, bytes, 1, &e), -1);
        assert_int_equal(e.code, ERR_BUSY);
        storage_put_end(b);
        storage_put_end(a);
        for (int i = 0; i < 3; i++) {
                bytes[0] = (char)(1 + i);
                assert_int_equal(put(s, bytes, 4 * MIB, &was, &e), 0); /* copies give way */
        }
        storage_state(s, &st);
        assert_int_equal(st.free_bytes, 4 * MIB);
        storage_close(s);
        free(bytes);
}

static void a_copy_stays_as_long_as_somebody_reads_it(void **state)
{
        struct storage_opts o = opts_at(s3_peers.strict);
        struct stored first, second;
        struct storage *s;
        struct err e;
        char got[16];
        int fd, twin, none;

        (void)state;
        o.s3.spool_max_bytes = 3 * MIB;
        s = must_open(o);
        first = must_put(s, 2 * MIB);
        second = must_put(s, 2 * MIB);
        assert_int_equal(storage_open_object(s, first.sha256, first.size, &fd, &e), 0);
        twin = dup(fd); /* as a decoder has it */
        close(fd);
        assert_int_equal(storage_open_object(s, second.sha256, second.size, &none, &e), -1);
        assert_int_equal(e.code, ERR_BUSY);
        assert_int_equal(read(twin, got, sizeof got), sizeof got);
        close(twin);
        must_hold(s, second);
        must_hold(s, first);
        storage_close(s);
}

static unsigned open_files(void)
{
        DIR *dir = opendir("/proc/self/fd");
        unsigned n = 0;

        while (readdir(dir))
                n++;
        closedir(dir);
        return n;
}

static void many_small_copies_do_not_use_up_the_descriptors(void **state)
{
        struct storage *s = must_open(opts_at(s3_peers.strict));
        unsigned before = open_files();
        struct stored last = {0};

        (void)state;
        for (unsigned i = 0; i < 300; i++)
                last = must_put(s, 100 + i);
        assert_true(open_files() < before + 280);
        must_hold(s, last);
        storage_close(s);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, spool_is_empty)

int main(void)
{
        const struct CMUnitTest tests[] = {
                EACH(what_was_just_written_is_not_fetched),      EACH(a_range_fetches_no_more_than_it_needs),
                EACH(readers_of_one_object_share_one_download),  EACH(uploads_stay_within_the_bound),
                EACH(a_copy_stays_as_long_as_somebody_reads_it), EACH(many_small_copies_do_not_use_up_the_descriptors),
        };

        return cmocka_run_group_tests_name("storage s3 spool", tests, group_up, group_down);
}
