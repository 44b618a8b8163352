/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker pool on the real catalog: every task ends done or dead, with its
 * effects exactly once, whatever handlers, leases and shutdowns do. The hard
 * thing is to wait for an end without guessing how long it takes.
 */
#include "worker/worker.h"

#include "log/log.h"
#include "metrics/metrics.h"

#include <ftw.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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

static int unlink_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
        (void)st, (void)kind, (void)at;
        return remove(path);
}

static void must(int rc, const struct err *e)
{
        if (rc < 0)
                fail_msg("%s", e->msg);
}

static void went_idle(void *ctx)
{
        (void)ctx;
        atomic_fetch_add(&w.idles, 1);
}

/* ---- handlers: what a test sets as w.handle runs for images ----------------------------- */

static int handle(void *ctx, struct worker_run *run, struct err *e)
{
        (void)ctx;
        atomic_fetch_add(&w.runs, 1);
        run->stage = "test";
        return w.handle(NULL, run, e);
}

static int complete(struct worker_run *run, struct err *e)
{
        return catalog_task_complete(w.c, &(struct task_result){.task = run->task, .metadata = "{}"}, e);
}

static int do_it(void *ctx, struct worker_run *run, struct err *e)
{
        uint64_t file = MOST;

        (void)ctx;
        if (complete(run, e) < 0)
                return -1;
        assert(span_u64(span_of(run->task->filename), &file) && file < MOST && arena_alloc(run->arena, 100));
        atomic_fetch_add(&w.per_file[file], 1);
        return 0;
}

static int fail_softly(void *ctx, struct worker_run *run, struct err *e)
{
        (void)ctx, (void)run;
        return err_set(e, ERR_TIMEOUT, "took too long");
}

/* The catalog cannot write the next two times, which is when this failure is to be recorded. */
static int fail_with_the_catalog(void *ctx, struct worker_run *run, struct err *e)
{
        setenv("FILE_ALLOCATOR_FAULT", "catalog.commit=eio,catalog.commit=eio", 1);
        fault_init();
        return fail_softly(ctx, run, e);
}

static int fail_for_good(void *ctx, struct worker_run *run, struct err *e)
{
        (void)ctx, (void)run;
        return err_set(e, ERR_CORRUPT, "not a picture");
}

static int crash(void *ctx, struct worker_run *run, struct err *e)
{
        (void)ctx, (void)run;
        return err_set(e, ERR_CRASHED, "the decoder died");
}

static int fail_twice_then_do(void *ctx, struct worker_run *run, struct err *e)
{
        if (run->task->errors + run->task->crashes < 4)
                return run->task->errors < 2 ? fail_softly(ctx, run, e) : crash(ctx, run, e);
        return do_it(ctx, run, e);
}

/* More often than errors are allowed. */
static int defer_then_do(void *ctx, struct worker_run *run, struct err *e)
{
        if (atomic_load(&w.runs) > 7)
                return do_it(ctx, run, e);
        run->deferred = true;
        return err_set(e, ERR_UNAVAILABLE, "not there yet");
}

static int take_long(void *ctx, struct worker_run *run, struct err *e)
{
        sleep_for(dur_ms(900));
        return do_it(ctx, run, e);
}

/* The first run's lease is taken away behind its back; it finds out when it writes. */
static int lose_the_lease_once(void *ctx, struct worker_run *run, struct err *e)
{
        struct err late;

        if (atomic_load(&w.runs) > 1)
                return do_it(ctx, run, e);
        if (catalog_task_release(w.c, run->task, (struct dur){0}, e) < 0)
                return -1;
        for (int i = 0; i < 3000 && !atomic_load(run->cancelled); i++)
                sleep_for(dur_ms(1));
        atomic_fetch_add(&w.saw_cancel, atomic_load(run->cancelled));
        if (complete(run, &late) < 0 && late.code == ERR_STALE)
                atomic_fetch_add(&w.late_stale, 1);
        *e = late;
        return -1;
}

static int run_until_cancelled(void *ctx, struct worker_run *run, struct err *e)
{
        (void)ctx;
        while (!atomic_load(run->cancelled))
                sleep_for(dur_ms(1));
        atomic_fetch_add(&w.saw_cancel, 1);
        return err_set(e, ERR_UNAVAILABLE, "stopped");
}

static int ignore_the_cancel(void *ctx, struct worker_run *run, struct err *e)
{
        int rc;

        (void)ctx;
        sleep_for(dur_ms(1800));
        rc = complete(run, e);
        if (rc < 0 && e->code == ERR_STALE)
                atomic_fetch_add(&w.late_stale, 1);
        return rc;
}

static int remember_crashes(void *ctx, struct worker_run *run, struct err *e)
{
        w.last_crashes = run->task->crashes;
        return do_it(ctx, run, e);
}

/* ---- fixture ------------------------------------------------------------------------------- */

static int set_up(void **state)
{
        char abs[PATH_MAX - 64];
        struct err e = {0};

        (void)state;
        memset(&w, 0, sizeof(w));
        snprintf(w.dir, sizeof(w.dir), "worker-XXXXXX");
        assert_non_null(mkdtemp(w.dir));
        assert_non_null(realpath(w.dir, abs));
        snprintf(w.url, sizeof(w.url), "sqlite://%s/catalog.db", abs);
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
                .threads = 2,
                .lease = dur_s(60),
                .max_errors = 5,
                .max_crashes = 3,
                .backoff_base = dur_ms(2),
                .backoff_max = dur_ms(20),
                .defer = dur_ms(20),
                .reconcile_every = dur_s(5),
                .handlers = {[JOB_IMAGE] = handle},
                .idle = went_idle,
        };
        return 0;
}

static int tear_down(void **state)
{
        (void)state;
        worker_pool_stop(w.pool, mono_add(mono_now(), dur_s(5)));
        queue_close(w.q);
        catalog_close(w.c);
        arena_free(w.a);
        unsetenv("FILE_ALLOCATOR_FAULT");
        fault_init();
        nftw(w.dir, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
        return 0;
}

static void ingest_type(unsigned n, enum job_type type)
{
        static struct new_asset assets[MOST];
        static char names[MOST][8];
        struct job_receipt receipt;
        struct err e = {0};

        for (unsigned i = 0; i < n; i++) {
                uint64_t content = random_u64();
                snprintf(names[i], sizeof(names[i]), "%u", i);
                assets[i] = (struct new_asset){.id = id_new(),
                                               .kind = KIND_MEDIA,
                                               .type = type,
                                               .filename = names[i],
                                               .content_type = "image/jpeg",
                                               .sha256 = sha256_of(&content, sizeof(content)),
                                               .size = 100,
                                               .has_task = true};
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

static void ingest(unsigned n)
{
        ingest_type(n, JOB_IMAGE);
        queue_wake(w.q, n);
}

static void start(void)
{
        struct err e = {0};

        must(worker_pool_start(&w.opts, &w.pool, &e), &e);
}

static void stop(struct dur grace)
{
        worker_pool_stop(w.pool, mono_add(mono_now(), grace));
        w.pool = NULL;
}

static struct job_view job(void)
{
        struct job_view v;
        struct err e = {0};

        must(catalog_job_get(w.c, w.job, NULL, w.a, &v, &e), &e);
        return v;
}

static void reach_end(uint64_t done, uint64_t failed)
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

static void reach(atomic_uint *what, unsigned value)
{
        for (int i = 0; i < 10000 && atomic_load(what) < value; i++)
                sleep_for(dur_ms(1));
        assert_true(atomic_load(what) >= value);
}

/* The one task is free again and nothing was counted against it. */
static void assert_handed_back(void)
{
        struct task t;
        struct err e = {0};

        assert_int_equal(catalog_task_claim(w.c, "test", dur_s(60), 1u << JOB_IMAGE, w.a, &t, &e), 1);
        assert_int_equal(t.errors, 0);
        assert_int_equal(t.crashes, 0);
        must(catalog_task_release(w.c, &t, (struct dur){0}, &e), &e);
}

static uint64_t dead(void)
{
        struct catalog_counts n;
        struct err e = {0};

        must(catalog_counts(w.c, NULL, &n, &e), &e);
        return n.dead[JOB_IMAGE][0] + n.dead[JOB_IMAGE][1];
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void what_is_deferred_comes_back_and_counts_nothing(void **state)
{
        double before = metrics_get(METRIC_JOBS_PROCESSED, "image", "retry");

        (void)state;
        w.handle = defer_then_do;
        start();
        ingest(1);
        reach_end(1, 0);
        assert_int_equal(atomic_load(&w.runs), 8);
        assert_true(metrics_get(METRIC_JOBS_PROCESSED, "image", "retry") == before);
        assert_int_equal(dead(), 0);
}

static void each_task_is_done_exactly_once(void **state)
{
        struct worker_state st;
        double before = metrics_get(METRIC_JOBS_PROCESSED, "image", "success");

        (void)state;
        w.opts.threads = 8;
        start();
        ingest(MOST);
        reach_end(MOST, 0);
        for (int i = 0; i < 4000; i++, sleep_for(dur_ms(5))) { /* a handler goes on after it has completed its task */
                worker_pool_state(w.pool, &st);
                if (st.busy == 0)
                        break;
        }
        for (unsigned i = 0; i < MOST; i++)
                assert_int_equal(atomic_load(&w.per_file[i]), 1);
        assert_int_equal(atomic_load(&w.runs), MOST);
        reach(&w.idles, 1);
        worker_pool_state(w.pool, &st);
        assert_int_equal(st.configured, 8);
        assert_int_equal(st.active, 8);
        assert_int_equal(st.busy, 0);
        assert_true(metrics_get(METRIC_JOBS_PROCESSED, "image", "success") - before == MOST);
        assert_true(metrics_get(METRIC_ACTIVE_WORKERS) == 8);
}

static void a_failing_task_is_retried_and_then_dead(void **state)
{
        double before = metrics_get(METRIC_JOBS_PROCESSED, "image", "retry");

        (void)state;
        w.handle = fail_softly;
        start();
        ingest(1);
        reach_end(0, 1);
        assert_int_equal(atomic_load(&w.runs), 5);
        assert_int_equal(dead(), 1);
        sleep_for(dur_ms(30));
        assert_true(metrics_get(METRIC_JOBS_PROCESSED, "image", "retry") - before == 4);
        assert_int_equal(atomic_load(&w.runs), 5);
}

static void a_permanent_failure_is_dead_at_once(void **state)
{
        (void)state;
        w.handle = fail_for_good;
        start();
        ingest(1);
        reach_end(0, 1);
        assert_int_equal(atomic_load(&w.runs), 1);
        assert_int_equal(dead(), 1);
}

static void a_failure_is_recorded_once_the_catalog_is_back(void **state)
{
        (void)state;
        w.opts.max_errors = 1;
        w.handle = fail_with_the_catalog;
        start();
        ingest(1);
        reach_end(0, 1);
        assert_int_equal(atomic_load(&w.runs), 1);
}

static void three_crashes_quarantine(void **state)
{
        (void)state;
        w.handle = crash;
        start();
        ingest(1);
        reach_end(0, 1);
        assert_int_equal(atomic_load(&w.runs), 3);
        assert_int_equal(dead(), 1);
}

static void errors_and_crashes_are_counted_apart(void **state)
{
        (void)state;
        w.opts.max_errors = 3;
        w.handle = fail_twice_then_do;
        start();
        ingest(1);
        reach_end(1, 0);
        assert_int_equal(atomic_load(&w.runs), 5);
}

static void a_lost_lease_writes_nothing(void **state)
{
        (void)state;
        w.opts.lease = dur_ms(300);
        w.handle = lose_the_lease_once;
        start();
        ingest(1);
        reach(&w.runs, 1);
        for (int i = 0; i < 3000 && atomic_load(&w.runs) < 2; i++) {
                queue_wake(w.q, 1);
                sleep_for(dur_ms(1));
        }
        reach_end(1, 0);
        reach(&w.late_stale, 1);
        assert_int_equal(atomic_load(&w.saw_cancel), 1);
        assert_int_equal(atomic_load(&w.per_file[0]), 1);
        assert_int_equal(atomic_load(&w.runs), 2);
}

static void the_heartbeat_keeps_a_long_task(void **state)
{
        (void)state;
        w.opts.lease = dur_ms(300);
        w.opts.reconcile_every = dur_ms(20);
        w.handle = take_long;
        start();
        ingest(1);
        reach_end(1, 0);
        assert_int_equal(atomic_load(&w.runs), 1);
}

static void the_lease_of_the_dead_is_taken_back(void **state)
{
        struct task t;
        struct err e = {0};

        (void)state;
        w.handle = remember_crashes;
        w.opts.reconcile_every = dur_ms(50);
        ingest(1);
        assert_int_equal(catalog_task_claim(w.c, "dead", dur_ms(100), 1u << JOB_IMAGE, w.a, &t, &e), 1);
        start();
        reach_end(1, 0);
        assert_int_equal(w.last_crashes, 1);
        assert_int_equal(catalog_task_complete(w.c, &(struct task_result){.task = &t, .metadata = "{}"}, &e), -1);
        assert_int_equal(e.code, ERR_STALE);
}

static void a_stop_lets_handlers_finish(void **state)
{
        (void)state;
        w.handle = take_long;
        start();
        ingest(1);
        reach(&w.runs, 1);
        stop(dur_s(20));
        reach_end(1, 0);
}

static void a_stop_hands_back_what_does_not_finish(void **state)
{
        struct mono began;

        (void)state;
        w.handle = run_until_cancelled;
        start();
        ingest(1);
        reach(&w.runs, 1);
        began = mono_now();
        stop(dur_ms(50));
        assert_true(dur_seconds(mono_since(began)) < 15);
        assert_int_equal(atomic_load(&w.saw_cancel), 1);
        assert_handed_back();
        w.handle = do_it;
        start(); /* the queue serves the next pool as well */
        queue_wake(w.q, 1);
        reach_end(1, 0);
}

static void a_stop_hands_back_from_a_deaf_handler(void **state)
{
        (void)state;
        w.handle = ignore_the_cancel;
        start();
        ingest(1);
        reach(&w.runs, 1);
        stop(dur_ms(10));
        assert_int_equal(atomic_load(&w.late_stale), 1);
        assert_handed_back();
}

static void a_lost_wake_up_only_delays(void **state)
{
        (void)state;
        w.opts.reconcile_every = dur_ms(50);
        start();
        sleep_for(dur_ms(100));
        ingest_type(20, JOB_IMAGE);
        reach_end(20, 0);
}

static void an_interrupted_queue_only_delays(void **state)
{
        (void)state;
        start();
        queue_interrupt(w.q);
        sleep_for(dur_ms(20));
        ingest_type(3, JOB_IMAGE);
        reach_end(3, 0);
}

static void types_without_a_handler_are_left_alone(void **state)
{
        struct job_view v;

        (void)state;
        w.opts.reconcile_every = dur_ms(20);
        start();
        ingest_type(2, JOB_VIDEO);
        queue_wake(w.q, 2);
        sleep_for(dur_ms(100));
        v = job();
        assert_int_equal(v.queued, 2);
        assert_int_equal(atomic_load(&w.runs), 0);
}

static double cpu_seconds(void)
{
        struct timespec ts;

        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
        return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void an_idle_pool_costs_nothing(void **state)
{
        double before;

        (void)state;
        w.opts.threads = 8;
        ingest_type(1, JOB_VIDEO); /* ready, but nobody's */
        start();
        sleep_for(dur_ms(100));
        before = cpu_seconds();
        sleep_for(dur_ms(500));
        assert_true(cpu_seconds() - before < 0.1);
}

static void any_allocation_may_fail(void **state)
{
        (void)state;
        for (long n = 0; n < 24; n++) {
                struct err e = {0};
                mem_fail_after(n);
                if (worker_pool_start(&w.opts, &w.pool, &e) < 0)
                        assert_true(e.code == ERR_OOM || e.code == ERR_UNAVAILABLE);
                mem_fail_after(-1);
                stop(dur_s(1));
        }
        start();
        ingest(1);
        reach_end(1, 0);
}

int main(void)
{
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                EACH(each_task_is_done_exactly_once),
                EACH(what_is_deferred_comes_back_and_counts_nothing),
                EACH(a_failing_task_is_retried_and_then_dead),
                EACH(a_permanent_failure_is_dead_at_once),
                EACH(a_failure_is_recorded_once_the_catalog_is_back),
                EACH(three_crashes_quarantine),
                EACH(errors_and_crashes_are_counted_apart),
                EACH(a_lost_lease_writes_nothing),
                EACH(the_heartbeat_keeps_a_long_task),
                EACH(the_lease_of_the_dead_is_taken_back),
                EACH(a_stop_lets_handlers_finish),
                EACH(a_stop_hands_back_what_does_not_finish),
                EACH(a_stop_hands_back_from_a_deaf_handler),
                EACH(a_lost_wake_up_only_delays),
                EACH(an_interrupted_queue_only_delays),
                EACH(types_without_a_handler_are_left_alone),
                EACH(an_idle_pool_costs_nothing),
                EACH(any_allocation_may_fail),
        };

        log_init(LOG_ERROR, LOG_TEXT); /* failures are what these tests make */
        if (metrics_init() < 0)
                return 1;
        return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
