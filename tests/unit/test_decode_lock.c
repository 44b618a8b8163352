/* SPDX-License-Identifier: Apache-2.0 */
/* A decoder that a file has taken over: whatever it tries is stopped, costs that one file, and the next one works. */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <arpa/inet.h>
#include <errno.h>
#include <seccomp.h>
#include "decode/lock_priv.h"
#include "jail/kernel.h"
#include "jail_help.h"

#define HOSTILE BIN_DIR "/../tests/hostile_decoder"

static struct jail *jail;

static int setup(void **state)
{
        (void)state;
        jail = open_jail(HOSTILE, 1, 120, 0);
        return metrics_init();
}

static int teardown(void **state)
{
        (void)state;
        jail_close(jail);
        metrics_done();
        return 0;
}

static void need(unsigned locks)
{
        if ((jail_kernel_locks() & locks) != locks) {
                print_message("skipped: %s\n", jail_lacks(jail_kernel_locks()));
                skip();
        }
}

static enum err_code provoke(struct jail *j, const char *word, struct err *e)
{
        char text[64];
        snprintf(text, sizeof text, "hostile:%s", word);
        return decode_fd(j, file_of(text), &everything, e);
}

static uint64_t deaths(struct jail *j)
{
        struct jail_state s;
        jail_state(j, &s);
        return s.crashes + s.timeouts;
}

/* One file ended so, at the cost of so many children, and the next one works. A line of the table. */
static void costs_one_file(struct jail *j, const char *word, enum err_code code, const char *says,
                           unsigned children_lost)
{
        struct err e;
        uint64_t before = deaths(j);
        enum err_code got = provoke(j, word, &e);
        print_message("| %s | %s | %s |\n", word, e.msg, children_lost ? "one child, one file" : "one file");
        if (got != code || !strstr(e.msg, says))
                fail_msg("%s: %s: %s", word, err_name(got), e.msg);
        if (deaths(j) - before != children_lost)
                fail_msg("%s cost %u children", word, (unsigned)(deaths(j) - before));
        got = decode_fd(j, open_data("images/small.jpg"), &everything, &e);
        if (got != ERR_NONE)
                fail_msg("after %s: %s: %s", word, err_name(got), e.msg);
        if (deaths(j) - before != children_lost)
                fail_msg("%s cost the next file too", word);
}

static void forbidden_calls_end_the_process(void **state)
{
        static const char *const words[] = {"socket",        "socketpair",
                                            "sendmsg",       "recv-other",
                                            "fork",          "vfork",
                                            "new-user",      "unshare",
                                            "exec",          "exec-fd",
                                            "ptrace",        "peek",
                                            "memfd",         "map-exec",
                                            "make-exec",     "unlink",
                                            "mkdir",         "root",
                                            "dumpable",      "raise-limit",
                                            "leave-group",   "io-uring",
                                            "bpf",           "kill-parent",
                                            "kill-group",    "kill-thread-of-other",
                                            "thread-socket", "thread-fork"};
        (void)state;
        need(JAIL_LOCK_CALLS);
        for (size_t i = 0; i < COUNT_OF(words); i++)
                costs_one_file(jail, words[i], ERR_CRASHED, "a system call that is forbidden", 1);
#ifdef __x86_64__
        costs_one_file(jail, "32bit", ERR_CRASHED, "", 1); /* without support for 32 bit it is a fault instead */
#endif
}

/* Libraries ask these in passing; a new version of one must not cost every file. */
static void answers_in_passing(struct jail *j)
{
        costs_one_file(j, "getcwd", ERR_INTERNAL, "ENOENT", 0);
        costs_one_file(j, "uname", ERR_INTERNAL, "ENOSYS", 0);
        costs_one_file(j, "chmod", ERR_INTERNAL, "EPERM", 0);
}

static void files_are_not_there(void **state)
{
        static const char *const words[] = {"open", "open-library", "create",     "proc-fd",
                                            "stat", "readlink",     "thread-open"};
        (void)state;
        need(JAIL_LOCK_CALLS);
        for (size_t i = 0; i < COUNT_OF(words); i++)
                costs_one_file(jail, words[i], ERR_INTERNAL, "ENOENT", 0);
        costs_one_file(jail, "clone3", ERR_INTERNAL, "ENOSYS", 0);
        answers_in_passing(jail);
        assert_int_equal(access("/tmp/hostile-decoder-was-here", F_OK), -1);
}

static struct jail *open_documents(void)
{
        const struct jail_opts o = {.decoder_path = HOSTILE,
                                    .children = 1,
                                    .timeout = dur_s(120),
                                    .cpu = dur_s(240),
                                    .profile = JAIL_DOCUMENTS};
        struct jail *j;
        struct err e;
        assert_int_equal(jail_open(&o, &j, &e), 0);
        return j;
}

static void documents_read_fonts_and_nothing_else(void **state)
{
        static const char *const refused[] = {"open",
                                              "open-library",
                                              "proc-fd",
                                              "beside-fonts",
                                              "create",
                                              "write-font-settings",
                                              "empty-font-settings",
                                              "create-font",
                                              "unnamed-file",
                                              "path-only",
                                              "thread-open",
                                              "thread-create-font"};
        static const char *const forbidden[] = {"socket", "fork", "exec", "ptrace", "map-exec", "unlink", "mkdir"};
        static const char *const allowed[] = {"open-font-settings", "list-fonts", "draw-text", "thread-list-fonts"};
        (void)state;
        need(JAIL_LOCK_ALL);
        struct jail *j = open_documents();
        for (size_t i = 0; i < COUNT_OF(refused); i++)
                costs_one_file(j, refused[i], ERR_INTERNAL, "EACCES", 0);
        answers_in_passing(j);
        for (size_t i = 0; i < COUNT_OF(forbidden); i++)
                costs_one_file(j, forbidden[i], ERR_CRASHED, "a system call that is forbidden", 1);
        if (access("/etc/fonts/fonts.conf", R_OK) || access("/usr/share/fonts", R_OK))
                print_message("no fonts here: what may be read was not tried\n");
        else
                for (size_t i = 0; i < COUNT_OF(allowed); i++)
                        costs_one_file(j, allowed[i], ERR_CORRUPT, "went through", 0);
        jail_close(j);
        /* the same words under the other profile */
        for (size_t i = 0; i < COUNT_OF(allowed); i++)
                costs_one_file(jail, allowed[i], ERR_INTERNAL, "ENOENT", 0);
}

static void child_that_holds_much_memory_is_replaced_between_files(void **state)
{
        const struct jail_opts o = {.decoder_path = HOSTILE,
                                    .children = 1,
                                    .timeout = dur_s(120),
                                    .cpu = dur_s(240),
                                    .recycle_bytes = 384 << 20};
        struct jail *j;
        struct err e;
        pid_t first = 0, now = 0;
        (void)state;
        jail_close(jail);
        assert_int_equal(jail_open(&o, &j, &e), 0);
        for (int i = 0; i < 3; i++) /* one that holds little stays */
                assert_int_equal(decode_fd(j, open_data("images/small.jpg"), &everything, &e), ERR_NONE);
        assert_int_equal(children(&first), 1);
        assert_int_equal(decode_fd(j, open_data("images/small.jpg"), &everything, &e), ERR_NONE);
        assert_true(children(&now) == 1 && now == first);
        assert_int_equal(provoke(j, "hold-memory", &e), ERR_INTERNAL);
        assert_int_equal(children(&now), 0);
        assert_int_equal(decode_fd(j, open_data("images/small.jpg"), &everything, &e), ERR_NONE);
        assert_int_equal(deaths(j), 0); /* nobody is charged */
        jail_close(j);
        jail = open_jail(HOSTILE, 1, 120, 0);
}

static void limits_hold(void **state)
{
        (void)state;
        costs_one_file(jail, "write-on", ERR_INTERNAL, "EFBIG", 0);
        jail_close(jail); /* what was taken stays taken: a fresh child for each */
        jail = open_jail(HOSTILE, 1, 120, 1);
        costs_one_file(jail, "descriptors", ERR_INTERNAL, "EMFILE", 0);
#ifndef FA_ASAN /* which has no limit of address space */
        costs_one_file(jail, "allocate", ERR_INTERNAL, "ENOMEM", 0);
        costs_one_file(jail, "threads", ERR_INTERNAL, "EAGAIN", 0);
#endif
        jail_close(jail);
        jail = open_jail(HOSTILE, 1, 120, 0);
}

static void deaths_are_told_apart(void **state)
{
        static const struct {
                const char *word, *says;
        } rows[] = {
                {"signal-9", "killed"},       {"signal-15", "Terminated"}, {"signal-34", "without a name"},
                {"exit", "ended by itself"},  {"hang-up", "killed"},
#ifndef FA_ASAN /* whose handlers report these and end the process themselves */
                {"abort", "Aborted"},         {"recurse", "Segmentation"}, {"signal-11", "Segmentation"},
                {"signal-7", "Bus error"},    {"signal-8", "exception"},   {"signal-4", "Illegal instruction"},
                {"signal-31", "system call"},
#endif
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++)
                costs_one_file(jail, rows[i].word, ERR_CRASHED, rows[i].says, 1);
        assert_int_equal(children(NULL), 1);
}

static void endless_work_meets_the_wall_clock(void **state)
{
        static const char *const words[] = {"loop", "ignore-and-loop", "sleep"};
        (void)state;
        struct jail *j = open_jail(HOSTILE, 1, 5, 0);
        for (size_t i = 0; i < COUNT_OF(words); i++)
                costs_one_file(j, words[i], ERR_TIMEOUT, "longer than allowed", 1);
        jail_close(j);
}

static struct jail *open_short_lived(double cpu)
{
        const struct jail_opts o = {.decoder_path = HOSTILE, .children = 1, .timeout = dur_s(120), .cpu = dur_s(cpu)};
        struct jail *j;
        struct err e;
        assert_int_equal(jail_open(&o, &j, &e), 0);
        return j;
}

static void endless_work_meets_the_cpu_clock_even_if_signals_are_ignored(void **state)
{
        (void)state;
        struct jail *j = open_short_lived(1);
        costs_one_file(j, "loop", ERR_CRASHED, "used up its CPU time", 1);
        costs_one_file(j, "ignore-and-loop", ERR_CRASHED, "killed", 1);
        jail_close(j);
}

static void child_that_has_used_half_its_cpu_time_is_replaced_between_files(void **state)
{
        (void)state;
        struct jail *j =
                open_short_lived(8); /* half a second a file; the start takes less than the first four seconds */
        struct err e;
        pid_t first = 0, now = 0;
        jail_close(jail);
        assert_int_equal(provoke(j, "burn", &e), ERR_INTERNAL);
        assert_int_equal(children(&first), 1);
        for (int i = 0; i < 8 && children(&now) && now == first; i++)
                assert_int_equal(provoke(j, "burn", &e), ERR_INTERNAL);
        assert_int_equal(children(&now), 0);
        assert_int_equal(decode_fd(j, open_data("images/small.jpg"), &everything, &e), ERR_NONE);
        assert_int_equal(deaths(j), 0);
        jail_close(j);
        jail = open_jail(HOSTILE, 1, 120, 0);
}

/* ---- what the kernel says of a locked child -------------------------------------------- */

static void status_line(const char *path, const char *key, char *out, size_t n)
{
        char line[256];
        FILE *f = fopen(path, "re");
        *out = 0;
        while (f && fgets(line, sizeof line, f))
                if (!strncmp(line, key, strlen(key)))
                        snprintf(out, n, "%s", line + strlen(key));
        if (f)
                fclose(f);
}

static void every_thread_is_locked_and_powerless(void **state)
{
        (void)state;
        struct err e;
        pid_t pid = 0;
        char path[600], value[256];
        unsigned threads = 0;
        need(JAIL_LOCK_CALLS);
        jail_close(jail);
        jail = open_jail(REAL, 1, 120, 0);
        assert_int_equal(decode_fd(jail, open_data("images/small.avif"), &everything, &e), ERR_NONE);
        assert_int_equal(decode_fd(jail, open_data("images/small.jxl"), &everything, &e), ERR_NONE);
        assert_int_equal(children(&pid), 1);
        snprintf(path, sizeof path, "/proc/%d/task", pid);
        DIR *d = opendir(path);
        assert_non_null(d);
        for (struct dirent *t; (t = readdir(d));) {
                if (t->d_name[0] == '.')
                        continue;
                threads++;
                snprintf(path, sizeof path, "/proc/%d/task/%s/status", pid, t->d_name);
                status_line(path, "Seccomp:", value, sizeof value);
                assert_int_equal(strtol(value, NULL, 10), 2);
                status_line(path, "NoNewPrivs:", value, sizeof value);
                assert_int_equal(strtol(value, NULL, 10), 1);
                status_line(path, "CapPrm:", value, sizeof value);
                assert_int_equal(strtoull(value, NULL, 16), 0);
                status_line(path, "Uid:", value, sizeof value);
                if (geteuid() == 0)
                        assert_string_equal(value, "\t65534\t65534\t65534\t65534\n");
        }
        closedir(d);
        assert_true(threads >= 2); /* else nothing was said about threads */
        jail_close(jail);
        jail = open_jail(HOSTILE, 1, 120, 0);
}

static void locked_child_holds_four_descriptors(void **state)
{
        (void)state;
        struct err e;
        pid_t pid = 0;
        char path[64];
        int n = 0;
        assert_int_equal(decode_fd(jail, open_data("images/small.jpg"), &everything, &e), ERR_NONE);
        assert_int_equal(children(&pid), 1);
        snprintf(path, sizeof path, "/proc/%d/fd", pid);
        DIR *d = opendir(path);
        if (!d) { /* it is not dumpable: only root may look */
                print_message("skipped: %s\n", strerror(errno));
                skip();
        }
        for (struct dirent *f; (f = readdir(d));)
                n += f->d_name[0] != '.';
        closedir(d);
        assert_int_equal(n, JAIL_FD + 1);
}

/* ---- Landlock without seccomp in front of it -------------------------------------------- */

/* fn in a process of its own, which a lock cannot outlive; what it returns, at most 255. */
static int in_process(int (*fn)(void))
{
        int status = 0;
        pid_t pid = fork();
        if (!pid)
                _exit(fn());
        assert_int_equal(waitpid(pid, &status, 0), pid);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void *open_passwd(void *arg)
{
        (void)arg;
        return (void *)(intptr_t)(open("/etc/passwd", O_RDONLY) < 0 ? errno : 0);
}

static int landlock_alone(void)
{
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9), .sin_addr = {htonl(INADDR_LOOPBACK)}};
        char *argv[] = {(char *)"true", NULL};
        int tcp = socket(AF_INET, SOCK_STREAM, 0), abi = jail_landlock_abi();
        unsigned locks = 0;
        pthread_t t;
        void *in_thread;
        struct err e;
        if (tcp < 0 || open_passwd(NULL) || lock_identity(&e) || lock_files(JAIL_MEDIA, &locks, &e) ||
            locks != JAIL_LOCK_FILES)
                return 1;
        if (open_passwd(NULL) != (void *)EACCES)
                return 2;
        if (open("/usr/lib", O_RDONLY | O_DIRECTORY) < 0)
                return 3;
        if (open("/tmp/landlock-was-here", O_CREAT | O_WRONLY, 0600) >= 0 || errno != EACCES)
                return 4;
        if (!execv("/bin/true", argv) || errno != EACCES)
                return 5;
        if (pthread_create(&t, NULL, open_passwd, NULL) || pthread_join(t, &in_thread) || in_thread != (void *)EACCES)
                return 6;
        if (abi >= 4 && (!connect(tcp, (struct sockaddr *)&to, sizeof to) || errno != EACCES))
                return 7;
        if (abi >= 6 && (!kill(getppid(), 0) || errno != EPERM))
                return 8;
        return 0;
}

static void landlock_leaves_libraries_to_be_read_and_nothing_else(void **state)
{
        (void)state;
        need(JAIL_LOCK_FILES);
        assert_int_equal(in_process(landlock_alone), 0);
}

/* ---- kernels that lack something ---------------------------------------------------------- */

/* What a container's policy does: these calls answer EPERM, for us and for all we start. */
static int deny(const int *calls, size_t n)
{
        scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);
        int r = f ? 0 : -1;
        for (size_t i = 0; !r && i < n; i++)
                r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), calls[i], 0);
        if (!r)
                r = seccomp_load(f);
        seccomp_release(f);
        return r;
}

static int decodes_and_says(const char *isolation)
{
        const struct jail_opts o = {.decoder_path = REAL, .children = 1, .timeout = dur_s(120), .cpu = dur_s(240)};
        struct decode_result r;
        struct jail_state s;
        struct jail *j;
        struct err e;
        int rc = 0, fd = open(TEST_DATA "/images/small.jpg", O_RDONLY);
        if (fd < 0 || jail_open(&o, &j, &e))
                return 1;
        jail_state(j, &s);
        if (strcmp(s.isolation, isolation) || !*s.note) /* what the parent says before the first child */
                rc = 2;
        if (!rc && jail_decode(j, fd, &everything, &r, &e))
                rc = 3;
        if (!rc)
                decode_result_done(&r);
        jail_state(j, &s);
        if (!rc && (strcmp(s.isolation, isolation) || !*s.note)) /* what that child says */
                rc = 4;
        jail_close(j);
        close(fd);
        return rc;
}

static int without_landlock(void)
{
        const int calls[] = {SCMP_SYS(landlock_create_ruleset)};
        return deny(calls, COUNT_OF(calls)) ? 9 : decodes_and_says("seccomp");
}

static int without_seccomp(void)
{
        const int calls[] = {SCMP_SYS(seccomp)};
        return deny(calls, COUNT_OF(calls)) ? 9 : decodes_and_says("landlock");
}

static int without_both(void)
{
        const int calls[] = {SCMP_SYS(landlock_create_ruleset), SCMP_SYS(seccomp)};
        return deny(calls, COUNT_OF(calls)) ? 9 : decodes_and_says("process");
}

static void lesser_kernels_decode_and_say_what_they_lack(void **state)
{
        (void)state;
        need(JAIL_LOCK_ALL);
        assert_int_equal(in_process(without_landlock), 0);
        assert_int_equal(in_process(without_seccomp), 0);
        assert_int_equal(in_process(without_both), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(forbidden_calls_end_the_process),
                cmocka_unit_test(files_are_not_there),
                cmocka_unit_test(documents_read_fonts_and_nothing_else),
                cmocka_unit_test(child_that_holds_much_memory_is_replaced_between_files),
                cmocka_unit_test(limits_hold),
                cmocka_unit_test(deaths_are_told_apart),
                cmocka_unit_test(endless_work_meets_the_wall_clock),
                cmocka_unit_test(endless_work_meets_the_cpu_clock_even_if_signals_are_ignored),
                cmocka_unit_test(child_that_has_used_half_its_cpu_time_is_replaced_between_files),
                cmocka_unit_test(every_thread_is_locked_and_powerless),
                cmocka_unit_test(locked_child_holds_four_descriptors),
                cmocka_unit_test(landlock_leaves_libraries_to_be_read_and_nothing_else),
                cmocka_unit_test(lesser_kernels_decode_and_say_what_they_lack),
        };
        return cmocka_run_group_tests(tests, setup, teardown);
}
