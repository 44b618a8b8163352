/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the catalog costs: ingests a second against a bare loop of appending
 * 4 KiB and fdatasync in the same run, claims and completes, lists and name
 * searches over many assets. Figures only. Arguments: [folder] [assets] [url];
 * without a url it is SQLite in the folder, and an empty PostgreSQL database's
 * url takes that.
 */
#include "catalog/catalog.h"
#include "catalog/catalog_asset.h"
#include "jobs/counts.h"
#include "folders/folders.h"
#include "catalog/catalog_ingest.h"
#include "catalog/catalog_part.h"
#include "catalog/catalog_place.h"
#include "catalog/catalog_search.h"
#include "catalog/catalog_task.h"
#include "metrics/metrics.h"
#include "vector/vector.h"
#include "../tests/remove_tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIM 512

static struct catalog *cat;
static struct err err;

static void must(int rc, const char *what)
{
        if (rc >= 0)
                return;
        fprintf(stderr, "%s: %s\n", what, err.msg);
        exit(1);
}

static void raw_fsync(const char *dir)
{
        struct mono began;
        char path[1024], page[4096] = {1};
        int fd, n = 0;

        snprintf(path, sizeof path, "%s/raw", dir);
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (fd < 0)
                exit(1);
        for (began = mono_now(); dur_seconds(mono_since(began)) < 2; n++)
                if (write(fd, page, sizeof page) != (ssize_t)sizeof page || fdatasync(fd) < 0)
                        exit(1);
        printf("raw append 4 KiB + fdatasync:   %8.0f /s\n", n / dur_seconds(mono_since(began)));
        fd_close(&fd);
        unlink(path);
}

struct load {
        int files; /* a job */
        double seconds;
        _Atomic uint64_t *done;
        uint64_t max;
        bool task;
};

static void *ingest(void *arg)
{
        const struct load *l = arg;
        struct mono began = mono_now();
        struct new_asset x[100];
        struct err e;

        while (dur_seconds(mono_since(began)) < l->seconds && atomic_load(l->done) < l->max) {
                struct arena *a = arena_new(4 << 20);
                struct new_job j = {.id = id_new(),
                                    .owner = "default",
                                    .assets = x,
                                    .nassets = (size_t)l->files,
                                    .created = wall_now()};
                struct job_receipt r;
                char names[100][40];
                for (int i = 0; i < l->files; i++) {
                        snprintf(names[i], sizeof names[i], "IMG_%06u.jpg", (unsigned)(random_u64() % 1000000));
                        x[i] = (struct new_asset){.id = id_new(),
                                                  .kind = KIND_MEDIA,
                                                  .type = JOB_IMAGE,
                                                  .filename = names[i],
                                                  .content_type = "image/jpeg",
                                                  .size = random_u64() % 5000000,
                                                  .purposes = l->task ? 1u << PURPOSE_ANALYSE : 0};
                        x[i].sha256 = sha256_of(&x[i].id, 16);
                }
                if (catalog_ingest(cat, &j, a, &r, &e) < 0) {
                        fprintf(stderr, "ingest: %s\n", e.msg);
                        exit(1);
                }
                atomic_fetch_add(l->done, (uint64_t)l->files);
                arena_free(a);
        }
        return NULL;
}

static void ingests(int threads)
{
        _Atomic uint64_t done = 0;
        struct load l = {.files = 1, .seconds = 2, .done = &done, .max = UINT64_MAX, .task = true};
        struct mono began = mono_now();
        pthread_t t[64];

        for (int i = 0; i < threads; i++)
                if (thread_start(&t[i], "bench", ingest, &l) < 0)
                        exit(1);
        for (int i = 0; i < threads; i++)
                pthread_join(t[i], NULL);
        printf("ingest, %2d threads:             %8.0f /s\n", threads, (double)done / dur_seconds(mono_since(began)));
}

struct shift {
        _Atomic uint64_t done;
        struct placement place;
};

static void *work(void *arg)
{
        struct shift *shift = arg;
        struct mono began = mono_now();
        float v[DIM];

        while (dur_seconds(mono_since(began)) < 2) {
                struct arena *a = arena_new(4 << 20);
                struct task t;
                struct err e;
                int got = catalog_task_claim(cat, "bench", dur_s(60), 1U << JOB_IMAGE, a, &t, &e);
                if (got <= 0) {
                        fprintf(stderr, "claim: %s\n", got ? e.msg : "no task is left");
                        exit(1);
                } else {
                        struct tag tags[3] = {{"cat", TAG_ZERO_SHOT, 0.9f},
                                              {"animal", TAG_ZERO_SHOT, 0.8f},
                                              {"indoor", TAG_ZERO_SHOT, 0.5f}};
                        struct task_result r = {
                                .task = &t,
                                .metadata = "{\"width\":1}",
                                .has_phash = true,
                                .phash = random_u64(),
                                .tags = tags,
                                .ntags = 3,
                                .parts = part_list_whole(&(struct part_room){.part = {0}}, "bench", v, DIM),
                                .placement = shift->place};
                        for (int i = 0; i < DIM; i++)
                                v[i] = (float)(random_u64() % 2000) / 1000 - 1;
                        vec_normalise(v, DIM);
                        if (catalog_task_complete(cat, &r, &e) < 0)
                                fprintf(stderr, "complete: %s\n", e.msg);
                        atomic_fetch_add(&shift->done, 1);
                }
                arena_free(a);
        }
        return NULL;
}

/* Into one folder, if given: its owner's lock then orders all workers. */
static void works(int threads, const struct id *folder)
{
        struct shift shift = {.place = {.similarity = 0.5f, .why = "bench"}};
        struct mono began = mono_now();
        pthread_t t[64];

        if (folder) {
                shift.place.kind = PLACE_ASSIGN;
                shift.place.cluster_id = *folder;
        }
        for (int i = 0; i < threads; i++)
                if (thread_start(&t[i], "bench", work, &shift) < 0)
                        exit(1);
        for (int i = 0; i < threads; i++)
                pthread_join(t[i], NULL);
        printf("claim + complete%s, %2d workers: %8.0f /s\n", folder ? " into one folder" : "", threads,
               (double)shift.done / dur_seconds(mono_since(began)));
}

static void list(const char *what, const struct asset_filter *f, enum asset_sort sort)
{
        struct asset_page p;
        struct mono began = mono_now();
        int n = 20;

        for (int i = 0; i < n; i++) {
                struct arena *a = arena_new(16 << 20);
                must(catalog_asset_list(cat, f, sort, 50, NULL, a, &p, &err), what);
                arena_free(a);
        }
        printf("list of 50, %-19s %8.2f ms (of %llu)\n", what, dur_seconds(mono_since(began)) * 1000 / n,
               (unsigned long long)p.total);
}

int main(int argc, char **argv)
{
        char dir[512] = "/tmp/fa-bench-XXXXXX", url[600];
        uint64_t assets = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
        _Atomic uint64_t done = 0;
        struct load fill = {.files = 100, .seconds = 1e9, .done = &done, .max = assets};
        _Atomic uint64_t stocked = 0;
        struct load stock = {.files = 100, .seconds = 1e9, .done = &stocked, .max = 40000, .task = true};
        struct asset_filter none = {0};
        struct catalog_counts n;
        struct text_match tm[20];
        struct mono began;
        static const int workers[] = {1, 4, 16};
        struct id folder;
        size_t found;

        if (argc > 1)
                snprintf(dir, sizeof dir, "%s/fa-bench-XXXXXX", argv[1]);
        if (!mkdtemp(dir) || metrics_init() < 0)
                return 1;
        snprintf(url, sizeof url, "sqlite://%s/catalog.db", dir);
        must(catalog_open(&(struct catalog_opts){.url = argc > 3 ? argv[3] : url,
                                                 .data_path = dir,
                                                 .idempotency_ttl = dur_s(60),
                                                 .phash_distance = 5},
                          &cat, &err),
             "open");
        must(catalog_use_model(cat, "bench", DIM, &err), "model");
        raw_fsync(dir);
        ingests(1);
        ingests(8);
        ingests(32);
        ingest(&stock);
        must(catalog_cluster_create(cat, "default", "Bench", 0.7f, "bench", &folder, &err), "folder");
        for (size_t i = 0; i < COUNT_OF(workers); i++)
                works(workers[i], NULL);
        for (size_t i = 0; i < COUNT_OF(workers); i++)
                works(workers[i], &folder);
        raw_fsync(dir);
        began = mono_now();
        ingest(&fill);
        printf("filled %llu in jobs of 100:  %8.0f /s\n", (unsigned long long)assets,
               (double)assets / dur_seconds(mono_since(began)));
        list("all", &none, SORT_CREATED_DESC);
        list("by name", &none, SORT_NAME_ASC);
        list("name ~ 4711", &(struct asset_filter){.name = "4711"}, SORT_CREATED_DESC);
        list("name ~ 47", &(struct asset_filter){.name = "47"}, SORT_CREATED_DESC);
        list("name ~ img (all)", &(struct asset_filter){.name = "IMG"}, SORT_CREATED_DESC);
        began = mono_now();
        must(catalog_text_search(cat, "img_0471", NULL, 20, tm, &found, &err), "text");
        printf("full text, few hits:            %8.2f ms (%zu)\n", dur_seconds(mono_since(began)) * 1000, found);
        began = mono_now();
        must(catalog_text_search(cat, "jpg", NULL, 20, tm, &found, &err), "text");
        printf("full text, all hit:             %8.2f ms\n", dur_seconds(mono_since(began)) * 1000);
        began = mono_now();
        must(catalog_counts(cat, NULL, &n, &err), "counts");
        printf("counts:                         %8.2f ms\n", dur_seconds(mono_since(began)) * 1000);
        catalog_close(cat);
        return remove_tree(dir) ? 1 : 0;
}
