/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mutexes with an owner and a place in the lock order. Every thread keeps the
 * list of locks it holds; taking one out of order asserts on the first run,
 * not on the day two threads meet.
 */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#define HELD_MAX   16
#define STACK_SIZE ((size_t)1 << 20)

static _Thread_local const struct lock *held[HELD_MAX];
static _Thread_local size_t held_count;

static uintptr_t this_thread(void)
{
        return (uintptr_t)pthread_self();
}

static void must_succeed(int rc)
{
        assert(rc == 0);
}

void lock_init(struct lock *l, const char *name, enum lock_rank rank)
{
        must_succeed(pthread_mutex_init(&l->mu, NULL));
        l->name = name;
        l->rank = rank;
        atomic_init(&l->owner, 0);
}

void lock_done(struct lock *l)
{
        assert(atomic_load_explicit(&l->owner, memory_order_relaxed) == 0);
        must_succeed(pthread_mutex_destroy(&l->mu));
}

/* Checked before blocking, so that a wrong order is reported instead of becoming a deadlock. */
static void check_order(const struct lock *l)
{
        for (size_t i = 0; i < held_count; i++) {
                if (held[i]->rank < l->rank)
                        continue;
                fprintf(stderr, "lock order: %s (rank %d) wanted while holding %s (rank %d)\n", l->name, l->rank,
                        held[i]->name, held[i]->rank);
                assert(!"lock order");
        }
        assert(held_count < HELD_MAX);
}

static void set_owner(struct lock *l, uintptr_t owner)
{
        atomic_store_explicit(&l->owner, owner, memory_order_relaxed);
}

void lock_take(struct lock *l)
{
        check_order(l);
        must_succeed(pthread_mutex_lock(&l->mu));
        set_owner(l, this_thread());
        held[held_count++] = l;
}

void lock_drop(struct lock *l)
{
        size_t i = held_count;

        lock_assert_held(l);
        while (i > 0 && held[i - 1] != l)
                i--;
        assert(i > 0);
        memmove(&held[i - 1], &held[i], (held_count - i) * sizeof held[0]);
        held_count--;
        set_owner(l, 0);
        must_succeed(pthread_mutex_unlock(&l->mu));
}

void lock_assert_held(const struct lock *l)
{
        assert(atomic_load_explicit(&l->owner, memory_order_relaxed) == this_thread());
}

void cond_init(struct cond *c)
{
        pthread_condattr_t attr;

        must_succeed(pthread_condattr_init(&attr));
        must_succeed(pthread_condattr_setclock(&attr, CLOCK_MONOTONIC));
        must_succeed(pthread_cond_init(&c->cv, &attr));
        must_succeed(pthread_condattr_destroy(&attr));
}

void cond_done(struct cond *c)
{
        must_succeed(pthread_cond_destroy(&c->cv));
}

/* The lock stays in this thread's list while it waits: it takes no other meanwhile. */
void cond_wait(struct cond *c, struct lock *l)
{
        lock_assert_held(l);
        set_owner(l, 0);
        must_succeed(pthread_cond_wait(&c->cv, &l->mu));
        set_owner(l, this_thread());
}

bool cond_wait_until(struct cond *c, struct lock *l, struct mono deadline)
{
        struct timespec ts = mono_timespec(deadline);
        int rc;

        lock_assert_held(l);
        set_owner(l, 0);
        rc = pthread_cond_timedwait(&c->cv, &l->mu, &ts);
        set_owner(l, this_thread());
        assert(rc == 0 || rc == ETIMEDOUT);
        return rc == 0;
}

void cond_signal(struct cond *c)
{
        must_succeed(pthread_cond_signal(&c->cv));
}

void cond_broadcast(struct cond *c)
{
        must_succeed(pthread_cond_broadcast(&c->cv));
}

/* ---- threads ---------------------------------------------------------------- */

struct start {
        void *(*run)(void *);
        void *arg;
        char name[16]; /* the kernel's limit */
};

/* The thread names itself: its creator might already find it gone. */
static void *thread_main(void *p)
{
        struct start s = *(struct start *)p;

        mem_free(p);
        prctl(PR_SET_NAME, s.name);
        return s.run(s.arg);
}

void thread_stand_back(void)
{
        setpriority(PRIO_PROCESS, 0,
                    10); /* on Linux this concerns this thread alone; a thread with a lower priority already keeps it */
}

int thread_start(pthread_t *t, const char *name, void *(*run)(void *), void *arg)
{
        struct start *s = mem_alloc(sizeof *s);
        pthread_attr_t attr;
        sigset_t all, before;
        int rc;

        if (!s)
                return -1;
        *s = (struct start){.run = run, .arg = arg};
        snprintf(s->name, sizeof s->name, "%s", name);
        must_succeed(pthread_attr_init(&attr));
        must_succeed(pthread_attr_setstacksize(&attr, STACK_SIZE));
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        rc = pthread_create(t, &attr, thread_main, s);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attr);
        if (rc != 0) {
                mem_free(s);
                return -1;
        }
        return 0;
}
