/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A decoder under a stranger's control: it does whatever the first word of
 * the file tells it to. test_jail_hostile.c runs it in place of the real one.
 * "honest" fulfils any request with made-up bytes: series have three members,
 * text comes as two pages. Lies are made from that.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "jail/protocol.h"

#define SERIES 3
#define MOST   64

struct answer {
        struct jail_reply reply;
        struct jail_entry entry[MOST];
        char fill[MOST];        /* what an entry's bytes are, if text is NULL */
        const char *text[MOST]; /* else these */
};

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

/* ---- an honest answer ------------------------------------------------------------- */

static void add_text(struct answer *a, struct jail_entry x, const char *text)
{
        uint32_t i = a->reply.entries++;
        a->entry[i] = x;
        a->entry[i].length = strlen(text);
        a->text[i] = text;
}

static void add_bytes(struct answer *a, struct jail_entry x, uint64_t n, char fill)
{
        uint32_t i = a->reply.entries++;
        a->entry[i] = x;
        a->entry[i].length = n;
        a->fill[i] = fill;
}

static void fulfil(struct answer *a, const struct decode_request *want)
{
        add_text(a, (struct jail_entry){.kind = JAIL_METADATA}, "{}");
        for (uint32_t i = 0; i < JAIL_PRODUCTS_MAX; i++)
                for (uint32_t k = 0; want->product[i].name[0] && k < (want->product[i].series ? SERIES : 1); k++)
                        add_bytes(a, (struct jail_entry){.kind = JAIL_PRODUCT, .wish = i}, 10 + k, (char)('a' + i));
        for (uint32_t i = 0; i < JAIL_INPUTS_MAX; i++) {
                const struct jail_input_wish *w = &want->input[i];
                struct jail_entry x = {.kind = JAIL_INPUT, .wish = i, .part = w->part};
                for (uint32_t k = 0; w->width && k < (w->series ? SERIES : 1); k++) {
                        x.position = k;
                        x.time_us = w->part == PART_FRAME ? 1500000 * k : 0;
                        add_bytes(a, x, (uint64_t)w->width * w->height * 3, (char)k);
                }
        }
        if (want->max_text) {
                add_text(a, (struct jail_entry){.kind = JAIL_TEXT, .part = PART_PAGE, .position = 1, .page = 1},
                         "The first page.\n");
                add_text(a, (struct jail_entry){.kind = JAIL_TEXT, .part = PART_PAGE, .position = 2, .page = 2},
                         "\xc3\x9c"
                         "ber die zweite.\n");
        }
}

/* ---- lies --------------------------------------------------------------------------- */

/* About the socket's message. */
static void lie_in_reply(const char *word, struct jail_reply *r)
{
        if (is(word, "magic"))
                r->magic ^= 1;
        else if (is(word, "serial"))
                r->serial++;
        else if (is(word, "status"))
                r->status = 99;
        else if (is(word, "pixels"))
                r->width = 0xffffffff;
        else if (is(word, "format"))
                memset(r->format, 'x', sizeof r->format);
        else if (is(word, "no-entries"))
                r->entries = 0;
        else if (is(word, "entries"))
                r->entries = 0xffffffff;
        else if (is(word, "error") || is(word, "noise")) {
                r->status = JAIL_CORRUPT;
                memset(r->error, is(word, "noise") ? 7 : 'e', sizeof r->error);
        }
}

/* About what is in the memory file. */
static void lie_in_table(const char *word, struct answer *a)
{
        if (is(word, "length"))
                a->entry[0].length = 4096;
        else if (is(word, "wrap"))
                a->entry[0].length = UINT64_MAX;
        else if (is(word, "kind"))
                a->entry[0].kind = 77;
        else if (is(word, "unasked"))
                add_text(a, (struct jail_entry){.kind = JAIL_PRODUCT, .wish = 7}, "RIFF");
        else if (is(word, "unasked-text"))
                add_text(a, (struct jail_entry){.kind = JAIL_TEXT}, "text");
        else if (is(word, "meta-twice"))
                add_text(a, (struct jail_entry){.kind = JAIL_METADATA}, "{}");
}

static void write_or_end(int out, const void *p, size_t n)
{
        if (write(out, p, n) != (ssize_t)n)
                _exit(1);
}

static void write_answer(const struct answer *a, uint32_t entries, const uint64_t *lengths, int out)
{
        write_or_end(out, a->entry, entries * sizeof a->entry[0]);
        for (uint32_t i = 0; i < entries; i++) {
                if (a->text[i])
                        write_or_end(out, a->text[i], lengths[i]);
                for (uint64_t k = 0; !a->text[i] && k < lengths[i]; k++)
                        write_or_end(out, &a->fill[i], 1);
        }
}

/* Whatever the word says besides: more bytes, fewer bytes, a mapping kept. */
static void lie_in_file(const char *word, int out)
{
        if (is(word, "longer"))
                write_or_end(out, "more", 4);
        else if (is(word, "huge") && ftruncate(out, (off_t)1 << 40))
                _exit(1);
        else if (is(word, "empty") && ftruncate(out, 0))
                _exit(1);
        else if (is(word, "cut") && ftruncate(out, sizeof(struct jail_entry) - 1))
                _exit(1);
        else if (is(word, "keep") && mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, out, 0) == MAP_FAILED)
                _exit(1);
        else if (is(word, "die"))
                raise(SIGKILL);
        else if (is(word, "hang"))
                for (;;)
                        pause();
}

static void answer(const char *word, const struct jail_request *req, int out)
{
        struct answer a = {.reply = {.magic = JAIL_MAGIC, .serial = req->serial, .width = 4, .height = 3, .pages = 1}};
        uint64_t lengths[MOST];
        memcpy(a.reply.format, "png", 4);
        fulfil(&a, &req->want);
        for (uint32_t i = 0; i < MOST; i++)
                lengths[i] = a.entry[i].length;
        lie_in_table(word, &a);
        for (uint32_t i = 1; i < a.reply.entries; i++)
                lengths[i] = a.entry[i].length;
        write_answer(&a, a.reply.entries, lengths, out);
        lie_in_reply(word, &a.reply);
        lie_in_file(word, out);
        size_t n = is(word, "short") ? sizeof a.reply / 2 : sizeof a.reply;
        for (int i = 0; i < (is(word, "twice") ? 2 : 1); i++)
                if (send(JAIL_FD, &a.reply, n, 0) != (ssize_t)n)
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
