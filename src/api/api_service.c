/* SPDX-License-Identifier: Apache-2.0 */
/* Probes, metrics and the documentation page. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/api_priv.h"
#include "metrics/metrics.h"

void get_root(struct http_request *r)
{
        const char *accept = http_header(r, "Accept");
        if (accept && strstr(accept, "text/html")) {
                http_reply_redirect(r, 302, "/api/docs");
                return;
        }
        struct buf b;
        struct json_out j;
        answer_begin(&j, &b);
        json_obj(&j);
        json_kv_str(&j, "name", "File Allocator");
        json_kv_str(&j, "version", FA_VERSION);
        json_kv_str(&j, "docs", "/api/docs");
        json_kv_str(&j, "ui", "/api/docs");
        json_end(&j);
        answer_end(r, 200, &b);
}

void get_live(struct http_request *r)
{
        http_reply(r, 200, "application/json; charset=utf-8", SPAN("{\"status\":\"alive\"}"));
}

void get_ready(struct http_request *r)
{
        struct buf b;
        buf_init(&b, 64 << 10);
        bool ready = admin_ready(api_of(r)->o.admin, &b);
        answer_end(r, ready ? 200 : 503, &b);
}

void get_health(struct http_request *r)
{
        struct buf b;
        buf_init(&b, 512 << 10);
        bool well = admin_health(api_of(r)->o.admin, &b);
        answer_end(r, well ? 200 : 503, &b);
}

static bool metrics_allowed(struct http_request *r)
{
        const char *token = api_of(r)->o.metrics_token, *given = http_header(r, "Authorization");
        if (!*token)
                return true;
        if (!given || strncmp(given, "Bearer ", 7))
                return false;
        struct sha256 a = sha256_of(token, strlen(token)), b = sha256_of(given + 7, strlen(given + 7));
        return equal_constant_time(a.b, b.b, sizeof a.b);
}

void get_metrics(struct http_request *r)
{
        struct api *a = api_of(r);
        if (!a->o.metrics_enabled) {
                http_reply_error(r, 404, "not_found", NULL, "metrics are switched off (METRICS_ENABLED=false)");
                return;
        }
        if (!metrics_allowed(r)) {
                http_add_header(r, "WWW-Authenticate", "Bearer");
                http_reply_error(r, 401, "unauthorized", NULL,
                                 "METRICS_TOKEN is set: send it as Authorization: Bearer");
                return;
        }
        struct buf b;
        admin_collect(a->o.admin);
        buf_init(&b, 16 << 20);
        metrics_render(&b);
        if (buf_failed(&b))
                http_reply_error(r, 500, "internal", NULL, "metrics could not be rendered");
        else
                http_reply(r, 200, "text/plain; version=0.0.4; charset=utf-8", buf_span(&b));
        buf_done(&b);
}

void get_openapi(struct http_request *r)
{
        http_reply(r, 200, "application/json; charset=utf-8", api_openapi(api_of(r)));
}

/* The page has no inline script, so that a strict policy can hold it; Swagger UI needs inline styles. */
#define DOCS_POLICY                                                                                                    \
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src "  \
        "'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

static const char docs_page[] =
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>File Allocator API</title>"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
        "<link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"/api/docs/swagger-ui.css\"></head>"
        "<body><div id=\"ui\"></div><noscript>The same as JSON: <a "
        "href=\"/api/openapi.json\">/api/openapi.json</a></noscript>"
        "<script src=\"/api/docs/swagger-ui-bundle.js\"></script><script "
        "src=\"/api/docs/start.js\"></script></body></html>";

static const char docs_start[] =
        "window.ui=SwaggerUIBundle({url:'/api/openapi.json',dom_id:'#ui',deepLinking:true,docExpansion:'list',"
        "tryItOutEnabled:true,persistAuthorization:false,defaultModelsExpandDepth:0,validatorUrl:null});\n";

void get_docs(struct http_request *r)
{
        http_add_header(r, "Content-Security-Policy", DOCS_POLICY);
        http_reply(r, 200, "text/html; charset=utf-8", SPAN(docs_page));
}

void get_docs_file(struct http_request *r)
{
        static const struct {
                const char *name, *type;
        } files[] = {
                {"swagger-ui.css", "text/css; charset=utf-8"},
                {"swagger-ui-bundle.js", "text/javascript; charset=utf-8"},
        };
        const char *name = http_path_param(r, "file");
        if (!strcmp(name, "start.js")) {
                http_reply(r, 200, "text/javascript; charset=utf-8", SPAN(docs_start));
                return;
        }
        for (size_t i = 0; i < COUNT_OF(files); i++) {
                if (strcmp(name, files[i].name))
                        continue;
                char path[700];
                struct stat st;
                snprintf(path, sizeof path, "%s/%s", api_of(r)->o.swagger_dir, files[i].name);
                int fd = open(path, O_RDONLY | O_CLOEXEC);
                if (fd < 0 || fstat(fd, &st)) {
                        fd_close(&fd);
                        http_reply_error(r, 404, "not_found", NULL, "the documentation page's files are not installed");
                        return;
                }
                struct http_content c = {.fd = fd,
                                         .size = (uint64_t)st.st_size,
                                         .content_type = files[i].type,
                                         .etag = FA_VERSION,
                                         .cache_control = "public, max-age=3600"};
                http_reply_content(r, &c);
                return;
        }
        http_reply_error(r, 404, "not_found", NULL, "no such file");
}
