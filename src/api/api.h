/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The routes: a request comes in, services are called, JSON goes out. One row of a table per route serves the server,
 * the metrics and the OpenAPI document.
 */
#ifndef FA_API_H
#define FA_API_H

#include "base/base.h"

struct admin;
struct api;
struct catalog;
struct http_caller;
struct http_route;
struct ingest;
struct organise;
struct search;
struct storage;

struct api_opts {
        struct catalog *catalog;
        struct storage *storage;
        struct ingest *ingest;
        struct search *search;
        struct organise *organise;
        struct admin *admin;
        uint64_t max_file_size;
        unsigned embed_dim;
        unsigned search_default_limit, search_max_limit;
        float search_default_threshold;
        float cluster_threshold; /* of folders made by hand */
        unsigned thumb_size, preview_size;
        bool exif_gps;
        bool metrics_enabled;
        const char *metrics_token; /* "" open */
        const char *swagger_dir;   /* folder of swagger-ui-dist */
};

int api_open(const struct api_opts *opts, struct api **out, struct err *e) MUST_CHECK;
void api_close(struct api *a);
/* For http_opts.routes; lives with a. The server's ctx must be a. */
const struct http_route *const *api_routes(const struct api *a, size_t *n);
/* Of these only the routes that monitor a process: /live, /ready, /health, /metrics. */
const struct http_route *const *api_probe_routes(const struct api *a, size_t *n);
/* For http_opts. */
int api_authenticate(void *ctx, struct span key, struct http_caller *out);
bool api_keys_required(void *ctx);
/* The OpenAPI 3.1 document; lives with a. */
struct span api_openapi(const struct api *a);

#endif
