/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a transaction gathers and writes at its end: counts, marks of what has
 * changed, texts to index. The database's hooks call what is at the end of it;
 * the rest is how the rules note things down.
 */
#include "catalog/catalog_work_priv.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- as the hooks ask ------------------------------------------------------------------- */

void work_done(void *work)
{
        struct work *w = work;

        mem_free(w->texts);
        mem_free(w->deltas);
        mem_free(w->jobs);
        mem_free(w->marks);
}

void work_begin(struct tx *tx)
{
        struct work *w = work_of(tx);

        w->ntexts = w->ndeltas = w->njobs = w->nmarks = 0;
        w->waiting = 0;
}

void work_mark(struct tx *tx)
{
        struct work *w = work_of(tx);

        w->before.ntexts = w->ntexts;
        w->before.nmarks = w->nmarks;
        w->before.waiting = w->waiting;
}

/* Counts are written at the end of each write: what is still there is of the one that failed. */
void work_rewind(struct tx *tx)
{
        struct work *w = work_of(tx);

        w->ntexts = w->before.ntexts;
        w->nmarks = w->before.nmarks;
        w->waiting = w->before.waiting;
        w->ndeltas = w->njobs = 0;
}

/* ---- texts and changes of what is searched ------------------------------------------------- */

int tx_text(struct tx *tx, int64_t asset, struct err *e)
{
        struct work *w = work_of(tx);

        if (mem_grow((void **)&w->texts, &w->texts_cap, w->ntexts + 1, sizeof *w->texts))
                return err_oom(e);
        w->texts[w->ntexts++] = asset;
        return 0;
}

int text_flush(struct tx *tx, struct err *e)
{
        const struct search_engine *search = catalog_of(tx)->search;
        struct work *w = work_of(tx);

        for (size_t i = 0; i < w->ntexts; i++) {
                struct arena *a = arena_new(16 << 20);
                int rc = a ? search->text_put(tx->db, w->texts[i], a, e) : err_oom(e);
                arena_free(a);
                if (rc < 0)
                        return -1;
        }
        return 0;
}

int tx_event(struct tx *tx, struct event ev, struct err *e)
{
        return catalog_of(tx)->search->event(tx, ev, e);
}

int vector_write(struct tx *tx, const struct row *r, enum part_kind kind, int64_t part, int64_t model, const float *v,
                 uint32_t dim, struct err *e)
{
        return catalog_of(tx)->search->vector_put(tx, r, kind, part, model, v, dim, e);
}

/* ---- counting -------------------------------------------------------------------- */

void tx_waiting(struct tx *tx, int64_t delta)
{
        work_of(tx)->waiting += delta;
}

int counter_add(struct tx *tx, const char *owner, int kind, int status, int64_t n, int64_t bytes, struct err *e)
{
        struct work *w = work_of(tx);
        struct counter_delta *d = w->deltas;

        for (size_t i = 0; i < w->ndeltas; i++, d++)
                if (d->kind == kind && d->status == status && strcmp(d->owner, owner) == 0) {
                        d->n += n;
                        d->bytes += bytes;
                        return 0;
                }
        if (mem_grow((void **)&w->deltas, &w->deltas_cap, w->ndeltas + 1, sizeof *w->deltas))
                return err_oom(e);
        d = &w->deltas[w->ndeltas++];
        *d = (struct counter_delta){.kind = kind, .status = status, .n = n, .bytes = bytes};
        snprintf(d->owner, sizeof d->owner, "%s", owner);
        return 0;
}

int job_count(struct tx *tx, int64_t job, enum asset_status status, int delta, struct err *e)
{
        struct work *w = work_of(tx);

        for (size_t i = 0; i < w->njobs; i++)
                if (w->jobs[i].job == job) {
                        w->jobs[i].by[status] += delta;
                        return 0;
                }
        if (mem_grow((void **)&w->jobs, &w->jobs_cap, w->njobs + 1, sizeof *w->jobs))
                return err_oom(e);
        w->jobs[w->njobs] = (struct job_delta){.job = job};
        w->jobs[w->njobs++].by[status] = delta;
        return 0;
}

/* The numbers are enum job_status: queued 0, processing 1, done 2, failed 3, partial 4. */
static int job_flush(struct tx *tx, const struct job_delta *p, struct err *e)
{
        if (db_run(tx->db, e,
                   "UPDATE job SET queued = queued + ?, processing = processing + ?, done = done + ?, failed = failed "
                   "+ ? WHERE n = ?",
                   "lllll", p->by[ASSET_QUEUED], p->by[ASSET_PROCESSING], p->by[ASSET_DONE], p->by[ASSET_FAILED],
                   p->job))
                return -1;
        return db_run(
                tx->db, e,
                "UPDATE job SET updated = ?1, "
                "completed = CASE WHEN queued + processing > 0 THEN 0 WHEN completed > 0 THEN completed ELSE ?1 END, "
                "status = CASE WHEN queued > 0 AND processing + done + failed = 0 THEN 0 "
                "WHEN queued + processing > 0 THEN 1 WHEN failed = 0 THEN 2 WHEN done = 0 THEN 3 ELSE 4 END "
                "WHERE n = ?2",
                "ll", tx->now.us, p->job);
}

static int by_job(const void *a, const void *b)
{
        int64_t x = ((const struct job_delta *)a)->job, y = ((const struct job_delta *)b)->job;

        return (x > y) - (x < y);
}

static int by_counter(const void *a, const void *b)
{
        const struct counter_delta *x = a, *y = b;

        if (x->kind != y->kind)
                return x->kind < y->kind ? -1 : 1;
        if (x->status != y->status)
                return x->status < y->status ? -1 : 1;
        return strcmp(x->owner, y->owner);
}

/*
 * A fact has one row in SQLite and one a shard in PostgreSQL, where only the sum
 * means something. SQLite checks that none is negative before it looks for a
 * conflict, and PostgreSQL's own row may be.
 */
static int counter_flush(struct tx *tx, const struct counter_delta *d, struct err *e)
{
        return db_run(tx->db, e,
                      SQL(tx->db,
                          "INSERT INTO counter (owner, kind, status, count, bytes) VALUES (?1, ?2, ?3, max(?5, 0), "
                          "max(?6, 0)) ON CONFLICT (owner, kind, status) DO UPDATE SET count = count + ?5, "
                          "bytes = bytes + ?6",
                          "INSERT INTO counter (owner, kind, status, shard, count, bytes) VALUES (?1, ?2, ?3, ?4, ?5, "
                          "?6) ON CONFLICT (owner, kind, status, shard) DO UPDATE SET count = counter.count + ?5, "
                          "bytes = counter.bytes + ?6"),
                      "tiiill", d->owner, d->kind, d->status, (int)tx->db->shard, d->n, d->bytes);
}

/* Rows that everybody writes come last and in one order: nobody waits for long, and never in a circle. */
int count_flush(struct tx *tx, struct err *e)
{
        struct work *w = work_of(tx);

        if (w->njobs)
                qsort(w->jobs, w->njobs, sizeof *w->jobs, by_job);
        if (w->ndeltas)
                qsort(w->deltas, w->ndeltas, sizeof *w->deltas, by_counter);
        for (size_t i = 0; i < w->njobs; i++)
                if (job_flush(tx, &w->jobs[i], e))
                        return -1;
        for (size_t i = 0; i < w->ndeltas; i++)
                if ((w->deltas[i].n || w->deltas[i].bytes) && counter_flush(tx, &w->deltas[i], e))
                        return -1;
        w->njobs = w->ndeltas = 0;
        return 0;
}

/* ---- marks ------------------------------------------------------------------------------ */

/* No counter to contend for: it only has to differ from the mark's last one. */
int64_t mark_change(void)
{
        return (int64_t)(random_u64() >> 1);
}

int tx_mark(struct tx *tx, enum kept_kind kind, struct id id, struct err *e)
{
        struct work *w = work_of(tx);

        if (mem_grow((void **)&w->marks, &w->marks_cap, w->nmarks + 1, sizeof *w->marks))
                return err_oom(e);
        w->marks[w->nmarks++] = (struct work_mark){.kind = kind, .id = id};
        return 0;
}

int tx_mark_items(struct tx *tx, int64_t op, struct err *e)
{
        return db_run(tx->db, e,
                      "INSERT INTO sidecar_mark (kind, id, at, change) SELECT 0, a.id, ?, ? FROM operation_item i JOIN "
                      "asset a ON a.n = i.asset WHERE i.operation = ? ORDER BY a.id "
                      "ON CONFLICT (kind, id) DO UPDATE SET change = excluded.change",
                      "lll", tx->now.us, mark_change(), op);
}

static int mark_cmp(const void *a, const void *b)
{
        const struct work_mark *x = a, *y = b;

        return x->kind != y->kind ? (x->kind > y->kind) - (x->kind < y->kind) : id_cmp(x->id, y->id);
}

static int put_one(struct tx *tx, const struct work_mark *m, int64_t change, struct err *e)
{
        return db_run(tx->db, e,
                      "INSERT INTO sidecar_mark (kind, id, at, change) VALUES (?, ?, ?, ?) "
                      "ON CONFLICT (kind, id) DO UPDATE SET change = excluded.change",
                      "iull", (int)m->kind, &m->id, tx->now.us, change);
}

/* In one order for all who write, as counters are. */
int mark_flush(struct tx *tx, struct err *e)
{
        struct work *w = work_of(tx);
        int64_t change;

        if (w->nmarks == 0)
                return 0;
        change = mark_change();
        qsort(w->marks, w->nmarks, sizeof *w->marks, mark_cmp);
        for (size_t i = 0; i < w->nmarks; i++)
                if ((i == 0 || mark_cmp(&w->marks[i - 1], &w->marks[i]) != 0) && put_one(tx, &w->marks[i], change, e))
                        return -1;
        w->nmarks = 0;
        return 0;
}
