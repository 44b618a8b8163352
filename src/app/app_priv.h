/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FA_APP_PRIV_H
#define FA_APP_PRIV_H

#include <limits.h>

#include "admin/admin.h"
#include "api/api.h"
#include "app/app.h"
#include "catalog/catalog_migrate.h"
#include "config/config.h"
#include "embed/embed.h"
#include "http/http.h"
#include "ingest/ingest.h"
#include "jail/jail.h"
#include "limit/limit.h"
#include "organise/organise.h"
#include "queue/queue.h"
#include "search/search.h"
#include "sidecar/sidecar.h"
#include "storage/storage.h"
#include "worker/worker.h"

#define APP_PROBES 7

struct app {
        const struct config *c;
        enum app_role role;
        struct app_paths paths;
        const char *catalog_url; /* url or the setting itself */
        char data[4096], storage_path[4096], tmp_path[4200], model_dir[4096], url[8400], swagger_dir[600];
        char instance[HOST_NAME_MAX + 16];
        int lock_fd;
        const struct migration_watch *watch; /* NULL: what a migration tells goes into the log */
        struct catalog *catalog;
        struct storage *storage;
        struct queue *queue;
        struct limit *limit; /* NULL: none is set */
        struct embed *embed;
        struct jail *jail, *probe_jail;
        struct organise *organise;
        struct search *search;
        struct ingest *ingest;
        struct sidecar *sidecar; /* NULL: SIDECARS is false */
        struct worker_pool *workers;
        struct admin *admin;
        struct api *api;
        struct http_server *http;
        struct status_probe probes[APP_PROBES];
};

/* DATA_PATH made, found and, when lock, taken for this process alone. */
int app_open_data(struct app *a, bool lock, struct err *e) MUST_CHECK;
/* Fills a->catalog_url from the settings. */
int app_catalog_url(struct app *a, struct err *e) MUST_CHECK;
int app_open_catalog(struct app *a, struct err *e) MUST_CHECK;
/* A migration_watch's progress. (app_migrate.c) */
void app_log_migration(void *ctx, const struct migration_progress *p);
/* The url without its password, up to the query. -1: it does not fit. */
int app_url_shown(const char *url, char *out, size_t max) MUST_CHECK;
/* Opens a->limit if a rate limit is set. */
int app_limit_open(struct app *a, struct err *e) MUST_CHECK;
http_admit_fn app_admit; /* ctx: the app, with its limit open */
/* Fills a->probes; each answers for one component in /health. */
void app_probes_init(struct app *a);
/* One decoder, with the limits of the configuration. */
struct jail_opts app_jail_opts(const struct config *c, const struct app_paths *p);
/* Folder of the model that EMBEDDING_MODEL names. */
void app_model_dir(const struct config *c, const struct app_paths *p, char *out, size_t n);

/*
 * One process per data folder: two writers would each trust their own queue. The lock is held until *fd, which is the
 * caller's also on failure, is closed. ERR_CONFLICT names the process that holds it. (app_parts.c)
 */
int app_data_lock(const char *data, int *fd, struct err *e) MUST_CHECK;
/*
 * The same for a process that only reads: it creates nothing, and writes its number only where it may; *fd is -1
 * where no server ever ran.
 */
int app_data_lock_if_any(const char *data, int *fd, struct err *e) MUST_CHECK;

#define APP_ROLE_URL_MAX 1024
/*
 * A process that uses a storage beside a server, or without one, stays out of the server's spool: its uploads go
 * through a folder of its own below TMPDIR, created when own is "" and removed by the caller; with set it uses
 * SPOOL_PATH where that is set. A directory storage needs none of this. (app_parts.c)
 */
int app_spool_apart(const struct config *c, bool set, char own[PATH_MAX], struct storage_opts *o,
                    struct err *e) MUST_CHECK;
/* The storage that the settings name; out points into c and role_url. */
void app_storage_opts(const struct config *c, char role_url[APP_ROLE_URL_MAX], struct storage_opts *out);

#endif
