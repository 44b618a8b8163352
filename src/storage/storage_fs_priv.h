/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the directory backend share: storage_fs.c opens and
 * reads, storage_fs_tree.c lays out the tree, storage_fs_put.c writes objects,
 * storage_fs_sync.c syncs their directories, storage_fs_derived.c and storage_fs_sidecar.c the rest,
 * storage_fs_list.c tells what is there.
 */
#ifndef FA_STORAGE_FS_PRIV_H
#define FA_STORAGE_FS_PRIV_H

#include "storage/storage_priv.h"

#define FS_SHARDS      256
#define FS_OBJECT_MODE 0440
#define FS_SENTINEL    ".file-allocator"
#define FS_NAME_LEN    (ID_TEXT_LEN + 4)

/* How a finished file gets its name, by what the file system can do; best first. */
enum fs_way {
        FS_WAY_UNNAMED, /* O_TMPFILE, then linkat: nothing is left over after a crash, and no tmp/ entry is fought for
                         */
        FS_WAY_LINK,    /* a name in tmp/, then link */
        FS_WAY_RENAME,  /* a name in tmp/, then renameat2(RENAME_NOREPLACE) */
};

struct fs_waiter;

/* objects/aa. One sync at a time: a failure is reported once per descriptor, so everyone it concerns must share it. */
struct fs_shard {
        int fd;
        struct lock lock;
        struct cond synced;
        struct fs_waiter *waiting; /* linked before the next sync starts */
        bool syncing;
        bool suspect; /* a sync failed since the opening: entries that are there already prove nothing */
};

struct fs {
        struct storage base;
        char *path;
        bool read_only; /* then tmp is -1 */
        uint64_t min_free;
        int root, tmp, objects, derived;
        int sidecar; /* -1: read only, and there is none */
        enum fs_way way;
        struct fs_shard shards[FS_SHARDS];
        unsigned shard_count; /* set up so far */
        struct lock state_lock;
        struct mono state_until; /* the probe's answer holds until then */
        int state_errno;         /* 0: writable */
};

/* storage_fs_tree.c: make what is missing, sync it, open root, tmp, objects and derived. */
int fs_tree_open(struct fs *fs, bool expect_content, struct err *e) MUST_CHECK;

/* storage_fs_sync.c */
void fs_shard_init(struct fs_shard *d, int fd);
void fs_shard_done(struct fs_shard *d);
/* Returns once a sync that started after this call has ended: 0 or -1. */
int fs_shard_sync(struct fs *fs, struct fs_shard *d, struct err *e) MUST_CHECK;
bool fs_shard_suspect(struct fs_shard *d);
static inline struct fs_shard *fs_shard_of(struct fs *fs, struct sha256 key)
{
        return &fs->shards[key.b[0]];
}

/* storage_fs_put.c */
extern storage_put_begin_fn fs_put_begin;
extern storage_put_write_fn fs_put_write;
extern storage_put_peek_fn fs_put_peek;
extern storage_put_seal_fn fs_put_seal;
extern storage_put_commit_fn fs_put_commit;
extern storage_put_ensure_fn fs_put_ensure;
extern storage_put_end_fn fs_put_end;
/* A new writable file in tmp/; name is "" when it has none. The descriptor, or -1 with errno. */
int fs_temp_open(struct fs *fs, enum fs_way way, const char *prefix, char name[FS_NAME_LEN]);

/* storage_fs_sidecar.c, storage_fs_list.c */
extern storage_batch_begin_fn fs_batch_begin;
extern storage_batch_put_fn fs_batch_put;
extern storage_batch_remove_fn fs_batch_remove;
extern storage_batch_commit_fn fs_batch_commit;
extern storage_batch_end_fn fs_batch_end;
extern storage_get_sidecar_fn fs_get_sidecar;
extern storage_list_fn fs_list;

/* storage_fs_derived.c */
extern storage_put_derived_fn fs_put_derived;
extern storage_open_derived_fn fs_open_derived;
/* Remove all that was derived from key. */
int fs_remove_derived(struct fs *fs, struct sha256 key, struct err *e) MUST_CHECK;

#endif
