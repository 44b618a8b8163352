/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of fsck share: an installation of five files, among them three pictures in a folder, and a run. */
#ifndef FA_FSCK_WORLD_H
#define FA_FSCK_WORLD_H

#include "admin/fsck.h"
#include "contract/catalog_backend.h"
#include "contract/catalog_suite.h"
#include "keep/keep_check.h"
#include "storage/storage.h"

#define SQLITE (strcmp(ENGINE, "sqlite") == 0)

struct world {
        struct fix *f;
        struct storage *storage;
        char path[600];
        struct id picture, folder;
        struct sha256 object; /* of the picture */
        char told[4096];
};

static inline void open_all(struct world *w)
{
        struct fix *f = w->f;
        struct storage_opts so = {.url = "fs://", .path = w->path};

        if (!f->c)
                fix_open(f);
        OK(storage_open(&so, &w->storage, &f->e));
}

/* Who searches by words has what is new indexed first. */
static inline void index_words(struct world *w)
{
        struct fix *f = w->f;
        struct text_match m[10];
        size_t n;

        OK(catalog_text_search(f->c, "one", NULL, 10, m, &n, &f->e));
}

static inline void close_all(struct world *w)
{
        index_words(w);
        storage_close(w->storage);
        catalog_close(w->f->c);
        w->storage = NULL;
        w->f->c = NULL;
}

static inline struct sha256 store(struct world *w, const char *bytes)
{
        struct fix *f = w->f;
        struct storage_put *p;
        struct stored was;

        OK(storage_put_begin(w->storage, &p, &f->e));
        OK(storage_put_write(p, bytes, strlen(bytes), &f->e));
        OK(storage_put_seal(p, &was, &f->e));
        OK(storage_put_commit(p, &was, &f->e));
        storage_put_end(p);
        return was.sha256;
}

static inline struct id add(struct world *w, const char *bytes, enum asset_kind kind)
{
        struct fix *f = w->f;
        struct new_asset x = new_file(bytes, kind, kind == KIND_MEDIA);
        struct new_job j;
        struct job_receipt r;

        x.sha256 = store(w, bytes);
        x.size = strlen(bytes);
        j = new_job_of("ann", &x, 1);
        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        return x.id;
}

static inline void derive(struct world *w, struct sha256 object)
{
        struct fix *f = w->f;

        OK(storage_put_derived(w->storage, object, STORAGE_THUMB, SPAN("t"), &f->e));
        OK(storage_put_derived(w->storage, object, STORAGE_PREVIEW, SPAN("p"), &f->e));
}

static inline void add_texts(struct fix *f, struct id asset)
{
        struct new_part parts[] = {{.kind = PART_CHUNK, .text = "a heron"},
                                   {.kind = PART_CHUNK, .position = 1, .text = "a stork"}};
        struct part_list l = {.parts = parts, .n = 2, .replaces = 1u << PART_CHUNK};
        struct part_match m[4];
        size_t n;

        OK(catalog_parts_put(f->c, asset, NULL, &l, &f->e));
        OK(catalog_part_search(f->c, "stork", NULL, 4, m, &n, &f->e)); /* all are indexed */
}

/* A picture that is done, with a vector and texts, in the folder. */
static inline struct id add_done(struct world *w, const char *bytes, unsigned seed)
{
        struct fix *f = w->f;
        struct id id = add(w, bytes, KIND_MEDIA);
        struct asset_patch p = {.set_cluster = true, .cluster_id = w->folder};
        struct task t = claim(f);
        float v[DIM];
        struct task_result r = {.task = &t,
                                .metadata = "{}",
                                .has_phash = true,
                                .phash = seed * UINT64_C(0x1111111111111111),
                                .products = "preview.jpg thumb.webp",
                                .parts = part_list_whole(&(struct part_room){.part = {0}}, MODEL, v, DIM)};

        unit_vector(seed, v);
        OK(catalog_task_complete(f->c, &r, &f->e));
        OK(catalog_asset_patch(f->c, id, "ann", &p, "user", NULL, &f->e));
        add_texts(f, id);
        derive(w, get(f, id).sha256);
        return id;
}

static inline int set_up(void **state)
{
        struct world *w = mem_calloc(1, sizeof *w);
        struct fix *f;

        fix_setup((void **)&w->f);
        f = w->f;
        snprintf(w->path, sizeof w->path, "%s/objects", f->data);
        open_all(w);
        OK(catalog_use_model(f->c, MODEL, DIM, &f->e));
        OK(catalog_cluster_create(f->c, "ann", "Cats", 0.7f, "user", &w->folder, &f->e));
        w->picture = add_done(w, "one", 1);
        w->object = get(f, w->picture).sha256;
        add_done(w, "two", 2);
        add_done(w, "three", 3);
        add(w, "waits", KIND_MEDIA);
        add(w, "text", KIND_FILE);
        *state = w;
        return 0;
}

static inline int tear_down(void **state)
{
        struct world *w = *state;
        struct fix *f = w->f;

        storage_close(w->storage);
        fix_teardown((void **)&f);
        mem_free(w);
        return 0;
}

static inline void note(void *ctx, const char *check, const char *what)
{
        struct world *w = ctx;
        size_t n = strlen(w->told);

        snprintf(w->told + n, sizeof w->told - n, "%s: %s\n", check, what);
}

static inline struct fsck_report fsck(struct world *w, bool repair)
{
        struct fix *f = w->f;
        char tmp[700];
        struct fsck_opts o = {.catalog = f->c,
                              .storage = w->storage,
                              .repair = repair,
                              .alone = SQLITE,
                              .gc_grace = dur_s(3600),
                              .tmp = tmp,
                              .tell = note,
                              .ctx = w};
        struct fsck_report r = {0};

        w->told[0] = '\0';
        snprintf(tmp, sizeof tmp, "%s/tmp", w->path);
        OK(fsck_tmp(&o, &r, &f->e));
        OK(fsck_run(&o, &r, &f->e));
        return r;
}

static inline struct keep_check_result of(const struct fsck_report *r, const char *check)
{
        for (size_t i = 0; i < r->n; i++)
                if (strcmp(r->checks[i].name, check) == 0)
                        return r->checks[i];
        fail_msg("there is no check %s", check);
        return (struct keep_check_result){0};
}

static inline void assert_clean(struct world *w)
{
        struct fsck_report r = fsck(w, false);

        if (r.found)
                fail_msg("not clean: %s", w->told);
        assert_int_equal(r.objects, 5);
}

#endif
