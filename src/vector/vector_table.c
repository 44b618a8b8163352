/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table behind vector search: rows of vectors and, beside them, the few
 * columns that filters need, as small numbers. A row is one part; those of one
 * asset are chained. Rows of dropped parts are used again.
 */
#include "vector/vector_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct table *table_new(uint32_t dim, int64_t model)
{
        struct table *t = mem_calloc(1, sizeof *t);

        if (!t)
                return NULL;
        t->dim = dim;
        t->model = model;
        t->nfolders = 1;
        t->vec = vec_index_new(dim);
        t->owner_of = idmap_new();
        t->folder_of = idmap_new();
        if (!t->vec || !t->owner_of || !t->folder_of ||
            mem_grow((void **)&t->folders, &t->folders_cap, 1, sizeof *t->folders) < 0) {
                table_free(t);
                return NULL;
        }
        t->folders[0] = (struct folder_slot){.unit = NULL};
        return t;
}

void table_free(struct table *t)
{
        if (!t)
                return;
        for (size_t i = 1; t->folders && i < t->nfolders; i++)
                mem_free(t->folders[i].unit);
        vec_index_free(t->vec);
        idmap_free(t->owner_of);
        idmap_free(t->folder_of);
        mem_free(t->keys);
        mem_free(t->names);
        mem_free(t->of_part.rows);
        mem_free(t->of_asset.rows);
        mem_free(t->free_rows);
        mem_free(t->folders);
        mem_free(t);
}

static uint32_t map_get(const struct row_map *m, int64_t n)
{
        return n >= 0 && (size_t)n < m->n ? m->rows[n] : NO_ROW;
}

static int map_set(struct row_map *m, int64_t n, uint32_t row)
{
        size_t old = m->n, want = (size_t)n + 1;
        uint32_t *p;

        if (want > old) {
                if (want < old + old / 2)
                        want = old + old / 2;
                if (want < 1024)
                        want = 1024;
                p = mem_realloc(m->rows, want * sizeof *p);
                if (!p)
                        return -1;
                for (size_t i = old; i < want; i++)
                        p[i] = NO_ROW;
                m->rows = p;
                m->n = want;
        }
        m->rows[n] = row;
        return 0;
}

uint32_t table_row(const struct table *t, int64_t part)
{
        return map_get(&t->of_part, part);
}

uint32_t table_first(const struct table *t, int64_t asset)
{
        return map_get(&t->of_asset, asset);
}

int table_link(struct table *t, int64_t part, uint32_t row)
{
        return map_set(&t->of_part, part, row);
}

/* A hash nobody can aim at stands for the name: two owners never share a number. */
static struct id owner_key(const char *owner)
{
        struct sha256 h = sha256_of(owner, strlen(owner));
        struct id key;

        memcpy(key.b, h.b, sizeof key.b);
        return key;
}

uint32_t table_owner(struct table *t, const char *owner, bool make)
{
        struct id key;
        uint32_t number;

        if (make && t->last_owner[0] && strcmp(owner, t->last_owner) == 0)
                return t->last_owner_number;
        key = owner_key(owner);
        if (!idmap_get(t->owner_of, key, &number)) {
                if (!make || idmap_put(t->owner_of, key, t->owners) < 0)
                        return NO_ROW;
                number = t->owners++;
        }
        if (make) {
                snprintf(t->last_owner, sizeof t->last_owner, "%s", owner);
                t->last_owner_number = number;
        }
        return number;
}

uint32_t table_folder(struct table *t, struct id id, bool make)
{
        uint32_t number;

        if (id_is_nil(id))
                return 0;
        if (idmap_get(t->folder_of, id, &number))
                return number;
        if (!make || mem_grow((void **)&t->folders, &t->folders_cap, t->nfolders + 1, sizeof *t->folders) < 0 ||
            idmap_put(t->folder_of, id, (uint32_t)t->nfolders) < 0)
                return NO_ROW;
        t->folders[t->nfolders] = (struct folder_slot){.id = id, .owner = NO_ROW};
        return (uint32_t)t->nfolders++;
}

int table_reserve(struct table *t, size_t rows)
{
        if (mem_grow((void **)&t->keys, &t->keys_cap, rows, sizeof *t->keys) < 0 ||
            mem_grow((void **)&t->names, &t->names_cap, rows, sizeof *t->names) < 0)
                return -1;
        for (size_t i = t->rows; i < rows; i++) {
                t->keys[i] = (struct row_key){.live = 0};
                t->names[i] = (struct row_name){.next = NO_ROW};
        }
        if (rows > t->rows)
                t->rows = rows;
        return 0;
}

int table_set_key(struct table *t, uint32_t row, const struct entry *e)
{
        uint32_t owner = table_owner(t, e->owner, true), folder = table_folder(t, e->folder, true);
        struct row_key *k = &t->keys[row];

        if (owner == NO_ROW || folder == NO_ROW)
                return -1;
        *k = (struct row_key){
                .owner = owner, .folder = folder, .kind = (uint8_t)e->kind, .live = !e->trashed, .part = k->part};
        return 0;
}

/* The row into its asset's chain, and what does not change of it. */
static int chain_in(struct table *t, uint32_t row, const struct entry *e)
{
        struct row_name *name = &t->names[row];
        uint32_t first = table_first(t, e->asset);

        if (name->asset == e->asset)
                return 0;
        if (map_set(&t->of_asset, e->asset, row))
                return -1;
        *name = (struct row_name){.part = e->part, .asset = e->asset, .id = e->id, .next = first};
        t->keys[row].part = (uint8_t)e->part_kind;
        t->derived += e->part_kind != PART_WHOLE;
        return 0;
}

int table_put(struct table *t, const struct entry *e)
{
        uint32_t row = table_row(t, e->part);

        if (row == NO_ROW) {
                if (!e->vec)
                        return 0;
                if (t->nfree) {
                        row = t->free_rows[t->nfree - 1];
                        if (table_link(t, e->part, row))
                                return -1;
                        t->nfree--;
                        vec_index_set(t->vec, row, e->vec);
                } else {
                        /* Room first: a row of vectors without its columns must not come to be. */
                        if (table_reserve(t, vec_index_count(t->vec) + 1) || table_link(t, e->part, NO_ROW) ||
                            vec_index_add(t->vec, e->vec, &row))
                                return -1;
                        t->of_part.rows[e->part] = row;
                }
                t->names[row].part = e->part;
        } else if (e->vec) {
                vec_index_set(t->vec, row, e->vec);
        }
        return chain_in(t, row, e) || table_set_key(t, row, e) ? -1 : 0;
}

static void drop_row(struct table *t, uint32_t row)
{
        t->of_part.rows[t->names[row].part] = NO_ROW;
        t->derived -= t->keys[row].part != PART_WHOLE;
        vec_index_clear(t->vec, row);
        t->keys[row] = (struct row_key){.live = 0};
        t->names[row] = (struct row_name){.next = NO_ROW};
        /* Without memory for the note the row stays a hole until the next load. */
        if (mem_grow((void **)&t->free_rows, &t->free_cap, t->nfree + 1, sizeof *t->free_rows) == 0)
                t->free_rows[t->nfree++] = row;
}

static int by_number(const void *a, const void *b)
{
        const int64_t *x = a, *y = b;

        return *x < *y ? -1 : *x > *y;
}

void table_keep(struct table *t, int64_t asset, const int64_t *parts, size_t n)
{
        uint32_t row = table_first(t, asset), next, *from;

        if (row == NO_ROW)
                return;
        from = &t->of_asset.rows[asset]; /* where the chain comes to row from */
        for (; row != NO_ROW; row = next) {
                next = t->names[row].next;
                if (n && bsearch(&t->names[row].part, parts, n, sizeof *parts, by_number)) {
                        from = &t->names[row].next;
                        continue;
                }
                *from = next;
                drop_row(t, row);
        }
}

static void folder_close(struct table *t, uint32_t f)
{
        mem_free(t->folders[f].unit);
        t->folders[f].unit = NULL;
        t->folders[f].open = false;
}

int table_relabel(struct table *t, struct id from, struct id to)
{
        uint32_t f = table_folder(t, from, false), g = table_folder(t, to, true);

        if (g == NO_ROW)
                return -1;
        if (f == NO_ROW || f == g)
                return 0;
        for (size_t i = 0; i < t->rows; i++)
                if (t->keys[i].folder == f)
                        t->keys[i].folder = g;
        folder_close(t, f);
        return 0;
}

int table_folder_put(struct table *t, struct id id, const char *owner, bool locked, const float *sum)
{
        uint32_t f = table_folder(t, id, true), number = owner ? table_owner(t, owner, true) : NO_ROW;
        float *unit;

        if (f == NO_ROW || (owner && number == NO_ROW))
                return -1;
        t->folders[f].owner = number;
        if (!sum) {
                folder_close(t, f);
                return 0;
        }
        unit = mem_alloc(t->dim * sizeof(float));
        if (!unit)
                return -1;
        memcpy(unit, sum, t->dim * sizeof(float));
        folder_close(t, f);
        if (!vec_normalise(unit, t->dim)) {
                mem_free(unit);
                return 0;
        }
        t->folders[f].unit = unit;
        t->folders[f].open = !locked;
        return 0;
}
