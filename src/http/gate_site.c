/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which web pages may send requests. Without keys this is the only wall between a foreign page and the files: the
 * Host rule stops a name rebound to this address, the Origin rule stops a page that knows the address. Both compare
 * text only.
 */
#include <string.h>
#include "http/gate.h"

struct authority {
        struct span host; /* brackets kept */
        uint64_t port;    /* 0: not given */
};

static bool host_char(char c)
{
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
               c == '_';
}

static bool is_ip(struct span host)
{
        struct in6_addr address;
        bool v6 = host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']';
        if (v6)
                host = (struct span){host.p + 1, host.n - 2};
        return address_parse(host, v6 ? AF_INET6 : AF_INET, &address);
}

static bool parse_authority(struct span s, struct authority *out)
{
        size_t n = 0;
        if (s.n > 0 && s.p[0] == '[') {
                const char *end = memchr(s.p, ']', s.n);
                n = end ? (size_t)(end - s.p) + 1 : 0;
        } else {
                while (n < s.n && host_char(s.p[n]))
                        n++;
        }
        *out = (struct authority){{s.p, n}, 0};
        if (n == 0 || n > 255 || (s.p[0] == '[' && !is_ip(out->host)))
                return false;
        if (n == s.n)
                return true;
        struct span port = {s.p + n + 1, s.n - n - 1};
        return s.p[n] == ':' && span_u64(port, &out->port) && out->port > 0 && out->port < 65536;
}

static bool same_name(struct span a, struct span b)
{
        return a.n == b.n && strncasecmp(a.p, b.p, a.n) == 0;
}

static bool in_list(const char *list, struct span wanted)
{
        struct span rest = span_of(list), item;
        while (span_cut(&rest, ',', &item)) {
                item = span_trim(item);
                if (item.n > 0 && same_name(item, wanted))
                        return true;
        }
        return false;
}

/* The scheme is not compared, since a proxy may terminate TLS; it only determines the default port. */
static bool same_origin(struct span origin, struct span host_field)
{
        static const struct {
                struct span prefix;
                uint64_t port;
        } schemes[] = {{{"http://", 7}, 80}, {{"https://", 8}, 443}};
        for (size_t i = 0; i < COUNT_OF(schemes); i++) {
                size_t n = schemes[i].prefix.n;
                struct authority o, h;
                if (origin.n <= n || strncasecmp(origin.p, schemes[i].prefix.p, n) != 0)
                        continue;
                if (!parse_authority((struct span){origin.p + n, origin.n - n}, &o) || !parse_authority(host_field, &h))
                        return false;
                uint64_t theirs = o.port ? o.port : schemes[i].port;
                uint64_t ours = h.port ? h.port : schemes[i].port;
                return theirs == ours && same_name(o.host, h.host);
        }
        return false;
}

bool gate_check_host(const struct gate_request *q, struct gate_verdict *v)
{
        size_t count;
        const struct gate_field *host = gate_field(q, "Host", &count);
        struct authority parsed;
        if (count > 1) {
                v->close = true;
                return gate_refuse(v, 400, "bad_host", "the request has %zu Host headers", count);
        }
        if (!host && span_eq(q->version, "HTTP/1.0"))
                return true;
        if (!host || !parse_authority(host->value, &parsed))
                return gate_refuse(v, 400, "bad_host", "the Host header is not a host name with an optional port");
        return true;
}

static bool check_host_name(const struct gate_config *c, const struct gate_request *q, struct gate_verdict *v)
{
        const struct gate_field *host = gate_field(q, "Host", NULL);
        struct authority parsed = {0};
        if (host && parse_authority(host->value, &parsed) &&
            (is_ip(parsed.host) || span_ieq(parsed.host, "localhost") || in_list(c->allowed_hosts, parsed.host) ||
             in_list(c->allowed_hosts, host->value)))
                return true;
        return gate_refuse(
                v, 403, "host_not_allowed",
                "without an API key the host \"%.*s\" must be an IP address, localhost or listed in ALLOWED_HOSTS",
                (int)(parsed.host.n < 64 ? parsed.host.n : 64), parsed.host.n ? parsed.host.p : "");
}

bool gate_check_origin(const struct gate_request *q, struct gate_verdict *v)
{
        size_t count;
        const struct gate_field *origin = gate_field(q, "Origin", &count);
        const struct gate_field *host = gate_field(q, "Host", NULL);
        const struct gate_field *site = gate_field(q, "Sec-Fetch-Site", NULL);
        if (v->cors_origin)
                return true; /* browsers call an allowed page cross-site too */
        if (count > 1 || (origin && (!host || !same_origin(origin->value, host->value))))
                return gate_refuse(v, 403, "origin_not_allowed",
                                   "a page of another origin may not ask; list it in ALLOWED_ORIGINS to permit it");
        /* images, forms and links send no Origin; "same-site" is another port of this host, another's program */
        if (site && !span_ieq(site->value, "same-origin") && !span_ieq(site->value, "none"))
                return gate_refuse(v, 403, "origin_not_allowed", "a page of another origin may not ask");
        return true;
}

bool gate_check_site(const struct gate_config *c, const struct gate_request *q, struct arena *a, struct gate_verdict *v)
{
        size_t count;
        const struct gate_field *origin = gate_field(q, "Origin", &count);
        if (count == 1 && in_list(c->allowed_origins, origin->value)) {
                v->cors_origin = arena_strndup(a, origin->value);
                if (!v->cors_origin)
                        return gate_refuse(v, 503, "out_of_memory", "out of memory");
        }
        const struct uri *u = &v->uri;
        bool api = u->nsegments >= 2 && strcmp(u->segments[0], "api") == 0 && strcmp(u->segments[1], "v1") == 0;
        bool guarded = api || (v->match.route && v->match.route->scope != HTTP_OPEN);
        if (!guarded || gate_keys_required(c))
                return true;
        return check_host_name(c, q, v) && gate_check_origin(q, v);
}
