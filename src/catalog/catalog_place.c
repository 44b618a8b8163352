/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders and who is in them. A folder's prototype is the sum of its living
 * members' vectors, one sum a model; the invariant is that it always equals
 * what adding them up anew would give, so every way in or out passes here.
 */
#include "catalog/catalog_engine_priv.h"
#include "catalog/catalog_place_rules.h"

#include <stdio.h>

static const struct id nil;

/* ---- folders ---------------------------------------------------------------------- */

int folder_find(struct tx *tx, struct id id, const char *owner, struct folder *out, struct err *e)
{
        struct rows *s =
                db_query(tx->db, e,
                         LOCKING(tx->db,
                                 "SELECT owner, name, status, threshold, locked, touched, named, count, version "
                                 "FROM cluster WHERE id = ?",
                                 "FOR NO KEY UPDATE"),
                         "u", &id);
        int rc = s ? db_step(tx->db, s, e) : -1;

        if (rc < 0)
                return -1;
        if (rc == 0)
                return err_set(e, ERR_NOT_FOUND, "no such folder");
        *out = (struct folder){
                .id = id,
                .status = (enum cluster_status)col_int(s, 2),
                .threshold = (float)col_f64(s, 3),
                .locked = col_int(s, 4),
                .touched = col_int(s, 5),
                .named = col_int(s, 6),
                .count = col_u64(s, 7),
                .version = col_u64(s, 8),
        };
        snprintf(out->owner, sizeof out->owner, "%s", or_empty(col_str(s, 0)));
        snprintf(out->name, sizeof out->name, "%s", or_empty(col_str(s, 1)));
        db_end(s);
        if (owner && strcmp(owner, out->owner) != 0)
                return err_set(e, ERR_NOT_FOUND, "no such folder");
        return 0;
}

static int find_fold(struct tx *tx, const char *owner, const char *fold, struct id *out, struct err *e)
{
        struct rows *s =
                db_query(tx->db, e, "SELECT id FROM cluster WHERE owner = ? AND name_fold = ?", "tt", owner, fold);
        int rc = s ? db_step(tx->db, s, e) : -1;

        if (rc > 0) {
                *out = col_id(s, 0);
                db_end(s);
        }
        return rc;
}

int folder_find_name(struct tx *tx, const char *owner, const char *name, struct id *out, struct err *e)
{
        struct arena *a = arena_new(64 * 1024);
        char *fold = a ? text_fold(a, name) : NULL;
        int rc = fold ? find_fold(tx, owner, fold, out, e) : err_oom(e);

        arena_free(a);
        return rc;
}

int folder_add(struct tx *tx, const struct folder *f, struct err *e)
{
        struct arena *a = arena_new(64 * 1024);
        char *fold = a ? text_fold(a, f->name) : NULL;
        struct id other;
        int rc = fold ? find_fold(tx, f->owner, fold, &other, e) : err_oom(e);

        if (rc > 0)
                rc = err_set(e, ERR_CONFLICT, "there is a folder named \"%s\" already", f->name);
        else if (rc == 0)
                rc = db_run(
                        tx->db, e,
                        "INSERT INTO cluster (id, owner, name, name_fold, status, threshold, locked, touched, named, "
                        "created, updated) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?10)",
                        "utttidiiil", &f->id, f->owner, f->name, fold, (int)f->status, (double)f->threshold,
                        (int)f->locked, (int)f->touched, (int)f->named, tx->now.us);
        arena_free(a);
        return rc < 0 ? -1 : tx_mark(tx, KEPT_FOLDER, f->id, e);
}

int folder_touch(struct tx *tx, struct id id, struct err *e)
{
        if (db_run(tx->db, e, "UPDATE cluster SET touched = 1, version = version + 1, updated = ? WHERE id = ?", "lu",
                   tx->now.us, &id))
                return -1;
        return tx_mark(tx, KEPT_FOLDER, id, e);
}

/* ---- prototypes ------------------------------------------------------------------------ */

size_t col_vector(const struct rows *s, int i, float out[VECTOR_MAX_DIM])
{
        size_t n = (size_t)col_bytes(s, i) / sizeof *out;

        if (n > VECTOR_MAX_DIM)
                n = VECTOR_MAX_DIM;
        memcpy(out, col_blob(s, i), n * sizeof *out);
        return n;
}

int prototype_add(struct tx *tx, struct id cluster, int64_t model, const float *v, size_t dim, int sign, int members,
                  struct err *e)
{
        struct rows *s =
                db_query(tx->db, e,
                         LOCKING(tx->db, "SELECT n, count, sum FROM cluster_prototype WHERE cluster = ? AND model = ?",
                                 "FOR UPDATE"),
                         "ul", &cluster, model);
        int rc = s ? db_step(tx->db, s, e) : -1;
        float sum[VECTOR_MAX_DIM] = {0};
        int64_t n = 0, count = 0;

        if (rc < 0)
                return -1;
        if (rc > 0) {
                n = col_i64(s, 0);
                count = col_i64(s, 1);
                if ((size_t)col_bytes(s, 2) == dim * sizeof(float))
                        memcpy(sum, col_blob(s, 2), dim * sizeof(float));
                db_end(s);
        }
        count += (int64_t)sign * members;
        for (size_t i = 0; i < dim; i++)
                sum[i] += (float)sign * v[i];
        if (tx_event(tx, (struct event){.kind = EVENT_FOLDER, .cluster = cluster}, e) < 0)
                return -1;
        if (count <= 0)
                return db_run(tx->db, e, "DELETE FROM cluster_prototype WHERE n = ?", "l", n);
        return catalog_of(tx)->search->prototype_put(tx, n, &cluster, model, count, sum, dim, e);
}

int folder_member(struct tx *tx, struct id cluster, int64_t asset, int sign, struct err *e)
{
        if (db_run(tx->db, e, "UPDATE cluster SET count = count + ?, updated = ? WHERE id = ?", "ilu", sign, tx->now.us,
                   &cluster) ||
            tx_mark(tx, KEPT_FOLDER, cluster, e))
                return -1;
        return folder_sum(tx, cluster, asset, sign, e);
}

int folder_sum(struct tx *tx, struct id cluster, int64_t asset, int sign, struct err *e)
{
        float v[VECTOR_MAX_DIM];
        int64_t after = -1;

        for (;;) { /* model by model: prototype_add needs the statement's row no longer */
                struct rows *s = db_query(
                        tx->db, e,
                        SQL(tx->db,
                            "SELECT x.model, x.vec FROM part p JOIN embedding x ON x.part = p.n WHERE p.asset = ? AND "
                            "p.kind = 0 AND x.model > ? ORDER BY x.model LIMIT 1",
                            "SELECT x.model, x.unit FROM part p JOIN embedding x ON x.part = p.n WHERE p.asset = ? AND "
                            "p.kind = 0 AND x.model > ? ORDER BY x.model LIMIT 1"),
                        "ll", asset, after);
                int rc = s ? db_step(tx->db, s, e) : -1;
                size_t dim;
                if (rc <= 0)
                        return rc;
                after = col_i64(s, 0);
                dim = col_vector(s, 1, v);
                db_end(s);
                if (prototype_add(tx, cluster, after, v, dim, sign, 1, e) < 0)
                        return -1;
        }
}

int row_place(struct tx *tx, struct row *r, struct id to, bool pinned, float similarity, struct err *e)
{
        bool moves = !id_eq(r->cluster, to);

        if (moves && !r->trashed) {
                if (!id_is_nil(r->cluster) && folder_member(tx, r->cluster, r->n, -1, e) < 0)
                        return -1;
                if (!id_is_nil(to) && folder_member(tx, to, r->n, 1, e) < 0)
                        return -1;
        }
        if (db_run(tx->db, e,
                   "UPDATE asset SET cluster = ?1, pinned = ?2, similarity = CASE WHEN ?3 < 0 THEN NULL ELSE ?3 END, "
                   "updated = ?4 WHERE n = ?5",
                   "uidll", id_is_nil(to) ? NULL : &to, (int)pinned, (double)similarity, tx->now.us, r->n))
                return -1;
        r->cluster = to;
        r->pinned = pinned;
        r->similarity = similarity;
        if (tx_mark(tx, KEPT_ASSET, r->id, e))
                return -1;
        return moves ? tx_event(tx, (struct event){.kind = EVENT_ROW, .asset = r->n}, e) : 0;
}

/* ---- placements ----------------------------------------------------------------------------- */

static int no_longer_holds(struct err *e, const char *what)
{
        return err_set(e, ERR_CONFLICT, "the placement no longer holds: %s", what);
}

/* "Cats" or, when the owner has one, "Cats 2", "Cats 3" … */
int folder_free_name(struct tx *tx, const char *owner, const char *wish, char out[NAME_MAX_BYTES + 1], struct err *e)
{
        size_t keep = strlen(wish);
        struct id other;

        if (keep > NAME_MAX_BYTES - 8)
                keep = NAME_MAX_BYTES - 8;
        while (keep > 0 && ((unsigned char)wish[keep] & 0xC0) == 0x80)
                keep--;
        for (unsigned i = 1; i < 100000; i++) {
                int rc;
                if (i == 1)
                        snprintf(out, NAME_MAX_BYTES + 1, "%.*s", (int)keep, wish);
                else
                        snprintf(out, NAME_MAX_BYTES + 1, "%.*s %u", (int)keep, wish, i);
                rc = folder_find_name(tx, owner, out, &other, e);
                if (rc <= 0)
                        return rc;
        }
        return err_set(e, ERR_CONFLICT, "no free name like \"%.100s\"", wish);
}

/* Members must still be what they were when they were chosen: media of this owner, unsorted by nobody's wish. */
static int member_check(struct tx *tx, const char *owner, struct id id, struct row *r, struct err *e)
{
        struct err why;

        if (row_find(tx, id, owner, r, &why)) {
                if (why.code == ERR_NOT_FOUND)
                        return no_longer_holds(e, "a member is gone");
                *e = why;
                return -1;
        }
        if (r->kind != KIND_MEDIA || r->trashed || r->pinned || !id_is_nil(r->cluster))
                return no_longer_holds(e, "a member was taken");
        return 0;
}

static int place_one(struct tx *tx, struct row *r, int64_t op, const struct placement *p, float similarity,
                     const char *folder, const char *actor, struct err *e)
{
        struct buf b;
        int rc = -1;

        buf_init(&b, 4096);
        buf_puts(&b, "{\"cluster_id\":\"");
        buf_puts(&b, id_format(p->cluster_id, (char[ID_TEXT_LEN]){0}));
        buf_puts(&b, "\",\"cluster\":");
        buf_json_str(&b, folder);
        buf_puts(&b, ",\"similarity\":");
        buf_num(&b, similarity);
        buf_puts(&b, ",\"why\":");
        buf_json_str(&b, p->why);
        buf_puts(&b, p->kind == PLACE_FOUND ? ",\"founded\":true}" : "}");
        if (buf_failed(&b))
                err_oom(e);
        else if ((!op || operation_item(tx, op, r->n, &p->cluster_id, e) == 0) &&
                 row_place(tx, r, p->cluster_id, false, similarity, e) == 0 &&
                 lineage_add(tx, r->n, "placed", actor, buf_str(&b), e) == 0)
                rc = 0;
        buf_done(&b);
        return rc;
}

static int found_folder(struct tx *tx, const char *owner, const struct placement *p, const char *actor,
                        struct folder *f, int64_t *op, struct err *e)
{
        *f = (struct folder){.id = p->cluster_id, .status = CLUSTER_PROVISIONAL, .threshold = p->threshold};
        snprintf(f->owner, sizeof f->owner, "%s", owner);
        if (folder_free_name(tx, owner, p->name && *p->name ? p->name : "Folder", f->name, e) < 0 ||
            folder_add(tx, f, e))
                return -1;
        return operation_add(tx, owner, actor, "found", &f->id, NULL, NULL, op, e);
}

static int assign_folder(struct tx *tx, const char *owner, const struct placement *p, struct folder *f, struct err *e)
{
        struct err why;

        if (folder_find(tx, p->cluster_id, owner, f, &why)) {
                if (why.code == ERR_NOT_FOUND)
                        return no_longer_holds(e, "the folder is gone");
                *e = why;
                return -1;
        }
        return f->locked ? no_longer_holds(e, "the folder is locked") : 0;
}

int placement_apply(struct tx *tx, const char *owner, struct row *self, const struct placement *p, const char *actor,
                    struct err *e)
{
        struct folder f;
        struct row member;
        int64_t op = 0;

        if (p->kind == PLACE_KEEP)
                return 0;
        if (p->kind == PLACE_UNSORTED)
                return !self || id_is_nil(self->cluster) ? 0 : row_place(tx, self, nil, false, -1, e);
        for (size_t i = 0; i < p->nmembers; i++)
                if (member_check(tx, owner, p->members[i], &member, e))
                        return -1;
        if ((p->kind == PLACE_FOUND ? found_folder(tx, owner, p, actor, &f, &op, e)
                                    : assign_folder(tx, owner, p, &f, e)) < 0)
                return -1;
        if (self && place_one(tx, self, op, p, p->similarity, f.name, actor, e))
                return -1;
        for (size_t i = 0; i < p->nmembers; i++) {
                float similarity = p->member_similarity ? p->member_similarity[i] : -1;
                /* Checked again: a member named twice must not count twice. */
                if (member_check(tx, owner, p->members[i], &member, e) ||
                    place_one(tx, &member, op, p, similarity, f.name, actor, e))
                        return -1;
        }
        return tx_event(tx, (struct event){.kind = EVENT_FOLDER, .cluster = f.id}, e);
}

/* ---- operations -------------------------------------------------------------------------------- */

int operation_add(struct tx *tx, const char *owner, const char *actor, const char *kind, const struct id *cluster,
                  const char *detail, struct id *id, int64_t *n, struct err *e)
{
        struct id fresh = id_new();

        if (id)
                *id = fresh;
        return db_int(tx->db, e, n,
                      "INSERT INTO operation (id, owner, at, actor, kind, cluster, detail) VALUES (?, ?, ?, ?, ?, ?, "
                      "?) RETURNING n",
                      "utlttut", &fresh, owner, tx->now.us, actor ? actor : "service", kind, cluster, detail) < 0
                       ? -1
                       : 0;
}

int operation_item(struct tx *tx, int64_t op, int64_t asset, const struct id *to, struct err *e)
{
        return db_run(tx->db, e,
                      "INSERT INTO operation_item (operation, asset, before_cluster, before_pinned, before_similarity, "
                      "after_cluster) SELECT ?, n, cluster, pinned, similarity, ? FROM asset WHERE n = ?",
                      "lul", op, to && !id_is_nil(*to) ? to : NULL, asset);
}

struct place_args {
        const char *owner, *actor;
        const struct placement *p;
};

static int do_place(struct tx *tx, void *arg, struct err *e)
{
        struct place_args *g = arg;

        if (lock_owner(tx, g->owner, e) || placing_check(tx, g->owner, g->p, e))
                return -1;
        return placement_apply(tx, g->owner, NULL, g->p, g->actor, e);
}

int catalog_place(struct catalog *c, const char *owner, const struct placement *p, const char *actor, struct err *e)
{
        struct place_args g = {.owner = owner, .actor = actor, .p = p};

        if (p->kind != PLACE_ASSIGN && p->kind != PLACE_FOUND)
                return err_set(e, ERR_INVALID, "placement: only assign and found place others");
        return write_do(c, LANE_BULK, do_place, &g, e);
}
