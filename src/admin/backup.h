/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backups of an installation in a folder: the catalog as it was at one moment, and every object that it referred to
 * then. Objects are shared by all backups of the folder, every file is proven by a hash, and a folder without a
 * manifest is no backup. docs/internals/backup.md has the layout and the reasons.
 */
#ifndef FA_BACKUP_H
#define FA_BACKUP_H

#include "admin/objects.h"

struct json_out;

#define BACKUP_FORMAT   1
#define BACKUP_NAME_LEN 32

struct backup_info { /* the contents of a manifest, without its list of files */
        char name[BACKUP_NAME_LEN];
        char program[32], engine[16];
        struct wall taken;
        int schema_version;
        bool complete; /* no object that the snapshot refers to was missing or damaged */
        bool derived;  /* made with thumbnails and previews */
        uint64_t files, trash, folders, tasks, failed, keys;
        uint64_t objects, object_bytes;
        uint64_t missing, gone; /* gone: purged since the snapshot, or unreferenced and collected */
};
/* All the counts, as members of the object that is open in j. */
void backup_put_counts(struct json_out *j, const struct backup_info *b);

typedef void backup_progress_fn(void *ctx, const char *what, uint64_t done, uint64_t total);
typedef void backup_say_fn(void *ctx, const char *what); /* a line about something that is wrong */

struct backup_create_opts {
        const char *dir;
        const char *catalog_url, *catalog_password;
        const char *program; /* its version */
        struct storage *storage;
        unsigned threads, keep; /* keep 0: all */
        bool verify;            /* hash also the objects that are there already */
        bool no_derived;
        struct dur patience; /* time to wait for objects that an instance has yet to send to the store */
        backup_progress_fn *progress;
        backup_say_fn *say;
        void *ctx;
};
struct backup_created {
        struct backup_info info;
        struct objects_report objects;
        unsigned snapshots; /* more than one: files were purged meanwhile, and it began again */
        uint64_t removed_backups, removed_objects, removed_bytes;
        bool not_removed; /* old backups were not removed: somebody reads the folder */
};
/*
 * 0 also when objects were missing or damaged at the source: then info.complete is false. ERR_CONFLICT: another
 * backup is under way. After a failure there is no backup, not a partial one.
 */
int backup_create(const struct backup_create_opts *o, struct backup_created *out, struct err *e) MUST_CHECK;

/* Newest first. A backup that cannot be read is reported through say and left out. */
typedef int backup_list_fn(void *ctx, const struct backup_info *b, struct err *e);
int backup_list(const char *dir, backup_list_fn *fn, backup_say_fn *say, void *ctx, struct err *e) MUST_CHECK;

struct backup_verify_opts {
        const char *dir, *name; /* name NULL: all of them */
        unsigned threads;
        backup_progress_fn *progress;
        backup_say_fn *say; /* each thing that is wrong */
        void *ctx;
};
struct backup_verified {
        uint64_t backups, incomplete; /* read; of them honest about what they lack */
        uint64_t wrong;               /* manifests, catalog files and lists */
        struct objects_report objects;
};
/* 0 also when something is wrong: see wrong and objects.bad. */
int backup_verify(const struct backup_verify_opts *o, struct backup_verified *out, struct err *e) MUST_CHECK;

struct backup_restore_opts {
        const char *dir, *name; /* name NULL: the newest that is complete */
        const char *catalog_url, *catalog_password;
        const char *data_path; /* there, and locked by the caller */
        /* ERR_NOT_FOUND: read-only, and there is none yet. */
        int (*open_storage)(void *ctx, bool read_only, struct storage **out, struct err *e);
        unsigned threads;
        bool dry_run, verify; /* of a dry run: read every byte */
        bool reuse;           /* a storage that holds something already is taken, its objects hashed */
        bool partial;         /* go on without objects that are missing or damaged */
        bool no_derived;
        backup_progress_fn *progress;
        backup_say_fn *say;
        void *ctx;
};
struct backup_restored {
        struct backup_info info;
        struct objects_report objects; /* of a dry run: those of the backup, checked */
        bool again;                    /* an interrupted restore is continued, or there is nothing to do */
        bool done_before;
        uint64_t free_bytes; /* of the storage's disk; 0: unknown */
};
/* Restores into an empty installation; nothing is changed before everything that can be refused was checked. */
int backup_restore(const struct backup_restore_opts *o, struct backup_restored *out, struct err *e) MUST_CHECK;

/* Before a server starts on this folder. ERR_CONFLICT: a restore into it was not finished. */
int backup_restore_check(const char *data_path, struct err *e) MUST_CHECK;

#endif
