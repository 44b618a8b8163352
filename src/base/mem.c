/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only place that calls malloc, so that a test can make any single
 * allocation of the service fail and see what becomes of it.
 */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

static atomic_long fail_after = -1;

static bool must_fail(void)
{
        if (atomic_load_explicit(&fail_after, memory_order_relaxed) < 0)
                return false;
        return atomic_fetch_sub_explicit(&fail_after, 1, memory_order_relaxed) == 0;
}

void mem_fail_after(long n)
{
        atomic_store_explicit(&fail_after, n < 0 ? -1 : n, memory_order_relaxed);
}

void *mem_alloc(size_t n)
{
        return must_fail() ? NULL : malloc(n ? n : 1);
}

void *mem_calloc(size_t n, size_t size)
{
        size_t total;

        if (__builtin_mul_overflow(n, size, &total) || must_fail())
                return NULL;
        return total ? calloc(n, size) : calloc(1, 1);
}

void *mem_realloc(void *p, size_t n)
{
        return must_fail() ? NULL : realloc(p, n ? n : 1);
}

char *mem_strdup(const char *s)
{
        size_t n = strlen(s) + 1;
        char *p = mem_alloc(n);

        if (p)
                memcpy(p, s, n);
        return p;
}

void mem_free(void *p)
{
        free(p);
}

/* The pointer goes through memcpy since the caller's is seldom really a void *. */
int mem_grow(void **p, size_t *cap, size_t need, size_t elem)
{
        void *old, *grown;
        size_t want, bytes;

        if (need <= *cap)
                return 0;
        if (__builtin_mul_overflow(*cap, (size_t)2, &want) || want < need)
                want = need;
        if (want < 8)
                want = 8;
        if (__builtin_mul_overflow(want, elem, &bytes))
                return -1;
        memcpy(&old, p, sizeof old);
        grown = mem_realloc(old, bytes);
        if (!grown)
                return -1;
        memcpy(p, &grown, sizeof grown);
        *cap = want;
        return 0;
}
