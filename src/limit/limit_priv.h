/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The buckets kept in this process: a table of fixed size, since an attacker may come from any number of addresses.
 * Each client may take one of eight places. A new one displaces the client whose buckets are fullest: forgetting that
 * one forgives the least, and nothing at all once its buckets are full.
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
/* Fills in ahead for every charge and changes nothing; true when all of them could be made. */
bool limit_table_look(struct limit_table *t, const char *client, struct limit_charge *charges, size_t n,
                      struct mono now);
/*
 * Makes all charges, in their ahead and in the table, if all of them can be made or they are owed; false: none was
 * made.
 */
bool limit_table_spend(struct limit_table *t, const char *client, struct limit_charge *charges, size_t n, bool owed,
                       struct mono now);
/* Takes over the state of the shared buckets. A bucket's debt known here never shrinks by it. */
void limit_table_learn(struct limit_table *t, const char *client, const struct limit_charge *charges, size_t n,
                       struct mono now);

#endif
