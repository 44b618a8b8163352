/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the contents of the storage to a catalog. The hard thing is to hold none of it in memory and to survive being
 * killed: items that are found are noted in the catalog itself and taken from there in the order of their ids, a page
 * at a time; each page is one transaction with the notes that it is done.
 */
#include "sidecar/sidecar_priv.h"
#include "jobs/counts.h"
#include "keep/keep_rebuild.h"

#include <stdio.h>
#include <string.h>

#define FOUND_PAGE 500
#define TODO_PAGE  500
#define PAGE       100               /* assets in one transaction at most */
#define PAGE_BYTES ((size_t)8 << 20) /* or as many as fill this many bytes */
#define ARENA      ((size_t)256 << 20)

struct rebuild {
        const struct rebuild_opts *o;
        struct rebuild_report *r;
        struct rebuild_item found[FOUND_PAGE];
        size_t nfound;
        uint64_t seen[KEPT_OBJECT + 1]; /* of each kind */
        struct ahead *ahead;            /* of the page at hand */
        uint64_t done;
};

static void report_progress(struct rebuild *b, const char *what, uint64_t total)
{
        if (b->o->progress)
                b->o->progress(b->o->ctx, what, b->done, total);
}

static void complain_of(struct rebuild *b, const char *name, const char *why)
{
        char text[400];

        snprintf(text, sizeof text, "%s: %s", name, why);
        b->o->bad(b->o->ctx, text);
}

/* ---- looking ----------------------------------------------------------------------------- */

static int flush_found(struct rebuild *b, struct err *e)
{
        size_t n = b->nfound;

        b->nfound = 0;
        return keep_rebuild_found(b->o->catalog, b->found, n, e);
}

static int note_item(struct rebuild *b, struct rebuild_item item, struct err *e)
{
        b->seen[item.kind]++;
        b->found[b->nfound++] = item;
        if (++b->done % FOUND_PAGE == 0)
                report_progress(b, "looking", 0);
        return b->nfound == FOUND_PAGE ? flush_found(b, e) : 0;
}

static int note_stray(struct rebuild *b, const char *area, const struct storage_item *i)
{
        char name[300];

        b->r->strays++;
        snprintf(name, sizeof name, "%s/%.250s", area, i->name);
        complain_of(b, name, "the name is unknown; it is left alone");
        return 0;
}

static int see_object(void *ctx, const struct storage_item *i, struct err *e)
{
        struct rebuild *b = ctx;

        if (i->stray)
                return note_stray(b, "objects", i);
        return note_item(b, (struct rebuild_item){.kind = KEPT_OBJECT, .sha256 = i->sha256, .size = i->size}, e);
}

static int see_sidecar(void *ctx, const struct storage_item *i, struct err *e)
{
        struct rebuild *b = ctx;

        if (i->stray)
                return note_stray(b, "sidecar", i);
        if (id_is_nil(i->id))
                return 0;
        return note_item(b, (struct rebuild_item){.kind = i->folder ? KEPT_FOLDER : KEPT_ASSET, .id = i->id}, e);
}

static int list_storage(struct rebuild *b, struct err *e)
{
        if (storage_list(b->o->storage, STORAGE_OBJECTS, see_object, b, e) < 0 ||
            storage_list(b->o->storage, STORAGE_SIDECARS, see_sidecar, b, e) < 0)
                return -1;
        return flush_found(b, e);
}

/* ---- reading ------------------------------------------------------------------------------- */

/* 0 when this sidecar could not be read, which was reported; -1 when the storage cannot be read. */
static int fetch_sidecar(struct rebuild *b, const char *name, struct span *text, struct err *e)
{
        struct err why = {0};

        if (ahead_next(b->ahead, text, &why) == 0)
                return 1;
        if (why.code != ERR_NOT_FOUND && why.code != ERR_TOO_LARGE && why.code != ERR_CORRUPT) {
                *e = why;
                return -1;
        }
        b->r->damaged++;
        complain_of(b, name, why.msg);
        return 0;
}

static int report_unreadable(struct rebuild *b, const char *name, const struct err *why, struct err *e)
{
        if (why->code == ERR_OOM) {
                *e = *why;
                return -1;
        }
        b->r->damaged++;
        complain_of(b, name, why->msg);
        return 0;
}

static int each_folder(struct rebuild *b, void *arg, const struct rebuild_item *i, struct err *e)
{
        char name[STORAGE_SIDECAR_NAME_LEN];
        struct arena *a = arena_new(ARENA);
        struct kept_folder k;
        struct span text;
        struct err why;
        int rc = a ? fetch_sidecar(b, sidecar_name(i, name), &text, e) : err_oom(e);

        (void)arg;
        if (rc > 0 && sidecar_read_folder(text, i->id, a, &k, &why))
                rc = report_unreadable(b, name, &why, e);
        if (rc > 0)
                rc = keep_rebuild_folder(b->o->catalog, &k, e) ? -1 : 1;
        b->r->folders += rc > 0;
        arena_free(a);
        return rc < 0 ? -1 : 0;
}

/* ---- assets ------------------------------------------------------------------------------------ */

struct page {
        struct arena *arena;
        const struct kept_asset *list[PAGE];
        size_t n;
};

static void count_asset(struct rebuild *b, const struct asset *x)
{
        b->r->assets++;
        b->r->queued += x->status == ASSET_QUEUED;
        b->r->trashed += x->trashed.us > 0;
}

static void count_fate(struct rebuild *b, const struct kept_asset *k, enum kept_fate fate)
{
        char name[STORAGE_SIDECAR_NAME_LEN];

        if (fate == FATE_RESTORED) {
                count_asset(b, &k->asset);
                b->r->dead += k->dead != NULL;
                return;
        }
        b->r->missing++;
        complain_of(b, storage_asset_sidecar(k->asset.id, name),
                    fate == FATE_NO_OBJECT ? "its object is not in the storage; left out"
                                           : "its object has another size; left out");
}

static bool its_own_fault(enum err_code code)
{
        return code == ERR_CONFLICT || code == ERR_INVALID;
}

/* A sidecar that the catalog refuses (a vector of another length, say) must not stop the others. */
static int restore_singly(struct rebuild *b, struct page *p, struct err *e)
{
        char name[STORAGE_SIDECAR_NAME_LEN];

        for (size_t i = 0; i < p->n; i++) {
                const struct kept_asset *one = p->list[i];
                enum kept_fate fate;
                struct err why = {0};
                if (keep_rebuild_assets(b->o->catalog, &one, 1, &fate, &why) == 0) {
                        count_fate(b, one, fate);
                } else if (its_own_fault(why.code)) {
                        b->r->damaged++;
                        complain_of(b, storage_asset_sidecar(one->asset.id, name), why.msg);
                } else {
                        *e = why;
                        return -1;
                }
        }
        return 0;
}

static int flush_page(struct rebuild *b, struct page *p, struct err *e)
{
        enum kept_fate fates[PAGE];
        struct err why = {0};
        int rc = keep_rebuild_assets(b->o->catalog, p->list, p->n, fates, &why);

        for (size_t i = 0; rc == 0 && i < p->n; i++)
                count_fate(b, p->list[i], fates[i]);
        if (rc < 0 && !its_own_fault(why.code)) {
                *e = why;
                return -1;
        }
        if (rc < 0 && restore_singly(b, p, e))
                return -1;
        arena_free(p->arena);
        p->n = 0;
        p->arena = arena_new(ARENA);
        return p->arena ? 0 : err_oom(e);
}

static int each_asset(struct rebuild *b, void *page, const struct rebuild_item *i, struct err *e)
{
        char name[STORAGE_SIDECAR_NAME_LEN];
        struct page *p = page;
        struct kept_asset *k = arena_alloc(p->arena, sizeof *k);
        struct span text;
        struct err why;
        int rc = k ? fetch_sidecar(b, sidecar_name(i, name), &text, e) : err_oom(e);

        if (rc > 0 && sidecar_read_asset(text, i->id, p->arena, k, &why))
                rc = report_unreadable(b, name, &why, e);
        if (rc > 0)
                p->list[p->n++] = k;
        if (rc >= 0 && (p->n == PAGE || arena_used(p->arena) > PAGE_BYTES))
                rc = flush_page(b, p, e);
        return rc < 0 ? -1 : 0;
}

/* ---- all of a kind -------------------------------------------------------------------------------- */

typedef int each_fn(struct rebuild *b, void *arg, const struct rebuild_item *i, struct err *e);

static int for_page(struct rebuild *b, const struct rebuild_item *items, size_t n, each_fn *fn, void *arg,
                    struct err *e)
{
        int rc = 0;

        if (n > 0 && items->kind != KEPT_OBJECT)
                rc = ahead_begin(b->o->storage, items, n, &b->ahead, e);
        for (size_t i = 0; rc == 0 && i < n; i++) {
                rc = fn(b, arg, &items[i], e);
                b->done++;
        }
        ahead_end(b->ahead);
        b->ahead = NULL;
        return rc;
}

static int for_each(struct rebuild *b, enum kept_kind kind, const char *what, each_fn *fn, void *arg, struct err *e)
{
        struct rebuild_item after, *items;
        bool first = true;
        size_t n;
        int rc = 0;

        b->done = 0;
        do {
                struct arena *a = arena_new(1 << 20);
                n = 0;
                rc = a ? keep_rebuild_todo(b->o->catalog, kind, first ? NULL : &after, TODO_PAGE, a, &items, &n, e)
                       : err_oom(e);
                if (rc == 0)
                        rc = for_page(b, items, n, fn, arg, e);
                if (n > 0)
                        after = items[n - 1];
                first = false;
                arena_free(a);
                report_progress(b, what, b->seen[kind]);
        } while (rc == 0 && n == TODO_PAGE);
        return rc;
}

static int each_object(struct rebuild *b, void *arg, const struct rebuild_item *i, struct err *e)
{
        char hex[SHA256_TEXT_LEN];

        (void)arg;
        if (b->o->recover(b->o->ctx, i->sha256, i->size, e))
                return -1;
        b->r->recovered++;
        complain_of(b, sha256_format(i->sha256, hex), "this object has no sidecar; it was restored as a file");
        return 0;
}

static int restore_assets(struct rebuild *b, struct err *e)
{
        struct page p = {.arena = arena_new(ARENA)};
        int rc = p.arena ? for_each(b, KEPT_ASSET, "assets", each_asset, &p, e) : err_oom(e);

        if (rc == 0)
                rc = flush_page(b, &p, e);
        arena_free(p.arena);
        return rc;
}

static int close_api(struct rebuild *b, struct err *e)
{
        struct buf text;
        struct err why;
        int rc;

        buf_init(&text, STORAGE_SIDECAR_MAX);
        rc = storage_get_sidecar(b->o->storage, STORAGE_CATALOG_SIDECAR, &text, &why);
        if (rc < 0 && why.code != ERR_NOT_FOUND) {
                buf_done(&text);
                *e = why;
                return -1;
        }
        /* If it cannot be read, the API stays closed, since it may have been closed before. */
        if (rc == 0 && sidecar_read_catalog(buf_span(&text), &b->r->keys, &why)) {
                b->r->damaged++;
                b->r->keys = true;
                complain_of(b, STORAGE_CATALOG_SIDECAR, why.msg);
        }
        buf_done(&text);
        return b->r->keys ? keep_rebuild_close_api(b->o->catalog, e) : 0;
}

static int sum_up(struct rebuild *b, struct err *e)
{
        struct catalog_counts c;

        if (catalog_counts(b->o->catalog, NULL, &c, e))
                return -1;
        b->r->objects = b->seen[KEPT_OBJECT];
        b->r->bytes = c.object_bytes;
        return 0;
}

static int run_rebuild(struct rebuild *b, struct err *e)
{
        enum rebuild_state state;

        if (keep_rebuild_state(b->o->catalog, &state, e) || keep_rebuild_begin(b->o->catalog, e))
                return -1;
        b->r->resumed = state == REBUILD_BEGUN;
        if (close_api(b, e) || list_storage(b, e) || for_each(b, KEPT_FOLDER, "folders", each_folder, NULL, e) ||
            restore_assets(b, e) || for_each(b, KEPT_OBJECT, "objects without a sidecar", each_object, NULL, e) ||
            sum_up(b, e))
                return -1;
        return keep_rebuild_finish(b->o->catalog, e);
}

int rebuild_run(const struct rebuild_opts *opts, struct rebuild_report *out, struct err *e)
{
        struct rebuild *b = mem_calloc(1, sizeof *b);
        int rc;

        *out = (struct rebuild_report){0};
        if (!b)
                return err_oom(e);
        b->o = opts;
        b->r = out;
        rc = run_rebuild(b, e);
        mem_free(b);
        return rc;
}
