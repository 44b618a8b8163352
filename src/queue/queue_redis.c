/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Wake-ups across processes through a Redis stream. The hard thing is that the
 * process that reads a wake-up should be one that can use it: so idle threads
 * here are woken here, only what they leave is published, a process reads only
 * while a thread of it waits, and what it cannot use goes back into the stream.
 * Without Redis it is a queue inside one process.
 */
#include "queue/queue_redis_priv.h"
#include "queue/queue_wakes_priv.h"

#include "log/log.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOGGER "queue"

#define BLOCK_MS    1000 /* of one read; below the limit of a command */
#define TIDY_MS     2000 /* between two rounds of claiming and trimming */
#define STALE_MS    3000 /* unacknowledged for so long: its reader died */
#define TRIM_AFTER  64   /* entries read */
#define OPEN_MS     1500 /* how long opening waits for the first connection */
#define BACKOFF_MS  50
#define BACKOFF_MAX 5000

enum side { READER, WRITER, SIDES };

struct redis_queue {
        struct queue base;
        struct queue_redis_address address;
        char consumer[160];
        struct lock lock; /* of all below but the threads */
        struct queue_wakes wakes;
        struct cond hungry;  /* reader: somebody waits in vain; closing */
        struct cond outbox;  /* writer: something to publish; closing */
        struct cond settled; /* opening: a side has tried */
        unsigned outgoing;   /* to be published */
        bool tried[SIDES], up[SIDES], closing[SIDES];
        bool told_up, told_down; /* what the log said last */
        int reading;             /* socket of a read that blocks; -1 */
        char note[240];
        pthread_t reader, writer;
        struct queue_redis_till till; /* has a lock of its own */
};

static queue_open_fn redis_open;
static queue_close_fn redis_close;
static queue_wake_fn redis_wake;
static queue_wait_fn redis_wait;
static queue_interrupt_fn redis_interrupt;
static queue_state_fn redis_state;
static queue_spend_fn redis_spend;

const struct queue_ops queue_redis_ops = {
        .name = "redis",
        .open = redis_open,
        .close = redis_close,
        .wake = redis_wake,
        .wait = redis_wait,
        .interrupt = redis_interrupt,
        .state = redis_state,
        .spend = redis_spend,
};

/* ---- the count: all of this with the lock ------------------------------------------------- */

static bool is_connected(const struct redis_queue *q)
{
        return q->up[READER] && q->up[WRITER];
}

/* To those who wait here, the rest to the others; all of it here when there is no way to them. */
static void spread_wakes(struct redis_queue *q, unsigned n)
{
        unsigned here = n < queue_wakes_wanted(&q->wakes) ? n : queue_wakes_wanted(&q->wakes);

        lock_assert_held(&q->lock);
        if (!is_connected(q))
                here = n;
        if (here > 0)
                queue_wakes_give(&q->wakes, here);
        if (here == n)
                return;
        q->outgoing = queue_add_up_to(q->outgoing, n - here, QUEUE_REDIS_COUNT);
        cond_signal(&q->outbox);
}

/* ---- up and down ---------------------------------------------------------------------------- */

/* The edge where a lost connection is logged, once each way. With the lock. */
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

static void set_up(struct redis_queue *q, enum side side, const struct queue_redis_link *l, const struct err *why)
{
        lock_take(&q->lock);
        q->tried[side] = true;
        q->up[side] = l->c != NULL;
        if (is_connected(q))
                q->note[0] = '\0';
        else if (why && !q->closing[side])
                snprintf(q->note, sizeof q->note, "%s", why->msg);
        if (side == WRITER && !l->c && q->outgoing > 0) {
                queue_wakes_give(&q->wakes, q->outgoing);
                q->outgoing = 0;
        }
        log_connection(q);
        cond_signal(&q->settled);
        lock_drop(&q->lock);
}

static void hang_up(struct redis_queue *q, enum side side, struct queue_redis_link *l, const struct err *why)
{
        struct queue_redis_link none = {.c = NULL};

        set_up(q, side, &none, why);
        queue_redis_disconnect(l);
}

/* Full jitter. False when the queue closes. */
static bool pause_after(struct redis_queue *q, enum side side, unsigned failures)
{
        int64_t most = failures < 8 ? (int64_t)BACKOFF_MS << failures : BACKOFF_MAX;
        struct mono until;
        bool go_on;

        most = most < BACKOFF_MAX ? most : BACKOFF_MAX;
        until = mono_add(mono_now(), dur_ms(10 + (int64_t)(random_u64() % (uint64_t)most)));
        lock_take(&q->lock);
        while (!q->closing[side] && cond_wait_until(side == READER ? &q->hungry : &q->outbox, &q->lock, until))
                ;
        go_on = !q->closing[side];
        lock_drop(&q->lock);
        return go_on;
}

/* ---- reader ---------------------------------------------------------------------------------- */

/* For the time of a blocking read, the socket by which closing may cut it short. False when closing already. */
static bool set_reading(struct redis_queue *q, int fd)
{
        bool go_on;

        lock_take(&q->lock);
        q->reading = fd;
        go_on = !q->closing[READER];
        lock_drop(&q->lock);
        return go_on;
}

/* Acknowledged only when it was passed on: a crash between makes it twice, not never. */
static int take_batch(struct redis_queue *q, struct queue_redis_link *l, unsigned block_ms, struct queue_redis_batch *b,
                      struct err *e)
{
        int rc = 0;

        b->wakes = b->entries = 0;
        if (block_ms == 0)
                rc = queue_redis_read(l, 0, b, e);
        else if (set_reading(q, l->c->fd))
                rc = queue_redis_read(l, block_ms, b, e);
        if (block_ms > 0)
                set_reading(q, -1);
        if (rc < 0)
                return -1;
        if (b->wakes > 0) {
                lock_take(&q->lock);
                spread_wakes(q, b->wakes);
                lock_drop(&q->lock);
        }
        return queue_redis_ack(l, b, e);
}

static int take_own(struct redis_queue *q, struct queue_redis_link *l, struct queue_redis_batch *b, struct err *e)
{
        do {
                if (take_batch(q, l, 0, b, e))
                        return -1;
        } while (b->entries > 0);
        return 0;
}

static int tidy_stream(struct redis_queue *q, struct queue_redis_link *l, struct queue_redis_batch *b, struct err *e)
{
        int claimed = queue_redis_claim(l, STALE_MS, e);

        if (claimed < 0 || (claimed > 0 && take_own(q, l, b, e)))
                return -1;
        return queue_redis_trim(l, e);
}

/* Until somebody waits in vain or the time has come. False when closing. */
static bool rest_until(struct redis_queue *q, struct mono until, bool *wanted)
{
        bool go_on;

        lock_take(&q->lock);
        while (!q->closing[READER] && queue_wakes_wanted(&q->wakes) == 0 &&
               cond_wait_until(&q->hungry, &q->lock, until))
                ;
        *wanted = queue_wakes_wanted(&q->wakes) > 0;
        go_on = !q->closing[READER];
        lock_drop(&q->lock);
        return go_on;
}

/* Serves while the connection lasts; 0 when the queue closes. */
static int read_on(struct redis_queue *q, struct queue_redis_link *l, unsigned *failures, struct err *e)
{
        struct mono tidy_at = mono_now();
        struct queue_redis_batch b;
        unsigned since_trim = 0;
        bool wanted;

        if (take_own(q, l, &b, e))
                return -1;
        while (rest_until(q, tidy_at, &wanted)) {
                if (mono_reached(tidy_at)) {
                        if (tidy_stream(q, l, &b, e) < 0)
                                return -1;
                        tidy_at = mono_add(mono_now(), dur_ms(TIDY_MS));
                        *failures = 0;
                }
                if (!wanted)
                        continue;
                if (take_batch(q, l, BLOCK_MS, &b, e))
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

/* What is to be published, all at once; 0 when the queue closes and nothing is left. */
static unsigned take_outgoing(struct redis_queue *q)
{
        unsigned n;

        lock_take(&q->lock);
        while (!q->closing[WRITER] && q->outgoing == 0)
                cond_wait(&q->outbox, &q->lock);
        n = q->outgoing;
        q->outgoing = 0;
        lock_drop(&q->lock);
        return n;
}

/* A connection that was idle may be dead without our knowing: such a one is replaced at once. */
static int publish_wakes(struct queue_redis_link *l, unsigned n, struct err *e)
{
        if (queue_redis_add(l, n, e) == 0)
                return 0;
        queue_redis_disconnect(l);
        return queue_redis_connect(l, e) ? -1 : queue_redis_add(l, n, e);
}

static int write_on(struct redis_queue *q, struct queue_redis_link *l, unsigned *failures, struct err *e)
{
        unsigned n;

        while ((n = take_outgoing(q)) > 0) {
                if (publish_wakes(l, n, e)) {
                        lock_take(&q->lock);
                        queue_wakes_give(&q->wakes, n);
                        lock_drop(&q->lock);
                        return -1;
                }
                *failures = 0;
        }
        return 0;
}

/* ---- both --------------------------------------------------------------------------------------- */

typedef int use_fn(struct redis_queue *q, struct queue_redis_link *l, unsigned *failures, struct err *e);

/* Connects, and again when what it is used for fails, until the side closes. */
static void side_run(struct redis_queue *q, enum side side, use_fn *use)
{
        struct queue_redis_link l = {.to = &q->address, .consumer = q->consumer};
        unsigned failures = 0;
        struct err e = {0};

        do {
                int rc = queue_redis_connect(&l, &e);
                if (rc == 0) {
                        set_up(q, side, &l, NULL);
                        rc = use(q, &l, &failures, &e);
                }
                hang_up(q, side, &l, rc < 0 ? &e : NULL);
        } while (pause_after(q, side, failures++));
}

static void *reader_run(void *q)
{
        side_run(q, READER, read_on);
        return NULL;
}

static void *writer_run(void *q)
{
        side_run(q, WRITER, write_on);
        return NULL;
}

/* ---- the door ---------------------------------------------------------------------------------- */

static void init_queue(struct redis_queue *q)
{
        q->base.ops = &queue_redis_ops;
        q->reading = -1;
        lock_init(&q->lock, "queue", RANK_QUEUE);
        queue_wakes_init(&q->wakes);
        cond_init(&q->hungry);
        cond_init(&q->outbox);
        cond_init(&q->settled);
        queue_redis_till_init(&q->till, &q->address);
}

static void free_queue(struct redis_queue *q)
{
        queue_redis_till_done(&q->till);
        queue_wakes_done(&q->wakes);
        cond_done(&q->hungry);
        cond_done(&q->outbox);
        cond_done(&q->settled);
        lock_done(&q->lock);
        mem_free(q);
}

static void name_consumer(struct redis_queue *q, const char *instance)
{
        char id[ID_TEXT_LEN];

        snprintf(q->consumer, sizeof q->consumer, "%s", instance && *instance ? instance : id_format(id_new(), id));
}

/* A read that waits is cut short. The reader goes first: what it had still to pass on is then published. */
static void end_side(struct redis_queue *q, enum side side)
{
        lock_take(&q->lock);
        q->closing[side] = true;
        if (side == READER && q->reading >= 0)
                shutdown(q->reading, SHUT_RDWR);
        cond_signal(side == READER ? &q->hungry : &q->outbox);
        lock_drop(&q->lock);
        pthread_join(side == READER ? q->reader : q->writer, NULL);
}

/* A start with a healthy Redis is a start with a healthy queue; an absent one is not waited for. */
static void wait_for_first_try(struct redis_queue *q)
{
        struct mono until = mono_add(mono_now(), dur_ms(OPEN_MS));

        lock_take(&q->lock);
        while (!(q->tried[READER] && q->tried[WRITER]) && cond_wait_until(&q->settled, &q->lock, until))
                ;
        lock_drop(&q->lock);
}

static int redis_open(const struct queue_opts *opts, struct queue **out, struct err *e)
{
        struct redis_queue *q = mem_calloc(1, sizeof *q);

        if (!q)
                return err_oom(e);
        if (queue_redis_parse(opts->redis_url, &q->address, e)) {
                mem_free(q);
                return -1;
        }
        init_queue(q);
        name_consumer(q, opts->instance);
        if (thread_start(&q->reader, "queue-read", reader_run, q)) {
                free_queue(q);
                return err_set(e, ERR_UNAVAILABLE, "a thread of the queue cannot be started");
        }
        if (thread_start(&q->writer, "queue-write", writer_run, q)) {
                end_side(q, READER);
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

        end_side(q, READER);
        end_side(q, WRITER);
        free_queue(q);
}

static void redis_wake(struct queue *base, unsigned n)
{
        struct redis_queue *q = (struct redis_queue *)base;

        lock_take(&q->lock);
        spread_wakes(q, n);
        lock_drop(&q->lock);
}

static bool redis_wait(struct queue *base, struct mono deadline)
{
        struct redis_queue *q = (struct redis_queue *)base;
        bool woken;

        lock_take(&q->lock);
        queue_wakes_enter(&q->wakes);
        if (queue_wakes_wanted(&q->wakes) > 0 && q->outgoing > 0) {
                q->outgoing--;
                queue_wakes_give(&q->wakes, 1);
        } else if (queue_wakes_wanted(&q->wakes) > 0) {
                cond_signal(&q->hungry);
        }
        woken = queue_wakes_wait(&q->wakes, &q->lock, deadline);
        lock_drop(&q->lock);
        return woken;
}

static void redis_interrupt(struct queue *base)
{
        struct redis_queue *q = (struct redis_queue *)base;

        lock_take(&q->lock);
        queue_wakes_interrupt(&q->wakes);
        lock_drop(&q->lock);
}

static void redis_state(struct queue *base, struct queue_state *out)
{
        struct redis_queue *q = (struct redis_queue *)base;

        lock_take(&q->lock);
        out->connected = is_connected(q);
        snprintf(out->note, sizeof out->note, "%s%s", q->note,
                 out->connected ? ""
                 : *q->note     ? "; wake-ups stay in this process"
                                : "connecting to Redis");
        lock_drop(&q->lock);
}

/* What the two threads know spares requests from finding it out. */
static enum limit_outcome redis_spend(struct queue *base, struct limit_charge *charges, size_t n, bool owed)
{
        struct redis_queue *q = (struct redis_queue *)base;
        bool up;

        lock_take(&q->lock);
        up = is_connected(q);
        lock_drop(&q->lock);
        return up ? queue_redis_spend(&q->till, charges, n, owed) : LIMIT_UNREACHABLE;
}
