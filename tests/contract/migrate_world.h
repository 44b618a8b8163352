/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of `migrate copy` share: a catalog in SQLite with something of
 * everything, an empty database in PostgreSQL, and the copy from one to the other.
 */
#ifndef FA_MIGRATE_WORLD_H
#define FA_MIGRATE_WORLD_H

#include "keep/keep_copy.h"
#include "contract/catalog_postgres_backend.h"
#include "remove_tree.h"

#include <sqlite3.h>

struct world {
        struct fix from, to; /* f->c is NULL while closed */
        char path[64];       /* of the source's file */
        struct err e;
};

static struct id folders[3], gone_folder;

/* ---- a catalog with something of everything -------------------------------------------- */

static inline struct new_asset new_named(const char *name, enum asset_kind kind, const char *bytes)
{
        struct new_asset x = new_file(name, kind, kind == KIND_MEDIA);

        x.sha256 = sha256_of(bytes, strlen(bytes));
        x.size = strlen(bytes);
        return x;
}

static inline struct id ingest(struct fix *f, const char *owner, struct new_asset x, const char *folder,
                               const char *key)
{
        static const char *const tags[] = {"summer", "Ünïcode été"};
        struct new_job j = new_job_of(owner, &x, 1);
        struct job_receipt r;

        j.comments = "from the old camera";
        j.tags = tags;
        j.ntags = COUNT_OF(tags);
        j.folder = folder;
        j.idempotency_scope = "k1";
        j.idempotency_key = key;
        j.content_hash = x.sha256;
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        return x.id;
}

static inline void enrich(struct fix *f, struct id id)
{
        static const struct tag cat = {"cat", TAG_VLM, 0.9f};
        struct task t;
        struct task_finding r = {.task = &t, .source = TAG_VLM, .has_tags = true, .tags = &cat, .ntags = 1};

        OK(catalog_task_add(f->c, id, NULL, PURPOSE_ENRICH, &f->e));
        assert_int_equal(
                catalog_task_claim(f->c, "w", dur_s(60), TASK_KIND(PURPOSE_ENRICH, JOB_IMAGE), f->a, &t, &f->e), 1);
        OK(catalog_task_finish(f->c, &r, &f->e));
}

static inline void complete(struct fix *f, unsigned seed, struct placement p)
{
        static const struct tag tags[] = {{"cat", TAG_ZERO_SHOT, 0.4f}, {"2024", TAG_EXIF, 0.25f}};
        struct task t = claim(f);
        float v[DIM];
        struct task_result r = {.task = &t,
                                .metadata = "{\"width\":4,\"description\":\"a crème brûlée on a table\"}",
                                .has_phash = true,
                                .phash = UINT64_C(0xF0F0F0F0F0F00000) + seed % 4,
                                .tags = tags,
                                .ntags = COUNT_OF(tags),
                                .parts = part_list_whole(&(struct part_room){.part = {0}}, MODEL, v, DIM),
                                .placement = p,
                                .step = "understand",
                                .step_version = "1",
                                .step_data = SPAN("\0\1\2step")};

        unit_vector(seed, v);
        if (seed % 2) /* numbers that are subnormal in half precision, and ties */
                v[0] = 0x1.002p-16f, v[1] = 0x1.8p-25f, v[2] = -0x1.002p-3f;
        OK(catalog_task_complete(f->c, &r, &f->e));
        enrich(f, t.asset_id);
}

static inline void break_task(struct fix *f, bool dead, const char *reason)
{
        struct task t = claim(f);
        struct task_failure x = {
                .stage = "decode", .code = ERR_CORRUPT, .reason = reason, .dead = dead, .retry_at = wall_now()};

        OK(catalog_task_fail(f->c, &t, &x, &f->e));
}

static inline void fill_files(struct fix *f)
{
        static const char *const names[] = {"Привет мир.txt",   "日本語の名前.pdf", "שלום.doc",
                                            "naïve – café.odt", "IMG1234.jpeg",     "👩‍👩‍👧 family.bin",
                                            "a'b\"c\\d%_.txt"};
        struct asset_patch rename = {.filename = "renamed ÉTÉ.txt", .set_comments = true, .comments = "by hand"};

        for (size_t i = 0; i < COUNT_OF(names); i++)
                ingest(f, i % 2 ? "ann" : "bob", new_named(names[i], KIND_FILE, names[i]), NULL, NULL);
        ingest(f, "ann", new_named("empty", KIND_FILE, ""), NULL, NULL);
        OK(catalog_asset_patch(f->c, ingest(f, "ann", new_named("x", KIND_DOCUMENT, "doc"), NULL, "key-1"), NULL,
                               &rename, "user", NULL, &f->e));
        /* The same bytes twice, of one owner and of two; one of them in the trash. */
        ingest(f, "ann", new_named("first.bin", KIND_FILE, "same"), NULL, NULL);
        OK(catalog_asset_trash(f->c, ingest(f, "ann", new_named("second.bin", KIND_FILE, "same"), NULL, NULL), NULL,
                               "user", &f->e));
        ingest(f, "bob", new_named("third.bin", KIND_FILE, "same"), NULL, NULL);
}

static inline void fill_pictures(struct fix *f)
{
        struct placement none = {.kind = PLACE_UNSORTED}, keep = {.kind = PLACE_KEEP, .similarity = 0.5f};
        struct placement assign = {.kind = PLACE_ASSIGN, .similarity = 0.8125f, .why = "0.81 to Cats"};
        char name[32];
        struct id id;

        for (unsigned i = 0; i < 12; i++) {
                snprintf(name, sizeof name, "picture %u.jpg", i);
                id = ingest(f, i < 9 ? "ann" : "bob", new_named(name, KIND_MEDIA, name), i % 3 ? NULL : "Wished", NULL);
                assign.cluster_id = folders[i % 2];
                complete(f, i, i % 3 == 0 ? keep : i < 9 ? assign : none);
                if (i == 5)
                        OK(catalog_asset_trash(f->c, id, NULL, "user", &f->e));
        }
        ingest(f, "ann", new_named("broken.jpg", KIND_MEDIA, "broken"), NULL, NULL);
        break_task(f, false, "first try: ünreadable");
        break_task(f, true, "no picture at all");
        ingest(f, "bob", new_named("retry.jpg", KIND_MEDIA, "retry"), NULL, NULL);
        break_task(f, false, "later perhaps");
}

static inline void make_key(struct fix *f, struct new_key k)
{
        k.id = id_new();
        k.hash = sha256_of(k.prefix, strlen(k.prefix));
        k.actor = "test";
        OK(access_key_create(f->c, &k, NULL, &f->e));
}

static inline void fill_keys(struct fix *f)
{
        struct wall later = wall_add(wall_now(), dur_s(36000));

        make_key(f, (struct new_key){.prefix = "aaaaaaaa", .scope = KEY_ADMIN, .name = "first"});
        make_key(f, (struct new_key){.prefix = "bbbbbbbb",
                                     .scope = KEY_WRITE,
                                     .name = "phone of Änne",
                                     .owner = "ann",
                                     .expires = later});
}

static inline void fill(struct fix *f)
{
        static const char *const names[] = {"Cats", "Straße", "Zoo"};
        struct cluster_change lock = {.kind = CHANGE_LOCK, .locked = true};

        fix_warm(f, MODEL);
        for (size_t i = 0; i < COUNT_OF(folders); i++)
                OK(catalog_cluster_create(f->c, "ann", names[i], 0.5f, "user", &folders[i], &f->e));
        fill_files(f);
        fill_pictures(f);
        fill_keys(f);
        OK(catalog_cluster_merge(f->c, folders[0], &folders[1], 1, NULL, "ann", "user", NULL, NULL, &f->e));
        OK(catalog_cluster_change(f->c, folders[2], "ann", &lock, "user", NULL, NULL, &f->e));
        OK(catalog_cluster_create(f->c, "bob", "Short-lived", 0.5f, "user", &gone_folder, &f->e));
        OK(catalog_cluster_delete(f->c, gone_folder, "bob", "user", NULL, &f->e));
}

/* ---- both sides --------------------------------------------------------------------------- */

static inline int world_setup(void **state)
{
        struct world *w = mem_calloc(1, sizeof *w);
        char dir[] = "/tmp/fa-copy-XXXXXX";

        assert_non_null(w);
        assert_int_equal(metrics_init(), 0);
        fix_make(&w->to);
        assert_non_null(mkdtemp(dir));
        snprintf(w->from.data, sizeof w->from.data, "%s", dir);
        snprintf(w->path, sizeof w->path, "%s/catalog.db", dir);
        snprintf(w->from.url, sizeof w->from.url, "sqlite://%s", w->path);
        fix_prepare(&w->from);
        fix_open(&w->from);
        *state = w;
        return 0;
}

static inline void shut(struct fix *f)
{
        catalog_close(f->c);
        f->c = NULL;
}

static inline int world_teardown(void **state)
{
        struct world *w = *state;

        shut(&w->from);
        shut(&w->to);
        arena_free(w->from.a);
        arena_free(w->to.a);
        suite_backend.drop(w->to.url, w->to.data);
        remove_tree(w->from.data);
        mem_free(w);
        return 0;
}

static inline struct keep_copy_opts copy_opts(struct world *w)
{
        return (struct keep_copy_opts){.from = w->path, .to = w->to.url, .batch_bytes = 600};
}

/* The whole of a copy; the state it was found in, or -1 with w->e. */
static inline int copy(struct world *w)
{
        struct keep_copy_opts opts = copy_opts(w);
        struct keep_copy *c = NULL;
        int rc = keep_copy_open(&opts, &c, &w->e);
        bool equal = false;

        if (rc == 0)
                rc = (int)keep_copy_state(c);
        if (rc >= 0 && (keep_copy_load(c, &w->e) < 0 || keep_copy_verify(c, &equal, &w->e) < 0))
                rc = -1;
        if (rc >= 0 && !equal)
                rc = err_set(&w->e, ERR_INTERNAL, "not equal");
        if (rc >= 0 && keep_copy_finish(c, &w->e) < 0)
                rc = -1;
        keep_copy_close(c);
        return rc;
}

static inline void expect_copy(struct world *w, enum keep_copy_state state)
{
        int rc = copy(w);

        if (rc < 0)
                fail_msg("copy: %s", w->e.msg);
        assert_int_equal(rc, state);
}

static inline long in_target(struct world *w, const char *sql)
{
        return pgtest_number(pgtest_database(w->to.url), sql);
}

static inline void source_exec(struct world *w, const char *sql)
{
        sqlite3 *h;

        assert_int_equal(sqlite3_open(w->path, &h), SQLITE_OK);
        assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
        sqlite3_close(h);
}

#endif
