/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs as users see them, and the dead-letter queue. */
#ifndef FA_JOBS_H
#define FA_JOBS_H

#include "model/model.h"

struct catalog;

struct job_view {
        struct id id;
        const char *owner;
        enum job_status status; /* queued: none begun; failed: all failed; partial: all ended, some failed */
        uint64_t queued, processing, done, failed, total;
        struct wall created, updated, completed; /* completed.us 0: not yet */
        struct asset *assets; /* only id, filename, status, stage, cluster_id, error and error_code; NULL in lists */
        size_t nassets;
};
/* owner NULL: any. ERR_NOT_FOUND also for another owner's job. */
int catalog_job_get(struct catalog *c, struct id job, const char *owner, struct arena *a, struct job_view *out,
                    struct err *e) MUST_CHECK;
/* Newest first; status -1: any. cursor "" or NULL: from the start. *next is NULL at the end. */
int catalog_job_list(struct catalog *c, const char *owner, int status, unsigned limit, const char *cursor,
                     struct arena *a, struct job_view **out, size_t *n, const char **next, struct err *e) MUST_CHECK;

struct dead_task {
        struct id task_id, job_id, asset_id;
        enum task_purpose purpose;
        enum job_type type;
        const char *filename, *owner, *stage, *error, *code;
        unsigned errors, crashes, deliveries;
        struct wall first_failed, last_failed;
        struct task_error *history; /* the newest TASK_ERRORS_MAX, oldest first; only from catalog_dlq_get */
        size_t nhistory;
};
/* stage and owner NULL: any. *total counts all matches. */
int catalog_dlq_list(struct catalog *c, const char *owner, const char *stage, unsigned limit, const char *cursor,
                     struct arena *a, struct dead_task **out, size_t *n, uint64_t *total, const char **next,
                     struct err *e) MUST_CHECK;
/* All dead tasks of a job, with their history. ERR_NOT_FOUND when it has none, also for another owner's job. */
int catalog_dlq_get(struct catalog *c, struct id job, const char *owner, struct arena *a, struct dead_task **out,
                    size_t *n, struct err *e) MUST_CHECK;
struct dlq_choice {
        const char *owner;       /* NULL: any */
        const struct id *job;    /* NULL: any */
        const struct id *assets; /* NULL: all of the job */
        size_t n;
        const char *actor;
};
/* Makes dead tasks ready again, with error and crash counts at 0; their history stays. *moved receives how many. */
int catalog_dlq_retry(struct catalog *c, const struct dlq_choice *which, uint64_t *moved, struct err *e) MUST_CHECK;
/* Deletes DLQ entries; the file and its asset stay as they are: failed, with the error, after a failed analysis. */
int catalog_dlq_discard(struct catalog *c, const struct dlq_choice *which, uint64_t *moved, struct err *e) MUST_CHECK;

#endif
