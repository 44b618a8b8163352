/* SPDX-License-Identifier: Apache-2.0 */
/* metrics: counting from many threads and the Prometheus text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "metrics/metrics.h"

static struct buf page;

static const char *render(void)
{
        buf_reset(&page);
        metrics_render(&page);
        assert_false(buf_failed(&page));
        return buf_str(&page);
}

static int set_up(void **state)
{
        (void)state;
        buf_init(&page, 8 << 20);
        return metrics_init();
}

static int tear_down(void **state)
{
        (void)state;
        metrics_done();
        buf_done(&page);
        return 0;
}

static bool has_line(const char *line)
{
        char text[512];

        snprintf(text, sizeof text, "\n%s\n", line);
        return strstr(render(), text) != NULL;
}

static void every_fixed_combination_is_there_at_zero(void **state)
{
        (void)state;
        assert_true(has_line("jobs_processed_total{job_type=\"video\",status=\"retry\"} 0"));
        assert_true(has_line("jobs_processed_total{job_type=\"file\",status=\"failure\"} 0"));
        assert_true(has_line("clusters_created_total 0"));
        assert_true(has_line("ingest_latency_seconds_bucket{request_type=\"put\",le=\"+Inf\"} 0"));
        assert_true(has_line("# TYPE queue_depth gauge"));
        assert_true(has_line("# HELP clusters_created_total Folders created by the service."));
        assert_null(strstr(render(), "http_requests_total{"));
}

static void counters_add_and_gauges_set(void **state)
{
        (void)state;
        metrics_add(METRIC_JOBS_PROCESSED, 1, "image", "success");
        metrics_add(METRIC_JOBS_PROCESSED, 2, "image", "success");
        metrics_set(METRIC_QUEUE_DEPTH, 7, "json");
        metrics_add(METRIC_QUEUE_DEPTH, -3, "json");
        metrics_set(METRIC_STORAGE_FREE, 1.5e12);
        assert_true(metrics_get(METRIC_JOBS_PROCESSED, "image", "success") == 3);
        assert_true(metrics_get(METRIC_JOBS_PROCESSED, "image", "failure") == 0);
        assert_true(has_line("jobs_processed_total{job_type=\"image\",status=\"success\"} 3"));
        assert_true(has_line("queue_depth{job_type=\"json\"} 4"));
        assert_true(has_line("storage_free_bytes 1500000000000"));
}

static void histogram_buckets_cumulate(void **state)
{
        (void)state;
        metrics_observe(METRIC_SEARCH_LATENCY, 0.15, "text");
        metrics_observe(METRIC_SEARCH_LATENCY, 0.3, "text");
        metrics_observe(METRIC_SEARCH_LATENCY, 100, "text");
        assert_true(has_line("search_latency_seconds_bucket{search_type=\"text\",le=\"0.1\"} 0"));
        assert_true(has_line("search_latency_seconds_bucket{search_type=\"text\",le=\"0.15\"} 1"));
        assert_true(has_line("search_latency_seconds_bucket{search_type=\"text\",le=\"0.5\"} 2"));
        assert_true(has_line("search_latency_seconds_bucket{search_type=\"text\",le=\"60\"} 2"));
        assert_true(has_line("search_latency_seconds_bucket{search_type=\"text\",le=\"+Inf\"} 3"));
        assert_true(has_line("search_latency_seconds_count{search_type=\"text\"} 3"));
        assert_true(has_line("search_latency_seconds_sum{search_type=\"text\"} 100.45"));
}

static void label_values_are_escaped(void **state)
{
        (void)state;
        metrics_set(METRIC_BUILD_INFO, 1, "a\"b\\c\nd");
        assert_true(has_line("build_info{version=\"a\\\"b\\\\c\\nd\"} 1"));
}

static void declared_routes_start_at_zero(void **state)
{
        (void)state;
        metrics_declare(METRIC_HTTP_REQUESTS, (const char *const[]){"GET", "/v1/assets/{id}", "200", NULL});
        assert_true(has_line("http_requests_total{method=\"GET\",route=\"/v1/assets/{id}\",status=\"200\"} 0"));
        metrics_add(METRIC_HTTP_REQUESTS, 1, "GET", "/v1/assets/{id}", "200");
        assert_true(has_line("http_requests_total{method=\"GET\",route=\"/v1/assets/{id}\",status=\"200\"} 1"));
}

static void combinations_stop_at_two_thousand(void **state)
{
        char version[32];

        (void)state;
        for (int i = 0; i < 2100; i++) {
                snprintf(version, sizeof version, "v%d", i);
                metrics_set(METRIC_BUILD_INFO, 1, version);
        }
        assert_true(metrics_get(METRIC_BUILD_INFO, "v1999") == 1);
        assert_true(metrics_get(METRIC_BUILD_INFO, "v2000") == 0);
}

static void *count_much(void *arg)
{
        char status[8];

        (void)arg;
        for (int i = 0; i < 20000; i++) {
                snprintf(status, sizeof status, "%d", 200 + i % 50);
                metrics_add(METRIC_HTTP_REQUESTS, 1, "PUT", "/x", status);
                metrics_observe(METRIC_HTTP_DURATION, 0.5, "PUT", "/x");
        }
        return NULL;
}

static void threads_lose_no_count(void **state)
{
        pthread_t t[4];

        (void)state;
        for (size_t i = 0; i < COUNT_OF(t); i++)
                assert_int_equal(thread_start(&t[i], "count", count_much, NULL), 0);
        for (int i = 0; i < 3; i++)
                render();
        for (size_t i = 0; i < COUNT_OF(t); i++)
                pthread_join(t[i], NULL);
        assert_true(metrics_get(METRIC_HTTP_REQUESTS, "PUT", "/x", "217") == 4 * 20000 / 50);
        assert_true(metrics_get(METRIC_HTTP_DURATION, "PUT", "/x") == 80000);
        assert_true(has_line("http_request_duration_seconds_sum{method=\"PUT\",route=\"/x\"} 40000"));
}

static void every_failed_allocation_of_the_table_is_told(void **state)
{
        int failures = 0;

        (void)state;
        metrics_done();
        metrics_add(METRIC_CLUSTERS_CREATED, 1); /* before the start: dropped */
        for (long n = 0;; n++) {
                int rc;
                mem_fail_after(n);
                rc = metrics_init();
                mem_fail_after(-1);
                if (rc == 0)
                        break;
                failures++;
        }
        assert_true(failures > 50);
        assert_true(metrics_get(METRIC_CLUSTERS_CREATED) == 0);
}

int main(void)
{
#define METRICS_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        const struct CMUnitTest tests[] = {
                METRICS_TEST(every_fixed_combination_is_there_at_zero),
                METRICS_TEST(counters_add_and_gauges_set),
                METRICS_TEST(histogram_buckets_cumulate),
                METRICS_TEST(label_values_are_escaped),
                METRICS_TEST(declared_routes_start_at_zero),
                METRICS_TEST(combinations_stop_at_two_thousand),
                METRICS_TEST(threads_lose_no_count),
                METRICS_TEST(every_failed_allocation_of_the_table_is_told),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
