/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a rate limit costs a request: threads ask on behalf of a thousand
 * clients, none of which reaches its limit.
 *
 *   bench_limit THREADS MILLISECONDS [REDIS_URL]
 *
 * Prints: questions, a second, p50 p95 p99 in ms; of those that went to Redis,
 * how many it did not answer.
 */
#include "limit/limit.h"
#include "load.h"
#include "queue/queue.h"
#include "queue/queue_spend.h"

#define CLIENTS 1000

struct asker {
        struct limit *l;
        struct mono until;
        struct times times;
        pthread_t t;
};

static atomic_ullong unanswered;

static enum limit_outcome share(void *ctx, struct limit_charge *charges, size_t n, bool owed)
{
        enum limit_outcome o = queue_spend(ctx, charges, n, owed);

        atomic_fetch_add(&unanswered, o == LIMIT_UNREACHABLE);
        return o;
}

static void *ask(void *arg)
{
        struct asker *a = arg;

        while (!mono_reached(a->until)) {
                struct mono began = mono_now();
                struct limit_verdict v;
                char name[32];
                snprintf(name, sizeof name, "key:%llu", (unsigned long long)(random_u64() % CLIENTS));
                limit_ask(a->l, name, 1000, began, &v);
                if (!v.allowed)
                        die("a client was refused");
                times_add(&a->times, dur_seconds(mono_since(began)) * 1e3);
        }
        return NULL;
}

int main(int argc, char **argv)
{
        struct limit_opts lo = {.rates = {{100000, 1000000}, {(uint64_t)1 << 40, (uint64_t)1 << 46}}};
        struct asker askers[256] = {0};
        struct queue *q = NULL;
        struct times all = {0};
        struct err e;

        if (argc < 3) {
                fprintf(stderr, "bench_limit THREADS MILLISECONDS [REDIS_URL]\n");
                return 2;
        }
        unsigned threads = number(argv[1], 1, COUNT_OF(askers)), ms = number(argv[2], 1, 600000);
        if (argc > 3 && queue_open(&(struct queue_opts){"redis", argv[3], NULL}, &q, &e))
                die(e.msg);
        lo.share = q ? share : NULL;
        lo.ctx = q;
        struct limit *l = NULL;
        if (limit_open(&lo, &l, &e))
                die(e.msg);
        for (unsigned i = 0; i < threads; i++) {
                askers[i] = (struct asker){.l = l, .until = mono_add(mono_now(), dur_ms(ms))};
                if (thread_start(&askers[i].t, "asker", ask, &askers[i]))
                        die("thread");
        }
        for (unsigned i = 0; i < threads; i++) {
                pthread_join(askers[i].t, NULL);
                times_join(&all, &askers[i].times);
        }
        times_sort(&all);
        printf("%u threads: %zu questions, %.0f a second, p50 %.4f p95 %.4f p99 %.4f ms, %llu without an answer\n",
               threads, all.n, (double)all.n * 1e3 / ms, times_at(&all, 0.5), times_at(&all, 0.95),
               times_at(&all, 0.99), atomic_load(&unanswered));
        mem_free(all.ms);
        limit_close(l);
        queue_close(q);
        return 0;
}
