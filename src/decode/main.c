/* SPDX-License-Identifier: Apache-2.0 */
/*
 * file-allocator-decode: decodes one picture at a time for the server, which trusts it with nothing. The hard part is
 * the order of the start: what can be given up before any library runs goes first, libraries load and warm up while
 * system files may still be opened, the rest is locked after that, and only then is a user's file read.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "decode/decode.h"
#include "decode/lock_priv.h"

#define CPU_SECONDS_MOST 1000000

/* ---- start ---------------------------------------------------------------------- */

static bool on_jail_socket(void)
{
        int type = 0;
        socklen_t n = sizeof type;
        return !getsockopt(JAIL_FD, SOL_SOCKET, SO_TYPE, &type, &n) && type == SOCK_SEQPACKET;
}

static int lock_in(const char *program, unsigned cpu_seconds, enum jail_profile profile, unsigned *locks, struct err *e)
{
        struct decode_warm_up w;
        if (lock_identity(e))
                return -1;
        /*
         * while there is one thread: Landlock does not apply to threads that already run, and the warm-up starts some
         */
        if (lock_files(profile, locks, e) || decode_init(program, e) || lock_files_of(profile, e) ||
            decode_warm_up_open(&w, e))
                return -1;
        int rc = decode_warm_up(&w, e);
        /* only now: loading needs more descriptors, memory and calls than decoding */
        if (!rc)
                rc = lock_limits(cpu_seconds, e);
        if (!rc)
                rc = lock_calls(profile, locks, e);
        /*
         * again: if this system's libraries need a call that the lock forbids, it must not be a user's file that
         * fails
         */
        if (!rc)
                rc = decode_warm_up(&w, e);
        decode_warm_up_close(&w);
        return rc;
}

/* From here on nothing from a user's file may get into the server's log. */
static void be_silent(void)
{
#ifndef FA_ASAN /* a sanitizer's report is what such a build is for */
        /* with the calls that are left: the lowest free number is the one just closed */
        close(STDERR_FILENO);
        if (dup(STDOUT_FILENO) != STDERR_FILENO)
                _exit(1);
#endif
}

/* ---- loop -------------------------------------------------------------------------- */

struct job {
        struct jail_request req;
        int input, output;
};

/* Returns 1 for a job, 0 when the parent is gone, -1 when the message is not of our protocol. */
static int receive_job(struct job *job)
{
        union {
                struct cmsghdr head;
                char room[CMSG_SPACE(2 * sizeof(int))];
        } control;
        struct iovec iov = {.iov_base = &job->req, .iov_len = sizeof job->req};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t n;
        do
                n = recvmsg(JAIL_FD, &m, MSG_CMSG_CLOEXEC);
        while (n < 0 && errno == EINTR);
        if (n <= 0)
                return 0;
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        if (n != sizeof job->req || job->req.magic != JAIL_MAGIC || m.msg_flags & (MSG_TRUNC | MSG_CTRUNC) || !h ||
            h->cmsg_type != SCM_RIGHTS || h->cmsg_len != CMSG_LEN(2 * sizeof(int)))
                return -1;
        int fds[2];
        memcpy(fds, CMSG_DATA(h), sizeof fds);
        job->input = fds[0];
        job->output = fds[1];
        return 1;
}

static uint32_t status_of(enum err_code code)
{
        switch (code) {
        case ERR_UNSUPPORTED:
                return JAIL_UNSUPPORTED;
        case ERR_CORRUPT:
                return JAIL_CORRUPT;
        case ERR_TOO_LARGE:
                return JAIL_TOO_LARGE;
        default:
                return JAIL_FAILED;
        }
}

static int put_output(int fd, const struct decode_output *out, struct jail_reply *r, struct err *e)
{
        r->width = out->width;
        r->height = out->height;
        r->pages = out->pages;
        r->phash = out->phash;
        memcpy(r->format, out->format, sizeof r->format);
        return decode_output_write(out, fd, &r->entries, e);
}

static int serve_job(struct job *job)
{
        struct jail_reply r = {.magic = JAIL_MAGIC, .serial = job->req.serial};
        struct decode_output out;
        struct err e = {0};
        int rc = decode_file(job->input, &job->req.want, &out, &e);
        if (!rc) {
                rc = put_output(job->output, &out, &r, &e);
                decode_output_done(&out);
        }
        if (rc) {
                r.status = status_of(e.code);
                snprintf(r.error, sizeof r.error, "%.199s", e.msg);
        }
        /* before the reply: after it the parent seals the output */
        fd_close(&job->input);
        fd_close(&job->output);
        return send(JAIL_FD, &r, sizeof r, MSG_NOSIGNAL) == sizeof r ? 0 : -1;
}

static bool profile_parse(const char *word, enum jail_profile *out)
{
        static const char *const names[] = JAIL_PROFILE_NAMES;
        for (size_t i = 0; i < COUNT_OF(names); i++)
                if (!strcmp(word, names[i])) {
                        *out = (enum jail_profile)i;
                        return true;
                }
        return false;
}

int main(int argc, char **argv)
{
        struct err e = {0};
        uint64_t cpu_seconds;
        enum jail_profile profile;
        struct jail_hello hello = {.magic = JAIL_MAGIC, .version = JAIL_VERSION};
        if (argc == 2 && !strcmp(argv[1], "--version")) {
                printf("file-allocator-decode %s\n", FA_VERSION);
                return 0;
        }
        if (argc != 3 || !span_u64(span_of(argv[1]), &cpu_seconds) || cpu_seconds > CPU_SECONDS_MOST ||
            !profile_parse(argv[2], &profile) || !on_jail_socket()) {
                fprintf(stderr,
                        "file-allocator-decode: started by the server only; it needs a socket as descriptor %d\n",
                        JAIL_FD);
                return 2;
        }
        if (lock_in(argv[0], (unsigned)cpu_seconds, profile, &hello.locks, &e)) {
                fprintf(stderr, "file-allocator-decode: cannot start: %s\n", e.msg);
                _exit(1);
        }
        be_silent();
        if (send(JAIL_FD, &hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello)
                _exit(1);
        struct job job;
        int got;
        while ((got = receive_job(&job)) > 0)
                if (serve_job(&job))
                        break;
        _exit(got < 0 ? 1 : 0); /* skips the libraries' clean-up code: the process is only worn out */
}
