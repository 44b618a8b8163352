/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buckets kept here: a table of fixed size, since an attacker may come from
 * any number of addresses. A new client takes the place of the one, of the
 * eight it may displace, whose buckets are fullest: what that forgives is the
 * least there is to forgive, and nothing once a bucket is full.
 */
#ifndef FA_LIMIT_PRIV_H
#define FA_LIMIT_PRIV_H

#include "limit/limit.h"

struct limit_client {
        uint8_t name[16];             /* keyed hash: nobody can choose whom to displace */
        int64_t full_at[LIMIT_KINDS]; /* microseconds of the monotonic clock */
};

#define LIMIT_WAYS    8
#define LIMIT_STRIPES 64

struct limit_table {
        struct limit_client *clients; /* sets of LIMIT_WAYS */
        size_t sets;                  /* a power of two */
        uint8_t secret[32];
        struct lock stripes[LIMIT_STRIPES];
};

int limit_table_init(struct limit_table *t, size_t clients, struct err *e) MUST_CHECK;
void limit_table_done(struct limit_table *t);
/* Fills ahead of every charge and changes nothing; true when all of them can be made. */
bool limit_table_look(struct limit_table *t, const char *client, struct limit_charge *charges, size_t n,
                      struct mono now);
/* Makes all charges, in ahead as in the table, when all of them can be made or they are owed; false: none was made. */
bool limit_table_spend(struct limit_table *t, const char *client, struct limit_charge *charges, size_t n, bool owed,
                       struct mono now);
/* Takes over what the shared buckets answered. What is known here never gets less. */
void limit_table_learn(struct limit_table *t, const char *client, const struct limit_charge *charges, size_t n,
                       struct mono now);

#endif
