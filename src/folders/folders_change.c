/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Changes to folders. A folder keeps its id for life: a merge leaves its id behind as an alias, and members and sums
 * move as a whole, not one by one.
 */
#include "folders/folders.h"
#include "catalog/catalog_place_rules.h"

#include <stdio.h>

struct cluster_args {
        struct id id;
        const char *owner, *actor, *name;
        float threshold;
        const struct cluster_change *change;
        const struct id *sources;
        size_t n;
        const uint64_t *versions;
        struct id *operation;
        struct wall *updated;
        struct id *out;
};

static int name_check(const char *name, struct err *e)
{
        if (!name || !*name || strlen(name) > NAME_MAX_BYTES || !utf8_valid(span_of(name)))
                return err_set(e, ERR_INVALID, "name: 1 to %d bytes of UTF-8", NAME_MAX_BYTES);
        return 0;
}

static int do_create(struct tx *tx, void *arg, struct err *e)
{
        struct cluster_args *g = arg;
        struct folder f = {
                .id = g->id, .status = CLUSTER_ACTIVE, .threshold = g->threshold, .touched = true, .named = true};
        int64_t op;

        snprintf(f.owner, sizeof f.owner, "%s", g->owner);
        snprintf(f.name, sizeof f.name, "%s", g->name);
        if (lock_owner(tx, g->owner, e) || folder_add(tx, &f, e))
                return -1;
        return operation_add(tx, g->owner, g->actor, "create", &f.id, NULL, NULL, &op, e);
}

int catalog_cluster_create(struct catalog *c, const char *owner, const char *name, float threshold, const char *actor,
                           struct id *out, struct err *e)
{
        struct cluster_args g = {.id = id_new(), .owner = owner, .name = name, .threshold = threshold, .actor = actor};

        *out = g.id;
        if (!owner_valid(span_of(owner)))
                return err_set(e, ERR_INVALID, "owner: 1 to 64 of A-Z a-z 0-9 . _ @ -, not beginning with a dot");
        return name_check(name, e) ? -1 : write_do(c, LANE_RESULT, do_create, &g, e);
}

/* JSON of what a deleted or changed folder was: {"name":…,"status":…,…}. */
static char *describe_folder(const struct folder *f, char *out, size_t max)
{
        struct buf b;

        buf_init(&b, max - 1);
        buf_puts(&b, "{\"name\":");
        buf_json_str(&b, f->name);
        buf_printf(&b, ",\"status\":\"%s\",\"threshold\":", cluster_status_name(f->status));
        buf_num(&b, f->threshold);
        buf_printf(&b, ",\"locked\":%s,\"touched\":%s,\"named\":%s}", f->locked ? "true" : "false",
                   f->touched ? "true" : "false", f->named ? "true" : "false");
        snprintf(out, max, "%s", buf_failed(&b) ? "{}" : buf_str(&b));
        buf_done(&b);
        return out;
}

/* Records every member, also those in the trash, under the operation, with the folder it was in. */
static int items_of(struct tx *tx, int64_t op, struct id cluster, const struct id *to, struct err *e)
{
        return db_run(tx->db, e,
                      "INSERT INTO operation_item (operation, asset, before_cluster, before_pinned, before_similarity, "
                      "after_cluster) SELECT ?, n, cluster, pinned, similarity, ? FROM asset WHERE cluster = ?",
                      "luu", op, to, &cluster);
}

static int do_delete(struct tx *tx, void *arg, struct err *e)
{
        struct cluster_args *g = arg;
        struct id op_id;
        struct folder f;
        char detail[2048];
        int64_t op;

        if (lock_owner_of_folder(tx, g->id, e) || folder_find(tx, g->id, g->owner, &f, e) ||
            operation_add(tx, f.owner, g->actor, "delete", &f.id, describe_folder(&f, detail, sizeof detail), &op_id,
                          &op, e) ||
            items_of(tx, op, f.id, NULL, e))
                return -1;
        if (db_run(tx->db, e,
                   "INSERT INTO lineage (asset, at, action, actor, detail) SELECT n, ?, 'moved', ?, "
                   "'{\"cluster_id\":null}' "
                   "FROM asset WHERE cluster = ? ORDER BY n",
                   "ltu", tx->now.us, g->actor ? g->actor : "service", &f.id) ||
            db_run(tx->db, e,
                   "UPDATE asset SET cluster = NULL, pinned = 0, similarity = NULL, updated = ? WHERE cluster = ?",
                   "lu", tx->now.us, &f.id) ||
            db_run(tx->db, e, "DELETE FROM cluster WHERE id = ?", "u", &f.id) || tx_mark_items(tx, op, e) ||
            tx_mark(tx, KEPT_FOLDER, f.id, e))
                return -1;
        if (g->operation)
                *g->operation = op_id;
        return tx_event(tx, (struct event){.kind = EVENT_RELABEL, .cluster = f.id}, e);
}

int catalog_cluster_delete(struct catalog *c, struct id id, const char *owner, const char *actor, struct id *operation,
                           struct err *e)
{
        struct cluster_args g = {.id = id, .owner = owner, .actor = actor, .operation = operation};

        return write_do(c, LANE_BULK, do_delete, &g, e);
}

static int rename_folder(struct tx *tx, const struct folder *f, const struct cluster_change *ch, struct err *e)
{
        struct arena *a = arena_new(64 * 1024);
        char *fold = a ? text_fold(a, ch->name) : NULL;
        struct id other;
        int rc = fold ? folder_find_name(tx, f->owner, ch->name, &other, e) : err_oom(e);

        if (rc > 0 && !id_eq(other, f->id))
                rc = err_set(e, ERR_CONFLICT, "there is a folder named \"%s\" already", ch->name);
        else if (rc >= 0)
                rc = db_run(tx->db, e,
                            "UPDATE cluster SET name = ?1, name_fold = ?2, named = named | ?3, touched = "
                            "touched | ?3 WHERE id = ?4",
                            "ttiu", ch->name, fold, (int)ch->by_person, &f->id);
        arena_free(a);
        return rc;
}

static int change_one(struct tx *tx, const struct folder *f, const struct cluster_change *ch, struct err *e)
{
        switch (ch->kind) {
        case CHANGE_RENAME:
                return rename_folder(tx, f, ch, e);
        case CHANGE_THRESHOLD:
                return db_run(tx->db, e, "UPDATE cluster SET threshold = ? WHERE id = ?", "du", (double)ch->threshold,
                              &f->id);
        case CHANGE_CONFIRM:
                return db_run(tx->db, e, "UPDATE cluster SET status = ?, touched = 1 WHERE id = ?", "iu",
                              ch->provisional ? (int)CLUSTER_PROVISIONAL : (int)CLUSTER_ACTIVE, &f->id);
        case CHANGE_LOCK:
                return db_run(tx->db, e, "UPDATE cluster SET locked = ? WHERE id = ?", "iu", (int)ch->locked, &f->id);
        }
        return err_set(e, ERR_INVALID, "unknown change");
}

static int do_change(struct tx *tx, void *arg, struct err *e)
{
        static const char *const kinds[] = {"rename", "threshold", "confirm", "lock"};
        struct cluster_args *g = arg;
        const struct cluster_change *ch = g->change;
        struct folder f;
        struct id op_id;
        char detail[2048];
        int64_t op;

        if (lock_owner_of_folder(tx, g->id, e) || folder_find(tx, g->id, g->owner, &f, e))
                return -1;
        if (ch->version && ch->version != f.version)
                return err_set(e, ERR_CONFLICT, "the folder changed meanwhile");
        if (operation_add(tx, f.owner, g->actor, kinds[ch->kind], &f.id, describe_folder(&f, detail, sizeof detail),
                          &op_id, &op, e) ||
            change_one(tx, &f, ch, e) < 0 || tx_mark(tx, KEPT_FOLDER, f.id, e) ||
            db_run(tx->db, e, "UPDATE cluster SET version = version + 1, updated = ? WHERE id = ?", "lu", tx->now.us,
                   &f.id))
                return -1;
        if (g->operation)
                *g->operation = op_id;
        if (g->updated)
                *g->updated = tx->now;
        return tx_event(tx, (struct event){.kind = EVENT_FOLDER, .cluster = f.id}, e);
}

int catalog_cluster_change(struct catalog *c, struct id id, const char *owner, const struct cluster_change *ch,
                           const char *actor, struct id *operation, struct wall *updated, struct err *e)
{
        struct cluster_args g = {
                .id = id, .owner = owner, .actor = actor, .change = ch, .operation = operation, .updated = updated};

        if (ch->kind == CHANGE_RENAME && name_check(ch->name, e))
                return -1;
        if (ch->kind == CHANGE_THRESHOLD && !(ch->threshold >= 0 && ch->threshold <= 1))
                return err_set(e, ERR_INVALID, "threshold: %g, allowed are 0 to 1", (double)ch->threshold);
        return write_do(c, LANE_RESULT, do_change, &g, e);
}

/* ---- merging --------------------------------------------------------------------------- */

static int merge_sums(struct tx *tx, struct id from, struct id into, struct err *e)
{
        float sum[VECTOR_MAX_DIM];
        int64_t after = -1;

        for (;;) {
                struct rows *s =
                        db_query(tx->db, e,
                                 "SELECT model, sum, count FROM cluster_prototype WHERE cluster = ? AND model > ? "
                                 "ORDER BY model LIMIT 1",
                                 "ul", &from, after);
                int rc = s ? db_step(tx->db, s, e) : -1;
                size_t dim;
                int members;
                if (rc <= 0)
                        return rc;
                after = col_i64(s, 0);
                dim = col_vector(s, 1, sum);
                members = col_int(s, 2);
                db_end(s);
                if (prototype_add(tx, into, after, sum, dim, 1, members, e) < 0)
                        return -1;
        }
}

static int merge_one(struct tx *tx, const struct folder *source, struct id into, int64_t op, const char *actor,
                     struct err *e)
{
        char text[ID_TEXT_LEN], detail[128];

        snprintf(detail, sizeof detail, "{\"cluster_id\":\"%s\",\"merged\":true}", id_format(into, text));
        if (items_of(tx, op, source->id, &into, e) ||
            db_run(tx->db, e,
                   "INSERT INTO lineage (asset, at, action, actor, detail) SELECT n, ?, 'moved', ?, ? FROM asset "
                   "WHERE cluster = ? ORDER BY n",
                   "lttu", tx->now.us, actor ? actor : "service", detail, &source->id) ||
            merge_sums(tx, source->id, into, e) < 0 || tx_mark(tx, KEPT_FOLDER, source->id, e))
                return -1;
        if (db_run(tx->db, e, "UPDATE asset SET cluster = ?, updated = ? WHERE cluster = ?", "ulu", &into, tx->now.us,
                   &source->id) ||
            db_run(tx->db, e, "UPDATE cluster SET count = count + ?, touched = touched | ? WHERE id = ?", "liu",
                   (int64_t)source->count, (int)source->touched, &into) ||
            db_run(tx->db, e, "UPDATE cluster_alias SET target = ? WHERE target = ?", "uu", &into, &source->id) ||
            db_run(tx->db, e, "DELETE FROM cluster WHERE id = ?", "u", &source->id) ||
            db_run(tx->db, e, "INSERT INTO cluster_alias (id, target) VALUES (?, ?)", "uu", &source->id, &into))
                return -1;
        return tx_event(tx, (struct event){.kind = EVENT_RELABEL, .cluster = source->id, .to = into}, e);
}

static bool is_stale(const struct cluster_args *g, size_t i, const struct folder *f)
{
        return g->versions && g->versions[i] && g->versions[i] != f->version;
}

static int do_merge(struct tx *tx, void *arg, struct err *e)
{
        struct cluster_args *g = arg;
        struct folder target, source;
        struct id op_id;
        char detail[2048];
        int64_t op;

        if (lock_owner_of_folder(tx, g->id, e) || folder_find(tx, g->id, g->owner, &target, e))
                return -1;
        if (is_stale(g, 0, &target))
                return err_set(e, ERR_CONFLICT, "the folder changed meanwhile");
        if (operation_add(tx, target.owner, g->actor, "merge", &target.id,
                          describe_folder(&target, detail, sizeof detail), &op_id, &op, e))
                return -1;
        for (size_t i = 0; i < g->n; i++) {
                int64_t part;
                /* target.owner: a folder never mixes owners, whoever requests the merge */
                if (folder_find(tx, g->sources[i], target.owner, &source, e))
                        return -1;
                if (is_stale(g, i + 1, &source))
                        return err_set(e, ERR_CONFLICT, "the folder changed meanwhile");
                if (operation_add(tx, target.owner, g->actor, "merged", &source.id,
                                  describe_folder(&source, detail, sizeof detail), NULL, &part, e) ||
                    merge_one(tx, &source, target.id, op, g->actor, e) < 0)
                        return -1;
        }
        if (db_run(tx->db, e,
                   "UPDATE cluster SET version = version + 1, updated = ?, touched = touched | ? WHERE id = ?", "liu",
                   tx->now.us, (int)(g->versions == NULL), &target.id) ||
            tx_mark_items(tx, op, e) || tx_mark(tx, KEPT_FOLDER, target.id, e))
                return -1;
        if (g->operation)
                *g->operation = op_id;
        if (g->updated)
                *g->updated = tx->now;
        return tx_event(tx, (struct event){.kind = EVENT_FOLDER, .cluster = target.id}, e);
}

int catalog_cluster_merge(struct catalog *c, struct id target, const struct id *sources, size_t n,
                          const uint64_t *versions, const char *owner, const char *actor, struct id *operation,
                          struct wall *updated, struct err *e)
{
        struct cluster_args g = {.id = target,
                                 .sources = sources,
                                 .n = n,
                                 .versions = versions,
                                 .owner = owner,
                                 .actor = actor,
                                 .operation = operation,
                                 .updated = updated};

        if (n == 0)
                return err_set(e, ERR_INVALID, "source_cluster_ids: at least one folder");
        for (size_t i = 0; i < n; i++) {
                if (id_eq(sources[i], target))
                        return err_set(e, ERR_INVALID, "source_cluster_ids: a folder cannot merge into itself");
                for (size_t j = 0; j < i; j++)
                        if (id_eq(sources[i], sources[j]))
                                return err_set(e, ERR_INVALID, "source_cluster_ids: a folder is named twice");
        }
        return write_do(c, LANE_BULK, do_merge, &g, e);
}
