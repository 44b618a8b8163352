/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gate over any head: "METHOD uri", header lines, in LF lines; the first
 * byte chooses the configuration. Whatever it lets pass must hold what the rest
 * of the room relies on.
 */
#include <stdlib.h>
#include <string.h>
#include "http/gate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct http_route routes[] = {
        {.method = HTTP_GET, .path = "/live", .while_draining = true},
        {.method = HTTP_GET, .path = "/api/v1/things/{id}", .scope = HTTP_SCOPE_READ},
        {.method = HTTP_POST, .path = "/api/v1/things", .scope = HTTP_SCOPE_WRITE, .body = HTTP_BODY_JSON},
        {.method = HTTP_PUT,
         .path = "/api/v1/files/{name}",
         .scope = HTTP_SCOPE_ADMIN,
         .body = HTTP_BODY_STREAM,
         .max_body = 1000},
};

static bool authenticate(void *ctx, struct span key, struct http_caller *out)
{
        (void)ctx;
        out->scope = HTTP_SCOPE_WRITE;
        return span_eq(key, "k");
}

static void admit(void *ctx, const struct http_visitor *who, uint64_t bytes, struct http_admission *out)
{
        (void)ctx, (void)who;
        *out = (struct http_admission){.wait = dur_ms(bytes % 3 ? 1 : 0), .limit = "x"};
}

static void require(bool ok)
{
        if (!ok)
                abort();
}

static void check_passed(const struct gate_config *c, const struct gate_request *q, const struct gate_verdict *v)
{
        size_t lengths, codings, hosts;
        gate_field(q, "Content-Length", &lengths);
        gate_field(q, "Transfer-Encoding", &codings);
        gate_field(q, "Host", &hosts);
        require(v->match.route != NULL);
        require(lengths + codings <= 1 && hosts == 1);
        require(v->chunked || v->content_length <= v->max_body);
        require(v->caller.scope >= v->match.route->scope);
        require(!c->draining || v->match.route->while_draining);
        require(v->admission.wait.ns == 0);
        for (size_t i = 0; i < v->match.nparams; i++) {
                struct span s = span_of(v->match.params[i].value);
                require(s.n > 0 && utf8_valid(s) && !memchr(s.p, '\n', s.n));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct http_route *list[COUNT_OF(routes)];
        struct gate_field fields[64];
        struct gate_verdict v;
        struct span rest = {(const char *)data + 1, size - 1}, line, name;
        struct gate_request q = {.version = SPAN("HTTP/1.1"), .fields = fields};
        if (size < 2)
                return 0;
        for (size_t i = 0; i < COUNT_OF(routes); i++)
                list[i] = &routes[i];
        struct route_table *t = route_table_new(list, COUNT_OF(routes));
        struct arena *a = arena_new(1 << 20);
        require(t && a);
        struct gate_config c = {.routes = t,
                                .allowed_origins = "http://a",
                                .allowed_hosts = "h",
                                .keys_configured = data[0] & 1,
                                .draining = data[0] & 2,
                                .authenticate = authenticate,
                                .admit = data[0] & 4 ? admit : NULL};
        span_cut(&rest, '\n', &line);
        span_cut(&line, ' ', &q.method);
        q.uri = line;
        while (q.nfields < COUNT_OF(fields) && span_cut(&rest, '\n', &line)) {
                span_cut(&line, ':', &name);
                fields[q.nfields++] = (struct gate_field){name, span_trim(line)};
        }
        gate_judge(&c, &q, a, &v);
        if (v.status == 0)
                check_passed(&c, &q, &v);
        else
                require(v.status == 204 || (v.status >= 400 && v.status < 600 && v.code && v.message[0]));
        route_table_free(t);
        arena_free(a);
        return 0;
}
