/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits on a clock that the tests turn, and the table that no number of clients makes grow. */
#include "limit/limit.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct mono at_ms(int64_t ms)
{
        return (struct mono){1000000000 + ms * 1000000};
}

static struct limit *open_limit(struct limit_opts opts)
{
        struct limit *l = NULL;
        struct err e;

        if (limit_open(&opts, &l, &e))
                fail_msg("%s", e.msg);
        return l;
}

static struct limit *requests(uint64_t per_second, uint64_t burst)
{
        return open_limit((struct limit_opts){.rates = {[LIMIT_REQUESTS] = {per_second, burst}}});
}

static struct limit_verdict ask(struct limit *l, const char *client, uint64_t bytes, int64_t ms)
{
        struct limit_verdict v;

        limit_ask(l, client, bytes, at_ms(ms), &v);
        return v;
}

/* How many of so many requests are allowed at one moment. */
static unsigned allowed_of(struct limit *l, const char *client, unsigned n, int64_t ms)
{
        unsigned ok = 0;

        for (unsigned i = 0; i < n; i++)
                ok += ask(l, client, 0, ms).allowed;
        return ok;
}

static void a_full_bucket_holds_its_burst_at_every_rate(void **state)
{
        static const struct limit_rate rates[] = {{1, 1},        {1, 10},         {3, 10},     {7, 49},
                                                  {60, 120},     {10, 5},         {999, 1998}, {1000, 20000},
                                                  {99999, 1000}, {100000, 30000}, {1, 3600}};

        (void)state;
        for (size_t i = 0; i < COUNT_OF(rates); i++) {
                struct limit *l = requests(rates[i].per_second, rates[i].burst);
                unsigned ok = allowed_of(l, "a", (unsigned)rates[i].burst + 10, 0);
                if (ok != rates[i].burst)
                        fail_msg("%llu a second, burst %llu: %u", (unsigned long long)rates[i].per_second,
                                 (unsigned long long)rates[i].burst, ok);
                limit_close(l);
        }
}

static void an_empty_bucket_refills_at_its_rate_and_says_when(void **state)
{
        struct limit *l = requests(10, 5);
        struct limit_verdict v;

        (void)state;
        v = ask(l, "a", 0, 0);
        assert_true(v.allowed);
        assert_int_equal(v.left, 4);
        assert_int_equal(v.full_in.ns, 100000000);
        assert_int_equal(allowed_of(l, "a", 10, 0), 4);
        v = ask(l, "a", 0, 0);
        assert_false(v.allowed);
        assert_int_equal(v.passed, LIMIT_REQUESTS);
        assert_int_equal(v.wait.ns, 100000000);
        assert_int_equal(v.left, 0);
        assert_int_equal(v.full_in.ns, 500000000);
        assert_int_equal(allowed_of(l, "a", 10, 99), 0);
        assert_int_equal(allowed_of(l, "a", 10, 100), 1);
        assert_int_equal(allowed_of(l, "a", 10, 400), 3);
        assert_int_equal(allowed_of(l, "a", 10, 1000000), 5);
        limit_close(l);
}

static void a_steady_client_gets_its_rate_however_much_it_asks(void **state)
{
        struct limit *l = requests(20, 40);
        unsigned ok = 0;

        (void)state;
        for (int64_t ms = 0; ms < 10000; ms++)
                ok += ask(l, "a", 0, ms).allowed;
        assert_int_equal(ok, 40 + 199); /* the last of 200 would come at 10 s */
        limit_close(l);
}

static void clients_do_not_touch_each_other(void **state)
{
        struct limit *l = requests(1, 2);

        (void)state;
        assert_int_equal(allowed_of(l, "key:a", 3, 0), 2);
        assert_int_equal(allowed_of(l, "key:b", 3, 0), 2);
        assert_int_equal(allowed_of(l, "ip:1.2.3.4", 3, 0), 2);
        limit_close(l);
}

static void what_is_larger_than_the_bucket_waits_for_a_full_one_and_leaves_a_debt(void **state)
{
        struct limit *l = open_limit((struct limit_opts){.rates = {[LIMIT_BYTES] = {1000, 60000}}});
        struct limit_verdict v;

        (void)state;
        assert_true(ask(l, "a", 1000, 0).allowed);
        v = ask(l, "a", 600000, 0);
        assert_false(v.allowed);
        assert_int_equal(v.passed, LIMIT_BYTES);
        assert_int_equal(v.wait.ns, 1000000000);
        assert_true(ask(l, "a", 600000, 1000).allowed);
        v = ask(l, "a", 1, 1000);
        assert_false(v.allowed);
        assert_int_equal(v.wait.ns, 540001000000); /* 600 s less the 60 that a bucket holds */
        assert_true(ask(l, "a", 0, 1000).allowed);
        assert_false(ask(l, "a", 1, 541000).allowed);
        assert_true(ask(l, "a", 1, 541001).allowed);
        limit_close(l);
}

static void no_debt_outlasts_a_day(void **state)
{
        struct limit *l = open_limit((struct limit_opts){.rates = {[LIMIT_BYTES] = {1, 60}}});

        (void)state;
        assert_true(ask(l, "a", UINT64_MAX, 0).allowed);
        limit_owe(l, "a", UINT64_MAX, at_ms(0));
        assert_false(ask(l, "a", 1, 86400 * 1000 - 60 * 1000).allowed);
        assert_true(ask(l, "a", 1, 86400 * 1000 - 59 * 1000).allowed);
        limit_close(l);
}

static void a_request_spends_from_both_buckets_or_from_none(void **state)
{
        struct limit *l =
                open_limit((struct limit_opts){.rates = {[LIMIT_REQUESTS] = {1, 10}, [LIMIT_BYTES] = {1000, 60000}}});

        (void)state;
        assert_true(ask(l, "a", 60000, 0).allowed);
        for (int i = 0; i < 20; i++)
                assert_false(ask(l, "a", 60000, 0).allowed);
        assert_int_equal(ask(l, "a", 60000, 0).left, 9);
        assert_int_equal(allowed_of(l, "a", 20, 0), 9);
        assert_int_equal(ask(l, "a", 60000, 0).passed, LIMIT_BYTES); /* the longer wait */
        assert_int_equal(ask(l, "a", 0, 0).passed, LIMIT_REQUESTS);
        limit_close(l);
}

static void what_came_unannounced_is_waited_for_by_the_next(void **state)
{
        struct limit *l =
                open_limit((struct limit_opts){.rates = {[LIMIT_REQUESTS] = {1, 10}, [LIMIT_BYTES] = {1000, 60000}}});
        struct limit_verdict v;

        (void)state;
        for (int i = 0; i < 7; i++)
                limit_owe(l, "a", 10000, at_ms(0));
        v = ask(l, "a", 1, 0);
        assert_false(v.allowed);
        assert_int_equal(v.wait.ns, 10001000000);
        assert_int_equal(v.left, 10);
        assert_true(ask(l, "b", 1, 0).allowed);
        limit_close(l);
}

/* ---- the table ------------------------------------------------------------------------------ */

static void other_clients_displace_those_with_the_fullest_buckets(void **state)
{
        struct limit *l = open_limit((struct limit_opts){.rates = {[LIMIT_REQUESTS] = {1, 100}}, .clients = 8});
        char name[32];

        (void)state;
        assert_int_equal(allowed_of(l, "greedy", 200, 0), 100);
        for (int i = 0; i < 10000; i++) {
                snprintf(name, sizeof name, "ip:10.0.%d.%d", i / 256, i % 256);
                assert_true(ask(l, name, 0, 0).allowed);
        }
        assert_int_equal(allowed_of(l, "greedy", 200, 0), 0);
        /* Seven more that owe more than anybody passing by: the table is all theirs, and still they are held. */
        for (int i = 0; i < 7; i++) {
                snprintf(name, sizeof name, "greedy %d", i);
                assert_int_equal(allowed_of(l, name, 200, 0), 100);
        }
        assert_int_equal(allowed_of(l, "greedy 3", 200, 0), 0);
        /* Who comes now is counted at the cost of one of them, and no allocation is made. */
        mem_fail_after(0);
        assert_int_equal(allowed_of(l, "newcomer", 200, 0), 100);
        mem_fail_after(-1);
        limit_close(l);
}

static void the_table_has_room_for_many_clients(void **state)
{
        struct limit *l = requests(1, 1);
        unsigned held = 0;
        char name[32];

        (void)state;
        for (int round = 0; round < 2; round++)
                for (int i = 0; i < 10000; i++) {
                        snprintf(name, sizeof name, "key:%d", i);
                        held += !ask(l, name, 0, 0).allowed;
                }
        assert_in_range(held, 9900, 10000); /* a set may overflow by chance */
        limit_close(l);
}

/* ---- shared buckets ---------------------------------------------------------------------------- */

struct elsewhere {
        enum limit_outcome outcome;
        int64_t ahead;
        unsigned asked;
        char bucket[LIMIT_BUCKET_LEN];
};

static enum limit_outcome ask_elsewhere(void *ctx, struct limit_charge *charges, size_t n, bool owed)
{
        struct elsewhere *x = ctx;

        (void)owed;
        x->asked++;
        memcpy(x->bucket, charges[0].bucket, sizeof x->bucket);
        for (size_t i = 0; i < n && x->outcome != LIMIT_UNREACHABLE; i++)
                charges[i].ahead = x->ahead;
        return x->outcome;
}

static void shared_buckets_decide_and_are_remembered(void **state)
{
        struct elsewhere x = {.outcome = LIMIT_SPENT, .ahead = 9000000};
        struct limit *l = open_limit(
                (struct limit_opts){.rates = {[LIMIT_REQUESTS] = {1, 10}}, .share = ask_elsewhere, .ctx = &x});
        struct limit_verdict v = ask(l, "key:a", 0, 0);

        (void)state;
        assert_true(v.allowed);
        assert_int_equal(v.left, 1);
        assert_string_equal(x.bucket, "requests:key:a");
        x = (struct elsewhere){.outcome = LIMIT_REFUSED, .ahead = 9500000};
        v = ask(l, "key:a", 0, 0);
        assert_false(v.allowed);
        assert_int_equal(v.wait.ns, 500000000);
        assert_int_equal(x.asked, 1);
        /* Until then it cannot have changed, so nobody is asked. */
        assert_int_equal(allowed_of(l, "key:a", 50, 400), 0);
        assert_int_equal(x.asked, 1);
        x.outcome = LIMIT_SPENT;
        assert_int_equal(allowed_of(l, "key:a", 1, 500), 1);
        assert_int_equal(x.asked, 2);
        limit_close(l);
}

static void alone_it_goes_on_from_what_was_last_heard(void **state)
{
        struct elsewhere x = {.outcome = LIMIT_SPENT, .ahead = 7000000};
        struct limit *l = open_limit(
                (struct limit_opts){.rates = {[LIMIT_REQUESTS] = {1, 10}}, .share = ask_elsewhere, .ctx = &x});

        (void)state;
        assert_true(ask(l, "a", 0, 0).allowed);
        x.outcome = LIMIT_UNREACHABLE;
        assert_int_equal(allowed_of(l, "a", 20, 0), 3);
        assert_int_equal(allowed_of(l, "b", 20, 0), 10);
        limit_close(l);
}

/* ---- many threads -------------------------------------------------------------------------------- */

struct crowd {
        struct limit *l;
        atomic_int ok;
};

static void *hammer(void *arg)
{
        struct crowd *c = arg;

        for (int i = 0; i < 2000; i++) {
                char name[16];
                snprintf(name, sizeof name, "other %d", i % 100);
                atomic_fetch_add(&c->ok, ask(c->l, "all", 0, 0).allowed);
                ask(c->l, name, 0, 0);
        }
        return NULL;
}

static void threads_together_get_one_burst(void **state)
{
        struct crowd c = {.l = requests(1, 500)};
        pthread_t t[4];

        (void)state;
        for (size_t i = 0; i < COUNT_OF(t); i++)
                assert_int_equal(thread_start(&t[i], "hammer", hammer, &c), 0);
        for (size_t i = 0; i < COUNT_OF(t); i++)
                pthread_join(t[i], NULL);
        assert_int_equal(atomic_load(&c.ok), 500);
        limit_close(c.l);
}

static void opening_fails_cleanly_without_memory(void **state)
{
        struct limit_opts opts = {.rates = {[LIMIT_REQUESTS] = {1, 1}}};
        struct limit *l = NULL;
        struct err e;

        (void)state;
        for (long n = 0; n < 2; n++) {
                mem_fail_after(n);
                assert_int_equal(limit_open(&opts, &l, &e), -1);
                assert_int_equal(e.code, ERR_OOM);
        }
        mem_fail_after(-1);
        limit_close(NULL);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_full_bucket_holds_its_burst_at_every_rate),
                cmocka_unit_test(an_empty_bucket_refills_at_its_rate_and_says_when),
                cmocka_unit_test(a_steady_client_gets_its_rate_however_much_it_asks),
                cmocka_unit_test(clients_do_not_touch_each_other),
                cmocka_unit_test(what_is_larger_than_the_bucket_waits_for_a_full_one_and_leaves_a_debt),
                cmocka_unit_test(no_debt_outlasts_a_day),
                cmocka_unit_test(a_request_spends_from_both_buckets_or_from_none),
                cmocka_unit_test(what_came_unannounced_is_waited_for_by_the_next),
                cmocka_unit_test(other_clients_displace_those_with_the_fullest_buckets),
                cmocka_unit_test(the_table_has_room_for_many_clients),
                cmocka_unit_test(shared_buckets_decide_and_are_remembered),
                cmocka_unit_test(alone_it_goes_on_from_what_was_last_heard),
                cmocka_unit_test(threads_together_get_one_burst),
                cmocka_unit_test(opening_fails_cleanly_without_memory),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
