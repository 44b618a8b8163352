/* SPDX-License-Identifier: Apache-2.0 */
/* Cells and their table, shared by counting and rendering. */
#ifndef FA_METRICS_PRIV_H
#define FA_METRICS_PRIV_H

#include "metrics/metrics.h"

#define METRIC_SEPARATOR '\x1f'
#define CHAIN_COUNT      64
#define BUCKET_COUNT     19 /* the last is +Inf */

enum metric_type { METRIC_TYPE_COUNTER, METRIC_TYPE_GAUGE, METRIC_TYPE_HISTOGRAM };

struct metric_info {
        const char *name;
        enum metric_type type;
        const char *labels, *values, *help;
};

struct cell {
        struct cell *next_in_chain;
        _Atomic(struct cell *) next; /* in the order of creation */
        char *key;                   /* label values joined by METRIC_SEPARATOR */
        _Atomic uint64_t bits;       /* the bits of a double: the value, or a histogram's sum */
        _Atomic uint64_t buckets[];  /* histograms: BUCKET_COUNT, not cumulative */
};

struct series {
        _Atomic(struct cell *) chains[CHAIN_COUNT];
        _Atomic(struct cell *) first;
        struct cell *last; /* with count: under the table's lock */
        size_t count;
};

struct metric_table {
        struct lock lock;
        struct series series[METRIC_COUNT];
};

extern const struct metric_info metric_table[METRIC_COUNT];
extern const double metric_bounds[BUCKET_COUNT - 1];

double metric_cell_value(const struct cell *c);
struct metric_table *metrics_current(void); /* NULL before metrics_init */

#endif
