/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limits that instances share: one script, one round trip, on Redis's clock. The hard part is that a request
 * waits for it: so the timeout is short, and after a failure nobody asks for a second; then one caller tries for all.
 */
#include "queue/queue_redis_priv.h"

#include "log/log.h"

#include <stdio.h>
#include <string.h>

#define PREFIX   "file-allocator:limit:"
#define LIMIT_MS 100  /* timeout of connecting and of a command */
#define FREE_MS  50   /* how long a request waits for one of the connections */
#define AGAIN_MS 1000 /* time between two attempts while failing */

/*
 * KEYS: buckets. ARGV: the most a bucket may be ahead, 1 if owed, then cost and
 * depth of each bucket. A bucket's value is the microsecond at which it is full
 * and the key expires with it. The rule is that of limit_wait().
 */
static const char script[] =
        "local t = redis.call('TIME')\n"
        "local now, most, owed = t[1] * 1000000 + t[2], tonumber(ARGV[1]), ARGV[2] == '1'\n"
        "local ahead, ok = {}, 1\n"
        "for i, key in ipairs(KEYS) do\n"
        "  local cost, depth = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])\n"
        "  ahead[i] = math.min(math.max((tonumber(redis.call('GET', key)) or 0) - now, 0), most)\n"
        "  if not owed and ahead[i] + math.min(cost, depth) > depth then ok = 0 end\n"
        "end\n"
        "for i, key in ipairs(KEYS) do\n"
        "  if ok == 1 then\n"
        "    ahead[i] = math.min(ahead[i] + ARGV[2 * i + 1], most)\n"
        "    redis.call('SET', key, string.format('%.0f', now + ahead[i]), 'PX', math.ceil(ahead[i] / 1000))\n"
        "  end\n"
        "end\n"
        "return {ok, unpack(ahead)}\n";

void queue_redis_till_init(struct queue_redis_till *t, const struct queue_redis_address *to)
{
        lock_init(&t->lock, "queue.limits", RANK_QUEUE);
        cond_init(&t->freed);
        for (size_t i = 0; i < QUEUE_REDIS_SPENDERS; i++)
                t->spenders[i].link = (struct queue_redis_link){.to = to, .limit_ms = LIMIT_MS};
}

void queue_redis_till_done(struct queue_redis_till *t)
{
        for (size_t i = 0; i < QUEUE_REDIS_SPENDERS; i++) {
                assert(!t->spenders[i].taken);
                queue_redis_disconnect(&t->spenders[i].link);
        }
        cond_done(&t->freed);
        lock_done(&t->lock);
}

/* ---- whose turn it is --------------------------------------------------------------------- */

static struct queue_redis_spender *free_one(struct queue_redis_till *t)
{
        for (size_t i = 0; i < QUEUE_REDIS_SPENDERS; i++)
                if (!t->spenders[i].taken)
                        return &t->spenders[i];
        return NULL;
}

/* NULL: not now. */
static struct queue_redis_spender *take_spender(struct queue_redis_till *t)
{
        struct mono until = mono_add(mono_now(), dur_ms(FREE_MS));
        struct queue_redis_spender *s = NULL;

        lock_take(&t->lock);
        if (!t->failing) {
                while (!(s = free_one(t)) && !t->failing && cond_wait_until(&t->freed, &t->lock, until))
                        ;
        } else if (mono_reached(t->again)) {
                t->again = mono_add(mono_now(), dur_ms(AGAIN_MS));
                s = free_one(t);
        }
        if (s)
                s->taken = true;
        lock_drop(&t->lock);
        return s;
}

static void give_back(struct queue_redis_till *t, struct queue_redis_spender *s, const struct err *why)
{
        bool changed;

        lock_take(&t->lock);
        s->taken = false;
        changed = t->failing != (why != NULL);
        t->failing = why != NULL;
        if (why)
                t->again = mono_add(mono_now(), dur_ms(AGAIN_MS));
        if (why) /* nobody need wait for a connection any more */
                cond_broadcast(&t->freed);
        else
                cond_signal(&t->freed);
        lock_drop(&t->lock);
        if (changed && why)
                log_warning("queue", "%s; until it answers each instance counts its rate limits alone", why->msg);
        else if (changed)
                log_info("queue", "rate limits are shared again");
}

/* ---- what is said ----------------------------------------------------------------------------- */

static int load_script(struct queue_redis_spender *s, struct err *e)
{
        const char *argv[] = {"SCRIPT", "LOAD", script, NULL};
        redisReply *r = NULL;

        if (queue_redis_ask(&s->link, argv, &r, e) <= 0)
                return -1;
        snprintf(s->script, sizeof s->script, "%s", r->type == REDIS_REPLY_STRING ? r->str : "");
        freeReplyObject(r);
        return 0;
}

static int read_reply(const redisReply *r, struct limit_charge *charges, size_t n)
{
        bool ok = r->type == REDIS_REPLY_ARRAY && r->elements == n + 1;

        for (size_t i = 0; ok && i <= n; i++)
                ok = r->element[i]->type == REDIS_REPLY_INTEGER && r->element[i]->integer >= 0 &&
                     r->element[i]->integer <= LIMIT_MOST;
        if (!ok)
                return -1;
        for (size_t i = 0; i < n; i++)
                charges[i].ahead = r->element[i + 1]->integer;
        return r->element[0]->integer == 1;
}

/* 1 spent, 0 refused, -1. */
static int run_script(struct queue_redis_spender *s, struct limit_charge *charges, size_t n, bool owed, struct err *e)
{
        char keys[LIMIT_KINDS][sizeof PREFIX + LIMIT_BUCKET_LEN], numbers[2 * LIMIT_KINDS + 2][24];
        const char *argv[3 * LIMIT_KINDS + 6] = {"EVALSHA", s->script, numbers[0]};
        int at = 3, rc;
        redisReply *r = NULL;

        assert(n <= LIMIT_KINDS);
        snprintf(numbers[0], sizeof numbers[0], "%zu", n);
        for (size_t i = 0; i < n; i++) {
                snprintf(keys[i], sizeof keys[i], PREFIX "%s", charges[i].bucket);
                argv[at++] = keys[i];
        }
        snprintf(numbers[1], sizeof numbers[1], "%lld", (long long)LIMIT_MOST);
        argv[at++] = numbers[1];
        argv[at++] = owed ? "1" : "0";
        for (size_t i = 0; i < n; i++) {
                snprintf(numbers[2 * i + 2], sizeof numbers[0], "%lld", (long long)charges[i].cost);
                snprintf(numbers[2 * i + 3], sizeof numbers[0], "%lld", (long long)charges[i].depth);
                argv[at++] = numbers[2 * i + 2];
                argv[at++] = numbers[2 * i + 3];
        }
        rc = queue_redis_ask(&s->link, argv, &r, e);
        if (rc < 0 && e->code == ERR_NOT_FOUND) { /* Redis has lost its scripts; this also loads ours again */
                argv[0] = "EVAL";
                argv[1] = script;
                rc = queue_redis_ask(&s->link, argv, &r, e);
        }
        if (rc <= 0)
                return -1;
        rc = read_reply(r, charges, n);
        freeReplyObject(r);
        return rc < 0 ? err_set(e, ERR_UNAVAILABLE, "Redis at %s: the limits' script answered something else",
                                s->link.to->shown)
                      : rc;
}

static int connect_and_ask(struct queue_redis_spender *s, struct limit_charge *charges, size_t n, bool owed,
                           struct err *e)
{
        if (queue_redis_connect(&s->link, e) || load_script(s, e))
                return -1;
        return run_script(s, charges, n, owed, e);
}

enum limit_outcome queue_redis_spend(struct queue_redis_till *t, struct limit_charge *charges, size_t n, bool owed)
{
        struct queue_redis_spender *s = take_spender(t);
        struct err e = {0};
        int rc = -1;

        if (!s)
                return LIMIT_UNREACHABLE;
        if (s->link.c)
                rc = run_script(s, charges, n, owed, &e);
        /* An idle connection may have broken unnoticed; such a connection is replaced at once. */
        if (!s->link.c || (rc < 0 && s->link.c->err && e.code != ERR_TIMEOUT)) {
                queue_redis_disconnect(&s->link);
                rc = connect_and_ask(s, charges, n, owed, &e);
        }
        if (rc < 0)
                queue_redis_disconnect(&s->link);
        give_back(t, s, rc < 0 ? &e : NULL);
        return rc < 0 ? LIMIT_UNREACHABLE : rc ? LIMIT_SPENT : LIMIT_REFUSED;
}
