/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of decoders. A slot is taken under the lock and used without it; only its taker touches its process. The
 * hard part is to attribute a child's death: before the request was sent it is no file's fault, and a new child gets
 * the file; after that the file fails.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "jail/jail_priv.h"
#include "jail/kernel.h"
#include "metrics/metrics.h"

#define QUICK_STARTS    2
#define QUICK_START_S   5
#define BACKOFF_FIRST_S 1
#define BACKOFF_MOST_S  30

struct slot {
        struct child child;
        bool busy;
};

struct jail {
        struct jail_opts opts; /* decoder_path is a copy of ours */
        atomic_uint serial;

        struct lock lock; /* guards all below, except the child of a busy slot */
        struct cond freed;
        unsigned failed_starts; /* in a row */
        struct mono retry_at;   /* no child is started before this */
        uint64_t files, crashes, timeouts;
        unsigned locks; /* those of the child started last; before that, what the kernel offers */
        char note[160];
        struct slot slot[];
};

int jail_open(const struct jail_opts *opts, struct jail **out, struct err *e)
{
        if (!opts->decoder_path || !opts->children || opts->timeout.ns <= 0 || opts->cpu.ns <= 0)
                return err_set(e, ERR_INVALID, "the jail needs a decoder, at least one child and limits of time");
        struct jail *j = mem_calloc(1, sizeof *j + opts->children * sizeof j->slot[0]);
        if (!j)
                return err_oom(e);
        j->opts = *opts;
        j->opts.decoder_path = mem_strdup(opts->decoder_path);
        if (!j->opts.decoder_path) {
                mem_free(j);
                return err_oom(e);
        }
        j->locks = jail_kernel_locks();
        for (unsigned i = 0; i < j->opts.children; i++)
                j->slot[i].child.fd = -1;
        lock_init(&j->lock, "jail", RANK_JAIL);
        cond_init(&j->freed);
        *out = j;
        return 0;
}

void jail_close(struct jail *j)
{
        if (!j)
                return;
        for (unsigned i = 0; i < j->opts.children; i++) {
                assert(!j->slot[i].busy); /* the callers' threads end first */
                child_kill(&j->slot[i].child);
        }
        cond_done(&j->freed);
        lock_done(&j->lock);
        mem_free((void *)(uintptr_t)j->opts.decoder_path);
        mem_free(j);
}

/* ---- slots ---------------------------------------------------------------------- */

/* Takes a free slot, preferably one with a running child: starting one costs a quarter of a second and 45 MB. */
static struct slot *slot_find(struct jail *j)
{
        struct slot *empty = NULL;
        for (unsigned i = 0; i < j->opts.children; i++) {
                struct slot *s = &j->slot[i];
                if (!s->busy && s->child.pid)
                        return s;
                if (!s->busy && !empty)
                        empty = s;
        }
        return empty;
}

static struct slot *slot_take(struct jail *j)
{
        struct slot *s;
        lock_take(&j->lock);
        while (!(s = slot_find(j)))
                cond_wait(&j->freed, &j->lock);
        s->busy = true;
        lock_drop(&j->lock);
        return s;
}

static void slot_give_back(struct jail *j, struct slot *s)
{
        lock_take(&j->lock);
        s->busy = false;
        cond_signal(&j->freed);
        lock_drop(&j->lock);
}

/* Returns false, with the reason, while the last failed start is too recent. */
static int start_allowed(struct jail *j, struct err *e)
{
        int r = 0;
        lock_take(&j->lock);
        if (j->failed_starts && !mono_reached(j->retry_at))
                r = err_set(e, ERR_UNAVAILABLE, "%s; waiting before the next try", j->note);
        lock_drop(&j->lock);
        return r;
}

static void start_noted(struct jail *j, const struct child *started, const struct err *e)
{
        lock_take(&j->lock);
        if (started) {
                j->failed_starts = 0;
                j->locks = started->locks;
                j->note[0] = 0;
        } else {
                unsigned shift = j->failed_starts < 5 ? j->failed_starts : 5;
                int64_t wait = (int64_t)BACKOFF_FIRST_S << shift;
                j->failed_starts++;
                j->retry_at = mono_add(mono_now(), dur_s((double)(wait < BACKOFF_MOST_S ? wait : BACKOFF_MOST_S)));
                snprintf(j->note, sizeof j->note, "%.150s", e->msg);
        }
        lock_drop(&j->lock);
}

static int slot_start(struct jail *j, struct slot *s, struct err *e)
{
        struct err why = {0};
        if (s->child.pid)
                return 0;
        if (start_allowed(j, e))
                return -1;
        /*
         * A child that was killed during its start says nothing about the next one: one more attempt is made before
         * the file has to wait.
         */
        struct mono began = mono_now();
        int r = child_start(&s->child, &j->opts, &why);
        for (int again = 0; r && again < QUICK_STARTS && mono_since(began).ns < dur_s(QUICK_START_S).ns; again++)
                r = child_start(&s->child, &j->opts, &why);
        start_noted(j, r ? NULL : &s->child, &why);
        return r ? err_set(e, ERR_UNAVAILABLE, "%s", why.msg) : 0;
}

/* ---- one file ----------------------------------------------------------------------- */

/* The child gets a file offset of its own: fd may be shared with other readers. */
static int open_input(int fd, struct err *e)
{
        char path[32];
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        int in = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (in < 0)
                err_errno(e, errno, "cannot reopen the file to decode");
        return in;
}

static int open_output(struct err *e)
{
        int fd = memfd_create("decoded", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                err_errno(e, errno, "cannot make a memory file");
        return fd;
}

/* Returns the real size of the memory file, which from now on nobody can change. */
static int seal_output(int memfd, uint64_t *size, struct err *e)
{
        struct stat st;
        /* fails with EBUSY while the child keeps a writable mapping: an attempt to cheat */
        if (fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) || fstat(memfd, &st))
                return err_set(e, ERR_CRASHED, "the decoder kept hold of its output: %s", strerror(errno));
        *size = (uint64_t)st.st_size;
        return 0;
}

static int reply_error(const struct jail_reply *r, struct err *e)
{
        static const enum err_code codes[] = {
                [JAIL_UNSUPPORTED] = ERR_UNSUPPORTED,
                [JAIL_CORRUPT] = ERR_CORRUPT,
                [JAIL_TOO_LARGE] = ERR_TOO_LARGE,
                [JAIL_FAILED] = ERR_INTERNAL,
        };
        return err_set(e, codes[r->status], "%s", r->error);
}

/* One byte more than a reply may have, so that the check detects a longer one; the bytes beyond are never read. */
static int map_output(int memfd, uint64_t size, struct span *memory, struct err *e)
{
        size_t n = size > JAIL_OUTPUT_MAX ? (size_t)JAIL_OUTPUT_MAX + 1 : (size_t)size;
        void *p = n ? mmap(NULL, n, PROT_READ, MAP_SHARED, memfd, 0) : NULL;
        if (p == MAP_FAILED)
                return err_errno(e, errno, "cannot map the decoder's output");
        *memory = (struct span){p, n};
        return 0;
}

static int read_reply(const struct jail_reply *r, size_t n, const struct jail_request *req, struct span memory,
                      struct decode_result *out, struct err *e)
{
        if (jail_check_reply(r, n, req, memory, e))
                return -1;
        return r->status == JAIL_OK ? jail_list_reply(r, &req->want, memory, out, e) : reply_error(r, e);
}

static int take_reply(struct jail *j, struct slot *s, const struct jail_request *req, int memfd,
                      struct decode_result *out, struct err *e)
{
        struct jail_reply r;
        size_t n;
        uint64_t size = 0;
        struct span memory = {0};
        if (child_receive(&s->child, mono_add(mono_now(), j->opts.timeout), &r, &n, e) ||
            seal_output(memfd, &size, e) || map_output(memfd, size, &memory, e))
                return -1;
        void *map = (void *)(uintptr_t)memory.p;
        if (read_reply(&r, n, req, memory, out, e)) {
                if (map)
                        munmap(map, memory.n);
                return -1;
        }
        out->map = map;
        out->map_len = memory.n;
        return 0;
}

/* Sends to the slot's child, starting it if needed; a child that died while idle is replaced once. */
static int hand_over(struct jail *j, struct slot *s, const struct jail_request *req, int input, int memfd,
                     struct err *e)
{
        for (int try = 0;; try++) {
                bool sent;
                if (slot_start(j, s, e))
                        return -1;
                if (!child_send(&s->child, req, input, memfd, &sent, e))
                        return 0;
                child_kill(&s->child);
                if (try)
                        return -1;
        }
}

/* Whether to replace a child that is not broken, so that no file fails because of those before it. */
static bool child_is_worn(const struct jail *j, struct child *c)
{
        const struct jail_opts *o = &j->opts;
        c->files++;
        return (o->recycle_after && c->files >= o->recycle_after) || child_cpu(c).ns >= o->cpu.ns / 2 ||
               (o->recycle_bytes && child_resident(c) > o->recycle_bytes);
}

/* Applies the outcome of a file to the child and the counters. */
static void settle_file(struct jail *j, struct slot *s, int rc, const struct err *e)
{
        bool crashed = rc && e->code == ERR_CRASHED, late = rc && e->code == ERR_TIMEOUT;
        if (crashed || late)
                metrics_add(METRIC_WORKER_CRASHES, 1);
        if (crashed || late || (s->child.pid && child_is_worn(j, &s->child)))
                child_kill(&s->child);
        lock_take(&j->lock);
        j->files++;
        j->crashes += crashed;
        j->timeouts += late;
        lock_drop(&j->lock);
}

int jail_decode(struct jail *j, int fd, const struct decode_request *req, struct decode_result *out, struct err *e)
{
        struct err why = {0};
        struct jail_request q = {.magic = JAIL_MAGIC, .serial = atomic_fetch_add(&j->serial, 1), .want = *req};
        *out = (struct decode_result){0};
        if (jail_check_request(req, e))
                return -1;
        int rc = -1, memfd = -1, input = open_input(fd, &why);
        if (input >= 0 && (memfd = open_output(&why)) >= 0) {
                struct slot *s = slot_take(j);
                rc = hand_over(j, s, &q, input, memfd, &why);
                if (!rc) {
                        fd_close(&input);
                        rc = take_reply(j, s, &q, memfd, out, &why);
                        settle_file(j, s, rc, &why);
                }
                slot_give_back(j, s);
        }
        fd_close(&input);
        fd_close(&memfd);
        return rc ? err_set(e, why.code, "%s", why.msg) : 0;
}

void jail_state(struct jail *j, struct jail_state *out)
{
        lock_take(&j->lock);
        *out = (struct jail_state){.files = j->files, .crashes = j->crashes, .timeouts = j->timeouts};
        for (unsigned i = 0; i < j->opts.children; i++) {
                out->busy += j->slot[i].busy;
                out->running += j->slot[i].busy || j->slot[i].child.pid;
        }
        out->isolation = jail_isolation(j->locks);
        snprintf(out->note, sizeof out->note, "%s", *j->note ? j->note : jail_lacks(j->locks));
        lock_drop(&j->lock);
}

int jail_try(struct jail *j, struct err *e)
{
        struct slot *s = slot_take(j);
        int r = slot_start(j, s, e);
        slot_give_back(j, s);
        return r;
}
