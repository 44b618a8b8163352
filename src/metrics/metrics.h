/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus text from one table, metrics.def. Cells are atomic and live as
 * long as the process; every label combination of the table exists at 0 from
 * metrics_init on, so that rate() sees the first failure.
 */
#ifndef FA_METRICS_H
#define FA_METRICS_H

#include "base/base.h"

enum metric {
#define METRIC(id, ...) METRIC_##id,
#include "metrics/metrics.def"
#undef METRIC
        METRIC_COUNT,
};

/* Builds the table. 0 or -1 on OOM. Idempotent. */
int metrics_init(void) MUST_CHECK;
void metrics_done(void);

/*
 * Values for label names whose set is known only at run time ("route" with its
 * method). Registers one label combination; values in the table's label order.
 */
void metrics_declare(enum metric m, const char *const *values);

/*
 * Label values in the table's order, NULL-terminated by the macro. A
 * combination that was not declared is created on first use as long as the
 * metric has fewer than 2,000 of them; past that it is dropped.
 */
void metrics_add_(enum metric m, double v, const char *const *values);
void metrics_set_(enum metric m, double v, const char *const *values);
void metrics_observe_(enum metric m, double seconds, const char *const *values);
#define metrics_add(m, v, ...)     metrics_add_((m), (v), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define metrics_set(m, v, ...)     metrics_set_((m), (v), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define metrics_observe(m, v, ...) metrics_observe_((m), (v), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
/* Current value of a counter or gauge cell, 0 when absent: for tests and /health. */
double metrics_get_(enum metric m, const char *const *values);
#define metrics_get(m, ...) metrics_get_((m), (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

/* Text exposition format 0.0.4, with HELP and TYPE. */
void metrics_render(struct buf *out);

#endif
