/* SPDX-License-Identifier: Apache-2.0 */
/* The arithmetic of one bucket, in microseconds of its own refilling, wherever the bucket is kept. */
#include "limit/limit.h"

#define SECOND 1000000

int64_t limit_time(struct limit_rate r, uint64_t amount)
{
        uint64_t whole, rest, us;

        if (amount == 0)
                return 0;
        whole = amount / r.per_second;
        rest = amount % r.per_second;
        if (whole >= LIMIT_MOST / SECOND)
                return LIMIT_MOST;
        us = whole * SECOND + rest * SECOND / r.per_second;
        return us > 0 ? (int64_t)us : 1;
}

int64_t limit_wait(const struct limit_charge *c)
{
        int64_t needed = c->cost < c->depth ? c->cost : c->depth;
        int64_t wait = c->ahead + needed - c->depth;

        return wait > 0 ? wait : 0;
}
