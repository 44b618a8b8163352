/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is copied, in which order, and the proof that it arrived. The hard part is certainty after an interruption:
 * the source is hashed first, the target stores that hash, and a later run must present the same source.
 */
#include "keep/keep_copy_priv.h"
#include "keep/keep_catalog_tables.h"

#include <stdio.h>
#include <string.h>

#define BATCH_BYTES ((size_t)16 << 20)
#define PIECE       ((size_t)256 << 10) /* bytes that are sent at once */
#define ROW_MAX     ((size_t)1 << 30)   /* of a field in PostgreSQL */
#define TEXTS       500                 /* assets whose words are indexed in one transaction */
#define TELL_ROWS   1000

static const struct {
        const char *what, *sql;
} group_queries[] = {
        {"files", "SELECT owner, CASE WHEN trashed > 0 THEN 'trash' WHEN status = 0 THEN 'queued' WHEN status = 1 THEN "
                  "'processing' WHEN status = 2 THEN 'done' ELSE 'failed' END AS state, count(*), CAST(sum(size) AS "
                  "bigint) FROM asset GROUP BY 1, 2 ORDER BY 1, 2"},
        {"folders", "SELECT owner, CASE WHEN status = 0 THEN 'provisional' ELSE 'active' END AS state, count(*), "
                    "CAST(sum(count) AS bigint) FROM cluster GROUP BY 1, 2 ORDER BY 1, 2"},
        {"tasks", "SELECT a.owner, CASE WHEN t.state = 0 THEN 'ready' WHEN t.state = 1 THEN 'leased' WHEN t.state = 2 "
                  "THEN 'done' ELSE 'dead' END AS state, count(*), CAST(0 AS bigint) FROM task t JOIN asset a ON a.n = "
                  "t.asset GROUP BY 1, 2 ORDER BY 1, 2"},
};

struct keep_copy {
        struct keep_copy_opts opts;
        struct copy_source *source;
        struct copy_target *target;
        struct sha256_ctx *sha;
        enum keep_copy_state state;
        size_t n; /* tables */
        struct copy_table is[COPY_TABLES_MAX];
        struct keep_copy_table tables[COPY_TABLES_MAX]; /* the result for each */
        struct keep_copy_group *groups;
        size_t ngroups, groups_cap;
        uint64_t total; /* rows of the source */
        uint64_t done;  /* rows done in the current step */
};

static void report_progress(struct keep_copy *c, const char *what, uint64_t total)
{
        if (c->opts.progress)
                c->opts.progress(c->opts.ctx, what, c->done, total);
}

static void count_row(struct keep_copy *c, const char *what)
{
        if (++c->done % TELL_ROWS == 0)
                report_progress(c, what, c->total);
}

/* ---- reading the source ---------------------------------------------------------------- */

static void hash_span(struct sha256_ctx *sha, struct span s)
{
        sha256_update(sha, s.p, s.n);
}

static int hash_table(struct keep_copy *c, size_t i, struct buf *b, struct err *e)
{
        struct keep_copy_table *t = &c->tables[i];
        int rc;

        t->name = c->is[i].name;
        if (copy_source_table(c->source, &c->is[i], 0, e))
                return -1;
        hash_span(c->sha, COPY_HEADER);
        while ((rc = copy_source_row(c->source, b, e)) > 0) {
                hash_span(c->sha, buf_span(b));
                buf_reset(b);
                t->rows++;
                count_row(c, "reading");
        }
        hash_span(c->sha, COPY_TRAILER);
        t->hash = sha256_final(c->sha);
        return rc;
}

static int hash_source(struct keep_copy *c, struct err *e)
{
        struct buf b;
        int rc = 0;

        buf_init(&b, ROW_MAX);
        for (size_t i = 0; i < c->n && rc == 0; i++)
                rc = hash_table(c, i, &b, e);
        buf_done(&b);
        c->total = c->done;
        return rc;
}

/* One hash over the contents of all tables. */
static struct sha256 fingerprint_source(struct keep_copy *c)
{
        for (size_t i = 0; i < c->n; i++) {
                sha256_update(c->sha, c->tables[i].name, strlen(c->tables[i].name) + 1);
                sha256_update(c->sha, &c->tables[i].hash, sizeof c->tables[i].hash);
        }
        return sha256_final(c->sha);
}

/* ---- opening ------------------------------------------------------------------------------ */

static int recognise_copy(struct keep_copy *c, const struct copy_found *found, struct err *e)
{
        struct sha256 source = fingerprint_source(c);

        c->state = found->finished ? COPY_FINISHED : found->begun ? COPY_BEGUN : COPY_NEW;
        if (!found->begun)
                return 0;
        if (found->origin != copy_source_origin(c->source))
                return err_set(e, ERR_CONFLICT,
                               "the target was begun from another catalog: give this copy an empty database");
        if (!sha256_eq(found->source, source))
                return err_set(e, ERR_CONFLICT,
                               "the source has changed since its copy was %s: nothing was done; to copy its present "
                               "state, give the copy an empty database",
                               found->finished ? "finished" : "begun");
        return 0;
}

int keep_copy_open(const struct keep_copy_opts *opts, struct keep_copy **out, struct err *e)
{
        struct keep_copy *c = mem_calloc(1, sizeof *c);
        struct copy_found found;

        if (!c)
                return err_oom(e);
        c->opts = *opts;
        c->n = copy_tables_of(TABLE_COPIED, c->is);
        if (!c->opts.batch_bytes)
                c->opts.batch_bytes = BATCH_BYTES;
        c->sha = sha256_new();
        if (!c->sha) {
                err_oom(e);
        } else if (copy_source_open(opts->from, &c->source, e) == 0 &&
                   copy_target_open(opts->to, opts->password, &c->target, e) == 0 &&
                   copy_target_look(c->target, &found, e) == 0 && hash_source(c, e) == 0 &&
                   recognise_copy(c, &found, e) == 0) {
                *out = c;
                return 0;
        }
        keep_copy_close(c);
        return -1;
}

void keep_copy_close(struct keep_copy *c)
{
        if (!c)
                return;
        copy_source_close(c->source);
        copy_target_close(c->target);
        sha256_free(c->sha);
        mem_free(c->groups);
        mem_free(c);
}

enum keep_copy_state keep_copy_state(const struct keep_copy *c)
{
        return c->state;
}

/* ---- copying --------------------------------------------------------------------------------- */

/*
 * One transaction: copies rows until the batch is full. Returns 1 when there may be more, 0 when that was all, -1 on
 * error.
 */
static int copy_batch(struct keep_copy *c, const struct copy_table *t, uint64_t *rows, struct buf *b, struct err *e)
{
        size_t bytes = 0;
        int rc;

        if (copy_target_batch(c->target, t, e))
                return -1;
        while ((rc = copy_source_row(c->source, b, e)) > 0) {
                ++*rows;
                count_row(c, "copying");
                if (b->n < PIECE && bytes + b->n < c->opts.batch_bytes)
                        continue;
                bytes += b->n;
                if (copy_target_put(c->target, buf_span(b), e))
                        return -1;
                buf_reset(b);
                if (bytes >= c->opts.batch_bytes)
                        break;
        }
        if (rc < 0 || copy_target_put(c->target, buf_span(b), e) || copy_target_commit(c->target, t, *rows, e))
                return -1;
        buf_reset(b);
        return rc;
}

static int copy_table(struct keep_copy *c, size_t i, struct buf *b, struct err *e)
{
        const struct copy_table *t = &c->is[i];
        uint64_t rows;
        int rc = 1;

        if (copy_target_copied(c->target, t, &rows, e))
                return -1;
        c->done += rows;
        if (rows >= c->tables[i].rows)
                return 0;
        if (copy_source_table(c->source, t, rows, e))
                return -1;
        while (rc > 0)
                rc = copy_batch(c, t, &rows, b, e);
        return rc;
}

static int index_words(struct keep_copy *c, struct err *e)
{
        uint64_t made = 1, assets = 0;

        for (size_t i = 0; i < c->n; i++)
                if (strcmp(c->is[i].name, "asset") == 0)
                        assets = c->tables[i].rows;
        for (c->done = 0; made > 0; c->done += made) {
                report_progress(c, "indexing words", assets);
                if (copy_target_text(c->target, TEXTS, &made, e))
                        return -1;
        }
        return 0;
}

int keep_copy_load(struct keep_copy *c, struct err *e)
{
        struct sha256 source = fingerprint_source(c);
        struct buf b;
        int rc;

        if (c->state == COPY_FINISHED)
                return 0;
        rc = copy_target_begin(c->target, 0, copy_source_origin(c->source), &source, e);
        buf_init(&b, ROW_MAX);
        c->done = 0;
        for (size_t i = 0; i < c->n && rc == 0; i++)
                rc = copy_table(c, i, &b, e);
        buf_done(&b);
        return rc < 0 || index_words(c, e) || copy_target_settle(c->target, e) ? -1 : 0;
}

/* ---- proof --------------------------------------------------------------------------------------- */

static void hash_piece(void *ctx, struct span piece)
{
        hash_span(ctx, piece);
}

struct groups {
        struct keep_copy *c;
        const char *what;
        size_t first; /* of this what */
};

static int put_group(struct groups *g, const char *owner, const char *status, struct keep_copy_group **out,
                     struct err *e)
{
        struct keep_copy *c = g->c;
        struct keep_copy_group *p;

        for (size_t i = g->first; i < c->ngroups; i++) {
                p = &c->groups[i];
                if (strcmp(p->what, g->what) == 0 && strcmp(p->owner, owner) == 0 && strcmp(p->status, status) == 0) {
                        *out = p;
                        return 0;
                }
        }
        if (mem_grow((void **)&c->groups, &c->groups_cap, c->ngroups + 1, sizeof *c->groups))
                return err_oom(e);
        p = &c->groups[c->ngroups++];
        *p = (struct keep_copy_group){.what = g->what};
        snprintf(p->owner, sizeof p->owner, "%s", owner);
        snprintf(p->status, sizeof p->status, "%s", status);
        *out = p;
        return 0;
}

static int source_group(void *ctx, const char *owner, const char *status, uint64_t count, uint64_t bytes, struct err *e)
{
        struct groups *g = ctx;
        struct keep_copy_group *p;

        if (put_group(g, owner, status, &p, e))
                return -1;
        p->count = count;
        p->bytes = bytes;
        return 0;
}

static int target_group(void *ctx, const char *owner, const char *status, uint64_t count, uint64_t bytes, struct err *e)
{
        struct groups *g = ctx;
        struct keep_copy_group *p;

        if (put_group(g, owner, status, &p, e))
                return -1;
        p->target_count = count;
        p->target_bytes = bytes;
        return 0;
}

static int compare_groups(struct keep_copy *c, struct err *e)
{
        c->ngroups = 0;
        for (size_t i = 0; i < COUNT_OF(group_queries); i++) {
                struct groups g = {.c = c, .what = group_queries[i].what, .first = c->ngroups};
                if (copy_source_groups(c->source, group_queries[i].sql, source_group, &g, e) < 0 ||
                    copy_target_groups(c->target, group_queries[i].sql, target_group, &g, e) < 0)
                        return -1;
        }
        return 0;
}

int keep_copy_verify(struct keep_copy *c, bool *equal, struct err *e)
{
        *equal = false;
        c->done = 0;
        for (size_t i = 0; i < c->n; i++) {
                struct keep_copy_table *t = &c->tables[i];
                report_progress(c, "comparing", c->total);
                if (copy_target_read(c->target, &c->is[i], hash_piece, c->sha, &t->target_rows, e))
                        return -1;
                t->target_hash = sha256_final(c->sha);
                c->done += t->target_rows;
        }
        if (compare_groups(c, e))
                return -1;
        *equal = true;
        for (size_t i = 0; i < c->n; i++)
                *equal &= c->tables[i].rows == c->tables[i].target_rows &&
                          sha256_eq(c->tables[i].hash, c->tables[i].target_hash);
        for (size_t i = 0; i < c->ngroups; i++)
                *equal &= c->groups[i].count == c->groups[i].target_count &&
                          c->groups[i].bytes == c->groups[i].target_bytes;
        return 0;
}

int keep_copy_finish(struct keep_copy *c, struct err *e)
{
        return c->state == COPY_FINISHED ? 0 : copy_target_finish(c->target, e);
}

const struct keep_copy_table *keep_copy_tables(const struct keep_copy *c, size_t *n)
{
        *n = c->n;
        return c->tables;
}

const struct keep_copy_group *keep_copy_groups(const struct keep_copy *c, size_t *n)
{
        *n = c->ngroups;
        return c->groups;
}

uint64_t keep_copy_mended(const struct keep_copy *c)
{
        return copy_source_mended(c->source);
}

int keep_copy_object(struct keep_copy *c, struct sha256 *object, uint64_t *size, char *products, size_t room,
                     struct err *e)
{
        return copy_source_object(c->source, object, size, products, room, e);
}
