/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the worker pool's tests share: a pool on a real catalog for each test,
 * and the way to wait for an end without guessing how long it takes.
 */
#ifndef FA_TEST_WORKER_WORLD_H
#define FA_TEST_WORKER_WORLD_H

#include "catalog/catalog.h"
#include "catalog/catalog_ingest.h"
#include "jobs/jobs.h"
#include "catalog/catalog_task.h"
#include "queue/queue.h"
#include "worker/worker.h"

#include "log/log.h"
#include "metrics/metrics.h"
#include "remove_tree.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#define MOST 200

static struct {
        char dir[32], url[PATH_MAX];
        struct catalog *c;
        struct queue *q;
        struct worker_pool *pool;
        struct arena *a;
        struct id job;
        struct worker_opts opts;
        worker_handle_fn *handle;
        atomic_uint runs, idles, late_stale, saw_cancel;
        atomic_uint per_file[MOST];
        unsigned last_crashes;
} w;

static inline void must(int rc, const struct err *e)
{
        if (rc < 0)
                fail_msg("%s", e->msg);
}

static inline void went_idle(void *ctx)
{
        (void)ctx;
        atomic_fetch_add(&w.idles, 1);
}

/* What a test sets as w.handle runs for images. */
static inline int handle(void *ctx, struct worker_run *run, struct err *e)
{
        (void)ctx;
        atomic_fetch_add(&w.runs, 1);
        run->stage = "test";
        return w.handle(NULL, run, e);
}

static inline int complete(struct worker_run *run, struct err *e)
{
        return catalog_task_complete(w.c, &(struct task_result){.task = run->task, .metadata = "{}"}, e);
}

static inline int do_it(void *ctx, struct worker_run *run, struct err *e)
{
        uint64_t file = MOST;

        (void)ctx;
        if (complete(run, e) < 0)
                return -1;
        assert(span_u64(span_of(run->task->filename), &file) && file < MOST && arena_alloc(run->arena, 100));
        atomic_fetch_add(&w.per_file[file], 1);
        return 0;
}

static inline int set_up(void **state)
{
        char abs[PATH_MAX - 64];
        struct err e = {0};

        (void)state;
        memset(&w, 0, sizeof w);
        snprintf(w.dir, sizeof w.dir, "worker-XXXXXX");
        assert_non_null(mkdtemp(w.dir));
        assert_non_null(realpath(w.dir, abs));
        snprintf(w.url, sizeof w.url, "sqlite://%s/catalog.db", abs);
        must(catalog_open(
                     &(struct catalog_opts){
                             .url = w.url, .data_path = abs, .idempotency_ttl = dur_s(60), .queue_max_depth = 10000},
                     &w.c, &e),
             &e);
        must(queue_open(&(struct queue_opts){.backend = "inproc"}, &w.q, &e), &e);
        w.a = arena_new((size_t)64 << 20);
        w.handle = do_it;
        w.opts = (struct worker_opts){
                .catalog = w.c,
                .queue = w.q,
                .lanes = {{.name = "analyse", .purposes = 1u << PURPOSE_ANALYSE, .threads = 2, .idle = went_idle}},
                .nlanes = 1,
                .lease = dur_s(60),
                .max_errors = 5,
                .max_crashes = 3,
                .backoff_base = dur_ms(2),
                .backoff_max = dur_ms(20),
                .defer = dur_ms(20),
                .reconcile_every = dur_s(5),
                .handlers = {[PURPOSE_ANALYSE] = {[JOB_IMAGE] = handle}},
        };
        return 0;
}

static inline int tear_down(void **state)
{
        (void)state;
        worker_pool_stop(w.pool, mono_add(mono_now(), dur_s(5)));
        queue_close(w.q);
        catalog_close(w.c);
        arena_free(w.a);
        unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
        remove_tree(w.dir);
        return 0;
}

static inline void ingest_type(unsigned n, enum job_type type)
{
        static struct new_asset assets[MOST];
        static char names[MOST][8];
        struct job_receipt receipt;
        struct err e = {0};

        for (unsigned i = 0; i < n; i++) {
                uint64_t content = random_u64();
                snprintf(names[i], sizeof names[i], "%u", i);
                assets[i] = (struct new_asset){.id = id_new(),
                                               .kind = KIND_MEDIA,
                                               .type = type,
                                               .filename = names[i],
                                               .content_type = "image/jpeg",
                                               .sha256 = sha256_of(&content, sizeof content),
                                               .size = 100,
                                               .purposes = 1u << PURPOSE_ANALYSE};
        }
        w.job = id_new();
        must(catalog_ingest(w.c,
                            &(struct new_job){.id = w.job,
                                              .owner = DEFAULT_OWNER,
                                              .created = wall_now(),
                                              .assets = assets,
                                              .nassets = n,
                                              .idempotency_scope = ""},
                            w.a, &receipt, &e),
             &e);
}

static inline void ingest(unsigned n)
{
        ingest_type(n, JOB_IMAGE);
        queue_wake(w.q, PURPOSE_ANALYSE, n);
}

static inline void start(void)
{
        struct err e = {0};

        must(worker_pool_start(&w.opts, &w.pool, &e), &e);
}

static inline void stop(struct dur grace)
{
        worker_pool_stop(w.pool, mono_add(mono_now(), grace));
        w.pool = NULL;
}

static inline struct job_view job(void)
{
        struct job_view v;
        struct err e = {0};

        must(catalog_job_get(w.c, w.job, NULL, w.a, &v, &e), &e);
        return v;
}

static inline void reach_end(uint64_t done, uint64_t failed)
{
        struct job_view v = {0};

        for (int i = 0; i < 4000; i++) {
                v = job();
                if (v.done + v.failed == v.total)
                        break;
                sleep_for(dur_ms(5));
        }
        assert_int_equal(v.done, done);
        assert_int_equal(v.failed, failed);
}

static inline void reach(atomic_uint *what, unsigned value)
{
        for (int i = 0; i < 10000 && atomic_load(what) < value; i++)
                sleep_for(dur_ms(1));
        assert_true(atomic_load(what) >= value);
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

#endif
