/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections as the operating system sees them: how many each address holds, which are idle, and how to close one
 * without destroying the answer under way. The last is the hard part: unread input makes close() send a reset, which
 * overtakes the answer, so the input is read and dropped first.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "http/http_priv.h"
#include "log/log.h"
#include "metrics/metrics.h"

#define DRAIN_BYTES ((size_t)64 << 20)

static struct conn_slot *longest_idle(struct conn_table *t)
{
        struct conn_slot *found = NULL;
        for (size_t i = 0; i < t->n + CONN_SLACK; i++) {
                struct conn_slot *s = &t->slots[i];
                if (s->used && !s->busy && !s->leaving && (!found || s->since.ns < found->since.ns))
                        found = s;
        }
        return found;
}

/* At most once a minute: a flood of connections must not become a flood of log lines. */
static void say_full(struct conn_table *t)
{
        if (t->said.ns && mono_since(t->said).ns < dur_s(60).ns)
                return;
        t->said = mono_now();
        log_warning("http",
                    "%zu connections are open, as many as HTTP_MAX_CONNECTIONS allows: for each new one the one idle "
                    "longest is closed, or the new one when all are at work; http_rejected_connections_total counts",
                    t->used - t->leaving);
}

static bool make_room(struct conn_table *t)
{
        struct conn_slot *s = t->leaving < CONN_SLACK ? longest_idle(t) : NULL;
        say_full(t);
        if (!s)
                return false;
        s->leaving = true;
        t->leaving++;
        shutdown(s->fd, SHUT_RDWR);
        metrics_add(METRIC_HTTP_REJECTED_CONNECTIONS, 1);
        return true;
}

bool conn_admit(struct conn_table *t, const struct sockaddr *from)
{
        struct in6_addr ip = address_of(from);
        size_t same = 0;
        lock_take(&t->lock);
        for (size_t i = 0; t->per_ip && i < t->n + CONN_SLACK; i++)
                same += t->slots[i].used && !t->slots[i].leaving && memcmp(&t->slots[i].ip, &ip, sizeof ip) == 0;
        bool room = (!t->per_ip || same < t->per_ip) && (t->used - t->leaving < t->n || make_room(t));
        lock_drop(&t->lock);
        return room;
}

struct conn_slot *http_conn_open(struct conn_table *t, const struct sockaddr *from, int fd)
{
        struct conn_slot *found = NULL;
        lock_take(&t->lock);
        for (size_t i = 0; !found && i < t->n + CONN_SLACK; i++) {
                if (!t->slots[i].used)
                        found = &t->slots[i];
        }
        if (found) {
                *found = (struct conn_slot){.ip = address_of(from), .since = mono_now(), .fd = fd, .used = true};
                t->used++;
        }
        lock_drop(&t->lock);
        return found;
}

void http_conn_close(struct conn_table *t, struct conn_slot *slot)
{
        if (!slot)
                return;
        lock_take(&t->lock);
        assert(slot->used);
        slot->used = false;
        t->used--;
        t->leaving -= slot->leaving;
        lock_drop(&t->lock);
}

void conn_set_busy(struct conn_table *t, struct conn_slot *slot, bool busy)
{
        if (!slot)
                return;
        lock_take(&t->lock);
        slot->busy = busy;
        slot->since = mono_now();
        lock_drop(&t->lock);
}

/* The library's timeout starts anew with every byte; this one does not, so a head sent byte by byte ends too. */
static void *reaper_main(void *arg)
{
        struct conn_table *t = arg;
        struct dur step = {t->head_window.ns / 8 < 1000000000 ? t->head_window.ns / 8 : 1000000000};
        lock_take(&t->lock);
        while (!t->stopping) {
                cond_wait_until(&t->wake, &t->lock, mono_add(mono_now(), step));
                for (size_t i = 0; i < t->n + CONN_SLACK; i++) {
                        struct conn_slot *s = &t->slots[i];
                        if (s->used && !s->busy && mono_since(s->since).ns > t->head_window.ns)
                                shutdown(s->fd, SHUT_RDWR); /* the lock keeps the fd ours: http_conn_close comes before
                                                               close() */
                }
        }
        lock_drop(&t->lock);
        return NULL;
}

int conn_table_init(struct conn_table *t, size_t n, size_t per_ip, struct dur head_window, struct err *e)
{
        *t = (struct conn_table){.n = n, .per_ip = per_ip, .head_window = head_window};
        t->slots = mem_calloc(n + CONN_SLACK, sizeof *t->slots);
        if (!t->slots)
                return err_oom(e);
        lock_init(&t->lock, "http.connections", RANK_HTTP);
        cond_init(&t->wake);
        if (thread_start(&t->reaper, "http-reaper", reaper_main, t)) {
                cond_done(&t->wake);
                lock_done(&t->lock);
                mem_free(t->slots);
                t->slots = NULL;
                return err_set(e, ERR_UNAVAILABLE, "cannot start the thread that watches connections");
        }
        return 0;
}

void conn_table_done(struct conn_table *t)
{
        if (!t->slots)
                return;
        lock_take(&t->lock);
        t->stopping = true;
        cond_signal(&t->wake);
        lock_drop(&t->lock);
        pthread_join(t->reaper, NULL);
        cond_done(&t->wake);
        lock_done(&t->lock);
        mem_free(t->slots);
        t->slots = NULL;
}

/* Waits in short steps, so that a stopping server is not held up. */
static bool wait_for(int fd, short events, struct mono deadline, const atomic_bool *stop)
{
        while (!mono_reached(deadline) && !(stop && atomic_load(stop))) {
                struct pollfd p = {.fd = fd, .events = events};
                int n = poll(&p, 1, 50);
                if (n > 0)
                        return true;
                if (n < 0 && errno != EINTR)
                        return false;
        }
        return false;
}

void conn_drain(int fd, struct dur t, const atomic_bool *stop)
{
        char scrap[32768];
        struct mono deadline = mono_add(mono_now(), t);
        for (size_t total = 0; total < DRAIN_BYTES;) {
                ssize_t n = recv(fd, scrap, sizeof scrap, MSG_DONTWAIT);
                if (n > 0)
                        total += (size_t)n;
                else if (n == 0 || (errno != EAGAIN && errno != EINTR))
                        return;
                else if (!wait_for(fd, POLLIN, deadline, stop))
                        return;
                if (mono_reached(deadline))
                        return;
        }
        /*
         * Enough was read. The rest stays with the client: a client whose sending stalls looks for an answer, and
         * finds it.
         */
        wait_for(fd, POLLRDHUP, deadline, stop);
}

bool conn_write(int fd, struct span bytes, struct dur t)
{
        struct mono deadline = mono_add(mono_now(), t);
        while (bytes.n > 0) {
                ssize_t n = send(fd, bytes.p, bytes.n, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (n > 0)
                        bytes = (struct span){bytes.p + n, bytes.n - (size_t)n};
                else if (n < 0 && errno != EAGAIN && errno != EINTR)
                        return false;
                else if (!wait_for(fd, POLLOUT, deadline, NULL))
                        return false;
        }
        return true;
}
