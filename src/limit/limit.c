/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decides between the buckets kept here and the shared ones. What is known here may refuse at once, since the shared
 * buckets can only be emptier; it may allow only when they cannot be reached. So a client that keeps asking costs no
 * round trips, and an instance whose Redis dies goes on from the last known state instead of from full buckets.
 */
#include "limit/limit_priv.h"

#include <stdio.h>

#define CLIENTS 65536

struct limit {
        struct limit_opts opts;
        struct limit_table table;
};

int limit_open(const struct limit_opts *opts, struct limit **out, struct err *e)
{
        struct limit *l = mem_calloc(1, sizeof *l);

        if (!l)
                return err_oom(e);
        l->opts = *opts;
        for (size_t k = 0; k < LIMIT_KINDS; k++)
                assert(opts->rates[k].per_second <= (uint64_t)1 << 40 &&
                       (opts->rates[k].burst > 0 || opts->rates[k].per_second == 0));
        if (limit_table_init(&l->table, opts->clients ? opts->clients : CLIENTS, e)) {
                mem_free(l);
                return -1;
        }
        *out = l;
        return 0;
}

void limit_close(struct limit *l)
{
        if (!l)
                return;
        limit_table_done(&l->table);
        mem_free(l);
}

/* Adds the charge for that amount, if there is a limit on it and anything to charge. */
static size_t add_charge(const struct limit *l, struct limit_charge *charges, size_t n, enum limit_kind kind,
                         const char *client, uint64_t amount)
{
        static const char *const names[LIMIT_KINDS] = {"requests", "bytes"};
        struct limit_rate r = l->opts.rates[kind];
        struct limit_charge *c = &charges[n];
        int len;

        if (r.per_second == 0 || amount == 0)
                return n;
        *c = (struct limit_charge){.kind = kind, .cost = limit_time(r, amount), .depth = limit_time(r, r.burst)};
        len = snprintf(c->bucket, sizeof c->bucket, "%s:%s", names[kind], client);
        assert(len > 0 && (size_t)len < sizeof c->bucket);
        return n + 1;
}

static bool spend_charges(struct limit *l, const char *client, struct limit_charge *charges, size_t n, bool owed,
                          struct mono now)
{
        enum limit_outcome o;

        if (!l->opts.share)
                return limit_table_spend(&l->table, client, charges, n, owed, now);
        if (!limit_table_look(&l->table, client, charges, n, now) && !owed)
                return false;
        o = l->opts.share(l->opts.ctx, charges, n, owed);
        if (o == LIMIT_UNREACHABLE)
                return limit_table_spend(&l->table, client, charges, n, owed, now);
        limit_table_learn(&l->table, client, charges, n, now);
        return o == LIMIT_SPENT;
}

static struct dur from_us(int64_t us)
{
        return (struct dur){us * 1000};
}

void limit_ask(struct limit *l, const char *client, uint64_t bytes, struct mono now, struct limit_verdict *out)
{
        struct limit_charge charges[LIMIT_KINDS];
        size_t n = add_charge(l, charges, 0, LIMIT_REQUESTS, client, 1);

        n = add_charge(l, charges, n, LIMIT_BYTES, client, bytes);
        *out = (struct limit_verdict){.allowed = n == 0 || spend_charges(l, client, charges, n, false, now)};
        for (size_t i = 0; i < n; i++) {
                const struct limit_charge *c = &charges[i];
                struct dur wait = from_us(limit_wait(c));
                if (!out->allowed && wait.ns > out->wait.ns) {
                        out->wait = wait;
                        out->passed = c->kind;
                }
                if (c->kind != LIMIT_REQUESTS)
                        continue;
                out->left = c->ahead < c->depth ? (uint64_t)((c->depth - c->ahead) / c->cost) : 0;
                out->full_in = from_us(c->ahead);
        }
}

void limit_owe(struct limit *l, const char *client, uint64_t bytes, struct mono now)
{
        struct limit_charge charge;

        if (add_charge(l, &charge, 0, LIMIT_BYTES, client, bytes) > 0)
                spend_charges(l, client, &charge, 1, true, now);
}
