/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FA_APP_PRIV_H
#define FA_APP_PRIV_H

#include <limits.h>

#include "admin/admin.h"
#include "api/api.h"
#include "app/app.h"
#include "embed/embed.h"
#include "http/http.h"
#include "ingest/ingest.h"
#include "jail/jail.h"
#include "limit/limit.h"
#include "organise/organise.h"
#include "search/search.h"
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
        struct catalog *catalog;
        struct storage *storage;
        struct queue *queue;
        struct limit *limit; /* NULL: none is set */
        struct embed *embed;
        struct jail *jail, *probe_jail;
        struct organise *organise;
        struct search *search;
        struct ingest *ingest;
        struct worker_pool *workers;
        struct admin *admin;
        struct api *api;
        struct http_server *http;
        struct status_probe probes[APP_PROBES];
};

/* Opens a->limit if a rate limit is set. */
int app_limit_open(struct app *a, struct err *e) MUST_CHECK;
http_admit_fn app_admit; /* ctx: the app, with its limit open */
/* Fills a->probes; each answers for one component in /health. */
void app_probes_init(struct app *a);
/* Folder of the model that EMBEDDING_MODEL names. */
void app_model_dir(const struct config *c, const struct app_paths *p, char *out, size_t n);

#endif
