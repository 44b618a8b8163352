/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory backend on failing disks and under kill -9: what it acknowledged
 * is there after a kill at any moment, a full disk or a failed sync.
 */
#include "contract/storage_fs_world.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>

/* ---- failing disks ------------------------------------------------------------ */

static void assert_fault_fails_put(const char *spec, const char *bytes, size_t n, enum err_code code, bool may_be_there)
{
        struct storage *s = opened();
        struct sha256 key = sha256_of(bytes, n);
        struct stored was;
        struct err e = {0};

        faults(spec);
        assert_int_equal(put(s, bytes, n, &was, &e), -1);
        assert_int_equal(e.code, code);
        faults(NULL);
        assert_int_equal(access(object_path(key), F_OK), may_be_there ? 0 : -1);
        assert_int_equal(entries(in_root("tmp")), 0);
        /* The next upload of the same bytes stands on its own feet. */
        assert_int_equal(put(s, bytes, n, &was, &e), 0);
        assert_int_equal(was.existed, may_be_there);
        assert_int_equal(access(object_path(key), F_OK), 0);
        assert_int_equal(entries(in_root("tmp")), 0);
        storage_close(s);
}

static void a_failed_step_fails_the_upload(void **state)
{
        static const struct {
                const char *spec;
                enum err_code code;
                bool named;
        } steps[] = {
                {"storage.write=enospc", ERR_NO_SPACE, false}, {"storage.write=eio", ERR_IO, false},
                {"storage.fsync=eio", ERR_IO, false},          {"storage.fsync=enospc", ERR_NO_SPACE, false},
                {"storage.fsync.after=eio", ERR_IO, false},    {"storage.link=enospc", ERR_NO_SPACE, false},
                {"storage.link.after=eio", ERR_IO, true},      {"storage.dirsync=eio", ERR_IO, true},
        };

        (void)state;
        for (size_t w = 0; w < COUNT_OF(ways); w++) {
                way = ways[w];
                for (size_t i = 0; i < COUNT_OF(steps); i++) {
                        char bytes[64];
                        int n = snprintf(bytes, sizeof bytes, "%zu %s", w, steps[i].spec);
                        assert_fault_fails_put(steps[i].spec, bytes, (size_t)n, steps[i].code, steps[i].named);
                }
        }
}

static void an_entry_whose_sync_failed_is_made_anew(void **state)
{
        struct storage *s = opened();
        struct storage_state health;
        struct stat before, after;
        struct stored was;
        struct err e;

        (void)state;
        faults("storage.dirsync=eio");
        assert_int_equal(put(s, "abc", 3, &was, &e), -1);
        faults(NULL);
        struct sha256 key = sha256_of("abc", 3);
        assert_int_equal(stat(object_path(key), &before), 0);
        assert_int_equal(put(s, "abc", 3, &was, &e), 0);
        assert_true(was.existed);
        assert_int_equal(stat(object_path(key), &after), 0);
        assert_int_not_equal(before.st_ino, after.st_ino);
        storage_state(s, &health);
        assert_non_null(strstr(health.note, "could not be synced"));
        storage_close(s);
}

static void a_failed_upload_stays_failed(void **state)
{
        struct storage *s = opened();
        struct storage_put *p;
        struct stored was;
        struct err e;

        (void)state;
        assert_int_equal(storage_put_begin(s, &p, &e), 0);
        assert_int_equal(storage_put_write(p, "abc", 3, &e), 0);
        faults("storage.fsync=eio");
        assert_int_equal(storage_put_seal(p, &was, &e), -1);
        assert_int_equal(storage_put_seal(p, &was, &e), -1);
        assert_int_equal(storage_put_commit(p, &was, &e), -1);
        storage_put_end(p);
        storage_close(s);
}

/* In a child with a mount name space of its own; 77 tells that mounting is not permitted. */
static int in_own_mounts(int (*run)(void), const char *options, unsigned long flags)
{
        int status;
        pid_t pid = fork();

        if (pid == 0) {
                if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
                    mount("tmpfs", root, "tmpfs", flags, options) < 0)
                        _exit(77);
                _exit(run());
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        return WEXITSTATUS(status);
}

#define WANT(cond)                                                                                                     \
        do {                                                                                                           \
                if (!(cond)) {                                                                                         \
                        fprintf(stderr, "line %d: %s\n", __LINE__, #cond);                                             \
                        return 1;                                                                                      \
                }                                                                                                      \
        } while (0)

static int fill_the_disk(void)
{
        static char bytes[600 * 1024];
        struct storage *s = NULL;
        struct stored was;
        struct err e = {0};
        unsigned kept = 0;

        WANT(open_at(root, false, &s, &e) == 0);
        for (; kept < 100; kept++) {
                memset(bytes, (int)kept, sizeof bytes);
                if (put(s, bytes, sizeof bytes, &was, &e) < 0)
                        break;
        }
        WANT(kept > 2 && kept < 100 && e.code == ERR_NO_SPACE);
        for (unsigned i = 0; i < kept; i++) {
                int fd;
                memset(bytes, (int)i, sizeof bytes);
                WANT(storage_open_object(s, sha256_of(bytes, sizeof bytes), sizeof bytes, &fd, &e) == 0);
                close(fd);
        }
        WANT(entries(in_root("tmp")) == 0);
        storage_close(s);
        WANT(open_at(root, true, &s, &e) == 0); /* a full disk still serves */
        WANT(storage_remove_object(s, was.sha256, &e) == 0);
        memset(bytes, 0, sizeof bytes);
        WANT(storage_remove_object(s, sha256_of(bytes, sizeof bytes), &e) == 0);
        WANT(put(s, bytes, sizeof bytes, &was, &e) == 0);
        storage_close(s);
        return 0;
}

static void what_must_stay_free_is_not_taken(void **state)
{
        struct storage *s = opened();
        struct stored was;
        struct err e = {0};
        int fd = -1;

        (void)state;
        assert_int_equal(put(s, "kept", 4, &was, &e), 0);
        storage_close(s);
        assert_int_equal(
                storage_open(&(struct storage_opts){.url = "fs://", .path = root, .min_free = UINT64_MAX}, &s, &e), 0);
        assert_int_equal(put(s, "more", 4, &was, &e), -1);
        assert_int_equal(e.code, ERR_NO_SPACE);
        assert_non_null(strstr(e.msg, "MIN_FREE_SPACE"));
        was.sha256 = sha256_of("kept", 4);
        assert_int_equal(storage_open_object(s, was.sha256, 4, &fd, &e), 0);
        close(fd);
        assert_int_equal(storage_remove_object(s, was.sha256, &e), 0);
        storage_close(s);
}

static void a_full_disk_refuses_and_keeps(void **state)
{
        int rc = in_own_mounts(fill_the_disk, "size=4m", 0);

        (void)state;
        if (rc == 77) {
                print_message("mounting is not permitted here: skipped\n");
                skip();
        }
        assert_int_equal(rc, 0);
}

static int open_read_only(void)
{
        struct storage *s = NULL;
        struct err e = {0};

        WANT(open_at(root, false, &s, &e) == -1);
        WANT(strstr(e.msg, "Read-only file system") && strstr(e.msg, root));
        return 0;
}

static int turn_read_only(void)
{
        struct storage *s = NULL;
        struct storage_state st;
        struct stored was;
        struct err e = {0};

        WANT(open_at(root, false, &s, &e) == 0);
        WANT(mount(NULL, root, NULL, MS_REMOUNT | MS_RDONLY, NULL) == 0);
        WANT(put(s, "abc", 3, &was, &e) == -1);
        WANT(strstr(e.msg, "Read-only file system"));
        storage_state(s, &st);
        WANT(!st.writable && strstr(st.note, "Read-only"));
        storage_close(s);
        WANT(open_at(root, true, &s, &e) == -1);
        WANT(strstr(e.msg, "not writable"));
        return 0;
}

static void a_read_only_directory_is_named(void **state)
{
        int rc = in_own_mounts(open_read_only, "size=4m", MS_RDONLY);

        (void)state;
        if (rc == 77) {
                print_message("mounting is not permitted here: skipped\n");
                skip();
        }
        assert_int_equal(rc, 0);
        assert_int_equal(in_own_mounts(turn_read_only, "size=4m", 0), 0);
}

/* ---- kill -9 -------------------------------------------------------------------- */

struct acknowledged {
        struct sha256 key;
        uint32_t seed, size;
};

static void make_bytes(char *p, uint32_t seed, uint32_t size)
{
        uint64_t x = seed + 1;

        for (uint32_t i = 0; i < size; i++) {
                x = x * 6364136223846793005u + 1442695040888963407u;
                p[i] = (char)(x >> 56);
        }
}

#define LARGEST 150000

struct writer {
        struct storage *s;
        int pipe;
        uint32_t seed;
};

static void *write_for_ever(void *arg)
{
        struct writer *w = arg;
        static _Thread_local char bytes[LARGEST];

        for (uint32_t seed = w->seed;; seed += 4) {
                struct acknowledged a = {.seed = seed / 6,
                                         .size = seed / 6 * 7919 % LARGEST}; /* repeats: also links that exist */
                struct stored was;
                struct err e = {0};
                make_bytes(bytes, a.seed, a.size);
                if (put(w->s, bytes, a.size, &was, &e) < 0)
                        _exit(3);
                a.key = was.sha256;
                if (write(w->pipe, &a, sizeof a) != sizeof a)
                        _exit(4);
                if (storage_put_derived(w->s, was.sha256, "thumb.webp", SPAN("thumb"), &e) < 0)
                        _exit(7);
        }
        return NULL;
}

static void write_until_killed(int pipe, uint32_t seed, const char *fault)
{
        struct writer w[4];
        char spec[160];
        pthread_t t;
        struct err e = {0};

        snprintf(spec, sizeof spec, "%s%s%s", way ? way : "", way && fault ? "," : "", fault ? fault : "");
        faults(spec);
        if (open_at(root, false, &w[0].s, &e) < 0)
                _exit(5);
        for (unsigned i = 0; i < 4; i++) {
                w[i] = (struct writer){w[0].s, pipe, seed + i};
                if (thread_start(&t, "writer", write_for_ever, &w[i]) < 0)
                        _exit(6);
        }
        for (;;)
                pause();
}

static unsigned check_acknowledged(struct storage *s, int pipe)
{
        static char want[LARGEST], got[LARGEST + 1];
        struct acknowledged a;
        unsigned n = 0;

        for (; read(pipe, &a, sizeof a) == sizeof a; n++) {
                struct err e = {0};
                int fd;
                make_bytes(want, a.seed, a.size);
                if (storage_open_object(s, a.key, a.size, &fd, &e) < 0)
                        fail_msg("acknowledged and lost: %s", e.msg);
                assert_int_equal(read(fd, got, sizeof got), a.size);
                assert_memory_equal(got, want, a.size);
                close(fd);
        }
        return n;
}

/* Everything under an address is whole, acknowledged or not. */
static int check_whole(const char *path, const struct stat *st, int kind, struct FTW *at)
{
        struct sha256 key;
        struct err e;
        char *bytes;
        size_t n;

        (void)st;
        if (kind != FTW_F)
                return 0;
        assert_true(sha256_parse(span_of(path + at->base), &key));
        assert_int_equal(file_read_all(path, LARGEST, &bytes, &n, &e), 0);
        assert_true(sha256_eq(key, sha256_of(bytes, n)));
        mem_free(bytes);
        return 0;
}

static unsigned kill_once(uint32_t seed, unsigned after_us, const char *fault)
{
        int ends[2], status;
        struct storage *s;
        unsigned n;
        pid_t pid;

        assert_int_equal(pipe(ends), 0);
        assert_true(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) > 0);
        pid = fork();
        if (pid == 0)
                write_until_killed(ends[1], seed, fault);
        close(ends[1]);
        if (!fault) {
                sleep_for((struct dur){(int64_t)after_us * 1000});
                kill(pid, SIGKILL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        s = opened();
        assert_int_equal(entries(in_root("tmp")), 0);
        n = check_acknowledged(s, ends[0]);
        storage_close(s);
        close(ends[0]);
        return n;
}

static void what_was_acknowledged_survives_a_kill(void **state)
{
        unsigned kept = 0;

        (void)state;
        for (uint32_t i = 0; i < 30; i++) {
                way = ways[i % COUNT_OF(ways)];
                kept += kill_once(i * 1000, 2000 + (unsigned)(random_u64() % 120000), NULL);
        }
        print_message("%u acknowledged uploads checked\n", kept);
        assert_true(kept > 0);
        nftw(in_root("objects"), check_whole, 16, FTW_PHYS);
}

static void what_was_acknowledged_survives_a_kill_at_each_step(void **state)
{
        static const char *const points[] = {"storage.write",       "storage.write.after",  "storage.fsync",
                                             "storage.fsync.after", "storage.link",         "storage.link.after",
                                             "storage.dirsync",     "storage.dirsync.after"};

        (void)state;
        for (uint32_t i = 0; i < COUNT_OF(points) * COUNT_OF(ways); i++) {
                char spec[64];
                way = ways[i / COUNT_OF(points)];
                snprintf(spec, sizeof spec, "%s=kill@%u", points[i % COUNT_OF(points)], 5 + i);
                kill_once(100000 + i * 1000, 0, spec);
        }
        nftw(in_root("objects"), check_whole, 16, FTW_PHYS);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(a_failed_step_fails_the_upload, set_up, tear_down),
                cmocka_unit_test_setup_teardown(an_entry_whose_sync_failed_is_made_anew, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_failed_upload_stays_failed, set_up, tear_down),
                cmocka_unit_test_setup_teardown(what_must_stay_free_is_not_taken, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_full_disk_refuses_and_keeps, set_up, tear_down),
                cmocka_unit_test_setup_teardown(a_read_only_directory_is_named, set_up, tear_down),
                cmocka_unit_test_setup_teardown(what_was_acknowledged_survives_a_kill, set_up, tear_down),
                cmocka_unit_test_setup_teardown(what_was_acknowledged_survives_a_kill_at_each_step, set_up, tear_down),
        };

        return cmocka_run_group_tests_name("storage_fs_fail", tests, NULL, NULL);
}
