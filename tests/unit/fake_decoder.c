/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decoder under a stranger's control: it does whatever the first word of
 * the file tells it to. test_jail.c runs it in place of the real one.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "jail/protocol.h"

static int is(const char *word, const char *want)
{
        return !strcmp(word, want);
}

static int receive(struct jail_request *req, int fds[2])
{
        union {
                struct cmsghdr head;
                char room[CMSG_SPACE(2 * sizeof(int))];
        } control;
        struct iovec iov = {.iov_base = req, .iov_len = sizeof *req};
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        if (recvmsg(JAIL_FD, &m, 0) != (ssize_t)sizeof *req || !CMSG_FIRSTHDR(&m))
                return -1;
        memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&m)), 2 * sizeof(int));
        return 0;
}

/* An honest answer with empty products and {} as metadata; lies are made from it. */
static struct jail_reply honest(const struct jail_request *req, int out)
{
        struct jail_reply r = {.magic = JAIL_MAGIC, .serial = req->serial, .width = 4, .height = 3, .pages = 1};
        memcpy(r.format, "png", 4);
        r.meta_len = 2;
        if (write(out, "{}", 2) != 2)
                _exit(1);
        return r;
}

static void answer(const char *word, const struct jail_request *req, int out)
{
        struct jail_reply r = honest(req, out);
        size_t n = sizeof r;
        if (is(word, "short"))
                n = sizeof r / 2;
        else if (is(word, "magic"))
                r.magic ^= 1;
        else if (is(word, "serial"))
                r.serial++;
        else if (is(word, "status"))
                r.status = 99;
        else if (is(word, "lengths"))
                r.meta_len = 4096;
        else if (is(word, "wrap"))
                r.preview_len = 0xffffffff;
        else if (is(word, "pixels"))
                r.width = 0xffffffff;
        else if (is(word, "format"))
                memset(r.format, 'x', sizeof r.format);
        else if (is(word, "longer") && write(out, "more", 4) != 4)
                _exit(1);
        else if (is(word, "keep") && mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0) == MAP_FAILED)
                _exit(1);
        if (is(word, "error") || is(word, "noise")) {
                r.status = JAIL_CORRUPT;
                memset(r.error, is(word, "noise") ? 7 : 'e', sizeof r.error);
        }
        if (is(word, "die"))
                raise(SIGKILL);
        if (is(word, "hang"))
                for (;;)
                        pause();
        for (int i = 0; i < (is(word, "twice") ? 2 : 1); i++)
                if (send(JAIL_FD, &r, n, 0) != (ssize_t)n)
                        _exit(1);
}

int main(void)
{
        const struct jail_hello hello = {JAIL_MAGIC, JAIL_VERSION, 0};
        if (send(JAIL_FD, &hello, sizeof hello, 0) != (ssize_t)sizeof hello)
                return 1;
        for (;;) {
                struct jail_request req;
                int fds[2];
                char word[16] = "";
                if (receive(&req, fds))
                        return 0;
                if (read(fds[0], word, sizeof word - 1) < 0)
                        return 1;
                close(fds[0]);
                answer(word, &req, fds[1]);
                close(fds[1]);
        }
}
