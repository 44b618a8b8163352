/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying an installation: the source, where its objects are, and the order of the steps. Objects are copied before
 * the catalog is declared finished, so that no server ever starts on rows whose bytes are still being copied.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/objects_item.h"
#include "app/app_copy.h"
#include "app/app_priv.h"
#include "metrics/metrics.h"

struct place { /* a storage as it was named */
        char path[PATH_MAX], shown[PATH_MAX + 8];
        char role_url[APP_ROLE_URL_MAX];
        struct storage_opts opts;
        struct storage *s;
};

struct copy {
        const struct config *c;
        const struct app_copy_opts *o;
        char path[PATH_MAX], data[PATH_MAX]; /* the source's file and data folder */
        char to[1024], spool[PATH_MAX];
        int lock_fd;
        struct place from_place, to_place;
        struct keep_copy *catalog;
        uint64_t objects, object_bytes;
        struct app_copy_report r;
};

/* ---- the source's place ------------------------------------------------------------------- */

/*
 * The form of DATABASE_URL, in which an absolute path needs four slashes; a path whose fourth slash was forgotten is
 * understood too.
 */
static int path_of_url(const char *url, char out[PATH_MAX], struct err *e)
{
        static const char scheme[] = "sqlite:///";
        size_t n = sizeof scheme - 1;
        if (strncmp(url, scheme, n) != 0 && strstr(url, "://"))
                return err_set(e, ERR_INVALID, "--from: allowed is sqlite:/// and a file's path");
        const char *path = strncmp(url, scheme, n) == 0 ? url + n : url;
        bool rooted = path != url && access(path, F_OK);
        int len = snprintf(out, PATH_MAX, "%s%s", rooted && *path != '/' ? "/" : "", path);
        return len >= PATH_MAX ? err_set(e, ERR_INVALID, "--from: the path is too long") : 0;
}

static int find_source(struct copy *k, struct err *e)
{
        struct stat st;
        char given[PATH_MAX];
        const char *path = given;
        if (k->o->from) {
                if (path_of_url(k->o->from, given, e))
                        return -1;
        } else if (!(path = k->c->database_path)) {
                return err_set(e, ERR_INVALID, "--from is needed: DATABASE_URL names no SQLite catalog");
        }
        bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
        char whole[PATH_MAX + 16];
        snprintf(whole, sizeof whole, "%s%s", path, folder ? "/catalog.db" : "");
        if (!realpath(whole, k->path))
                return errno == ENOENT ? err_set(e, ERR_NOT_FOUND, "there is no catalog at %.160s", whole)
                                       : err_errno(e, errno, "cannot open %.160s", whole);
        if (!k->o->from && realpath(k->c->data_path, k->data))
                return 0;
        snprintf(k->data, sizeof k->data, "%s", k->path);
        char *slash = strrchr(k->data, '/');
        slash[slash == k->data] = '\0';
        return 0;
}

static int find_target(struct copy *k, struct err *e)
{
        const char *to = k->o->to ? k->o->to : k->c->database_path ? NULL : k->c->database_url;
        if (!to || strncmp(to, "postgres", 8) != 0)
                return err_set(e, ERR_INVALID, "--to: allowed is postgresql://user@host/database");
        k->r.to = k->to;
        return app_url_shown(to, k->to, sizeof k->to) ? err_set(e, ERR_INVALID, "--to: the address is too long") : 0;
}

/* ---- storages ----------------------------------------------------------------------------------- */

static int place_open(struct copy *k, struct place *p, bool read_only, struct err *e)
{
        if (app_spool_apart(k->c, true, k->spool, &p->opts, e))
                return -1;
        p->opts.read_only = read_only;
        return storage_open(&p->opts, &p->s, e);
}

static void place_name(struct copy *k, struct place *p, const char *text)
{
        app_storage_opts(k->c, p->role_url, &p->opts);
        p->opts.s3.write_back = false; /* objects reported as copied are in the store itself */
        bool s3 = strncmp(text, "s3://", 5) == 0;
        snprintf(p->path, sizeof p->path, "%s", strncmp(text, "fs://", 5) == 0 ? text + 5 : text);
        p->opts.url = s3 ? p->path : "fs://";
        p->opts.path = p->path;
        snprintf(p->shown, sizeof p->shown, "%s%s", s3 ? "" : "fs://", p->path);
}

static void find_storage(struct copy *k)
{
        char beside[PATH_MAX + 16];
        snprintf(beside, sizeof beside, "%s/storage", k->data);
        bool fs = strncmp(k->c->storage_backend, "fs://", 5) == 0;
        const char *set = fs ? k->c->storage_path : k->c->storage_backend;
        const char *text = k->o->storage_from                        ? k->o->storage_from
                           : k->o->from && access(beside, F_OK) == 0 ? beside
                                                                     : set;
        place_name(k, &k->from_place, text);
        k->r.storage_from = k->from_place.shown;
        if (!k->o->storage_to)
                return;
        place_name(k, &k->to_place, k->o->storage_to);
        k->r.storage_to = k->to_place.shown;
}

/* ---- steps ---------------------------------------------------------------------------------------- */

static int next_object(void *ctx, struct objects_item *out, struct err *e)
{
        return keep_copy_object(((struct copy *)ctx)->catalog, &out->key, &out->size, out->products,
                                sizeof out->products, e);
}

static void objects_progress(void *ctx, const struct objects_report *r)
{
        struct copy *k = ctx;
        if (k->o->progress)
                k->o->progress(k->o->ctx, k->to_place.s ? "copying objects" : "checking objects", r->seen, k->objects);
}

static void objects_bad(void *ctx, const char *why)
{
        struct copy *k = ctx;
        if (k->o->bad)
                k->o->bad(k->o->ctx, why);
}

static int run_objects(struct copy *k, struct storage *from, struct storage *to, bool hash, struct objects_report *r,
                       struct err *e)
{
        struct objects_opts oo = {.from = from,
                                  .to = to,
                                  .hash = hash,
                                  .threads = k->o->threads,
                                  .next = next_object,
                                  .progress = objects_progress,
                                  .bad = objects_bad,
                                  .ctx = k};
        return objects_run(&oo, r, e);
}

/* The target is opened anew to be read back: a copy in its spool would prove nothing. */
static int check_target_again(struct copy *k, struct err *e)
{
        struct objects_report again;
        storage_close(k->to_place.s);
        k->to_place.s = NULL;
        if (place_open(k, &k->to_place, true, e))
                return -1;
        struct storage *s = k->to_place.s;
        k->to_place.s = NULL; /* for the progress: this is a check */
        int rc = run_objects(k, s, NULL, true, &again, e);
        storage_close(s);
        k->r.objects.hashed = again.hashed;
        if (again.bad > k->r.objects.bad)
                k->r.objects.bad = again.bad;
        return rc;
}

static bool moves_objects(const struct copy *k)
{
        return k->o->storage_to && !k->o->dry_run;
}

static int do_objects(struct copy *k, struct err *e)
{
        bool hash = k->o->verify && !moves_objects(k) && !k->o->dry_run;
        if (run_objects(k, k->from_place.s, k->to_place.s, hash, &k->r.objects, e))
                return -1;
        return moves_objects(k) && k->o->verify ? check_target_again(k, e) : 0;
}

static int open_catalogs(struct copy *k, struct err *e)
{
        const struct keep_copy_opts co = {.from = k->path,
                                          .to = k->o->to ? k->o->to : k->c->database_url,
                                          .password = k->c->db_password,
                                          .progress = k->o->progress,
                                          .ctx = k->o->ctx};
        if (keep_copy_open(&co, &k->catalog, e))
                return -1;
        k->r.found = keep_copy_state(k->catalog);
        k->r.mended = keep_copy_mended(k->catalog);
        k->r.tables = keep_copy_tables(k->catalog, &k->r.ntables);
        for (size_t i = 0; i < k->r.ntables; i++)
                if (strcmp(k->r.tables[i].name, "object") == 0)
                        k->objects = k->r.tables[i].rows;
        return 0;
}

/* Everything that can be refused is checked before anything is changed. */
static int run_copy(struct copy *k, struct err *e)
{
        if (open_catalogs(k, e) || place_open(k, &k->from_place, true, e) ||
            (moves_objects(k) && place_open(k, &k->to_place, false, e)))
                return -1;
        if (k->o->dry_run)
                return do_objects(k, e);
        if (keep_copy_load(k->catalog, e) || do_objects(k, e) || keep_copy_verify(k->catalog, &k->r.equal, e))
                return -1;
        k->r.compared = true;
        k->r.groups = keep_copy_groups(k->catalog, &k->r.ngroups);
        return k->r.equal ? keep_copy_finish(k->catalog, e) : 0;
}

/* A running server would go on acknowledging uploads that the copy has not seen. */
static int hold_source(struct copy *k, struct err *e)
{
        struct err why = {0};
        if (app_data_lock_if_any(k->data, &k->lock_fd, &why) == 0)
                return 0;
        return err_set(e, why.code, "%s%s", why.msg,
                       why.code == ERR_CONFLICT ? ": stop the server, and copy what it leaves" : "");
}

int app_copy(const struct config *c, const struct app_copy_opts *opts, struct err *e)
{
        if (metrics_init()) /* the rooms below count */
                return err_oom(e);
        struct copy *k = mem_calloc(1, sizeof *k);
        if (!k) {
                metrics_done();
                return err_oom(e);
        }
        k->c = c;
        k->o = opts;
        k->lock_fd = -1;
        int rc = find_source(k, e) || find_target(k, e) || hold_source(k, e) ? -1 : 0;
        if (rc == 0) {
                k->r.from = k->path;
                find_storage(k);
                rc = run_copy(k, e);
        }
        if (rc == 0)
                opts->report(opts->ctx, &k->r);
        keep_copy_close(k->catalog);
        storage_close(k->from_place.s);
        storage_close(k->to_place.s);
        if (*k->spool)
                rmdir(k->spool);
        fd_close(&k->lock_fd);
        mem_free(k);
        metrics_done();
        return rc;
}
