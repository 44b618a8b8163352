/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders: the stored number of members, and the stored sums of their vectors. A folder that is wrong is summed up
 * again.
 */
#include "catalog/catalog_place_rules.h"
#include "keep/keep_check_priv.h"

#include <math.h>
#include <stdio.h>

#define PAGE   500
#define MODELS 32

struct folder_row {
        struct id id;
        char owner[OWNER_MAX + 1];
        int64_t count;
};

static int list_folders(struct db *db, struct arena *a, struct folder_row **out, size_t *n, struct err *e)
{
        struct rows *s = db_query(db, e, "SELECT id, owner, count FROM cluster ORDER BY n", "");
        size_t cap = 0;
        int rc = -1;

        *n = 0;
        *out = NULL;
        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, out, &cap, *n + 1, sizeof **out, e)) {
                        db_end(s);
                        return -1;
                }
                struct folder_row *f = &(*out)[(*n)++];
                *f = (struct folder_row){.id = col_id(s, 0), .count = col_i64(s, 2)};
                snprintf(f->owner, sizeof f->owner, "%s", or_empty(col_str(s, 1)));
        }
        return rc;
}

/* Models of which the folder has a sum or a member has a vector. */
static int models_of(struct db *db, const struct folder_row *f, int64_t models[MODELS], size_t *n, struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT model FROM cluster_prototype WHERE cluster = ?1 UNION SELECT x.model FROM "
                                  "asset a JOIN part p ON p.asset = a.n AND p.kind = 0 JOIN embedding x ON x.part = "
                                  "p.n WHERE a.cluster = ?1 AND a.trashed = 0",
                                  "u", &f->id);
        int rc = -1;

        *n = 0;
        while (s && (rc = db_step(db, s, e)) > 0)
                if (*n < MODELS)
                        models[(*n)++] = col_i64(s, 0);
        return rc;
}

static int add_up(struct db *db, const struct folder_row *f, int64_t model, double sum[VECTOR_MAX_DIM], int64_t *count,
                  struct err *e)
{
        int64_t after = -1;
        int rc, got;

        *count = 0;
        memset(sum, 0, VECTOR_MAX_DIM * sizeof *sum);
        do {
                struct rows *s =
                        db_query(db, e,
                                 SQL(db,
                                     "SELECT a.n, x.vec FROM asset a JOIN part p ON p.asset = a.n AND p.kind = 0 JOIN "
                                     "embedding x ON x.part = p.n AND x.model = ? "
                                     "WHERE a.cluster = ? AND a.trashed = 0 AND a.n > ? ORDER BY a.n LIMIT 500",
                                     "SELECT a.n, x.unit FROM asset a JOIN part p ON p.asset = a.n AND p.kind = 0 JOIN "
                                     "embedding x ON x.part = p.n AND x.model = ? WHERE a.cluster = ? AND a.trashed = "
                                     "0 AND a.n > ? ORDER BY a.n LIMIT 500"),
                                 "lul", model, &f->id, after);
                got = 0;
                rc = -1;
                while (s && (rc = db_step(db, s, e)) > 0) {
                        float v[VECTOR_MAX_DIM];
                        size_t dim = col_vector(s, 1, v);
                        for (size_t i = 0; i < dim; i++)
                                sum[i] += (double)v[i];
                        after = col_i64(s, 0);
                        ++*count;
                        got++;
                }
        } while (rc == 0 && got == PAGE);
        return rc;
}

/*
 * Returns 1 when equal, 0 when not, -1 on error. Sums that were made in many steps differ a little from one made in
 * one go.
 */
static int sum_fits(struct db *db, const struct folder_row *f, int64_t model, struct err *e)
{
        double sum[VECTOR_MAX_DIM], off = 0;
        float v[VECTOR_MAX_DIM];
        int64_t count, stored = 0;
        struct rows *s;
        size_t dim = 0;
        int rc;

        if (add_up(db, f, model, sum, &count, e))
                return -1;
        s = db_query(db, e, "SELECT count, sum FROM cluster_prototype WHERE cluster = ? AND model = ?", "ul", &f->id,
                     model);
        rc = s ? db_step(db, s, e) : -1;
        if (rc < 0)
                return -1;
        if (rc > 0) {
                stored = col_i64(s, 0);
                dim = col_vector(s, 1, v);
                db_end(s);
        }
        for (size_t i = 0; i < VECTOR_MAX_DIM; i++)
                off = fmax(off, fabs(sum[i] - (i < dim ? (double)v[i] : 0)));
        return stored == count && (count == 0 || off <= 1e-3 + 1e-5 * (double)count);
}

/* Returns 1 when the folder is right, 0 when a finding was reported, -1 on error. */
static int look_at(struct check_run *run, struct db *db, const struct folder_row *f, struct err *e)
{
        int64_t members = 0, models[MODELS];
        char id[ID_TEXT_LEN];
        size_t n;

        if (db_int(db, e, &members, "SELECT count(*) FROM asset WHERE cluster = ? AND trashed = 0", "u", &f->id) < 0)
                return -1;
        if (members != f->count) {
                check_tell(run, "the stored number of files is %lld, the real one %lld: folder %s", (long long)f->count,
                           (long long)members, id_format(f->id, id));
                return 0;
        }
        if (models_of(db, f, models, &n, e))
                return -1;
        for (size_t i = 0; i < n; i++) {
                int rc = sum_fits(db, f, models[i], e);
                if (rc == 0)
                        check_tell(run, "the stored centre does not match the files: folder %s", id_format(f->id, id));
                if (rc <= 0)
                        return rc;
        }
        return 1;
}

static int do_mend(struct tx *tx, void *arg, struct err *e)
{
        const struct folder_row *f = arg;
        int64_t after = -1, n = 0;
        int rc;

        if (lock_owner(tx, f->owner, e) ||
            db_run(tx->db, e, "DELETE FROM cluster_prototype WHERE cluster = ?", "u", &f->id) ||
            db_run(tx->db, e, "UPDATE cluster SET count = 0 WHERE id = ?", "u", &f->id) ||
            tx_event(tx, (struct event){.kind = EVENT_FOLDER, .cluster = f->id}, e) < 0)
                return -1;
        while ((rc = db_int(tx->db, e, &n,
                            "SELECT n FROM asset WHERE cluster = ? AND trashed = 0 AND n > ? ORDER BY n LIMIT 1", "ul",
                            &f->id, after)) > 0) {
                if (folder_member(tx, f->id, n, 1, e))
                        return -1;
                after = n;
        }
        return rc;
}

int check_folders(struct check_run *run, struct err *e)
{
        struct arena *a = arena_new(1 << 30);
        struct mono began = mono_now();
        struct db *db = a ? read_begin(run->c, e) : NULL;
        struct folder_row *all = NULL;
        size_t n = 0, wrong = 0;
        int rc = a ? -1 : err_oom(e);

        if (db) {
                rc = list_folders(db, a, &all, &n, e);
                for (size_t i = 0; rc >= 0 && i < n; i++)
                        if ((rc = look_at(run, db, &all[i], e)) == 0)
                                all[wrong++] = all[i];
                read_end(run->c, db, began);
        }
        for (size_t i = 0; rc >= 0 && run->o->repair && i < wrong; i++) {
                rc = write_do(run->c, LANE_BULK, do_mend, &all[i], e);
                run->r->mended += rc == 0;
        }
        arena_free(a);
        return rc < 0 ? -1 : 0;
}
