/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics and the log line of an answered request. */
#include <stdio.h>
#include "http/http_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

static const char *route_label(const struct http_request *r)
{
        return r->verdict.match.route ? r->verdict.match.route->path : "unmatched";
}

/* Counted before the answer goes out: a client that has read it also finds it in /metrics. */
void request_count(struct http_request *r, unsigned status)
{
        char text[8];
        snprintf(text, sizeof text, "%u", status % 1000);
        metrics_add(METRIC_HTTP_REQUESTS, 1, r->verdict.method, route_label(r), text);
}

static void write_access_line(struct http_request *r, unsigned status, double seconds, bool completed)
{
        const struct http_route *route = r->verdict.match.route;
        bool quiet = route && route->quiet;
        enum log_level level = quiet ? LOG_DEBUG : LOG_INFO;
        if (status >= 500 && (!quiet || status != 503))
                level = LOG_WARNING;
        if (level < log_level())
                return;
        const struct reply *p = &r->reply;
        uint64_t bytes = r->verdict.head ? 0 : p->has_content ? p->length : p->n;
        char client[INET6_ADDRSTRLEN];
        struct log_field fields[] = {
                LOG_STR("method", r->verdict.head ? "HEAD" : r->verdict.method),
                LOG_STR("path", route_label(r)),
                LOG_NUM("status", status),
                LOG_NUM("duration_ms", (double)(int64_t)(seconds * 1e6) / 1e3),
                LOG_NUM("bytes", bytes == UINT64_MAX ? 0 : bytes),
                LOG_STR("client", address_format(&r->verdict.client, client)),
                LOG_STR("cause", r->cause),
        };
        log_write(level, "http", fields, COUNT_OF(fields) - (r->cause[0] ? 0 : 1), "%s %s %u%s", fields[0].str,
                  fields[1].str, status, completed ? "" : " (client gone)");
}

void request_account(struct http_request *r, unsigned status, bool completed)
{
        double seconds = dur_seconds(mono_since(r->started));
        metrics_observe(METRIC_HTTP_DURATION, seconds, r->verdict.method, route_label(r));
        write_access_line(r, status, seconds, completed);
}
