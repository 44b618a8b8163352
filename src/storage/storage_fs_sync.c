/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Syncing one of the 256 object directories. The hard thing is a failed sync:
 * the kernel reports it once per open descriptor and forgets the pages, so two
 * threads that share a descriptor must not sync at the same time, or one of
 * them would take the other's failure for its own success. Hence one sync at a
 * time per directory, whose result goes to all who linked before it started.
 */
#include "storage/storage_fs_priv.h"

#include <errno.h>
#include <unistd.h>

struct fs_waiter { /* on its thread's stack; fields under the shard's lock */
        struct fs_waiter *next;
        bool done;
        int errnum;
};

void fs_shard_init(struct fs_shard *d, int fd)
{
        *d = (struct fs_shard){.fd = fd};
        lock_init(&d->lock, "storage shard", RANK_STORAGE);
        cond_init(&d->synced);
}

void fs_shard_done(struct fs_shard *d)
{
        assert(!d->waiting && !d->syncing);
        fd_close(&d->fd);
        cond_done(&d->synced);
        lock_done(&d->lock);
}

static int sync_directory(int fd)
{
        int rc = FAULT("storage.dirsync");

        if (rc == 0 && fsync(fd))
                rc = errno == EINVAL ? 0 : errno; /* EINVAL: directories of this file system need no sync */
        return rc ? rc : FAULT("storage.dirsync.after");
}

/* Called with the lock, returns with it. */
static void sync_for_all(struct fs_shard *d)
{
        struct fs_waiter *mine = d->waiting, *w;
        int rc;

        lock_assert_held(&d->lock);
        d->waiting = NULL;
        d->syncing = true;
        lock_drop(&d->lock);
        rc = sync_directory(d->fd);
        lock_take(&d->lock);
        d->syncing = false;
        d->suspect |= rc != 0;
        while ((w = mine) != NULL) {
                mine = w->next;
                w->errnum = rc;
                w->done = true; /* w may be gone as soon as the lock is */
        }
        cond_broadcast(&d->synced);
}

int fs_shard_sync(struct fs *fs, struct fs_shard *d, struct err *e)
{
        struct fs_waiter me = {0};

        lock_take(&d->lock);
        me.next = d->waiting;
        d->waiting = &me;
        while (!me.done) {
                if (d->syncing)
                        cond_wait(&d->synced, &d->lock);
                else
                        sync_for_all(d);
        }
        lock_drop(&d->lock);
        if (me.errnum == 0)
                return 0;
        return err_errno(e, me.errnum, "cannot sync a directory of objects under %.80s; the upload is not kept",
                         fs->path);
}

bool fs_shard_suspect(struct fs_shard *d)
{
        bool suspect;

        lock_take(&d->lock);
        suspect = d->suspect;
        lock_drop(&d->lock);
        return suspect;
}
