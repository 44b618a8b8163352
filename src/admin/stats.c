/* SPDX-License-Identifier: Apache-2.0 */
/* Counts for people (/admin/stats) and gauges for Prometheus, both out of one read of the catalog. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/admin_priv.h"
#include "catalog/catalog.h"
#include "jobs/counts.h"
#include "keep/keep.h"
#include "json/json.h"
#include "log/log.h"
#include "metrics/metrics.h"

static uint64_t count_entries(const char *dir)
{
        DIR *d = opendir(dir);
        uint64_t n = 0;
        if (!d)
                return 0;
        for (struct dirent *e; (e = readdir(d));)
                n += e->d_name[0] != '.';
        closedir(d);
        return n;
}

void process_usage(struct process_usage *u)
{
        struct rusage ru;
        struct rlimit lim;
        memset(u, 0, sizeof *u);
        char *text;
        size_t n;
        unsigned long long size, rss;
        if (file_read_all("/proc/self/statm", 4096, &text, &n, NULL) == 0) {
                if (sscanf(text, "%llu %llu", &size, &rss) == 2)
                        u->rss = rss * (uint64_t)sysconf(_SC_PAGESIZE);
                mem_free(text);
        }
        getrusage(RUSAGE_SELF, &ru);
        u->cpu_seconds = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
                         (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1e-6;
        u->fds = count_entries("/proc/self/fd");
        u->threads = count_entries("/proc/self/task");
        if (getrlimit(RLIMIT_NOFILE, &lim) == 0)
                u->max_fds = lim.rlim_cur;
}

static void put_assets(const struct catalog_counts *c, struct json_out *j)
{
        uint64_t total = 0;
        json_key(j, "assets");
        json_obj(j);
        for (int k = 0; k < KIND_COUNT; k++) {
                json_key(j, asset_kind_name(k));
                json_obj(j);
                for (int s = 0; s < ASSET_STATUS_COUNT; s++) {
                        json_kv_int(j, asset_status_name(s), (int64_t)c->assets[k][s]);
                        total += c->assets[k][s];
                }
                json_end(j);
        }
        json_kv_int(j, "total", (int64_t)total);
        json_kv_int(j, "trashed", (int64_t)c->trashed);
        json_kv_int(j, "unsorted", (int64_t)c->unsorted);
        json_end(j);
}

static void put_queue(const struct catalog_counts *c, struct json_out *j)
{
        uint64_t waiting = 0, dead = 0, dead_system = 0;
        for (int t = 0; t < JOB_TYPE_COUNT; t++) {
                waiting += c->waiting[t];
                dead += c->dead[t][0] + c->dead[t][1];
                dead_system += c->dead[t][1];
        }
        json_key(j, "queue");
        json_obj(j);
        json_kv_int(j, "depth", (int64_t)waiting);
        json_kv_fixed(j, "oldest_seconds", c->oldest_ready_seconds, 3);
        json_kv_int(j, "dlq", (int64_t)dead);
        json_kv_int(j, "dlq_system", (int64_t)dead_system);
        json_end(j);
}

int admin_stats(struct admin *a, const char *owner, struct buf *out, struct err *e)
{
        struct catalog_counts c;
        if (catalog_counts(a->o.catalog, owner, &c, e))
                return -1;
        struct storage_state st;
        storage_state(a->o.storage, &st);
        struct json_out j;
        json_out_init(&j, out);
        json_obj(&j);
        put_assets(&c, &j);
        put_queue(&c, &j);
        json_key(&j, "storage");
        json_obj(&j);
        json_kv_int(&j, "objects", (int64_t)c.objects);
        json_kv_int(&j, "object_bytes", (int64_t)c.object_bytes);
        json_kv_int(&j, "asset_bytes", (int64_t)c.asset_bytes);
        if (!owner) /* the sum would reveal how fast others' files grow, and whether they hold the same ones */
                json_kv_int(&j, "free_bytes", (int64_t)st.free_bytes);
        json_end(&j);
        json_kv_int(&j, "clusters", (int64_t)c.clusters);
        json_kv_int(&j, "embeddings", (int64_t)c.embeddings);
        json_kv_fixed(&j, "uptime_seconds", dur_seconds(mono_since(a->started)), 1);
        json_end(&j);
        return 0;
}

static void collect_scrub(struct admin *a)
{
        struct scrub_state st;
        struct err e;
        if (keep_scrub_state(a->o.catalog, &st, &e)) {
                log_warning("admin", "cannot read the scrubber's state for the metrics: %s", e.msg);
                return;
        }
        metrics_set(METRIC_SCRUB_BAD, (double)st.bad);
        metrics_set(METRIC_SCRUB_LAST, (double)st.last.finished.us * 1e-6);
}

static void collect_catalog(struct admin *a)
{
        struct catalog_counts c;
        struct catalog_state st;
        struct err e;
        if (catalog_counts(a->o.catalog, NULL, &c, &e)) {
                log_warning("admin", "cannot count for the metrics: %s", e.msg);
                return;
        }
        for (int t = 0; t < JOB_TYPE_COUNT; t++) {
                metrics_set(METRIC_QUEUE_DEPTH, (double)c.waiting[t], job_type_name(t));
                metrics_set(METRIC_DLQ_DEPTH, (double)c.dead[t][0], job_type_name(t), "input");
                metrics_set(METRIC_DLQ_DEPTH, (double)c.dead[t][1], job_type_name(t), "system");
        }
        for (enum task_purpose p = PURPOSE_ANALYSE + 1; p < PURPOSE_COUNT; p++) {
                metrics_set(METRIC_QUEUE_DEPTH, (double)c.purpose_waiting[p], task_purpose_name(p));
                metrics_set(METRIC_DLQ_DEPTH, (double)c.purpose_dead[p][0], task_purpose_name(p), "input");
                metrics_set(METRIC_DLQ_DEPTH, (double)c.purpose_dead[p][1], task_purpose_name(p), "system");
        }
        for (int k = 0; k < KIND_COUNT; k++)
                for (int s = 0; s < ASSET_STATUS_COUNT; s++)
                        metrics_set(METRIC_ASSETS, (double)c.assets[k][s], asset_kind_name(k), asset_status_name(s));
        metrics_set(METRIC_QUEUE_OLDEST, c.oldest_ready_seconds);
        catalog_state(a->o.catalog, &st);
        metrics_set(METRIC_DB_CONNECTIONS, st.in_use, "active");
        metrics_set(METRIC_DB_CONNECTIONS, st.idle, "idle");
        metrics_set(METRIC_DB_CONNECTIONS, st.max, "max");
}

void admin_collect(struct admin *a)
{
        lock_take(&a->collecting);
        bool fresh = a->last_collect.ns && mono_since(a->last_collect).ns < dur_s(1).ns;
        if (!fresh) {
                struct process_usage u;
                struct storage_state st;
                collect_catalog(a);
                collect_scrub(a);
                process_usage(&u);
                storage_state(a->o.storage, &st);
                metrics_set(METRIC_STORAGE_FREE, (double)st.free_bytes);
                metrics_set(METRIC_PROCESS_RSS, (double)u.rss);
                metrics_set(METRIC_PROCESS_FDS, (double)u.fds);
                metrics_set(METRIC_PROCESS_MAX_FDS, (double)u.max_fds);
                metrics_set(METRIC_PROCESS_THREADS, (double)u.threads);
                metrics_set(METRIC_PROCESS_CPU, u.cpu_seconds);
                metrics_set(METRIC_PROCESS_START, (double)a->started_wall.us * 1e-6);
                metrics_set(METRIC_BUILD_INFO, 1, FA_VERSION);
                a->last_collect = mono_now();
        }
        lock_drop(&a->collecting);
}
