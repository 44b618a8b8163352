/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread lent to one caller at a time; see base.h. Work that it has not begun when the caller is done is taken
 * back.
 */
#include "base/base.h"

struct helper {
        pthread_t thread;
        struct lock lock;
        struct cond asked, done;
        enum { HELPER_FREE, HELPER_ASKED, HELPER_RUNS, HELPER_DONE } state;
        void (*fn)(void *arg);
        void *arg;
        bool stop;
};

static void *helper_main(void *p)
{
        struct helper *h = p;

        lock_take(&h->lock);
        while (!h->stop) {
                if (h->state != HELPER_ASKED) {
                        cond_wait(&h->asked, &h->lock);
                        continue;
                }
                h->state = HELPER_RUNS;
                lock_drop(&h->lock);
                h->fn(h->arg);
                lock_take(&h->lock);
                h->state = HELPER_DONE;
                cond_signal(&h->done);
        }
        lock_drop(&h->lock);
        return NULL;
}

int helper_open(const char *name, struct helper **out)
{
        struct helper *h = mem_calloc(1, sizeof *h);

        if (!h)
                return -1;
        lock_init(&h->lock, name, RANK_HELPER);
        cond_init(&h->asked);
        cond_init(&h->done);
        if (thread_start(&h->thread, name, helper_main, h) == 0) {
                *out = h;
                return 0;
        }
        cond_done(&h->asked);
        cond_done(&h->done);
        lock_done(&h->lock);
        mem_free(h);
        return -1;
}

void helper_close(struct helper *h)
{
        if (!h)
                return;
        lock_take(&h->lock);
        assert(h->state == HELPER_FREE);
        h->stop = true;
        cond_signal(&h->asked);
        lock_drop(&h->lock);
        pthread_join(h->thread, NULL);
        cond_done(&h->asked);
        cond_done(&h->done);
        lock_done(&h->lock);
        mem_free(h);
}

bool helper_lend(struct helper *h, void (*fn)(void *arg), void *arg)
{
        bool lent;

        if (!h)
                return false;
        lock_take(&h->lock);
        lent = h->state == HELPER_FREE;
        if (lent) {
                h->state = HELPER_ASKED;
                h->fn = fn;
                h->arg = arg;
                cond_signal(&h->asked);
        }
        lock_drop(&h->lock);
        return lent;
}

bool helper_end(struct helper *h)
{
        bool ran;

        lock_take(&h->lock);
        assert(h->state != HELPER_FREE);
        while (h->state == HELPER_RUNS)
                cond_wait(&h->done, &h->lock);
        ran = h->state == HELPER_DONE;
        h->state = HELPER_FREE;
        lock_drop(&h->lock);
        return ran;
}
