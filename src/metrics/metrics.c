/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counting must cost next to nothing: a cell is found without a lock in a
 * small hash table of chains that only ever grow, and changed by an atomic
 * operation. The lock is for adding cells.
 */
#include "metrics/metrics_priv.h"

#include <string.h>

#define CELLS_MAX 2000
#define KEY_MAX   512

const struct metric_info metric_table[METRIC_COUNT] = {
#define METRIC(id, name, type, labels, values, help) [METRIC_##id] = {name, METRIC_TYPE_##type, labels, values, help},
#include "metrics/metrics.def"
#undef METRIC
};

const double metric_bounds[BUCKET_COUNT - 1] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2,
                                                0.25,  0.5,    1,     1.5,  2.5,   5,    10,  30,   60};

static _Atomic(struct metric_table *) table;
static pthread_mutex_t init_mutex = PTHREAD_MUTEX_INITIALIZER;

static size_t metric_label_count(enum metric m)
{
        const char *labels = metric_table[m].labels;
        size_t n = labels[0] != '\0';

        for (; *labels; labels++)
                n += *labels == ',';
        return n;
}

/* Values joined by a byte no value may hold, so ("a", "bc") and ("ab", "c") differ. */
static bool join_values(enum metric m, const char *const *values, char key[KEY_MAX])
{
        size_t at = 0, count = 0;

        for (; values[count]; count++) {
                size_t n = strlen(values[count]);
                if (at + n + 2 > KEY_MAX)
                        return false;
                if (count > 0)
                        key[at++] = METRIC_SEPARATOR;
                memcpy(key + at, values[count], n);
                at += n;
        }
        key[at] = '\0';
        assert(count == metric_label_count(m));
        return true;
}

static uint32_t hash_key(const char *key)
{
        uint32_t h = 2166136261u; /* FNV-1a */

        for (; *key; key++)
                h = (h ^ (unsigned char)*key) * 16777619u;
        return h ^ h >> 16;
}

static struct cell *find_cell(struct series *s, const char *key, uint32_t h)
{
        struct cell *c = atomic_load_explicit(&s->chains[h % CHAIN_COUNT], memory_order_acquire);

        while (c && strcmp(c->key, key) != 0)
                c = c->next_in_chain;
        return c;
}

/* A cell is complete before a store-release makes it visible. Called with the lock. */
static struct cell *add_cell(struct series *s, enum metric m, const char *key, uint32_t h)
{
        _Atomic(struct cell *) *chain = &s->chains[h % CHAIN_COUNT];
        bool histogram = metric_table[m].type == METRIC_TYPE_HISTOGRAM;
        size_t n = strlen(key) + 1;
        struct cell *c;

        if (s->count >= CELLS_MAX)
                return NULL;
        c = mem_calloc(1, sizeof *c + (histogram ? BUCKET_COUNT * sizeof c->buckets[0] : 0));
        if (!c)
                return NULL;
        c->key = mem_alloc(n);
        if (!c->key) {
                mem_free(c);
                return NULL;
        }
        memcpy(c->key, key, n);
        c->next_in_chain = atomic_load_explicit(chain, memory_order_relaxed);
        atomic_store_explicit(chain, c, memory_order_release);
        atomic_store_explicit(s->last ? &s->last->next : &s->first, c, memory_order_release);
        s->last = c;
        s->count++;
        return c;
}

static struct cell *cell_of(enum metric m, const char *const *values, bool create)
{
        struct metric_table *t = atomic_load_explicit(&table, memory_order_acquire);
        char key[KEY_MAX];
        struct cell *c;
        uint32_t h;

        if (!t || !join_values(m, values, key))
                return NULL;
        h = hash_key(key);
        c = find_cell(&t->series[m], key, h);
        if (c || !create)
                return c;
        lock_take(&t->lock);
        c = find_cell(&t->series[m], key, h);
        if (!c)
                c = add_cell(&t->series[m], m, key, h);
        lock_drop(&t->lock);
        return c;
}

static double to_double(uint64_t bits)
{
        double v;

        memcpy(&v, &bits, sizeof v);
        return v;
}

static uint64_t to_bits(double v)
{
        uint64_t bits;

        memcpy(&bits, &v, sizeof bits);
        return bits;
}

double metric_cell_value(const struct cell *c)
{
        return to_double(atomic_load_explicit(&c->bits, memory_order_relaxed));
}

static void add_to(struct cell *c, double v)
{
        uint64_t old = atomic_load_explicit(&c->bits, memory_order_relaxed);

        while (!atomic_compare_exchange_weak_explicit(&c->bits, &old, to_bits(to_double(old) + v), memory_order_relaxed,
                                                      memory_order_relaxed))
                ;
}

void metrics_declare(enum metric m, const char *const *values)
{
        cell_of(m, values, true);
}

void metrics_add_(enum metric m, double v, const char *const *values)
{
        struct cell *c = cell_of(m, values, true);

        assert(metric_table[m].type != METRIC_TYPE_HISTOGRAM);
        assert(metric_table[m].type == METRIC_TYPE_GAUGE || v >= 0);
        if (c)
                add_to(c, v);
}

/* Counters too: the process's CPU time is counted by the kernel and only copied here. */
void metrics_set_(enum metric m, double v, const char *const *values)
{
        struct cell *c = cell_of(m, values, true);

        assert(metric_table[m].type != METRIC_TYPE_HISTOGRAM);
        if (c)
                atomic_store_explicit(&c->bits, to_bits(v), memory_order_relaxed);
}

void metrics_observe_(enum metric m, double seconds, const char *const *values)
{
        struct cell *c = cell_of(m, values, true);
        size_t i = 0;

        assert(metric_table[m].type == METRIC_TYPE_HISTOGRAM);
        if (!c)
                return;
        while (i < BUCKET_COUNT - 1 && seconds > metric_bounds[i])
                i++;
        atomic_fetch_add_explicit(&c->buckets[i], 1, memory_order_relaxed);
        add_to(c, seconds);
}

double metrics_get_(enum metric m, const char *const *values)
{
        struct cell *c = cell_of(m, values, false);
        uint64_t n = 0;

        if (!c)
                return 0;
        if (metric_table[m].type != METRIC_TYPE_HISTOGRAM)
                return metric_cell_value(c);
        for (size_t i = 0; i < BUCKET_COUNT; i++)
                n += atomic_load_explicit(&c->buckets[i], memory_order_relaxed);
        return (double)n;
}

struct metric_table *metrics_current(void)
{
        return atomic_load_explicit(&table, memory_order_acquire);
}

/* ---- the table's life ---------------------------------------------------------- */

/* The k-th piece of text between separators. */
static struct span nth_piece(const char *text, char sep, size_t k)
{
        struct span rest = span_of(text), part = {"", 0};

        while (span_cut(&rest, sep, &part) && k-- > 0)
                ;
        return part;
}

static size_t count_pieces(struct span text, char sep)
{
        size_t n = 1;

        for (size_t i = 0; i < text.n; i++)
                n += text.p[i] == sep;
        return n;
}

/* Combination number `which` of the fixed values of m, counted like an odometer. */
static struct cell *declare_nth(struct series *s, enum metric m, size_t which)
{
        struct buf key;
        struct cell *c = NULL;

        buf_init(&key, KEY_MAX - 1);
        for (size_t label = 0; label < metric_label_count(m); label++) {
                struct span list = nth_piece(metric_table[m].values, ';', label), value = {"", 0};
                size_t n = count_pieces(list, ','), k = which % n;

                which /= n;
                while (span_cut(&list, ',', &value) && k-- > 0)
                        ;
                if (label > 0)
                        buf_putc(&key, METRIC_SEPARATOR);
                buf_put(&key, value.p, value.n);
        }
        if (!buf_failed(&key))
                c = add_cell(s, m, buf_str(&key), hash_key(buf_str(&key)));
        buf_done(&key);
        return c;
}

static int declare_fixed(struct series *s, enum metric m)
{
        size_t combinations = 1;

        if (strchr(metric_table[m].values, '*'))
                return 0;
        for (size_t label = 0; label < metric_label_count(m); label++)
                combinations *= count_pieces(nth_piece(metric_table[m].values, ';', label), ',');
        for (size_t i = 0; i < combinations; i++)
                if (!declare_nth(s, m, i))
                        return -1;
        return 0;
}

static void table_free(struct metric_table *t)
{
        for (size_t m = 0; m < METRIC_COUNT; m++) {
                struct cell *c = atomic_load(&t->series[m].first);
                while (c) {
                        struct cell *next = atomic_load(&c->next);
                        mem_free(c->key);
                        mem_free(c);
                        c = next;
                }
        }
        lock_done(&t->lock);
        mem_free(t);
}

static struct metric_table *table_new(void)
{
        struct metric_table *t = mem_calloc(1, sizeof *t);

        if (!t)
                return NULL;
        lock_init(&t->lock, "metrics", RANK_METRICS);
        for (int m = 0; m < METRIC_COUNT; m++) {
                if (declare_fixed(&t->series[m], (enum metric)m)) {
                        table_free(t);
                        return NULL;
                }
        }
        return t;
}

int metrics_init(void)
{
        struct metric_table *t;

        pthread_mutex_lock(&init_mutex);
        t = atomic_load(&table);
        if (!t) {
                t = table_new();
                atomic_store_explicit(&table, t, memory_order_release);
        }
        pthread_mutex_unlock(&init_mutex);
        return t ? 0 : -1;
}

void metrics_done(void)
{
        struct metric_table *t = atomic_exchange(&table, NULL);

        if (t)
                table_free(t);
}
