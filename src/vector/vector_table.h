/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A table of vectors with the few columns that filters need beside them, and
 * the file that keeps the vectors over a restart. A table is changed by one
 * thread at a time.
 */
#ifndef FA_VECTOR_TABLE_H
#define FA_VECTOR_TABLE_H

#include "model/model.h"
#include "vector/vector.h"

#define NO_ROW UINT32_MAX

struct row_key {                /* what filters look at; one a row, beside its vector */
        uint32_t owner, folder; /* numbers of this table; folder 0: none */
        uint8_t kind, live;     /* live: there is a vector and it is not in the trash */
        uint8_t part;           /* enum part_kind */
};

struct row_name {
        int64_t part, asset; /* numbers; part 0: a row to be used again, asset 0: not known yet */
        struct id id;        /* the asset's */
        uint32_t next;       /* the asset's next row */
};

struct folder_slot {
        struct id id;
        uint32_t owner;
        bool open;   /* has a prototype and is not locked */
        float *unit; /* NULL: none */
};

struct table {
        uint32_t dim;
        int64_t model;
        struct vec_index *vec;
        struct row_key *keys;
        struct row_name *names;
        size_t keys_cap, names_cap, rows;
        struct row_map {
                uint32_t *rows;
                size_t n;
        } of_part, of_asset; /* by number; of an asset the first of its rows, which go on in row_name.next */
        size_t derived;      /* rows of parts that are no wholes, at least */
        uint32_t *free_rows;
        size_t nfree, free_cap;
        struct idmap *owner_of, *folder_of; /* by hash of the name, by id */
        uint32_t owners;
        struct folder_slot *folders; /* slot 0 unused */
        size_t nfolders, folders_cap;
        char last_owner[OWNER_MAX + 1];
        uint32_t last_owner_number;
};

struct entry { /* the truth of one part, for the table */
        int64_t part, asset;
        struct id id, folder; /* the asset's */
        const char *owner;
        enum asset_kind kind;
        enum part_kind part_kind;
        bool trashed;
        const float *vec; /* NULL: leave it */
};

struct table *table_new(uint32_t dim, int64_t model) MUST_CHECK;
void table_free(struct table *t);
uint32_t table_row(const struct table *t, int64_t part);             /* NO_ROW */
uint32_t table_first(const struct table *t, int64_t asset);          /* NO_ROW */
uint32_t table_owner(struct table *t, const char *owner, bool make); /* NO_ROW: unknown, or OOM */
uint32_t table_folder(struct table *t, struct id id, bool make);
int table_put(struct table *t, const struct entry *e) MUST_CHECK;
/* Of the asset's rows those of the n parts stay, in ascending order. */
void table_keep(struct table *t, int64_t asset, const int64_t *parts, size_t n);
int table_link(struct table *t, int64_t part, uint32_t row) MUST_CHECK;
int table_reserve(struct table *t, size_t rows) MUST_CHECK;
/* What an asset's row tells, for the vector that stands there; of e the part and the vector are not looked at. */
int table_set_key(struct table *t, uint32_t row, const struct entry *e) MUST_CHECK;
/* All of from are in to now (nil: in none). */
int table_relabel(struct table *t, struct id from, struct id to) MUST_CHECK;
/* sum NULL: no prototype. */
int table_folder_put(struct table *t, struct id id, const char *owner, bool locked, const float *sum) MUST_CHECK;

/* ---- the cache file (vector_cache.c) ------------------------------------------------------ */

/* Of the table's vectors, in the folder dir, for the model and the epoch at which they were so. 1 loaded into t
 * (vectors and numbers, no keys yet), 0 not usable. */
int cache_load(const char *dir, const char *model_id, int64_t epoch, struct table *t);
/* Whether a file is a whole cache, of whatever model and epoch: 1, 0, -1 it cannot be read. */
int cache_whole(const char *path);
/* go_on: asked between pieces; false gives up with ERR_BUSY. NULL: nobody is asked. */
int cache_save(const char *dir, const char *model_id, int64_t epoch, const struct table *t, bool (*go_on)(void *ctx),
               void *ctx, struct err *e) MUST_CHECK;

#endif
