/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A VFS that combines the writer's writes to its WAL. SQLite writes the pages of a commit one after the other, in two
 * calls each, header and page. Here consecutive writes are gathered and passed to the system in one call, at the
 * latest when SQLite syncs, reads, truncates or measures the file, or writes elsewhere in it. With synchronous=FULL a
 * commit syncs before any reader is told of its pages, so a reader never needs what is still gathered. Other files
 * are passed through unchanged.
 */
#include "db/sqlite/sqlite_priv.h"

#define GATHER ((size_t)120 << 10) /* SQLite does not write 128 KiB or more in one call */

struct wal_file {
        sqlite3_file base; /* first member: SQLite sees only this */
        sqlite3_int64 at;  /* where the gathered bytes belong */
        size_t n;
        char *bytes;         /* NULL until the first write, or without memory for it */
        sqlite3_file real[]; /* SQLite's own file */
};

static sqlite3_vfs *own, vfs; /* SQLite's VFS, and a copy of it with our xOpen */

static struct wal_file *wal_of(sqlite3_file *f)
{
        return (struct wal_file *)f;
}

static int flush_gathered(struct wal_file *w)
{
        size_t n = w->n;

        w->n = 0;
        return n ? w->real->pMethods->xWrite(w->real, w->bytes, (int)n, w->at) : SQLITE_OK;
}

static int wal_close(sqlite3_file *f)
{
        struct wal_file *w = wal_of(f);
        int rc = flush_gathered(w), closed = w->real->pMethods->xClose(w->real);

        mem_free(w->bytes);
        w->bytes = NULL;
        return rc ? rc : closed;
}

static int wal_write(sqlite3_file *f, const void *bytes, int n, sqlite3_int64 at)
{
        struct wal_file *w = wal_of(f);
        int rc;

        if (!w->bytes)
                w->bytes = mem_alloc(GATHER);
        if (w->n && (at != w->at + (sqlite3_int64)w->n || (size_t)n > GATHER - w->n) &&
            (rc = flush_gathered(w)) != SQLITE_OK)
                return rc;
        if (!w->bytes || (size_t)n > GATHER)
                return w->real->pMethods->xWrite(w->real, bytes, n, at);
        if (!w->n)
                w->at = at;
        memcpy(w->bytes + w->n, bytes, (size_t)n);
        w->n += (size_t)n;
        return SQLITE_OK;
}

static int wal_read(sqlite3_file *f, void *out, int n, sqlite3_int64 at)
{
        int rc = flush_gathered(wal_of(f));

        return rc ? rc : wal_of(f)->real->pMethods->xRead(wal_of(f)->real, out, n, at);
}

static int wal_truncate(sqlite3_file *f, sqlite3_int64 size)
{
        int rc = flush_gathered(wal_of(f));

        return rc ? rc : wal_of(f)->real->pMethods->xTruncate(wal_of(f)->real, size);
}

static int wal_sync(sqlite3_file *f, int flags)
{
        int rc = flush_gathered(wal_of(f));

        return rc ? rc : wal_of(f)->real->pMethods->xSync(wal_of(f)->real, flags);
}

static int wal_size(sqlite3_file *f, sqlite3_int64 *size)
{
        int rc = flush_gathered(wal_of(f));

        return rc ? rc : wal_of(f)->real->pMethods->xFileSize(wal_of(f)->real, size);
}

static int wal_lock(sqlite3_file *f, int level)
{
        return wal_of(f)->real->pMethods->xLock(wal_of(f)->real, level);
}

static int wal_unlock(sqlite3_file *f, int level)
{
        return wal_of(f)->real->pMethods->xUnlock(wal_of(f)->real, level);
}

static int wal_reserved(sqlite3_file *f, int *out)
{
        return wal_of(f)->real->pMethods->xCheckReservedLock(wal_of(f)->real, out);
}

static int wal_control(sqlite3_file *f, int op, void *arg)
{
        return wal_of(f)->real->pMethods->xFileControl(wal_of(f)->real, op, arg);
}

static int wal_sector(sqlite3_file *f)
{
        return wal_of(f)->real->pMethods->xSectorSize(wal_of(f)->real);
}

static int wal_traits(sqlite3_file *f)
{
        return wal_of(f)->real->pMethods->xDeviceCharacteristics(wal_of(f)->real);
}

static const sqlite3_io_methods wal_methods = {
        .iVersion = 1, /* a WAL is neither mapped nor shared memory */
        .xClose = wal_close,
        .xRead = wal_read,
        .xWrite = wal_write,
        .xTruncate = wal_truncate,
        .xSync = wal_sync,
        .xFileSize = wal_size,
        .xLock = wal_lock,
        .xUnlock = wal_unlock,
        .xCheckReservedLock = wal_reserved,
        .xFileControl = wal_control,
        .xSectorSize = wal_sector,
        .xDeviceCharacteristics = wal_traits,
};

static int vfs_open(sqlite3_vfs *v, const char *name, sqlite3_file *f, int flags, int *out)
{
        struct wal_file *w = wal_of(f);
        int rc;

        (void)v;
        if (!(flags & SQLITE_OPEN_WAL))
                return own->xOpen(own, name, f, flags, out);
        memset(w, 0, sizeof *w);
        rc = own->xOpen(own, name, w->real, flags, out);
        if (rc == SQLITE_OK)
                f->pMethods = &wal_methods;
        else if (w->real->pMethods)
                w->real->pMethods->xClose(w->real);
        return rc;
}

static void vfs_make(void)
{
        own = sqlite3_vfs_find(NULL);
        if (!own)
                return;
        vfs = *own;
        vfs.pNext = NULL;
        vfs.zName = "gathered-wal";
        vfs.szOsFile = own->szOsFile + (int)sizeof(struct wal_file);
        vfs.xOpen = vfs_open;
        if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
                own = NULL;
}

const char *sqlite_writer_vfs(void)
{
        static pthread_once_t once = PTHREAD_ONCE_INIT;

        pthread_once(&once, vfs_make);
        return own ? vfs.zName : NULL;
}
