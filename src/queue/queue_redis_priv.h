/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the Redis backend share: queue_redis_url.c reads REDIS_URL,
 * queue_redis_link.c speaks over one connection, queue_redis.c holds the
 * waiters and the two threads, queue_redis_spend.c the connections by which
 * requests spend. Only the last two know of more than one thread.
 */
#ifndef FA_QUEUE_REDIS_PRIV_H
#define FA_QUEUE_REDIS_PRIV_H

#include "queue/queue_priv.h"

#include <hiredis/hiredis.h>

/* Entries the stream keeps when nobody waits anywhere, and the most one read brings. */
#define QUEUE_REDIS_ENTRIES 128
/* Wake-ups one entry stands for at most: saturation, as in the process. */
#define QUEUE_REDIS_COUNT 256
#define QUEUE_REDIS_ID    44 /* two 64-bit numbers and a dash */

struct queue_redis_address {
        char host[256]; /* "" for a socket's path */
        char path[104];
        uint16_t port;
        unsigned db;
        char user[128], password[512]; /* decoded */
        char shown[300];               /* for people: never a secret */
};

/* Messages name what is allowed and never quote the URL, which may hold a password. */
int queue_redis_parse(const char *url, struct queue_redis_address *out, struct err *e) MUST_CHECK;

/* One connection; one thread at a time. Every call ends within 1 s (connecting) or 2 s (anything else), or limit_ms. */
struct queue_redis_link {
        const struct queue_redis_address *to;
        const char *consumer;      /* NULL: not for the streams */
        enum task_purpose purpose; /* whose stream the commands below are for */
        unsigned limit_ms;         /* 0: as above */
        redisContext *c;           /* NULL: not connected */
        char last[QUEUE_REDIS_ID]; /* read and acknowledged last: all before it has been delivered */
};

struct queue_redis_batch {
        unsigned wakes;   /* the entries' sum, saturated */
        unsigned entries; /* to be acknowledged */
        char ids[QUEUE_REDIS_ENTRIES][QUEUE_REDIS_ID];
};

/* Connects, says who we are, chooses the database and makes the group. On failure the link is closed. */
int queue_redis_connect(struct queue_redis_link *l, struct err *e) MUST_CHECK;
void queue_redis_disconnect(struct queue_redis_link *l);
/*
 * One command, its words ended by NULL. 1 with a reply that is the caller's and no error; 0 when stream or group had
 * gone and were made again; -1, with ERR_NOT_FOUND for a script that Redis does not hold, ERR_TIMEOUT, ERR_UNAVAILABLE.
 */
int queue_redis_ask(struct queue_redis_link *l, const char **argv, redisReply **out, struct err *e) MUST_CHECK;
/* The rest: -1 means that the connection is of no use any more. */
int queue_redis_add(struct queue_redis_link *l, unsigned wakes, struct err *e) MUST_CHECK;
/* New entries, waiting up to block_ms for the first; with block_ms 0 those delivered to us that we never acknowledged.
 */
int queue_redis_read(struct queue_redis_link *l, unsigned block_ms, struct queue_redis_batch *b,
                     struct err *e) MUST_CHECK;
int queue_redis_ack(struct queue_redis_link *l, const struct queue_redis_batch *b, struct err *e) MUST_CHECK;
/* Makes entries ours that another consumer left unacknowledged for idle_ms: read them with block_ms 0. */
int queue_redis_claim(struct queue_redis_link *l, unsigned idle_ms, struct err *e) MUST_CHECK;
/* Deletes entries below the oldest one that is not acknowledged. */
int queue_redis_trim(struct queue_redis_link *l, struct err *e) MUST_CHECK;

/* ---- shared limits: any number of threads ---- */

#define QUEUE_REDIS_SPENDERS 4

struct queue_redis_spender {
        struct queue_redis_link link;
        bool taken;
        char script[48]; /* its hash, by which Redis holds it; "" before the first connection */
};

struct queue_redis_till {
        struct lock lock; /* of all below; the link of a taken spender is its taker's */
        struct cond freed;
        struct queue_redis_spender spenders[QUEUE_REDIS_SPENDERS];
        bool failing;
        struct mono again; /* while failing: when one may try */
};

void queue_redis_till_init(struct queue_redis_till *t, const struct queue_redis_address *to);
void queue_redis_till_done(struct queue_redis_till *t); /* nobody may be spending */
enum limit_outcome queue_redis_spend(struct queue_redis_till *t, struct limit_charge *charges, size_t n, bool owed);

#endif
