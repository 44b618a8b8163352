/* SPDX-License-Identifier: Apache-2.0 */
/* Assets: lists, one, what a person changes, and what has happened to them. */
#ifndef FA_CATALOG_ASSET_H
#define FA_CATALOG_ASSET_H

#include "model/model.h"

struct catalog;

struct asset_filter {
        const char *owner;           /* NULL any */
        uint32_t kinds;              /* bits 1<<asset_kind; 0 = all */
        uint32_t statuses;           /* bits 1<<asset_status; 0 = all */
        const struct id *cluster_id; /* NULL any; nil id: unsorted media */
        const char *const *tags;     /* all of them */
        size_t ntags;
        const char *content_type; /* exact, or "image/" prefix when it ends in a slash */
        const struct sha256 *sha256;
        const char *name;          /* substring of the filename, ASCII and Unicode case folded */
        struct wall after, before; /* created, us 0: open */
        bool trashed;              /* only the trash, instead of only the rest */
        uint32_t parts;            /* searches only: bits 1<<part_kind of the parts that are looked at; 0 = all */
};

enum asset_sort { SORT_CREATED_DESC, SORT_CREATED_ASC, SORT_NAME_ASC, SORT_NAME_DESC, SORT_SIZE_DESC, SORT_SIZE_ASC };

struct asset_page {
        struct asset *assets; /* with tags, cluster name; near_duplicates left out */
        size_t n;
        uint64_t total;
        const char *next; /* cursor, NULL at the end */
};
/* No item twice or missed while others are added. A cursor that was not made for this filter and sort, or was tampered
 * with: ERR_INVALID. */
int catalog_asset_list(struct catalog *c, const struct asset_filter *f, enum asset_sort sort, unsigned limit,
                       const char *cursor, struct arena *a, struct asset_page *out, struct err *e) MUST_CHECK;
/* Trash included. */
int catalog_asset_get(struct catalog *c, struct id id, const char *owner, struct arena *a, struct asset *out,
                      struct err *e) MUST_CHECK;
/* Many at once, in the order of ids; unknown or foreign ones are left out. */
int catalog_asset_get_many(struct catalog *c, const struct id *ids, size_t n, const char *owner, struct arena *a,
                           struct asset **out, size_t *found, struct err *e) MUST_CHECK;

struct asset_patch {
        const char *filename; /* NULL: leave */
        bool set_comments;
        const char *comments; /* NULL clears */
        bool set_tags;        /* replaces the human tags, and hides nothing else */
        const char *const *tags;
        size_t ntags;
        bool set_cluster;
        struct id cluster_id; /* nil: unsorted; either way pinned */
};
/* A move is an operation that can be undone; its id goes to *operation (may be NULL). */
int catalog_asset_patch(struct catalog *c, struct id id, const char *owner, const struct asset_patch *p,
                        const char *actor, struct id *operation, struct err *e) MUST_CHECK;
int catalog_asset_trash(struct catalog *c, struct id id, const char *owner, const char *actor,
                        struct err *e) MUST_CHECK;
int catalog_asset_restore(struct catalog *c, struct id id, const char *owner, const char *actor,
                          struct err *e) MUST_CHECK;
/* Gone for good. Its object stays for those who collect what no asset refers to. */
int catalog_asset_purge(struct catalog *c, struct id id, const char *owner, const char *actor,
                        struct err *e) MUST_CHECK;
/*
 * A new task for it, of this type (NULL: the one it has), and what was said of a missing analysis is forgotten.
 * Whether there is a pipeline for the asset is the caller's to know. ERR_CONFLICT when a task is under way.
 */
int catalog_asset_reprocess(struct catalog *c, struct id id, const char *owner, const enum job_type *type,
                            const char *actor, struct err *e) MUST_CHECK;

struct lineage_entry {
        struct wall at;
        const char
                *action; /* "accepted" "decoded" "placed" "moved" "renamed" "tagged" "failed" "retried" "trashed" … */
        const char *actor;  /* "service", "user", key id */
        const char *detail; /* JSON object text or NULL */
};
int catalog_lineage(struct catalog *c, struct id asset, const char *owner, struct arena *a, struct lineage_entry **out,
                    size_t *n, struct err *e) MUST_CHECK;

#endif
