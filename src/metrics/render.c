/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prometheus text exposition format 0.0.4. Each histogram's buckets are read
 * once and its count is their sum, so a scrape never shows a count that
 * disagrees with the last bucket.
 */
#include "metrics/metrics_priv.h"

#include <math.h>
#include <string.h>

static void put_value(struct buf *out, double v)
{
        if (isfinite(v))
                buf_num(out, v);
        else
                buf_puts(out, isnan(v) ? "NaN" : v > 0 ? "+Inf" : "-Inf");
}

/* HELP escapes backslash and newline; label values the quote as well. */
static void put_escaped(struct buf *out, struct span s, bool quote)
{
        for (size_t i = 0; i < s.n; i++) {
                if (s.p[i] == '\n')
                        buf_puts(out, "\\n");
                else if (s.p[i] == '\\' || (quote && s.p[i] == '"'))
                        buf_printf(out, "\\%c", s.p[i]);
                else
                        buf_putc(out, s.p[i]);
        }
}

/* {a="x",b="y"} and, for a bucket, le; nothing when there is no label at all. */
static void put_labels(struct buf *out, const struct metric_info *info, const char *key, const char *le)
{
        struct span names = span_of(info->labels), values = span_of(key), name, value;
        const char *before = "{";

        while (names.n > 0 && span_cut(&names, ',', &name) && span_cut(&values, METRIC_SEPARATOR, &value)) {
                buf_printf(out, "%s%.*s=\"", before, (int)name.n, name.p);
                put_escaped(out, value, true);
                buf_putc(out, '"');
                before = ",";
        }
        if (le)
                buf_printf(out, "%sle=\"%s\"", before, le);
        if (le || before[0] == ',')
                buf_putc(out, '}');
}

static void put_histogram(struct buf *out, const struct metric_info *info, const struct cell *c)
{
        uint64_t total = 0;
        struct buf le;

        buf_init(&le, 32);
        for (size_t i = 0; i < BUCKET_COUNT; i++) {
                total += atomic_load_explicit(&c->buckets[i], memory_order_relaxed);
                buf_reset(&le);
                put_value(&le, i < BUCKET_COUNT - 1 ? metric_bounds[i] : INFINITY);
                buf_printf(out, "%s_bucket", info->name);
                put_labels(out, info, c->key, buf_str(&le));
                buf_printf(out, " %llu\n", (unsigned long long)total);
        }
        out->failed |= buf_failed(&le);
        buf_done(&le);
        buf_printf(out, "%s_sum", info->name);
        put_labels(out, info, c->key, NULL);
        buf_putc(out, ' ');
        put_value(out, metric_cell_value(c));
        buf_printf(out, "\n%s_count", info->name);
        put_labels(out, info, c->key, NULL);
        buf_printf(out, " %llu\n", (unsigned long long)total);
}

static void put_single(struct buf *out, const struct metric_info *info, const struct cell *c)
{
        buf_puts(out, info->name);
        put_labels(out, info, c->key, NULL);
        buf_putc(out, ' ');
        put_value(out, metric_cell_value(c));
        buf_putc(out, '\n');
}

void metrics_render(struct buf *out)
{
        static const char *const types[] = {"counter", "gauge", "histogram"};
        struct metric_table *t = metrics_current();

        if (!t)
                return;
        for (size_t m = 0; m < METRIC_COUNT; m++) {
                const struct metric_info *info = &metric_table[m];
                const struct cell *c = atomic_load_explicit(&t->series[m].first, memory_order_acquire);

                buf_printf(out, "# HELP %s ", info->name);
                put_escaped(out, span_of(info->help), false);
                buf_printf(out, "\n# TYPE %s %s\n", info->name, types[info->type]);
                for (; c; c = atomic_load_explicit(&c->next, memory_order_acquire)) {
                        if (info->type == METRIC_TYPE_HISTOGRAM)
                                put_histogram(out, info, c);
                        else
                                put_single(out, info, c);
                }
        }
}
