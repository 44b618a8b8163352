/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ingest: all rows of a request in one write. An idempotency key is looked
 * up inside it, so of two equal requests in flight the second meets the first
 * one's row, whichever thread came first.
 */
#include "catalog/catalog_engine_priv.h"
#include "catalog/catalog_place_rules.h"

#include <stdio.h>

struct ingest_args {
        const struct new_job *job;
        struct arena *arena;
        struct job_receipt *out;
        const char **fold; /* each asset's folded name; this and the rest is made on the caller's thread */
        struct id *assets;
        struct duplicate *duplicates;
        struct tag *tags;
        bool *damaged;
};

static const char *scope_of(const struct new_job *job)
{
        return or_empty(job->idempotency_scope);
}

/* ids and duplicates are kept as plain arrays of their structs: 16 and 32 bytes each. */
static int receipt_read(struct rows *s, struct arena *a, struct job_receipt *out, struct err *e)
{
        size_t ids = (size_t)col_bytes(s, 4), dups = (size_t)col_bytes(s, 5);

        *out = (struct job_receipt){.job_id = col_id(s, 1),
                                    .created = col_wall(s, 2),
                                    .replayed = true,
                                    .nassets = ids / sizeof *out->assets,
                                    .nduplicates = dups / sizeof *out->duplicates};
        out->assets = arena_alloc(a, ids + 1);
        out->duplicates = arena_alloc(a, dups + 1);
        if (!out->assets || !out->duplicates)
                return err_oom(e);
        if (ids)
                memcpy(out->assets, col_blob(s, 4), ids);
        if (dups)
                memcpy(out->duplicates, col_blob(s, 5), dups);
        return 0;
}

/* 1 replayed, 0 unknown, -1 error or other content. */
static int replay_receipt(struct db *db, const struct new_job *job, struct arena *a, struct job_receipt *out,
                          struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT hash, job, created, expires, assets, duplicates FROM idempotency "
                                  "WHERE owner = ? AND scope = ? AND key = ?",
                                  "ttt", job->owner, scope_of(job), job->idempotency_key);
        int rc = s ? db_step(db, s, e) : -1;
        char text[ID_TEXT_LEN];

        if (rc <= 0)
                return rc;
        if (col_wall(s, 3).us <= db->now.us) {
                rc = 0;
        } else if (!sha256_eq(col_sha(s, 0), job->content_hash)) {
                *out = (struct job_receipt){.job_id = col_id(s, 1), .created = col_wall(s, 2), .other_content = true};
                rc = err_set(e, ERR_CONFLICT, "the idempotency key was used with other content, by job %s",
                             id_format(out->job_id, text));
        } else {
                rc = receipt_read(s, a, out, e) ? -1 : 1;
        }
        db_end(s);
        return rc;
}

#define EXPIRED_DELETE(lock)                                                                                           \
        "DELETE FROM idempotency WHERE (owner, scope, key) IN "                                                        \
        "(SELECT owner, scope, key FROM idempotency WHERE expires <= ? LIMIT 20" lock ")"

static int remember_key(struct tx *tx, const struct new_job *job, const struct job_receipt *r, struct err *e)
{
        /* What has expired goes a little at a time, with whoever comes. */
        if (db_run(tx->db, e, SQL(tx->db, EXPIRED_DELETE(""), EXPIRED_DELETE(" FOR UPDATE SKIP LOCKED")), "l",
                   tx->now.us))
                return -1;
        return db_run(tx->db, e,
                      "INSERT INTO idempotency (owner, scope, key, hash, job, created, expires, assets, "
                      "duplicates) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (owner, scope, key) DO UPDATE SET "
                      "hash = excluded.hash, job = excluded.job, created = excluded.created, "
                      "expires = excluded.expires, assets = excluded.assets, duplicates = excluded.duplicates",
                      "ttthullbb", job->owner, scope_of(job), job->idempotency_key, &job->content_hash, &job->id,
                      r->created.us, wall_add(tx->now, catalog_of(tx)->idempotency_ttl).us, r->assets,
                      r->nassets * sizeof *r->assets, r->duplicates, r->nduplicates * sizeof *r->duplicates);
}

static bool is_analysed(const struct new_asset *x)
{
        return x->purposes >> PURPOSE_ANALYSE & 1;
}

static int add_job(struct tx *tx, const struct new_job *job, struct wall created, int64_t *n, struct err *e)
{
        int64_t queued = 0;
        enum job_status status;

        for (size_t i = 0; i < job->nassets; i++)
                queued += is_analysed(&job->assets[i]);
        status = queued == 0 ? JOBS_DONE : queued == (int64_t)job->nassets ? JOBS_QUEUED : JOBS_PROCESSING;
        return db_int(tx->db, e, n,
                      "INSERT INTO job (id, owner, comments, status, queued, processing, done, failed, created, "
                      "updated, "
                      "completed) VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, 0, ?7, ?7, ?8) RETURNING n",
                      "uttillll", &job->id, job->owner, job->comments, (int)status, queued,
                      (int64_t)job->nassets - queued, created.us, queued ? (int64_t)0 : tx->now.us) < 0
                       ? -1
                       : 0;
}

static int add_folder(struct tx *tx, const struct new_job *job, struct id *out, struct err *e)
{
        struct folder f = {.id = id_new(),
                           .status = CLUSTER_ACTIVE,
                           .threshold = catalog_of(tx)->folder_threshold,
                           .touched = true,
                           .named = true};
        int rc = folder_find_name(tx, job->owner, job->folder, out, e);

        if (rc < 0)
                return -1;
        if (rc > 0)
                return folder_touch(tx, *out, e);
        snprintf(f.owner, sizeof f.owner, "%s", job->owner);
        snprintf(f.name, sizeof f.name, "%s", job->folder);
        *out = f.id;
        return folder_add(tx, &f, e);
}

/* The oldest asset of this owner with these bytes, nil when there is none. */
static int find_duplicate(struct tx *tx, const char *owner, const struct sha256 *h, struct id *of, struct err *e)
{
        struct rows *s = db_query(
                tx->db, e, "SELECT id FROM asset WHERE sha256 = ? AND owner = ? AND trashed = 0 ORDER BY n LIMIT 1",
                "ht", h, owner);
        int rc = s ? db_step(tx->db, s, e) : -1;

        *of = (struct id){{0}};
        if (rc > 0) {
                *of = col_id(s, 0);
                db_end(s);
        }
        return rc < 0 ? -1 : 0;
}

static int asset_insert(struct tx *tx, const struct ingest_args *g, size_t i, int64_t job_n, const struct id *cluster,
                        const struct id *of, int64_t *n, struct err *e)
{
        const struct new_job *job = g->job;
        const struct new_asset *f = &job->assets[i];

        return db_int(tx->db, e, n,
                      "INSERT INTO asset (id, job, position, owner, kind, type, status, stage, filename, name_fold, "
                      "content_type, comments, sha256, size, created, updated, note, cluster, pinned, duplicate_of) "
                      "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?15, ?16, ?17, ?18, "
                      "?19) "
                      "RETURNING n",
                      "ulitiiittttthlltuiu", &f->id, job_n, (int)i, job->owner, (int)f->kind, (int)f->type,
                      is_analysed(f) ? (int)ASSET_QUEUED : (int)ASSET_DONE, "stored", f->filename, g->fold[i],
                      f->content_type, job->comments, &f->sha256, (int64_t)f->size, g->out->created.us,
                      f->analysis_note, cluster, (int)(cluster != NULL), id_is_nil(*of) ? NULL : of) < 0
                       ? -1
                       : 0;
}

static int add_asset(struct tx *tx, const struct ingest_args *g, size_t i, int64_t job_n, const struct id *cluster,
                     const struct tag *tags, struct err *e)
{
        const struct new_job *job = g->job;
        const struct new_asset *f = &job->assets[i];
        int status = is_analysed(f) ? ASSET_QUEUED : ASSET_DONE;
        struct id of;
        int64_t n;

        /* Before duplicates are looked for: of two uploads of the same new bytes the second waits here for the first.
         */
        if (object_acquire(tx, &f->sha256, f->size, &g->damaged[i], e) ||
            find_duplicate(tx, job->owner, &f->sha256, &of, e) || asset_insert(tx, g, i, job_n, cluster, &of, &n, e) ||
            counter_add(tx, job->owner, f->kind, status, 1, (int64_t)f->size, e))
                return -1;
        if (!id_is_nil(of))
                g->out->duplicates[g->out->nduplicates++] = (struct duplicate){.asset = f->id, .of = of};
        g->out->assets[i] = f->id;
        if (cluster && folder_member(tx, *cluster, n, 1, e) < 0)
                return -1;
        for (enum task_purpose p = 0; p < PURPOSE_COUNT; p++)
                if (f->purposes >> p & 1 && task_add(tx, n, p, f->type, e))
                        return -1;
        if (job->ntags && tags_replace(tx, n, 1u << TAG_HUMAN, tags, job->ntags, e))
                return -1;
        if (lineage_add(tx, n, "accepted", *scope_of(job) ? scope_of(job) : "user", NULL, e) ||
            tx_mark(tx, KEPT_ASSET, f->id, e))
                return -1;
        return tx_text(tx, n, e);
}

static int queue_check(struct tx *tx, const struct new_job *job, struct err *e)
{
        int64_t max = (int64_t)catalog_of(tx)->queue_max_depth, waiting = 0;
        bool tasks = false;

        for (size_t i = 0; i < job->nassets; i++)
                tasks |= is_analysed(&job->assets[i]);
        if (!tasks || !max)
                return 0;
        if (catalog_of(tx)->search->waiting(tx, &waiting, e) < 0)
                return -1;
        return waiting < max ? 0 : err_set(e, ERR_BUSY, "the queue is full: %lld tasks wait", (long long)waiting);
}

/* Of two requests with one key the second waits here, and then finds what the first one left. */
static int lock_key(struct tx *tx, const struct new_job *job, struct err *e)
{
        return db_run(tx->db, e,
                      SQL(tx->db, NULL,
                          "SELECT pg_advisory_xact_lock(hashtextextended(? || '/' || ? || '/' || ?, 5209311764))"),
                      "ttt", job->owner, scope_of(job), job->idempotency_key);
}

static struct tag *human_tags(struct arena *a, const char *const *names, size_t n)
{
        struct tag *tags = arena_array(a, n + 1, sizeof *tags);

        for (size_t i = 0; tags && i < n; i++)
                tags[i] = (struct tag){.name = names[i], .source = TAG_HUMAN, .confidence = 1};
        return tags;
}

static int do_ingest(struct tx *tx, void *arg, struct err *e)
{
        struct ingest_args *g = arg;
        const struct new_job *job = g->job;
        struct id cluster, *in = NULL;
        int64_t n;
        int rc;

        if (job->idempotency_key && lock_key(tx, job, e))
                return -1;
        if (job->idempotency_key && (rc = replay_receipt(tx->db, job, g->arena, g->out, e)) != 0)
                return rc < 0 ? -1 : 0;
        if (queue_check(tx, job, e))
                return -1;
        *g->out = (struct job_receipt){.job_id = job->id,
                                       .created = job->created.us ? job->created : tx->now,
                                       .assets = g->assets,
                                       .nassets = job->nassets,
                                       .duplicates = g->duplicates,
                                       .damaged = g->damaged};
        if (add_job(tx, job, g->out->created, &n, e))
                return -1;
        if (job->folder && *job->folder) {
                if (lock_owner(tx, job->owner, e) || add_folder(tx, job, &cluster, e))
                        return -1;
                in = &cluster;
        }
        for (size_t i = 0; i < job->nassets; i++)
                if (add_asset(tx, g, i, n, in, g->tags, e))
                        return -1;
        return job->idempotency_key ? remember_key(tx, job, g->out, e) : 0;
}

int catalog_ingest(struct catalog *c, const struct new_job *job, struct arena *a, struct job_receipt *out,
                   struct err *e)
{
        struct ingest_args g = {.job = job, .arena = a, .out = out};

        *out = (struct job_receipt){0};
        if (job->nassets == 0)
                return err_set(e, ERR_INVALID, "a job needs at least one asset");
        if (!owner_valid(span_of(job->owner)))
                return err_set(e, ERR_INVALID, "owner: 1 to 64 of A-Z a-z 0-9 . _ @ -, not beginning with a dot");
        if (job->folder && strlen(job->folder) > NAME_MAX_BYTES)
                return err_set(e, ERR_INVALID, "folder: at most %d bytes", NAME_MAX_BYTES);
        g.assets = arena_array(a, job->nassets, sizeof *g.assets);
        g.duplicates = arena_array(a, job->nassets, sizeof *g.duplicates);
        g.fold = arena_array(a, job->nassets, sizeof *g.fold);
        g.tags = human_tags(a, job->tags, job->ntags);
        g.damaged = arena_array(a, job->nassets, sizeof *g.damaged);
        if (!g.assets || !g.duplicates || !g.fold || !g.tags || !g.damaged)
                return err_oom(e);
        for (size_t i = 0; i < job->nassets; i++)
                if (!(g.fold[i] = text_fold(a, job->assets[i].filename)))
                        return err_oom(e);
        return write_do(c, LANE_ACK, do_ingest, &g, e);
}

int catalog_idempotency_find(struct catalog *c, const struct new_job *job, struct arena *a, struct job_receipt *out,
                             struct err *e)
{
        struct mono began = mono_now();
        struct db *db;
        int rc;

        *out = (struct job_receipt){0};
        if (!job->idempotency_key)
                return 0;
        db = read_begin(c, e);
        if (!db)
                return -1;
        rc = replay_receipt(db, job, a, out, e);
        read_end(c, db, began);
        return rc;
}
