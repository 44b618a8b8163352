/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Blocks that double in size, carved from the front and freed together. The
 * cap counts bytes handed out, so a request's memory is bounded by its owner.
 */
#include "base/base.h"

#include <stdalign.h>
#include <stdio.h>
#include <string.h>

#define ALIGN       16
#define FIRST_BLOCK ((size_t)2048)
#define LAST_BLOCK  ((size_t)65536)

struct block {
        struct block *next;
        size_t used, size;
        alignas(ALIGN) unsigned char data[];
};

struct arena {
        struct block *blocks; /* the first is the one being filled */
        size_t max, used, next_size;
};

struct arena *arena_new(size_t max_bytes)
{
        struct arena *a = mem_calloc(1, sizeof *a);

        if (a) {
                a->max = max_bytes;
                a->next_size = FIRST_BLOCK;
        }
        return a;
}

void arena_free(struct arena *a)
{
        if (!a)
                return;
        while (a->blocks) {
                struct block *next = a->blocks->next;
                mem_free(a->blocks);
                a->blocks = next;
        }
        mem_free(a);
}

/* n is a multiple of ALIGN. A large piece gets a block of its own behind the one being filled. */
static struct block *add_block(struct arena *a, size_t n)
{
        bool alone = n > a->next_size / 2;
        size_t size = alone ? n : a->next_size;
        struct block *b = mem_calloc(1, sizeof *b + size);

        if (!b)
                return NULL;
        b->size = size;
        if (alone && a->blocks) {
                b->next = a->blocks->next;
                a->blocks->next = b;
        } else {
                b->next = a->blocks;
                a->blocks = b;
        }
        if (!alone && a->next_size < LAST_BLOCK)
                a->next_size *= 2;
        return b;
}

void *arena_alloc(struct arena *a, size_t n)
{
        struct block *b = a->blocks;
        void *p;

        if (n > a->max - a->used || n > SIZE_MAX / 2)
                return NULL;
        n = n ? (n + ALIGN - 1) / ALIGN * ALIGN : ALIGN;
        if (n > a->max - a->used)
                return NULL;
        if (!b || b->size - b->used < n) {
                b = add_block(a, n);
                if (!b)
                        return NULL;
        }
        p = b->data + b->used;
        b->used += n;
        a->used += n;
        return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
        size_t total;

        if (__builtin_mul_overflow(n, size, &total))
                return NULL;
        return arena_alloc(a, total);
}

char *arena_strdup(struct arena *a, const char *s)
{
        return s ? arena_strndup(a, span_of(s)) : NULL;
}

char *arena_strndup(struct arena *a, struct span s)
{
        char *p;

        if (s.n == SIZE_MAX)
                return NULL;
        p = arena_alloc(a, s.n + 1);
        if (p && s.n)
                memcpy(p, s.p, s.n);
        return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
        va_list ap, again;
        char *p = NULL;
        int n;

        va_start(ap, fmt);
        va_copy(again, ap);
        n = vsnprintf(NULL, 0, fmt, ap);
        if (n >= 0)
                p = arena_alloc(a, (size_t)n + 1);
        if (p)
                vsnprintf(p, (size_t)n + 1, fmt, again);
        va_end(again);
        va_end(ap);
        return p;
}

size_t arena_used(const struct arena *a)
{
        return a->used;
}

int arena_grow(struct arena *a, void *pp, size_t *cap, size_t need, size_t elem, struct err *e)
{
        size_t want = *cap ? *cap * 2 : 16;
        void *old, *p;

        if (need <= *cap)
                return 0;
        if (want < need)
                want = need;
        p = arena_array(a, want, elem);
        if (!p)
                return err_oom(e);
        memcpy(&old, pp, sizeof old); /* the caller's pointer is seldom really a void * */
        if (*cap)
                memcpy(p, old, *cap * elem);
        memcpy(pp, &p, sizeof p);
        *cap = want;
        return 0;
}
