/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A catalog as files in a folder, taken from a live one in one transaction, and
 * put back into an empty place. SQLite: one file, catalog.db, that SQLite opens.
 * PostgreSQL: a file a table, <table>.copy, in its binary COPY format.
 */
#ifndef FA_CATALOG_BACKUP_H
#define FA_CATALOG_BACKUP_H

#include "base/base.h"

#define CATALOG_BACKUP_FILE   "catalog.db"
#define CATALOG_BACKUP_SUFFIX ".copy"
#define CATALOG_BACKUP_TABLES 48

struct catalog_backup_table {
        char name[48], columns[480], order[64]; /* as they go into statements: [a-z0-9_, ] */
        uint64_t rows;
        struct sha256 hash; /* of its file; not filled by the snapshot */
};

struct catalog_backup {
        const char *engine; /* "sqlite", "postgresql" */
        int schema_version;
        int64_t origin;    /* when the catalog was made: tells one from another */
        struct wall taken; /* what was committed before it is in */
        uint64_t files, trash, folders, tasks, failed, keys;
        struct catalog_backup_table tables[CATALOG_BACKUP_TABLES]; /* of PostgreSQL */
        size_t ntables;
};

/* What an object is to the snapshot. ORPHAN: no asset refers to it, so its bytes may go. PICTURE: it has derived files.
 */
enum catalog_backup_use { OBJECT_PLAIN, OBJECT_PICTURE, OBJECT_ORPHAN };
/* Ordered by key. -1 ends the walk. */
typedef int catalog_backup_object_fn(void *ctx, struct sha256 key, uint64_t size, enum catalog_backup_use use,
                                     struct err *e);

struct catalog_backup_opts {
        const char *url, *password; /* as those of struct catalog_opts */
        void (*progress)(void *ctx, const char *what, uint64_t done,
                         uint64_t total); /* total 0: unknown. May be NULL */
        catalog_backup_object_fn *object; /* of the snapshot: each object of the catalog, once */
        void *ctx;
};

/*
 * Writes the snapshot's files into dir, synced, and tells the objects. The
 * catalog may be in use, by this or another process; it is only read. What is
 * leased is ready in the copy, as if its workers had given it back. ERR_CORRUPT:
 * the catalog is damaged. ERR_CONFLICT: of another version, or half copied.
 */
int catalog_backup_take(const struct catalog_backup_opts *opts, const char *dir, struct catalog_backup *out,
                        struct err *e) MUST_CHECK;
/* Whether an asset refers to each object at this moment. */
int catalog_backup_refers(const char *url, const char *password, const struct sha256 *keys, size_t n, bool *yes,
                          struct err *e) MUST_CHECK;
/* The objects that the files in dir know, ordered by key; whoever calls has checked their hashes. */
int catalog_backup_objects(const struct catalog_backup *b, const char *dir, catalog_backup_object_fn *fn, void *ctx,
                           struct err *e) MUST_CHECK;

/* Of a whole file. */
int catalog_backup_hash(const char *path, struct sha256 *hash, uint64_t *size, struct err *e) MUST_CHECK;

/* ---- putting it back ------------------------------------------------------------------- */

struct catalog_restore_opts {
        const char *url, *password;
        const struct catalog_backup *backup; /* with the tables' hashes */
        const char *dir;                     /* whose files were checked */
        size_t batch_bytes;                  /* a transaction ends past so many; 0: 16 MiB */
        void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
        void *ctx;
};

enum catalog_restore_state { RESTORE_EMPTY, RESTORE_BEGUN, RESTORE_DONE };
/*
 * Whether this backup can go to that place; changes nothing. ERR_CONFLICT: it
 * holds something else, the message says what; or the backup is newer than this
 * program. RESTORE_DONE: this backup is there, and was finished.
 */
int catalog_restore_look(const struct catalog_restore_opts *opts, enum catalog_restore_state *out,
                         struct err *e) MUST_CHECK;
/* Puts it there, durably; cut off, it can be called again. No server starts on half of it. */
int catalog_restore(const struct catalog_restore_opts *opts, struct err *e) MUST_CHECK;

#endif
