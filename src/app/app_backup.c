/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backup reads and a restore fills: the settings' catalog and storage.
 * Beside a server, its lock, its spool and its uploads are left alone.
 */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/app_backup.h"
#include "app/app_priv.h"
#include "metrics/metrics.h"

struct place {
        struct app app; /* its settings, address of the catalog, and lock */
        char role_url[APP_ROLE_URL_MAX], spool[PATH_MAX];
        struct storage_opts storage;
        bool restoring;
};

static int place_open(struct place *p, const struct config *c, bool restoring, struct err *e)
{
        p->app.c = c;
        p->app.lock_fd = -1;
        p->restoring = restoring;
        app_storage_opts(c, p->role_url, &p->storage);
        p->storage.s3.write_back = false; /* objects reported as present are in the store itself */
        if (app_catalog_url(&p->app, e))
                return -1;
        return app_spool_apart(c, restoring, p->spool, &p->storage, e);
}

static void place_close(struct place *p)
{
        if (*p->spool)
                rmdir(p->spool);
        fd_close(&p->app.lock_fd);
        mem_free(p);
}

/* A storage used as its own backup would find every object there already. */
static int keep_apart(const char *dir, const char *what, const char *path, struct err *e)
{
        struct stat a, b;
        if (stat(dir, &a) || stat(path, &b) || a.st_dev != b.st_dev || a.st_ino != b.st_ino)
                return 0;
        return err_set(e, ERR_INVALID, "%.120s is the %s: a backup needs a folder of its own, better on another disk",
                       dir, what);
}

int app_backup_create(const struct config *c, struct backup_create_opts *o, struct backup_created *out, struct err *e)
{
        struct place *p = mem_calloc(1, sizeof *p);
        struct storage *s = NULL;
        if (!p || metrics_init()) { /* the rooms below count */
                mem_free(p);
                return err_oom(e);
        }
        int rc = place_open(p, c, false, e);
        p->storage.read_only = true;
        if (rc == 0 && (keep_apart(o->dir, "DATA_PATH", c->data_path, e) ||
                        keep_apart(o->dir, "STORAGE_PATH", c->storage_path, e) || storage_open(&p->storage, &s, e)))
                rc = -1;
        o->catalog_url = p->app.catalog_url;
        o->catalog_password = c->db_password;
        o->storage = s;
        if (c->s3_write_back)
                o->patience = dur_s(60);
        if (rc == 0)
                rc = backup_create(o, out, e);
        storage_close(s);
        place_close(p);
        metrics_done();
        return rc;
}

int app_backup_verify(const struct backup_verify_opts *o, struct backup_verified *out, struct err *e)
{
        if (metrics_init())
                return err_oom(e);
        int rc = backup_verify(o, out, e);
        metrics_done();
        return rc;
}

/* ---- restore ----------------------------------------------------------------------------------- */

struct restoring {
        const struct backup_restore_opts *o; /* the caller's */
        struct place *place;
};

static int open_target(void *ctx, bool read_only, struct storage **out, struct err *e)
{
        struct restoring *r = ctx;
        r->place->storage.read_only = read_only;
        return storage_open(&r->place->storage, out, e);
}

static void pass_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
        struct restoring *r = ctx;
        if (r->o->progress)
                r->o->progress(r->o->ctx, what, done, total);
}

static void pass_message(void *ctx, const char *what)
{
        struct restoring *r = ctx;
        if (r->o->say)
                r->o->say(r->o->ctx, what);
}

/* A dry run makes no folder. */
static int take_data(struct place *p, bool dry_run, struct err *e)
{
        const char *data = p->app.c->data_path;
        struct err why = {0};
        int rc;
        if (dry_run) {
                snprintf(p->app.data, sizeof p->app.data, "%s", data);
                rc = access(data, F_OK) ? 0 : app_data_lock_if_any(data, &p->app.lock_fd, &why);
        } else {
                rc = app_open_data(&p->app, true, &why);
        }
        if (rc == 0)
                return 0;
        return err_set(e, why.code, "%.180s%s", why.msg,
                       why.code == ERR_CONFLICT ? ": stop the server; a backup goes into an empty installation" : "");
}

int app_backup_restore(const struct config *c, struct backup_restore_opts *o, struct backup_restored *out,
                       struct err *e)
{
        struct place *p = mem_calloc(1, sizeof *p);
        if (!p || metrics_init()) {
                mem_free(p);
                return err_oom(e);
        }
        struct restoring r = {.o = o, .place = p};
        struct backup_restore_opts mine = *o;
        int rc = place_open(p, c, true, e) || take_data(p, o->dry_run, e) ? -1 : 0;
        mine.catalog_url = p->app.catalog_url;
        mine.catalog_password = c->db_password;
        mine.data_path = p->app.data;
        mine.open_storage = open_target;
        mine.progress = pass_progress;
        mine.say = pass_message;
        mine.ctx = &r;
        if (rc == 0)
                rc = backup_restore(&mine, out, e);
        place_close(p);
        metrics_done();
        return rc;
}
