/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Leases of the worker pool, on the real catalog: kept by the heartbeat, lost
 * under a running handler, taken back from the dead, handed back by a stop.
 */
#include "unit/worker_world.h"
#include "catalog/catalog_task.h"

/* ---- handlers -------------------------------------------------------------------------------- */

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

/* ---- tests ----------------------------------------------------------------------------------- */

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

static void a_lost_lease_writes_nothing(void **state)
{
        (void)state;
        w.opts.lease = dur_ms(300);
        w.handle = lose_the_lease_once;
        start();
        ingest(1);
        reach(&w.runs, 1);
        for (int i = 0; i < 3000 && atomic_load(&w.runs) < 2; i++) {
                queue_wake(w.q, PURPOSE_ANALYSE, 1);
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
        queue_wake(w.q, PURPOSE_ANALYSE, 1);
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

int main(void)
{
        const struct CMUnitTest tests[] = {
                EACH(a_lost_lease_writes_nothing),
                EACH(the_heartbeat_keeps_a_long_task),
                EACH(the_lease_of_the_dead_is_taken_back),
                EACH(a_stop_lets_handlers_finish),
                EACH(a_stop_hands_back_what_does_not_finish),
                EACH(a_stop_hands_back_from_a_deaf_handler),
        };

        log_init(LOG_ERROR, LOG_TEXT); /* failures are what these tests make */
        if (metrics_init() < 0)
                return 1;
        return cmocka_run_group_tests_name("worker_lease", tests, NULL, NULL);
}
