/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every queue backend promises, written once: a backend's test brings the
 * factory suite_open and calls run_suite. Timing is the hard thing: a test
 * waits long for what must happen and briefly for what must not. A kept
 * wake-up may take a moment to come from where it is kept.
 */
#ifndef FA_QUEUE_SUITE_H
#define FA_QUEUE_SUITE_H

#include "queue/queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define ANALYSE (1U << PURPOSE_ANALYSE)
#define ENRICH  (1U << PURPOSE_ENRICH)

struct fixture {
        struct queue *q;
};

/* The backend's factory: a queue in which no wake-up is kept. */
static struct queue *suite_open(void);

static int set_up(void **state)
{
        struct fixture *f = test_calloc(1, sizeof *f);

        f->q = suite_open();
        *state = f;
        return 0;
}

static int tear_down(void **state)
{
        struct fixture *f = *state;

        queue_close(f->q);
        test_free(f);
        return 0;
}

static struct mono in_ms(int64_t ms)
{
        return mono_add(mono_now(), dur_ms(ms));
}

struct waiter {
        struct queue *q;
        pthread_t t;
        atomic_int *woken, *returned;
        int64_t ms;
};

static void *wait_once(void *arg)
{
        struct waiter *w = arg;

        if (queue_wait(w->q, ANALYSE, in_ms(w->ms)))
                atomic_fetch_add(w->woken, 1);
        atomic_fetch_add(w->returned, 1);
        return NULL;
}

static void start(struct waiter *w, size_t n, struct queue *q, int64_t ms, atomic_int *woken, atomic_int *returned)
{
        for (size_t i = 0; i < n; i++) {
                w[i] = (struct waiter){.q = q, .woken = woken, .returned = returned, .ms = ms};
                assert_int_equal(thread_start(&w[i].t, "waiter", wait_once, &w[i]), 0);
        }
}

static void join(struct waiter *w, size_t n)
{
        for (size_t i = 0; i < n; i++)
                pthread_join(w[i].t, NULL);
}

static void reach(atomic_int *what, int value)
{
        for (int i = 0; i < 5000 && atomic_load(what) < value; i++)
                sleep_for(dur_ms(1));
        assert_int_equal(atomic_load(what), value);
}

static void a_wait_without_a_wake_ends_at_its_deadline(void **state)
{
        struct fixture *f = *state;
        struct mono began = mono_now();

        assert_false(queue_wait(f->q, ANALYSE, in_ms(30)));
        assert_true(mono_since(began).ns >= dur_ms(29).ns);
        assert_false(queue_wait(f->q, ANALYSE, (struct mono){0}));
        queue_wake(f->q, PURPOSE_ANALYSE, 0);
        assert_false(queue_wait(f->q, ANALYSE, in_ms(5)));
}

static void a_wake_before_the_wait_is_kept(void **state)
{
        struct fixture *f = *state;

        queue_wake(f->q, PURPOSE_ANALYSE, 2);
        assert_true(queue_wait(f->q, ANALYSE, in_ms(5000)));
        assert_true(queue_wait(f->q, ANALYSE, in_ms(5000)));
        assert_false(queue_wait(f->q, ANALYSE, in_ms(5)));
}

static void kept_wakes_saturate(void **state)
{
        struct fixture *f = *state;
        unsigned kept = 0;

        queue_wake(f->q, PURPOSE_ANALYSE, 3);
        queue_wake(f->q, PURPOSE_ANALYSE, 1000000);
        queue_wake(f->q, PURPOSE_ANALYSE, ~0u);
        while (kept < 100000 && queue_wait(f->q, ANALYSE, in_ms(300)))
                kept++;
        assert_in_range(kept, 3, 1000);
}

static void n_wakes_wake_n_of_many(void **state)
{
        struct fixture *f = *state;
        atomic_int woken = 0, returned = 0;
        struct waiter w[8];

        start(w, 8, f->q, 20000, &woken, &returned);
        sleep_for(dur_ms(20));
        queue_wake(f->q, PURPOSE_ANALYSE, 3);
        reach(&woken, 3);
        sleep_for(dur_ms(30));
        assert_int_equal(atomic_load(&returned), 3);
        queue_wake(f->q, PURPOSE_ANALYSE, 5);
        reach(&woken, 8);
        join(w, 8);
        assert_false(queue_wait(f->q, ANALYSE, in_ms(5)));
}

/* One that was woken and has not gone yet takes no second wake-up. */
static void wakes_close_together_reach_one_each(void **state)
{
        struct fixture *f = *state;

        for (int round = 0; round < 5; round++) {
                atomic_int woken = 0, returned = 0;
                struct waiter w[8];
                start(w, 8, f->q, 20000, &woken, &returned);
                sleep_for(dur_ms(20));
                for (int i = 0; i < 8; i++)
                        queue_wake(f->q, PURPOSE_ANALYSE, 1);
                reach(&woken, 8);
                join(w, 8);
        }
}

static void an_interrupt_ends_all_waits_now_and_later(void **state)
{
        struct fixture *f = *state;
        atomic_int woken = 0, returned = 0;
        struct waiter w[8];

        start(w, 8, f->q, 20000, &woken, &returned);
        sleep_for(dur_ms(20));
        queue_interrupt(f->q);
        reach(&returned, 8);
        join(w, 8);
        assert_int_equal(atomic_load(&woken), 0);
        queue_wake(f->q, PURPOSE_ANALYSE, 1);
        assert_false(queue_wait(f->q, ANALYSE, in_ms(20000)));
}

struct stream {
        struct queue *q;
        atomic_int *work, *done;
        int total;
};

/* As a worker does: take what there is, wait only when there is nothing. */
static void *drain(void *arg)
{
        struct stream *s = arg;

        while (atomic_load(s->done) < s->total) {
                int left = atomic_load(s->work);
                if (left > 0 && atomic_compare_exchange_strong(s->work, &left, left - 1))
                        atomic_fetch_add(s->done, 1);
                else if (left <= 0)
                        queue_wait(s->q, ANALYSE, in_ms(20));
        }
        return NULL;
}

static void work_announced_is_work_found(void **state)
{
        struct fixture *f = *state;
        atomic_int work = 0, done = 0;
        struct stream s = {f->q, &work, &done, 20000};
        pthread_t t[8];

        for (size_t i = 0; i < COUNT_OF(t); i++)
                assert_int_equal(thread_start(&t[i], "drain", drain, &s), 0);
        for (int i = 0; i < s.total; i++) {
                atomic_fetch_add(&work, 1);
                queue_wake(f->q, PURPOSE_ANALYSE, 1);
        }
        for (size_t i = 0; i < COUNT_OF(t); i++)
                pthread_join(t[i], NULL);
        assert_int_equal(done, s.total);
}

/* ---- lanes: who waits for one purpose and who waits for another ------------------------------- */

struct lane {
        struct queue *q;
        uint32_t purposes;
        pthread_t t;
        atomic_bool stop;
        atomic_int heard;
};

static void *lane_run(void *arg)
{
        struct lane *l = arg;

        while (!atomic_load(&l->stop))
                if (queue_wait(l->q, l->purposes, in_ms(500)))
                        atomic_fetch_add(&l->heard, 1);
        return NULL;
}

static void lane_start(struct lane *l, struct queue *q, uint32_t purposes)
{
        *l = (struct lane){.q = q, .purposes = purposes};
        assert_int_equal(thread_start(&l->t, "lane", lane_run, l), 0);
}

static int lane_end(struct lane *l)
{
        atomic_store(&l->stop, true);
        pthread_join(l->t, NULL);
        return atomic_load(&l->heard);
}

/* One idle beside another, each is woken for its own, every time. */
static void an_idle_lane_swallows_no_others_wake(void **state)
{
        struct fixture *f = *state;
        struct lane analyse, enrich, text;

        lane_start(&analyse, f->q, ANALYSE);
        lane_start(&text, f->q, 1U << PURPOSE_TEXT | 1U << PURPOSE_EMBED);
        lane_start(&enrich, f->q, ENRICH);
        for (int i = 1; i <= 1000; i++) {
                queue_wake(f->q, PURPOSE_ENRICH, 1);
                reach(&enrich.heard, i);
        }
        for (int i = 1; i <= 100; i++) {
                queue_wake(f->q, i % 2 ? PURPOSE_TEXT : PURPOSE_EMBED, 1);
                reach(&text.heard, i);
        }
        assert_int_equal(lane_end(&analyse), 0);
        assert_int_equal(lane_end(&text), 100);
        assert_int_equal(lane_end(&enrich), 1000);
}

static void a_kept_wake_waits_for_its_own_purpose(void **state)
{
        struct fixture *f = *state;

        queue_wake(f->q, PURPOSE_ENRICH, 1);
        queue_wake(f->q, PURPOSE_ANALYSE, 1);
        assert_false(queue_wait(f->q, 1U << PURPOSE_TEXT, in_ms(50)));
        assert_true(queue_wait(f->q, ANALYSE, in_ms(5000)));
        assert_false(queue_wait(f->q, ANALYSE, in_ms(50)));
        assert_true(queue_wait(f->q, ENRICH | ANALYSE, in_ms(5000)));
        assert_false(queue_wait(f->q, ENRICH | ANALYSE, in_ms(50)));
}

#define EACH(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static int run_suite(const char *name)
{
        const struct CMUnitTest suite[] = {
                EACH(a_wait_without_a_wake_ends_at_its_deadline),
                EACH(a_wake_before_the_wait_is_kept),
                EACH(kept_wakes_saturate),
                EACH(n_wakes_wake_n_of_many),
                EACH(wakes_close_together_reach_one_each),
                EACH(an_interrupt_ends_all_waits_now_and_later),
                EACH(work_announced_is_work_found),
                EACH(an_idle_lane_swallows_no_others_wake),
                EACH(a_kept_wake_waits_for_its_own_purpose),
        };

        return cmocka_run_group_tests_name(name, suite, NULL, NULL);
}

#endif
