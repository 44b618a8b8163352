/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parts that a rebuild needs and no others: no model, no decoder, no server. A dry run does everything in a
 * catalog of its own, which is thrown away, so it reports what the real run would.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/app_priv.h"
#include "catalog/catalog.h"
#include "app/app_rebuild.h"
#include "metrics/metrics.h"
#include "keep/keep_rebuild.h"

struct job {
        struct app app;
        const struct app_rebuild_opts *o;
        char scratch[PATH_MAX]; /* of a dry run; "" none */
        struct storage_opts storage_opts;
        char role_url[APP_ROLE_URL_MAX];
};

static int recover_object(void *ctx, struct sha256 object, uint64_t size, struct err *e)
{
        struct job *k = ctx;
        return ingest_recover(k->app.ingest, object, size, k->o->owner ? k->o->owner : RECOVERED_OWNER, e);
}

static void pass_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
        struct job *k = ctx;
        if (k->o->progress)
                k->o->progress(k->o->ctx, what, done, total);
}

static void pass_bad(void *ctx, const char *why)
{
        struct job *k = ctx;
        k->o->bad(k->o->ctx, why);
}

static int open_storage(struct job *k, struct err *e)
{
        struct storage_opts *so = &k->storage_opts;
        app_storage_opts(k->app.c, k->role_url, so);
        so->expect_content = true; /* an empty storage cannot be what somebody wants to rebuild from */
        if (k->o->from) {
                bool s3 = strncmp(k->o->from, "s3://", 5) == 0, fs = strncmp(k->o->from, "fs://", 5) == 0;
                so->url = s3 ? k->o->from : "fs://";
                so->path = fs ? k->o->from + 5 : k->o->from;
        }
        so->read_only = k->o->dry_run || k->o->from;
        return storage_open(so, &k->app.storage, e);
}

/* The real catalog must be one that a rebuild may fill, also when this is a dry run. */
static int check_target(struct job *k, struct err *e)
{
        enum rebuild_state state;
        int rc = app_open_catalog(&k->app, e) || keep_rebuild_state(k->app.catalog, &state, e) ? -1 : 0;
        if (rc == 0 && state == REBUILD_FULL)
                rc = err_set(e, ERR_CONFLICT,
                             "the catalog is not empty: a rebuild needs an empty one; move this one away, or give an "
                             "empty database");
        return rc;
}

static int open_scratch(struct job *k, struct err *e)
{
        const char *tmp = getenv("TMPDIR");
        struct catalog_opts co = {.phash_distance = (unsigned)k->app.c->phash_distance,
                                  .folder_threshold = (float)k->app.c->cluster_threshold,
                                  .data_path = k->scratch};
        char url[PATH_MAX + 32];
        catalog_close(k->app.catalog);
        k->app.catalog = NULL;
        snprintf(k->scratch, sizeof k->scratch, "%s/file-allocator-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (!mkdtemp(k->scratch)) {
                *k->scratch = '\0';
                return err_set(e, ERR_IO, "cannot make a folder for the dry run in %.200s", tmp && *tmp ? tmp : "/tmp");
        }
        snprintf(url, sizeof url, "sqlite://%s/catalog.db", k->scratch);
        co.url = url;
        return catalog_open(&co, &k->app.catalog, e);
}

static void drop_scratch(struct job *k)
{
        static const char *const names[] = {"catalog.db", "catalog.db-wal", "catalog.db-shm", "vector"};
        char path[PATH_MAX + 32];
        if (!*k->scratch)
                return;
        for (size_t i = 0; i < COUNT_OF(names); i++) {
                snprintf(path, sizeof path, "%s/%s", k->scratch, names[i]);
                remove(path);
        }
        rmdir(k->scratch);
}

static int run_rebuild(struct job *k, struct rebuild_report *out, struct err *e)
{
        struct app *a = &k->app;
        struct ingest_opts io = {.max_image_bytes = (uint64_t)a->c->max_image_bytes};
        struct rebuild_opts ro = {.recover = recover_object, .progress = pass_progress, .bad = pass_bad, .ctx = k};
        /* On a shared database this name distinguishes the rebuild from a server. */
        setenv("PGAPPNAME", "file-allocator-rebuild", 1);
        if (app_open_data(a, true, e) || check_target(k, e) || open_storage(k, e) ||
            (k->o->dry_run && open_scratch(k, e)))
                return -1;
        io.catalog = ro.catalog = a->catalog;
        io.storage = ro.storage = a->storage;
        return ingest_open(&io, &a->ingest, e) || rebuild_run(&ro, out, e) ? -1 : 0;
}

int app_rebuild(const struct config *c, const struct app_rebuild_opts *opts, struct rebuild_report *out, struct err *e)
{
        if (opts->owner && !owner_valid(span_of(opts->owner)))
                return err_set(e, ERR_INVALID, "--owner: 1 to 64 of A-Z a-z 0-9 . _ @ -, not beginning with a dot");
        if (metrics_init()) /* the rooms below count */
                return err_oom(e);
        struct job *k = mem_calloc(1, sizeof *k);
        if (!k) {
                metrics_done();
                return err_oom(e);
        }
        k->app.c = c;
        k->app.lock_fd = -1;
        k->o = opts;
        int rc = run_rebuild(k, out, e);
        ingest_close(k->app.ingest);
        storage_close(k->app.storage);
        catalog_close(k->app.catalog);
        drop_scratch(k);
        fd_close(&k->app.lock_fd);
        mem_free(k);
        metrics_done();
        return rc;
}
