/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Health and readiness. A probe may block on a failing disk or database, so /live calls none of them, and /ready
 * reports only their status.
 */
#include <string.h>

#include "admin/admin_priv.h"
#include "json/json.h"

int admin_open(const struct admin_opts *opts, struct admin **out, struct err *e)
{
        struct admin *a = mem_calloc(1, sizeof *a);
        if (!a)
                return err_oom(e);
        a->o = *opts;
        a->started = mono_now();
        a->started_wall = wall_now();
        lock_init(&a->lock, "admin", RANK_APP);
        lock_init(&a->collecting, "admin.collect", RANK_APP);
        cond_init(&a->wake);
        if (keys_init(&a->keys, opts, e)) {
                admin_close(a);
                return -1;
        }
        if (thread_start(&a->thread, "janitor", admin_janitor, a)) {
                admin_close(a);
                return err_set(e, ERR_UNAVAILABLE, "cannot start the janitor thread");
        }
        a->has_thread = true;
        if (thread_start(&a->scrubber, "scrubber", admin_scrubber, a)) {
                admin_close(a);
                return err_set(e, ERR_UNAVAILABLE, "cannot start the scrubber thread");
        }
        a->has_scrubber = true;
        *out = a;
        return 0;
}

void admin_close(struct admin *a)
{
        if (!a)
                return;
        lock_take(&a->lock);
        a->stop = true;
        cond_broadcast(&a->wake);
        lock_drop(&a->lock);
        if (a->has_thread)
                pthread_join(a->thread, NULL);
        if (a->has_scrubber)
                pthread_join(a->scrubber, NULL);
        cond_done(&a->wake);
        keys_done(&a->keys);
        lock_done(&a->collecting);
        lock_done(&a->lock);
        mem_free(a);
}

void admin_drain(struct admin *a)
{
        atomic_store(&a->draining, true);
}

static int severity_of(const char *status)
{
        return !strcmp(status, "healthy") ? 0 : !strcmp(status, "degraded") ? 1 : 2;
}

static void put_resources(struct admin *a, struct json_out *j)
{
        struct process_usage u;
        struct storage_state st;
        process_usage(&u);
        storage_state(a->o.storage, &st);
        json_key(j, "resources");
        json_obj(j);
        json_kv_int(j, "rss_bytes", (int64_t)u.rss);
        json_kv_fixed(j, "cpu_seconds", u.cpu_seconds, 2);
        json_kv_int(j, "open_fds", (int64_t)u.fds);
        json_kv_int(j, "threads", (int64_t)u.threads);
        json_key(j, "disk");
        json_obj(j);
        json_kv_int(j, "total_bytes", (int64_t)st.total_bytes);
        json_kv_int(j, "free_bytes", (int64_t)st.free_bytes);
        json_end(j);
        json_end(j);
}

bool admin_health(struct admin *a, struct buf *out)
{
        static const char *const words[] = {"healthy", "degraded", "unhealthy"};
        struct buf parts;
        int worst = 0;
        buf_init(&parts, 256 << 10);
        for (size_t i = 0; i < a->o.nprobes; i++) {
                struct buf one;
                buf_init(&one, 64 << 10);
                int s = severity_of(a->o.probes[i].fill(a->o.probes[i].ctx, &one));
                worst = s > worst ? s : worst;
                buf_printf(&parts, ",\"%s\":%s", a->o.probes[i].name, buf_failed(&one) ? "null" : buf_str(&one));
                buf_done(&one);
        }
        struct json_out j;
        buf_printf(out, "{\"status\":\"%s\",\"version\":\"" FA_VERSION "\",\"uptime_seconds\":%.0f,\"draining\":%s%s,",
                   words[worst], dur_seconds(mono_since(a->started)), atomic_load(&a->draining) ? "true" : "false",
                   buf_str(&parts));
        struct buf res;
        buf_init(&res, 4096);
        json_out_init(&j, &res);
        json_obj(&j);
        put_resources(a, &j);
        json_end(&j);
        buf_puts(out, buf_str(&res) + 1); /* its members join ours */
        buf_done(&res);
        buf_done(&parts);
        return worst < 2;
}

/* The word /ready uses for a component that is well. */
static const char *ready_word(const char *name)
{
        return !strcmp(name, "database")  ? "connected"
               : !strcmp(name, "storage") ? "available"
               : !strcmp(name, "workers") ? "running"
                                          : "ready";
}

bool admin_ready(struct admin *a, struct buf *out)
{
        bool ready = !atomic_load(&a->draining);
        struct buf parts;
        buf_init(&parts, 64 << 10);
        for (size_t i = 0; i < a->o.nprobes; i++) {
                struct buf one;
                buf_init(&one, 64 << 10);
                const char *status = a->o.probes[i].fill(a->o.probes[i].ctx, &one);
                buf_done(&one);
                if (severity_of(status) == 2)
                        ready = false;
                buf_printf(&parts, ",\"%s\":\"%s\"", a->o.probes[i].name,
                           severity_of(status) == 0 ? ready_word(a->o.probes[i].name) : status);
        }
        buf_printf(out, "{\"status\":\"%s\"%s%s}", ready ? "ready" : "not_ready",
                   atomic_load(&a->draining) ? ",\"draining\":true" : "", buf_str(&parts));
        buf_done(&parts);
        return ready;
}

void admin_config(struct admin *a, struct buf *out)
{
        a->o.config_json(a->o.ctx, out);
}
