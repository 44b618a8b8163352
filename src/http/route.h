/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The route table, compiled once. When several templates fit a path, the one
 * whose first difference is a literal wins: /clusters/statistics before
 * /clusters/{id}, whatever their order in the table.
 */
#ifndef FA_HTTP_ROUTE_H
#define FA_HTTP_ROUTE_H

#include "http/http.h"
#include "http/uri.h"

struct route_table;

struct route_match {
        const struct http_route *route; /* NULL: no route has this path and method */
        unsigned methods;               /* bit per http_method that the path has; 0 = unknown path */
        struct uri_arg *params;         /* of route; values point into the uri */
        size_t nparams;
};

struct route_table *route_table_new(const struct http_route *const *routes, size_t n) MUST_CHECK; /* NULL on OOM */
void route_table_free(struct route_table *t);
/* method HTTP_METHODS asks for the methods only. -1 on OOM. */
int route_find(const struct route_table *t, const struct uri *u, enum http_method method, struct arena *a,
               struct route_match *out) MUST_CHECK;
/* "GET, HEAD, POST, OPTIONS" for a mask. */
const char *route_allow(unsigned methods, struct arena *a) MUST_CHECK;

#endif
