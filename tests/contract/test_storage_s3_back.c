/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Write-back: what was acknowledged while the store is away is read, removed,
 * counted, and in the store in the end, whatever happens to the process
 * meanwhile. The store is away as the proxy before it is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "contract/s3_world.h"

#define MANY          20
#define AWAY          "[{\"match\":\"/objects/\",\"action\":\"reset\",\"times\":-1}]"
#define TAKES_NOTHING "[{\"method\":\"PUT\",\"match\":\"/objects/\",\"action\":\"status\",\"status\":503,\"times\":-1}]"

static char other_spool[80];

static int tear_down(void **state)
{
        (void)state;
        unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
        remove_tree(spool);
        remove_tree(other_spool);
        return 0;
}

static struct storage_opts later(void)
{
        struct storage_opts o = opts_at(s3_peers.flaky_strict);

        o.s3.write_back = true;
        return o;
}

/* Of another instance. */
static struct storage *must_open_beside(bool write_back)
{
        struct storage_opts o = later();

        snprintf(other_spool, sizeof other_spool, "%s-other", spool);
        o.s3.spool_path = other_spool;
        o.s3.write_back = write_back;
        return must_open(o);
}

static struct storage_state state_of(struct storage *s)
{
        struct storage_state st;

        storage_state(s, &st);
        return st;
}

static void wait_until(struct storage *s, uint64_t waiting)
{
        for (int i = 0; i < 3000 && state_of(s).waiting != waiting; i++)
                sleep_for(dur_ms(20));
        assert_int_equal(state_of(s).waiting, waiting);
}

static void wait_for_note(struct storage *s, const char *part)
{
        for (int i = 0; i < 3000 && !strstr(state_of(s).note, part); i++)
                sleep_for(dur_ms(20));
        assert_non_null(strstr(state_of(s).note, part));
}

static bool store_has(struct stored was)
{
        char hex[SHA256_TEXT_LEN], line[160];

        control("/", NULL);
        snprintf(line, sizeof line, "key own/objects/%.2s/%s\n", sha256_format(was.sha256, hex), hex);
        return strstr(told, line) != NULL;
}

static void put_many(struct storage *s, struct stored *was)
{
        for (size_t i = 0; i < MANY; i++) {
                was[i] = must_put(s, 1000 + i);
                assert_false(was[i].existed);
        }
}

static void a_store_that_is_away_for_all_uploads_gets_them_later(void **state)
{
        struct storage *s = must_open(later()), *beside = must_open_beside(false);
        struct stored was[MANY];
        struct storage_state st;
        uint64_t bytes = 0;

        (void)state;
        control("/rules", AWAY);
        put_many(s, was);
        for (size_t i = 0; i < MANY; i++) {
                bytes += was[i].size;
                assert_false(store_has(was[i]));
                assert_true(storage_has_object(s, was[i].sha256));
                must_hold(s, was[i]);
        }
        wait_for_note(s, "not available");
        st = state_of(s);
        assert_true(st.write_back && st.writable);
        assert_int_equal(st.waiting, MANY);
        assert_int_equal(st.waiting_bytes, bytes);
        assert_true(st.waiting_since.us > 0 && st.waiting_since.us <= wall_now().us);
        control("/rules", "[]");
        wait_until(s, 0);
        st = state_of(s);
        assert_int_equal(st.waiting_bytes, 0);
        assert_int_equal(st.waiting_since.us, 0);
        assert_string_equal(st.note, "");
        assert_int_equal(seen("PUT", "/own/objects/"), MANY);
        for (size_t i = 0; i < MANY; i++) {
                must_hold(s, was[i]);
                must_hold(beside, was[i]);
        }
        storage_close(beside);
        storage_close(s);
}

static void ranges_are_read_from_what_waits(void **state)
{
        struct storage *s = must_open(later());
        struct storage_read *r;
        struct stored was;
        struct err e = {0};
        char *bytes = pattern(100000, 4711), got[100];
        int fd;

        (void)state;
        control("/rules", AWAY);
        assert_int_equal(put(s, bytes, 100000, &was, &e), 0);
        assert_int_equal(storage_read_begin(s, was.sha256, was.size, &fd, &r, &e), 0);
        assert_true(fd >= 0 && !r);
        assert_int_equal(pread(fd, got, sizeof got, 70000), sizeof got);
        assert_memory_equal(got, bytes + 70000, sizeof got);
        close(fd);
        assert_int_equal(storage_open_object(s, was.sha256, was.size + 1, &fd, &e), -1);
        assert_int_equal(e.code, ERR_CORRUPT);
        storage_close(s);
        free(bytes);
}

static void equal_bytes_wait_once(void **state)
{
        struct storage *s = must_open(later());
        struct stored was, again;
        struct err e = {0};

        (void)state;
        control("/rules", AWAY);
        assert_int_equal(put(s, "twice", 5, &was, &e), 0);
        assert_int_equal(put(s, "twice", 5, &again, &e), 0);
        assert_false(was.existed);
        assert_true(again.existed);
        assert_int_equal(state_of(s).waiting, 1);
        assert_int_equal(state_of(s).waiting_bytes, 5);
        control("/rules", "[]");
        wait_until(s, 0);
        assert_int_equal(put(s, "twice", 5, &again, &e), 0);
        assert_true(again.existed);
        wait_until(s, 0);
        assert_int_equal(seen("PUT", "/own/objects/"), 1);
        storage_close(s);
}

/* The bytes are known here, but the store lost them: an acknowledgement must bring them back. */
static void a_copy_is_no_proof_that_the_store_has_it(void **state)
{
        struct storage *s = must_open(later()), *beside = must_open_beside(true);
        struct stored was, again;
        struct err e = {0};

        (void)state;
        assert_int_equal(put(s, "gone", 4, &was, &e), 0);
        wait_until(s, 0);
        assert_int_equal(storage_remove_object(beside, was.sha256, &e), 0);
        assert_false(store_has(was));
        assert_int_equal(put(s, "gone", 4, &again, &e), 0);
        wait_until(s, 0);
        assert_true(store_has(was));
        storage_close(beside);
        storage_close(s);
}

static void a_killed_process_loses_nothing(void **state)
{
        struct stored was[MANY];
        struct storage *s, *beside;
        int pipes[2], status;
        pid_t child;

        (void)state;
        storage_close(must_open(later())); /* the sentinel */
        control("/rules", AWAY);
        assert_int_equal(pipe(pipes), 0);
        child = fork();
        if (child == 0) {
                s = must_open(later());
                put_many(s, was);
                if (write(pipes[1], was, sizeof was) == sizeof was)
                        kill(getpid(), SIGKILL);
                _exit(1);
        }
        close(pipes[1]);
        assert_int_equal(read(pipes[0], was, sizeof was), sizeof was);
        close(pipes[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        s = must_open(later());
        assert_int_equal(state_of(s).waiting, MANY);
        for (size_t i = 0; i < MANY; i++)
                must_hold(s, was[i]);
        control("/rules", "[]");
        wait_until(s, 0);
        beside = must_open_beside(false);
        for (size_t i = 0; i < MANY; i++)
                must_hold(beside, was[i]);
        storage_close(beside);
        storage_close(s);
}

static void a_full_spool_refuses_and_drops_nothing(void **state)
{
        struct storage_opts o = later();
        struct stored first, was;
        struct storage *s;
        struct err e = {0};
        char *bytes = pattern(2 * MIB, 99);

        (void)state;
        o.s3.spool_max_bytes = 3 * MIB;
        s = must_open(o);
        control("/rules", AWAY);
        first = must_put(s, 2 * MIB);
        assert_int_equal(put(s, bytes, 2 * MIB, &was, &e), -1);
        assert_int_equal(e.code, ERR_BUSY);
        must_put(s, MIB);
        assert_int_equal(put(s, "x", 1, &was, &e), -1);
        assert_int_equal(e.code, ERR_BUSY);
        assert_int_equal(state_of(s).free_bytes, 0);
        must_hold(s, first);
        storage_close(s);
        o.s3.spool_max_bytes = MIB; /* less than what waits */
        s = must_open(o);
        assert_int_equal(state_of(s).waiting_bytes, 3 * MIB);
        assert_int_equal(put(s, "x", 1, &was, &e), -1);
        assert_int_equal(e.code, ERR_BUSY);
        control("/rules", "[]");
        wait_until(s, 0);
        assert_int_equal(put(s, "x", 1, &was, &e), 0);
        wait_until(s, 0);
        assert_true(store_has(first));
        storage_close(s);
        free(bytes);
}

static void what_is_removed_before_it_is_sent_never_gets_there(void **state)
{
        struct storage *s = must_open(later());
        struct stored was, kept;
        struct err e = {0};
        int fd;

        (void)state;
        control("/rules", TAKES_NOTHING);
        assert_int_equal(put(s, "secret", 6, &was, &e), 0);
        kept = must_put(s, 1000);
        wait_for_note(s, "not available");
        if (storage_remove_object(s, was.sha256, &e) < 0)
                fail_msg("%s", e.msg);
        assert_int_equal(state_of(s).waiting, 1);
        assert_int_equal(state_of(s).waiting_bytes, 1000);
        assert_false(storage_has_object(s, was.sha256));
        assert_int_equal(storage_open_object(s, was.sha256, 6, &fd, &e), -1);
        control("/rules", "[]");
        wait_until(s, 0);
        assert_true(store_has(kept));
        assert_false(store_has(was));
        assert_int_equal(put(s, "secret", 6, &was, &e), 0); /* and it may come again */
        wait_until(s, 0);
        assert_true(store_has(was));
        assert_int_equal(storage_remove_object(s, was.sha256, &e), 0);
        assert_false(store_has(was));
        storage_close(s);
}

static void another_instance_is_told_to_wait(void **state)
{
        struct storage *s = must_open(later()), *beside = must_open_beside(true), *third = NULL;
        struct storage_opts o = later();
        struct stored was;
        struct err e = {0};
        int fd;

        (void)state;
        assert_int_equal(storage_open(&o, &third, &e), -1);
        assert_int_equal(e.code, ERR_CONFLICT); /* not in the same spool */
        control("/rules", TAKES_NOTHING);
        was = must_put(s, 1000);
        assert_int_equal(storage_open_object(beside, was.sha256, was.size, &fd, &e), -1);
        assert_int_equal(e.code, ERR_UNAVAILABLE);
        control("/rules", "[]");
        wait_until(s, 0);
        must_hold(beside, was);
        storage_close(beside);
        storage_close(s);
}

static void switched_off_it_still_sends_what_is_left(void **state)
{
        struct storage_opts o = later();
        struct storage *s = must_open(o);
        struct stored was;
        char folder[96];

        (void)state;
        control("/rules", AWAY);
        was = must_put(s, 1000);
        storage_close(s);
        o.s3.write_back = false;
        s = must_open(o);
        assert_int_equal(state_of(s).waiting, 1);
        must_hold(s, was);
        control("/rules", "[]");
        wait_until(s, 0);
        assert_true(store_has(was));
        storage_close(s);
        s = must_open(o);
        assert_false(state_of(s).write_back);
        snprintf(folder, sizeof folder, "%s/waiting", spool);
        assert_int_equal(access(folder, F_OK), -1);
        storage_close(s);
}

static void damage_in_the_spool_is_told_and_holds_up_nobody(void **state)
{
        struct storage_opts o = later();
        struct storage *s = must_open(o);
        struct stored bad, good;
        char path[256], hex[SHA256_TEXT_LEN];
        int fd;

        (void)state;
        control("/rules", AWAY);
        bad = must_put(s, 1000);
        good = must_put(s, 1000);
        storage_close(s);
        snprintf(path, sizeof path, "%s/waiting/%s", spool, sha256_format(bad.sha256, hex));
        fd = open(path, O_WRONLY | O_CLOEXEC);
        assert_int_equal(pwrite(fd, "!!!!", 4, 500), 4);
        close(fd);
        control("/rules", "[]");
        s = must_open(o);
        wait_until(s, 1);
        assert_true(store_has(good));
        assert_false(store_has(bad));
        wait_for_note(s, "damaged");
        storage_close(s);
}

static void after_a_failed_sync_nothing_is_acknowledged(void **state)
{
        struct storage *s = must_open(later());
        struct stored was;
        struct err e = {0};

        (void)state;
        setenv("FILE_ALLOCATOR_FAULT", "storage.dirsync=eio@1", 1);
        fault_init();
        assert_int_equal(put(s, "a", 1, &was, &e), -1);
        assert_int_equal(e.code, ERR_IO);
        assert_int_equal(put(s, "b", 1, &was, &e), -1);
        assert_int_equal(e.code, ERR_IO);
        assert_false(state_of(s).writable);
        storage_close(s);
        s = must_open(later());
        assert_int_equal(put(s, "b", 1, &was, &e), 0);
        wait_until(s, 0);
        storage_close(s);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                EACH(a_store_that_is_away_for_all_uploads_gets_them_later),
                EACH(ranges_are_read_from_what_waits),
                EACH(equal_bytes_wait_once),
                EACH(a_copy_is_no_proof_that_the_store_has_it),
                EACH(a_killed_process_loses_nothing),
                EACH(a_full_spool_refuses_and_drops_nothing),
                EACH(what_is_removed_before_it_is_sent_never_gets_there),
                EACH(another_instance_is_told_to_wait),
                EACH(switched_off_it_still_sends_what_is_left),
                EACH(damage_in_the_spool_is_told_and_holds_up_nobody),
                EACH(after_a_failed_sync_nothing_is_acknowledged),
        };

        return cmocka_run_group_tests_name("storage s3 with write-back", tests, group_up, group_down);
}
