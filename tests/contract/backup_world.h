/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of backups share: a catalog with its storage, places to restore
 * both to, and backing up, verifying and restoring as the program does it.
 */
#ifndef FA_BACKUP_WORLD_H
#define FA_BACKUP_WORLD_H

#include "admin/backup.h"
#include "contract/catalog_backend.h"
#include "keep/keep_backup.h"
#include "storage/storage.h"
#include "remove_tree.h"

#include <sys/stat.h>

struct world {
        struct fix f, to; /* to.c is NULL until it was restored */
        struct storage *storage, *restored;
        char dir[64], objects[80], target[80], into[80]; /* a folder; in it: storage, storage to restore to, backups */
        struct err e;
        void (*on_object)(struct world *w); /* called while objects are copied, once */
        void (*on_wait)(struct world *w);   /* called while objects are waited for, once */
        struct dur patience;
        unsigned keep;
        struct id victim;
        char said[4096];
};

static inline struct storage *open_at(const char *path, bool read_only, struct err *e)
{
        const struct storage_opts o = {.url = "fs://", .path = path, .read_only = read_only};
        struct storage *s = NULL;

        return storage_open(&o, &s, e) == 0 ? s : NULL;
}

static inline int world_setup(void **state)
{
        struct world *w = mem_calloc(1, sizeof *w);

        assert_non_null(w);
        assert_int_equal(metrics_init(), 0);
        snprintf(w->dir, sizeof w->dir, "/tmp/fa-backup-XXXXXX");
        assert_non_null(mkdtemp(w->dir));
        snprintf(w->objects, sizeof w->objects, "%s/storage", w->dir);
        snprintf(w->target, sizeof w->target, "%s/restored", w->dir);
        snprintf(w->into, sizeof w->into, "%s/backups", w->dir);
        fix_make(&w->f);
        fix_make(&w->to);
        fix_open(&w->f);
        fix_warm(&w->f, MODEL);
        w->storage = open_at(w->objects, false, &w->e);
        assert_non_null(w->storage);
        *state = w;
        return 0;
}

static inline int world_teardown(void **state)
{
        struct world *w = *state;

        catalog_close(w->f.c);
        catalog_close(w->to.c);
        storage_close(w->storage);
        storage_close(w->restored);
        arena_free(w->f.a);
        arena_free(w->to.a);
        suite_backend.drop(w->f.url, w->f.data);
        suite_backend.drop(w->to.url, w->to.data);
        remove_tree(w->dir);
        mem_free(w);
        return 0;
}

/* ---- content ------------------------------------------------------------------------------- */

static inline struct stored put_object(struct world *w, const char *bytes)
{
        struct storage_put *p = NULL;
        struct stored is;
        struct err e;

        assert_int_equal(storage_put_begin(w->storage, &p, &e), 0);
        assert_int_equal(storage_put_write(p, bytes, strlen(bytes), &e), 0);
        assert_int_equal(storage_put_seal(p, &is, &e), 0);
        assert_int_equal(storage_put_commit(p, &is, &e), 0);
        storage_put_end(p);
        return is;
}

/* A job of n files, of a thread of its own: its arena is not the fixture's. */
static inline struct id ingest(struct world *w, struct arena *a, const char *prefix, unsigned n, enum asset_kind kind)
{
        struct new_asset assets[4];
        struct new_job j;
        struct job_receipt r;
        struct err e;
        char bytes[64];

        for (unsigned i = 0; i < n; i++) {
                snprintf(bytes, sizeof bytes, "%s %u", prefix, i);
                struct stored is = put_object(w, bytes);
                assets[i] = new_file("file", kind, kind == KIND_MEDIA);
                assets[i].sha256 = is.sha256;
                assets[i].size = is.size;
        }
        j = new_job_of("ann", assets, n);
        if (catalog_ingest(w->f.c, &j, a, &r, &e) != 0)
                fail_msg("ingest: %s", e.msg);
        return assets[0].id;
}

/* ---- backing up and restoring ---------------------------------------------------------------- */

static inline void say(void *ctx, const char *what)
{
        struct world *w = ctx;
        size_t n = strlen(w->said);

        snprintf(w->said + n, sizeof w->said - n, "%s\n", what);
}

static inline void progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
        struct world *w = ctx;
        bool copying = strcmp(what, "copying objects") == 0, waiting = strcmp(what, "waiting for objects") == 0;
        void (*fn)(struct world *) = copying ? w->on_object : waiting ? w->on_wait : NULL;

        (void)done;
        (void)total;
        if (!fn)
                return;
        *(copying ? &w->on_object : &w->on_wait) = NULL;
        fn(w);
}

static inline int create(struct world *w, struct backup_created *out)
{
        const struct backup_create_opts o = {.dir = w->into,
                                             .catalog_url = w->f.url,
                                             .program = "test",
                                             .storage = w->storage,
                                             .threads = 1,
                                             .patience = w->patience,
                                             .keep = w->keep,
                                             .progress = progress,
                                             .say = say,
                                             .ctx = w};

        w->said[0] = '\0';
        return backup_create(&o, out, &w->e);
}

static inline struct backup_created create_whole(struct world *w)
{
        struct backup_created r;

        if (create(w, &r) < 0)
                fail_msg("create: %s", w->e.msg);
        assert_true(r.info.complete);
        return r;
}

static inline void expect_good(struct world *w)
{
        const struct backup_verify_opts o = {.dir = w->into, .threads = 2, .say = say, .ctx = w};
        struct backup_verified r;

        w->said[0] = '\0';
        if (backup_verify(&o, &r, &w->e) < 0)
                fail_msg("verify: %s", w->e.msg);
        if (r.wrong || r.objects.bad)
                fail_msg("verify: %s", w->said);
}

static inline int open_target(void *ctx, bool read_only, struct storage **out, struct err *e)
{
        struct world *w = ctx;

        *out = open_at(w->target, read_only, e);
        return *out ? 0 : -1;
}

static inline int restore(struct world *w, struct backup_restored *out)
{
        const struct backup_restore_opts o = {.dir = w->into,
                                              .catalog_url = w->to.url,
                                              .data_path = w->to.data,
                                              .open_storage = open_target,
                                              .threads = 2,
                                              .say = say,
                                              .ctx = w};

        return backup_restore(&o, out, &w->e);
}

static inline void restore_whole(struct world *w)
{
        struct backup_restored r;

        if (restore(w, &r) < 0)
                fail_msg("restore: %s", w->e.msg);
        assert_int_equal(r.objects.bad, 0);
        w->restored = open_at(w->target, true, &w->e);
        assert_non_null(w->restored);
        fix_open(&w->to);
        fix_warm(&w->to, MODEL);
}

/* Jobs of three, none of them half; every asset's bytes there; nothing leased; the sums agree with the rows. */
static inline void expect_consistent(struct world *w)
{
        struct fix *f = &w->to;
        struct asset_filter all = {0};
        struct asset_page p;
        struct catalog_counts counts;
        struct job_view job;
        const char *cursor = NULL;
        uint64_t n = 0;

        do {
                OK(catalog_asset_list(f->c, &all, SORT_CREATED_ASC, 500, cursor, f->a, &p, &f->e));
                for (size_t i = 0; i < p.n; i++, n++) {
                        assert_true(storage_has_object(w->restored, p.assets[i].sha256));
                        assert_int_not_equal(p.assets[i].status, ASSET_PROCESSING);
                        OK(catalog_job_get(f->c, p.assets[i].job_id, NULL, f->a, &job, &f->e));
                        assert_int_equal(job.total, 3);
                        assert_int_equal(job.queued + job.done, 3);
                        assert_int_equal(job.nassets, 3);
                }
                cursor = p.next;
        } while (cursor);
        assert_int_equal(p.total, n);
        OK(catalog_counts(f->c, NULL, &counts, &f->e));
        assert_int_equal(counts.objects, n);
        assert_true(n > 0);
}

#endif
