/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog's contract, written once and run against every engine: an engine
 * brings a factory, the suite brings the promises. Only catalog.h is used. One
 * fixture is an empty catalog of its own per test.
 */
#ifndef FA_CATALOG_SUITE_H
#define FA_CATALOG_SUITE_H

#include "catalog/catalog.h"
#include "catalog/catalog_asset.h"
#include "jobs/counts.h"
#include "folders/folders.h"
#include "catalog/catalog_ingest.h"
#include "jobs/jobs.h"
#include "access/access.h"
#include "catalog/catalog_part.h"
#include "catalog/catalog_place.h"
#include "catalog/catalog_search.h"
#include "catalog/catalog_task.h"
#include "catalog/catalog_upkeep.h"
#include "metrics/metrics.h"
#include "vector/vector.h"

#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define DIM   16
#define MODEL "m1"
#define ALL   0x3FU

struct suite_backend {
        /* A fresh place; url and data path into the fixture. */
        void (*make)(char *url, size_t url_max, char *data, size_t data_max);
        void (*drop)(const char *url, const char *data);
};
extern const struct suite_backend suite_backend;

struct fix {
        char url[512], data[512];
        struct catalog_opts opts;
        struct catalog *c;
        struct arena *a;
        struct err e;
};

#define OK(call)                                                                                                       \
        do {                                                                                                           \
                f->e.msg[0] = '\0';                                                                                    \
                if ((call) != 0)                                                                                       \
                        fail_msg("%s:%d %s: %s", __FILE__, __LINE__, #call, f->e.msg);                                 \
        } while (0)
#define FAILS(code_, call)                                                                                             \
        do {                                                                                                           \
                assert_int_equal((call), -1);                                                                          \
                if (f->e.code != (code_))                                                                              \
                        fail_msg("%s:%d %s: %s: %s", __FILE__, __LINE__, #call, err_name(f->e.code), f->e.msg);        \
        } while (0)

static inline void fix_open(struct fix *f)
{
        OK(catalog_open(&f->opts, &f->c, &f->e));
}

static inline void fix_reopen(struct fix *f)
{
        catalog_close(f->c);
        f->c = NULL;
        fix_open(f);
}

/* url and data are set: what is opened with them, and not yet. */
static inline void fix_prepare(struct fix *f)
{
        f->opts = (struct catalog_opts){.url = f->url,
                                        .data_path = f->data,
                                        .idempotency_ttl = dur_s(3600),
                                        .phash_distance = 5,
                                        .queue_max_depth = 1000000};
        f->a = arena_new(256 << 20);
}

/* One of the suite's own. */
static inline void fix_make(struct fix *f)
{
        suite_backend.make(f->url, sizeof f->url, f->data, sizeof f->data);
        fix_prepare(f);
}

static inline int fix_setup(void **state)
{
        struct fix *f = mem_calloc(1, sizeof *f);

        assert_non_null(f);
        assert_int_equal(metrics_init(), 0);
        fix_make(f);
        fix_open(f);
        *state = f;
        return 0;
}

static inline int fix_teardown(void **state)
{
        struct fix *f = *state;

        catalog_close(f->c);
        arena_free(f->a);
        suite_backend.drop(f->url, f->data);
        mem_free(f);
        return 0;
}

static inline void fix_warm(struct fix *f, const char *model)
{
        OK(catalog_use_model(f->c, model, DIM, &f->e));
        for (int i = 0; i < 1000 && !catalog_warm(f->c); i++)
                sleep_for(dur_ms(10));
        assert_true(catalog_warm(f->c));
}

static inline struct new_asset new_file(const char *name, enum asset_kind kind, bool task)
{
        struct new_asset x = {.id = id_new(),
                              .kind = kind,
                              .type = kind == KIND_MEDIA ? JOB_IMAGE : JOB_FILE,
                              .filename = name,
                              .content_type = kind == KIND_MEDIA ? "image/jpeg" : "application/octet-stream",
                              .size = 100,
                              .purposes = task ? 1u << PURPOSE_ANALYSE : 0};

        x.sha256 = sha256_of(&x.id, sizeof x.id);
        return x;
}

static inline struct new_job new_job_of(const char *owner, const struct new_asset *assets, size_t n)
{
        return (struct new_job){.id = id_new(), .owner = owner, .assets = assets, .nassets = n, .created = wall_now()};
}

static inline struct id put_file(struct fix *f, const char *owner, const char *name, enum asset_kind kind)
{
        struct new_asset x = new_file(name, kind, kind == KIND_MEDIA);
        struct new_job j = new_job_of(owner, &x, 1);
        struct job_receipt r;

        OK(catalog_ingest(f->c, &j, f->a, &r, &f->e));
        return x.id;
}

static inline struct task claim(struct fix *f)
{
        struct task t;
        int rc = catalog_task_claim(f->c, "w", dur_s(60), ALL, f->a, &t, &f->e);

        if (rc != 1)
                fail_msg("claim: %d %s", rc, f->e.msg);
        return t;
}

static inline void unit_vector(unsigned seed, float *v)
{
        uint64_t x = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;

        for (int i = 0; i < DIM; i++) {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                v[i] = (float)(int32_t)(x >> 32) / 2147483648.0f;
        }
        assert_true(vec_normalise(v, DIM));
}

static inline int finish(struct fix *f, const struct task *t, const float *v, struct placement p)
{
        struct task_result r = {.task = t,
                                .metadata = "{\"width\":1}",
                                .parts = part_list_whole(&(struct part_room){.part = {0}}, MODEL, v, DIM),
                                .placement = p};

        return catalog_task_complete(f->c, &r, &f->e);
}

/* A finished picture with a vector. */
static inline struct id put_done(struct fix *f, const char *owner, const char *name, const float *v)
{
        struct id id = put_file(f, owner, name, KIND_MEDIA);
        struct task t = claim(f);

        assert_true(id_eq(t.asset_id, id));
        OK(finish(f, &t, v, (struct placement){.kind = PLACE_UNSORTED}));
        return id;
}

static inline struct asset get(struct fix *f, struct id id)
{
        struct asset x;

        OK(catalog_asset_get(f->c, id, NULL, f->a, &x, &f->e));
        return x;
}

static inline struct cluster folder(struct fix *f, struct id id)
{
        struct cluster x;

        OK(catalog_cluster_get(f->c, id, NULL, f->a, &x, NULL, &f->e));
        return x;
}

#endif
