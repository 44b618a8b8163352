/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scan's speed beside the memory's: a plain sum over a buffer of the same
 * size, read with the same width in the same run, is what "as fast as memory"
 * means here. Prints figures; never passes or fails.
 */
#include "vector/vector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIM 512
#define TOP 100

typedef long long i64x4 __attribute__((vector_size(32)));

static float noise(uint64_t *s)
{
        *s = *s * 6364136223846793005u + 1442695040888963407u;
        return (float)(int32_t)(*s >> 32) / 2147483648.0f;
}

/* Bytes summed as wide words in four chains; the compiler's target attribute gives it 256-bit loads where it can. */
#if defined(__x86_64__)
__attribute__((target("avx2")))
#endif
static long long
read_sum(const void *p, size_t bytes)
{
        const i64x4 *v = p;
        i64x4 a = {0}, b = a, c = a, d = a;
        size_t n = bytes / sizeof *v;
        for (size_t i = 0; i + 4 <= n; i += 4) {
                a += v[i];
                b += v[i + 1];
                c += v[i + 2];
                d += v[i + 3];
        }
        a += b + c + d;
        return a[0] + a[1] + a[2] + a[3];
}

static volatile long long sink;

static double least(double a, double b)
{
        return a < b ? a : b;
}

static struct helper *helper;

static struct vec_index *fill(size_t rows)
{
        struct vec_index *x = vec_index_new(DIM);
        float v[DIM];
        uint64_t seed = rows;
        uint32_t row;
        struct mono start = mono_now();
        for (size_t r = 0; x && r < rows; r++) {
                for (size_t d = 0; d < DIM; d++)
                        v[d] = noise(&seed);
                vec_normalise(v, DIM);
                if (vec_index_add(x, v, &row))
                        exit(1);
        }
        printf("%zu rows: filled in %.2f s\n", rows, dur_seconds(mono_since(start)));
        return x;
}

static void measure(const struct vec_index *x, const char *kernel)
{
        struct vec_hit hits[TOP];
        float q[DIM];
        uint64_t seed = 42;
        size_t bytes = vec_index_count(x) * DIM;
        int rounds = bytes > 100u << 20 ? 10 : 100;
        double read = 1e9, search = 1e9, both = 1e9;
        if (!vec_kernel_force(kernel))
                return;
        for (size_t d = 0; d < DIM; d++)
                q[d] = noise(&seed);
        vec_normalise(q, DIM);
        for (int i = 0; i < rounds; i++) {
                struct mono start = mono_now();
                sink = read_sum(vec_index_rows(x), bytes);
                read = least(read, dur_seconds(mono_since(start)));
                start = mono_now();
                vec_index_search(x, q, NULL, TOP, hits, NULL);
                search = least(search, dur_seconds(mono_since(start)));
                start = mono_now();
                vec_index_search(x, q, NULL, TOP, hits, helper);
                both = least(both, dur_seconds(mono_since(start)));
        }
        double gb = (double)bytes / 1e9;
        printf("  %-10s search %8.3f ms  %5.1f GB/s  memory %5.1f GB/s  ratio %.2f   by two %8.3f ms  %5.1f GB/s\n",
               kernel, search * 1e3, gb / search, gb / read, read / search, both * 1e3, gb / both);
}

int main(int argc, char **argv)
{
        static const size_t sizes[] = {10000, 100000, 1000000};
        size_t limit = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 1000000;
        if (helper_open("bench", &helper))
                return 1;
        printf("dim %d, best %d, default kernel %s\n", DIM, TOP, vec_kernel_name());
        for (size_t i = 0; i < COUNT_OF(sizes) && sizes[i] <= limit; i++) {
                struct vec_index *x = fill(sizes[i]);
                measure(x, "avx512vnni");
                measure(x, "avx2");
                measure(x, "c");
                vec_index_free(x);
        }
        helper_close(helper);
        return 0;
}
