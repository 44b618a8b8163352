/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FA_API_PRIV_H
#define FA_API_PRIV_H

#include "admin/admin.h"
#include "api/api.h"
#include "jobs/jobs.h"
#include "http/http.h"
#include "ingest/ingest.h"
#include "json/json.h"
#include "organise/organise.h"
#include "search/search.h"
#include "storage/storage.h"

/*
 * A route and its description in the OpenAPI document. params: one line each, "name type description", query
 * arguments only (path arguments come from the template). request and response name schemas of schemas.json; a
 * response that is a media type ("image/webp") is bytes.
 */
struct api_route {
        struct http_route http;
        const char *tag, *summary, *params, *request, *response;
};

struct api {
        struct api_opts o;
        const struct http_route **routes;
        size_t nroutes;
        struct buf openapi;
};

/* Fills a->openapi from the n routes. */
int api_openapi_build(struct api *a, const struct api_route *routes, size_t n, struct err *e) MUST_CHECK;

static inline struct api *api_of(const struct http_request *r)
{
        return http_context(r);
}

/* ---- arguments: each returns false after having replied 400 ------------------------ */

/* The path's {id} (or another name). */
bool arg_id(struct http_request *r, const char *name, struct id *out);
bool arg_uint(struct http_request *r, const char *name, unsigned min, unsigned max, unsigned fallback, unsigned *out);
bool arg_float(struct http_request *r, const char *name, float min, float max, float fallback, float *out);
bool arg_bool(struct http_request *r, const char *name, bool fallback, bool *out);
bool arg_time(struct http_request *r, const char *name, struct wall *out);
/* One of n words; *out is its index, or fallback when absent. */
bool arg_word(struct http_request *r, const char *name, const char *const *words, size_t n, int fallback, int *out);
/*
 * The owner whose assets are read: the key's own when it is bound (another one asked for: 403), else the query's,
 * else NULL for all.
 */
bool arg_owner(struct http_request *r, const char **out);
/* Comma-separated or repeated. */
bool arg_list(struct http_request *r, const char *name, size_t max, const char *const **out, size_t *n);
/* The owner the caller is bound to, or NULL: what a look-up by id is limited to. */
const char *bound_owner(const struct http_request *r);
/* The actor, for lineage and operations: the key's id or "user". */
const char *actor_of(const struct http_request *r);
/* The JSON body as an object; NULL after a 400. The caller frees it with json_free. */
struct json *body_object(struct http_request *r);
/* Refuses members that are not in allowed ("a,b,c"): false after a 400 that names them. */
bool body_members(struct http_request *r, const struct json *o, const char *allowed);

/* ---- views ---------------------------------------------------------------------------- */

void view_asset(struct http_request *r, struct json_out *j, const struct asset *a);
void view_cluster(struct json_out *j, const struct cluster *c);
void view_job(struct json_out *j, const struct job_view *v, bool with_assets);
void view_search(struct http_request *r, struct json_out *j, const char *query, const struct search_result *s);
/* answer_begin initialises b and j; answer_end replies with b and frees it. */
void answer_begin(struct json_out *j, struct buf *b);
void answer_end(struct http_request *r, unsigned status, struct buf *b);

/* ---- handlers, by file ------------------------------------------------------------------ */

http_handle_fn get_root, get_live, get_ready, get_health, get_metrics, get_openapi, get_docs, get_docs_file;
http_handle_fn get_job_status, get_jobs;
http_handle_fn get_objects, get_object, get_content, get_thumbnail, get_similar, get_lineage, patch_object,
        delete_object, restore_object, get_trash, reprocess_object;
http_handle_fn get_search, post_search;
http_handle_fn get_clusters, get_cluster, post_cluster, delete_cluster, patch_cluster, approve_cluster;
http_handle_fn get_admin_clusters, get_cluster_statistics, get_merge_candidates, get_admin_cluster, post_cluster_rename,
        post_cluster_merge, post_cluster_threshold, post_cluster_confirm, post_organise;
http_handle_fn get_dlq, get_dlq_job, retry_dlq_job, delete_dlq_job, retry_dlq_all, delete_dlq_all, get_stats,
        get_config, get_scrub, post_scrub;
http_handle_fn get_keys, post_key, delete_key, post_session, delete_session;
extern const struct http_stream ingest_stream, put_file_stream, search_image_stream;

#endif
