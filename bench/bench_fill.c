/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A data folder with many synthetic pictures, made through the catalog's own
 * functions as the service would: jobs of 500 assets, then each task claimed
 * and completed with a unit vector of noise and a few tags. Only the files
 * themselves are missing, which no search looks at. No folders are made.
 *
 *   bench_fill DATA_FOLDER MODEL_FOLDER RUNTIME_FOLDER ROWS
 *
 * Prints: rows, seconds, rows a second.
 */
#include "load.h"
#include "words.h"

#include "catalog/catalog.h"
#include "catalog/catalog_ingest.h"
#include "catalog/catalog_part.h"
#include "catalog/catalog_place.h"
#include "catalog/catalog_task.h"
#include "embed/embed.h"
#include "storage/storage.h"

#define BLOCK   500
#define THREADS 64
#define TAGS    3

static struct catalog *catalog;
static const char *model_id;
static uint32_t dim;
static unsigned rows;
static atomic_uint next_row;

static void stop(const struct err *e)
{
        fprintf(stderr, "bench: %s\n", e->msg);
        exit(1);
}

static uint64_t noise(uint64_t *s)
{
        *s = *s * 6364136223846793005u + 1442695040888963407u;
        return *s >> 33;
}

static const char *word(uint64_t *s)
{
        return words[noise(s) % COUNT_OF(words)];
}

static void ingest_block(struct arena *a, unsigned first, unsigned n, uint64_t *seed)
{
        struct new_asset *assets = arena_array(a, n, sizeof *assets);
        struct new_job job = {
                .id = id_new(), .owner = DEFAULT_OWNER, .created = wall_now(), .assets = assets, .nassets = n};
        struct job_receipt receipt;
        struct err e;
        if (!assets)
                die("memory");
        for (unsigned i = 0; i < n; i++) {
                assets[i] = (struct new_asset){.id = id_new(),
                                               .kind = KIND_MEDIA,
                                               .type = JOB_IMAGE,
                                               .content_type = "image/jpeg",
                                               .size = 100000 + noise(seed) % 400000,
                                               .purposes = 1u << PURPOSE_ANALYSE};
                assets[i].filename = arena_printf(a, "%s %s %07u.jpg", word(seed), word(seed), first + i);
                random_bytes(&assets[i].sha256, sizeof assets[i].sha256);
        }
        if (catalog_ingest(catalog, &job, a, &receipt, &e))
                stop(&e);
}

static void unit_vector(float *v, uint64_t *seed)
{
        double sum = 0;
        for (uint32_t d = 0; d < dim; d++) {
                v[d] = (float)noise(seed) / (float)(1u << 30) - 1.0f;
                sum += (double)v[d] * (double)v[d];
        }
        for (uint32_t d = 0; d < dim; d++)
                v[d] = (float)((double)v[d] / __builtin_sqrt(sum));
}

static void complete_one(struct arena *a, const char *worker, float *v, uint64_t *seed)
{
        struct task task;
        struct tag tags[TAGS];
        struct err e;
        int got = catalog_task_claim(catalog, worker, dur_s(600), 1u << JOB_IMAGE, a, &task, &e);
        if (got < 0)
                stop(&e);
        if (got == 0)
                die("no task to claim");
        unit_vector(v, seed);
        for (size_t i = 0; i < TAGS; i++)
                tags[i] = (struct tag){.name = words[(task.size + i * 31) % COUNT_OF(words)],
                                       .source = TAG_ZERO_SHOT,
                                       .confidence = 0.5f};
        struct task_result r = {.task = &task,
                                .metadata = "{\"width\":1920,\"height\":1080,\"format\":\"jpeg\"}",
                                .tags = tags,
                                .ntags = TAGS,
                                .parts = part_list_whole(&(struct part_room){.part = {0}}, model_id, v, dim),
                                .placement = {.kind = PLACE_UNSORTED, .similarity = -1, .why = "bench"}};
        if (catalog_task_complete(catalog, &r, &e))
                stop(&e);
}

static void *fill(void *arg)
{
        unsigned index = *(unsigned *)arg;
        uint64_t seed = index * 7919u + 1;
        char worker[32];
        float *v = mem_calloc(dim, sizeof *v);
        snprintf(worker, sizeof worker, "bench-%u", index);
        if (!v)
                die("memory");
        for (;;) {
                unsigned first = atomic_fetch_add(&next_row, BLOCK);
                if (first >= rows)
                        break;
                unsigned n = rows - first < BLOCK ? rows - first : BLOCK;
                struct arena *a = arena_new(8u << 20);
                if (!a)
                        die("memory");
                ingest_block(a, first, n, &seed);
                arena_free(a);
                for (unsigned i = 0; i < n; i++) {
                        if (!(a = arena_new(1u << 20)))
                                die("memory");
                        complete_one(a, worker, v, &seed);
                        arena_free(a);
                }
        }
        mem_free(v);
        return NULL;
}

static void fill_all(void)
{
        pthread_t threads[THREADS];
        unsigned index[THREADS];
        for (unsigned i = 0; i < THREADS; i++) {
                index[i] = i;
                if (pthread_create(&threads[i], NULL, fill, &index[i]))
                        die("thread");
        }
        for (unsigned i = 0; i < THREADS; i++)
                pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
        char data[4096], url[4200], store[4200];
        struct err e;
        struct embed *m;
        struct storage *s;
        if (argc != 5) {
                fprintf(stderr, "usage: bench_fill DATA_FOLDER MODEL_FOLDER RUNTIME_FOLDER ROWS\n");
                return 2;
        }
        rows = number(argv[4], 1, 2000000);
        struct embed_opts eo = {.model_dir = argv[2], .runtime_dir = argv[3]};
        if (dir_make(argv[1], &e) || embed_open(&eo, false, &m, &e))
                stop(&e);
        if (!realpath(argv[1], data))
                die(argv[1]);
        snprintf(url, sizeof url, "sqlite://%s/catalog.db", data);
        snprintf(store, sizeof store, "%s/storage", data);
        struct storage_opts so = {.url = "fs://", .path = store};
        struct catalog_opts co = {
                .url = url, .data_path = data, .idempotency_ttl = dur_s(60), .queue_max_depth = 10000000};
        model_id = embed_model_id(m);
        dim = (uint32_t)embed_dim(m);
        if (storage_open(&so, &s, &e) || catalog_open(&co, &catalog, &e) ||
            catalog_use_model(catalog, model_id, dim, &e))
                stop(&e);
        storage_close(s);
        struct mono start = mono_now();
        fill_all();
        catalog_close(catalog);
        double took = dur_seconds(mono_since(start));
        printf("%u %.1f %.0f\n", rows, took, rows / took);
        embed_close(m);
        return 0;
}
