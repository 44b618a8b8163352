/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatches a backup to the engine of its catalog. */
#include "keep/keep_backup_priv.h"

#include <stdio.h>
#include <string.h>

static bool is_sqlite(const char *url)
{
        return strncmp(url, "sqlite://", 9) == 0;
}

int keep_backup_take(const struct keep_backup_opts *opts, const char *dir, struct keep_backup *out, struct err *e)
{
        *out = (struct keep_backup){0};
        return is_sqlite(opts->url) ? sqlite_backup_take(opts, dir, out, e) : pg_backup_take(opts, dir, out, e);
}

int keep_backup_refers(const char *url, const char *password, const struct sha256 *keys, size_t n, bool *yes,
                       struct err *e)
{
        return is_sqlite(url) ? sqlite_backup_refers(url, keys, n, yes, e)
                              : pg_backup_refers(url, password, keys, n, yes, e);
}

/* ---- the objects that a table's file knows -------------------------------------------------- */

static uint32_t u32_at(const char *p)
{
        const unsigned char *u = (const unsigned char *)p;

        return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* Decodes a tuple that begins with sha256 and size. */
static bool read_object(struct span row, struct sha256 *key, uint64_t *size)
{
        if (row.n < 2 + 4 + 32 + 4 + 8 || u32_at(row.p + 2) != 32 || u32_at(row.p + 38) != 8)
                return false;
        memcpy(key, row.p + 6, sizeof *key);
        *size = (uint64_t)u32_at(row.p + 42) << 32 | u32_at(row.p + 46);
        return true;
}

static int table_objects(const char *dir, keep_backup_object_fn *fn, void *ctx, struct err *e)
{
        struct copy_file *f = NULL;
        struct sha256 key;
        uint64_t size;
        struct buf row;
        char path[4096];
        int rc;

        snprintf(path, sizeof path, "%s/object" KEEP_BACKUP_SUFFIX, dir);
        buf_init(&row, 64 << 10);
        rc = copy_file_open(path, &f, e) ? -1 : 1;
        while (rc > 0 && (rc = copy_file_row(f, &row, e)) > 0) {
                if (!read_object(buf_span(&row), &key, &size))
                        rc = err_set(e, ERR_CORRUPT, "%.160s: a row is not an object", path);
                else if (fn(ctx, &(struct keep_backup_object){.key = key, .size = size, .products = ""}, e) < 0)
                        rc = -1;
                buf_reset(&row);
        }
        copy_file_close(f);
        buf_done(&row);
        return rc;
}

int keep_backup_objects(const struct keep_backup *b, const char *dir, keep_backup_object_fn *fn, void *ctx,
                        struct err *e)
{
        return strcmp(b->engine, "sqlite") == 0 ? sqlite_backup_objects(dir, fn, ctx, e)
                                                : table_objects(dir, fn, ctx, e);
}

/* ---- putting back --------------------------------------------------------------------------- */

static int check_engine(const struct keep_restore_opts *o, struct err *e)
{
        bool sqlite = strcmp(o->backup->engine, "sqlite") == 0;

        if (sqlite == is_sqlite(o->url))
                return 0;
        return sqlite ? err_set(e, ERR_INVALID,
                                "DATABASE_URL names PostgreSQL, but this backup is of SQLite: restore it to SQLite, "
                                "and "
                                "then move it with \"migrate copy\"")
                      : err_set(e, ERR_INVALID,
                                "DATABASE_URL names SQLite, but this backup is of PostgreSQL, and goes to PostgreSQL "
                                "only");
}

int keep_restore_look(const struct keep_restore_opts *opts, enum keep_restore_state *out, struct err *e)
{
        if (check_engine(opts, e))
                return -1;
        return is_sqlite(opts->url) ? sqlite_restore_look(opts, out, e) : pg_restore_look(opts, out, e);
}

int keep_restore(const struct keep_restore_opts *opts, struct err *e)
{
        if (check_engine(opts, e))
                return -1;
        return is_sqlite(opts->url) ? sqlite_restore(opts, e) : pg_restore(opts, e);
}
