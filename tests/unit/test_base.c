/* SPDX-License-Identifier: Apache-2.0 */
/* base: time, ids, hashes, the id map, locks, threads, files and fault points. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"

/* ---- time --------------------------------------------------------------------- */

static void wall_times_format_as_rfc3339(void **state)
{
        static const struct {
                int64_t us;
                const char *text;
        } rows[] = {
                {0, "1970-01-01T00:00:00.000Z"},
                {-1, "1969-12-31T23:59:59.999Z"},
                {INT64_C(951782400000000), "2000-02-29T00:00:00.000Z"},
                {INT64_C(1767323045678000), "2026-01-02T03:04:05.678Z"},
                {INT64_C(253402300799999999), "9999-12-31T23:59:59.999Z"},
                {INT64_MAX, "9999-12-31T23:59:59.999Z"},
                {INT64_MIN, "0000-01-01T00:00:00.000Z"},
        };
        char text[WALL_TEXT_LEN];

        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++)
                assert_string_equal(wall_format((struct wall){rows[i].us}, text), rows[i].text);
}

static void wall_times_agree_with_the_c_library(void **state)
{
        char mine[WALL_TEXT_LEN], theirs[64];
        struct wall back;

        (void)state;
        for (int64_t day = -700000; day < 2900000; day += 97) {
                time_t t = (time_t)(day * 86400 + day % 86400);
                struct tm tm;
                assert_non_null(gmtime_r(&t, &tm));
                strftime(theirs, sizeof theirs, "-%m-%dT%H:%M:%S.000Z", &tm);
                wall_format((struct wall){(int64_t)t * 1000000}, mine);
                assert_int_equal(strtol(mine, NULL, 10), tm.tm_year + 1900);
                assert_string_equal(mine + 4, theirs);
                assert_true(wall_parse(span_of(mine), &back));
                assert_true(back.us == (int64_t)t * 1000000);
        }
}

static void wall_times_parse_what_rfc3339_allows(void **state)
{
        static const struct {
                const char *text;
                int64_t us;
        } good[] = {
                {"1970-01-02", INT64_C(86400000000)},     {"1970-01-01T00:00:01Z", 1000000},
                {"1970-01-01t00:00:01z", 1000000},        {"1970-01-01 00:00:00.5Z", 500000},
                {"1970-01-01T00:00:00.1234567Z", 123456}, {"1970-01-01T02:00:00+02:00", 0},
                {"1969-12-31T19:30:00-04:30", 0},         {"2016-12-31T23:59:60Z", INT64_C(1483228800000000)},
        };
        static const char *const bad[] = {"",
                                          "1970",
                                          "1970-13-01",
                                          "1970-02-29",
                                          "1900-02-29",
                                          "1970-1-1",
                                          "1970-01-01T",
                                          "1970-01-01T00:00:00",
                                          "1970-01-01T24:00:00Z",
                                          "1970-01-01T00:00Z",
                                          "1970-01-01T00:00:00.Z",
                                          "1970-01-01T00:00:00Zx",
                                          "1970-01-01T00:00:00+2:00",
                                          "+970-01-01",
                                          "1970-01-00",
                                          "1970-01-01T00:00:00,5Z"};
        struct wall t;

        (void)state;
        for (size_t i = 0; i < COUNT_OF(good); i++) {
                assert_true(wall_parse(span_of(good[i].text), &t));
                assert_true(t.us == good[i].us);
        }
        for (size_t i = 0; i < COUNT_OF(bad); i++)
                assert_false(wall_parse(span_of(bad[i]), &t));
}

static void deadlines_saturate_instead_of_wrapping(void **state)
{
        struct mono now = mono_now();

        (void)state;
        assert_true(mono_add(now, (struct dur){INT64_MAX}).ns == INT64_MAX);
        assert_false(mono_reached(mono_add(now, dur_s(1e30))));
        assert_true(mono_reached(now));
        assert_true(dur_ms(INT64_MAX).ns == INT64_MAX);
        assert_true(dur_s(1.5).ns == INT64_C(1500000000));
        assert_true(wall_add((struct wall){5}, dur_ms(2)).us == 2005);
        assert_true(dur_seconds(dur_ms(250)) == 0.25);
        sleep_for(dur_ms(5));
        assert_true(mono_since(now).ns >= dur_ms(5).ns);
}

/* ---- ids, hashes, map ------------------------------------------------------------- */

static void ids_are_version_7_and_strictly_rising(void **state)
{
        struct id last = id_new();
        int64_t before = wall_now().us / 1000, ms = 0;

        (void)state;
        for (int i = 0; i < 100000; i++) {
                struct id next = id_new();
                assert_true(id_cmp(last, next) < 0);
                last = next;
        }
        assert_int_equal(last.b[6] >> 4, 7);
        assert_int_equal(last.b[8] >> 6, 2);
        for (int k = 0; k < 6; k++)
                ms = ms << 8 | last.b[k];
        assert_true(ms >= before && ms <= wall_now().us / 1000 + 1000);
}

static void *make_ids(void *arg)
{
        struct id *ids = arg;

        for (int i = 0; i < 5000; i++)
                ids[i] = id_new();
        return NULL;
}

static int by_id(const void *a, const void *b)
{
        return id_cmp(*(const struct id *)a, *(const struct id *)b);
}

static void ids_of_many_threads_share_no_tick(void **state)
{
        enum { THREADS = 4, EACH = 5000 };
        static struct id ids[THREADS * EACH];
        pthread_t t[THREADS];

        (void)state;
        for (int i = 0; i < THREADS; i++)
                assert_int_equal(thread_start(&t[i], "ids", make_ids, ids + i * EACH), 0);
        for (int i = 0; i < THREADS; i++)
                pthread_join(t[i], NULL);
        for (int i = 0; i < THREADS; i++)
                for (int k = 1; k < EACH; k++)
                        assert_true(id_cmp(ids[i * EACH + k - 1], ids[i * EACH + k]) < 0);
        qsort(ids, COUNT_OF(ids), sizeof ids[0], by_id);
        for (size_t i = 1; i < COUNT_OF(ids); i++)
                assert_memory_not_equal(ids[i - 1].b, ids[i].b, 8);
}

static void ids_survive_text_and_bad_text_is_refused(void **state)
{
        static const char *const bad[] = {"",
                                          "0190a0b0-c0d0-7000-8000-00000000000",
                                          "0190a0b0-c0d0-7000-8000-00000000000g",
                                          "0190a0b0c-0d0-7000-8000-000000000001",
                                          "0190a0b0-c0d0-7000-8000-0000000000011",
                                          "{190a0b0-c0d0-7000-8000-000000000001"};
        char text[ID_TEXT_LEN];
        struct id i = id_new(), back;

        (void)state;
        assert_true(id_parse(span_of(id_format(i, text)), &back));
        assert_true(id_eq(i, back));
        assert_true(id_parse(SPAN("0190A0B0-C0D0-7000-8000-00000000000f"), &back));
        assert_string_equal(id_format(back, text), "0190a0b0-c0d0-7000-8000-00000000000f");
        for (size_t k = 0; k < COUNT_OF(bad); k++)
                assert_false(id_parse(span_of(bad[k]), &back));
        assert_true(id_is_nil((struct id){{0}}));
        assert_false(id_is_nil(i));
}

static void sha256_matches_fips_180_vectors(void **state)
{
        struct sha256_ctx *c = sha256_new();
        char text[SHA256_TEXT_LEN];
        struct sha256 h, back;

        (void)state;
        assert_non_null(c);
        assert_string_equal(sha256_format(sha256_of("abc", 3), text),
                            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_string_equal(sha256_format(sha256_of(NULL, 0), text),
                            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        for (int round = 0; round < 2; round++) {
                for (int i = 0; i < 10000; i++)
                        sha256_update(c,
                                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                      "aaaaaaaaaaaaaaaaaaaa",
                                      100);
                h = sha256_final(c);
                assert_string_equal(sha256_format(h, text),
                                    "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
        }
        assert_true(sha256_parse(span_of(text), &back) && sha256_eq(h, back));
        text[5] = 'x';
        assert_false(sha256_parse(span_of(text), &back));
        assert_false(sha256_parse(SPAN("abc"), &back));
        assert_true(equal_constant_time("abc", "abc", 3));
        assert_false(equal_constant_time("abc", "abd", 3));
        sha256_free(c);
        sha256_free(NULL);
}

static struct id numbered(uint32_t i)
{
        struct id id = {{0}};

        memcpy(id.b + 12, &i, sizeof i);
        return id;
}

static void an_idmap_agrees_with_a_plain_array(void **state)
{
        enum { KEYS = 500 };
        struct idmap *m = idmap_new();
        uint32_t want[KEYS] = {0}, got;
        uint32_t seed = 12345;

        (void)state;
        assert_non_null(m);
        for (uint32_t step = 1; step < 5000; step++) {
                uint32_t k;
                seed = seed * 1664525 + 1013904223;
                k = (seed >> 8) % KEYS;
                assert_int_equal(idmap_get(m, numbered(k), &got), want[k] != 0);
                if (want[k])
                        assert_int_equal(got, want[k]);
                want[k] = step;
                assert_int_equal(idmap_put(m, numbered(k), step), 0);
        }
        for (uint32_t k = 0; k < KEYS; k++) {
                assert_int_equal(idmap_get(m, numbered(k), &got), want[k] != 0);
                if (want[k])
                        assert_int_equal(got, want[k]);
        }
        idmap_free(m);
        idmap_free(NULL);
}

static void an_idmap_out_of_memory_keeps_its_entries(void **state)
{
        struct idmap *m = idmap_new();
        uint32_t k = 0, got;

        (void)state;
        mem_fail_after(0);
        while (idmap_put(m, numbered(k), k) == 0)
                k++;
        mem_fail_after(-1);
        assert_true(k >= 8);
        assert_false(idmap_get(m, numbered(k), &got));
        for (uint32_t i = 0; i < k; i++)
                assert_true(idmap_get(m, numbered(i), &got) && got == i);
        assert_int_equal(idmap_put(m, numbered(k), k), 0);
        idmap_free(m);
}

/* ---- locks and threads -------------------------------------------------------------- */

/* Runs fn in a child without core files or noise; true when it was killed by an assert. */
static bool asserts(void (*fn)(void))
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                struct rlimit none = {0, 0};
                setrlimit(RLIMIT_CORE, &none);
                signal(SIGABRT, SIG_DFL);
                if (!freopen("/dev/null", "w", stderr))
                        _exit(1);
                fn();
                _exit(0);
        }
        waitpid(pid, &status, 0);
        return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void take_two(enum lock_rank first, enum lock_rank second)
{
        static struct lock a, b;

        lock_init(&a, "first", first);
        lock_init(&b, "second", second);
        lock_take(&a);
        lock_take(&b);
        lock_drop(&a); /* any order of release is fine */
        lock_drop(&b);
        lock_done(&a);
        lock_done(&b);
}

static void rising(void)
{
        take_two(RANK_APP, RANK_LOG);
}

static void falling(void)
{
        take_two(RANK_STORAGE, RANK_QUEUE);
}

static void level(void)
{
        take_two(RANK_QUEUE, RANK_QUEUE);
}

static void drop_untaken(void)
{
        struct lock a;

        lock_init(&a, "a", RANK_APP);
        lock_drop(&a);
}

static void wrong_lock_order_and_wrong_owner_assert(void **state)
{
        (void)state;
        assert_false(asserts(rising));
        assert_true(asserts(falling));
        assert_true(asserts(level));
        assert_true(asserts(drop_untaken));
}

struct meeting {
        struct lock lock;
        struct cond cond;
        int count, seen;
        char name[16];
        bool signals_blocked;
};

static void *attend(void *arg)
{
        struct meeting *m = arg;
        sigset_t set;

        pthread_sigmask(SIG_SETMASK, NULL, &set);
        lock_take(&m->lock);
        m->signals_blocked = sigismember(&set, SIGTERM) && sigismember(&set, SIGHUP);
        pthread_getname_np(pthread_self(), m->name, sizeof m->name);
        for (int i = 0; i < 1000; i++) {
                m->count++;
                lock_drop(&m->lock);
                lock_take(&m->lock);
        }
        m->seen++;
        cond_signal(&m->cond);
        lock_drop(&m->lock);
        return NULL;
}

static void threads_meet_at_a_condition(void **state)
{
        struct meeting m = {.count = 0};
        pthread_t t[4];
        sigset_t set;

        (void)state;
        lock_init(&m.lock, "meeting", RANK_APP);
        cond_init(&m.cond);
        for (size_t i = 0; i < COUNT_OF(t); i++)
                assert_int_equal(thread_start(&t[i], "a-name-longer-than-15", attend, &m), 0);
        lock_take(&m.lock);
        while (m.seen < 4)
                cond_wait(&m.cond, &m.lock);
        lock_assert_held(&m.lock);
        assert_int_equal(m.count, 4000);
        assert_true(m.signals_blocked);
        assert_string_equal(m.name, "a-name-longer-t");
        lock_drop(&m.lock);
        for (size_t i = 0; i < COUNT_OF(t); i++)
                pthread_join(t[i], NULL);
        pthread_sigmask(SIG_SETMASK, NULL, &set);
        assert_false(sigismember(&set, SIGTERM));
        cond_done(&m.cond);
        lock_done(&m.lock);
}

static void waiting_ends_at_the_deadline(void **state)
{
        struct mono start = mono_now();
        struct lock l;
        struct cond c;

        (void)state;
        lock_init(&l, "l", RANK_APP);
        cond_init(&c);
        lock_take(&l);
        while (cond_wait_until(&c, &l, mono_add(start, dur_ms(20))))
                ;
        assert_true(mono_since(start).ns >= dur_ms(20).ns);
        assert_false(cond_wait_until(&c, &l, start));
        lock_drop(&l);
        cond_done(&c);
        lock_done(&l);
}

/* ---- files ----------------------------------------------------------------------------- */

static char *temp_dir(void)
{
        static char path[] = "/tmp/fa-test-base-XXXXXX";

        memcpy(path + sizeof path - 7, "XXXXXX", 6);
        assert_non_null(mkdtemp(path));
        return path;
}

static void small_files_are_read_whole_or_refused(void **state)
{
        char *dir = temp_dir(), path[128], *text;
        struct err e;
        size_t n;
        int fd;

        (void)state;
        snprintf(path, sizeof path, "%s/f", dir);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(fd_write_all(fd, "hello", 5, &e), 0);
        fd_close(&fd);
        assert_int_equal(fd, -1);
        fd_close(&fd);
        assert_int_equal(file_read_all(path, 5, &text, &n, &e), 0);
        assert_int_equal(n, 5);
        assert_string_equal(text, "hello");
        mem_free(text);
        assert_int_equal(file_read_all(path, 4, &text, &n, &e), -1);
        assert_int_equal(e.code, ERR_TOO_LARGE);
        assert_int_equal(file_read_all(dir, 10, &text, &n, &e), -1);
        assert_int_equal(e.code, ERR_IO);
        unlink(path);
        assert_int_equal(file_read_all(path, 4, &text, &n, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        assert_int_equal(file_read_all("/dev/null", 0, &text, &n, &e), 0);
        assert_string_equal(text, "");
        mem_free(text);
        assert_int_equal(fd_write_all(-1, "x", 1, &e), -1);
        rmdir(dir);
}

static void *stand_back(void *out)
{
        thread_stand_back();
        *(int *)out = getpriority(PRIO_PROCESS, 0);
        return NULL;
}

static void one_thread_stands_back_alone(void **state)
{
        int before = getpriority(PRIO_PROCESS, 0), there = 0;
        pthread_t t;

        (void)state;
        assert_int_equal(thread_start(&t, "behind", stand_back, &there), 0);
        pthread_join(t, NULL);
        assert_int_equal(there, before > 10 ? before : 10);
        assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
}

static void directories_are_made_with_their_parents(void **state)
{
        char *dir = temp_dir(), path[128];
        struct stat st;
        struct err e;
        int fd;

        (void)state;
        snprintf(path, sizeof path, "%s/a//b/", dir);
        assert_int_equal(dir_make(path, &e), 0);
        assert_int_equal(dir_make(path, &e), 0);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0700);
        assert_int_equal(dir_sync(path, &e), 0);
        rmdir(path);
        assert_int_equal(dir_sync(path, &e), -1);
        assert_int_equal(e.code, ERR_NOT_FOUND);
        snprintf(path, sizeof path, "%s/a/file", dir);
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        fd_close(&fd);
        assert_int_equal(dir_make(path, &e), -1);
        assert_int_equal(dir_make("", &e), -1);
        unlink(path);
        snprintf(path, sizeof path, "%s/a", dir);
        rmdir(path);
        rmdir(dir);
}

/* ---- fault points ------------------------------------------------------------------------ */

static void a_fault_point_fires_at_its_passing_only(void **state)
{
        (void)state;
        setenv("FILE_ALLOCATOR_FAULT", "a.b=eio@2,c=enospc", 1);
        fault_init();
        assert_int_equal(FAULT("a.b"), 0);
        assert_int_equal(FAULT("other"), 0);
        assert_int_equal(FAULT("a.b"), EIO);
        assert_int_equal(FAULT("a.b"), 0);
        assert_int_equal(FAULT("c"), ENOSPC);
        unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
        assert_false(atomic_load(&fault_armed));
        assert_int_equal(FAULT("c"), 0);
}

static int exit_of_fault(const char *spec)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                setenv("FILE_ALLOCATOR_FAULT", spec, 1);
                if (!freopen("/dev/null", "w", stderr))
                        _exit(1);
                fault_init();
                if (FAULT("here"))
                        _exit(3);
                _exit(0);
        }
        waitpid(pid, &status, 0);
        return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static void a_fault_can_kill_and_a_bad_one_ends_the_start(void **state)
{
        (void)state;
        assert_int_equal(exit_of_fault("here=kill@1"), -SIGKILL);
        assert_int_equal(exit_of_fault("there=kill@1"), 0);
        assert_int_equal(exit_of_fault("here=explode"), 2);
        assert_int_equal(exit_of_fault("here=eio@0"), 2);
        assert_int_equal(exit_of_fault("here"), 2);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(wall_times_format_as_rfc3339),
                cmocka_unit_test(wall_times_agree_with_the_c_library),
                cmocka_unit_test(wall_times_parse_what_rfc3339_allows),
                cmocka_unit_test(deadlines_saturate_instead_of_wrapping),
                cmocka_unit_test(ids_are_version_7_and_strictly_rising),
                cmocka_unit_test(ids_of_many_threads_share_no_tick),
                cmocka_unit_test(ids_survive_text_and_bad_text_is_refused),
                cmocka_unit_test(sha256_matches_fips_180_vectors),
                cmocka_unit_test(an_idmap_agrees_with_a_plain_array),
                cmocka_unit_test(an_idmap_out_of_memory_keeps_its_entries),
                cmocka_unit_test(wrong_lock_order_and_wrong_owner_assert),
                cmocka_unit_test(threads_meet_at_a_condition),
                cmocka_unit_test(waiting_ends_at_the_deadline),
                cmocka_unit_test(small_files_are_read_whole_or_refused),
                cmocka_unit_test(one_thread_stands_back_alone),
                cmocka_unit_test(directories_are_made_with_their_parents),
                cmocka_unit_test(a_fault_point_fires_at_its_passing_only),
                cmocka_unit_test(a_fault_can_kill_and_a_bad_one_ends_the_start),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
