/* SPDX-License-Identifier: Apache-2.0 */
/* See limit_priv.h. A set lies within one stripe, so one lock guards a look-up. */
#include "limit/limit_priv.h"

#include <string.h>

int limit_table_init(struct limit_table *t, size_t clients, struct err *e)
{
        t->sets = 1;
        while (t->sets * LIMIT_WAYS < clients)
                t->sets *= 2;
        t->clients = mem_calloc(t->sets * LIMIT_WAYS, sizeof *t->clients);
        if (!t->clients)
                return err_oom(e);
        random_bytes(t->secret, sizeof t->secret);
        for (size_t i = 0; i < LIMIT_STRIPES; i++)
                lock_init(&t->stripes[i], "limit", RANK_LIMIT);
        return 0;
}

void limit_table_done(struct limit_table *t)
{
        if (!t->clients)
                return;
        for (size_t i = 0; i < LIMIT_STRIPES; i++)
                lock_done(&t->stripes[i]);
        mem_free(t->clients);
}

/* The places a client may take, and the lock that guards them. */
struct place {
        uint8_t name[16];
        struct limit_client *set;
        struct lock *lock;
};

static struct place place_of(struct limit_table *t, const char *client)
{
        struct sha256 h = hmac_sha256((struct span){(const char *)t->secret, sizeof t->secret}, span_of(client));
        struct place p;
        uint64_t set;

        memcpy(p.name, h.b, sizeof p.name);
        memcpy(&set, h.b + sizeof p.name, sizeof set);
        set &= t->sets - 1;
        p.set = t->clients + set * LIMIT_WAYS;
        p.lock = &t->stripes[set % LIMIT_STRIPES];
        return p;
}

static int64_t latest_refill(const struct limit_client *c)
{
        int64_t at = 0;

        for (size_t k = 0; k < LIMIT_KINDS; k++)
                at = c->full_at[k] > at ? c->full_at[k] : at;
        return at;
}

static struct limit_client *find_client(const struct place *p)
{
        struct limit_client *fullest = p->set;

        lock_assert_held(p->lock);
        for (size_t i = 0; i < LIMIT_WAYS; i++) {
                struct limit_client *c = &p->set[i];
                if (memcmp(c->name, p->name, sizeof c->name) == 0)
                        return c;
                if (latest_refill(c) < latest_refill(fullest))
                        fullest = c;
        }
        *fullest = (struct limit_client){0};
        memcpy(fullest->name, p->name, sizeof fullest->name);
        return fullest;
}

static bool fill_ahead(const struct limit_client *c, struct limit_charge *charges, size_t n, int64_t now_us)
{
        bool room = true;

        for (size_t i = 0; i < n; i++) {
                int64_t ahead = c->full_at[charges[i].kind] - now_us;
                charges[i].ahead = ahead > 0 ? ahead : 0;
                room = room && limit_wait(&charges[i]) == 0;
        }
        return room;
}

bool limit_table_look(struct limit_table *t, const char *client, struct limit_charge *charges, size_t n,
                      struct mono now)
{
        struct place p = place_of(t, client);
        bool room;

        lock_take(p.lock);
        room = fill_ahead(find_client(&p), charges, n, now.ns / 1000);
        lock_drop(p.lock);
        return room;
}

bool limit_table_spend(struct limit_table *t, const char *client, struct limit_charge *charges, size_t n, bool owed,
                       struct mono now)
{
        struct place p = place_of(t, client);
        int64_t now_us = now.ns / 1000;
        struct limit_client *c;
        bool ok;

        lock_take(p.lock);
        c = find_client(&p);
        ok = fill_ahead(c, charges, n, now_us) || owed;
        for (size_t i = 0; i < n && ok; i++) {
                int64_t ahead = charges[i].ahead + charges[i].cost;
                charges[i].ahead = ahead < LIMIT_MOST ? ahead : LIMIT_MOST;
                c->full_at[charges[i].kind] = now_us + charges[i].ahead;
        }
        lock_drop(p.lock);
        return ok;
}

void limit_table_learn(struct limit_table *t, const char *client, const struct limit_charge *charges, size_t n,
                       struct mono now)
{
        struct place p = place_of(t, client);
        struct limit_client *c;

        lock_take(p.lock);
        c = find_client(&p);
        for (size_t i = 0; i < n; i++) {
                int64_t at = now.ns / 1000 + charges[i].ahead;
                if (c->full_at[charges[i].kind] < at)
                        c->full_at[charges[i].kind] = at;
        }
        lock_drop(p.lock);
}
