/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Selects the backend. The hard part is to keep the queue thin: a queue that knew more than "look again" would be a
 * second source of truth beside the catalog.
 */
#include "queue/queue_priv.h"

#include <string.h>

static const struct queue_ops *const backends[] = {&queue_inproc_ops, &queue_redis_ops};

int queue_open(const struct queue_opts *opts, struct queue **out, struct err *e)
{
        for (size_t i = 0; i < COUNT_OF(backends); i++)
                if (opts->backend && strcmp(backends[i]->name, opts->backend) == 0)
                        return backends[i]->open(opts, out, e);
        return err_set(e, ERR_INVALID, "\"%.40s\" is not a queue backend of this build (expected inproc or redis)",
                       opts->backend ? opts->backend : "");
}

void queue_close(struct queue *q)
{
        if (q)
                q->ops->close(q);
}

const char *queue_backend_name(const struct queue *q)
{
        return q->ops->name;
}

void queue_state(struct queue *q, struct queue_state *out)
{
        *out = (struct queue_state){.connected = true};
        if (q->ops->state)
                q->ops->state(q, out);
}

void queue_wake(struct queue *q, enum task_purpose p, unsigned n)
{
        if (n > 0)
                q->ops->wake(q, p, n);
}

bool queue_wait(struct queue *q, uint32_t purposes, struct mono deadline)
{
        return q->ops->wait(q, purposes, deadline);
}

void queue_interrupt(struct queue *q)
{
        queue_wakes_interrupt(&q->wakes);
}

enum limit_outcome queue_spend(struct queue *q, struct limit_charge *charges, size_t n, bool owed)
{
        return q->ops->spend ? q->ops->spend(q, charges, n, owed) : LIMIT_UNREACHABLE;
}
