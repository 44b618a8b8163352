/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Backup of a catalog into files in a folder, taken from a live catalog in one transaction, and their restoration
 * into an empty place. SQLite: one file, catalog.db, which SQLite can open. PostgreSQL: one file per table,
 * <table>.copy, in PostgreSQL's binary COPY format.
 */
#ifndef FA_KEEP_BACKUP_H
#define FA_KEEP_BACKUP_H

#include "base/base.h"

#define KEEP_BACKUP_FILE   "catalog.db"
#define KEEP_BACKUP_SUFFIX ".copy"
#define KEEP_BACKUP_TABLES 48

struct keep_backup_table {
        char name[48], columns[480], order[64]; /* as they go into statements: [a-z0-9_, ] */
        uint64_t rows;
        struct sha256 hash; /* of its file; not filled by the snapshot */
};

struct keep_backup {
        const char *engine; /* "sqlite", "postgresql" */
        int schema_version;
        int64_t origin;    /* when the catalog was created: identifies it */
        struct wall taken; /* everything committed before this time is included */
        uint64_t files, trash, folders, tasks, failed, keys;
        struct keep_backup_table tables[KEEP_BACKUP_TABLES]; /* of PostgreSQL */
        size_t ntables;
};

struct keep_backup_object {
        struct sha256 key;
        uint64_t size;
        bool orphan;          /* no asset refers to it, so its bytes may be removed at any time */
        const char *products; /* its products, see model.h; "" when they are not known */
};
/* Ordered by key. -1 ends the walk. */
typedef int keep_backup_object_fn(void *ctx, const struct keep_backup_object *o, struct err *e);

struct keep_backup_opts {
        const char *url, *password; /* as those of struct catalog_opts */
        void (*progress)(void *ctx, const char *what, uint64_t done,
                         uint64_t total); /* total 0: unknown; may be NULL */
        keep_backup_object_fn *object;    /* called once for each object of the snapshot */
        void *ctx;
};

/*
 * Writes the snapshot's files into dir, synced, and reports its objects. The catalog may be in use, by this or
 * another process; it is only read. Leased tasks are ready in the copy, as if their workers had given them back.
 * ERR_CORRUPT: the catalog is damaged. ERR_CONFLICT: it has another schema version, or a copy into it is unfinished.
 */
int keep_backup_take(const struct keep_backup_opts *opts, const char *dir, struct keep_backup *out,
                     struct err *e) MUST_CHECK;
/* Sets yes[i] to whether an asset refers to object i at this moment. */
int keep_backup_refers(const char *url, const char *password, const struct sha256 *keys, size_t n, bool *yes,
                       struct err *e) MUST_CHECK;
/*
 * Reports the objects listed in the files in dir, ordered by key, without products. The caller has checked the files'
 * hashes.
 */
int keep_backup_objects(const struct keep_backup *b, const char *dir, keep_backup_object_fn *fn, void *ctx,
                        struct err *e) MUST_CHECK;

/* Hash and size of a whole file. */
int keep_backup_hash(const char *path, struct sha256 *hash, uint64_t *size, struct err *e) MUST_CHECK;

/* ---- putting it back ------------------------------------------------------------------- */

struct keep_restore_opts {
        const char *url, *password;
        const struct keep_backup *backup; /* with the tables' hashes */
        const char *dir;                  /* folder of the files, whose hashes were checked */
        size_t batch_bytes;               /* a transaction ends after this many bytes; 0: 16 MiB */
        void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
        void *ctx;
};

enum keep_restore_state { RESTORE_EMPTY, RESTORE_BEGUN, RESTORE_DONE };
/*
 * Whether this backup can be restored to that place; changes nothing. ERR_CONFLICT: the place holds something else
 * (the message says what), or the backup is newer than this program. RESTORE_DONE: this backup has been restored
 * there completely.
 */
int keep_restore_look(const struct keep_restore_opts *opts, enum keep_restore_state *out, struct err *e) MUST_CHECK;
/*
 * Restores the backup durably. After an interruption it can be called again; no server starts on an unfinished
 * restore.
 */
int keep_restore(const struct keep_restore_opts *opts, struct err *e) MUST_CHECK;

#endif
