/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The background thread that writes sidecars: marks (dirty flags) in their order, a page at a time, each page one
 * batch of the storage. It rests as long as it worked, so that an ingest of thousands gets half of the time, and
 * looks for marks every few seconds. The hard thing is the order within a page: the marks are read first, then the
 * state that they stand for; it is written durably, and only then the same marks are cleared.
 */
#include "sidecar/sidecar_priv.h"
#include "access/access.h"
#include "catalog/catalog_upkeep.h"

#include "log/log.h"
#include "metrics/metrics.h"

#include <stdio.h>
#include <string.h>

#define LOGGER  "sidecar"
#define DUTY    "sidecars"
#define PAGE    256
#define LEASE_S 60
#define ARENA   ((size_t)64 << 20)

struct sidecar {
        struct sidecar_opts o;
        pthread_t thread;
        bool started;
        struct lock lock; /* what follows */
        struct cond wake;
        bool stop;
        struct mono deadline; /* of the last round */
        struct sidecar_state state;
        struct mono renew; /* the thread's: when the duty's lease is taken anew */
        bool checked;      /* the thread's: the storage has sidecars */
};

/* ---- one page -------------------------------------------------------------------------- */

/* 1 written, 0 gone, -1. */
static int describe_mark(struct sidecar *s, const struct sidecar_mark *m, struct arena *a, struct buf *b, struct err *e)
{
        struct kept_asset asset;
        struct kept_folder folder;
        bool keys;
        struct err why = {0};
        int rc;

        if (m->kind == KEPT_CATALOG) {
                rc = access_keys_exist(s->o.catalog, &keys, &why);
                if (rc == 0)
                        sidecar_write_catalog(keys, b);
        } else if (m->kind == KEPT_FOLDER) {
                rc = keep_folder_read(s->o.catalog, m->id, a, &folder, &why);
                if (rc == 0)
                        sidecar_write_folder(&folder, b);
        } else {
                rc = keep_asset_read(s->o.catalog, m->id, a, &asset, &why);
                if (rc == 0)
                        sidecar_write_asset(&asset, b);
        }
        if (rc < 0 && why.code == ERR_NOT_FOUND)
                return 0;
        if (rc < 0) {
                *e = why;
                return -1;
        }
        return buf_failed(b)
                       ? err_set(e, ERR_TOO_LARGE, "a sidecar would be larger than %zu bytes", STORAGE_SIDECAR_MAX)
                       : 1;
}

static const char *name_of(const struct sidecar_mark *m, char name[STORAGE_SIDECAR_NAME_LEN])
{
        return m->kind == KEPT_CATALOG  ? STORAGE_CATALOG_SIDECAR
               : m->kind == KEPT_FOLDER ? storage_folder_sidecar(m->id, name)
                                        : storage_asset_sidecar(m->id, name);
}

static int put_one(struct sidecar *s, const struct sidecar_mark *m, struct storage_batch *batch, struct err *e)
{
        char name[STORAGE_SIDECAR_NAME_LEN];
        struct arena *a = arena_new(ARENA);
        struct buf b;
        int rc;

        buf_init(&b, STORAGE_SIDECAR_MAX);
        rc = a ? describe_mark(s, m, a, &b, e) : err_oom(e);
        if (rc > 0)
                rc = storage_batch_put(batch, name_of(m, name), buf_span(&b), e);
        else if (rc == 0)
                rc = storage_batch_remove(batch, name_of(m, name), e);
        buf_done(&b);
        arena_free(a);
        return rc;
}

static int write_page(struct sidecar *s, const struct sidecar_mark *marks, size_t n, struct err *e)
{
        struct storage_batch *batch;
        int rc = storage_batch_begin(s->o.storage, &batch, e);

        for (size_t i = 0; rc == 0 && i < n; i++)
                rc = put_one(s, &marks[i], batch, e);
        if (rc == 0)
                rc = storage_batch_commit(batch, e);
        storage_batch_end(batch);
        return rc < 0 ? -1 : keep_marks_clear(s->o.catalog, marks, n, e);
}

/*
 * If a page fails as a whole, each sidecar is written by itself: one that cannot be written must not stop the others.
 */
static int write_singly(struct sidecar *s, const struct sidecar_mark *marks, size_t n, struct err *e)
{
        struct err why;
        size_t failed = 0;

        for (size_t i = 0; i < n; i++) {
                if (write_page(s, &marks[i], 1, &why) == 0)
                        continue;
                *e = why;
                if (why.code == ERR_UNAVAILABLE || why.code == ERR_NO_SPACE || ++failed == 8)
                        return -1;
        }
        return failed ? -1 : 0;
}

/* ---- a round --------------------------------------------------------------------------------- */

static bool take_duty(struct sidecar *s)
{
        struct err e = {0};
        int rc = catalog_duty_take(s->o.catalog, DUTY, s->o.instance, dur_s(LEASE_S), (struct dur){0}, &e);

        if (rc < 0)
                log_debug(LOGGER, "put off: %s", e.msg);
        s->renew = mono_add(mono_now(), dur_s(LEASE_S / 3));
        return rc > 0;
}

/* Rests after a page. While nobody is disturbed, rests are skipped. */
static bool may_go_on(struct sidecar *s, struct mono began)
{
        struct mono until = mono_add(mono_now(), mono_since(began));
        bool on;

        lock_take(&s->lock);
        while (!s->stop && !mono_reached(until))
                cond_wait_until(&s->wake, &s->lock, until);
        on = !s->stop || !mono_reached(s->deadline);
        lock_drop(&s->lock);
        return on && (!mono_reached(s->renew) || take_duty(s));
}

/* Writes all marks that existed when it began, while this instance holds the duty. */
static int round_of_pages(struct sidecar *s, struct err *e)
{
        struct sidecar_mark after, *marks;
        bool first = true, more = true;
        int rc = 0;

        while (more && rc == 0) {
                struct mono began = mono_now();
                struct arena *a = arena_new(1 << 20);
                size_t n = 0;
                struct err why;
                rc = a ? keep_marks(s->o.catalog, first ? NULL : &after, PAGE, a, &marks, &n, e) : err_oom(e);
                if (rc == 0 && n > 0 && write_page(s, marks, n, &why))
                        rc = write_singly(s, marks, n, e);
                if (rc == 0 && n > 0)
                        after = marks[n - 1];
                first = false;
                more = rc == 0 && n == PAGE && may_go_on(s, began);
                arena_free(a);
        }
        return rc;
}

/*
 * The catalog's own sidecar is written after all others. A storage without it is new to this catalog (restored,
 * moved, emptied), so everything is written.
 */
static int check_storage(struct sidecar *s, struct err *e)
{
        struct err why = {0};
        struct buf b;
        int rc;

        buf_init(&b, STORAGE_SIDECAR_MAX);
        rc = storage_get_sidecar(s->o.storage, STORAGE_CATALOG_SIDECAR, &b, &why);
        buf_done(&b);
        if (rc < 0 && why.code != ERR_NOT_FOUND) {
                *e = why;
                return -1;
        }
        if (rc < 0 && !take_duty(s))
                return 0; /* another instance holds the duty */
        if (rc < 0 && keep_marks_all(s->o.catalog, e))
                return -1;
        s->checked = true;
        return 0;
}

static void run_round(struct sidecar *s)
{
        struct err e = {.msg = ""}, ignored;
        struct sidecar_state st = {0};
        struct wall since = {0};
        bool was_well;
        int rc = s->checked ? 0 : check_storage(s, &e);

        if (rc == 0)
                rc = keep_marks_waiting(s->o.catalog, &st.waiting, &since, &e);
        if (rc == 0 && st.waiting > 0 && take_duty(s)) {
                rc = round_of_pages(s, &e);
                if (catalog_duty_done(s->o.catalog, DUTY, s->o.instance, &ignored))
                        log_debug(LOGGER, "the lease of the duty runs out: %s", ignored.msg);
                if (keep_marks_waiting(s->o.catalog, &st.waiting, &since, &ignored))
                        since.us = 0;
        }
        if (st.waiting > 0 && since.us > 0)
                st.oldest_seconds = (double)(wall_now().us - since.us) * 1e-6;
        if (rc < 0)
                snprintf(st.note, sizeof st.note, "sidecars are behind: %.*s", (int)sizeof st.note - 24, e.msg);
        metrics_set(METRIC_SIDECAR_BACKLOG, (double)st.waiting);
        lock_take(&s->lock);
        was_well = !*s->state.note;
        s->state = st;
        lock_drop(&s->lock);
        if (rc < 0 && was_well)
                log_warning(LOGGER, "%s", st.note);
        else if (rc == 0 && !was_well)
                log_info(LOGGER, "sidecars are written again");
}

static void *sidecar_main(void *arg)
{
        struct sidecar *s = arg;
        bool stop = false;

        thread_stand_back();
        while (!stop) {
                struct mono until = mono_add(mono_now(), s->o.every);
                lock_take(&s->lock);
                while (!s->stop && !mono_reached(until))
                        cond_wait_until(&s->wake, &s->lock, until);
                stop = s->stop;
                lock_drop(&s->lock);
                run_round(s);
        }
        return NULL;
}

int sidecar_open(const struct sidecar_opts *opts, struct sidecar **out, struct err *e)
{
        struct sidecar *s = mem_calloc(1, sizeof *s);

        if (!s)
                return err_oom(e);
        s->o = *opts;
        if (s->o.every.ns <= 0)
                s->o.every = dur_s(5);
        lock_init(&s->lock, "sidecar", RANK_APP);
        cond_init(&s->wake);
        if (thread_start(&s->thread, "sidecar", sidecar_main, s)) {
                sidecar_close(s, mono_now());
                return err_set(e, ERR_OOM, "cannot start the thread of the sidecars");
        }
        s->started = true;
        *out = s;
        return 0;
}

void sidecar_close(struct sidecar *s, struct mono deadline)
{
        if (!s)
                return;
        lock_take(&s->lock);
        s->stop = true;
        s->deadline = deadline;
        cond_broadcast(&s->wake);
        lock_drop(&s->lock);
        if (s->started)
                pthread_join(s->thread, NULL);
        cond_done(&s->wake);
        lock_done(&s->lock);
        mem_free(s);
}

void sidecar_state(struct sidecar *s, struct sidecar_state *out)
{
        lock_take(&s->lock);
        *out = s->state;
        lock_drop(&s->lock);
}
