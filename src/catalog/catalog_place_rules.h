/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is in which folder, for the rules and the room keep: folders, their
 * members and sums, and the record of operations that can be undone. The owner
 * is locked (lock_owner) before any of it.
 */
#ifndef FA_CATALOG_PLACE_RULES_H
#define FA_CATALOG_PLACE_RULES_H

#include "catalog/catalog_rules.h"

struct folder {
        struct id id;
        char owner[OWNER_MAX + 1];
        char name[NAME_MAX_BYTES + 1];
        enum cluster_status status;
        float threshold;
        bool locked, touched, named;
        uint64_t count, version;
};
/* ERR_NOT_FOUND; an alias is not followed. owner NULL: any. */
int folder_find(struct tx *tx, struct id id, const char *owner, struct folder *out, struct err *e) MUST_CHECK;
int folder_find_name(struct tx *tx, const char *owner, const char *name, struct id *out,
                     struct err *e) MUST_CHECK; /* 1, 0, -1 */
/* "Cats" or, when the owner has one, "Cats 2", "Cats 3" … */
int folder_free_name(struct tx *tx, const char *owner, const char *wish, char out[NAME_MAX_BYTES + 1],
                     struct err *e) MUST_CHECK;
/* ERR_CONFLICT when the name is taken. */
int folder_add(struct tx *tx, const struct folder *f, struct err *e) MUST_CHECK;
/* A person did something to it. */
int folder_touch(struct tx *tx, struct id id, struct err *e) MUST_CHECK;
/* Move an asset (nil: to unsorted): prototypes of all models, counts, the row itself. r is updated. */
int row_place(struct tx *tx, struct row *r, struct id to, bool pinned, float similarity, struct err *e) MUST_CHECK;
/* The vectors of an asset onto (sign 1) or off (-1) a folder's prototypes, and the member onto its count. */
int folder_member(struct tx *tx, struct id cluster, int64_t asset, int sign, struct err *e) MUST_CHECK;
/* Its vectors alone. */
int folder_sum(struct tx *tx, struct id cluster, int64_t asset, int sign, struct err *e) MUST_CHECK;
/* One vector onto or off the sum of (cluster, model). */
int prototype_add(struct tx *tx, struct id cluster, int64_t model, const float *v, size_t dim, int sign, int members,
                  struct err *e) MUST_CHECK;
/*
 * Counts a placement that others would decide differently after; ERR_CONFLICT when another was counted since
 * p->seen. Before the task and the assets are locked. (catalog_duty.c)
 */
int placing_check(struct tx *tx, const char *owner, const struct placement *p, struct err *e) MUST_CHECK;
/* Assign or found, members included; self NULL: members only. ERR_CONFLICT when it no longer holds. */
int placement_apply(struct tx *tx, const char *owner, struct row *self, const struct placement *p, const char *actor,
                    struct err *e) MUST_CHECK;

/* An operation's record; items are added while the assets still are where they were. */
int operation_add(struct tx *tx, const char *owner, const char *actor, const char *kind, const struct id *cluster,
                  const char *detail, struct id *id, int64_t *n, struct err *e) MUST_CHECK;
int operation_item(struct tx *tx, int64_t op, int64_t asset, const struct id *to, struct err *e) MUST_CHECK;

#endif
