/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named places where tests make things go wrong. A specification that cannot
 * be read ends the program: a crash test that never crashes would pass.
 */
#include "base/base.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POINTS_MAX 16

enum action { ACT_KILL, ACT_EIO, ACT_ENOSPC, ACT_STALL };

struct point {
        char name[48];
        enum action action;
        uint64_t at; /* counted from 1 */
        uint64_t passed;
};

static const char *const actions[] = {"kill", "eio", "enospc", "stall"};
static struct point points[POINTS_MAX];
static size_t point_count;
static pthread_mutex_t points_mutex = PTHREAD_MUTEX_INITIALIZER; /* tests arm points while other threads pass them */
atomic_bool fault_armed;

static int act_out(enum action a)
{
        switch (a) {
        case ACT_KILL:
                kill(getpid(), SIGKILL);
                return 0;
        case ACT_EIO:
                return EIO;
        case ACT_ENOSPC:
                return ENOSPC;
        case ACT_STALL:
                sleep_for(dur_s(3600));
                return 0;
        }
        return 0;
}

/* The first armed point of that name whose turn has come, or -1. */
static int pass_point(const char *name)
{
        int found = -1;

        pthread_mutex_lock(&points_mutex);
        for (size_t i = 0; found < 0 && i < point_count; i++) {
                struct point *p = &points[i];
                if (strcmp(p->name, name) == 0 && ++p->passed == p->at) {
                        fprintf(stderr, "fault: %s=%s@%llu\n", name, actions[p->action], (unsigned long long)p->at);
                        found = (int)p->action;
                }
        }
        pthread_mutex_unlock(&points_mutex);
        return found;
}

int fault_hit(const char *name)
{
        int action = pass_point(name);

        return action < 0 ? 0 : act_out((enum action)action);
}

int fault_err(int errnum, const char *what, struct err *e)
{
        return errnum ? err_errno(e, errnum, "%s", what) : 0;
}

/* "name=action" or "name=action@n" */
static bool parse_point(struct span text, struct point *p)
{
        struct span rest = span_trim(text), name, action;

        if (!span_cut(&rest, '=', &name) || !rest.p || name.n == 0 || name.n >= sizeof p->name)
                return false;
        memset(p->name, 0, sizeof p->name);
        memcpy(p->name, name.p, name.n);
        p->at = 1;
        p->passed = 0;
        span_cut(&rest, '@', &action);
        if (rest.p && (!span_u64(rest, &p->at) || p->at == 0))
                return false;
        for (size_t i = 0; i < COUNT_OF(actions); i++) {
                if (span_eq(action, actions[i])) {
                        p->action = (enum action)i;
                        return true;
                }
        }
        return false;
}

void fault_init(void)
{
        const char *spec = getenv("FILE_ALLOCATOR_FAULT");
        struct span rest = span_of(spec), part;

        pthread_mutex_lock(&points_mutex);
        point_count = 0;
        while (rest.n > 0 && span_cut(&rest, ',', &part)) {
                if (point_count == POINTS_MAX || !parse_point(part, &points[point_count])) {
                        fprintf(stderr, "FILE_ALLOCATOR_FAULT: cannot use \"%.*s\"\n", (int)part.n, part.p);
                        exit(2);
                }
                point_count++;
        }
        atomic_store(&fault_armed, point_count > 0);
        pthread_mutex_unlock(&points_mutex);
}
