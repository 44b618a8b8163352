/* SPDX-License-Identifier: Apache-2.0 */
/* Placing is serialised per owner: two owners may share a lock, which costs waiting only. */
#include "organise_priv.h"

static uint64_t hash_owner(const char *s)
{
        uint64_t h = 1469598103934665603u;
        for (; *s; s++)
                h = (h ^ (unsigned char)*s) * 1099511628211u;
        return h;
}

struct lock *owner_lock(struct organise *o, const char *owner)
{
        uint64_t h = hash_owner(owner);
        return &o->owners[(h ^ h >> 32) % OWNER_STRIPES];
}
