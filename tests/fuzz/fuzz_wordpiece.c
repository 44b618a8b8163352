/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes into the tokenizer: [CLS] first, [SEP] last, ids inside the
 * vocabulary, never more than asked for, and a short answer is a prefix of a
 * long one. The buffer is exactly as long as promised, so that a write past it
 * shows. The vocabulary is made here, small and with pieces of every length, so
 * that the program needs no file.
 */
#include "embed/embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LONG 512
#define CLS  1
#define SEP  2
#define IDS  (3 + 2 * ('~' - '!' + 1) + 16)

static struct wordpiece *words;

/* All printable ASCII alone and inside words, some longer pieces, and letters of two to four bytes. */
static void vocabulary_make(void)
{
        static const char *const more[] = {"ab",    "abc",     "##bc", "the", "##ing", "##ed", "un",   "##un",
                                           "photo", "##graph", "и",    "##и", "写",    "ᄒ",   "##ᅡ", "😀"};
        int fd = memfd_create("vocabulary", 0);
        FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
        char path[64];
        struct err e = {0};
        if (!f)
                abort();
        fputs("[UNK]\n[CLS]\n[SEP]\n", f);
        for (int c = '!'; c <= '~'; c++)
                fprintf(f, "%c\n##%c\n", c, c);
        for (size_t i = 0; i < COUNT_OF(more); i++)
                fprintf(f, "%s\n", more[i]);
        fflush(f);
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (wordpiece_open(path, &words, &e)) {
                fprintf(stderr, "%s\n", e.msg);
                abort();
        }
        fclose(f);
}

static void require(bool holds)
{
        if (!holds)
                abort();
}

static void check(struct span text, size_t max, const int64_t *all, size_t n_all)
{
        int64_t *ids = mem_alloc(max * sizeof *ids);
        require(ids != NULL);
        size_t n = wordpiece_encode(words, text, ids, max);
        require(n >= 2 && n <= max && n == (n_all < max ? n_all : max));
        require(ids[0] == CLS && ids[n - 1] == SEP);
        require(memcmp(ids, all, (n - 1) * sizeof *ids) == 0);
        for (size_t i = 0; i < n; i++)
                require(ids[i] >= 0 && ids[i] < IDS);
        mem_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct span text = {(const char *)data, size};
        int64_t all[LONG];
        if (!words)
                vocabulary_make();
        size_t n = wordpiece_encode(words, text, all, LONG);
        check(text, 2, all, n);
        check(text, 3 + size % 60, all, n);
        check(text, 128, all, n);
        return 0;
}
