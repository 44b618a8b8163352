/* SPDX-License-Identifier: Apache-2.0 */
/* The check of an installation: which other processes may be running, and how each part is opened. */
#include "app/app_fsck.h"
#include "catalog/catalog.h"
#include "jobs/counts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/app_priv.h"
#include "metrics/metrics.h"

/* An installation is looked for, never created. */
static int take_data(struct app *a, struct fsck_opts *o, struct err *e)
{
        const struct config *c = a->c;
        struct err why;
        if (c->database_path && access(c->data_path, F_OK))
                return err_errno(e, errno, "there is no installation in DATA_PATH %.200s", c->data_path);
        if (app_open_data(a, false, e))
                return -1;
        if (!c->database_path)
                return 0;
        if (!o->repair) {
                o->alone = app_data_lock_if_any(a->data, &a->lock_fd, &why) == 0;
                return 0; /* so a server is running */
        }
        if (app_data_lock(a->data, &a->lock_fd, &why))
                return err_set(e, why.code, "%.200s%s", why.msg,
                               why.code == ERR_CONFLICT
                                       ? ": stop it before --repair; without --repair fsck may run beside it"
                                       : "");
        o->alone = true;
        return 0;
}

static int open_and_check(struct app *a, struct fsck_opts *o, struct storage_opts *so, struct fsck_report *out,
                          struct err *e)
{
        struct catalog_counts counts;
        if (fsck_tmp(o, out, e) || app_open_catalog(a, e) || catalog_counts(a->catalog, NULL, &counts, e))
                return -1;
        so->read_only = !o->repair;
        so->expect_content = counts.objects > 0;
        if (storage_open(so, &a->storage, e))
                return -1;
        o->catalog = a->catalog;
        o->storage = a->storage;
        return fsck_run(o, out, e);
}

int app_fsck(const struct config *c, struct fsck_opts *o, struct fsck_report *out, struct err *e)
{
        struct app *a = mem_calloc(1, sizeof *a);
        struct storage_opts so;
        char role_url[APP_ROLE_URL_MAX], spool[PATH_MAX] = "", tmp[4200];
        if (!a || metrics_init()) { /* the rooms below count */
                mem_free(a);
                return err_oom(e);
        }
        *out = (struct fsck_report){0};
        a->c = c;
        a->lock_fd = -1;
        app_storage_opts(c, role_url, &so);
        so.s3.write_back = false; /* objects that are found are in the store itself */
        o->may_wait = c->s3_write_back;
        o->gc_grace = c->gc_grace;
        snprintf(tmp, sizeof tmp, "%s/tmp", c->storage_path);
        o->tmp = strncmp(c->storage_backend, "fs", 2) == 0 ? tmp : NULL;
        int rc = take_data(a, o, e);
        if (rc == 0)
                rc = app_spool_apart(c, false, spool, &so, e);
        if (rc == 0)
                rc = open_and_check(a, o, &so, out, e);
        storage_close(a->storage);
        catalog_close(a->catalog);
        if (*spool)
                rmdir(spool);
        fd_close(&a->lock_fd);
        mem_free(a);
        metrics_done();
        return rc;
}
