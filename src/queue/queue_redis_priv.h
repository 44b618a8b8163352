/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the Redis backend share: queue_redis_url.c reads REDIS_URL,
 * queue_redis_link.c speaks over one connection, queue_redis.c holds the
 * waiters and the two threads. Only the last knows of more than one thread.
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

/* One connection; one thread at a time. Every call ends within 1 s (connecting) or 2 s (anything else). */
struct queue_redis_link {
        const struct queue_redis_address *to;
        const char *consumer;
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

#endif
