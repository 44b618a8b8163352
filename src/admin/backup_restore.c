/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restoring a backup. Everything that can be refused is checked before anything is changed. Then a mark is written
 * into the data folder: no server starts on it, and an interrupted restore is recognised by it. Then come the
 * objects, and last the catalog, which makes the installation whole; then the mark is removed.
 */
#include "admin/backup_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MARK "restoring"

struct restore {
        const struct backup_restore_opts *o;
        struct backup_restored *out;
        struct backup_dir dir;
        struct manifest m;
        struct storage *from, *to;
        struct list_reader *list;
        char folder[PATH_MAX];
        bool fresh; /* the storage was empty when this restore began, in this run or an earlier one */
};

static void report_progress(struct restore *k, const char *what, uint64_t done, uint64_t total)
{
        if (k->o->progress)
                k->o->progress(k->o->ctx, what, done, total);
}

/* ---- the mark ---------------------------------------------------------------------------------- */

static bool mark_path(const char *data, char out[PATH_MAX])
{
        return snprintf(out, PATH_MAX, "%s/" MARK, data) < PATH_MAX;
}

static void mark_text(const struct manifest *m, char out[128])
{
        char hex[SHA256_TEXT_LEN];

        snprintf(out, 128, "%s %s\n", m->info.name, sha256_format(m->hash, hex));
}

/* 1 the mark of this backup, 0 none, -1 the mark of another one. */
static int mark_read(struct restore *k, struct err *e)
{
        char path[PATH_MAX], want[128], *text = NULL;
        struct err why;
        size_t n = 0;
        bool same;

        if (!mark_path(k->o->data_path, path))
                return err_set(e, ERR_INVALID, "DATA_PATH: the path is too long");
        if (file_read_all(path, 4096, &text, &n, &why)) {
                if (why.code == ERR_NOT_FOUND)
                        return 0;
                *e = why;
                return -1;
        }
        mark_text(&k->m, want);
        same = span_eq((struct span){text, n}, want);
        if (!same)
                err_set(e, ERR_CONFLICT,
                        "a restore of backup %.*s into %.100s was begun and not finished: finish that one, or empty "
                        "the "
                        "installation",
                        (int)strcspn(text, " \n"), text, k->o->data_path);
        mem_free(text);
        return same ? 1 : -1;
}

int backup_restore_check(const char *data_path, struct err *e)
{
        char path[PATH_MAX];

        if (!mark_path(data_path, path) || access(path, F_OK))
                return 0;
        return err_set(e, ERR_CONFLICT,
                       "a backup is being restored into DATA_PATH, and that was not finished: run \"backup restore\" "
                       "again (or empty the installation and remove %.100s)",
                       path);
}

static int mark_remove(struct restore *k, struct err *e)
{
        char path[PATH_MAX];

        mark_path(k->o->data_path, path);
        if (unlink(path) && errno != ENOENT)
                return err_errno(e, errno, "cannot remove %.160s", path);
        return dir_sync(k->o->data_path, e);
}

/* ---- which backup --------------------------------------------------------------------------------- */

static int choose_newest(struct restore *k, struct err *e)
{
        char(*names)[BACKUP_NAME_LEN] = NULL;
        size_t n = 0;
        struct err why = {0};
        int rc = backup_names(&k->dir, &names, &n, e), found = 0;

        while (rc == 0 && !found && n-- > 0) {
                found = backup_manifest_read(&k->dir, names[n], &k->m, &why) == 0 &&
                        (k->m.info.complete || k->o->partial);
                /* If the newest backup is damaged, an older one must be asked for by name. */
                if (!found && why.code != ERR_NONE && why.code != ERR_NOT_FOUND) {
                        *e = why;
                        rc = -1;
                }
        }
        mem_free(names);
        if (rc == 0 && !found)
                rc = err_set(e, ERR_NOT_FOUND, "%.140s holds no complete backup", k->o->dir);
        return rc;
}

static int choose_backup(struct restore *k, struct err *e)
{
        int rc;

        if (!k->o->name)
                rc = choose_newest(k, e);
        else if (!backup_name_is(k->o->name))
                rc = err_set(e, ERR_INVALID, "--backup: %.60s is no backup's name", k->o->name);
        else
                rc = backup_manifest_read(&k->dir, k->o->name, &k->m, e);
        if (rc < 0)
                return -1;
        k->out->info = k->m.info;
        backup_path(k->folder, &k->dir, k->m.info.name, NULL);
        if (!k->m.info.complete && !k->o->partial)
                return err_set(e, ERR_CONFLICT,
                               "backup %s is incomplete, it lacks %llu objects: choose another one, or restore what is "
                               "there with --partial",
                               k->m.info.name, (unsigned long long)k->m.info.missing);
        return 0;
}

/* ---- looking ------------------------------------------------------------------------------------------ */

static struct keep_restore_opts catalog_opts(struct restore *k)
{
        return (struct keep_restore_opts){.url = k->o->catalog_url,
                                          .password = k->o->catalog_password,
                                          .backup = &k->m.catalog,
                                          .dir = k->folder,
                                          .progress = k->o->progress,
                                          .ctx = k->o->ctx};
}

static int look_at_storage(struct restore *k, int marked, struct err *e)
{
        struct storage *s = NULL;
        struct storage_state st = {0};
        struct err why;
        int rc = k->o->open_storage(k->o->ctx, true, &s, &why);

        if (rc == 0) {
                storage_state(s, &st);
                k->out->free_bytes = st.free_bytes;
        }
        storage_close(s);
        k->fresh = rc < 0 && why.code == ERR_NOT_FOUND;
        if (k->fresh || (rc == 0 && (marked || k->o->reuse)))
                return 0;
        if (rc < 0) {
                *e = why;
                return -1;
        }
        return err_set(
                e, ERR_CONFLICT,
                "the storage is in use, or was: a backup is restored into an empty one; if its objects belong to "
                "this backup, --reuse-objects takes those that are whole");
}

static int look_first(struct restore *k, struct err *e)
{
        const struct keep_restore_opts co = catalog_opts(k);
        enum keep_restore_state state;
        uint64_t wrong = 0;
        int marked = mark_read(k, e);

        if (marked < 0 || keep_restore_look(&co, &state, e))
                return -1;
        if (state == RESTORE_DONE && !marked) {
                k->out->done_before = true;
                return 0;
        }
        k->out->again = marked > 0;
        if (look_at_storage(k, marked, e))
                return -1;
        report_progress(k, "checking the backup", 0, 0);
        if (backup_manifest_check_files(&k->dir, &k->m, k->o->say, k->o->ctx, &wrong, e))
                return -1;
        if (wrong == 0 && backup_manifest_check_objects(&k->dir, &k->m, k->o->say, k->o->ctx, &wrong, e))
                return -1;
        return wrong == 0 ? 0
                          : err_set(e, ERR_CORRUPT, "backup %s is damaged: nothing was restored, choose another one",
                                    k->m.info.name);
}

/* ---- objects ---------------------------------------------------------------------------------------------- */

static int next_object(void *ctx, struct objects_item *out, struct err *e)
{
        struct restore *k = ctx;
        struct list_line line;
        int rc = list_next(k->list, &line, e);

        if (rc > 0)
                list_item(&line, out);
        return rc;
}

static void objects_progress(void *ctx, const struct objects_report *r)
{
        struct restore *k = ctx;

        report_progress(k, k->to ? "restoring objects" : "checking objects", r->seen, k->m.info.objects);
}

static void say_bad(void *ctx, const char *why)
{
        struct restore *k = ctx;

        if (k->o->say)
                k->o->say(k->o->ctx, why);
}

static int run_objects(struct restore *k, struct err *e)
{
        /* Objects that this restore wrote itself were hashed then; objects left by others must be read. */
        const struct objects_opts oo = {.from = k->from,
                                        .to = k->to,
                                        .hash = k->to ? !k->fresh : k->o->verify,
                                        .replace = true,
                                        .derived = k->o->no_derived ? DERIVED_NONE : DERIVED_ALL,
                                        .threads = k->o->threads,
                                        .next = next_object,
                                        .progress = objects_progress,
                                        .bad = say_bad,
                                        .ctx = k};
        char path[PATH_MAX];
        int rc;

        backup_path(path, &k->dir, k->m.info.name, OBJECTS_LIST);
        if (list_open(path, &k->list, e))
                return -1;
        rc = objects_run(&oo, &k->out->objects, e);
        list_close(k->list);
        k->list = NULL;
        if (rc == 0 && k->out->objects.bad && !k->o->partial)
                rc = err_set(e, ERR_CORRUPT,
                             "%llu objects of backup %s are missing or damaged: the installation was not made; another "
                             "backup may have them, --partial goes on without",
                             (unsigned long long)k->out->objects.bad, k->m.info.name);
        return rc;
}

/* ---- all of it ----------------------------------------------------------------------------------------------- */

/* Cached vectors of an earlier installation fit no other catalog, even if their numbers seem to. */
static int forget_vectors(struct restore *k, struct err *e)
{
        char path[PATH_MAX];
        struct dirent *x;
        DIR *dir;
        int rc = 0;

        snprintf(path, sizeof path, "%.*s/vector", PATH_MAX - 16, k->o->data_path);
        dir = opendir(path);
        if (!dir)
                return errno == ENOENT ? 0 : err_errno(e, errno, "cannot read %.160s", path);
        while (rc == 0 && (x = readdir(dir)) != NULL)
                if (x->d_name[0] != '.' && unlinkat(dirfd(dir), x->d_name, 0))
                        rc = err_errno(e, errno, "cannot remove %.100s/%.60s", path, x->d_name);
        closedir(dir);
        return rc < 0 ? -1 : dir_sync(path, e);
}

static int put_back(struct restore *k, struct err *e)
{
        const struct keep_restore_opts co = catalog_opts(k);
        char text[128];

        mark_text(&k->m, text);
        if (backup_write_file(k->o->data_path, MARK, span_of(text), e) ||
            k->o->open_storage(k->o->ctx, false, &k->to, e) || run_objects(k, e))
                return -1;
        storage_close(k->to); /* sends the objects that still wait */
        k->to = NULL;
        return forget_vectors(k, e) || keep_restore(&co, e) ? -1 : mark_remove(k, e);
}

static int run_restore(struct restore *k, struct err *e)
{
        if (backup_dir_open(&k->dir, k->o->dir, e) || choose_backup(k, e) || look_first(k, e))
                return -1;
        if (k->out->done_before)
                return 0;
        if (backup_dir_storage(&k->dir, true, &k->from, e))
                return -1;
        return k->o->dry_run ? run_objects(k, e) : put_back(k, e);
}

int backup_restore(const struct backup_restore_opts *o, struct backup_restored *out, struct err *e)
{
        struct restore *k = mem_calloc(1, sizeof *k);
        int rc;

        *out = (struct backup_restored){0};
        if (!k)
                return err_oom(e);
        k->o = o;
        k->out = out;
        k->dir = (struct backup_dir){.fd = -1, .lock_fd = -1, .readers_fd = -1};
        rc = run_restore(k, e);
        storage_close(k->from);
        storage_close(k->to);
        backup_dir_close(&k->dir);
        mem_free(k);
        return rc;
}
