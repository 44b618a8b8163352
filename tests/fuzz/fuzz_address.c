/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TRUSTED_PROXIES in the first line, X-Forwarded-For in the second, seen by a
 * proxy at 10.0.0.1. Nobody outside the networks is believed, and what is found
 * reads back as what it prints.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "http/address.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
        if (!ok)
                abort();
}

static void check_text(const struct in6_addr *ip)
{
        char text[INET6_ADDRSTRLEN];
        struct in6_addr again;
        const char *s = address_format(ip, text);
        require(address_parse(span_of(s), strchr(s, ':') ? AF_INET6 : AF_INET, &again));
        require(memcmp(&again, ip, sizeof again) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct span value = {(const char *)data, size}, line;
        struct networks *n = NULL;
        struct in6_addr peer, at;
        struct err e;
        if (!span_cut(&value, '\n', &line))
                return 0;
        char *list = mem_alloc(line.n + 1);
        require(list && address_parse(SPAN("10.0.0.1"), AF_INET, &peer));
        memcpy(list, line.p, line.n);
        list[line.n] = '\0';
        if (networks_parse("NETWORKS", list, &n, &e) == 0) {
                at = peer;
                if (address_walk_back(n, value, &at)) {
                        require(networks_have(n, &peer) || memcmp(&at, &peer, sizeof at) == 0);
                        check_text(&at);
                }
        } else {
                require(e.code == ERR_INVALID && e.msg[0]);
        }
        networks_free(n);
        mem_free(list);
        return 0;
}
