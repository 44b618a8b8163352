/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Addresses of clients and networks of proxies; text and bytes, no socket. An
 * IPv4 address is always held as its mapped IPv6 one, so there is one kind.
 */
#ifndef FA_HTTP_ADDRESS_H
#define FA_HTTP_ADDRESS_H

#include <netinet/in.h>
#include "base/base.h"

struct sockaddr;

struct in6_addr address_of(const struct sockaddr *from); /* "::" for NULL and other families */
/* True if the whole text is one address of that family: AF_INET or AF_INET6, the latter without brackets or zone. */
bool address_parse(struct span s, int family, struct in6_addr *out);
const char *address_format(const struct in6_addr *ip, char out[INET6_ADDRSTRLEN]);

struct networks;

/* Addresses and CIDR blocks, comma-separated; ERR_INVALID names setting and the entry that is neither. */
int networks_parse(const char *setting, const char *list, struct networks **out, struct err *e) MUST_CHECK;
void networks_free(struct networks *n);
bool networks_have(const struct networks *n, const struct in6_addr *ip); /* NULL has none */

/*
 * Reads one value of X-Forwarded-For from its right end. As long as *at is one of these proxies, its entry is
 * believed and becomes *at. False when an entry is no address. Entries further left are never read, since anybody may
 * have written them.
 */
bool address_walk_back(const struct networks *proxies, struct span value, struct in6_addr *at);

#endif
