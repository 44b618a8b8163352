/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead. Sidecars are read in order, and from an object store each one is a round trip: so several threads
 * read the next ones. Each thread has every n-th item of the list and holds one text until it was used.
 */
#include "sidecar/sidecar_priv.h"
#include "keep/keep_rebuild.h"

#define LANES 8

struct lane {
        struct ahead *ahead;
        pthread_t thread;
        bool started;
        size_t at; /* the item whose text it has, or is to read next */
        bool ready;
        struct buf text;
        int rc;
        struct err why;
};

struct ahead {
        struct storage *storage;
        const struct rebuild_item *items;
        size_t n, next;
        struct lane lanes[LANES];
        struct lock lock; /* over, and of each lane at and ready */
        struct cond changed;
        bool over;
};

const char *sidecar_name(const struct rebuild_item *i, char out[STORAGE_SIDECAR_NAME_LEN])
{
        return i->kind == KEPT_FOLDER ? storage_folder_sidecar(i->id, out) : storage_asset_sidecar(i->id, out);
}

static void read_one(struct lane *l)
{
        const struct rebuild_item *i = &l->ahead->items[l->at];
        char name[STORAGE_SIDECAR_NAME_LEN];

        buf_reset(&l->text);
        l->rc = storage_get_sidecar(l->ahead->storage, sidecar_name(i, name), &l->text, &l->why);
}

static void *lane_run(void *arg)
{
        struct lane *l = arg;
        struct ahead *a = l->ahead;

        lock_take(&a->lock);
        while (!a->over && l->at < a->n) {
                if (l->ready) {
                        cond_wait(&a->changed, &a->lock);
                        continue;
                }
                lock_drop(&a->lock);
                read_one(l);
                lock_take(&a->lock);
                l->ready = true;
                cond_broadcast(&a->changed);
        }
        lock_drop(&a->lock);
        return NULL;
}

int ahead_begin(struct storage *s, const struct rebuild_item *items, size_t n, struct ahead **out, struct err *e)
{
        struct ahead *a = mem_calloc(1, sizeof *a);

        *out = a;
        if (!a)
                return err_oom(e);
        a->storage = s;
        a->items = items;
        a->n = n;
        lock_init(&a->lock, "sidecars ahead", RANK_APP);
        cond_init(&a->changed);
        for (size_t i = 0; i < LANES; i++) {
                struct lane *l = &a->lanes[i];
                l->ahead = a;
                l->at = i;
                buf_init(&l->text, STORAGE_SIDECAR_MAX);
        }
        for (size_t i = 0; i < LANES && i < n; i++) /* without a thread the lane reads when its turn comes */
                a->lanes[i].started = thread_start(&a->lanes[i].thread, "sidecar-read", lane_run, &a->lanes[i]) == 0;
        return 0;
}

/* Lock held: the lane's text was used, it may read the next one. */
static void go_on(struct ahead *a, struct lane *l)
{
        l->at += LANES;
        l->ready = false;
        cond_broadcast(&a->changed);
}

int ahead_next(struct ahead *a, struct span *text, struct err *e)
{
        struct lane *l = &a->lanes[a->next % LANES];

        assert(a->next < a->n);
        lock_take(&a->lock);
        if (a->next > 0)
                go_on(a, &a->lanes[(a->next - 1) % LANES]);
        while (l->started && !l->ready)
                cond_wait(&a->changed, &a->lock);
        lock_drop(&a->lock);
        if (!l->started)
                read_one(l);
        a->next++;
        *text = buf_span(&l->text);
        if (l->rc < 0)
                *e = l->why;
        return l->rc;
}

void ahead_end(struct ahead *a)
{
        if (!a)
                return;
        lock_take(&a->lock);
        a->over = true;
        cond_broadcast(&a->changed);
        lock_drop(&a->lock);
        for (size_t i = 0; i < LANES; i++) {
                if (a->lanes[i].started)
                        pthread_join(a->lanes[i].thread, NULL);
                buf_done(&a->lanes[i].text);
        }
        cond_done(&a->changed);
        lock_done(&a->lock);
        mem_free(a);
}
