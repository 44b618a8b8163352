/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits that all instances share, kept where the queue's Redis is. For who wires limit/ and queue/ together. */
#ifndef FA_QUEUE_SPEND_H
#define FA_QUEUE_SPEND_H

#include "limit/limit.h"

struct queue;

/* As limit_share_fn says. LIMIT_UNREACHABLE where nothing is shared, and while Redis is away or slow: at most for a
 * moment a second somebody finds that out by waiting. */
enum limit_outcome queue_spend(struct queue *q, struct limit_charge *charges, size_t n, bool owed);

#endif
