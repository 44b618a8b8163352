/* SPDX-License-Identifier: Apache-2.0 */
/* What both engines do when they open a catalog. */
#include "catalog/catalog_engine_priv.h"

/* Similarity that a folder made by an upload starts with. CLUSTER_THRESHOLD's default. */
#define FOLDER_THRESHOLD 0.72f

void catalog_init(struct catalog *c, enum dialect dialect, const struct search_engine *search,
                  const struct catalog_opts *opts)
{
        *c = (struct catalog){.dialect = dialect,
                              .search = search,
                              .idempotency_ttl = opts->idempotency_ttl,
                              .phash_distance = opts->phash_distance,
                              .folder_threshold =
                                      opts->folder_threshold > 0 ? opts->folder_threshold : FOLDER_THRESHOLD,
                              .queue_max_depth = opts->queue_max_depth};
}

int cursor_secret_load(struct catalog *c, struct db *db, struct err *e)
{
        struct rows *s = db_query(db, e, "SELECT value FROM secret WHERE name = 'cursor'", "");
        int rc = s ? db_step(db, s, e) : -1;

        if (rc > 0) {
                c->cursor_secret = col_sha(s, 0);
                db_end(s);
                return 0;
        }
        return rc < 0 ? -1 : err_set(e, ERR_CORRUPT, "the catalog has lost its secret for cursors");
}
