/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limits: token buckets without a timer (the generic cell rate algorithm, ITU-T I.371). A bucket is one number,
 * the moment at which it will be full again; spending moves that moment into the future. The hard thing is that
 * instances share a limit although none may depend on what they share: each bucket is also kept here, and decides
 * alone when it must.
 */
#ifndef FA_LIMIT_H
#define FA_LIMIT_H

#include "base/base.h"

enum limit_kind { LIMIT_REQUESTS, LIMIT_BYTES, LIMIT_KINDS };

/* ---- one bucket: all in microseconds of its own refilling ---------------------- */

/* No bucket is farther than this from being full: even the heaviest client is served again after a day. */
#define LIMIT_MOST ((int64_t)86400 * 1000000)

struct limit_rate {
        uint64_t per_second; /* at most 2^40; 0: no limit */
        uint64_t burst;      /* what a full bucket holds */
};

/* How long the bucket needs to regain that amount: rounded down, from 1 to LIMIT_MOST; 0 for nothing. */
int64_t limit_time(struct limit_rate r, uint64_t amount);

#define LIMIT_BUCKET_LEN 96

/* What one spending takes from a bucket, and the state it leaves the bucket in. */
struct limit_charge {
        enum limit_kind kind;
        char bucket[LIMIT_BUCKET_LEN]; /* its name, the same in every instance */
        int64_t cost, depth;           /* of what is asked for, of a full bucket */
        int64_t ahead;                 /* out: until it is full again */
};

/*
 * How long until this charge may be made; 0 = now. A charge larger than a full bucket waits for a full bucket and
 * leaves a debt, which later charges wait for.
 */
int64_t limit_wait(const struct limit_charge *c);

/* ---- the limits of all clients -------------------------------------------------- */

enum limit_outcome { LIMIT_SPENT, LIMIT_REFUSED, LIMIT_UNREACHABLE };

/*
 * Spends from buckets that all instances share: either every charge or, unless they are owed, none if one of them has
 * to wait. Fills ahead with the state after spending, or with the present one. LIMIT_UNREACHABLE, without much delay,
 * when the buckets cannot be reached. Called by many threads.
 */
typedef enum limit_outcome limit_share_fn(void *ctx, struct limit_charge *charges, size_t n, bool owed);

struct limit_opts {
        struct limit_rate rates[LIMIT_KINDS];
        size_t clients;        /* places in the table; 0: 65,536 (2 MiB) */
        limit_share_fn *share; /* NULL: only this instance counts */
        void *ctx;
};

struct limit;

int limit_open(const struct limit_opts *opts, struct limit **out, struct err *e) MUST_CHECK;
void limit_close(struct limit *l); /* out may be NULL */

struct limit_verdict {
        bool allowed;
        enum limit_kind passed; /* refused: the limit that has to be waited for longest */
        struct dur wait;        /* refused: how long */
        uint64_t left;          /* requests that would be allowed now; 0 without that limit */
        struct dur full_in;     /* until the bucket of requests is full */
};

/* A request that will bring so many bytes. client: at most LIMIT_BUCKET_LEN - 16 characters. */
void limit_ask(struct limit *l, const char *client, uint64_t bytes, struct mono now, struct limit_verdict *out);
/*
 * Bytes that came without being announced: they are spent even when the bucket is empty, so that the next request
 * waits.
 */
void limit_owe(struct limit *l, const char *client, uint64_t bytes, struct mono now);

#endif
