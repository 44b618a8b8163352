/* SPDX-License-Identifier: Apache-2.0 */
/* The state of each component in /health. One function per component, all of the same type. */
#include <stdio.h>
#include <string.h>

#include "app/app_priv.h"
#include "catalog/catalog.h"
#include "jobs/counts.h"
#include "json/json.h"
#include "keep/keep.h"

static const char *finish_probe(struct json_out *j, const char *status, const char *note)
{
        if (note && *note)
                json_kv_str(j, "note", note);
        json_kv_str(j, "status", status);
        json_end(j);
        return status;
}

static const char *probe_database(void *ctx, struct buf *out)
{
        struct app *a = ctx;
        struct catalog_state st;
        struct json_out j;
        catalog_state(a->catalog, &st);
        json_out_init(&j, out);
        json_obj(&j);
        json_kv_str(&j, "engine", st.engine);
        json_key(&j, "pool");
        json_obj(&j);
        json_kv_int(&j, "size", st.pool_size);
        json_kv_int(&j, "in_use", st.in_use);
        json_kv_int(&j, "idle", st.idle);
        json_kv_int(&j, "overflow", st.overflow);
        json_kv_int(&j, "waiting", st.waiting);
        json_end(&j);
        json_kv_fixed(&j, "latency_ms", st.latency_ms, 3);
        return finish_probe(&j, !st.ok ? "unhealthy" : *st.note ? "degraded" : "healthy", st.note);
}

/* A fault of the disk itself takes precedence. */
static void note_damage(struct app *a, char note[160])
{
        struct scrub_state st;
        struct err ignored;
        if (!*note && keep_scrub_state(a->catalog, &st, &ignored) == 0 && st.bad)
                snprintf(note, 160, "%llu stored objects are damaged or missing: GET /api/v1/admin/scrub names them",
                         (unsigned long long)st.bad);
}

static const char *probe_storage(void *ctx, struct buf *out)
{
        struct app *a = ctx;
        struct storage_state st;
        struct json_out j;
        storage_state(a->storage, &st);
        note_damage(a, st.note);
        json_out_init(&j, out);
        json_obj(&j);
        json_kv_str(&j, "backend", storage_backend_name(a->storage));
        json_kv_int(&j, "free_bytes", (int64_t)st.free_bytes);
        if (st.write_back) {
                json_key(&j, "waiting");
                json_obj(&j);
                json_kv_int(&j, "objects", (int64_t)st.waiting);
                json_kv_int(&j, "bytes", (int64_t)st.waiting_bytes);
                json_kv_fixed(&j, "oldest_seconds",
                              st.waiting_since.us ? (double)(wall_now().us - st.waiting_since.us) * 1e-6 : 0, 3);
                json_end(&j);
        }
        if (a->sidecar) {
                struct sidecar_state side;
                sidecar_state(a->sidecar, &side);
                json_key(&j, "sidecars");
                json_obj(&j);
                json_kv_int(&j, "waiting", (int64_t)side.waiting);
                json_kv_fixed(&j, "oldest_seconds", side.oldest_seconds, 3);
                json_end(&j);
                if (!*st.note)
                        memcpy(st.note, side.note, sizeof st.note);
        }
        /*
         * With write-back, uploads go on while the store is unreachable, which the note says. Also degraded when less
         * than 1 % or 1 GiB is free, whichever is less.
         */
        uint64_t floor = st.total_bytes / 100 < (1ull << 30) ? st.total_bytes / 100 : (1ull << 30);
        bool well = st.free_bytes >= floor && !*st.note;
        const char *status = !st.writable ? "unhealthy" : well ? "healthy" : "degraded";
        return finish_probe(&j, status, st.note);
}

static void put_lanes(struct json_out *j, const struct worker_state *st)
{
        json_key(j, "lanes");
        json_arr(j);
        for (size_t i = 0; i < st->nlanes; i++) {
                json_obj(j);
                json_kv_str(j, "name", st->lanes[i].name);
                json_kv_int(j, "configured", st->lanes[i].configured);
                json_kv_int(j, "active", st->lanes[i].active);
                json_kv_int(j, "busy", st->lanes[i].busy);
                json_end(j);
        }
        json_end(j);
}

static const char *probe_workers(void *ctx, struct buf *out)
{
        struct app *a = ctx;
        struct worker_state st = {0};
        struct json_out j;
        if (a->workers)
                worker_pool_state(a->workers, &st);
        json_out_init(&j, out);
        json_obj(&j);
        json_kv_int(&j, "configured", st.configured);
        json_kv_int(&j, "active", st.active);
        json_kv_int(&j, "busy", st.busy);
        json_kv_int(&j, "restarts", (int64_t)st.restarts);
        if (st.nlanes > 1)
                put_lanes(&j, &st);
        bool well = st.active == st.configured;
        return finish_probe(&j, well ? "healthy" : "degraded",
                            st.configured ? "" : "WORKER_THREADS=0: this instance serves only the API");
}

static const char *probe_queue(void *ctx, struct buf *out)
{
        struct app *a = ctx;
        struct catalog_counts c;
        struct queue_state st;
        struct json_out j;
        struct err e;
        uint64_t depth = 0, dead = 0;
        queue_state(a->queue, &st);
        bool ok = catalog_counts(a->catalog, NULL, &c, &e) == 0;
        for (int t = 0; ok && t < JOB_TYPE_COUNT; t++) {
                depth += c.waiting[t];
                dead += c.dead[t][0] + c.dead[t][1];
        }
        json_out_init(&j, out);
        json_obj(&j);
        json_kv_str(&j, "backend", queue_backend_name(a->queue));
        json_kv_int(&j, "depth", (int64_t)depth);
        json_kv_fixed(&j, "oldest_seconds", ok ? c.oldest_ready_seconds : 0, 3);
        json_kv_int(&j, "dlq", (int64_t)dead);
        /* Without its Redis an instance goes on by itself. */
        return finish_probe(&j, !ok ? "unhealthy" : st.connected ? "healthy" : "degraded", !ok ? e.msg : st.note);
}

static const char *probe_model(void *ctx, struct buf *out)
{
        struct app *a = ctx;
        struct catalog_counts c;
        struct json_out j;
        struct err e;
        bool warm = catalog_warm(a->catalog);
        json_out_init(&j, out);
        json_obj(&j);
        json_kv_str(&j, "id", embed_model_id(a->embed));
        json_kv_str(&j, "runtime", embed_runtime_version(a->embed));
        json_kv_str(&j, "generation", warm ? "active" : "warming");
        if (catalog_counts(a->catalog, NULL, &c, &e) == 0) {
                uint64_t media = c.assets[KIND_MEDIA][ASSET_DONE];
                json_kv_int(&j, "embeddings", (int64_t)c.embeddings);
                json_kv_fixed(&j, "coverage",
                              media && c.embeddings < media ? (double)c.embeddings / (double)media : 1.0, 4);
        }
        return finish_probe(&j, warm ? "healthy" : "degraded",
                            warm ? "" : "vectors are being loaded; search by meaning waits");
}

static const char *probe_vlm(void *ctx, struct buf *out)
{
        (void)ctx;
        struct json_out j;
        json_out_init(&j, out);
        json_obj(&j);
        json_kv_bool(&j, "enabled", false);
        return finish_probe(&j, "healthy", "tags come from the built-in model");
}

static const char *probe_jail(void *ctx, struct buf *out)
{
        struct app *a = ctx;
        struct jail_state st;
        struct json_out j;
        jail_state(a->jail, &st);
        json_out_init(&j, out);
        json_obj(&j);
        json_kv_int(&j, "running", st.running);
        json_kv_int(&j, "busy", st.busy);
        json_kv_int(&j, "files", (int64_t)st.files);
        json_kv_int(&j, "crashes", (int64_t)st.crashes);
        json_kv_int(&j, "timeouts", (int64_t)st.timeouts);
        json_kv_str(&j, "isolation", st.isolation);
        return finish_probe(&j, *st.note ? "degraded" : "healthy", st.note);
}

void app_probes_init(struct app *a)
{
        static const struct status_probe table[APP_PROBES] = {
                {"database", probe_database, NULL}, {"storage", probe_storage, NULL}, {"workers", probe_workers, NULL},
                {"queue", probe_queue, NULL},       {"model", probe_model, NULL},     {"vlm", probe_vlm, NULL},
                {"jail", probe_jail, NULL},
        };
        for (size_t i = 0; i < APP_PROBES; i++) {
                a->probes[i] = table[i];
                a->probes[i].ctx = a;
        }
}
