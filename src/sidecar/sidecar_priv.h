/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by writing and reading sidecars. */
#ifndef FA_SIDECAR_PRIV_H
#define FA_SIDECAR_PRIV_H

#include "keep/keep_sidecar.h"
#include "json/json.h"
#include "keep/keep_rebuild.h"
#include "sidecar/sidecar.h"
#include "storage/storage.h"

#define SIDECAR_FORMAT 1

/* Behind all else: ,"checksum":"<SHA-256 of what is before>"} and a newline. */
#define CHECKSUM_BEGIN SPAN(",\"checksum\":\"")
#define CHECKSUM_END   SPAN("\"}\n")

/* ---- ahead.c ---------------------------------------------------------------------------- */

/* assets/… or folders/…, as the item says. */
const char *sidecar_name(const struct rebuild_item *i, char out[STORAGE_SIDECAR_NAME_LEN]);

/* Reads the sidecars of those assets or folders, which stay the caller's, some of them ahead. */
struct ahead;
int ahead_begin(struct storage *s, const struct rebuild_item *items, size_t n, struct ahead **out,
                struct err *e) MUST_CHECK;
/* The next one's, in their order, until the next call: as storage_get_sidecar. n times at most. */
int ahead_next(struct ahead *a, struct span *text, struct err *e) MUST_CHECK;
void ahead_end(struct ahead *a); /* NULL is fine */

#endif
