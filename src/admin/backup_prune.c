/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removing old backups, and then the objects that no other backup refers to. The hard thing is never to remove one
 * too many: every remaining backup must be readable to its last line, with its list proven by its hash, or no object
 * is removed.
 */
#include "admin/backup_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct prune {
        struct backup_dir *dir;
        struct backup_created *out;
        struct storage *storage;
        struct list_merge *named;
        struct list_line line; /* the next that is named */
        bool has;
        struct sha256 *keys; /* of one of the 256 folders */
        size_t nkeys, cap;
};

int backup_sweep(const struct backup_dir *d, struct err *e)
{
        char(*names)[BACKUP_NAME_LEN];
        struct stat st;
        size_t n;
        int rc = backup_names(d, &names, &n, e);

        for (size_t i = 0; i < n && rc == 0; i++) {
                char path[PATH_MAX];
                backup_path(path, d, names[i], MANIFEST);
                if (stat(path, &st) && errno == ENOENT)
                        rc = backup_remove(d, names[i], e);
        }
        mem_free(names);
        return rc;
}

/* ---- backups ---------------------------------------------------------------------------------- */

static int keep_one(struct prune *p, const struct manifest *m, struct err *e)
{
        const struct backup_file *f = backup_manifest_file(m, OBJECTS_LIST);
        struct sha256 hash;
        char path[PATH_MAX];
        uint64_t size;

        backup_path(path, p->dir, m->info.name, OBJECTS_LIST);
        if (keep_backup_hash(path, &hash, &size, e))
                return -1;
        if (size != f->size || !sha256_eq(hash, f->hash))
                return err_set(e, ERR_CORRUPT,
                               "backup %s: " OBJECTS_LIST " is damaged: no object can be removed from this folder",
                               m->info.name);
        return merge_add(p->named, path, e);
}

/* Counted from the newest: backups older than the keep-th complete one are removed. */
static int remove_old(struct prune *p, unsigned keep, struct err *e)
{
        struct manifest *m = mem_alloc(sizeof *m);
        char(*names)[BACKUP_NAME_LEN] = NULL;
        size_t n = 0;
        unsigned kept = 0;
        int rc = m ? backup_names(p->dir, &names, &n, e) : err_oom(e);

        while (n-- > 0 && rc == 0) {
                if (kept == keep) {
                        rc = backup_remove(p->dir, names[n], e);
                        p->out->removed_backups++;
                        continue;
                }
                rc = backup_manifest_read(p->dir, names[n], m, e);
                if (rc == 0)
                        rc = keep_one(p, m, e);
                kept += rc == 0 && m->info.complete;
        }
        mem_free(names);
        mem_free(m);
        return rc;
}

/* ---- objects -------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
        return memcmp(a, b, sizeof(struct sha256));
}

static int read_shard(struct prune *p, unsigned shard, struct err *e)
{
        char path[PATH_MAX];
        struct dirent *x;
        struct sha256 key;
        DIR *dir;
        int rc = 0;

        snprintf(path, sizeof path, "%.*s/objects/%02x", PATH_MAX - 32, p->dir->path, shard);
        dir = opendir(path);
        p->nkeys = 0;
        if (!dir)
                return errno == ENOENT ? 0 : err_errno(e, errno, "cannot read %.160s", path);
        while (rc == 0 && (x = readdir(dir)) != NULL) {
                if (!sha256_parse(span_of(x->d_name), &key) || key.b[0] != shard)
                        continue;
                if (mem_grow((void **)&p->keys, &p->cap, p->nkeys + 1, sizeof key))
                        rc = err_oom(e);
                else
                        p->keys[p->nkeys++] = key;
        }
        closedir(dir);
        if (p->nkeys)
                qsort(p->keys, p->nkeys, sizeof key, by_key);
        return rc;
}

static int next_named(struct prune *p, struct err *e)
{
        int rc = merge_next(p->named, &p->line, e);

        p->has = rc > 0;
        return rc < 0 ? -1 : 0;
}

static int remove_object(struct prune *p, struct sha256 key, struct err *e)
{
        char path[PATH_MAX], hex[SHA256_TEXT_LEN];
        struct stat st;

        snprintf(path, sizeof path, "%.*s/objects/%02x/%s", PATH_MAX - 128, p->dir->path, key.b[0],
                 sha256_format(key, hex));
        if (stat(path, &st) == 0)
                p->out->removed_bytes += (uint64_t)st.st_size;
        p->out->removed_objects++;
        return storage_remove_object(p->storage, key, e);
}

static int remove_unnamed(struct prune *p, struct err *e)
{
        int rc = next_named(p, e);

        for (unsigned shard = 0; shard < 256 && rc == 0; shard++) {
                rc = read_shard(p, shard, e);
                for (size_t i = 0; i < p->nkeys && rc == 0; i++) {
                        while (rc == 0 && p->has && key_cmp(p->line.key, p->keys[i]) < 0)
                                rc = next_named(p, e);
                        if (rc == 0 && (!p->has || key_cmp(p->line.key, p->keys[i]) != 0))
                                rc = remove_object(p, p->keys[i], e);
                }
        }
        return rc;
}

int backup_prune(struct backup_dir *d, unsigned keep, struct backup_created *out, struct err *e)
{
        struct prune p = {.dir = d, .out = out};
        int rc = backup_dir_alone(d, e);

        out->not_removed = rc == 0;
        if (rc <= 0)
                return rc;
        rc = merge_new(&p.named, e);
        if (rc == 0)
                rc = remove_old(&p, keep, e);
        if (rc == 0)
                rc = backup_dir_storage(d, false, &p.storage, e);
        if (rc == 0)
                rc = remove_unnamed(&p, e);
        storage_close(p.storage);
        merge_free(p.named);
        mem_free(p.keys);
        return rc;
}
