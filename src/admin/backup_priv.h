/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the backup share. Under its folder DIR:
 *   objects/aa/<sha256>, derived/, tmp/, .file-allocator   a storage like any other
 *   backups/<UTC time>-<id>/   manifest.json, manifest.sha256, objects.txt, absent.txt, and the catalog's files
 *   lock      held by who writes
 *   readers   held by who reads, shared, and alone by who removes
 */
#ifndef FA_BACKUP_PRIV_H
#define FA_BACKUP_PRIV_H

#include "admin/backup.h"
#include "admin/objects.h"
#include "admin/objects_item.h"
#include "json/json.h"
#include "keep/keep_backup.h"
#include "storage/storage.h"

#include <limits.h>

#define MANIFEST     "manifest.json"
#define MANIFEST_SUM "manifest.sha256"
#define OBJECTS_LIST "objects.txt"
#define ABSENT_LIST  "absent.txt"
#define MANIFEST_MAX ((size_t)1 << 20)
#define FILES_MAX    (KEEP_BACKUP_TABLES + 2)

/* ---- the folder (backup_dir.c) ------------------------------------------------------------ */

struct backup_dir {
        const char *path;
        int fd, lock_fd, readers_fd; /* readers_fd -1: there is no such file, so nobody removes */
};
/* Creates the folder if it does not exist; refuses a folder of something else. Takes the writer's lock. */
int backup_dir_make(struct backup_dir *d, const char *path, struct err *e) MUST_CHECK;
/* For reading: shared with other readers, and excluding removal. */
int backup_dir_open(struct backup_dir *d, const char *path, struct err *e) MUST_CHECK;
void backup_dir_close(struct backup_dir *d);
/* For removing: 1, 0 when somebody reads, -1. */
int backup_dir_alone(struct backup_dir *d, struct err *e) MUST_CHECK;
/* The storage in it; read-only for readers, who do not mind what ways of copying leave behind (empty folders, names
 * that begin with a dot). */
int backup_dir_storage(const struct backup_dir *d, bool read_only, struct storage **out, struct err *e) MUST_CHECK;
/* Path of a file of a backup; file NULL: its folder. */
void backup_path(char out[PATH_MAX], const struct backup_dir *d, const char *name, const char *file);
/* Folders under backups/ that are named like backups, oldest first, whatever they hold. *out is the caller's. */
int backup_names(const struct backup_dir *d, char (**out)[BACKUP_NAME_LEN], size_t *n, struct err *e) MUST_CHECK;
void backup_name_new(struct wall at, char out[BACKUP_NAME_LEN]);
bool backup_name_is(const char *name);
int backup_remove(const struct backup_dir *d, const char *name, struct err *e) MUST_CHECK;
/* The file appears under its name, durably, only as a whole. */
int backup_write_file(const char *folder, const char *name, struct span bytes, struct err *e) MUST_CHECK;

/* ---- the manifest (backup_manifest.c) --------------------------------------------------------- */

struct backup_file {
        char name[64];
        uint64_t size;
        struct sha256 hash;
};
struct manifest {
        struct backup_info info;
        struct keep_backup catalog;
        struct backup_file files[FILES_MAX]; /* the lists and the catalog's */
        size_t nfiles;
        struct sha256 hash; /* of the text that was read */
};
/* Written as the last of the backup's files: from then on it is a backup. */
int backup_manifest_write(const struct backup_dir *d, const struct manifest *m, struct err *e) MUST_CHECK;
/* ERR_NOT_FOUND: there is none. ERR_CORRUPT: it is not what manifest.sha256 says. ERR_CONFLICT: of a newer program. */
int backup_manifest_read(const struct backup_dir *d, const char *name, struct manifest *m, struct err *e) MUST_CHECK;
const struct backup_file *backup_manifest_file(const struct manifest *m, const char *name); /* NULL: none */
/* Checks sizes and hashes of all files. Each wrong one is reported through say and counted. */
int backup_manifest_check_files(const struct backup_dir *d, const struct manifest *m, backup_say_fn *say, void *ctx,
                                uint64_t *wrong, struct err *e) MUST_CHECK;
/* Checks that the catalog knows exactly the objects in the lists. The files were checked before. */
int backup_manifest_check_objects(const struct backup_dir *d, const struct manifest *m, backup_say_fn *say, void *ctx,
                                  uint64_t *wrong, struct err *e) MUST_CHECK;

/* ---- lists of objects (backup_list.c) -------------------------------------------------------- */

/*
 * Lines "<sha256> <size>" or "<sha256> <size> <word>", ordered. The word is
 * "orphan", or the object's products with commas between; in absent.txt "gone"
 * or "missing". Backups of 0.1.0 say "picture" for a preview and a thumbnail.
 */
#define LIST_ORPHAN "orphan"
struct list_line {
        struct sha256 key;
        uint64_t size;
        char word[PRODUCTS_MAX]; /* "" none */
};

/* products: as in model.h. */
void list_set_products(struct list_line *line, const char *products);
void list_item(const struct list_line *line, struct objects_item *out);

struct list_writer;
int list_create(const char *folder, const char *name, struct list_writer **out, struct err *e) MUST_CHECK;
int list_put(struct list_writer *w, const struct list_line *line, struct err *e) MUST_CHECK;
int list_finish(struct list_writer *w, struct err *e) MUST_CHECK; /* synced and named */
void list_abandon(struct list_writer *w); /* frees; after list_finish that is all. NULL is fine */

struct list_reader;
int list_open(const char *path, struct list_reader **out, struct err *e) MUST_CHECK;
/* 1, 0 at the end, -1: ERR_CORRUPT also when the order is not kept. */
int list_next(struct list_reader *r, struct list_line *line, struct err *e) MUST_CHECK;
void list_close(struct list_reader *r); /* NULL is fine */

/* Several lists as one, each object once. */
struct list_merge;
int merge_new(struct list_merge **out, struct err *e) MUST_CHECK;
int merge_add(struct list_merge *m, const char *path, struct err *e) MUST_CHECK;
int merge_next(struct list_merge *m, struct list_line *line, struct err *e) MUST_CHECK; /* 1, 0, -1 */
void merge_free(struct list_merge *m);                                                  /* NULL is fine */

static inline int key_cmp(struct sha256 a, struct sha256 b)
{
        return __builtin_memcmp(a.b, b.b, sizeof a.b);
}

/* ---- removing (backup_prune.c) --------------------------------------------------------------------- */

/*
 * Removes backups older than the keep-th newest complete one, leftovers, and then the objects that no backup refers
 * to. Removes nothing while somebody reads.
 */
int backup_prune(struct backup_dir *d, unsigned keep, struct backup_created *out, struct err *e) MUST_CHECK;
/* Folders without a manifest: backups that were cut off. */
int backup_sweep(const struct backup_dir *d, struct err *e) MUST_CHECK;

#endif
