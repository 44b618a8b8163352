/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer: one thread takes all queued writes, runs each in a savepoint of one transaction, commits, and only then
 * answers all of them. So thirty-two concurrent ingests share one fsync, a write that fails does not affect the
 * others, and no caller is told "done" of what is not on disk.
 */
#include "db/sqlite/sqlite_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define BATCH_MAX    512
#define BATCH_MS     100 /* results and leases stop joining after it */
#define BULK_MS      20  /* bulk work stops joining after it */
#define IDLE_SECONDS 30
#define DUE_MS       50  /* without a write: due background work is done then */
#define DUE_MAX      256 /* or when this much is due */
#define DUE_RETRY    10  /* seconds, after a failure */

struct write {
        write_fn *fn;
        void *arg;
        struct write *next;
        struct cond answered; /* one for each write: the end of a batch wakes only the callers it answers */
        int rc;
        bool done;
        struct err err;
};

static void queue_put(struct write_queue *q, struct write *w)
{
        w->next = NULL;
        *q->tail = w;
        q->tail = &w->next;
}

static struct write *queue_take(struct write_queue *q)
{
        struct write *w = q->head;

        if (w) {
                q->head = w->next;
                if (!q->head)
                        q->tail = &q->head;
        }
        return w;
}

int sqlite_write(struct database *base, enum lane lane, write_fn *fn, void *arg, struct err *e)
{
        struct sqlite_database *d = sqlite_of(base);
        struct mono began = mono_now();
        struct write w = {.fn = fn, .arg = arg};

        cond_init(&w.answered);
        lock_take(&d->wlock);
        assert(!d->stop);
        queue_put(&d->lanes[lane], &w);
        atomic_fetch_add(&d->writes_waiting, 1);
        cond_signal(&d->wcond);
        while (!w.done)
                cond_wait(&w.answered, &d->wlock);
        lock_drop(&d->wlock);
        cond_done(&w.answered);
        metrics_observe(METRIC_DB_DURATION, dur_seconds(mono_since(began)), "write");
        if (w.rc < 0 && e)
                *e = w.err;
        return w.rc;
}

/* Whether SQLite itself rolled the transaction back, as it may on a full disk. */
static bool has_lost_tx(const struct tx *tx)
{
        return sqlite3_get_autocommit(conn_of(tx->db)->h) != 0;
}

static void roll_back(struct tx *tx)
{
        sqlite3_exec(conn_of(tx->db)->h, "ROLLBACK", NULL, NULL, NULL);
}

static void mark_before(struct sqlite_database *d, struct tx *tx)
{
        if (d->base.hooks->mark)
                d->base.hooks->mark(tx);
}

/* Discards what the write noted in this transaction outside the database. */
static void forget_write(struct sqlite_database *d, struct tx *tx)
{
        if (d->base.hooks->rewind)
                d->base.hooks->rewind(tx);
}

static int run_write(struct sqlite_database *d, struct tx *tx, struct write *w)
{
        const struct db_hooks *hooks = d->base.hooks;
        int rc = w->fn(tx, w->arg, &w->err);

        return rc >= 0 && !has_lost_tx(tx) && hooks->flush && hooks->flush(tx, &w->err) < 0 ? -1 : rc;
}

/*
 * Nothing is in the transaction yet, so rolling all of it back undoes the write; that saves SQLite a copy of each
 * page for a savepoint.
 */
static void run_first(struct sqlite_database *d, struct tx *tx, struct write *w)
{
        struct err ignored;

        mark_before(d, tx);
        w->rc = run_write(d, tx, w);
        if (w->rc >= 0 && !has_lost_tx(tx))
                return;
        forget_write(d, tx);
        if (has_lost_tx(tx))
                return;
        roll_back(tx);
        if (has_lost_tx(tx) && db_run(tx->db, &ignored, "BEGIN IMMEDIATE", ""))
                w->rc = -1; /* the batch detects it */
}

static void run_one(struct sqlite_database *d, struct tx *tx, struct write *w)
{
        struct err ignored;

        mark_before(d, tx);
        w->rc = db_run(tx->db, &w->err, "SAVEPOINT one", "");
        if (w->rc == 0)
                w->rc = run_write(d, tx, w);
        if (w->rc >= 0 && !has_lost_tx(tx)) {
                int released = db_run(tx->db, &w->err, "RELEASE one", "");
                if (released == 0)
                        return;
                w->rc = -1;
        }
        forget_write(d, tx);
        if (has_lost_tx(tx))
                return;
        /* If even this fails, the transaction cannot be trusted: it is rolled back, which the batch detects. */
        if (db_run(tx->db, &ignored, "ROLLBACK TO one", "") || db_run(tx->db, &ignored, "RELEASE one", ""))
                roll_back(tx);
}

/* The next write that may join a batch that began at that time; acknowledgements always may. */
static struct write *next_write(struct sqlite_database *d, struct mono began, size_t taken)
{
        static const int64_t limit_ms[LANE_COUNT] = {[LANE_ACK] = 5 * BATCH_MS, BATCH_MS, BULK_MS};
        struct write *w = NULL;
        int64_t ms = mono_since(began).ns / 1000000;

        lock_take(&d->wlock);
        for (int lane = 0; lane < LANE_COUNT && !w && taken < BATCH_MAX; lane++)
                if (taken == 0 || ms < limit_ms[lane])
                        w = queue_take(&d->lanes[lane]);
        if (w)
                atomic_fetch_sub(&d->writes_waiting, 1);
        lock_drop(&d->wlock);
        return w;
}

static int commit_batch(struct sqlite_database *d, struct tx *tx, struct err *e)
{
        const struct db_hooks *hooks = d->base.hooks;
        struct mono began = mono_now();
        int fault;

        if (hooks->finish && hooks->finish(tx, e) < 0)
                return -1;
        fault = FAULT("catalog.commit");
        if (fault)
                return err_errno(e, fault, "catalog: commit");
        if (db_run(tx->db, e, "COMMIT", ""))
                return -1;
        fault = FAULT(
                "catalog.committed"); /* this fault point only kills the process between the commit and the answers */
        metrics_observe(METRIC_DB_DURATION, dur_seconds(mono_since(began)), "commit");
        return 0;
}

static void answer_batch(struct sqlite_database *d, struct write_queue *batch)
{
        struct write *w;

        lock_take(&d->wlock);
        while ((w = queue_take(batch))) {
                w->done = true; /* once the lock is released, the caller may have freed the write */
                cond_signal(&w->answered);
        }
        lock_drop(&d->wlock);
}

/* The transaction is rolled back, and none of its writes took effect. */
static void give_up(struct sqlite_database *d, struct tx *tx, struct write_queue *batch, const struct err *e)
{
        if (!has_lost_tx(tx))
                roll_back(tx);
        if (e->code ==
            ERR_NO_SPACE) /* the WAL is copied into the database, so that it can start again from its beginning */
                wal_ask(d);
        for (struct write *w = batch->head; w; w = w->next)
                if (w->rc >= 0) {
                        w->rc = -1;
                        w->err = *e;
                }
}

static int begin_batch(struct sqlite_database *d, struct tx *tx, struct err *e)
{
        if (d->base.hooks->begin)
                d->base.hooks->begin(tx);
        tx->now = tx->db->now = wall_now();
        return db_run(tx->db, e, "BEGIN IMMEDIATE", "");
}

static void run_batch(struct sqlite_database *d, struct tx *tx)
{
        struct write_queue batch = {.tail = &batch.head};
        struct mono began = mono_now();
        struct err e = {0};
        struct write *w;
        bool empty = true;
        size_t n = 0;
        int rc = begin_batch(d, tx, &e);

        while ((w = next_write(d, began, n))) {
                queue_put(&batch, w);
                n++;
                if (rc == 0) {
                        (empty ? run_first : run_one)(d, tx, w);
                        empty &= w->rc < 0;
                        if (has_lost_tx(tx)) {
                                rc = -1;
                                e = w->err.code ? w->err
                                                : (struct err){.code = ERR_IO, .msg = "catalog: transaction lost"};
                        }
                }
                if (rc < 0)
                        break;
        }
        if (rc == 0)
                rc = commit_batch(d, tx, &e);
        if (rc < 0)
                give_up(d, tx, &batch, &e);
        else if (d->base.hooks->committed)
                d->base.hooks->committed(tx);
        answer_batch(d, &batch);
}

static bool nothing_waits(const struct sqlite_database *d)
{
        return !d->lanes[LANE_ACK].head && !d->lanes[LANE_RESULT].head && !d->lanes[LANE_BULK].head;
}

/* The writer's own background write; it is queued again when the previous one has been answered. */
struct own {
        struct write w;
        struct mono not_before; /* after a failure */
};

static int64_t next_due(struct sqlite_database *d)
{
        return d->base.hooks->due ? d->base.hooks->due(d->base.owner) : 0;
}

static bool own_waits(struct sqlite_database *d, const struct own *own)
{
        return next_due(d) > 0 && mono_reached(own->not_before);
}

static void own_ask(struct sqlite_database *d, struct own *own)
{
        lock_assert_held(&d->wlock);
        own->w.done = false;
        queue_put(&d->lanes[LANE_BULK], &own->w);
        atomic_fetch_add(&d->writes_waiting, 1);
}

static void own_look(struct own *own)
{
        if (!own->w.done || own->w.rc >= 0)
                return;
        log_warning("catalog", "background work of the writer failed, it is tried again: %s", own->w.err.msg);
        own->not_before = mono_add(mono_now(), dur_s(DUE_RETRY));
        own->w.rc = 0;
}

/*
 * Called with the lock held; returns with it held and with something to do. Background work runs when no caller
 * waits.
 */
static void wait_for_work(struct sqlite_database *d, struct own *own)
{
        bool idle = false;

        lock_assert_held(&d->wlock);
        while (nothing_waits(d) && !d->stop) {
                if (own_waits(d, own)) {
                        if (!cond_wait_until(&d->wcond, &d->wlock, mono_add(mono_now(), dur_ms(DUE_MS))) &&
                            nothing_waits(d) && !d->stop)
                                own_ask(d, own);
                } else if (idle) {
                        cond_wait(&d->wcond, &d->wlock);
                } else if (!cond_wait_until(&d->wcond, &d->wlock, mono_add(mono_now(), dur_s(IDLE_SECONDS)))) {
                        idle = true;
                        lock_drop(&d->wlock);
                        if (d->base.hooks->quiet)
                                d->base.hooks->quiet(d->base.owner);
                        lock_take(&d->wlock);
                }
        }
        if (own->w.done && next_due(d) >= DUE_MAX && mono_reached(own->not_before))
                own_ask(d, own);
}

static void *writer_main(void *arg)
{
        struct sqlite_database *d = arg;
        struct own own = {.w = {.fn = d->base.hooks->catch_up, .done = true}};
        bool stop = false;

        cond_init(&own.w.answered);
        while (!stop) {
                lock_take(&d->wlock);
                wait_for_work(d, &own);
                stop = d->stop && nothing_waits(d);
                lock_drop(&d->wlock);
                if (!stop) {
                        run_batch(d, &d->wtx);
                        own_look(&own);
                        wal_tend(d);
                }
        }
        cond_done(&own.w.answered);
        return NULL;
}

int writer_start(struct sqlite_database *d, struct err *e)
{
        if (tx_open(&d->wtx, &d->base, e))
                return -1;
        d->wtx.db = &d->wdb.base;
        wal_watch(d);
        if (thread_start(&d->writer, "catalog-writer", writer_main, d))
                return err_set(e, ERR_OOM, "catalog: cannot start the writer thread");
        d->writer_runs = true;
        return 0;
}

unsigned sqlite_writes_waiting(const struct database *d)
{
        return atomic_load(&((const struct sqlite_database *)d)->writes_waiting);
}

void writer_stop(struct sqlite_database *d)
{
        if (!d->writer_runs)
                return;
        lock_take(&d->wlock);
        d->stop = true;
        cond_broadcast(&d->wcond);
        lock_drop(&d->wlock);
        pthread_join(d->writer, NULL);
        d->writer_runs = false;
}
