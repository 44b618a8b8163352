/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a catalog may be served: not while a copy into it is unfinished. */
#include "catalog/postgres/postgres_priv.h"

int pg_table_exists(struct db *db, const char *name, struct err *e)
{
        int64_t one;

        return db_int(db, e, &one, "SELECT 1 WHERE to_regclass(?) IS NOT NULL", "t", name);
}

int pg_copy_found(struct db *db, struct copy_found *out, struct err *e)
{
        struct rows *s = db_query(db, e, "SELECT origin, source, (finished > 0)::integer FROM catalog_copy", "");
        int rc = s ? db_step(db, s, e) : -1;

        if (rc <= 0)
                return rc;
        out->begun = true;
        out->origin = col_i64(s, 0);
        out->source = col_sha(s, 1);
        out->finished = col_int(s, 2) != 0;
        db_end(s);
        return 0;
}

int pg_copy_check(struct db *db, struct err *e)
{
        struct copy_found found = {0};
        int rc = pg_table_exists(db, "catalog_copy", e);

        if (rc <= 0)
                return rc;
        if (pg_copy_found(db, &found, e) < 0)
                return -1;
        return found.begun && !found.finished
                       ? err_set(e, ERR_CONFLICT,
                                 "the catalog was copied or restored, and that was not finished: run the "
                                 "\"migrate copy\" or \"backup restore\" again that began it")
                       : 0;
}
