/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker pool on the real catalog: every task ends done or dead, with its
 * effects exactly once, whatever handlers do and however they are woken.
 */
#include "unit/worker_world.h"
#include "jobs/counts.h"
#include "jobs/jobs.h"

#include <time.h>

/* ---- handlers -------------------------------------------------------------------------------- */

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
        w.opts.lanes[0].threads = 8;
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
        queue_wake(w.q, PURPOSE_ANALYSE, 2);
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
        w.opts.lanes[0].threads = 8;
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
        const struct CMUnitTest tests[] = {
                EACH(each_task_is_done_exactly_once),
                EACH(what_is_deferred_comes_back_and_counts_nothing),
                EACH(a_failing_task_is_retried_and_then_dead),
                EACH(a_permanent_failure_is_dead_at_once),
                EACH(a_failure_is_recorded_once_the_catalog_is_back),
                EACH(three_crashes_quarantine),
                EACH(errors_and_crashes_are_counted_apart),
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
