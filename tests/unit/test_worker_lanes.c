/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes of a worker pool on the real catalog: each has threads and a pace of
 * its own, and one that is slow, full or without work holds up no other.
 */
#include "worker_world.h"

static atomic_uint enriched;
static atomic_bool hold;

/* Neither done nor failed as long as it is held; then a permanent failure, or none's fault if it is told to stop. */
static int enrich(void *ctx, struct worker_run *run, struct err *e)
{
        (void)ctx;
        assert_int_equal(run->task->purpose, PURPOSE_ENRICH);
        run->stage = "enrich";
        atomic_fetch_add(&enriched, 1);
        while (atomic_load(&hold) && !atomic_load(run->cancelled))
                sleep_for(dur_ms(1));
        return err_set(e, atomic_load(run->cancelled) ? ERR_TIMEOUT : ERR_INVALID, "nothing to say");
}

static int set_up_lanes(void **state)
{
        set_up(state);
        atomic_store(&enriched, 0);
        atomic_store(&hold, false);
        w.opts.lanes[1] = (struct worker_lane){.name = "enrich", .purposes = 1u << PURPOSE_ENRICH, .threads = 1};
        w.opts.nlanes = 2;
        w.opts.handlers[PURPOSE_ENRICH][JOB_IMAGE] = enrich;
        return 0;
}

/* One for each asset of the job. */
static unsigned add_enrichments(void)
{
        struct job_view v = job();
        struct err e = {0};

        for (size_t i = 0; i < v.nassets; i++)
                must(catalog_task_add(w.c, v.assets[i].id, NULL, PURPOSE_ENRICH, &e), &e);
        return (unsigned)v.nassets;
}

static void await_enriched(unsigned n)
{
        for (int i = 0; i < 30000 && atomic_load(&enriched) < n; i++)
                sleep_for(dur_ms(1));
        assert_int_equal(atomic_load(&enriched), n);
}

static void await_done(unsigned n)
{
        for (int i = 0; i < 30000 && job().done < n; i++)
                sleep_for(dur_ms(1));
        assert_int_equal(job().done, n);
}

static void each_lane_works_at_its_own(void **state)
{
        (void)state;
        ingest(10);
        start();
        await_done(10);
        add_enrichments();
        queue_wake(w.q, PURPOSE_ENRICH, 1);
        await_enriched(10);
        assert_int_equal(atomic_load(&w.runs), 10);
        stop(dur_s(5));
        assert_int_equal(job().done, 10);
        assert_int_equal(job().failed, 0);
}

/* Its only thread is busy for as long as it takes; the others' work goes on. */
static void a_lane_that_hangs_holds_up_no_other(void **state)
{
        struct worker_state st;

        (void)state;
        atomic_store(&hold, true);
        ingest(4);
        add_enrichments();
        start();
        queue_wake(w.q, PURPOSE_ENRICH, 4);
        await_enriched(1);
        ingest(20);
        await_done(20);
        worker_pool_state(w.pool, &st);
        assert_int_equal(st.configured, 3);
        assert_int_equal(st.nlanes, 2);
        assert_string_equal(st.lanes[0].name, "analyse");
        assert_int_equal(st.lanes[0].configured, 2);
        assert_string_equal(st.lanes[1].name, "enrich");
        assert_int_equal(st.lanes[1].configured, 1);
        assert_int_equal(st.lanes[1].busy, 1);
        assert_int_equal(atomic_load(&enriched), 1);
        atomic_store(&hold, false);
        await_enriched(4);
}

/* At one a minute nobody sees a second one, however slow the machine is. */
static void a_lane_keeps_its_pace(void **state)
{
        (void)state;
        w.opts.lanes[1].per_minute = 1;
        w.opts.lanes[1].threads = 3;
        ingest(5);
        add_enrichments();
        start();
        queue_wake(w.q, PURPOSE_ENRICH, 5);
        await_enriched(1);
        await_done(5);
        sleep_for(dur_ms(300));
        assert_int_equal(atomic_load(&enriched), 1);
        stop(dur_s(5)); /* and those who wait for their turn are no hindrance */
}

static void a_lane_without_handlers_has_no_threads(void **state)
{
        struct worker_state st;

        (void)state;
        w.opts.handlers[PURPOSE_ENRICH][JOB_IMAGE] = NULL;
        ingest(3);
        add_enrichments();
        start();
        await_done(3);
        worker_pool_state(w.pool, &st);
        assert_int_equal(st.configured, 2);
        assert_int_equal(st.nlanes, 1);
        assert_int_equal(atomic_load(&enriched), 0);
}

/* Nobody says that there is work: the reconciler finds it, of every purpose. */
static void a_lost_wake_is_found_by_looking(void **state)
{
        (void)state;
        w.opts.reconcile_every = dur_ms(20);
        start();
        ingest_type(3, JOB_IMAGE);
        await_done(3);
        add_enrichments();
        await_enriched(3);
}

static void a_stop_hands_back_what_any_lane_holds(void **state)
{
        struct task t;
        struct err e = {0};

        (void)state;
        atomic_store(&hold, true);
        ingest(1);
        add_enrichments();
        start();
        queue_wake(w.q, PURPOSE_ENRICH, 1);
        await_enriched(1);
        await_done(1);
        stop(dur_ms(10));
        assert_int_equal(catalog_task_claim(w.c, "w", dur_s(60), TASK_KIND(PURPOSE_ENRICH, JOB_IMAGE), w.a, &t, &e), 1);
        assert_int_equal(t.deliveries, 1); /* the one before was not counted */
        assert_int_equal(t.errors + t.crashes, 0);
        assert_int_equal(job().done, 1);
}

static void a_turn_comes_at_even_distances(void **state)
{
        struct mono next = {0}, now = {1000};
        struct dur every = {100};
        unsigned begun = 0;

        (void)state;
        for (; now.ns < 2000; now.ns += 7)
                begun += worker_turn(&next, every, now);
        assert_in_range(begun, 9, 10);
        /* What was not used is not saved up. */
        now.ns = 100000;
        assert_true(worker_turn(&next, every, now));
        assert_false(worker_turn(&next, every, now));
        assert_false(worker_turn(&next, every, mono_add(now, (struct dur){99})));
        assert_true(worker_turn(&next, every, mono_add(now, (struct dur){100})));
        for (int i = 0; i < 10; i++)
                assert_true(worker_turn(&next, (struct dur){0}, now));
}

#undef EACH
#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up_lanes, tear_down)

int main(void)
{
        const struct CMUnitTest tests[] = {
                EACH(each_lane_works_at_its_own),
                EACH(a_lane_that_hangs_holds_up_no_other),
                EACH(a_lane_keeps_its_pace),
                EACH(a_lane_without_handlers_has_no_threads),
                EACH(a_lost_wake_is_found_by_looking),
                EACH(a_stop_hands_back_what_any_lane_holds),
                cmocka_unit_test(a_turn_comes_at_even_distances),
        };

        return cmocka_run_group_tests_name("worker lanes", tests, NULL, NULL);
}
