/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matching of decoded path segments with templates: a linear walk, since a
 * hundred short comparisons cost less than one system call. Templates are
 * written by us, so a bad one asserts.
 */
#include <string.h>
#include "http/route.h"

struct template
{
        const struct http_route *route;
        struct span segments[URI_SEGMENTS]; /* a parameter's span is its name, without braces */
        uint32_t params;                    /* bit i: segment i is a parameter */
        size_t n;
};

struct route_table {
        struct template *items;
        size_t n;
};

static const char *const method_names[HTTP_METHODS] = {"GET", "POST", "PUT", "PATCH", "DELETE"};

const char *http_method_name(enum http_method m)
{
        assert(m < HTTP_METHODS);
        return method_names[m];
}

static void compile_template(struct template *t, const struct http_route *route)
{
        assert(route->path[0] == '/');
        t->route = route;
        const char *p = route->path;
        while (p) {
                p++; /* the slash */
                const char *slash = strchr(p, '/');
                struct span s = {p, slash ? (size_t)(slash - p) : strlen(p)};
                assert(t->n < URI_SEGMENTS);
                if (s.n > 0 && s.p[0] == '{') {
                        assert(s.n > 2 && s.p[s.n - 1] == '}');
                        s = (struct span){s.p + 1, s.n - 2};
                        t->params |= 1u << t->n;
                }
                t->segments[t->n++] = s;
                p = slash;
        }
}

struct route_table *route_table_new(const struct http_route *const *routes, size_t n)
{
        struct route_table *t = mem_calloc(1, sizeof *t);
        if (!t)
                return NULL;
        t->items = mem_calloc(n ? n : 1, sizeof *t->items);
        if (!t->items) {
                mem_free(t);
                return NULL;
        }
        for (; t->n < n; t->n++)
                compile_template(&t->items[t->n], routes[t->n]);
        return t;
}

void route_table_free(struct route_table *t)
{
        if (!t)
                return;
        mem_free(t->items);
        mem_free(t);
}

static bool template_fits(const struct template *t, const struct uri *u)
{
        if (t->n != u->nsegments)
                return false;
        for (size_t i = 0; i < t->n; i++) {
                bool param = t->params >> i & 1;
                if (param ? u->segments[i][0] == '\0' : !span_eq(t->segments[i], u->segments[i]))
                        return false;
        }
        return true;
}

/* True when a is literal at the first segment where only one of them is. */
static bool more_literal(const struct template *a, const struct template *b)
{
        uint32_t differ = a->params ^ b->params;
        uint32_t first = differ & (~differ + 1);
        return differ && !(a->params & first);
}

static int fill_params(const struct template *t, const struct uri *u, struct arena *a, struct route_match *out)
{
        out->params = arena_array(a, t->n, sizeof *out->params);
        if (!out->params)
                return -1;
        for (size_t i = 0; i < t->n; i++) {
                if (!(t->params >> i & 1))
                        continue;
                struct uri_arg *p = &out->params[out->nparams++];
                p->name = arena_strndup(a, t->segments[i]);
                p->value = u->segments[i];
                if (!p->name)
                        return -1;
        }
        return 0;
}

int route_find(const struct route_table *t, const struct uri *u, enum http_method method, struct arena *a,
               struct route_match *out)
{
        *out = (struct route_match){0};
        const struct template *best = NULL;
        for (size_t i = 0; i < t->n; i++) {
                const struct template *c = &t->items[i];
                if (!template_fits(c, u))
                        continue;
                out->methods |= 1u << c->route->method;
                if (c->route->method == method && (!best || more_literal(c, best)))
                        best = c;
        }
        if (!best)
                return 0;
        out->route = best->route;
        return fill_params(best, u, a, out);
}

const char *route_allow(unsigned methods, struct arena *a)
{
        struct buf b;
        buf_init(&b, 64);
        for (unsigned m = 0; m < HTTP_METHODS; m++) {
                if (methods >> m & 1)
                        buf_printf(&b, "%s, ", method_names[m]);
                if (m == HTTP_GET && methods & 1)
                        buf_puts(&b, "HEAD, ");
        }
        buf_puts(&b, "OPTIONS");
        const char *out = buf_failed(&b) ? NULL : arena_strdup(a, buf_str(&b));
        buf_done(&b);
        return out;
}
