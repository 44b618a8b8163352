/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open addressing with linear probing. The hash has a random seed: ids may come
 * from a client.
 */
#include "base/base.h"

#include <string.h>

struct slot {
        struct id key;
        uint32_t value;
        bool used;
};

struct idmap {
        struct slot *slots;
        size_t mask, count; /* mask + 1 slots, a power of two */
        uint64_t seed;
};

static uint64_t mix_bits(uint64_t x)
{
        x ^= x >> 32;
        x *= UINT64_C(0x9E3779B97F4A7C15);
        x ^= x >> 29;
        x *= UINT64_C(0xD6E8FEB86659FD93);
        return x ^ x >> 32;
}

static size_t home_slot(const struct idmap *m, struct id key)
{
        uint64_t half[2];

        memcpy(half, key.b, sizeof half);
        return (size_t)mix_bits(mix_bits(half[1] ^ m->seed) ^ half[0]) & m->mask;
}

struct idmap *idmap_new(void)
{
        struct idmap *m = mem_calloc(1, sizeof *m);

        if (!m)
                return NULL;
        m->mask = 15;
        m->seed = random_u64();
        m->slots = mem_calloc(m->mask + 1, sizeof *m->slots);
        if (!m->slots) {
                mem_free(m);
                return NULL;
        }
        return m;
}

void idmap_free(struct idmap *m)
{
        if (!m)
                return;
        mem_free(m->slots);
        mem_free(m);
}

/* The slot that holds key, or the free one where it belongs. */
static size_t find_slot(const struct idmap *m, struct id key)
{
        size_t i = home_slot(m, key);

        while (m->slots[i].used && !id_eq(m->slots[i].key, key))
                i = (i + 1) & m->mask;
        return i;
}

static int grow_table(struct idmap *m)
{
        struct slot *old = m->slots, *slots = mem_calloc((m->mask + 1) * 2, sizeof *slots);
        size_t n = m->mask + 1;

        if (!slots)
                return -1;
        m->slots = slots;
        m->mask = n * 2 - 1;
        for (size_t i = 0; i < n; i++)
                if (old[i].used)
                        m->slots[find_slot(m, old[i].key)] = old[i];
        mem_free(old);
        return 0;
}

int idmap_put(struct idmap *m, struct id key, uint32_t value)
{
        size_t i = find_slot(m, key);

        if (!m->slots[i].used) {
                if (m->count >= (m->mask + 1) / 3 * 2) {
                        if (grow_table(m))
                                return -1;
                        i = find_slot(m, key);
                }
                m->count++;
        }
        m->slots[i] = (struct slot){.key = key, .value = value, .used = true};
        return 0;
}

bool idmap_get(const struct idmap *m, struct id key, uint32_t *value)
{
        const struct slot *s = &m->slots[find_slot(m, key)];

        if (s->used && value)
                *value = s->value;
        return s->used;
}
