/* SPDX-License-Identifier: Apache-2.0 */
/* Listing backups, and reading them completely. An object is read once, however many backups refer to it. */
#include "admin/backup_priv.h"

#include <stdio.h>
#include <string.h>

/* ---- the list --------------------------------------------------------------------------------- */

int backup_list(const char *dir, backup_list_fn *fn, backup_say_fn *say, void *ctx, struct err *e)
{
        struct backup_dir d;
        struct manifest *m = mem_alloc(sizeof *m);
        char(*names)[BACKUP_NAME_LEN] = NULL;
        size_t n = 0;
        int rc = backup_dir_open(&d, dir, e);

        if (rc == 0 && !m)
                rc = err_oom(e);
        if (rc == 0)
                rc = backup_names(&d, &names, &n, e);
        while (rc == 0 && n-- > 0) {
                struct err why;
                if (backup_manifest_read(&d, names[n], m, &why) == 0)
                        rc = fn(ctx, &m->info, e);
                else if (why.code != ERR_NOT_FOUND && say) /* one that was cut off, or is under way */
                        say(ctx, why.msg);
        }
        mem_free(names);
        mem_free(m);
        backup_dir_close(&d);
        return rc;
}

/* ---- the check ---------------------------------------------------------------------------------- */

struct verify {
        const struct backup_verify_opts *o;
        struct backup_verified *out;
        struct backup_dir dir;
        struct manifest m;
        struct list_merge *objects;
        uint64_t named; /* approximate: backups share objects */
};

static void report_wrong(struct verify *v, const char *what)
{
        v->out->wrong++;
        if (v->o->say)
                v->o->say(v->o->ctx, what);
}

static void report_progress(struct verify *v, const char *what, uint64_t done, uint64_t total)
{
        if (v->o->progress)
                v->o->progress(v->o->ctx, what, done, total);
}

/* A list with a wrong hash is not read: its lines may be anything. */
static int check_lists(struct verify *v, struct err *e)
{
        char path[PATH_MAX];
        struct err why;

        if (backup_manifest_check_objects(&v->dir, &v->m, v->o->say, v->o->ctx, &v->out->wrong, &why)) {
                if (why.code == ERR_OOM) {
                        *e = why;
                        return -1;
                }
                report_wrong(v, why.msg);
                return 0;
        }
        backup_path(path, &v->dir, v->m.info.name, OBJECTS_LIST);
        if (v->m.info.objects > v->named)
                v->named = v->m.info.objects;
        return merge_add(v->objects, path, e);
}

static int check_backup(struct verify *v, const char *name, struct err *e)
{
        uint64_t before = v->out->wrong;
        struct err why;

        if (backup_manifest_read(&v->dir, name, &v->m, &why)) {
                if (why.code == ERR_NOT_FOUND && !v->o->name)
                        return 0; /* cut off or under way: no backup */
                if (why.code == ERR_OOM || why.code == ERR_NOT_FOUND || why.code == ERR_CONFLICT) {
                        *e = why;
                        return -1;
                }
                report_wrong(v, why.msg);
                return 0;
        }
        v->out->backups++;
        v->out->incomplete += !v->m.info.complete;
        report_progress(v, "reading catalogs", v->out->backups, 0);
        if (backup_manifest_check_files(&v->dir, &v->m, v->o->say, v->o->ctx, &v->out->wrong, e))
                return -1;
        return v->out->wrong == before ? check_lists(v, e) : 0;
}

static int check_backups(struct verify *v, struct err *e)
{
        char(*names)[BACKUP_NAME_LEN] = NULL;
        size_t n = 0;
        int rc;

        if (v->o->name)
                return backup_name_is(v->o->name)
                               ? check_backup(v, v->o->name, e)
                               : err_set(e, ERR_INVALID, "--backup: %.60s is no backup's name", v->o->name);
        rc = backup_names(&v->dir, &names, &n, e);
        while (rc == 0 && n-- > 0)
                rc = check_backup(v, names[n], e);
        mem_free(names);
        if (rc == 0 && v->out->backups == 0 && v->out->wrong == 0)
                rc = err_set(e, ERR_NOT_FOUND, "%.160s holds no backups", v->o->dir);
        return rc;
}

static int next_object(void *ctx, struct objects_item *out, struct err *e)
{
        struct verify *v = ctx;
        struct list_line line;
        int rc = merge_next(v->objects, &line, e);

        if (rc > 0)
                list_item(&line, out);
        return rc;
}

static void objects_progress(void *ctx, const struct objects_report *r)
{
        struct verify *v = ctx;

        report_progress(v, "reading objects", r->seen, v->named > r->seen ? v->named : r->seen);
}

static void say_bad(void *ctx, const char *why)
{
        struct verify *v = ctx;

        if (v->o->say)
                v->o->say(v->o->ctx, why);
}

static int run_verify(struct verify *v, struct err *e)
{
        struct objects_opts oo = {.hash = true,
                                  .threads = v->o->threads,
                                  .next = next_object,
                                  .progress = objects_progress,
                                  .bad = say_bad,
                                  .ctx = v};
        int rc;

        if (backup_dir_open(&v->dir, v->o->dir, e) || merge_new(&v->objects, e) ||
            backup_dir_storage(&v->dir, true, &oo.from, e))
                return -1;
        rc = check_backups(v, e);
        if (rc == 0)
                rc = objects_run(&oo, &v->out->objects, e);
        storage_close(oo.from);
        return rc;
}

int backup_verify(const struct backup_verify_opts *o, struct backup_verified *out, struct err *e)
{
        struct verify *v = mem_calloc(1, sizeof *v);
        int rc;

        *out = (struct backup_verified){0};
        if (!v)
                return err_oom(e);
        v->o = o;
        v->out = out;
        v->dir = (struct backup_dir){.fd = -1, .lock_fd = -1, .readers_fd = -1};
        rc = run_verify(v, e);
        merge_free(v->objects);
        backup_dir_close(&v->dir);
        mem_free(v);
        return rc;
}
