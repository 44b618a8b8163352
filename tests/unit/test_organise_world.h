/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small world for the tests of organise and search: the real catalog in a
 * fresh folder, the real model for its calibration and words, and pictures that
 * are vectors of our making, so that no decoder is needed.
 */
#ifndef TEST_ORGANISE_WORLD_H
#define TEST_ORGANISE_WORLD_H

#include <setjmp.h>
#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "catalog/catalog.h"
#include "catalog/catalog_asset.h"
#include "folders/folders.h"
#include "catalog/catalog_ingest.h"
#include "catalog/catalog_part.h"
#include "catalog/catalog_task.h"
#include "embed/embed.h"
#include "log/log.h"
#include "metrics/metrics.h"
#include "organise/organise.h"
#include "remove_tree.h"

#define MODEL   PROJECT_DIR "/models/builtin"
#define RUNTIME PROJECT_DIR "/.cache/onnxruntime/lib"
#define DIM     512

static struct embed *model; /* loaded once for all tests of a program */
static struct catalog *catalog;
static struct organise *organise;
static char dir[64];

#define OK(call)                                                                                                       \
        do {                                                                                                           \
                struct err e = {0};                                                                                    \
                if ((call) < 0)                                                                                        \
                        fail_msg("%s: %s (%s)", #call, e.msg, err_name(e.code));                                       \
        } while (0)

static inline int model_open(void **state)
{
        struct err e = {0};
        (void)state;
        log_init(LOG_WARNING, LOG_TEXT);
        if (metrics_init() || embed_open(&(struct embed_opts){MODEL, RUNTIME}, false, &model, &e)) {
                print_error("%s\n", e.msg);
                return -1;
        }
        return 0;
}

static inline int model_close(void **state)
{
        (void)state;
        embed_close(model);
        metrics_done();
        return 0;
}

static inline int world_open(void **state)
{
        struct err e = {0};
        char url[128];
        (void)state;
        snprintf(dir, sizeof dir, "/tmp/fa-organise-XXXXXX");
        if (!mkdtemp(dir))
                return -1;
        snprintf(url, sizeof url, "sqlite://%s/catalog.db", dir);
        const struct catalog_opts co = {
                .url = url, .data_path = dir, .idempotency_ttl = dur_s(60), .queue_max_depth = 100000};
        if (catalog_open(&co, &catalog, &e) || catalog_use_model(catalog, embed_model_id(model), DIM, &e)) {
                print_error("%s\n", e.msg);
                return -1;
        }
        for (int i = 0; i < 1000 && !catalog_warm(catalog); i++)
                sleep_for(dur_ms(5));
        const struct organise_opts oo = {.catalog = catalog,
                                         .embed = model,
                                         .threshold = 0.72f,
                                         .margin = 0.05f,
                                         .min_size = 3,
                                         .interval = dur_ms(50),
                                         .instance = "test"};
        if (organise_open(&oo, &organise, &e)) {
                print_error("%s\n", e.msg);
                return -1;
        }
        return 0;
}

static inline int world_close(void **state)
{
        (void)state;
        organise_close(organise);
        organise = NULL;
        catalog_close(catalog);
        catalog = NULL;
        remove_tree(dir);
        return 0;
}

/* Groups are orthogonal axes; two members of one have a cosine of about tight. seed: which member. */
static inline void picture(float *v, unsigned group, unsigned seed, float tight)
{
        uint64_t s = 0x9e3779b97f4a7c15u * (group * 1000u + seed + 1);
        double sum = 0;
        for (size_t i = 0; i < DIM; i++) {
                s ^= s << 13, s ^= s >> 7, s ^= s << 17;
                v[i] = i < 64 ? 0 : (float)((double)(s >> 11) / (double)(1ull << 53) - 0.5);
                sum += (double)v[i] * v[i];
        }
        float scale = (float)(sqrt(1 - (double)tight) / sqrt(sum));
        for (size_t i = 64; i < DIM; i++)
                v[i] *= scale;
        v[group] = sqrtf(tight);
}

/* A direction between two groups: weight of the first, 0…1. */
static inline void between(float *v, unsigned a, unsigned b, float weight)
{
        memset(v, 0, DIM * sizeof *v);
        v[a] = sqrtf(weight);
        v[b] = sqrtf(1 - weight);
}

struct upload {
        const char *owner, *name, *folder, *tag; /* tag: a person's */
};

static inline struct id ingest(struct upload u)
{
        struct arena *a = arena_new(1u << 20);
        struct new_asset x = {.id = id_new(),
                              .kind = KIND_MEDIA,
                              .type = JOB_IMAGE,
                              .filename = u.name,
                              .content_type = "image/jpeg",
                              .size = 1000,
                              .purposes = 1u << PURPOSE_ANALYSE};
        struct new_job job = {.id = id_new(),
                              .owner = u.owner ? u.owner : DEFAULT_OWNER,
                              .folder = u.folder,
                              .tags = &u.tag,
                              .ntags = u.tag != NULL,
                              .created = wall_now(),
                              .assets = &x,
                              .nassets = 1,
                              .idempotency_scope = ""};
        struct job_receipt receipt;
        x.sha256 = sha256_of(&x.id, sizeof x.id);
        OK(catalog_ingest(catalog, &job, a, &receipt, &e));
        arena_free(a);
        return x.id;
}

/* Finish the one task that is ready, as a worker would after decoding and embedding. */
static inline void finish(const float *v, const struct tag *tags, size_t ntags, float sure)
{
        struct arena *a = arena_new(8u << 20);
        struct task t;
        int got = 0;
        OK(got = catalog_task_claim(catalog, "test", dur_s(60), ~0u, a, &t, &e));
        assert_int_equal(got, 1);
        struct task_result r = {
                .task = &t,
                .metadata = "{}",
                .tags = tags,
                .ntags = ntags,
                .parts = part_list_whole(&(struct part_room){.part = {0}}, embed_model_id(model), v, DIM)};
        OK(organise_complete(organise, &r, sure, a, &e));
        arena_free(a);
}

static inline struct id add_tagged(struct upload u, unsigned group, unsigned seed, const struct tag *tags, size_t n)
{
        float v[DIM];
        struct id id = ingest(u);
        picture(v, group, seed, 0.85f);
        finish(v, tags, n, 0.9f);
        return id;
}

static inline struct id add(const char *owner, unsigned group, unsigned seed)
{
        return add_tagged((struct upload){.owner = owner, .name = "x.jpg"}, group, seed, NULL, 0);
}

static inline struct asset get(struct arena *a, struct id id)
{
        struct asset x;
        OK(catalog_asset_get(catalog, id, NULL, a, &x, &e));
        return x;
}

static inline size_t folders(struct arena *a, const char *owner, struct cluster **out)
{
        const struct cluster_filter f = {.owner = owner, .status = -1};
        const char *next;
        uint64_t total;
        size_t n;
        OK(catalog_cluster_list(catalog, &f, CLUSTERS_BY_NAME, 100, NULL, a, out, &n, &total, &next, &e));
        return n;
}

#endif
