/* SPDX-License-Identifier: Apache-2.0 */
/* The end of the trash, objects that were damaged, and what one instance at a time does for all. */
#ifndef FA_CATALOG_UPKEEP_H
#define FA_CATALOG_UPKEEP_H

#include "base/base.h"

struct catalog;

/* What is kept outside as well, by kind. The catalog's own: whether there were keys. The numbers stand in the tables.
 */
enum kept_kind { KEPT_ASSET, KEPT_FOLDER, KEPT_CATALOG, KEPT_OBJECT };

/* One of them for good. ERR_NOT_FOUND also when a person has restored it meanwhile. */
int catalog_trash_purge(struct catalog *c, struct id id, struct wall t, const char *actor, struct err *e) MUST_CHECK;
/* Assets trashed before t, oldest first: for the purge. */
int catalog_trash_due(struct catalog *c, struct wall t, unsigned limit, struct arena *a, struct id **out, size_t *n,
                      struct err *e) MUST_CHECK;

/* ---- objects ------------------------------------------------------------------------------- */

/* Whether there is a row of each of n. */
int catalog_objects_known(struct catalog *c, const struct sha256 *objects, size_t n, bool *known,
                          struct err *e) MUST_CHECK;
/* The object's bytes were put anew and are right. */
int catalog_object_mended(struct catalog *c, struct sha256 object, struct err *e) MUST_CHECK;
/* Assets that were done with this object are failed, with the reason; or, reason NULL, are done again that were failed
 * so. *moved: how many. */
int catalog_object_lost(struct catalog *c, struct sha256 object, const char *reason, uint64_t *moved,
                        struct err *e) MUST_CHECK;

/* ---- duties ------------------------------------------------------------------------------ */

/*
 * A duty is what one instance at a time does for all, by the catalog's clock. 1: it is the holder's for the next
 * lease (again, when it was already); 0: another holds it, or it was done less than every ago; -1.
 */
int catalog_duty_take(struct catalog *c, const char *duty, const char *holder, struct dur lease, struct dur every,
                      struct err *e);
/* Through with it. Nothing happens when the duty is another's by now. */
int catalog_duty_done(struct catalog *c, const char *duty, const char *holder, struct err *e) MUST_CHECK;

#endif
