/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Search from end to end, over HTTP, with queries that do not repeat; and what
 * no search can be faster than: the text model alone on the same kind of
 * query, plus reading one byte a dimension of every row from memory.
 *
 *   bench_search http PORT CLIENTS vector|hybrid|text MILLISECONDS
 *     operations, seconds, a second, p50 p95 p99 in ms, failures, results a query
 *   bench_search limit MODEL_FOLDER RUNTIME_FOLDER ROWS
 *     text model p50 p95 in ms, memory read in ms by one thread, GB/s, model load in ms, its resident MB
 */
#include "load.h"
#include "words.h"

#include "embed/embed.h"

typedef long long i64x4 __attribute__((vector_size(32)));

static struct mono until;
static uint16_t port;
static const char *mode;

struct client {
        pthread_t thread;
        uint64_t seed, failed, results;
        struct times times;
        struct conn conn;
};

static uint64_t noise(uint64_t *s)
{
        *s = *s * 6364136223846793005u + 1442695040888963407u;
        return *s >> 33;
}

/* Three words: millions of queries, so that a cache of query vectors never helps. */
static void make_query(uint64_t *seed, char sep, char *out, size_t n)
{
        const char *a = words[noise(seed) % COUNT_OF(words)], *b = words[noise(seed) % COUNT_OF(words)],
                   *c = words[noise(seed) % COUNT_OF(words)];
        snprintf(out, n, "%s%c%s%c%s", a, sep, b, sep, c);
}

static int search_once(struct client *c)
{
        char query[128], target[512];
        make_query(&c->seed, '+', query, sizeof query);
        snprintf(target, sizeof target, "/api/v1/search?query=%s&mode=%s&limit=10&threshold=0", query, mode);
        if (conn_get(&c->conn, target) != 200)
                return -1;
        for (const char *p = c->conn.body; (p = strstr(p, "\"similarity\"")); p++)
                c->results++;
        return 0;
}

static void *client_run(void *arg)
{
        struct client *c = arg;
        if (conn_open(&c->conn, port))
                die("connect");
        while (!mono_reached(until) && c->failed < 5) {
                struct mono start = mono_now();
                if (search_once(c) == 0) {
                        times_add(&c->times, dur_seconds(mono_since(start)) * 1e3);
                        continue;
                }
                if (c->failed++ == 0)
                        fprintf(stderr, "bench: a search failed: %.300s\n", c->conn.in);
                fd_close(&c->conn.fd);
                if (conn_open(&c->conn, port))
                        die("connect");
        }
        fd_close(&c->conn.fd);
        return NULL;
}

static int http_run(char **argv)
{
        struct times t = {0};
        uint64_t failed = 0, results = 0;
        port = (uint16_t)number(argv[2], 1, 65535);
        unsigned clients = number(argv[3], 1, 64), ms = number(argv[5], 1, 60000);
        struct client *all = mem_calloc(clients, sizeof *all);
        if (!all)
                die("memory");
        mode = argv[4];
        struct mono start = mono_now();
        until = mono_add(start, dur_ms(ms));
        for (unsigned i = 0; i < clients; i++) {
                all[i].seed = random_u64();
                if (pthread_create(&all[i].thread, NULL, client_run, &all[i]))
                        die("thread");
        }
        for (unsigned i = 0; i < clients; i++) {
                pthread_join(all[i].thread, NULL);
                times_join(&t, &all[i].times);
                failed += all[i].failed;
                results += all[i].results;
        }
        double s = dur_seconds(mono_since(start));
        times_sort(&t);
        printf("%zu %.3f %.1f %.3f %.3f %.3f %llu %.1f\n", t.n, s, (double)t.n / s, times_at(&t, 0.5),
               times_at(&t, 0.95), times_at(&t, 0.99), (unsigned long long)failed,
               t.n ? (double)results / (double)t.n : 0);
        mem_free(t.ms);
        mem_free(all);
        return 0;
}

/* ---- the limits ----------------------------------------------------------------- */

#if defined(__x86_64__)
__attribute__((target("avx2")))
#endif
static long long
read_sum(const void *p, size_t bytes)
{
        const i64x4 *v = p;
        i64x4 a = {0}, b = a, c = a, d = a;
        for (size_t i = 0, n = bytes / sizeof *v; i + 4 <= n; i += 4) {
                a += v[i];
                b += v[i + 1];
                c += v[i + 2];
                d += v[i + 3];
        }
        a += b + c + d;
        return a[0] + a[1] + a[2] + a[3];
}

static volatile long long sink;

/* The median of 20 passes over as many bytes as the rows take in the index. */
static double read_ms(size_t bytes)
{
        struct times t = {0};
        char *block = mem_alloc(bytes + 64);
        if (!block)
                die("memory");
        char *p = block + (64 - (uintptr_t)block % 64);
        memset(p, 1, bytes);
        for (int i = 0; i < 20; i++) {
                struct mono start = mono_now();
                sink = read_sum(p, bytes);
                times_add(&t, dur_seconds(mono_since(start)) * 1e3);
        }
        mem_free(block);
        times_sort(&t);
        double ms = times_at(&t, 0.5);
        mem_free(t.ms);
        return ms;
}

static double resident_mb(void)
{
        FILE *f = fopen("/proc/self/statm", "r");
        long pages = 0;
        if (!f || fscanf(f, "%*s %ld", &pages) != 1)
                pages = 0;
        if (f)
                fclose(f);
        return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static int limit_run(char **argv)
{
        struct embed_opts opts = {.model_dir = argv[2], .runtime_dir = argv[3]};
        struct embed *m;
        struct err e;
        struct times t = {0};
        size_t rows = number(argv[4], 1, 10000000);
        uint64_t seed = random_u64();
        char query[128];
        struct mono start = mono_now();
        if (embed_open(&opts, false, &m, &e)) {
                fprintf(stderr, "bench: %s\n", e.msg);
                return 1;
        }
        double load = dur_seconds(mono_since(start)) * 1e3, mb = resident_mb();
        float *v = mem_calloc(embed_dim(m), sizeof *v);
        if (!v)
                die("memory");
        for (int i = 0; i < 200; i++) {
                make_query(&seed, ' ', query, sizeof query);
                start = mono_now();
                if (embed_text(m, span_of(query), v, &e))
                        die("text model");
                times_add(&t, dur_seconds(mono_since(start)) * 1e3);
        }
        times_sort(&t);
        size_t bytes = rows * embed_dim(m);
        double read = read_ms(bytes);
        printf("%.3f %.3f %.3f %.1f %.0f %.0f\n", times_at(&t, 0.5), times_at(&t, 0.95), read,
               (double)bytes / read / 1e6, load, mb);
        mem_free(v);
        mem_free(t.ms);
        embed_close(m);
        return 0;
}

int main(int argc, char **argv)
{
        if (argc == 6 && !strcmp(argv[1], "http"))
                return http_run(argv);
        if (argc == 5 && !strcmp(argv[1], "limit"))
                return limit_run(argv);
        fprintf(stderr, "usage: bench_search http PORT CLIENTS vector|hybrid|text MILLISECONDS\n"
                        "       bench_search limit MODEL_FOLDER RUNTIME_FOLDER ROWS\n");
        return 2;
}
