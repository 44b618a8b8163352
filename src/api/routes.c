/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route table: what the server runs, what /metrics counts and what the
 * OpenAPI document says, in one place. Statuses that every route of a kind may
 * give (401, 403, 500, 503) are added by the engine.
 */
#include <string.h>

#include "api/api_priv.h"

#define V1 "/api/v1"

/* clang-format off: one row for each route */
/* Arguments that several routes share. */
#define P_OWNER "owner string Only of this owner\n"
#define P_PAGE  "limit integer Page size, 1 to 500\ncursor string next_cursor of the previous page\n"
#define P_SEARCH                                                                                                       \
        "type string One of media, json, document, audio, all\nlimit integer 1 to 100\noffset integer Number of hits " \
        "to skip\n"                                                                                                    \
        "threshold number Minimum similarity, 0 to 1\n" P_OWNER "cluster_id string Only in this folder\n"              \
        "tags string Comma-separated; a file must have all of them\nmode string One of hybrid, vector, text\n"
#define P_FILTER                                                                                                       \
        "kind string One of media, document, json, file, all\n" P_OWNER                                                \
        "cluster_id string Id of a folder, or none for unsorted files\ntag string Repeated or comma-separated; a "     \
        "file must have all of them\n"                                                                                 \
        "status string One of queued, processing, done, failed\ncontent_type string Exact, or a prefix such as "       \
        "image/\n"                                                                                                     \
        "sha256 string Hash of the bytes\nname string A part of the filename\ncreated_after string RFC 3339 time\n"    \
        "created_before string RFC 3339 time\nsort string One of -created_at, created_at, filename, -filename, "       \
        "-size_bytes, size_bytes\n" P_PAGE

#define GET(p, sc, fn, st)                                                                                             \
        .http = {.method = HTTP_GET, .path = p, .scope = sc, .handle = fn, .statuses = st, .while_draining = true}
/* Routes that concern the whole installation: for keys that are bound to no owner. */
#define GET_UNBOUND(p, fn, st)                                                                                         \
        .http = {.method = HTTP_GET,                                                                                   \
                 .path = p,                                                                                            \
                 .scope = AD,                                                                                          \
                 .handle = fn,                                                                                         \
                 .statuses = st,                                                                                       \
                 .unbound = true,                                                                                      \
                 .while_draining = true}
#define BODY_UNBOUND(m, p, fn, st)                                                                                     \
        .http = {.method = m,                                                                                          \
                 .path = p,                                                                                            \
                 .scope = AD,                                                                                          \
                 .body = HTTP_BODY_JSON,                                                                               \
                 .handle = fn,                                                                                         \
                 .statuses = st,                                                                                       \
                 .unbound = true}
/* An open route with a small body: anybody may call it. */
#define OPEN_BODY(m, p, fn, st)                                                                                        \
        .http = {.method = m, .path = p, .body = HTTP_BODY_JSON, .max_body = 4096, .handle = fn, .statuses = st}
#define PROBE(p, fn, st)                                                                                               \
        .http = {.method = HTTP_GET,                                                                                   \
                 .path = p,                                                                                            \
                 .scope = HTTP_OPEN,                                                                                   \
                 .handle = fn,                                                                                         \
                 .statuses = st,                                                                                       \
                 .while_draining = true,                                                                               \
                 .quiet = true}
#define BODY(m, p, sc, fn, st)                                                                                         \
        .http = {.method = m, .path = p, .scope = sc, .body = HTTP_BODY_JSON, .handle = fn, .statuses = st}
#define NOBODY(m, p, sc, fn, st) .http = {.method = m, .path = p, .scope = sc, .handle = fn, .statuses = st}
#define STREAM(m, p, sc, s, st)                                                                                        \
        .http = {.method = m, .path = p, .scope = sc, .body = HTTP_BODY_STREAM, .stream = &s, .statuses = st}
#define RD HTTP_SCOPE_READ
#define WR HTTP_SCOPE_WRITE
#define AD HTTP_SCOPE_ADMIN

static const struct api_route route_table[] = {
        /* Service */
        {GET("/", HTTP_OPEN, get_root, "200 302"), "Service",
         "Name and version; browsers are redirected to the documentation", NULL, NULL, "Root"},
        {PROBE("/live", get_live, "200"), "Service", "Liveness: the process is running", NULL, NULL, "Live"},
        {PROBE("/ready", get_ready, "200 503"), "Service", "Readiness: the service can answer requests", NULL, NULL,
         "Ready"},
        {PROBE("/health", get_health, "200 503"), "Service", "Health of every component", NULL, NULL, "Health"},
        {PROBE("/metrics", get_metrics, "200 401 404"), "Service", "Prometheus metrics", NULL, NULL, "text/plain"},
        {GET("/api/openapi.json", HTTP_OPEN, get_openapi, "200"), "Service", "This document", NULL, NULL, "Any"},
        {GET("/api/docs", HTTP_OPEN, get_docs, "200"), "Service", "This document as a web page", NULL, NULL,
         "text/html"},
        {GET("/api/docs/{file}", HTTP_OPEN, get_docs_file, "200 304 404"), "Service", "Files of that web page", NULL,
         NULL, "application/octet-stream"},

        /* Ingest */
        {STREAM(HTTP_POST, V1 "/ingest", WR, ingest_stream, "202 400 409 413 415"), "Ingest",
         "Upload files; answers when they are durable", NULL, "multipart:IngestForm", "Receipt"},
        {STREAM(HTTP_PUT, V1 "/files/{name}", WR, put_file_stream, "202 400 409 413"), "Ingest",
         "Upload one file as the request body (curl -T)",
         "owner string Owner of the file\ncomments string Free text\nfolder string Folder to put the file into\ntags "
         "string Comma-separated "
         "or repeated\n",
         "application/octet-stream", "Receipt"},
        {GET(V1 "/ingest/{job_id}/status", RD, get_job_status, "200 400 404"), "Ingest", "Progress of a job", NULL,
         NULL, "Job"},
        {GET(V1 "/jobs", RD, get_jobs, "200 400"), "Ingest", "Recent jobs, newest first",
         "status string One of queued, processing, done, failed, partial\n" P_OWNER P_PAGE, NULL, "JobPage"},
        {GET(V1 "/ingest", RD, get_jobs, "200 400"), "Ingest", "The same as /jobs",
         "status string One of queued, processing, done, failed, partial\n" P_OWNER P_PAGE, NULL, "JobPage"},

        /* Assets */
        {GET(V1 "/objects", RD, get_objects, "200 400"), "Assets", "List files, with filters", P_FILTER, NULL,
         "AssetPage"},
        {GET(V1 "/objects/{id}", RD, get_object, "200 400 404"), "Assets", "Everything about one file", NULL, NULL,
         "Asset"},
        {GET(V1 "/objects/{id}/content", RD, get_content, "200 206 304 400 404 416"), "Assets",
         "Download the content of a file", "download boolean Send it as an attachment in any case\n", NULL,
         "application/octet-stream"},
        {GET(V1 "/objects/{id}/thumbnail", RD, get_thumbnail, "200 206 304 400 404 416"), "Assets",
         "Thumbnail or preview of a file", "size string thumb, preview or a number of pixels\n", NULL, "image/webp"},
        {GET(V1 "/objects/{id}/similar", RD, get_similar, "200 400 404 422"), "Assets",
         "Files that are similar to this one", P_SEARCH, NULL, "SearchResult"},
        {GET(V1 "/objects/{id}/lineage", RD, get_lineage, "200 400 404"), "Assets",
         "History of a file: every step and change", NULL, NULL, "Lineage"},
        {BODY(HTTP_PATCH, V1 "/objects/{id}", WR, patch_object, "200 400 404 409 415"), "Assets",
         "Change name, tags, comments or folder", NULL, "AssetPatch", "Asset"},
        {NOBODY(HTTP_DELETE, V1 "/objects/{id}", WR, delete_object, "204 400 404"), "Assets",
         "Move a file to the trash; permanent=true deletes it permanently (admin)",
         "permanent boolean Delete permanently\n", NULL, NULL},
        {NOBODY(HTTP_POST, V1 "/objects/{id}/restore", WR, restore_object, "200 400 404 409"), "Assets",
         "Restore a file from the trash", NULL, NULL, "Asset"},
        {NOBODY(HTTP_POST, V1 "/objects/{id}/reprocess", WR, reprocess_object, "202 400 404 409 422"), "Assets",
         "Analyse a file again", NULL, NULL, "Asset"},
        {GET(V1 "/trash", RD, get_trash, "200 400"), "Assets", "List files in the trash", P_FILTER, NULL, "AssetPage"},

        /* Search */
        {GET(V1 "/search", RD, get_search, "200 400"), "Search", "Search by meaning, name and tags",
         "query string What to look for\n" P_SEARCH, NULL, "SearchResult"},
        {BODY(HTTP_POST, V1 "/search", RD, post_search, "200 400 415"), "Search", "Search, with the query as JSON",
         NULL, "SearchQuery", "SearchResult"},
        {STREAM(HTTP_POST, V1 "/search/image", RD, search_image_stream, "200 400 413 415 422"), "Search",
         "Search by an uploaded picture, which is not kept", P_SEARCH, "multipart:ImageForm", "SearchResult"},

        /* Clusters */
        {GET(V1 "/clusters", RD, get_clusters, "200 400"), "Clusters", "List folders",
         "status string One of provisional, active\n" P_OWNER
         "sort string One of name, -asset_count, -updated_at, -created_at\n" P_PAGE,
         NULL, "ClusterPage"},
        {BODY(HTTP_POST, V1 "/clusters", WR, post_cluster, "201 400 409 415"), "Clusters", "Make a folder", NULL,
         "NewCluster", "ClusterView"},
        {GET(V1 "/clusters/{id}", RD, get_cluster, "200 308 400 404"), "Clusters", "A folder with a page of its files",
         P_PAGE, NULL, "ClusterView"},
        {BODY(HTTP_PATCH, V1 "/clusters/{id}", WR, patch_cluster, "200 308 400 404 409 415"), "Clusters",
         "Change a folder: rename, merge, update_threshold, confirm or lock", NULL, "ClusterAction", "ClusterChanged"},
        {NOBODY(HTTP_DELETE, V1 "/clusters/{id}", WR, delete_cluster, "204 308 400 404"), "Clusters",
         "Delete a folder; its files become unsorted", NULL, NULL, NULL},
        {BODY(HTTP_POST, V1 "/clusters/{id}/approve", WR, approve_cluster, "200 308 400 404 409 415"), "Clusters",
         "Confirm a folder, with a new name if one is given", NULL, "ClusterName", "ClusterChanged"},

        /* Admin */
        {GET(V1 "/admin/clusters", AD, get_admin_clusters, "200 400"), "Admin", "List folders of all owners",
         "status string One of provisional, active\n" P_OWNER
         "sort string One of name, -asset_count, -updated_at, -created_at\n" P_PAGE,
         NULL, "ClusterPage"},
        {GET(V1 "/admin/clusters/statistics", AD, get_cluster_statistics, "200"), "Admin",
         "How many files are sorted into folders", NULL, NULL, "ClusterStatistics"},
        {GET(V1 "/admin/clusters/merge-candidates", AD, get_merge_candidates, "200 503"), "Admin",
         "What a run of the organiser would change", NULL, NULL, "Organised"},
        {GET(V1 "/admin/clusters/{id}", AD, get_admin_cluster, "200 308 400 404"), "Admin",
         "A folder with a page of its files", P_PAGE, NULL, "ClusterView"},
        {BODY(HTTP_POST, V1 "/admin/clusters/{id}/rename", AD, post_cluster_rename, "200 308 400 404 409 415"), "Admin",
         "Rename a folder", NULL, "ClusterName", "ClusterChanged"},
        {BODY(HTTP_POST, V1 "/admin/clusters/{id}/merge", AD, post_cluster_merge, "200 308 400 404 409 415"), "Admin",
         "Merge other folders into this one", NULL, "ClusterAction", "ClusterChanged"},
        {BODY(HTTP_POST, V1 "/admin/clusters/{id}/threshold", AD, post_cluster_threshold, "200 308 400 404 409 415"),
         "Admin", "Change the threshold of a folder", NULL, "ClusterAction", "ClusterChanged"},
        {BODY(HTTP_POST, V1 "/admin/clusters/{id}/confirm", AD, post_cluster_confirm, "200 308 400 404 409 415"),
         "Admin", "Confirm a folder", NULL, "ClusterAction", "ClusterChanged"},
        {BODY(HTTP_POST, V1 "/admin/organise", AD, post_organise, "200 400 415"), "Admin", "Run the organiser", NULL,
         "OrganiseRequest", "Organised"},
        {GET(V1 "/admin/dlq", AD, get_dlq, "200 400"), "Admin",
         "List the dead-letter queue: tasks that failed permanently", "stage string Only this stage\n" P_PAGE, NULL,
         "DlqPage"},
        {GET(V1 "/admin/dlq/{job_id}", AD, get_dlq_job, "200 400 404"), "Admin",
         "Failed tasks of a job, with their history", NULL, NULL, "DlqJob"},
        {BODY(HTTP_POST, V1 "/admin/dlq/{job_id}/retry", AD, retry_dlq_job, "200 400 404 415"), "Admin",
         "Retry failed tasks of a job", NULL, "DlqSelection", "DlqMoved"},
        {BODY(HTTP_DELETE, V1 "/admin/dlq/{job_id}", AD, delete_dlq_job, "200 400 404 415"), "Admin",
         "Drop entries of a job; the files stay", NULL, "DlqSelection", "DlqMoved"},
        {NOBODY(HTTP_POST, V1 "/admin/dlq/retry-all", AD, retry_dlq_all, "200"), "Admin", "Retry all failed tasks",
         NULL, NULL, "DlqMoved"},
        {NOBODY(HTTP_DELETE, V1 "/admin/dlq", AD, delete_dlq_all, "200"), "Admin", "Drop all entries; the files stay",
         NULL, NULL, "DlqMoved"},
        {GET(V1 "/admin/stats", AD, get_stats, "200"), "Admin", "Statistics", NULL, NULL, "Stats"},
        {GET_UNBOUND(V1 "/admin/config", get_config, "200"), "Admin", "Settings with their origin, secrets masked",
         NULL, NULL, "Any"},
        {GET_UNBOUND(V1 "/admin/scrub", get_scrub, "200"), "Admin",
         "State and findings of the scrubber, which reads stored objects again", NULL, NULL, "Scrub"},
        {BODY_UNBOUND(HTTP_POST, V1 "/admin/scrub", post_scrub, "202 400 415"), "Admin",
         "Scrub all objects now, or those that are named", NULL, "ScrubRequest", "Scrub"},
        {GET(V1 "/admin/keys", AD, get_keys, "200 400"), "Keys",
         "List keys, newest first; the keys themselves are never shown", "revoked boolean Include revoked keys\n", NULL,
         "KeyPage"},
        {BODY(HTTP_POST, V1 "/admin/keys", AD, post_key, "201 400 409 415"), "Keys",
         "Make a key; only this answer shows it", NULL, "NewKey", "KeyMade"},
        {NOBODY(HTTP_DELETE, V1 "/admin/keys/{id}", AD, delete_key, "204 400 404 409"), "Keys",
         "Revoke a key and end its sessions", NULL, NULL, NULL},
        {OPEN_BODY(HTTP_POST, V1 "/session", post_session, "201 400 401 403 413 415 429"), "Keys",
         "Exchange a key for a session cookie, for browsers", NULL, "SessionKey", "Session"},
        {NOBODY(HTTP_DELETE, V1 "/session", HTTP_OPEN, delete_session, "204 403 429"), "Keys",
         "End the session of the cookie", NULL, NULL, NULL},
};
/* clang-format on */

int api_open(const struct api_opts *opts, struct api **out, struct err *e)
{
        struct api *a = mem_calloc(1, sizeof *a);
        if (!a)
                return err_oom(e);
        a->o = *opts;
        a->nroutes = COUNT_OF(route_table);
        a->routes = mem_calloc(a->nroutes, sizeof(void *));
        buf_init(&a->openapi, 4 << 20);
        if (!a->routes || api_openapi_build(a, route_table, a->nroutes, e)) {
                bool oom = !a->routes;
                api_close(a);
                return oom ? err_oom(e) : -1;
        }
        for (size_t i = 0; i < a->nroutes; i++)
                a->routes[i] = &route_table[i].http;
        *out = a;
        return 0;
}

void api_close(struct api *a)
{
        if (!a)
                return;
        buf_done(&a->openapi);
        mem_free(a->routes);
        mem_free(a);
}

const struct http_route *const *api_routes(const struct api *a, size_t *n)
{
        *n = a->nroutes;
        return (const struct http_route *const *)a->routes;
}

/* They stand side by side in the table. */
const struct http_route *const *api_probe_routes(const struct api *a, size_t *n)
{
        size_t first = 0, end;
        while (!a->routes[first]->quiet)
                first++;
        for (end = first; end < a->nroutes && a->routes[end]->quiet; end++)
                ;
        *n = end - first;
        return (const struct http_route *const *)a->routes + first;
}
