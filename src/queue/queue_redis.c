/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wake-ups across processes through a Redis stream. The hard part is that the process that reads a wake-up should be
 * one that can use it: so idle threads of this process are woken directly, only the remaining wake-ups are published,
 * a process reads only while one of its threads waits, and what it cannot use is published again. Without Redis this
 * is a queue inside one process.
 */
#include "queue/queue_redis_priv.h"

#include "log/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOGGER "queue"

#define BLOCK_MS    1000 /* how long one read blocks; below the time limit of a command */
#define TIDY_MS     2000 /* time between two rounds of claiming and trimming */
#define STALE_MS    3000 /* an entry unacknowledged for this long: its reader died */
#define TRIM_AFTER  64   /* entries read */
#define OPEN_MS     1500 /* how long queue_open waits for the first connection */
#define BACKOFF_MS  50
#define BACKOFF_MAX 5000

struct redis_queue;

/* A thread with its own connection. The fields up to call are guarded by the lock of the wakes. */
struct side {
        struct redis_queue *q;
        enum task_purpose purpose; /* reader only */
        bool started, tried, up, closing;
        int reading;      /* socket of a blocking read; -1: none */
        struct cond call; /* signalled for a reader: a waiter has no wake-up; for a writer: there is something to
                             publish; for both: closing */
        pthread_t thread;
};

struct redis_queue {
        struct queue base; /* its lock guards all below except the consumer */
        struct queue_redis_address address;
        char consumer[160];
        struct side readers[PURPOSE_COUNT]; /* for purposes other than ANALYSE: started at the first wait for it */
        struct side writer;
        struct cond settled;              /* signalled while opening: a side has made its attempt */
        unsigned outgoing[PURPOSE_COUNT]; /* to be published */
        bool told_up, told_down;          /* the state that was logged last */
        char note[240];
        struct queue_redis_till till; /* has a lock of its own */
};

static queue_open_fn redis_open;
static queue_close_fn redis_close;
static queue_wake_fn redis_wake;
static queue_wait_fn redis_wait;
static queue_state_fn redis_state;
static queue_spend_fn redis_spend;

const struct queue_ops queue_redis_ops = {
        .name = "redis",
        .open = redis_open,
        .close = redis_close,
        .wake = redis_wake,
        .wait = redis_wait,
        .state = redis_state,
        .spend = redis_spend,
};

/* ---- the count: all of this with the lock ------------------------------------------------- */

static unsigned add_up_to(unsigned a, unsigned b, unsigned most)
{
        if (a >= most)
                return a;
        return b < most - a ? a + b : most;
}

static bool is_connected(const struct redis_queue *q)
{
        bool up = q->writer.up;

        for (enum task_purpose p = 0; p < PURPOSE_COUNT; p++)
                up &= q->readers[p].up || !q->readers[p].started;
        return up;
}

/* Wakes waiters of this process and publishes the rest; keeps all of it here while Redis is unreachable. */
static void spread_wakes(struct redis_queue *q, enum task_purpose p, unsigned n)
{
        unsigned idle = queue_wakes_idle(&q->base.wakes, p);
        unsigned here = n < idle && is_connected(q) ? n : is_connected(q) ? idle : n;

        if (here > 0)
                queue_wakes_give(&q->base.wakes, p, here);
        if (here == n)
                return;
        q->outgoing[p] = add_up_to(q->outgoing[p], n - here, QUEUE_REDIS_COUNT);
        cond_signal(&q->writer.call);
}

/* ---- up and down ---------------------------------------------------------------------------- */

/* Logs a lost and a restored connection, once each. Called with the lock held. */
static void log_connection(struct redis_queue *q)
{
        if (is_connected(q) && !q->told_up) {
                log_info(LOGGER, "connected to Redis at %s", q->address.shown);
                q->told_up = true;
                q->told_down = false;
        } else if (!is_connected(q) && !q->told_down && q->note[0]) {
                log_warning(LOGGER, "%s; tasks are found by looking until it is back", q->note);
                q->told_up = false;
                q->told_down = true;
        }
}

static void set_up(struct side *side, const struct queue_redis_link *l, const struct err *why)
{
        struct redis_queue *q = side->q;

        lock_take(&q->base.wakes.lock);
        side->tried = true;
        side->up = l->c != NULL;
        if (is_connected(q))
                q->note[0] = '\0';
        else if (why && !side->closing)
                snprintf(q->note, sizeof q->note, "%s", why->msg);
        for (enum task_purpose p = 0; p < PURPOSE_COUNT && side == &q->writer && !l->c; p++) {
                queue_wakes_give(&q->base.wakes, p, q->outgoing[p]);
                q->outgoing[p] = 0;
        }
        log_connection(q);
        cond_signal(&q->settled);
        lock_drop(&q->base.wakes.lock);
}

static void hang_up(struct side *side, struct queue_redis_link *l, const struct err *why)
{
        struct queue_redis_link none = {.c = NULL};

        set_up(side, &none, why);
        queue_redis_disconnect(l);
}

/* Full jitter. False when the queue closes. */
static bool pause_after(struct side *side, unsigned failures)
{
        struct lock *lock = &side->q->base.wakes.lock;
        int64_t most = failures < 8 ? (int64_t)BACKOFF_MS << failures : BACKOFF_MAX;
        struct mono until;
        bool go_on;

        most = most < BACKOFF_MAX ? most : BACKOFF_MAX;
        until = mono_add(mono_now(), dur_ms(10 + (int64_t)(random_u64() % (uint64_t)most)));
        lock_take(lock);
        while (!side->closing && cond_wait_until(&side->call, lock, until))
                ;
        go_on = !side->closing;
        lock_drop(lock);
        return go_on;
}

/* ---- reader ---------------------------------------------------------------------------------- */

/*
 * Notes, for the time of a blocking read, the socket that closing shuts down to end the read. Returns false when the
 * queue is already closing.
 */
static bool set_reading(struct side *side, int fd)
{
        struct lock *lock = &side->q->base.wakes.lock;
        bool go_on;

        lock_take(lock);
        side->reading = fd;
        go_on = !side->closing;
        lock_drop(lock);
        return go_on;
}

/*
 * An entry is acknowledged only after it was passed on: a crash in between repeats the wake-up, and does not lose it.
 */
static int take_batch(struct side *side, struct queue_redis_link *l, unsigned block_ms, struct queue_redis_batch *b,
                      struct err *e)
{
        int rc = 0;

        b->wakes = b->entries = 0;
        if (block_ms == 0)
                rc = queue_redis_read(l, 0, b, e);
        else if (set_reading(side, l->c->fd))
                rc = queue_redis_read(l, block_ms, b, e);
        if (block_ms > 0)
                set_reading(side, -1);
        if (rc < 0)
                return -1;
        if (b->wakes > 0) {
                lock_take(&side->q->base.wakes.lock);
                spread_wakes(side->q, side->purpose, b->wakes);
                lock_drop(&side->q->base.wakes.lock);
        }
        return queue_redis_ack(l, b, e);
}

static int take_own(struct side *side, struct queue_redis_link *l, struct queue_redis_batch *b, struct err *e)
{
        do {
                if (take_batch(side, l, 0, b, e))
                        return -1;
        } while (b->entries > 0);
        return 0;
}

static int tidy_stream(struct side *side, struct queue_redis_link *l, struct queue_redis_batch *b, struct err *e)
{
        int claimed = queue_redis_claim(l, STALE_MS, e);

        if (claimed < 0 || (claimed > 0 && take_own(side, l, b, e)))
                return -1;
        return queue_redis_trim(l, e);
}

/* Waits until a waiter has no wake-up or the time has come. Returns false when the queue closes. */
static bool rest_until(struct side *side, struct mono until, bool *wanted)
{
        struct queue_wakes *w = &side->q->base.wakes;
        bool go_on;

        lock_take(&w->lock);
        while (!side->closing && queue_wakes_idle(w, side->purpose) == 0 &&
               cond_wait_until(&side->call, &w->lock, until))
                ;
        *wanted = queue_wakes_idle(w, side->purpose) > 0;
        go_on = !side->closing;
        lock_drop(&w->lock);
        return go_on;
}

/* Serves while the connection lasts; returns 0 when the queue closes. */
static int read_on(struct side *side, struct queue_redis_link *l, unsigned *failures, struct err *e)
{
        struct mono tidy_at = mono_now();
        struct queue_redis_batch b;
        unsigned since_trim = 0;
        bool wanted;

        if (take_own(side, l, &b, e))
                return -1;
        while (rest_until(side, tidy_at, &wanted)) {
                if (mono_reached(tidy_at)) {
                        if (tidy_stream(side, l, &b, e) < 0)
                                return -1;
                        tidy_at = mono_add(mono_now(), dur_ms(TIDY_MS));
                        *failures = 0;
                }
                if (!wanted)
                        continue;
                if (take_batch(side, l, BLOCK_MS, &b, e))
                        return -1;
                since_trim += b.entries;
                if (since_trim >= TRIM_AFTER) {
                        if (queue_redis_trim(l, e) < 0)
                                return -1;
                        since_trim = 0;
                }
        }
        return 0;
}

/* ---- writer ---------------------------------------------------------------------------------- */

/* Takes all wake-ups of one purpose that are to be published; returns 0 when the queue closes and nothing is left. */
static unsigned take_outgoing(struct redis_queue *q, enum task_purpose *p)
{
        unsigned n = 0;

        lock_take(&q->base.wakes.lock);
        for (;;) {
                for (*p = 0; *p < PURPOSE_COUNT && n == 0; ++*p) {
                        n = q->outgoing[*p];
                        q->outgoing[*p] = 0;
                        if (n > 0)
                                break;
                }
                if (n > 0 || q->writer.closing)
                        break;
                cond_wait(&q->writer.call, &q->base.wakes.lock);
        }
        lock_drop(&q->base.wakes.lock);
        return n;
}

/* An idle connection may have broken unnoticed; such a connection is replaced at once. */
static int publish_wakes(struct queue_redis_link *l, unsigned n, struct err *e)
{
        if (queue_redis_add(l, n, e) == 0)
                return 0;
        queue_redis_disconnect(l);
        return queue_redis_connect(l, e) ? -1 : queue_redis_add(l, n, e);
}

static int write_on(struct side *side, struct queue_redis_link *l, unsigned *failures, struct err *e)
{
        unsigned n;

        while ((n = take_outgoing(side->q, &l->purpose)) > 0) {
                if (publish_wakes(l, n, e)) {
                        lock_take(&side->q->base.wakes.lock);
                        queue_wakes_give(&side->q->base.wakes, l->purpose, n);
                        lock_drop(&side->q->base.wakes.lock);
                        return -1;
                }
                *failures = 0;
        }
        return 0;
}

/* ---- both --------------------------------------------------------------------------------------- */

typedef int use_fn(struct side *side, struct queue_redis_link *l, unsigned *failures, struct err *e);

/* Connects, and connects again when the connection fails, until the side closes. */
static void run_side(struct side *side, use_fn *use)
{
        struct redis_queue *q = side->q;
        struct queue_redis_link l = {.to = &q->address, .consumer = q->consumer, .purpose = side->purpose};
        unsigned failures = 0;
        struct err e = {0};

        do {
                int rc = queue_redis_connect(&l, &e);
                if (rc == 0) {
                        set_up(side, &l, NULL);
                        rc = use(side, &l, &failures, &e);
                }
                hang_up(side, &l, rc < 0 ? &e : NULL);
        } while (pause_after(side, failures++));
}

static void *reader_run(void *side)
{
        run_side(side, read_on);
        return NULL;
}

static void *writer_run(void *side)
{
        run_side(side, write_on);
        return NULL;
}

/* Called with the lock held. */
static int start_side(struct side *side, const char *name, void *(*run)(void *))
{
        side->started = thread_start(&side->thread, name, run, side) == 0;
        return side->started ? 0 : -1;
}

/* ---- the door ---------------------------------------------------------------------------------- */

static void init_side(struct redis_queue *q, struct side *side, enum task_purpose p)
{
        *side = (struct side){.q = q, .purpose = p, .reading = -1};
        cond_init(&side->call);
}

static void init_queue(struct redis_queue *q)
{
        q->base.ops = &queue_redis_ops;
        queue_wakes_init(&q->base.wakes);
        for (enum task_purpose p = 0; p < PURPOSE_COUNT; p++)
                init_side(q, &q->readers[p], p);
        init_side(q, &q->writer, PURPOSE_ANALYSE);
        cond_init(&q->settled);
        queue_redis_till_init(&q->till, &q->address);
}

static void free_queue(struct redis_queue *q)
{
        queue_redis_till_done(&q->till);
        for (enum task_purpose p = 0; p < PURPOSE_COUNT; p++)
                cond_done(&q->readers[p].call);
        cond_done(&q->writer.call);
        cond_done(&q->settled);
        queue_wakes_done(&q->base.wakes);
        mem_free(q);
}

static void name_consumer(struct redis_queue *q, const char *instance)
{
        char id[ID_TEXT_LEN];

        snprintf(q->consumer, sizeof q->consumer, "%s", instance && *instance ? instance : id_format(id_new(), id));
}

/* A blocking read is interrupted. */
static void end_side(struct side *side)
{
        struct lock *lock = &side->q->base.wakes.lock;

        if (!side->started)
                return;
        lock_take(lock);
        side->closing = true;
        if (side->reading >= 0)
                shutdown(side->reading, SHUT_RDWR);
        cond_signal(&side->call);
        lock_drop(lock);
        pthread_join(side->thread, NULL);
}

/* The readers end first: what they had still to pass on is then published. */
static void end_sides(struct redis_queue *q)
{
        for (enum task_purpose p = 0; p < PURPOSE_COUNT; p++)
                end_side(&q->readers[p]);
        end_side(&q->writer);
}

/* With a healthy Redis the queue is healthy from the start; an unreachable one is not waited for. */
static void wait_for_first_try(struct redis_queue *q)
{
        struct mono until = mono_add(mono_now(), dur_ms(OPEN_MS));

        lock_take(&q->base.wakes.lock);
        while (!(q->readers[PURPOSE_ANALYSE].tried && q->writer.tried) &&
               cond_wait_until(&q->settled, &q->base.wakes.lock, until))
                ;
        lock_drop(&q->base.wakes.lock);
}

static int redis_open(const struct queue_opts *opts, struct queue **out, struct err *e)
{
        struct redis_queue *q = mem_calloc(1, sizeof *q);
        bool failed;

        if (!q)
                return err_oom(e);
        if (queue_redis_parse(opts->redis_url, &q->address, e)) {
                mem_free(q);
                return -1;
        }
        init_queue(q);
        name_consumer(q, opts->instance);
        lock_take(&q->base.wakes.lock);
        failed = start_side(&q->readers[PURPOSE_ANALYSE], "queue-read", reader_run) ||
                 start_side(&q->writer, "queue-write", writer_run);
        lock_drop(&q->base.wakes.lock);
        if (failed) {
                end_sides(q);
                free_queue(q);
                return err_set(e, ERR_UNAVAILABLE, "a thread of the queue cannot be started");
        }
        wait_for_first_try(q);
        *out = &q->base;
        return 0;
}

static void redis_close(struct queue *base)
{
        struct redis_queue *q = (struct redis_queue *)base;

        end_sides(q);
        free_queue(q);
}

static void redis_wake(struct queue *base, enum task_purpose p, unsigned n)
{
        struct redis_queue *q = (struct redis_queue *)base;

        lock_take(&base->wakes.lock);
        spread_wakes(q, p, n);
        lock_drop(&base->wakes.lock);
}

/*
 * Wake-ups that are still to be published go to a thread that begins to wait here; otherwise the readers look for
 * some. Without a reader thread there is still the reconciler.
 */
static void seek_wake(struct redis_queue *q, const struct queue_waiter *x)
{
        for (enum task_purpose p = 0; p < PURPOSE_COUNT && !x->woken; p++) {
                struct side *reader = &q->readers[p];
                if (!(x->purposes >> p & 1))
                        continue;
                if (queue_wakes_idle(&q->base.wakes, p) > 0 && q->outgoing[p] > 0) {
                        q->outgoing[p]--;
                        queue_wakes_give(&q->base.wakes, p, 1);
                } else if (reader->started) {
                        cond_signal(&reader->call);
                } else if (start_side(reader, "queue-read", reader_run)) {
                        log_warning(LOGGER, "no thread to read wake-ups (%s): tasks are found by looking",
                                    task_purpose_name(p));
                }
        }
}

static bool redis_wait(struct queue *base, uint32_t purposes, struct mono deadline)
{
        struct redis_queue *q = (struct redis_queue *)base;
        struct queue_waiter x;
        bool woken;

        lock_take(&base->wakes.lock);
        queue_wakes_enter(&base->wakes, &x, purposes);
        seek_wake(q, &x);
        woken = queue_wakes_leave(&base->wakes, &x, deadline);
        lock_drop(&base->wakes.lock);
        return woken;
}

static void redis_state(struct queue *base, struct queue_state *out)
{
        struct redis_queue *q = (struct redis_queue *)base;

        lock_take(&q->base.wakes.lock);
        out->connected = is_connected(q);
        snprintf(out->note, sizeof out->note, "%s%s", q->note,
                 out->connected ? ""
                 : *q->note     ? "; wake-ups stay in this process"
                                : "connecting to Redis");
        lock_drop(&q->base.wakes.lock);
}

/* The two threads know whether Redis is reachable, so requests need not find out. */
static enum limit_outcome redis_spend(struct queue *base, struct limit_charge *charges, size_t n, bool owed)
{
        struct redis_queue *q = (struct redis_queue *)base;
        bool up;

        lock_take(&q->base.wakes.lock);
        up = is_connected(q);
        lock_drop(&q->base.wakes.lock);
        return up ? queue_redis_spend(&q->till, charges, n, owed) : LIMIT_UNREACHABLE;
}
