/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One decoder process: start, communication, end. The hard part is what it must not inherit: no descriptor but its
 * socket, no environment but what it needs, no blocked signals, and no way to make the parent wait or die with it.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "jail/jail_priv.h"

#define HELLO_SECONDS 30

/* ---- spawn ------------------------------------------------------------------ */

/* Its whole environment. Sanitizer options are passed on, so that tests can look inside. */
static void fill_environment(char *env[], size_t max)
{
        static char *const fixed[] = {"VIPS_CONCURRENCY=1", "VIPS_BLOCK_UNTRUSTED=1", "OMP_THREAD_LIMIT=1", "LC_ALL=C",
                                      /* never spill a picture to a temporary file */
                                      "VIPS_DISC_THRESHOLD=4g",
                                      /* two heaps do for one decoding thread; more only cost memory */
                                      "MALLOC_ARENA_MAX=2"};
        static const char *const passed[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"};
        extern char **environ;
        size_t n = 0;
        for (size_t i = 0; i < COUNT_OF(fixed) && n + 1 < max; i++)
                env[n++] = fixed[i];
        for (char **v = environ; v && *v; v++)
                for (size_t i = 0; i < COUNT_OF(passed) && n + 1 < max; i++)
                        if (!strncmp(*v, passed[i], strlen(passed[i])) && (*v)[strlen(passed[i])] == '=')
                                env[n++] = *v;
        env[n] = NULL;
}

/* 0 or an errno. */
static int spawn_actions(posix_spawn_file_actions_t *fa, int sock)
{
        /* the socket first: it may itself be 0, 1 or 2 when our own stdio is closed */
        int r = posix_spawn_file_actions_adddup2(fa, sock, JAIL_FD);
        if (!r)
                r = posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0);
        if (!r)
                r = posix_spawn_file_actions_addopen(fa, 1, "/dev/null", O_WRONLY, 0);
        if (!r && fcntl(STDERR_FILENO, F_GETFD) < 0)
                r = posix_spawn_file_actions_addopen(fa, 2, "/dev/null", O_WRONLY, 0);
        if (!r)
                r = posix_spawn_file_actions_addclosefrom_np(fa, JAIL_FD + 1);
        return r;
}

/* 0 or an errno. */
static int spawn_attributes(posix_spawnattr_t *at)
{
        /* our threads block all signals and may ignore SIGPIPE; the child must not inherit either */
        sigset_t none, all;
        sigemptyset(&none);
        sigfillset(&all);
        int r = posix_spawnattr_setsigmask(at, &none);
        if (!r)
                r = posix_spawnattr_setsigdefault(at, &all);
        if (!r)
                r = posix_spawnattr_setpgroup(at, 0);
        if (!r)
                r = posix_spawnattr_setflags(at,
                                             POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
        return r;
}

/* 0 or an errno. */
static int spawn_child(const struct jail_opts *o, int sock, pid_t *pid)
{
        static const char *const profiles[] = JAIL_PROFILE_NAMES;
        char seconds[24], *env[16],
                *argv[] = {(char *)"file-allocator-decode", seconds, (char *)(uintptr_t)profiles[o->profile], NULL};
        posix_spawn_file_actions_t fa;
        posix_spawnattr_t at;
        int r = posix_spawn_file_actions_init(&fa);
        if (r)
                return r;
        r = posix_spawnattr_init(&at);
        if (!r) {
                snprintf(seconds, sizeof seconds, "%.0f", ceil(dur_seconds(o->cpu)));
                fill_environment(env, COUNT_OF(env));
                r = spawn_actions(&fa, sock);
                if (!r)
                        r = spawn_attributes(&at);
                if (!r)
                        r = posix_spawn(pid, o->decoder_path, &fa, &at, argv, env);
                posix_spawnattr_destroy(&at);
        }
        posix_spawn_file_actions_destroy(&fa);
        return r;
}

/* ---- end ---------------------------------------------------------------------- */

int child_kill(struct child *c)
{
        int status = 0;
        if (c->pid > 0) {
                kill(-c->pid, SIGKILL); /* including whatever it may have started */
                kill(c->pid, SIGKILL);
                while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
                        ;
                fd_close(&c->fd);
        }
        *c = (struct child){.fd = -1};
        return status;
}

/* For a child that closed its socket itself, most likely by dying: our own SIGKILL came too late to be the cause. */
static const char *how_ended(int status)
{
        if (!WIFSIGNALED(status))
                return "it ended by itself";
        switch (WTERMSIG(status)) {
        case SIGSYS:
                return "it made a system call that is forbidden to it";
        case SIGXCPU:
                return "it used up its CPU time";
        case SIGKILL:
                return "killed, perhaps for want of memory";
        default:
                break;
        }
        const char *signal = sigdescr_np(WTERMSIG(status));
        return signal ? signal : "a signal without a name";
}

uint64_t child_resident(const struct child *c)
{
        char path[32];
        unsigned long long size, resident = 0;
        snprintf(path, sizeof path, "/proc/%d/statm", c->pid);
        FILE *f = fopen(path, "re"); /* readable by everyone, even for a process that is not dumpable */
        if (f && fscanf(f, "%llu %llu", &size, &resident) != 2)
                resident = 0;
        if (f)
                fclose(f);
        return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct dur child_cpu(const struct child *c)
{
        clockid_t clock;
        struct timespec t;
        if (clock_getcpuclockid(c->pid, &clock) || clock_gettime(clock, &t))
                return (struct dur){0};
        return (struct dur){(int64_t)t.tv_sec * 1000000000 + t.tv_nsec};
}

/* ---- talk -------------------------------------------------------------------- */

/* recv with a deadline. Returns the number of bytes (0: the other end is closed), or -1 with errno (ETIMEDOUT). */
static ssize_t receive_until(int fd, void *p, size_t n, struct mono deadline)
{
        for (;;) {
                int64_t left = deadline.ns - mono_now().ns;
                if (left <= 0) {
                        errno = ETIMEDOUT;
                        return -1;
                }
                int64_t ms = left / 1000000 + 1;
                struct pollfd pf = {.fd = fd, .events = POLLIN};
                int r = poll(&pf, 1, ms > 1 << 30 ? 1 << 30 : (int)ms);
                if (r < 0 && errno != EINTR)
                        return -1;
                if (r <= 0)
                        continue;
                /* MSG_TRUNC: returns the true length of the message, so that a longer one is detected */
                ssize_t got = recv(fd, p, n, MSG_DONTWAIT | MSG_TRUNC);
                if (got >= 0 || (errno != EINTR && errno != EAGAIN))
                        return got;
        }
}

static int await_hello(struct child *c, struct err *e)
{
        struct jail_hello hello;
        ssize_t n = receive_until(c->fd, &hello, sizeof hello, mono_add(mono_now(), dur_s(HELLO_SECONDS)));
        if (n < 0 && errno == ETIMEDOUT)
                return err_set(e, ERR_UNAVAILABLE, "the decoder did not get ready within %d s", HELLO_SECONDS);
        if (n <= 0)
                return err_set(e, ERR_UNAVAILABLE, "the decoder ended before it was ready: %s",
                               how_ended(child_kill(c)));
        if ((size_t)n != sizeof hello || hello.magic != JAIL_MAGIC || hello.version != JAIL_VERSION)
                return err_set(e, ERR_UNAVAILABLE, "the decoder speaks another version of the protocol");
        c->locks = hello.locks & JAIL_LOCK_ALL;
        return 0;
}

int child_start(struct child *c, const struct jail_opts *o, struct err *e)
{
        int sv[2];
        *c = (struct child){.fd = -1};
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv))
                return err_set(e, ERR_UNAVAILABLE, "no socket for a decoder: %s", strerror(errno));
        pid_t pid;
        int r = spawn_child(o, sv[1], &pid);
        fd_close(&sv[1]);
        if (r) {
                fd_close(&sv[0]);
                return err_set(e, ERR_UNAVAILABLE, "cannot start the decoder %s: %s", o->decoder_path, strerror(r));
        }
        c->pid = pid;
        c->fd = sv[0];
        if (await_hello(c, e)) {
                child_kill(c);
                return -1;
        }
        return 0;
}

/* The child is dead, or has sent something unasked: that could be taken for its reply to this file. */
static bool child_unfit(const struct child *c)
{
        struct pollfd pf = {.fd = c->fd, .events = POLLIN};
        return poll(&pf, 1, 0) != 0;
}

int child_send(struct child *c, const struct jail_request *req, int input, int memfd, bool *sent, struct err *e)
{
        union {
                struct cmsghdr head;
                char room[CMSG_SPACE(2 * sizeof(int))];
        } control;
        memset(&control, 0, sizeof control);
        struct iovec iov = {.iov_base = (void *)(uintptr_t)req, .iov_len = sizeof *req};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(2 * sizeof(int));
        memcpy(CMSG_DATA(h), (int[]){input, memfd}, 2 * sizeof(int));
        ssize_t n;
        *sent = false;
        if (child_unfit(c))
                return err_set(e, ERR_CRASHED, "the decoder had died or was out of step");
        do
                n = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        while (n < 0 && errno == EINTR);
        *sent = n == (ssize_t)sizeof *req;
        return *sent ? 0 : err_set(e, ERR_CRASHED, "the decoder was gone: %s", strerror(errno));
}

int child_receive(struct child *c, struct mono deadline, struct jail_reply *r, size_t *n, struct err *e)
{
        ssize_t got = receive_until(c->fd, r, sizeof *r, deadline);
        if (got < 0 && errno == ETIMEDOUT)
                return err_set(e, ERR_TIMEOUT, "decoding took longer than allowed");
        if (got <= 0)
                return err_set(e, ERR_CRASHED, "the decoder died while working on this file: %s",
                               how_ended(child_kill(c)));
        *n = (size_t)got;
        return 0;
}
