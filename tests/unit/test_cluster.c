/* SPDX-License-Identifier: Apache-2.0 */
/* Choosing, founding and merging folders: the answer must not depend on the order the rows come in. */
#include <setjmp.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "cluster/cluster.h"

#define DIM 24

static uint32_t seed = 3;

static uint32_t roll(uint32_t n)
{
        seed = seed * 1664525 + 1013904223;
        return (seed >> 8) % n;
}

static void unit(float *v)
{
        double sum = 0;
        for (size_t i = 0; i < DIM; i++)
                sum += (double)v[i] * v[i];
        for (size_t i = 0; i < DIM; i++)
                v[i] = (float)(v[i] / sqrt(sum));
}

/* centre (an axis) plus noise of the given size */
static void near_axis(float *v, size_t axis, float size)
{
        for (size_t i = 0; i < DIM; i++)
                v[i] = size * ((float)roll(2001) / 1000 - 1);
        v[axis] += 1;
        unit(v);
}

/* In the plane of the first two axes. */
static void at_angle(float *v, double degrees)
{
        memset(v, 0, DIM * sizeof *v);
        v[0] = (float)cos(degrees * 0.017453292519943295);
        v[1] = (float)sin(degrees * 0.017453292519943295);
}

static float cosine_of(double degrees)
{
        return (float)cos(degrees * 0.017453292519943295);
}

static void shuffle(uint32_t *order, size_t n)
{
        for (size_t i = 0; i < n; i++)
                order[i] = (uint32_t)i;
        for (size_t i = n; i > 1; i--) {
                size_t k = roll((uint32_t)i);
                uint32_t t = order[i - 1];
                order[i - 1] = order[k];
                order[k] = t;
        }
}

/* ---- choosing ---------------------------------------------------------------------- */

static void chooses_the_nearest_that_is_near_enough_and_leads(void **state)
{
        static const struct {
                struct cluster_candidate c[3];
                size_t n;
                float margin;
                enum cluster_verdict verdict;
                uint32_t index;
                const char *why;
        } cases[] = {
                {{{0}}, 0, 0.1f, CLUSTER_UNSORTED, 0, "no candidate"},
                {{{7, 0.8f, 0.6f}}, 1, 0.5f, CLUSTER_ASSIGN, 7, "assigned"},
                {{{7, 0.6f, 0.6f}}, 1, 0.5f, CLUSTER_ASSIGN, 7, "assigned"},
                {{{7, 0.59f, 0.6f}}, 1, 0, CLUSTER_UNSORTED, 7, "below threshold"},
                {{{1, 0.7f, 0.6f}, {2, 0.9f, 0.6f}}, 2, 0.1f, CLUSTER_ASSIGN, 2, "assigned"},
                {{{1, 0.85f, 0.6f}, {2, 0.9f, 0.6f}}, 2, 0.1f, CLUSTER_UNSORTED, 2, "too close to the second"},
                {{{1, 0.85f, 0.99f}, {2, 0.9f, 0.6f}}, 2, 0.1f, CLUSTER_UNSORTED, 2, "too close to the second"},
                {{{1, 0.85f, 0.6f}, {2, 0.9f, 0.95f}}, 2, 0.01f, CLUSTER_UNSORTED, 2, "below threshold"},
                {{{5, 0.8f, 0.6f}, {3, 0.8f, 0.6f}}, 2, 0, CLUSTER_ASSIGN, 3, "assigned"},
                {{{5, 0.8f, 0.6f}, {5, 0.79f, 0.6f}}, 2, 0.1f, CLUSTER_ASSIGN, 5, "assigned"},
                {{{1, NAN, 0.6f}}, 1, 0, CLUSTER_UNSORTED, 0, "no candidate"},
                {{{1, NAN, 0.6f}, {2, 0.8f, 0.6f}}, 2, 0.1f, CLUSTER_ASSIGN, 2, "assigned"},
                {{{1, 0.9f, NAN}}, 1, 0, CLUSTER_UNSORTED, 1, "below threshold"},
                {{{1, 0.9f, 0.6f}, {2, 0.1f, 0.6f}}, 2, NAN, CLUSTER_UNSORTED, 1, "too close to the second"},
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(cases); i++) {
                struct cluster_choice r = cluster_choose(cases[i].c, cases[i].n, cases[i].margin);
                assert_string_equal(r.why, cases[i].why);
                assert_int_equal(r.verdict, cases[i].verdict);
                assert_int_equal(r.index, cases[i].index);
        }
        assert_true(cluster_choose(NULL, 0, 0).cosine == -1);
}

static void choosing_ignores_the_order_of_candidates(void **state)
{
        enum { N = 20 };
        struct cluster_candidate c[N], mixed[N];
        uint32_t order[N];
        (void)state;
        for (int round = 0; round < 200; round++) {
                for (uint32_t i = 0; i < N; i++)
                        c[i] = (struct cluster_candidate){i, (float)roll(12) / 10 - 0.1f, (float)roll(10) / 10};
                c[roll(N)].cosine = NAN;
                float margin = (float)roll(3) / 10;
                struct cluster_choice want = cluster_choose(c, N, margin);
                shuffle(order, N);
                for (size_t i = 0; i < N; i++)
                        mixed[i] = c[order[i]];
                struct cluster_choice got = cluster_choose(mixed, N, margin);
                assert_int_equal(got.verdict, want.verdict);
                assert_int_equal(got.index, want.index);
                assert_ptr_equal(got.why, want.why);
        }
}

/* ---- founding ------------------------------------------------------------------------ */

static void close_neighbours_found_a_folder(void **state)
{
        float v[DIM], near[4 * DIM];
        uint32_t members[4];
        (void)state;
        at_angle(v, 0);
        at_angle(near, 80);
        at_angle(near + DIM, 10);
        at_angle(near + 2 * DIM, -90);
        at_angle(near + 3 * DIM, 20);
        assert_int_equal(cluster_found(v, near, 4, DIM, cosine_of(30), 3, members), 2);
        assert_int_equal(members[0], 1);
        assert_int_equal(members[1], 3);
        assert_int_equal(cluster_found(v, near, 4, DIM, cosine_of(30), 4, members), 0);
        assert_int_equal(cluster_found(v, near, 0, DIM, cosine_of(30), 1, members), 0);
}

static void every_pair_must_be_close_not_only_each_to_the_new_one(void **state)
{
        float v[DIM], near[2 * DIM];
        uint32_t members[2];
        (void)state;
        at_angle(v, 0);
        at_angle(near, 25);
        at_angle(near + DIM, -25);
        assert_int_equal(cluster_found(v, near, 2, DIM, cosine_of(30), 3, members), 0);
        assert_int_equal(cluster_found(v, near, 2, DIM, cosine_of(51), 3, members), 2);
}

static void an_outlier_nearer_than_all_does_not_shut_the_group_out(void **state)
{
        float v[DIM], near[4 * DIM];
        uint32_t members[4];
        (void)state;
        at_angle(v, 0);
        at_angle(near, -15); /* nearest, but far from the others */
        at_angle(near + DIM, 20);
        at_angle(near + 2 * DIM, 22);
        at_angle(near + 3 * DIM, 24);
        assert_int_equal(cluster_found(v, near, 4, DIM, cosine_of(30), 3, members), 3);
        assert_int_equal(members[0], 1);
        assert_int_equal(members[2], 3);
}

static void founding_ignores_the_order_of_neighbours(void **state)
{
        enum { N = 40 };
        static float near[N * DIM], mixed[N * DIM];
        uint32_t order[N], a[N], b[N];
        float v[DIM];
        (void)state;
        for (int round = 0; round < 100; round++) {
                near_axis(v, 0, 0.15f);
                for (size_t i = 0; i < N; i++)
                        near_axis(near + i * DIM, i % 3, 0.05f + 0.02f * (float)roll(10));
                shuffle(order, N);
                for (size_t i = 0; i < N; i++)
                        memcpy(mixed + i * DIM, near + order[i] * DIM, DIM * sizeof *near);
                size_t n = cluster_found(v, near, N, DIM, 0.7f, 3, a);
                assert_int_equal(cluster_found(v, mixed, N, DIM, 0.7f, 3, b), n);
                bool in[N] = {false};
                for (size_t i = 0; i < n; i++)
                        in[a[i]] = true;
                for (size_t i = 0; i < n; i++)
                        assert_true(in[order[b[i]]]);
        }
}

static void holes_and_no_numbers_found_nothing(void **state)
{
        float v[DIM], near[5 * DIM] = {0};
        uint32_t members[5];
        (void)state;
        at_angle(v, 0);
        near[DIM] = NAN;
        near[2 * DIM] = INFINITY;
        at_angle(near + 3 * DIM, 5);
        at_angle(near + 4 * DIM, 6);
        assert_int_equal(cluster_found(v, near, 5, DIM, -1, 3, members), 2);
        assert_int_equal(members[0], 3);
        assert_int_equal(members[1], 4);
        assert_int_equal(cluster_found(near, near, 5, DIM, -1, 1, members), 0);
        assert_int_equal(cluster_found(near + DIM, near, 5, DIM, -1, 1, members), 0);
        assert_int_equal(cluster_found(v, near, 5, DIM, NAN, 1, members), 0);
}

static void more_neighbours_than_are_weighed_is_fine(void **state)
{
        enum { N = 700 };
        static float near[N * DIM];
        static uint32_t members[N];
        float v[DIM];
        (void)state;
        near_axis(v, 0, 0.01f);
        for (size_t i = 0; i < N; i++)
                near_axis(near + i * DIM, 0, 0.01f);
        assert_int_equal(cluster_found(v, near, N, DIM, 0.9f, 3, members), 256);
        for (size_t i = 1; i < 256; i++)
                assert_true(members[i - 1] < members[i]);
}

/* ---- prototypes ------------------------------------------------------------------------- */

static void the_centroid_is_the_mean_direction(void **state)
{
        float vecs[3 * DIM], out[DIM], want[DIM];
        (void)state;
        at_angle(vecs, 10);
        at_angle(vecs + DIM, 50);
        at_angle(want, 30);
        assert_true(cluster_centroid(vecs, 2, DIM, out));
        for (size_t i = 0; i < DIM; i++)
                assert_float_equal(out[i], want[i], 1e-6);
        at_angle(vecs + DIM, 190);
        assert_false(cluster_centroid(vecs, 2, DIM, out));
        assert_false(cluster_centroid(vecs, 0, DIM, out));
        vecs[3] = NAN;
        assert_false(cluster_centroid(vecs, 2, DIM, out));
}

/* ---- merging ------------------------------------------------------------------------------ */

static float angles[8][DIM];

static struct cluster_group group(size_t slot, double degrees, uint32_t count, float threshold, bool fixed)
{
        at_angle(angles[slot], degrees);
        return (struct cluster_group){angles[slot], count, threshold, fixed};
}

static void merging_needs_the_stricter_threshold_and_the_hysteresis(void **state)
{
        struct cluster_merge m[4];
        struct err e;
        (void)state;
        struct cluster_group g[] = {group(0, 0, 5, 0.5f, false), group(1, 30, 9, 0.8f, false)}; /* cosine 0.866 */
        assert_int_equal(cluster_merges(g, 2, DIM, 0.05f, m, 4, &e), 1);
        assert_int_equal(m[0].from, 0);
        assert_int_equal(m[0].into, 1);
        assert_float_equal(m[0].cosine, cosine_of(30), 1e-6);
        assert_int_equal(cluster_merges(g, 2, DIM, 0.1f, m, 4, &e), 0); /* would pass the looser threshold */
        assert_int_equal(e.code, ERR_NONE);
}

static void the_survivor_is_fixed_then_larger_then_first(void **state)
{
        struct cluster_merge m[4];
        struct err e;
        (void)state;
        struct cluster_group fixed[] = {group(0, 0, 500, 0.5f, false), group(1, 5, 1, 0.5f, true)};
        assert_int_equal(cluster_merges(fixed, 2, DIM, 0, m, 4, &e), 1);
        assert_int_equal(m[0].into, 1);
        struct cluster_group size[] = {group(0, 0, 2, 0.5f, false), group(1, 5, 3, 0.5f, false)};
        assert_int_equal(cluster_merges(size, 2, DIM, 0, m, 4, &e), 1);
        assert_int_equal(m[0].into, 1);
        struct cluster_group equal[] = {group(0, 0, 3, 0.5f, false), group(1, 5, 3, 0.5f, false)};
        assert_int_equal(cluster_merges(equal, 2, DIM, 0, m, 4, &e), 1);
        assert_int_equal(m[0].into, 0);
        struct cluster_group both[] = {group(0, 0, 3, 0.5f, true), group(1, 0, 3, 0.5f, true)};
        assert_int_equal(cluster_merges(both, 2, DIM, 0, m, 4, &e), 0);
}

static void each_group_merges_once_a_pass_best_pairs_first(void **state)
{
        struct cluster_merge m[4];
        struct err e;
        (void)state;
        /* a chain at 0, 10, 18, 25 and 80 degrees: 18–25 is the best pair and leaves 0–10 */
        struct cluster_group g[] = {group(0, 0, 4, 0.8f, false), group(1, 10, 4, 0.8f, false),
                                    group(2, 18, 4, 0.8f, false), group(3, 25, 4, 0.8f, false),
                                    group(4, 80, 4, 0.8f, false)};
        assert_int_equal(cluster_merges(g, 5, DIM, 0.02f, m, 4, &e), 2);
        assert_int_equal(m[0].from, 3);
        assert_int_equal(m[0].into, 2);
        assert_int_equal(m[1].from, 1);
        assert_int_equal(m[1].into, 0);
        assert_int_equal(cluster_merges(g, 5, DIM, 0.02f, m, 1, &e), 1);
        assert_int_equal(m[0].into, 2);
        assert_int_equal(cluster_merges(g, 5, DIM, 0.02f, m, 0, &e), 0);
}

static void merging_ignores_the_order_when_sizes_decide(void **state)
{
        enum { N = 30 };
        static float protos[N][DIM];
        struct cluster_group g[N], mixed[N];
        struct cluster_merge a[N], b[N];
        uint32_t order[N];
        struct err e;
        (void)state;
        for (int round = 0; round < 50; round++) {
                for (uint32_t i = 0; i < N; i++) {
                        near_axis(protos[i], i % 5, 0.2f);
                        g[i] = (struct cluster_group){protos[i], i + 1, 0.6f, i % 7 == 0};
                }
                shuffle(order, N);
                for (size_t i = 0; i < N; i++)
                        mixed[i] = g[order[i]];
                size_t n = cluster_merges(g, N, DIM, 0.05f, a, N, &e);
                assert_true(n > 0);
                assert_int_equal(cluster_merges(mixed, N, DIM, 0.05f, b, N, &e), n);
                for (size_t i = 0; i < n; i++) {
                        assert_int_equal(order[b[i].from], a[i].from);
                        assert_int_equal(order[b[i].into], a[i].into);
                        assert_false(g[a[i].from].fixed);
                }
        }
}

static void degenerate_groups_never_merge(void **state)
{
        static float zero[DIM], nan_row[DIM];
        struct cluster_merge m[8];
        struct err e = {.code = ERR_OOM};
        (void)state;
        nan_row[0] = NAN;
        struct cluster_group g[] = {{zero, 1, -1, false},
                                    {zero, 1, -1, false},
                                    {nan_row, 1, -1, false},
                                    group(0, 0, 1, NAN, false),
                                    group(1, 0, 1, -1, false)};
        assert_int_equal(cluster_merges(g, 5, DIM, 0, m, 8, &e), 0);
        assert_int_equal(e.code, ERR_NONE);
        assert_int_equal(cluster_merges(g, 0, DIM, 0, m, 8, &e), 0);
        assert_int_equal(cluster_merges(g, 1, DIM, 0, m, 8, &e), 0);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(chooses_the_nearest_that_is_near_enough_and_leads),
                cmocka_unit_test(choosing_ignores_the_order_of_candidates),
                cmocka_unit_test(close_neighbours_found_a_folder),
                cmocka_unit_test(every_pair_must_be_close_not_only_each_to_the_new_one),
                cmocka_unit_test(an_outlier_nearer_than_all_does_not_shut_the_group_out),
                cmocka_unit_test(founding_ignores_the_order_of_neighbours),
                cmocka_unit_test(holes_and_no_numbers_found_nothing),
                cmocka_unit_test(more_neighbours_than_are_weighed_is_fine),
                cmocka_unit_test(the_centroid_is_the_mean_direction),
                cmocka_unit_test(merging_needs_the_stricter_threshold_and_the_hysteresis),
                cmocka_unit_test(the_survivor_is_fixed_then_larger_then_first),
                cmocka_unit_test(each_group_merges_once_a_pass_best_pairs_first),
                cmocka_unit_test(merging_ignores_the_order_when_sizes_decide),
                cmocka_unit_test(degenerate_groups_never_merge),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
