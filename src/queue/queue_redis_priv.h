/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the Redis backend share: queue_redis_url.c parses REDIS_URL, queue_redis_link.c implements the
 * commands over one connection, queue_redis.c holds the waiters and the two threads, queue_redis_spend.c the
 * connections on which requests charge shared rate limits. Only the last two deal with more than one thread.
 */
#ifndef FA_QUEUE_REDIS_PRIV_H
#define FA_QUEUE_REDIS_PRIV_H

#include "queue/queue_priv.h"

#include <hiredis/hiredis.h>

/* Most entries that the stream keeps while nobody waits, and that one read returns. */
#define QUEUE_REDIS_ENTRIES 128
/* Most wake-ups that one entry stands for; more are dropped, as within a process. */
#define QUEUE_REDIS_COUNT 256
#define QUEUE_REDIS_ID    44 /* two 64-bit numbers and a dash */

struct queue_redis_address {
        char host[256]; /* "": path names a UNIX socket */
        char path[104];
        uint16_t port;
        unsigned db;
        char user[128], password[512]; /* decoded */
        char shown[300];               /* for messages: never contains a secret */
};

/* Error messages name what is allowed and never quote the URL, which may contain a password. */
int queue_redis_parse(const char *url, struct queue_redis_address *out, struct err *e) MUST_CHECK;

/*
 * One connection, used by one thread at a time. Each call ends within 1 s for connecting and 2 s for anything else,
 * or within limit_ms.
 */
struct queue_redis_link {
        const struct queue_redis_address *to;
        const char *consumer;      /* NULL: the connection is not used for streams */
        enum task_purpose purpose; /* the purpose whose stream the commands below use */
        unsigned limit_ms;         /* 0: as above */
        redisContext *c;           /* NULL: not connected */
        char last[QUEUE_REDIS_ID]; /* the last entry read and acknowledged: all before it have been delivered */
};

struct queue_redis_batch {
        unsigned wakes;   /* sum over the entries, at most QUEUE_REDIS_COUNT */
        unsigned entries; /* to be acknowledged */
        char ids[QUEUE_REDIS_ENTRIES][QUEUE_REDIS_ID];
};

/* Connects, authenticates, selects the database and creates the consumer group. On failure the link is closed. */
int queue_redis_connect(struct queue_redis_link *l, struct err *e) MUST_CHECK;
void queue_redis_disconnect(struct queue_redis_link *l);
/*
 * Sends one command, whose words end with NULL. Returns 1 with a reply that the caller frees and that is no error; 0
 * when the stream or group was missing and has been created again; -1 on error: ERR_NOT_FOUND for a script that Redis
 * does not hold, ERR_TIMEOUT, ERR_UNAVAILABLE.
 */
int queue_redis_ask(struct queue_redis_link *l, const char **argv, redisReply **out, struct err *e) MUST_CHECK;
/* After -1 from any of the following functions the connection must not be used any more. */
int queue_redis_add(struct queue_redis_link *l, unsigned wakes, struct err *e) MUST_CHECK;
/*
 * Reads new entries and waits up to block_ms for the first; with block_ms 0, reads the entries that were delivered to
 * this consumer and never acknowledged.
 */
int queue_redis_read(struct queue_redis_link *l, unsigned block_ms, struct queue_redis_batch *b,
                     struct err *e) MUST_CHECK;
int queue_redis_ack(struct queue_redis_link *l, const struct queue_redis_batch *b, struct err *e) MUST_CHECK;
/* Takes over entries that another consumer has left unacknowledged for idle_ms; read them with block_ms 0. */
int queue_redis_claim(struct queue_redis_link *l, unsigned idle_ms, struct err *e) MUST_CHECK;
/* Deletes the entries older than the oldest one that is not acknowledged. */
int queue_redis_trim(struct queue_redis_link *l, struct err *e) MUST_CHECK;

/* ---- shared limits: any number of threads ---- */

#define QUEUE_REDIS_SPENDERS 4

struct queue_redis_spender {
        struct queue_redis_link link;
        bool taken;
        char script[48]; /* hash by which Redis knows the script; "" before the first connection */
};

struct queue_redis_till {
        struct lock lock; /* guards all below; the link of a taken spender belongs to its taker */
        struct cond freed;
        struct queue_redis_spender spenders[QUEUE_REDIS_SPENDERS];
        bool failing;
        struct mono again; /* while failing: when the next attempt may be made */
};

void queue_redis_till_init(struct queue_redis_till *t, const struct queue_redis_address *to);
void queue_redis_till_done(struct queue_redis_till *t); /* nobody may be spending */
enum limit_outcome queue_redis_spend(struct queue_redis_till *t, struct limit_charge *charges, size_t n, bool owed);

#endif
