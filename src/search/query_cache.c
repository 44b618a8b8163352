/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vectors of the last queries: embedding the text takes most of a search's time, and people page, sort and filter
 * with the same words. A few hundred entries are found by comparing their hashes one by one, which costs less than
 * maintaining a list and a table. Keys contain the model id, so a change of model never answers with an old vector.
 */
#include "search_priv.h"

#include <string.h>

#define TEXT_MAX 512

struct entry {
        uint64_t hash, used; /* used 0: free */
        char *key;
        size_t nkey;
        float *vector;
};

struct query_cache {
        struct lock lock;
        size_t n, dim;
        uint64_t clock;
        struct entry entries[];
};

static uint64_t hash_bytes(uint64_t h, const char *p, size_t n)
{
        for (size_t i = 0; i < n; i++)
                h = (h ^ (unsigned char)p[i]) * 1099511628211u;
        return h;
}

static uint64_t hash_key(const char *model_id, struct span text)
{
        uint64_t h = hash_bytes(1469598103934665603u, model_id, strlen(model_id) + 1);
        return hash_bytes(h, text.p, text.n);
}

/* model id, NUL, text */
static bool key_is(const struct entry *x, const char *model_id, struct span text)
{
        size_t nid = strlen(model_id) + 1;
        return x->nkey == nid + text.n && !memcmp(x->key, model_id, nid) && !memcmp(x->key + nid, text.p, text.n);
}

static struct entry *entry_find(struct query_cache *c, const char *model_id, struct span text)
{
        uint64_t h = hash_key(model_id, text);
        for (size_t i = 0; i < c->n; i++)
                if (c->entries[i].used && c->entries[i].hash == h && key_is(&c->entries[i], model_id, text))
                        return &c->entries[i];
        return NULL;
}

int query_cache_open(size_t entries, size_t dim, struct query_cache **out, struct err *e)
{
        struct query_cache *c = mem_calloc(1, sizeof *c + entries * sizeof *c->entries);
        if (!c)
                return err_oom(e);
        lock_init(&c->lock, "query cache", RANK_SEARCH);
        c->n = entries;
        c->dim = dim;
        *out = c;
        return 0;
}

void query_cache_close(struct query_cache *c)
{
        if (!c)
                return;
        for (size_t i = 0; i < c->n; i++) {
                mem_free(c->entries[i].key);
                mem_free(c->entries[i].vector);
        }
        lock_done(&c->lock);
        mem_free(c);
}

bool query_cache_get(struct query_cache *c, const char *model_id, struct span text, float *out)
{
        lock_take(&c->lock);
        struct entry *x = entry_find(c, model_id, text);
        if (x) {
                x->used = ++c->clock;
                memcpy(out, x->vector, c->dim * sizeof *out);
        }
        lock_drop(&c->lock);
        return x != NULL;
}

void query_cache_put(struct query_cache *c, const char *model_id, struct span text, const float *v)
{
        size_t nid = strlen(model_id) + 1;
        if (text.n > TEXT_MAX || !c->n)
                return;
        char *key = mem_alloc(nid + text.n);
        float *vector = mem_alloc(c->dim * sizeof *vector);
        if (!key || !vector) {
                mem_free(key);
                mem_free(vector);
                return;
        }
        memcpy(key, model_id, nid);
        memcpy(key + nid, text.p, text.n);
        memcpy(vector, v, c->dim * sizeof *vector);
        lock_take(&c->lock);
        struct entry *x = entry_find(c, model_id, text);
        for (size_t i = 0; i < c->n && !x; i++)
                if (!c->entries[i].used)
                        x = &c->entries[i];
        if (!x) {
                x = &c->entries[0];
                for (size_t i = 1; i < c->n; i++)
                        if (c->entries[i].used < x->used)
                                x = &c->entries[i];
        }
        struct entry old = *x;
        *x = (struct entry){hash_key(model_id, text), ++c->clock, key, nid + text.n, vector};
        lock_drop(&c->lock);
        mem_free(old.key);
        mem_free(old.vector);
}
