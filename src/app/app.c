/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens every room in the order of its dependencies and closes them in reverse. The hard thing is the end: stop
 * accepting requests, let workers finish, hand back the tasks they could not finish, and only then close what they
 * depend on.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "admin/backup.h"
#include "catalog/catalog.h"
#include "jobs/counts.h"
#include "keep/keep_rebuild.h"
#include "app/app_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

static int absolute_path(const char *path, char *out, size_t n, struct err *e)
{
        char real[PATH_MAX];
        if (!realpath(path, real))
                return err_errno(e, errno, "cannot resolve %s", path);
        int len = snprintf(out, n, "%s", real);
        return len < 0 || (size_t)len >= n ? err_set(e, ERR_INVALID, "path %s is too long", path) : 0;
}

/* One name for each data folder of a host, the same after a restart. */
static void name_instance(struct app *a)
{
        char host[HOST_NAME_MAX + 1] = "", hash[SHA256_TEXT_LEN];
        if (gethostname(host, sizeof host - 1))
                *host = '\0';
        snprintf(a->instance, sizeof a->instance, "%s:%.8s", host,
                 sha256_format(sha256_of(a->data, strlen(a->data)), hash));
}

int app_open_data(struct app *a, bool lock, struct err *e)
{
        if (dir_make(a->c->data_path, e) || absolute_path(a->c->data_path, a->data, sizeof a->data, e))
                return -1;
        if (!lock)
                return 0;
        /* Otherwise a power cut might lose the folder together with a catalog that was synced inside it. */
        return dir_sync_above(a->data, e) ? -1 : app_data_lock(a->data, &a->lock_fd, e);
}

static int prepare_folders(struct app *a, struct err *e)
{
        if (app_open_data(a, true, e) || backup_restore_check(a->data, e) || dir_make(a->c->storage_path, e) ||
            absolute_path(a->c->storage_path, a->storage_path, sizeof a->storage_path, e))
                return -1;
        name_instance(a);
        snprintf(a->tmp_path, sizeof a->tmp_path, "%s/tmp", a->data);
        return dir_make(a->tmp_path, e);
}

/*
 * Thousands of connections and parts need descriptors; the soft limit only protects select(), which nothing here
 * calls.
 */
static void raise_fd_limit(void)
{
        struct rlimit l;
        if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
                l.rlim_cur = l.rlim_max < 65536 ? l.rlim_max : 65536;
                setrlimit(RLIMIT_NOFILE, &l);
        }
}

/* A relative path in DATABASE_URL is relative to the directory in which the service was started. */
int app_catalog_url(struct app *a, struct err *e)
{
        char cwd[PATH_MAX] = "";
        const char *path = a->c->database_path;
        if (!path) {
                a->catalog_url = a->c->database_url;
                return 0;
        }
        a->catalog_url = a->url;
        if (*path != '/' && !getcwd(cwd, sizeof cwd))
                return err_errno(e, errno, "cannot find the working directory");
        int n = snprintf(a->url, sizeof a->url, "sqlite://%s%s%s", cwd, *cwd ? "/" : "", path);
        return n < 0 || (size_t)n >= sizeof a->url ? err_set(e, ERR_INVALID, "DATABASE_URL: the path is too long") : 0;
}

int app_open_catalog(struct app *a, struct err *e)
{
        if (app_catalog_url(a, e))
                return -1;
        const struct migration_watch watch = {.progress = app_log_migration};
        struct catalog_opts co = {
                .url = a->catalog_url,
                .watch = a->watch ? a->watch : &watch,
                .data_path = a->data,
                .idempotency_ttl = a->c->idempotency_ttl,
                .phash_distance = (unsigned)a->c->phash_distance,
                .queue_max_depth = (uint64_t)a->c->queue_max_depth,
                .min_free = (uint64_t)a->c->min_free_space,
                .folder_threshold = (float)a->c->cluster_threshold,
                .db_password = a->c->db_password,
                .db_pool_size = (unsigned)a->c->db_pool_size,
                .db_max_overflow = a->c->db_max_overflow ? (unsigned)a->c->db_max_overflow : UINT_MAX,
                .db_pool_timeout = a->c->db_pool_timeout,
        };
        return catalog_open(&co, &a->catalog, e);
}

static int stop_at_sidecar(void *ctx, const struct storage_item *item, struct err *e)
{
        (void)ctx, (void)e;
        return !item->stray && !id_is_nil(item->id);
}

/*
 * An empty catalog on a storage that holds sidecars means that the catalog was lost: new uploads would stand in the
 * way of a rebuild.
 */
static int check_not_lost(struct app *a, struct err *e)
{
        int rc = storage_list(a->storage, STORAGE_SIDECARS, stop_at_sidecar, NULL, e);
        return rc <= 0 ? rc
                       : err_set(e, ERR_CONFLICT,
                                 "the catalog is empty, but the storage has sidecars of files: run \"file-allocator "
                                 "rebuild\" to restore the catalog, or move the folder sidecar away to start afresh");
}

static int open_stores(struct app *a, struct err *e)
{
        struct catalog_counts counts;
        enum rebuild_state rebuilt;
        if (app_open_catalog(a, e) || catalog_counts(a->catalog, NULL, &counts, e) ||
            keep_rebuild_state(a->catalog, &rebuilt, e))
                return -1;
        if (rebuilt == REBUILD_BEGUN)
                return err_set(
                        e, ERR_CONFLICT,
                        "a rebuild of this catalog was begun and is not finished: run \"file-allocator rebuild\" "
                        "again");
        struct storage_opts so;
        char role_url[APP_ROLE_URL_MAX];
        app_storage_opts(a->c, role_url, &so);
        so.path = a->storage_path;
        so.min_free = (uint64_t)a->c->min_free_space;
        so.expect_content = counts.objects > 0;
        if (storage_open(&so, &a->storage, e))
                return -1;
        return rebuilt == REBUILD_EMPTY ? check_not_lost(a, e) : 0;
}

struct jail_opts app_jail_opts(const struct config *c, const struct app_paths *p)
{
        return (struct jail_opts){.decoder_path = p->decoder,
                                  .children = 1,
                                  .timeout = c->task_timeout,
                                  /* enough for files whose decoder uses more threads than one */
                                  .cpu = {c->task_timeout.ns * 4},
                                  .recycle_after = 1000,
                                  .recycle_bytes = (uint64_t)384 << 20};
}

static int open_model(struct app *a, struct err *e)
{
        struct embed_opts eo = {.model_dir = a->model_dir, .runtime_dir = a->paths.lib};
        app_model_dir(a->c, &a->paths, a->model_dir, sizeof a->model_dir);
        if (embed_open(&eo, false, &a->embed, e) ||
            catalog_use_model(a->catalog, embed_model_id(a->embed), (uint32_t)embed_dim(a->embed), e))
                return -1;
        struct jail_opts probe = app_jail_opts(a->c, &a->paths), jo = probe;
        if (a->c->worker_threads > 0)
                jo.children = (unsigned)a->c->worker_threads;
        return jail_open(&jo, &a->jail, e) || jail_open(&probe, &a->probe_jail, e) ? -1 : 0;
}

static int open_services(struct app *a, struct err *e)
{
        const struct config *c = a->c;
        struct queue_opts qo = {.backend = c->queue_backend, .redis_url = c->redis_url, .instance = a->instance};
        struct organise_opts oo = {.catalog = a->catalog,
                                   .embed = a->embed,
                                   .threshold = (float)c->cluster_threshold,
                                   .margin = (float)c->cluster_margin,
                                   .min_size = (unsigned)c->cluster_min_size,
                                   .interval = c->organise_interval,
                                   .instance = a->instance};
        struct search_opts so = {.catalog = a->catalog, .embed = a->embed, .timeout = c->search_timeout};
        if (queue_open(&qo, &a->queue, e) || organise_open(&oo, &a->organise, e) || search_open(&so, &a->search, e))
                return -1;
        struct ingest_opts io = {.catalog = a->catalog,
                                 .storage = a->storage,
                                 .queue = a->queue,
                                 .jail = a->jail,
                                 .probe_jail = a->probe_jail,
                                 .embed = a->embed,
                                 .organise = a->organise,
                                 .max_file_size = (uint64_t)c->max_file_size,
                                 .max_image_bytes = (uint64_t)c->max_image_bytes,
                                 .max_image_pixels = (uint64_t)c->max_image_pixels,
                                 .thumb_size = (uint32_t)c->thumbnail_size,
                                 .preview_size = (uint32_t)c->max_image_size,
                                 .tmp_path = a->tmp_path};
        return ingest_open(&io, &a->ingest, e);
}

static int start_sidecars(struct app *a, struct err *e)
{
        struct sidecar_opts so = {.catalog = a->catalog, .storage = a->storage, .instance = a->instance};
        return a->c->sidecars ? sidecar_open(&so, &a->sidecar, e) : 0;
}

static void trim_when_idle(void *ctx)
{
        (void)ctx;
        embed_trim();
}

static int start_workers(struct app *a, struct err *e)
{
        if (organise_start(a->organise, e) || start_sidecars(a, e))
                return -1;
        if (a->c->worker_threads == 0)
                return 0;
        struct worker_opts wo = {.catalog = a->catalog,
                                 .queue = a->queue,
                                 .lanes = {{.name = "analyse",
                                            .purposes = 1u << PURPOSE_ANALYSE,
                                            .threads = (unsigned)a->c->worker_threads,
                                            .idle = trim_when_idle},
                                           {.name = "enrich",
                                            .purposes = 1u << PURPOSE_ENRICH,
                                            .threads = (unsigned)a->c->enrich_workers}},
                                 .nlanes = 2,
                                 .lease = a->c->task_lease,
                                 .max_errors = (unsigned)a->c->task_max_errors,
                                 .max_crashes = 3,
                                 .backoff_base = dur_s(1),
                                 .backoff_max = dur_s(300),
                                 .defer = dur_s(15),
                                 .reconcile_every = dur_s(5),
                                 .ctx = a->ingest};
        for (int job = 0; job < JOB_TYPE_COUNT; job++)
                if (ingest_understands((enum job_type)job))
                        wo.handlers[PURPOSE_ANALYSE][job] = ingest_handle;
        return worker_pool_start(&wo, &a->workers, e);
}

static void config_json(void *ctx, struct buf *out)
{
        config_show(((struct app *)ctx)->c, out, true);
}

static int open_front(struct app *a, struct err *e)
{
        const struct config *c = a->c;
        struct admin_opts ao = {.catalog = a->catalog,
                                .storage = a->storage,
                                .probes = a->probes,
                                .nprobes = APP_PROBES,
                                .config_json = config_json,
                                .ctx = a,
                                .api_key = c->api_key,
                                .instance = a->instance,
                                .trash_after = dur_s((double)c->trash_days * 86400),
                                .gc_grace = c->gc_grace,
                                .scrub_period = dur_s((double)c->scrub_days * 86400),
                                .scrub_rate = (uint64_t)c->scrub_rate};
        app_probes_init(a);
        if (admin_open(&ao, &a->admin, e))
                return -1;
        snprintf(a->swagger_dir, sizeof a->swagger_dir, "%s/swagger-ui", a->paths.share);
        struct api_opts po = {.catalog = a->catalog,
                              .storage = a->storage,
                              .ingest = a->ingest,
                              .search = a->search,
                              .organise = a->organise,
                              .admin = a->admin,
                              .max_file_size = (uint64_t)c->max_file_size,
                              .embed_dim = (unsigned)embed_dim(a->embed),
                              .search_default_limit = (unsigned)c->search_default_limit,
                              .search_max_limit = (unsigned)c->search_max_limit,
                              .search_default_threshold = (float)c->search_default_threshold,
                              .cluster_threshold = (float)c->cluster_threshold,
                              .thumb_size = (unsigned)c->thumbnail_size,
                              .preview_size = (unsigned)c->max_image_size,
                              .exif_gps = c->exif_gps,
                              .metrics_enabled = c->metrics_enabled,
                              .metrics_token = c->metrics_token,
                              .swagger_dir = a->swagger_dir};
        return api_open(&po, &a->api, e);
}

static int listen_http(struct app *a, struct err *e)
{
        const struct config *c = a->c;
        struct http_opts ho = {.host = c->app_host,
                               .port = (uint16_t)c->app_port,
                               .max_connections = (unsigned)c->http_max_connections,
                               .max_connections_per_ip = (unsigned)c->http_max_connections_per_ip,
                               .min_body_rate = (uint64_t)c->min_body_rate,
                               .allowed_origins = c->allowed_origins,
                               .allowed_hosts = c->allowed_hosts,
                               .keys_required = api_keys_required,
                               .authenticate = api_authenticate,
                               .ctx = a->api,
                               .trusted_proxies = c->trusted_proxies,
                               .admit = a->limit ? app_admit : NULL,
                               .admit_ctx = a};
        if (a->role == APP_WORK && c->origin[CONFIG_APP_PORT] == ORIGIN_DEFAULT)
                return 0;
        ho.routes = a->role == APP_WORK ? api_probe_routes(a->api, &ho.nroutes) : api_routes(a->api, &ho.nroutes);
        bool local =
                !strcmp(c->app_host, "localhost") || !strncmp(c->app_host, "127.", 4) || !strcmp(c->app_host, "::1");
        if (a->role == APP_SERVE && !local && !admin_keys_required(a->admin))
                log_warning("app",
                            "APP_HOST is %s and there is no key: anyone who reaches this port can read, change "
                            "and delete all files",
                            c->app_host);
        return http_server_start(&ho, &a->http, e);
}

/* The settings that a worker without a server needs. */
static int check_role(const struct config *c, enum app_role role, struct err *e)
{
        if (role == APP_SERVE)
                return 0;
        if (c->database_path)
                return err_set(e, ERR_INVALID,
                               "a worker of its own needs a catalog that several processes can share: set DATABASE_URL "
                               "to postgresql://…; with SQLite \"serve\" runs its workers itself (WORKER_THREADS)");
        if (c->worker_threads == 0)
                return err_set(e, ERR_INVALID, "WORKER_THREADS is 0: a worker needs at least one");
        if (!strcmp(c->queue_backend, "inproc"))
                log_warning("app", "QUEUE_BACKEND is inproc: this worker is not notified of new tasks and looks for "
                                   "them every few "
                                   "seconds; use redis");
        return 0;
}

static void log_isolation(const struct app *a)
{
        struct jail_state st;
        jail_state(a->jail, &st);
        if (*st.note)
                log_warning("app", "decoders: %s", st.note);
        else
                log_info("app", "decoders are sandboxed by %s", st.isolation);
}

int app_start(const struct config *c, enum app_role role, bool (*stop)(void *ctx), struct app **out, struct err *e)
{
        const struct migration_watch watch = {.progress = app_log_migration, .stop = stop};
        if (check_role(c, role, e))
                return -1;
        struct app *a = mem_calloc(1, sizeof *a);
        if (!a)
                return err_oom(e);
        a->c = c;
        a->role = role;
        a->watch = &watch;
        a->lock_fd = -1;
        raise_fd_limit();
        app_paths_find(&a->paths);
        if (metrics_init()) {
                app_stop(a);
                return err_oom(e);
        }
        if (prepare_folders(a, e) || open_stores(a, e) || open_model(a, e) || open_services(a, e) ||
            start_workers(a, e) || open_front(a, e) || app_limit_open(a, e) || listen_http(a, e)) {
                app_stop(a);
                return -1;
        }
        a->watch = NULL; /* it ends with this function */
        log_isolation(a);
        *out = a;
        return 0;
}

uint16_t app_port(const struct app *a)
{
        return a->http ? http_server_port(a->http) : 0;
}

void app_stop(struct app *a)
{
        if (!a)
                return;
        struct mono deadline = mono_add(mono_now(), a->c->shutdown_grace);
        if (a->admin)
                admin_drain(a->admin);
        if (a->http) {
                http_server_drain(a->http);
                unsigned left = http_server_wait_idle(a->http, deadline);
                if (left)
                        log_warning("app", "%u requests were still running at the end of SHUTDOWN_GRACE", left);
        }
        worker_pool_stop(a->workers, deadline);
        http_server_stop(a->http);
        limit_close(a->limit);
        api_close(a->api);
        admin_close(a->admin);
        organise_close(a->organise);
        sidecar_close(a->sidecar, deadline);
        ingest_close(a->ingest);
        search_close(a->search);
        jail_close(a->probe_jail);
        jail_close(a->jail);
        queue_close(a->queue);
        embed_close(a->embed);
        storage_close(a->storage);
        catalog_close(a->catalog);
        metrics_done();
        fd_close(&a->lock_fd);
        mem_free(a);
}
