/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making a backup. The hard thing is the time between the snapshot of the catalog and the copy of the last object,
 * during which the service goes on: later uploads are not in the snapshot, and objects purged meanwhile are missing
 * at the source. So missing objects are tried again, then the live catalog is asked whether an asset still refers to
 * them. If none does although the snapshot does, a new snapshot is taken. Only objects that are still referred to
 * make a backup incomplete.
 */
#include "admin/backup_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SNAPSHOTS 3
#define LOST_MAX  100000 /* more missing objects are no accident: it is the wrong storage */
#define SAID_MAX  100    /* missing objects reported one by one; absent.txt lists all */
#define WANTED    "wanted.txt"

struct lost {
        struct sha256 key;
        uint64_t size;
        char *products;
        bool again, gone, found; /* found: at the second try */
};

struct create {
        const struct backup_create_opts *o;
        struct backup_created *out;
        struct backup_dir dir;
        struct storage *to;
        struct manifest m;
        char folder[PATH_MAX];
        struct list_writer *wanted; /* while the snapshot is taken */
        struct list_reader *list;   /* while objects are copied */
        uint64_t wanted_count;
        struct lost *lost;
        size_t nlost, lost_cap, next_lost;
};

static void report_progress(struct create *k, const char *what, uint64_t done, uint64_t total)
{
        if (k->o->progress)
                k->o->progress(k->o->ctx, what, done, total);
}

/* ---- the snapshot ----------------------------------------------------------------------------- */

static int put_wanted(void *ctx, const struct keep_backup_object *o, struct err *e)
{
        struct create *k = ctx;
        struct list_line line = {.key = o->key, .size = o->size};

        if (o->orphan)
                snprintf(line.word, sizeof line.word, LIST_ORPHAN);
        else
                list_set_products(&line, o->products);
        k->wanted_count++;
        return list_put(k->wanted, &line, e);
}

static void catalog_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
        report_progress(ctx, what, done, total);
}

static int make_folder(struct create *k, struct err *e)
{
        char above[PATH_MAX];

        backup_name_new(wall_now(), k->m.info.name);
        backup_path(k->folder, &k->dir, k->m.info.name, NULL);
        snprintf(above, sizeof above, "%.*s/backups", PATH_MAX - 16, k->dir.path);
        if (mkdir(k->folder, 0700))
                return err_errno(e, errno, "cannot make %.160s", k->folder);
        return dir_sync(above, e);
}

static int take_snapshot(struct create *k, struct err *e)
{
        const struct keep_backup_opts co = {.url = k->o->catalog_url,
                                            .password = k->o->catalog_password,
                                            .progress = catalog_progress,
                                            .object = put_wanted,
                                            .ctx = k};
        int rc;

        k->wanted_count = 0;
        if (make_folder(k, e) || list_create(k->folder, WANTED, &k->wanted, e))
                return -1;
        rc = keep_backup_take(&co, k->folder, &k->m.catalog, e);
        if (rc == 0)
                rc = list_finish(k->wanted, e);
        list_abandon(k->wanted);
        k->wanted = NULL;
        k->out->snapshots++;
        return rc;
}

/* ---- objects ------------------------------------------------------------------------------------ */

static int next_wanted(void *ctx, struct objects_item *out, struct err *e)
{
        struct create *k = ctx;
        struct list_line line;
        int rc = list_next(k->list, &line, e);

        if (rc > 0)
                list_item(&line, out);
        return rc;
}

static int note_lost(void *ctx, const struct objects_item *item, const struct err *why, struct err *e)
{
        struct create *k = ctx;

        (void)why;
        if (k->nlost == LOST_MAX)
                return err_set(e, ERR_NOT_FOUND,
                               "more than %d objects of the catalog are missing or damaged: is this the right storage?",
                               LOST_MAX);
        if (mem_grow((void **)&k->lost, &k->lost_cap, k->nlost + 1, sizeof *k->lost))
                return err_oom(e);
        char *products = mem_strdup(item->products);
        if (!products)
                return err_oom(e);
        k->lost[k->nlost++] = (struct lost){.key = item->key, .size = item->size, .products = products};
        return 0;
}

static void forget_lost(struct create *k)
{
        for (size_t i = 0; i < k->nlost; i++)
                mem_free(k->lost[i].products);
        k->nlost = 0;
}

static void objects_progress(void *ctx, const struct objects_report *r)
{
        struct create *k = ctx;

        report_progress(k, "copying objects", r->seen, k->wanted_count);
}

static struct objects_opts copy_opts(struct create *k)
{
        return (struct objects_opts){.from = k->o->storage,
                                     .to = k->to,
                                     .hash = k->o->verify,
                                     .replace = true,
                                     .derived = k->o->no_derived ? DERIVED_NONE : DERIVED_ALL,
                                     .threads = k->o->threads,
                                     .progress = objects_progress,
                                     .ctx = k};
}

static int copy_objects(struct create *k, struct err *e)
{
        struct objects_opts oo = copy_opts(k);
        char path[PATH_MAX];
        int rc;

        oo.next = next_wanted;
        oo.lost = note_lost;
        backup_path(path, &k->dir, k->m.info.name, WANTED);
        if (list_open(path, &k->list, e))
                return -1;
        rc = objects_run(&oo, &k->out->objects, e);
        list_close(k->list);
        k->list = NULL;
        return rc;
}

/* ---- what was missing ------------------------------------------------------------------------------ */

static int by_key(const void *a, const void *b)
{
        return key_cmp(((const struct lost *)a)->key, ((const struct lost *)b)->key);
}

static struct lost *lost_find(struct create *k, struct sha256 key)
{
        const struct lost want = {.key = key};

        return k->nlost ? bsearch(&want, k->lost, k->nlost, sizeof *k->lost, by_key) : NULL;
}

static int next_again(void *ctx, struct objects_item *out, struct err *e)
{
        struct create *k = ctx;

        (void)e;
        while (k->next_lost < k->nlost && (k->lost[k->next_lost].found || k->lost[k->next_lost].gone))
                k->next_lost++;
        if (k->next_lost == k->nlost)
                return 0;
        k->lost[k->next_lost].found = true; /* unless it is lost again */
        const struct lost *l = &k->lost[k->next_lost++];
        out->key = l->key;
        out->size = l->size;
        snprintf(out->products, sizeof out->products, "%s", l->products);
        return 1;
}

static int lost_again(void *ctx, const struct objects_item *item, const struct err *why, struct err *e)
{
        (void)why;
        (void)e;
        lost_find(ctx, item->key)->found = false;
        return 0;
}

/* Tries objects not found so far once more. */
static int try_again(struct create *k, struct err *e)
{
        struct objects_opts oo = copy_opts(k);
        struct objects_report r;
        int rc;

        oo.next = next_again;
        oo.lost = lost_again;
        oo.progress = NULL;
        k->next_lost = 0;
        rc = objects_run(&oo, &r, e);
        k->out->objects.copied += r.copied;
        k->out->objects.copied_bytes += r.copied_bytes;
        k->out->objects.derived += r.derived;
        k->out->objects.bad = r.bad;
        return rc;
}

/* Asks the live catalog which of them are still referred to. */
static int ask_if_wanted(struct create *k, struct err *e)
{
        struct sha256 *keys = mem_calloc(k->nlost, sizeof *keys);
        bool *yes = mem_calloc(k->nlost, sizeof *yes);
        int rc = keys && yes ? 0 : err_oom(e);

        for (size_t i = 0; i < k->nlost && rc == 0; i++)
                keys[i] = k->lost[i].key;
        if (rc == 0)
                rc = keep_backup_refers(k->o->catalog_url, k->o->catalog_password, keys, k->nlost, yes, e);
        for (size_t i = 0; i < k->nlost && rc == 0; i++)
                k->lost[i].gone = !k->lost[i].found && !yes[i];
        mem_free(keys);
        mem_free(yes);
        return rc;
}

static size_t still_lost(const struct create *k)
{
        size_t n = 0;

        for (size_t i = 0; i < k->nlost; i++)
                n += !k->lost[i].found && !k->lost[i].gone;
        return n;
}

/*
 * An upload may store the same bytes between the question and the answer, and an instance may still have to send
 * objects that it acknowledged: hence objects are tried again, for as long as the caller's patience lasts.
 */
static int settle_lost(struct create *k, struct err *e)
{
        struct mono until = mono_add(mono_now(), k->o->patience);
        struct dur rest = dur_ms(200);

        if (k->nlost == 0)
                return 0;
        qsort(k->lost, k->nlost, sizeof *k->lost, by_key);
        sleep_for(rest);
        if (try_again(k, e) || ask_if_wanted(k, e))
                return -1;
        while (still_lost(k) > 0) {
                report_progress(k, "waiting for objects", 0, still_lost(k));
                if (try_again(k, e))
                        return -1;
                if (mono_reached(until))
                        break;
                rest = rest.ns < dur_s(2).ns ? (struct dur){rest.ns * 2} : rest;
                sleep_for(rest);
                if (ask_if_wanted(k, e))
                        return -1;
        }
        k->out->objects.bad = still_lost(k);
        return 0;
}

/* ---- the two lists ------------------------------------------------------------------------------------ */

/* Referred to by the snapshot and purged since then: a new snapshot leaves nothing to explain. */
static bool purged_since(struct create *k, const struct list_line *line)
{
        const struct lost *l = lost_find(k, line->key);

        return l && l->gone && strcmp(line->word, LIST_ORPHAN) != 0;
}

static void say_missing(struct create *k, const struct list_line *line)
{
        char hex[SHA256_TEXT_LEN], text[160];

        snprintf(text, sizeof text, "object %s (%llu bytes) is missing or damaged at the source",
                 sha256_format(line->key, hex), (unsigned long long)line->size);
        if (k->o->say)
                k->o->say(k->o->ctx, text);
}

static int sort_line(struct create *k, struct list_line *line, struct list_writer *present, struct list_writer *absent,
                     struct err *e)
{
        struct backup_info *b = &k->m.info;
        const struct lost *l = lost_find(k, line->key);

        if (!l || l->found) {
                b->objects++;
                b->object_bytes += line->size;
                return list_put(present, line, e);
        }
        if (l->gone)
                b->gone++;
        else
                b->missing++;
        if (!l->gone && b->missing <= SAID_MAX)
                say_missing(k, line);
        snprintf(line->word, sizeof line->word, "%s", l->gone ? "gone" : "missing");
        return list_put(absent, line, e);
}

/* Goes through the wanted objects once more; *again is set, and nothing written, when a new snapshot is better. */
static int walk_wanted(struct create *k, struct list_writer *present, struct list_writer *absent, bool *again,
                       struct err *e)
{
        struct list_line line;
        char path[PATH_MAX];
        int rc;

        backup_path(path, &k->dir, k->m.info.name, WANTED);
        if (list_open(path, &k->list, e))
                return -1;
        while ((rc = list_next(k->list, &line, e)) > 0) {
                if (again)
                        *again |= purged_since(k, &line);
                else if (sort_line(k, &line, present, absent, e))
                        rc = -1;
                if (rc < 0)
                        break;
        }
        list_close(k->list);
        k->list = NULL;
        return rc;
}

static int write_lists(struct create *k, struct err *e)
{
        struct list_writer *present = NULL, *absent = NULL;
        char path[PATH_MAX];
        int rc = -1;

        if (list_create(k->folder, OBJECTS_LIST, &present, e) == 0 &&
            list_create(k->folder, ABSENT_LIST, &absent, e) == 0 && walk_wanted(k, present, absent, NULL, e) == 0 &&
            list_finish(present, e) == 0)
                rc = list_finish(absent, e);
        list_abandon(present);
        list_abandon(absent);
        backup_path(path, &k->dir, k->m.info.name, WANTED);
        if (rc == 0 && unlink(path))
                rc = err_errno(e, errno, "cannot remove %.160s", path);
        return rc;
}

/* ---- the manifest ----------------------------------------------------------------------------------------- */

static int add_file(struct create *k, const char *name, struct err *e)
{
        struct backup_file *f = &k->m.files[k->m.nfiles++];
        char path[PATH_MAX];

        assert(k->m.nfiles <= FILES_MAX);
        snprintf(f->name, sizeof f->name, "%s", name);
        backup_path(path, &k->dir, k->m.info.name, name);
        return keep_backup_hash(path, &f->hash, &f->size, e);
}

static int add_files(struct create *k, struct err *e)
{
        const struct keep_backup *c = &k->m.catalog;
        char name[80];
        int rc = 0;

        report_progress(k, "hashing the catalog", 0, 0);
        if (c->ntables == 0)
                rc = add_file(k, KEEP_BACKUP_FILE, e);
        for (size_t i = 0; i < c->ntables && rc == 0; i++) {
                snprintf(name, sizeof name, "%s" KEEP_BACKUP_SUFFIX, c->tables[i].name);
                rc = add_file(k, name, e);
        }
        return rc < 0 || add_file(k, OBJECTS_LIST, e) || add_file(k, ABSENT_LIST, e) ? -1 : 0;
}

static void fill_info(struct create *k)
{
        const struct keep_backup *c = &k->m.catalog;
        struct backup_info *b = &k->m.info;

        snprintf(b->program, sizeof b->program, "%s", k->o->program);
        snprintf(b->engine, sizeof b->engine, "%s", c->engine);
        b->taken = c->taken;
        b->schema_version = c->schema_version;
        b->derived = !k->o->no_derived;
        b->files = c->files;
        b->trash = c->trash;
        b->folders = c->folders;
        b->tasks = c->tasks;
        b->failed = c->failed;
        b->keys = c->keys;
}

/* ---- all of it --------------------------------------------------------------------------------------------- */

/* One snapshot with its objects. 1: files were purged meanwhile, another one is better; 0; -1. */
static int attempt_backup(struct create *k, struct err *e)
{
        bool again = false;

        k->m = (struct manifest){0};
        forget_lost(k);
        k->out->objects = (struct objects_report){0};
        if (take_snapshot(k, e) || copy_objects(k, e) || settle_lost(k, e) || walk_wanted(k, NULL, NULL, &again, e))
                return -1;
        if (!again || k->out->snapshots == SNAPSHOTS)
                return 0;
        return backup_remove(&k->dir, k->m.info.name, e) ? -1 : 1;
}

static int make_backup(struct create *k, struct err *e)
{
        int rc = 1;

        if (backup_dir_make(&k->dir, k->o->dir, e) || backup_sweep(&k->dir, e) ||
            backup_dir_storage(&k->dir, false, &k->to, e))
                return -1;
        while (rc > 0)
                rc = attempt_backup(k, e);
        if (rc < 0 || write_lists(k, e) || add_files(k, e))
                return -1;
        fill_info(k);
        k->m.info.complete = k->m.info.missing == 0;
        return backup_manifest_write(&k->dir, &k->m, e);
}

/* Frees the space of a failed backup's catalog; its objects serve the next backup. */
static int give_up(struct create *k, struct err *e)
{
        struct err why = *e, ignored;
        int left = k->m.info.name[0] ? backup_remove(&k->dir, k->m.info.name, &ignored) : 0;

        (void)left; /* swept by the next one */
        if (why.code == ERR_NO_SPACE)
                err_set(e, ERR_NO_SPACE, "%.90s is full, there is no new backup: %.100s", k->o->dir, why.msg);
        return -1;
}

int backup_create(const struct backup_create_opts *o, struct backup_created *out, struct err *e)
{
        struct create *k = mem_calloc(1, sizeof *k);
        int rc;

        *out = (struct backup_created){0};
        if (!k)
                return err_oom(e);
        k->o = o;
        k->out = out;
        rc = make_backup(k, e);
        storage_close(k->to);
        if (rc < 0)
                rc = give_up(k, e);
        else
                out->info = k->m.info;
        /* An incomplete backup is no reason to remove the complete ones before it. */
        if (rc == 0 && o->keep && out->info.complete)
                rc = backup_prune(&k->dir, o->keep, out, e);
        backup_dir_close(&k->dir);
        forget_lost(k);
        mem_free(k->lost);
        mem_free(k);
        return rc;
}
