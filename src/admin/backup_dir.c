/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The folder of the backups: its locks, names, and files that appear whole or not at all. There are two locks, so
 * that hours of reading hold up no backup: "lock" belongs to the writer; "readers" is shared by readers, and only a
 * process that removes backups must hold it exclusively. Both are files: over NFS a folder cannot be locked.
 */
#include "admin/backup_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define README                                                                                                         \
        "Backups of File Allocator. Look: file-allocator backup list DIR. Check: file-allocator backup verify DIR.\n"  \
        "Restore into an empty installation: file-allocator backup restore DIR --dry-run, then without.\n"             \
        "backups/ has one folder a backup; objects/ the files of all of them, each named by the SHA-256 of its "       \
        "bytes.\n"                                                                                                     \
        "Private: it holds all files, and hashes of keys.\n"

/* ---- names ---------------------------------------------------------------------------------- */

/* "20260102T030405Z-1a2b3c4d": the order of names is that of time, to the microsecond. */
void backup_name_new(struct wall at, char out[BACKUP_NAME_LEN])
{
        time_t t = (time_t)(at.us / 1000000);
        char stamp[20];
        struct tm tm;

        gmtime_r(&t, &tm);
        strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &tm);
        snprintf(out, BACKUP_NAME_LEN, "%s-%05x%03x", stamp, (unsigned)(at.us % 1000000),
                 (unsigned)(random_u64() & 0xFFF));
}

bool backup_name_is(const char *name)
{
        static const char shape[] = "ddddddddTddddddZ-hhhhhhhh";

        if (strlen(name) != sizeof shape - 1)
                return false;
        for (size_t i = 0; shape[i]; i++) {
                bool digit = name[i] >= '0' && name[i] <= '9', hex = digit || (name[i] >= 'a' && name[i] <= 'f');
                if (shape[i] == 'd' ? !digit : shape[i] == 'h' ? !hex : name[i] != shape[i])
                        return false;
        }
        return true;
}

void backup_path(char out[PATH_MAX], const struct backup_dir *d, const char *name, const char *file)
{
        snprintf(out, PATH_MAX, "%s/backups/%s%s%s", d->path, name, file ? "/" : "", file ? file : "");
}

static int by_name(const void *a, const void *b)
{
        return strcmp(a, b);
}

int backup_names(const struct backup_dir *d, char (**out)[BACKUP_NAME_LEN], size_t *n, struct err *e)
{
        int fd = openat(d->fd, "backups", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *x;
        size_t cap = 0;

        *out = NULL;
        *n = 0;
        if (!dir) {
                err_errno(e, errno, "cannot read %.160s/backups", d->path);
                fd_close(&fd);
                return -1;
        }
        while (rc == 0 && (x = readdir(dir)) != NULL) {
                if (!backup_name_is(x->d_name))
                        continue;
                if (mem_grow((void **)out, &cap, *n + 1, sizeof **out))
                        rc = err_oom(e);
                else
                        snprintf((*out)[(*n)++], sizeof **out, "%.*s", BACKUP_NAME_LEN - 1, x->d_name);
        }
        closedir(dir);
        if (*n)
                qsort(*out, *n, sizeof **out, by_name);
        return rc;
}

/* The manifest is removed first: a backup removed half-way is no backup any more. */
int backup_remove(const struct backup_dir *d, const char *name, struct err *e)
{
        char path[PATH_MAX];
        struct dirent *x;
        DIR *dir;
        int rc = 0;

        backup_path(path, d, name, MANIFEST);
        if (unlink(path) && errno != ENOENT)
                return err_errno(e, errno, "cannot remove %.160s", path);
        backup_path(path, d, name, NULL);
        dir = opendir(path);
        if (!dir)
                return err_errno(e, errno, "cannot read %.160s", path);
        if (dir_sync(path, e))
                rc = -1;
        while (rc == 0 && (x = readdir(dir)) != NULL)
                if (strcmp(x->d_name, ".") != 0 && strcmp(x->d_name, "..") != 0 && unlinkat(dirfd(dir), x->d_name, 0))
                        rc = err_errno(e, errno, "cannot remove %.100s/%.60s", path, x->d_name);
        closedir(dir);
        if (rc == 0 && rmdir(path))
                rc = err_errno(e, errno, "cannot remove %.160s", path);
        return rc;
}

/* ---- the folder ------------------------------------------------------------------------------- */

static bool is_ignored(const char *name)
{
        return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "lost+found") == 0;
}

/* A mistyped path must not leave 256 folders in somebody's home. */
static int expect_ours(struct backup_dir *d, struct err *e)
{
        int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
        DIR *dir;
        struct dirent *x;

        if (faccessat(d->fd, "backups", F_OK, 0) == 0) {
                fd_close(&fd);
                return 0;
        }
        dir = fd < 0 ? NULL : fdopendir(fd);
        if (!dir) {
                err_errno(e, errno, "cannot read %.160s", d->path);
                fd_close(&fd);
                return -1;
        }
        while (rc == 0 && (x = readdir(dir)) != NULL)
                if (!is_ignored(x->d_name))
                        rc = err_set(e, ERR_INVALID,
                                     "%.120s holds %.60s and no backups: a new folder, or an empty one, is needed",
                                     d->path, x->d_name);
        closedir(dir);
        return rc;
}

static int take_lock(struct backup_dir *d, struct err *e)
{
        d->lock_fd = openat(d->fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (d->lock_fd < 0)
                return err_errno(e, errno, "cannot make %.160s/lock", d->path);
        if (flock(d->lock_fd, LOCK_EX | LOCK_NB) == 0)
                return 0;
        return errno == EWOULDBLOCK ? err_set(e, ERR_CONFLICT, "another backup into %.160s is running", d->path)
                                    : err_errno(e, errno, "cannot lock %.160s/lock", d->path);
}

static int open_folder(struct backup_dir *d, const char *path, struct err *e)
{
        *d = (struct backup_dir){.path = path, .fd = -1, .lock_fd = -1, .readers_fd = -1};
        if (strlen(path) > PATH_MAX - 200)
                return err_set(e, ERR_INVALID, "the path of the folder is too long");
        d->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return d->fd < 0 ? err_errno(e, errno, "cannot open the folder %.160s", path) : 0;
}

int backup_dir_make(struct backup_dir *d, const char *path, struct err *e)
{
        *d = (struct backup_dir){.fd = -1, .lock_fd = -1, .readers_fd = -1};
        if (dir_make(path, e) || open_folder(d, path, e) || expect_ours(d, e))
                return -1;
        if (mkdirat(d->fd, "backups", 0700) && errno != EEXIST)
                return err_errno(e, errno, "cannot make %.160s/backups", path);
        if (take_lock(d, e))
                return -1;
        d->readers_fd = openat(d->fd, "readers", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (d->readers_fd < 0)
                return err_errno(e, errno, "cannot make %.160s/readers", path);
        if (faccessat(d->fd, "README.txt", F_OK, 0))
                return backup_write_file(path, "README.txt", SPAN(README), e);
        return 0;
}

/* Where locks are not supported, as on some network file systems, no process could remove backups either. */
static int lock_for_reading(struct backup_dir *d, struct err *e)
{
        d->readers_fd = openat(d->fd, "readers", O_RDONLY | O_CLOEXEC);
        if (d->readers_fd < 0 || flock(d->readers_fd, LOCK_SH | LOCK_NB) == 0 || errno == ENOSYS || errno == ENOTSUP)
                return 0;
        return errno == EWOULDBLOCK
                       ? err_set(e, ERR_CONFLICT,
                                 "old backups are being removed from %.140s at the moment; try again later", d->path)
                       : err_errno(e, errno, "cannot lock %.160s/readers", d->path);
}

int backup_dir_open(struct backup_dir *d, const char *path, struct err *e)
{
        if (open_folder(d, path, e))
                return -1;
        if (faccessat(d->fd, "backups", F_OK, 0))
                return err_set(e, ERR_NOT_FOUND, "%.160s holds no backups", path);
        return lock_for_reading(d, e);
}

void backup_dir_close(struct backup_dir *d)
{
        fd_close(&d->lock_fd);
        fd_close(&d->readers_fd);
        fd_close(&d->fd);
}

int backup_dir_alone(struct backup_dir *d, struct err *e)
{
        if (flock(d->readers_fd, LOCK_EX | LOCK_NB) == 0)
                return 1;
        return errno == EWOULDBLOCK ? 0 : err_errno(e, errno, "cannot lock %.160s/readers", d->path);
}

int backup_dir_storage(const struct backup_dir *d, bool read_only, struct storage **out, struct err *e)
{
        const struct storage_opts as_it_is = {.url = "fs://", .path = d->path, .read_only = true};
        const struct storage_opts made = {.url = "fs://", .path = d->path};
        struct err why;

        if (!read_only)
                return storage_open(&made, out, e);
        if (storage_open(&as_it_is, out, e) == 0)
                return 0;
        return storage_open(&made, out, &why);
}

/* ---- files ------------------------------------------------------------------------------------------ */

static int write_synced(int dir, const char *name, struct span bytes, struct err *e)
{
        int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600), rc;

        if (fd < 0)
                return err_errno(e, errno, "cannot make %.100s", name);
        rc = fd_write_all(fd, bytes.p, bytes.n, e);
        if (rc == 0 && fsync(fd))
                rc = err_errno(e, errno, "cannot sync %.100s", name);
        fd_close(&fd);
        return rc;
}

int backup_write_file(const char *folder, const char *name, struct span bytes, struct err *e)
{
        int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = FAULT("backup.file");
        char temp[80];

        if (rc) {
                fd_close(&dir);
                return err_errno(e, rc, "cannot write %.100s", name);
        }
        if (dir < 0)
                return err_errno(e, errno, "cannot open the folder %.160s", folder);
        snprintf(temp, sizeof temp, "%.60s.new", name);
        unlinkat(dir, temp, 0);
        rc = write_synced(dir, temp, bytes, e);
        if (rc == 0 && renameat(dir, temp, dir, name))
                rc = err_errno(e, errno, "cannot name %.100s", name);
        if (rc == 0 && fsync(dir) && errno != EINVAL)
                rc = err_errno(e, errno, "cannot sync the folder %.160s", folder);
        fd_close(&dir);
        return rc;
}
