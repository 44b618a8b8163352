/* SPDX-License-Identifier: Apache-2.0 */
/* See address.h. inet_pton() is the judge of what an address is. */
#include "http/address.h"
#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#define MAPPED_BITS 96

struct network {
        struct in6_addr ip;
        unsigned bits;
};

struct networks {
        struct network *items;
        size_t n, cap;
};

static struct in6_addr map_ipv4(const void *four)
{
        struct in6_addr ip = {0};
        ip.s6_addr[10] = ip.s6_addr[11] = 0xff;
        memcpy(ip.s6_addr + 12, four, 4);
        return ip;
}

struct in6_addr address_of(const struct sockaddr *from)
{
        if (from && from->sa_family == AF_INET6)
                return ((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
        if (from && from->sa_family == AF_INET)
                return map_ipv4(&((const struct sockaddr_in *)(const void *)from)->sin_addr);
        return in6addr_any;
}

bool address_parse(struct span s, int family, struct in6_addr *out)
{
        char text[INET6_ADDRSTRLEN];
        struct in_addr four;
        if (s.n == 0 || s.n >= sizeof text || memchr(s.p, '\0', s.n))
                return false;
        memcpy(text, s.p, s.n);
        text[s.n] = '\0';
        if (family == AF_INET6)
                return inet_pton(AF_INET6, text, out) == 1;
        if (inet_pton(AF_INET, text, &four) != 1)
                return false;
        *out = map_ipv4(&four);
        return true;
}

const char *address_format(const struct in6_addr *ip, char out[INET6_ADDRSTRLEN])
{
        bool four = IN6_IS_ADDR_V4MAPPED(ip);
        inet_ntop(four ? AF_INET : AF_INET6, four ? (const void *)(ip->s6_addr + 12) : ip, out, INET6_ADDRSTRLEN);
        return out;
}

/* ---- networks ------------------------------------------------------------------ */

static bool parse_network(struct span s, struct network *out)
{
        struct span address;
        uint64_t bits;
        bool six = memchr(s.p, ':', s.n) != NULL;
        unsigned most = six ? 128 : 32;
        bool whole = memchr(s.p, '/', s.n) == NULL;
        span_cut(&s, '/', &address);
        if (!address_parse(address, six ? AF_INET6 : AF_INET, &out->ip))
                return false;
        if (whole)
                bits = most;
        else if (s.n == 0 || !span_u64(s, &bits) || bits > most)
                return false;
        out->bits = (unsigned)bits + (six ? 0 : MAPPED_BITS);
        return true;
}

int networks_parse(const char *setting, const char *list, struct networks **out, struct err *e)
{
        struct span rest = span_of(list), item;
        struct networks *n = mem_calloc(1, sizeof *n);
        if (!n)
                return err_oom(e);
        while (span_cut(&rest, ',', &item)) {
                item = span_trim(item);
                if (item.n == 0)
                        continue;
                if (mem_grow((void **)&n->items, &n->cap, n->n + 1, sizeof *n->items)) {
                        networks_free(n);
                        return err_oom(e);
                }
                if (!parse_network(item, &n->items[n->n++])) {
                        networks_free(n);
                        return err_set(e, ERR_INVALID,
                                       "%s: \"%.*s\" is no network; allowed are addresses and CIDR blocks such as "
                                       "10.0.0.0/8 or fd00::/8, comma-separated",
                                       setting, (int)(item.n < 60 ? item.n : 60), item.p);
                }
        }
        *out = n;
        return 0;
}

void networks_free(struct networks *n)
{
        if (!n)
                return;
        mem_free(n->items);
        mem_free(n);
}

static bool network_holds(const struct network *n, const struct in6_addr *ip)
{
        unsigned bytes = n->bits / 8, rest = n->bits % 8;
        return memcmp(n->ip.s6_addr, ip->s6_addr, bytes) == 0 &&
               (rest == 0 || (n->ip.s6_addr[bytes] ^ ip->s6_addr[bytes]) >> (8 - rest) == 0);
}

bool networks_have(const struct networks *n, const struct in6_addr *ip)
{
        for (size_t i = 0; n && i < n->n; i++) {
                if (network_holds(&n->items[i], ip))
                        return true;
        }
        return false;
}

/* ---- X-Forwarded-For ------------------------------------------------------------ */

/* "1.2.3.4", "1.2.3.4:80", "::1", "[::1]", "[::1]:80": proxies differ. */
static bool parse_entry(struct span s, struct in6_addr *out)
{
        struct span port = {0};
        uint64_t number;
        bool bracket = s.n > 0 && s.p[0] == '[';
        const char *end = s.n ? memchr(s.p, bracket ? ']' : ':', s.n) : NULL;
        if (!bracket && address_parse(s, AF_INET6, out))
                return true;
        if (end) {
                port = (struct span){end + bracket, s.n - (size_t)(end + bracket - s.p)};
                s.n = (size_t)(end - s.p);
        } else if (bracket) {
                return false;
        }
        if (port.n > 0 && (port.p[0] != ':' || port.n == 1 ||
                           !span_u64((struct span){port.p + 1, port.n - 1}, &number) || number > 65535))
                return false;
        if (bracket)
                s = (struct span){s.p + 1, s.n - 1};
        return address_parse(s, bracket ? AF_INET6 : AF_INET, out);
}

bool address_walk_back(const struct networks *proxies, struct span value, struct in6_addr *at)
{
        while (value.n > 0 && networks_have(proxies, at)) {
                const char *comma = memrchr(value.p, ',', value.n);
                size_t from = comma ? (size_t)(comma - value.p) + 1 : 0;
                if (!parse_entry(span_trim((struct span){value.p + from, value.n - from}), at))
                        return false;
                value.n = comma ? from - 1 : 0;
        }
        return true;
}
