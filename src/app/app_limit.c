/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits: which client a request counts against, and the settings in the form that limit takes. */
#include <stdio.h>

#include "app/app_priv.h"
#include "queue/queue_spend.h"

static enum limit_outcome share_charges(void *ctx, struct limit_charge *charges, size_t n, bool owed)
{
        return queue_spend(((struct app *)ctx)->queue, charges, n, owed);
}

static uint64_t burst_of(const struct config *c)
{
        uint64_t twice = (uint64_t)c->rate_limit_rps * 2;
        return c->rate_limit_burst ? (uint64_t)c->rate_limit_burst : twice > 10 ? twice : 10;
}

int app_limit_open(struct app *a, struct err *e)
{
        const struct config *c = a->c;
        uint64_t bytes = (uint64_t)c->rate_limit_bytes;
        struct limit_opts lo = {.rates = {[LIMIT_REQUESTS] = {(uint64_t)c->rate_limit_rps, burst_of(c)},
                                          [LIMIT_BYTES] = {bytes, bytes * 60}},
                                .share = share_charges,
                                .ctx = a};
        if (!c->rate_limit_rps && !c->rate_limit_bytes)
                return 0;
        return limit_open(&lo, &a->limit, e);
}

/*
 * Clients with a valid key are identified by the key, wherever they use it; the others by IP address (/64 for IPv6,
 * since one host may use all addresses of its network).
 */
static void name_client(const struct http_visitor *who, char *out, size_t size)
{
        const uint8_t *b = who->address.s6_addr;
        if (*who->caller->key_id)
                snprintf(out, size, "key:%s", who->caller->key_id);
        else if (IN6_IS_ADDR_V4MAPPED(&who->address))
                snprintf(out, size, "ip:%u.%u.%u.%u", b[12], b[13], b[14], b[15]);
        else
                snprintf(out, size, "ip:%x:%x:%x:%x::/64", b[0] << 8 | b[1], b[2] << 8 | b[3], b[4] << 8 | b[5],
                         b[6] << 8 | b[7]);
}

void app_admit(void *ctx, const struct http_visitor *who, uint64_t bytes, struct http_admission *out)
{
        struct app *a = ctx;
        struct limit_verdict v;
        char client[64];
        name_client(who, client, sizeof client);
        if (!out) {
                limit_owe(a->limit, client, bytes, mono_now());
                return;
        }
        limit_ask(a->limit, client, bytes, mono_now(), &v);
        *out = (struct http_admission){.left = v.left, .reset = v.full_in};
        if (a->c->rate_limit_rps)
                out->quota = burst_of(a->c);
        if (v.allowed)
                return;
        out->wait = v.wait;
        if (v.passed == LIMIT_REQUESTS)
                snprintf(out->limit, sizeof out->limit, "%lld requests a second (RATE_LIMIT_RPS)",
                         (long long)a->c->rate_limit_rps);
        else
                snprintf(out->limit, sizeof out->limit, "%lld bytes a second (RATE_LIMIT_BYTES)",
                         (long long)a->c->rate_limit_bytes);
}
