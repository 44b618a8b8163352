/* SPDX-License-Identifier: Apache-2.0 */
#ifndef FA_ADMIN_PRIV_H
#define FA_ADMIN_PRIV_H

#include "admin/admin.h"

struct admin {
        struct admin_opts o;
        struct mono started;
        struct wall started_wall;
        _Atomic bool draining;
        struct lock lock; /* stop, last_collect */
        struct lock collecting;
        struct cond wake;
        bool stop, has_thread;
        pthread_t thread;
        struct mono last_collect;
};

struct process_usage {
        uint64_t rss, fds, max_fds, threads;
        double cpu_seconds;
};
void process_usage(struct process_usage *u);
void admin_empty_trash(struct admin *a);

#endif
