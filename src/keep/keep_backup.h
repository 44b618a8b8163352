/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A catalog as files in a folder, taken from a live one in one transaction, and
 * put back into an empty place. SQLite: one file, catalog.db, that SQLite opens.
 * PostgreSQL: a file a table, <table>.copy, in its binary COPY format.
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
        int64_t origin;    /* when the catalog was made: tells one from another */
        struct wall taken; /* what was committed before it is in */
        uint64_t files, trash, folders, tasks, failed, keys;
        struct keep_backup_table tables[KEEP_BACKUP_TABLES]; /* of PostgreSQL */
        size_t ntables;
};

struct keep_backup_object {
        struct sha256 key;
        uint64_t size;
        bool orphan;          /* no asset refers to it, so its bytes may go */
        const char *products; /* what was made of it, see model.h; "" when that is not told */
};
/* Ordered by key. -1 ends the walk. */
typedef int keep_backup_object_fn(void *ctx, const struct keep_backup_object *o, struct err *e);

struct keep_backup_opts {
        const char *url, *password; /* as those of struct catalog_opts */
        void (*progress)(void *ctx, const char *what, uint64_t done,
                         uint64_t total); /* total 0: unknown. May be NULL */
        keep_backup_object_fn *object;    /* of the snapshot: each object of the catalog, once */
        void *ctx;
};

/*
 * Writes the snapshot's files into dir, synced, and tells the objects. The
 * catalog may be in use, by this or another process; it is only read. What is
 * leased is ready in the copy, as if its workers had given it back. ERR_CORRUPT:
 * the catalog is damaged. ERR_CONFLICT: of another version, or half copied.
 */
int keep_backup_take(const struct keep_backup_opts *opts, const char *dir, struct keep_backup *out,
                     struct err *e) MUST_CHECK;
/* Whether an asset refers to each object at this moment. */
int keep_backup_refers(const char *url, const char *password, const struct sha256 *keys, size_t n, bool *yes,
                       struct err *e) MUST_CHECK;
/* The objects that the files in dir know, ordered by key, without products; whoever calls has checked their hashes. */
int keep_backup_objects(const struct keep_backup *b, const char *dir, keep_backup_object_fn *fn, void *ctx,
                        struct err *e) MUST_CHECK;

/* Of a whole file. */
int keep_backup_hash(const char *path, struct sha256 *hash, uint64_t *size, struct err *e) MUST_CHECK;

/* ---- putting it back ------------------------------------------------------------------- */

struct keep_restore_opts {
        const char *url, *password;
        const struct keep_backup *backup; /* with the tables' hashes */
        const char *dir;                  /* whose files were checked */
        size_t batch_bytes;               /* a transaction ends past so many; 0: 16 MiB */
        void (*progress)(void *ctx, const char *what, uint64_t done, uint64_t total);
        void *ctx;
};

enum keep_restore_state { RESTORE_EMPTY, RESTORE_BEGUN, RESTORE_DONE };
/*
 * Whether this backup can go to that place; changes nothing. ERR_CONFLICT: it
 * holds something else, the message says what; or the backup is newer than this
 * program. RESTORE_DONE: this backup is there, and was finished.
 */
int keep_restore_look(const struct keep_restore_opts *opts, enum keep_restore_state *out, struct err *e) MUST_CHECK;
/* Puts it there, durably; cut off, it can be called again. No server starts on half of it. */
int keep_restore(const struct keep_restore_opts *opts, struct err *e) MUST_CHECK;

#endif
