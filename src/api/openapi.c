/* SPDX-License-Identifier: Apache-2.0 */
/* The OpenAPI 3.1 document, made at start from the route table and schemas.json. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"

extern const char api_schemas[]; /* schemas.json, embedded by the build */

static const char *status_text(const char *code)
{
        static const char *const texts[][2] = {
                {"200", "OK"},
                {"201", "Made"},
                {"202", "Accepted and durable"},
                {"204", "Done"},
                {"206", "A range of the bytes"},
                {"302", "See the documentation"},
                {"304", "Not changed"},
                {"308", "Merged into another; follow"},
                {"400", "A value is wrong: field, value, what is allowed"},
                {"401", "No key, or an unknown one"},
                {"403", "The key's scope or owner, or a foreign web page"},
                {"404", "Unknown, or another owner's"},
                {"409", "The state does not allow it"},
                {"413", "Over a limit, which is named"},
                {"415", "Unsupported type"},
                {"416", "Range not satisfiable"},
                {"422", "Understood but unacceptable"},
                {"429", "Past a rate limit, which is named; Retry-After says when"},
                {"500", "Our fault"},
                {"503", "Overloaded, draining or a part is missing; Retry-After says when"},
        };
        for (size_t i = 0; i < COUNT_OF(texts); i++)
                if (!strcmp(code, texts[i][0]))
                        return texts[i][1];
        return "";
}

static void put_ref(struct json_out *j, const char *name)
{
        char ref[128];
        snprintf(ref, sizeof ref, "#/components/schemas/%s", name);
        json_obj(j);
        json_kv_str(j, "$ref", ref);
        json_end(j);
}

static void put_media(struct json_out *j, const char *name)
{
        json_key(j, "content");
        json_obj(j);
        if (strchr(name, '/')) {
                json_key(j, name);
                json_obj(j);
                json_end(j);
        } else {
                bool form = !strncmp(name, "multipart:", 10);
                json_key(j, form ? "multipart/form-data" : "application/json");
                json_obj(j);
                json_key(j, "schema");
                put_ref(j, form ? name + 10 : name);
                json_end(j);
        }
        json_end(j);
}

static void put_param(struct json_out *j, const char *in, const char *name, const char *type, const char *text,
                      bool required)
{
        json_obj(j);
        json_kv_str(j, "name", name);
        json_kv_str(j, "in", in);
        if (required)
                json_kv_bool(j, "required", true);
        if (text)
                json_kv_str(j, "description", text);
        json_key(j, "schema");
        json_obj(j);
        json_kv_str(j, "type", type);
        if (!strcmp(in, "path") && strstr(name, "id"))
                json_kv_str(j, "format", "uuid");
        json_end(j);
        json_end(j);
}

static void put_params(struct json_out *j, const struct api_route *r, struct arena *a)
{
        json_key(j, "parameters");
        json_arr(j);
        for (const char *p = strchr(r->http.path, '{'); p; p = strchr(p + 1, '{'))
                put_param(j, "path", arena_strndup(a, (struct span){p + 1, strcspn(p + 1, "}")}), "string", NULL, true);
        struct span rest = span_of(r->params), line;
        while (span_cut(&rest, '\n', &line)) {
                struct span name, type;
                if (!line.n || !span_cut(&line, ' ', &name) || !span_cut(&line, ' ', &type))
                        continue;
                put_param(j, "query", arena_strndup(a, name), arena_strndup(a, type), arena_strndup(a, line), false);
        }
        json_end(j);
}

static void put_response(struct json_out *j, const struct api_route *r, const char *code)
{
        json_key(j, code);
        json_obj(j);
        json_kv_str(j, "description", status_text(code));
        bool probe_answer = r->http.quiet && !strcmp(code, "503");
        if ((code[0] == '2' && r->response) || probe_answer)
                put_media(j, r->response);
        else if (code[0] >= '4')
                put_media(j, "Error");
        json_end(j);
}

static void put_responses(struct json_out *j, const struct api_route *r, struct arena *a)
{
        static const char *const always[] = {"401", "403", "429", "500", "503"};
        json_key(j, "responses");
        json_obj(j);
        struct span rest = span_of(r->http.statuses), code;
        while (span_cut(&rest, ' ', &code))
                put_response(j, r, arena_strndup(a, code));
        for (size_t i = r->http.scope == HTTP_OPEN ? 3 : 0; i < COUNT_OF(always); i++)
                if (!strstr(r->http.statuses, always[i]))
                        put_response(j, r, always[i]);
        json_end(j);
}

static void put_operation(struct json_out *j, const struct api_route *r, struct arena *a)
{
        static const char *const scopes[] = {"open", "read", "write", "admin"};
        struct buf id;
        json_obj(j);
        json_key(j, "tags");
        json_arr(j);
        json_put_str(j, r->tag);
        json_end(j);
        json_kv_str(j, "summary", r->summary);
        buf_init(&id, 256);
        for (const char *p = http_method_name(r->http.method); *p; p++)
                buf_putc(&id, (char)tolower((unsigned char)*p));
        for (const char *p = r->http.path; *p; p++)
                buf_putc(&id, isalnum((unsigned char)*p) ? *p : '_');
        json_kv_str(j, "operationId", buf_str(&id));
        buf_done(&id);
        json_kv_str(j, "x-scope", scopes[r->http.scope]);
        if (r->http.unbound)
                json_kv_bool(j, "x-unbound", true);
        if (r->http.scope == HTTP_OPEN) {
                json_key(j, "security");
                json_arr(j);
                json_end(j);
        }
        put_params(j, r, a);
        if (r->request) {
                json_key(j, "requestBody");
                json_obj(j);
                put_media(j, r->request);
                json_end(j);
        }
        put_responses(j, r, a);
        json_end(j);
}

static bool first_of_path(const struct api_route *routes, size_t i)
{
        for (size_t k = 0; k < i; k++)
                if (!strcmp(routes[k].http.path, routes[i].http.path))
                        return false;
        return true;
}

static void put_paths(struct json_out *j, const struct api_route *routes, size_t n, struct arena *a)
{
        json_key(j, "paths");
        json_obj(j);
        for (size_t i = 0; i < n; i++) {
                if (!first_of_path(routes, i))
                        continue;
                json_key(j, routes[i].http.path);
                json_obj(j);
                for (size_t k = i; k < n; k++) {
                        if (strcmp(routes[k].http.path, routes[i].http.path))
                                continue;
                        char method[8];
                        snprintf(method, sizeof method, "%s", http_method_name(routes[k].http.method));
                        for (char *p = method; *p; p++)
                                *p = (char)tolower((unsigned char)*p);
                        json_key(j, method);
                        put_operation(j, &routes[k], a);
                }
                json_end(j);
        }
        json_end(j);
}

int api_openapi_build(struct api *a, const struct api_route *routes, size_t n, struct err *e)
{
        struct arena *mem = arena_new(4 << 20);
        struct json_out j;
        if (!mem)
                return err_oom(e);
        json_out_init(&j, &a->openapi);
        json_obj(&j);
        json_kv_str(&j, "openapi", "3.1.0");
        json_kv_raw(&j, "info",
                    "{\"title\":\"File Allocator\",\"version\":\"" FA_VERSION
                    "\",\"license\":{\"name\":\"Apache-2.0\"},"
                    "\"description\":\"Stores any file, answers as soon as it is durable, then works out where it "
                    "belongs.\"}");
        json_kv_raw(&j, "security", "[{\"key\":[]},{\"bearer\":[]},{\"session\":[]},{}]");
        put_paths(&j, routes, n, mem);
        json_key(&j, "components");
        json_obj(&j);
        json_kv_raw(&j, "securitySchemes",
                    "{\"key\":{\"type\":\"apiKey\",\"in\":\"header\",\"name\":\"X-API-Key\"},\"bearer\":{\"type\":"
                    "\"http\",\"scheme\":\"bearer\"},\"session\":{\"type\":\"apiKey\",\"in\":\"cookie\",\"name\":"
                    "\"" HTTP_SESSION_COOKIE "\"}}");
        json_kv_raw(&j, "schemas", api_schemas);
        json_end(&j);
        json_end(&j);
        arena_free(mem);
        return buf_failed(&a->openapi) ? err_oom(e) : 0;
}

struct span api_openapi(const struct api *a)
{
        return buf_span(&a->openapi);
}
