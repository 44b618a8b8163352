/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits that all instances share, kept in the queue's Redis. For the code that connects limit/ and queue/. */
#ifndef FA_QUEUE_SPEND_H
#define FA_QUEUE_SPEND_H

#include "limit/limit.h"

struct queue;

/*
 * A limit_share_fn. LIMIT_UNREACHABLE when nothing is shared, and while Redis is unreachable or slow; then at most
 * one caller a second waits briefly to find out.
 */
enum limit_outcome queue_spend(struct queue *q, struct limit_charge *charges, size_t n, bool owed);

#endif
