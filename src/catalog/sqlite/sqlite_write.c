/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The writer: one thread takes all writes that wait, runs each in a savepoint
 * of one transaction, commits, and only then answers them all. So thirty-two
 * concurrent ingests share one fsync, a failing one fails alone, and nobody
 * hears "done" of what is not on disk.
 */
#include "catalog/sqlite/sqlite.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define BATCH_MAX    512
#define BATCH_MS     100 /* results and leases stop joining after it */
#define BULK_MS      20  /* bulk work stops joining after it */
#define IDLE_SECONDS 30
#define WORDS_MS     50  /* without a write: the words of new assets are indexed then */
#define WORDS_MAX    256 /* or when so many are due */
#define WORDS_RETRY  10  /* seconds, after a failure */

struct write {
        write_fn *fn;
        void *arg;
        struct write *next;
        struct cond answered; /* one each: a batch's end wakes those it answers and nobody else */
        int rc;
        bool done;
        struct err err;
};

static struct sqlite_tx *sqlite_tx(struct tx *tx)
{
        return (struct sqlite_tx *)tx;
}

int sqlite_event(struct tx *base, struct event ev, struct err *e)
{
        struct sqlite_tx *tx = sqlite_tx(base);

        if (mem_grow((void **)&tx->events, &tx->events_cap, tx->nevents + 1, sizeof(*tx->events)) < 0)
                return err_oom(e);
        tx->events[tx->nevents++] = ev;
        return 0;
}

/* What is committed, and what the batch has done before. */
int sqlite_waiting(struct tx *tx, int64_t *n, struct err *e)
{
        (void)e;
        *n = self_of(tx->c)->waiting + tx->waiting;
        return 0;
}

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

int sqlite_write(struct catalog *base, enum lane lane, write_fn *fn, void *arg, struct err *e)
{
        struct sqlite_catalog *c = self_of(base);
        struct mono began = mono_now();
        struct write w = {.fn = fn, .arg = arg};

        cond_init(&w.answered);
        lock_take(&c->wlock);
        assert(!c->stop);
        queue_put(&c->lanes[lane], &w);
        atomic_fetch_add(&c->writes_waiting, 1);
        cond_signal(&c->wcond);
        while (!w.done)
                cond_wait(&w.answered, &c->wlock);
        lock_drop(&c->wlock);
        cond_done(&w.answered);
        metrics_observe(METRIC_DB_DURATION, dur_seconds(mono_since(began)), "write");
        if (w.rc < 0 && e)
                *e = w.err;
        return w.rc;
}

/* Whether SQLite itself gave the transaction up, as it may on a full disk. */
static bool lost(const struct tx *tx)
{
        return sqlite3_get_autocommit(conn_of(tx->db)->h) != 0;
}

static void roll_back(struct tx *tx)
{
        sqlite3_exec(conn_of(tx->db)->h, "ROLLBACK", NULL, NULL, NULL);
}

/* Takes back what it did in this transaction beside the database's pages. */
struct before {
        size_t nevents, ntexts, nmarks;
        int64_t waiting, words_done;
};

static void forget(struct sqlite_tx *all, const struct before *b)
{
        struct tx *tx = &all->base;

        all->nevents = b->nevents;
        all->words_done = b->words_done;
        tx->ntexts = b->ntexts;
        tx->nmarks = b->nmarks;
        tx->waiting = b->waiting;
        tx->ndeltas = tx->njobs = 0;
}

static int run_write(struct tx *tx, struct write *w)
{
        int rc = w->fn(tx, w->arg, &w->err);

        return rc >= 0 && !lost(tx) && count_flush(tx, &w->err) < 0 ? -1 : rc;
}

/* Nothing is in the transaction yet, so its end is the way back, and keeping a copy of each page is saved. */
static void run_first(struct sqlite_tx *all, struct write *w)
{
        struct tx *tx = &all->base;
        struct before before = {all->nevents, tx->ntexts, tx->nmarks, tx->waiting, all->words_done};
        struct err ignored;

        w->rc = run_write(tx, w);
        if (w->rc >= 0 && !lost(tx))
                return;
        forget(all, &before);
        if (lost(tx))
                return;
        roll_back(tx);
        if (lost(tx) && db_run(tx->db, &ignored, "BEGIN IMMEDIATE", "") < 0)
                w->rc = -1; /* and the batch notices */
}

static void run_one(struct sqlite_tx *all, struct write *w)
{
        struct tx *tx = &all->base;
        struct before before = {all->nevents, tx->ntexts, tx->nmarks, tx->waiting, all->words_done};
        struct err ignored;

        w->rc = db_run(tx->db, &w->err, "SAVEPOINT one", "");
        if (w->rc == 0)
                w->rc = run_write(tx, w);
        if (w->rc >= 0 && !lost(tx)) {
                int released = db_run(tx->db, &w->err, "RELEASE one", "");
                if (released == 0)
                        return;
                w->rc = -1;
        }
        forget(all, &before);
        if (lost(tx))
                return;
        /* If even this fails the whole transaction cannot be trusted: end it, which the batch notices. */
        if (db_run(tx->db, &ignored, "ROLLBACK TO one", "") < 0 || db_run(tx->db, &ignored, "RELEASE one", "") < 0)
                roll_back(tx);
}

/* The next write that may join a batch that began then; acknowledgements always may. */
static struct write *next_write(struct sqlite_catalog *c, struct mono began, size_t taken)
{
        static const int64_t limit_ms[LANE_COUNT] = {[LANE_ACK] = 5 * BATCH_MS, BATCH_MS, BULK_MS};
        struct write *w = NULL;
        int64_t ms = mono_since(began).ns / 1000000;

        lock_take(&c->wlock);
        for (int lane = 0; lane < LANE_COUNT && !w && taken < BATCH_MAX; lane++)
                if (taken == 0 || ms < limit_ms[lane])
                        w = queue_take(&c->lanes[lane]);
        if (w)
                atomic_fetch_sub(&c->writes_waiting, 1);
        lock_drop(&c->wlock);
        return w;
}

static int commit(struct sqlite_tx *all, struct err *e)
{
        struct tx *tx = &all->base;
        struct mono began = mono_now();
        int fault;

        words_leave(all);
        if ((tx->ntexts && text_flush(tx, e) < 0) || mark_flush(tx, e) < 0)
                return -1;
        for (size_t i = 0; i < all->nevents; i++) {
                if (all->events[i].kind != EVENT_VECTOR)
                        continue;
                if (db_run(tx->db, e, "UPDATE meta SET value = value + 1 WHERE key = 'epoch'", "") < 0)
                        return -1;
                break;
        }
        fault = FAULT("catalog.commit");
        if (fault)
                return err_errno(e, fault, "catalog: commit");
        if (db_run(tx->db, e, "COMMIT", "") < 0)
                return -1;
        fault = FAULT("catalog.committed"); /* only for dying between the commit and the answers */
        metrics_observe(METRIC_DB_DURATION, dur_seconds(mono_since(began)), "commit");
        return 0;
}

static void answer(struct sqlite_catalog *c, struct write_queue *batch)
{
        struct write *w;

        lock_take(&c->wlock);
        while ((w = queue_take(batch))) {
                w->done = true; /* its caller may be gone after the lock is */
                cond_signal(&w->answered);
        }
        lock_drop(&c->wlock);
}

static void run_batch(struct sqlite_catalog *c, struct sqlite_tx *all)
{
        struct tx *tx = &all->base;
        struct write_queue batch = {.tail = &batch.head};
        struct mono began = mono_now();
        struct err e = {0};
        struct write *w;
        bool empty = true;
        size_t n = 0;
        int rc;

        all->nevents = tx->ntexts = tx->nmarks = 0;
        tx->waiting = 0;
        all->words_done = atomic_load(&c->words_done);
        all->words_newest = atomic_load(&c->words_newest);
        tx->now = tx->db->now = wall_now();
        rc = db_run(tx->db, &e, "BEGIN IMMEDIATE", "");
        while ((w = next_write(c, began, n))) {
                queue_put(&batch, w);
                n++;
                if (rc == 0) {
                        (empty ? run_first : run_one)(all, w);
                        empty &= w->rc < 0;
                        if (lost(tx)) {
                                rc = -1;
                                e = w->err.code ? w->err
                                                : (struct err){.code = ERR_IO, .msg = "catalog: transaction lost"};
                        }
                }
                if (rc < 0)
                        break;
        }
        if (rc == 0)
                rc = commit(all, &e);
        if (rc < 0) {
                if (!lost(tx))
                        roll_back(tx);
                if (e.code == ERR_NO_SPACE) /* what the log holds is copied, so that it may begin anew in its place */
                        keeper_ask(c, &c->want_checkpoint);
                for (w = batch.head; w; w = w->next)
                        if (w->rc >= 0) {
                                w->rc = -1;
                                w->err = e;
                        }
        } else {
                c->waiting += tx->waiting;
                atomic_store(&c->words_newest, all->words_newest);
                atomic_store(&c->words_done, all->words_done);
                if (all->nevents)
                        index_apply(c, all->events, all->nevents);
        }
        answer(c, &batch);
}

static bool nothing_waits(const struct sqlite_catalog *c)
{
        return !c->lanes[LANE_ACK].head && !c->lanes[LANE_RESULT].head && !c->lanes[LANE_BULK].head;
}

/* The writer's own write, which indexes what is due; in its queue again once the last one is answered. */
struct own {
        struct write w;
        struct mono not_before; /* after a failure */
};

static bool words_wait(struct sqlite_catalog *c, const struct own *own)
{
        return words_due(c) > 0 && mono_reached(own->not_before);
}

static void words_ask(struct sqlite_catalog *c, struct own *own)
{
        lock_assert_held(&c->wlock);
        own->w.done = false;
        queue_put(&c->lanes[LANE_BULK], &own->w);
        atomic_fetch_add(&c->writes_waiting, 1);
}

static void words_look(struct own *own)
{
        if (!own->w.done || own->w.rc >= 0)
                return;
        log_warning("catalog", "words of new files are not indexed yet: %s", own->w.err.msg);
        own->not_before = mono_add(mono_now(), dur_s(WORDS_RETRY));
        own->w.rc = 0;
}

/* Called with the lock, returns with it and with something to do. What nobody waits for is done in quiet moments. */
static void wait_for_work(struct sqlite_catalog *c, struct own *own)
{
        bool idle = false;

        lock_assert_held(&c->wlock);
        while (nothing_waits(c) && !c->stop) {
                if (words_wait(c, own)) {
                        if (!cond_wait_until(&c->wcond, &c->wlock, mono_add(mono_now(), dur_ms(WORDS_MS))) &&
                            nothing_waits(c) && !c->stop)
                                words_ask(c, own);
                } else if (idle) {
                        cond_wait(&c->wcond, &c->wlock);
                } else if (!cond_wait_until(&c->wcond, &c->wlock, mono_add(mono_now(), dur_s(IDLE_SECONDS)))) {
                        idle = true;
                        lock_drop(&c->wlock);
                        keeper_ask(c, &c->want_save);
                        lock_take(&c->wlock);
                }
        }
        if (own->w.done && words_due(c) >= WORDS_MAX && mono_reached(own->not_before))
                words_ask(c, own);
}

static void *writer_main(void *arg)
{
        struct sqlite_catalog *c = arg;
        struct sqlite_tx tx = {.base = {.c = &c->base, .db = &c->wdb.base}};
        struct own own = {.w = {.fn = words_catch_up, .done = true}};
        bool stop = false;

        cond_init(&own.w.answered);
        while (!stop) {
                lock_take(&c->wlock);
                wait_for_work(c, &own);
                stop = c->stop && nothing_waits(c);
                lock_drop(&c->wlock);
                if (!stop) {
                        run_batch(c, &tx);
                        words_look(&own);
                        wal_tend(c);
                }
        }
        cond_done(&own.w.answered);
        tx_done(&tx.base);
        mem_free(tx.events);
        return NULL;
}

int writer_start(struct sqlite_catalog *c, struct err *e)
{
        if (db_int(&c->wdb.base, e, &c->waiting,
                   "SELECT (SELECT count(*) FROM task WHERE state = 0) + (SELECT count(*) FROM task WHERE state = 1)",
                   "") < 0)
                return -1;
        if (words_open(c, e) < 0)
                return -1;
        wal_watch(c);
        if (thread_start(&c->writer, "catalog-writer", writer_main, c) < 0)
                return err_set(e, ERR_OOM, "catalog: cannot start the writer thread");
        c->writer_runs = true;
        return 0;
}

void writer_stop(struct sqlite_catalog *c)
{
        if (!c->writer_runs)
                return;
        lock_take(&c->wlock);
        c->stop = true;
        cond_broadcast(&c->wcond);
        lock_drop(&c->wlock);
        pthread_join(c->writer, NULL);
        c->writer_runs = false;
}
