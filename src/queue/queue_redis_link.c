/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to Redis and the few commands of the stream. The hard part is that everything there may vanish
 * between two commands (FLUSHALL, a restart): a missing group is created again at once, and the command then returns
 * nothing new.
 */
#include "queue/queue_redis_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Installations that share a Redis use different databases. */
#define GROUP "workers"

/* One stream for each purpose; the first has the name that earlier versions use. */
static const char *stream_of(const struct queue_redis_link *l)
{
        static const char *const names[PURPOSE_COUNT] = {"file-allocator:wake", "file-allocator:wake:enrich",
                                                         "file-allocator:wake:embed", "file-allocator:wake:transcribe",
                                                         "file-allocator:wake:text"};

        return names[l->purpose];
}

#define STRING_OF(x) #x
#define NUMBER_OF(x) STRING_OF(x)
#define ARGS_MAX     (QUEUE_REDIS_ENTRIES + 4)
#define CONNECT_MS   1000
#define COMMAND_MS   2000

static int link_broken(struct queue_redis_link *l, struct err *e)
{
        bool late = l->c->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);

        return err_set(e, late ? ERR_TIMEOUT : ERR_UNAVAILABLE, "Redis at %s: %.80s", l->to->shown,
                       late ? "no answer in time" : l->c->errstr);
}

static bool is_error(const redisReply *r, const char *word)
{
        return r->type == REDIS_REPLY_ERROR && strncmp(r->str, word, strlen(word)) == 0;
}

static int make_group(struct queue_redis_link *l, struct err *e)
{
        redisReply *r;
        int rc = 0;

        errno = 0;
        r = redisCommand(l->c, "XGROUP CREATE %s " GROUP " 0 MKSTREAM", stream_of(l));
        if (!r)
                return link_broken(l, e);
        if (r->type == REDIS_REPLY_ERROR && !is_error(r, "BUSYGROUP"))
                rc = err_set(e, ERR_UNAVAILABLE, "Redis at %s: %.100s", l->to->shown, r->str);
        freeReplyObject(r);
        return rc;
}

int queue_redis_ask(struct queue_redis_link *l, const char **argv, redisReply **out, struct err *e)
{
        redisReply *r;
        int argc = 0, rc;

        while (argv[argc])
                argc++;
        errno = 0;
        r = redisCommandArgv(l->c, argc, argv, NULL);
        if (!r)
                return link_broken(l, e);
        if (r->type != REDIS_REPLY_ERROR) {
                *out = r;
                return 1;
        }
        if (is_error(r, "NOGROUP") || is_error(r, "UNBLOCKED")) {
                l->last[0] = '\0';
                rc = make_group(l, e);
        } else {
                rc = err_set(e, is_error(r, "NOSCRIPT") ? ERR_NOT_FOUND : ERR_UNAVAILABLE, "Redis at %s: %.100s",
                             l->to->shown, r->str);
        }
        freeReplyObject(r);
        return rc;
}

static int tell_redis(struct queue_redis_link *l, const char **argv, struct err *e)
{
        redisReply *r = NULL;
        int rc = queue_redis_ask(l, argv, &r, e);

        if (rc > 0)
                freeReplyObject(r);
        return rc < 0 ? -1 : 0;
}

static int log_in(struct queue_redis_link *l, struct err *e)
{
        const struct queue_redis_address *to = l->to;
        char db[16];

        if (to->password[0]) {
                const char *with_user[] = {"AUTH", to->user, to->password, NULL},
                           *alone[] = {"AUTH", to->password, NULL};
                if (tell_redis(l, to->user[0] ? with_user : alone, e))
                        return -1;
        }
        snprintf(db, sizeof db, "%u", to->db);
        if (to->db > 0 && tell_redis(l, (const char *[]){"SELECT", db, NULL}, e))
                return -1;
        return l->consumer ? make_group(l, e) : 0;
}

static struct timeval limit_of(const struct queue_redis_link *l, unsigned usual_ms)
{
        unsigned ms = l->limit_ms ? l->limit_ms : usual_ms;

        return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

int queue_redis_connect(struct queue_redis_link *l, struct err *e)
{
        const struct timeval connect_limit = limit_of(l, CONNECT_MS), command_limit = limit_of(l, COMMAND_MS);
        int rc;

        errno = 0;
        l->last[0] = '\0';
        l->c = l->to->path[0] ? redisConnectUnixWithTimeout(l->to->path, connect_limit)
                              : redisConnectWithTimeout(l->to->host, l->to->port, connect_limit);
        if (!l->c)
                return err_oom(e);
        if (l->c->err)
                rc = link_broken(l, e);
        else if (redisSetTimeout(l->c, command_limit) != REDIS_OK)
                rc = link_broken(l, e);
        else
                rc = log_in(l, e);
        if (rc < 0)
                queue_redis_disconnect(l);
        return rc;
}

void queue_redis_disconnect(struct queue_redis_link *l)
{
        if (l->c)
                redisFree(l->c);
        l->c = NULL;
}

int queue_redis_add(struct queue_redis_link *l, unsigned wakes, struct err *e)
{
        char n[16];

        snprintf(n, sizeof n, "%u", wakes);
        /* The cap is reached only while nobody waits: the oldest entries are then worthless. */
        return tell_redis(l,
                          (const char *[]){"XADD", stream_of(l), "MAXLEN", "=", NUMBER_OF(QUEUE_REDIS_ENTRIES), "*",
                                           "n", n, NULL},
                          e);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* The number in an entry, [id, [field, value]]; 0 when the entry has been deleted, 1 when the number cannot be read. */
static unsigned wakes_of(const redisReply *fields)
{
        uint64_t n;

        if (fields->type != REDIS_REPLY_ARRAY || fields->elements == 0)
                return 0;
        if (fields->elements < 2 || fields->element[1]->type != REDIS_REPLY_STRING ||
            !span_u64((struct span){fields->element[1]->str, fields->element[1]->len}, &n))
                return 1;
        return n < QUEUE_REDIS_COUNT ? (unsigned)n : QUEUE_REDIS_COUNT;
}

static void collect_entries(const redisReply *entries, struct queue_redis_batch *b)
{
        for (size_t i = 0; i < entries->elements && b->entries < QUEUE_REDIS_ENTRIES; i++) {
                const redisReply *entry = entries->element[i];
                if (entry->type != REDIS_REPLY_ARRAY || entry->elements < 2 ||
                    entry->element[0]->type != REDIS_REPLY_STRING || entry->element[0]->len >= QUEUE_REDIS_ID)
                        continue;
                memcpy(b->ids[b->entries++], entry->element[0]->str, entry->element[0]->len + 1);
                b->wakes += wakes_of(entry->element[1]);
        }
        if (b->wakes > QUEUE_REDIS_COUNT)
                b->wakes = QUEUE_REDIS_COUNT;
}

int queue_redis_read(struct queue_redis_link *l, unsigned block_ms, struct queue_redis_batch *b, struct err *e)
{
        const char *argv[12] = {"XREADGROUP", "GROUP", GROUP, l->consumer, "COUNT", NUMBER_OF(QUEUE_REDIS_ENTRIES)};
        int n = 6, rc;
        redisReply *r = NULL;
        char block[16];

        b->wakes = b->entries = 0;
        snprintf(block, sizeof block, "%u", block_ms);
        if (block_ms > 0) {
                argv[n++] = "BLOCK";
                argv[n++] = block;
        }
        argv[n++] = "STREAMS";
        argv[n++] = stream_of(l);
        argv[n++] = block_ms > 0 ? ">" : "0";
        rc = queue_redis_ask(l, argv, &r, e);
        if (rc <= 0)
                return rc;
        /* Reply: [[stream, [entry, …]]], or nil when the time is over. */
        if (r->type == REDIS_REPLY_ARRAY && r->elements == 1 && r->element[0]->type == REDIS_REPLY_ARRAY &&
            r->element[0]->elements == 2 && r->element[0]->element[1]->type == REDIS_REPLY_ARRAY)
                collect_entries(r->element[0]->element[1], b);
        freeReplyObject(r);
        return 0;
}

int queue_redis_ack(struct queue_redis_link *l, const struct queue_redis_batch *b, struct err *e)
{
        const char *argv[ARGS_MAX] = {"XACK", stream_of(l), GROUP};

        if (b->entries == 0)
                return 0;
        for (unsigned i = 0; i < b->entries; i++)
                argv[3 + i] = b->ids[i];
        if (tell_redis(l, argv, e))
                return -1;
        memcpy(l->last, b->ids[b->entries - 1], sizeof l->last);
        return 0;
}

/* ---- tidying ------------------------------------------------------------------------------- */

int queue_redis_claim(struct queue_redis_link *l, unsigned idle_ms, struct err *e)
{
        redisReply *r = NULL;
        char idle[16];
        int rc;

        snprintf(idle, sizeof idle, "%u", idle_ms);
        /* Only the ids count: deleted entries have nothing else, and reading our own entries returns the rest. */
        rc = queue_redis_ask(l,
                             (const char *[]){"XAUTOCLAIM", stream_of(l), GROUP, l->consumer, idle, "0-0", "COUNT",
                                              NUMBER_OF(QUEUE_REDIS_ENTRIES), "JUSTID", NULL},
                             &r, e);
        if (rc <= 0)
                return rc;
        rc = r->type == REDIS_REPLY_ARRAY && r->elements >= 2 ? (int)r->element[1]->elements : 0;
        freeReplyObject(r);
        return rc;
}

/*
 * A group delivers in order: entries older than a delivered one have been delivered too, and entries older than the
 * oldest pending one have been acknowledged. So this never deletes an entry that is still to be delivered.
 */
int queue_redis_trim(struct queue_redis_link *l, struct err *e)
{
        char least[QUEUE_REDIS_ID];
        redisReply *r = NULL;
        int rc;

        memcpy(least, l->last, sizeof least);
        rc = queue_redis_ask(l, (const char *[]){"XPENDING", stream_of(l), GROUP, NULL}, &r, e);
        if (rc <= 0)
                return rc;
        /* Reply: [count, smallest id, greatest id, consumers]. */
        if (r->type == REDIS_REPLY_ARRAY && r->elements >= 2 && r->element[1]->type == REDIS_REPLY_STRING &&
            r->element[1]->len < sizeof least)
                memcpy(least, r->element[1]->str, r->element[1]->len + 1);
        freeReplyObject(r);
        if (!least[0])
                return 0;
        return tell_redis(l, (const char *[]){"XTRIM", stream_of(l), "MINID", "=", least, NULL}, e);
}
