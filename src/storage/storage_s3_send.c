/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The threads that send objects waiting in the spool to the store. The store's answer about an object holds only as
 * long as nobody refers to the object anew meanwhile.
 */
#include "storage/storage_s3_priv.h"

#include "log/log.h"

#include <errno.h>
#include <stdio.h>
#include <sys/file.h>

#define LOGGER       "storage"
#define REST_MS      500 /* doubled with each failure in a row */
#define REST_MAX_MS  30000
#define DOUBLED_MOST 6

/* Lock held. A request referred to the object while it was sent: the store's earlier answer may no longer hold. */
static bool asked_again(struct s3 *s, struct sha256 sha256)
{
        bool again = false;

        for (struct s3_waiting *w = s->first; w; w = w->next)
                if (sha256_eq(w->sha256, sha256)) {
                        again |= w->again;
                        w->again = false;
                }
        return again;
}

/* 1 the store is to be asked again. */
static int finish_sent(struct s3 *s, struct sha256 sha256, const char *key, int *fd, uint64_t size, struct err *e)
{
        int rc;

        lock_take(&s->lock);
        if (asked_again(s, sha256)) {
                lock_drop(&s->lock);
                return 1;
        }
        rc = s3_back_take(s, sha256, size) ? errno : 0;
        if (rc == 0 && s3_copy_add(s, key, *fd, size, (struct dur){0}))
                *fd = -1;
        lock_drop(&s->lock);
        return rc ? err_errno(e, rc, "cannot remove what was sent from the spool") : 0;
}

static int send_one(struct s3 *s, struct sha256 sha256, struct err *e)
{
        char key[S3_KEY_MAX];
        struct s3_claim claim;
        struct s3_body b = {.s = s, .sha256 = sha256};
        bool existed;
        int rc;

        s3_object_key(sha256, key);
        s3_claim(s, &claim, key);
        rc = s3_back_find(s, sha256, &b.fd, &b.size, e);
        if (rc > 0) {
                flock(b.fd, LOCK_UN); /* it will be the copy's, which readers lock and not the copy itself */
                rc = s3_check_hash(b.fd, sha256, b.size, e) ? -1 : 1;
                while (rc > 0)
                        rc = s3_store(&b, key, &existed, e) ||
                                             fault_err(FAULT("storage.sent"), "cannot remove what was sent", e)
                                     ? -1
                                     : finish_sent(s, sha256, key, &b.fd, b.size, e);
                fd_close(&b.fd);
        }
        s3_unclaim(s, &claim);
        return rc;
}

static struct mono retry_time(unsigned failures)
{
        int64_t ms = (int64_t)REST_MS << (failures - 1 < DOUBLED_MOST ? failures - 1 : DOUBLED_MOST);

        return mono_add(mono_now(), dur_ms(ms < REST_MAX_MS ? ms : REST_MAX_MS));
}

/* The next to send, NULL at the end. Waits. */
static struct s3_waiting *next_waiting(struct s3 *s)
{
        struct s3_waiting *w = NULL;

        lock_take(&s->lock);
        while (!atomic_load(&s->closing) && !w) {
                struct mono until = {INT64_MAX};
                if (!mono_reached(s->rest_until)) {
                        cond_wait_until(&s->work, &s->lock, s->rest_until);
                        continue;
                }
                for (w = s->first; w && (w->busy || !mono_reached(w->not_before)); w = w->next)
                        if (!w->busy && w->not_before.ns < until.ns)
                                until = w->not_before;
                if (w)
                        w->busy = true;
                else if (until.ns < INT64_MAX)
                        cond_wait_until(&s->work, &s->lock, until);
                else
                        cond_wait(&s->work, &s->lock);
        }
        lock_drop(&s->lock);
        return w;
}

static void settle_sent(struct s3 *s, struct s3_waiting *w, int rc, const struct err *e)
{
        bool turned = false;

        lock_take(&s->lock);
        w->busy = false;
        if (rc == 0) {
                struct s3_waiting **at = &s->first;
                while (*at != w)
                        at = &(*at)->next;
                s3_back_cut(s, at);
                turned = s->failures > 0;
                s->failures = 0;
                s->trouble[0] = '\0';
        } else if (!atomic_load(&s->closing)) {
                turned = s->failures++ == 0;
                w->not_before = retry_time(++w->failures);
                s->rest_until = retry_time(s->failures);
                snprintf(s->trouble, sizeof s->trouble, "%.*s", (int)sizeof s->trouble - 1, e->msg);
        }
        lock_drop(&s->lock);
        if (turned && rc == 0)
                log_info(LOGGER, "objects that waited in the spool are sent again");
        else if (turned)
                log_warning(LOGGER, "an acknowledged object stays in the spool for now: %s", e->msg);
}

static void *sender_main(void *arg)
{
        struct s3 *s = arg;

        for (struct s3_waiting *w; (w = next_waiting(s)) != NULL;) {
                struct err e = {.msg = ""};
                int rc = send_one(s, w->sha256, &e);
                settle_sent(s, w, rc, &e);
        }
        return NULL;
}

int s3_send_start(struct s3 *s, struct err *e)
{
        while (s->waiting >= 0 && s->nsenders < S3_SENDERS) {
                if (thread_start(&s->senders[s->nsenders], "s3 sender", sender_main, s))
                        return err_oom(e);
                s->nsenders++;
        }
        return 0;
}

void s3_send_stop(struct s3 *s)
{
        lock_take(&s->lock);
        atomic_store(&s->closing, true);
        cond_broadcast(&s->work);
        lock_drop(&s->lock);
        while (s->nsenders > 0)
                pthread_join(s->senders[--s->nsenders], NULL);
}
