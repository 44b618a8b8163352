/* SPDX-License-Identifier: Apache-2.0 */
/* The checks that need the storage, and the order of all checks. */
#include "admin/fsck.h"
#include "catalog/catalog_asset.h"
#include "catalog/catalog_upkeep.h"

#include "admin/admin_priv.h"
#include "keep/keep_check.h"
#include "keep/keep.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE    64
#define TMP_AGE 86400 /* seconds: no upload takes so long */

/* A check's row in the report; the same name gives the same row. */
static struct keep_check_result *check_result(struct fsck_report *r, const char *name)
{
        for (size_t i = 0; i < r->n; i++)
                if (!strcmp(r->checks[i].name, name))
                        return &r->checks[i];
        assert(r->n < FSCK_CHECKS_MAX);
        r->checks[r->n] = (struct keep_check_result){.name = name};
        return &r->checks[r->n++];
}

static void report_found(const struct fsck_opts *o, struct fsck_report *r, const char *check, const char *format, ...)
        PRINTF_LIKE(4, 5);
static void report_found(const struct fsck_opts *o, struct fsck_report *r, const char *check, const char *format, ...)
{
        char text[600];
        va_list ap;
        check_result(r, check)->found++;
        r->found++;
        if (!o->tell)
                return;
        va_start(ap, format);
        vsnprintf(text, sizeof text, format, ap);
        va_end(ap);
        o->tell(o->ctx, check, text);
}

static void count_mended(struct fsck_report *r, const char *check)
{
        check_result(r, check)->mended++;
        r->mended++;
}

/* ---- uploads that died ---------------------------------------------------------------- */

static int look_at_tmp(const struct fsck_opts *o, struct fsck_report *r, int dir, const char *name, struct err *e)
{
        struct stat st;
        if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode) ||
            wall_now().us - (int64_t)st.st_mtim.tv_sec * 1000000 < (int64_t)TMP_AGE * 1000000)
                return 0;
        report_found(o, r, "tmp", "left over by an upload that died: %s/%.100s", o->tmp, name);
        if (!o->repair)
                return 0;
        if (unlinkat(dir, name, 0) && errno != ENOENT)
                return err_errno(e, errno, "cannot remove %s/%.100s", o->tmp, name);
        count_mended(r, "tmp");
        return 0;
}

int fsck_tmp(const struct fsck_opts *o, struct fsck_report *r, struct err *e)
{
        struct dirent *d;
        int rc = 0;
        check_result(r, "tmp");
        DIR *dir = o->tmp ? opendir(o->tmp) : NULL;
        if (o->tmp && !dir && errno != ENOENT)
                return err_errno(e, errno, "cannot read %s", o->tmp);
        while (dir && rc == 0 && (d = readdir(dir)))
                if (d->d_name[0] != '.')
                        rc = look_at_tmp(o, r, dirfd(dir), d->d_name, e);
        if (dir)
                closedir(dir);
        return rc;
}

/* ---- objects that files refer to -------------------------------------------------------- */

/*
 * The bytes are lost until somebody uploads them again: the files show it, and it is reported as a problem until
 * then.
 */
static int handle_damaged(const struct fsck_opts *o, struct fsck_report *r, struct check_object *c, struct arena *a,
                          enum damage damage, const struct err *why, struct err *e)
{
        static const char *const checks[] = {
                [DAMAGE_MISSING] = "object_missing", [DAMAGE_SIZE] = "object_size", [DAMAGE_BYTES] = "object_bytes"};
        char hex[SHA256_TEXT_LEN];
        uint64_t moved;
        const char *reason = damage == DAMAGE_MISSING ? "it is missing" : why->msg;
        report_found(o, r, checks[damage], "object %s: %.300s", sha256_format(c->item.sha256, hex), reason);
        c->item.bad = arena_strdup(a, reason);
        if (!c->item.bad)
                return err_oom(e);
        if (!o->repair)
                return 0;
        char text[400];
        snprintf(text, sizeof text, "the stored bytes of this file are lost (%.300s); upload it again", reason);
        return catalog_object_lost(o->catalog, c->item.sha256, text, &moved, e);
}

/* Whether all products are there: 1, 0, -1 the storage cannot say. */
static int has_products(const struct fsck_opts *o, const struct check_object *c, struct err *e)
{
        struct span rest = span_of(c->products), name;
        int rc = 1;
        while (rc > 0 && product_next(&rest, &name)) {
                char text[STORAGE_DERIVED_NAME_LEN];
                snprintf(text, sizeof text, "%.*s", (int)name.n, name.p);
                rc = storage_has_derived(o->storage, c->item.sha256, text, e);
        }
        return rc;
}

static int check_derived(const struct fsck_opts *o, struct fsck_report *r, const struct check_object *c, struct err *e)
{
        char hex[SHA256_TEXT_LEN], id[ID_TEXT_LEN];
        struct err why;
        int has = id_is_nil(c->derived) ? 1 : has_products(o, c, &why);
        if (has > 0)
                return 0;
        if (has < 0) {
                report_found(o, r, "unchecked", "derived files of object %s: %.300s",
                             sha256_format(c->item.sha256, hex), why.msg);
                return 0;
        }
        report_found(o, r, "derived_missing", "a product (%s) of file %s (object %s)", c->products,
                     id_format(c->derived, id), sha256_format(c->item.sha256, hex));
        if (!o->repair)
                return 0;
        if (catalog_asset_reprocess(o->catalog, c->derived, NULL, NULL, "fsck", &why) && why.code != ERR_CONFLICT) {
                *e = why;
                return -1;
        }
        count_mended(r, "derived_missing");
        return 0;
}

static int handle_intact(const struct fsck_opts *o, struct fsck_report *r, struct check_object *c, struct err *e)
{
        char hex[SHA256_TEXT_LEN];
        uint64_t moved;
        if (c->lost) {
                report_found(o, r, "lost_and_found",
                             "files were failed because their bytes were lost, which are there: object %s",
                             sha256_format(c->item.sha256, hex));
                if (o->repair) {
                        if (catalog_object_lost(o->catalog, c->item.sha256, NULL, &moved, e))
                                return -1;
                        count_mended(r, "lost_and_found");
                }
        }
        return check_derived(o, r, c, e);
}

static int check_object(const struct fsck_opts *o, struct fsck_report *r, struct check_object *c, struct arena *a,
                        struct err *e)
{
        struct verify v = {.storage = o->storage, .object = c->item.sha256, .size = c->item.size, .quick = o->quick};
        char hex[SHA256_TEXT_LEN];
        struct err why = {.msg = ""};
        enum damage damage;
        int rc = verify_object(&v, &damage, &why);
        r->objects++;
        r->bytes += c->item.size;
        if (rc == 0)
                return handle_intact(o, r, c, e);
        c->item.skipped = damage == DAMAGE_NONE || (damage == DAMAGE_MISSING && o->may_wait);
        if (!c->item.skipped)
                return handle_damaged(o, r, c, a, damage, &why, e);
        report_found(o, r, "unchecked", "object %s: %.300s", sha256_format(c->item.sha256, hex), why.msg);
        return 0;
}

/* The scrubber takes over the results of objects that were read; a check of existence says nothing about the bytes. */
static int note_page(const struct fsck_opts *o, const struct check_object *page, size_t n, struct err *e)
{
        struct scrub_item items[PAGE];
        size_t k = 0;
        for (size_t i = 0; i < n; i++)
                if (!page[i].item.skipped && (!o->quick || page[i].item.bad))
                        items[k++] = page[i].item;
        return o->repair ? keep_scrub_seen(o->catalog, items, k, e) : 0;
}

static int check_objects(const struct fsck_opts *o, struct fsck_report *r, struct err *e)
{
        static const char *const names[] = {"object_missing", "object_size",    "object_bytes",
                                            "unchecked",      "lost_and_found", "derived_missing"};
        struct scrub_state st;
        struct sha256 after = {{0}};
        size_t n = PAGE;
        int rc = keep_scrub_state(o->catalog, &st, e);
        for (size_t i = 0; i < COUNT_OF(names); i++)
                check_result(r, names[i]);
        while (rc == 0 && n == PAGE) {
                struct arena *a = arena_new(1 << 20);
                struct check_object *page;
                rc = a ? keep_check_objects(o->catalog, &after, PAGE, a, &page, &n, e) : err_oom(e);
                for (size_t i = 0; rc == 0 && i < n; i++) {
                        rc = check_object(o, r, &page[i], a, e);
                        after = page[i].item.sha256;
                        if (o->progress)
                                o->progress(o->ctx, "objects", r->objects, st.objects);
                }
                if (rc == 0)
                        rc = note_page(o, page, n, e);
                arena_free(a);
        }
        return rc;
}

/* ---- what nothing refers to -------------------------------------------------------------- */

struct stray {
        const struct fsck_opts *o;
        struct fsck_report *r;
        const char *check;
};

static int tell_stray(void *ctx, struct sha256 object, uint64_t size, struct err *e)
{
        struct stray *s = ctx;
        char hex[SHA256_TEXT_LEN];
        bool derived = !strcmp(s->check, "derived_stray");
        report_found(s->o, s->r, s->check, "%s %s",
                     derived ? "files derived from an object that the catalog does not know:"
                             : "the catalog does not know object",
                     sha256_format(object, hex));
        if (!s->o->repair)
                return 0;
        if (gc_remove_stray(s->o->catalog, s->o->storage, object, size, e) < 0)
                return -1;
        count_mended(s->r, s->check);
        return 0;
}

static int tell_name(void *ctx, const struct storage_item *item, struct err *e)
{
        struct stray *s = ctx;
        (void)e;
        if (item->stray)
                report_found(s->o, s->r, s->check, "it is none of the service's: %.300s", item->name);
        return 0;
}

static int check_strays(const struct fsck_opts *o, struct fsck_report *r, struct err *e)
{
        struct stray objects = {o, r, "object_stray"}, derived = {o, r, "derived_stray"}, names = {o, r, "name_stray"};
        check_result(r, objects.check);
        check_result(r, derived.check);
        check_result(r, names.check);
        if (strays_walk(o->catalog, o->storage, STORAGE_OBJECTS, stray_age(o->gc_grace), tell_stray, &objects, e) < 0 ||
            strays_walk(o->catalog, o->storage, STORAGE_DERIVED, stray_age(o->gc_grace), tell_stray, &derived, e) < 0)
                return -1;
        return storage_list(o->storage, STORAGE_OBJECTS, tell_name, &names, e) < 0 ||
                               storage_list(o->storage, STORAGE_DERIVED, tell_name, &names, e) < 0
                       ? -1
                       : 0;
}

/* Objects that wait to be collected are no fault: they are collected, and reported, only when fsck repairs. */
static int collect_doomed(const struct fsck_opts *o, struct fsck_report *r, struct err *e)
{
        int n = 1;
        check_result(r, "object_orphaned");
        if (!o->repair)
                return 0;
        if (o->alone && keep_gc_recover(o->catalog, e))
                return -1;
        while (n > 0 && (n = gc_batch(o->catalog, o->storage, o->gc_grace, e)) > 0)
                for (int i = 0; i < n; i++) {
                        report_found(o, r, "object_orphaned", "an object that no file refers to any more was removed");
                        count_mended(r, "object_orphaned");
                }
        return n;
}

int fsck_run(const struct fsck_opts *o, struct fsck_report *r, struct err *e)
{
        struct keep_check_opts co = {
                .repair = o->repair, .alone = o->alone, .quick = o->quick, .tell = o->tell, .ctx = o->ctx};
        size_t n;
        /* First, since the other checks change what is counted. */
        if (o->progress)
                o->progress(o->ctx, "catalog", 0, 0);
        if (keep_check(o->catalog, &co, r->checks + r->n, &n, e))
                return -1;
        for (size_t i = 0; i < n; i++) {
                r->found += r->checks[r->n + i].found;
                r->mended += r->checks[r->n + i].mended;
        }
        r->n += n;
        return check_objects(o, r, e) || check_strays(o, r, e) || collect_doomed(o, r, e) ? -1 : 0;
}
