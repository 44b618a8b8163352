/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files per second kept durably, beside the bare system calls that durability
 * takes. Disks differ by the hour, so only the ratio of runs taken in turns
 * means anything: rounds alternate and the medians are compared.
 */
#include "storage/storage.h"
#include "../tests/remove_tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROUNDS 5

struct run {
        struct storage *s; /* NULL: bare calls */
        int dirs[256], tmp;
        size_t size;
        unsigned total;
        atomic_uint next;
        uint64_t salt;
        atomic_uint failed;
};

static bool keep_bare(struct run *r, unsigned i, const char *bytes)
{
        char temp[48], name[48];
        int dir = r->dirs[(i * 2654435761u) >> 24];
        bool ok;

        snprintf(temp, sizeof temp, "t%llx-%u", (unsigned long long)r->salt, i);
        snprintf(name, sizeof name, "o%llx-%u", (unsigned long long)r->salt, i);
        int fd = openat(r->tmp, temp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0440);
        ok = fd >= 0 && fd_write_all(fd, bytes, r->size, NULL) == 0 && fsync(fd) == 0 &&
             linkat(r->tmp, temp, dir, name, 0) == 0 && fsync(dir) == 0 && unlinkat(r->tmp, temp, 0) == 0;
        fd_close(&fd);
        return ok;
}

static bool keep_stored(struct run *r, const char *bytes)
{
        struct storage_put *p = NULL;
        struct stored was;
        struct err e = {0};
        int rc = storage_put_begin(r->s, &p, &e);

        if (rc == 0)
                rc = storage_put_write(p, bytes, r->size, &e);
        if (rc == 0)
                rc = storage_put_seal(p, &was, &e);
        if (rc == 0)
                rc = storage_put_commit(p, &was, &e);
        storage_put_end(p);
        if (rc < 0)
                fprintf(stderr, "%s\n", e.msg);
        return rc == 0;
}

static void *keep_files(void *arg)
{
        struct run *r = arg;
        char *bytes = mem_calloc(1, r->size);
        unsigned i;

        while (bytes && (i = atomic_fetch_add(&r->next, 1)) < r->total) {
                uint64_t unique = r->salt + i;
                memcpy(bytes, &unique, sizeof unique);
                if (r->s ? !keep_stored(r, bytes) : !keep_bare(r, i, bytes))
                        atomic_fetch_add(&r->failed, 1);
        }
        mem_free(bytes);
        return NULL;
}

static double one_round(struct run *r, unsigned threads)
{
        pthread_t t[64];
        struct mono began = mono_now();

        atomic_store(&r->next, 0);
        r->salt = random_u64() & 0xFFFFFFFFFFFF0000u;
        for (unsigned i = 0; i < threads; i++)
                if (thread_start(&t[i], "bench", keep_files, r) < 0)
                        exit(1);
        for (unsigned i = 0; i < threads; i++)
                pthread_join(t[i], NULL);
        return r->total / dur_seconds(mono_since(began));
}

static int by_value(const void *a, const void *b)
{
        const double *x = a, *y = b;

        return (*x > *y) - (*x < *y);
}

static void compare(struct run *bare, struct run *kept, unsigned threads, size_t size)
{
        double a[ROUNDS], b[ROUNDS], ratio[ROUNDS];

        bare->size = kept->size = size;
        bare->total = kept->total = threads == 1 ? 150 : 600;
        for (unsigned i = 0; i < ROUNDS; i++) {
                a[i] = one_round(bare, threads);
                b[i] = one_round(kept, threads);
                ratio[i] = b[i] / a[i];
        }
        qsort(a, ROUNDS, sizeof a[0], by_value);
        qsort(b, ROUNDS, sizeof b[0], by_value);
        qsort(ratio, ROUNDS, sizeof ratio[0], by_value);
        printf("%2u threads, %3zu KB: bare %6.0f files/s, storage %6.0f files/s, ratio %.2f (%.2f to %.2f)\n", threads,
               size / 1000, a[ROUNDS / 2], b[ROUNDS / 2], ratio[ROUNDS / 2], ratio[0], ratio[ROUNDS - 1]);
}

static int open_bare(struct run *r, const char *root)
{
        char path[128];

        for (unsigned i = 0; i < 257; i++) {
                if (i < 256)
                        snprintf(path, sizeof path, "%s/bare/%02x", root, i);
                else
                        snprintf(path, sizeof path, "%s/bare/tmp", root);
                if (dir_make(path, NULL) < 0)
                        return -1;
                int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (fd < 0)
                        return -1;
                *(i < 256 ? &r->dirs[i] : &r->tmp) = fd;
        }
        return 0;
}

int main(void)
{
        static const unsigned threads[] = {1, 8, 32};
        static const size_t sizes[] = {50000, 300000};
        static struct run bare, kept;
        char root[] = "bench-storage-XXXXXX", path[64];
        struct err e = {0};

        if (!mkdtemp(root) || open_bare(&bare, root) < 0) {
                perror("cannot lay out the bare run");
                return 1;
        }
        snprintf(path, sizeof path, "%s/storage", root);
        if (storage_open(&(struct storage_opts){.url = "fs://", .path = path}, &kept.s, &e) < 0) {
                fprintf(stderr, "%s\n", e.msg);
                return 1;
        }
        sync();
        for (size_t s = 0; s < COUNT_OF(sizes); s++)
                for (size_t t = 0; t < COUNT_OF(threads); t++)
                        compare(&bare, &kept, threads[t], sizes[s]);
        storage_close(kept.s);
        remove_tree(root);
        if (bare.failed || kept.failed)
                fprintf(stderr, "%u bare and %u stored files failed\n", bare.failed, kept.failed);
        return bare.failed || kept.failed;
}
