/* SPDX-License-Identifier: Apache-2.0 */
/* Lists objects for a check of the storage. */
#include "keep/keep.h"
#include "keep/keep_check_priv.h"

int keep_check_objects(struct catalog *c, const struct sha256 *after, unsigned limit, struct arena *a,
                       struct check_object **out, size_t *n, struct err *e)
{
        static const struct sha256 zero;
        struct mono began = mono_now();
        struct db *db = batch_begin(c, limit, sizeof **out, a, out, n, e);
        struct rows *s;
        bool ok = true;
        int rc = -1;

        if (!db)
                return -1;
        s = db_query(
                db, e,
                "SELECT o.sha256, o.size, o.scrubbed, (SELECT a.id FROM asset a WHERE a.sha256 = o.sha256 AND "
                "a.status = 2 AND o.products <> '' ORDER BY a.n LIMIT 1), o.products, CASE WHEN EXISTS (SELECT 1 FROM "
                "asset a WHERE a.sha256 = o.sha256 AND a.error_code = 'lost') THEN 1 ELSE 0 END FROM object o "
                "WHERE o.sha256 > ? AND o.collecting = 0 AND EXISTS (SELECT 1 FROM asset a WHERE a.sha256 = "
                "o.sha256) ORDER BY o.sha256 LIMIT ?",
                "hi", after ? after : &zero, (int)limit);
        while (s && (rc = db_step(db, s, e)) > 0)
                if (*n < limit)
                        (*out)[(*n)++] = (struct check_object){.item = {.sha256 = col_sha(s, 0),
                                                                        .size = col_u64(s, 1),
                                                                        .seen = col_i64(s, 2),
                                                                        .asked = true},
                                                               .derived = col_id(s, 3),
                                                               .products = col_text(a, s, 4, &ok),
                                                               .lost = col_i64(s, 5) != 0};
        read_end(c, db, began);
        return ok ? rc : err_oom(e);
}
