/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into the server by tests/fault/power.test.mjs: writes down, with
 * its data and in its order, everything the server does below RECORD_ROOT that
 * a disk would hold, and each answer it gives. The hard thing is the order: a
 * lock goes around every call together with its line in the record, so what
 * the record says to be before a sync was before it. What is written through a
 * mapping would escape, so such a mapping is recorded as well and the test
 * refuses it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* power.test.mjs reads the same. */
enum event {
        EV_CREATE = 1,
        EV_WRITE,
        EV_TRUNCATE,
        EV_LINK,
        EV_RENAME,
        EV_UNLINK,
        EV_MKDIR,
        EV_SYNC,
        EV_ANSWER,
        EV_MAP
};

/* a, b: inodes; at: an offset or a size. Then nname bytes of name, nname2 of a second one, ndata of data. */
struct line {
        uint32_t event, nname, nname2, ndata;
        uint64_t a, b, at;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static const char *root;
static size_t root_len;

__attribute__((constructor)) static void start(void)
{
        const char *path = getenv("RECORD_LOG");

        root = getenv("RECORD_ROOT");
        root_len = root ? strlen(root) : 0;
        if (path && root_len)
                log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        unsetenv("LD_PRELOAD"); /* the decoder writes nothing */
}

static void put(const void *p, size_t n)
{
        if (n && syscall(SYS_write, log_fd, p, n) != (long)n)
                _exit(99); /* a record with a hole proves nothing */
}

static void note2(struct line l, const char *name, const char *name2, const void *data)
{
        int kept = errno;

        l.nname = name ? (uint32_t)strlen(name) : 0;
        l.nname2 = name2 ? (uint32_t)strlen(name2) : 0;
        put(&l, sizeof l);
        put(name, l.nname);
        put(name2, l.nname2);
        put(data, l.ndata);
        errno = kept;
}

static void note(struct line l, const char *name, const void *data)
{
        note2(l, name, NULL, data);
}

static bool path_of(int fd, char out[PATH_MAX])
{
        char name[40];
        ssize_t n;

        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        n = readlink(name, out, PATH_MAX - 1);
        out[n > 0 ? n : 0] = '\0';
        return n > 0;
}

static bool below(const char *path)
{
        return strncmp(path, root, root_len) == 0 && (path[root_len] == '/' || path[root_len] == '\0');
}

static bool ours(int fd)
{
        char path[PATH_MAX];
        int kept = errno;
        bool is = log_fd >= 0 && fd != log_fd && path_of(fd, path) && below(path);

        errno = kept;
        return is;
}

static uint64_t inode(int fd)
{
        struct stat st;

        return fstat(fd, &st) == 0 ? st.st_ino : 0;
}

/* Where a name is: its directory's inode and its last segment; false when that is not below the root. */
struct place {
        uint64_t dir;
        char name[NAME_MAX + 1];
        char whole[2 * PATH_MAX];
};

static bool place_of(int dir, const char *path, struct place *p)
{
        char base[PATH_MAX] = "";
        struct stat st;
        char *slash;
        size_t n;

        if (log_fd < 0 || strncmp(path, "/proc/", 6) == 0)
                return false;
        if (path[0] != '/' && (dir == AT_FDCWD ? !getcwd(base, sizeof base) : !path_of(dir, base)))
                return false;
        snprintf(p->whole, sizeof p->whole, "%s%s%s", base, *base ? "/" : "", path);
        for (n = strlen(p->whole); n > 1 && p->whole[n - 1] == '/'; n--)
                p->whole[n - 1] = '\0';
        if (!below(p->whole) || strlen(p->whole) <= root_len)
                return false;
        slash = strrchr(p->whole, '/');
        snprintf(p->name, sizeof p->name, "%s", slash + 1);
        *slash = '\0';
        n = stat(p->whole, &st) == 0;
        *slash = '/';
        p->dir = st.st_ino;
        return n > 0;
}

static bool exists(const struct place *p)
{
        struct stat st;

        return lstat(p->whole, &st) == 0;
}

#define REAL(name)                                                                                                     \
        static __typeof__(name) *real;                                                                                 \
        if (!real)                                                                                                     \
        *(void **)&real = dlsym(RTLD_NEXT, #name)

/* ---- data ---------------------------------------------------------------------------------- */

static void wrote(int fd, const void *p, ssize_t n, int64_t at)
{
        if (n > 0)
                note((struct line){.event = EV_WRITE, .a = inode(fd), .at = (uint64_t)at, .ndata = (uint32_t)n}, NULL,
                     p);
}

#define WRITES(call, at)                                                                                               \
        ssize_t rc;                                                                                                    \
        if (!ours(fd))                                                                                                 \
                return call;                                                                                           \
        pthread_mutex_lock(&lock);                                                                                     \
        int64_t from = (at);                                                                                           \
        rc = call;                                                                                                     \
        wrote(fd, p, rc, from);                                                                                        \
        pthread_mutex_unlock(&lock);                                                                                   \
        return rc

ssize_t write(int fd, const void *p, size_t n)
{
        REAL(write);
        WRITES(real(fd, p, n), lseek(fd, 0, SEEK_CUR));
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
        REAL(pwrite);
        WRITES(real(fd, p, n, at), at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
        REAL(pwrite64);
        WRITES(real(fd, p, n, at), at);
}

#define TRUNCATES(call)                                                                                                \
        int rc;                                                                                                        \
        if (!ours(fd))                                                                                                 \
                return call;                                                                                           \
        pthread_mutex_lock(&lock);                                                                                     \
        rc = call;                                                                                                     \
        if (rc == 0)                                                                                                   \
                note((struct line){.event = EV_TRUNCATE, .a = inode(fd), .at = (uint64_t)n}, NULL, NULL);              \
        pthread_mutex_unlock(&lock);                                                                                   \
        return rc

int ftruncate(int fd, off_t n)
{
        REAL(ftruncate);
        TRUNCATES(real(fd, n));
}

int ftruncate64(int fd, off64_t n)
{
        REAL(ftruncate64);
        TRUNCATES(real(fd, n));
}

#define SYNCS(call)                                                                                                    \
        int rc;                                                                                                        \
        if (!ours(fd))                                                                                                 \
                return call;                                                                                           \
        pthread_mutex_lock(&lock);                                                                                     \
        rc = call;                                                                                                     \
        if (rc == 0)                                                                                                   \
                note((struct line){.event = EV_SYNC, .a = inode(fd)}, NULL, NULL);                                     \
        pthread_mutex_unlock(&lock);                                                                                   \
        return rc

int fsync(int fd)
{
        REAL(fsync);
        SYNCS(real(fd));
}

int fdatasync(int fd)
{
        REAL(fdatasync);
        SYNCS(real(fd));
}

static void mapped(int fd, int prot, int flags)
{
        char path[PATH_MAX];

        if (fd < 0 || !(prot & PROT_WRITE) || !(flags & MAP_SHARED) || !ours(fd) || !path_of(fd, path))
                return;
        pthread_mutex_lock(&lock);
        note((struct line){.event = EV_MAP, .a = inode(fd)}, path, NULL);
        pthread_mutex_unlock(&lock);
}

void *mmap(void *p, size_t n, int prot, int flags, int fd, off_t at)
{
        mapped(fd, prot, flags);
        return (void *)syscall(SYS_mmap, p, n, prot, flags, fd, at);
}

void *mmap64(void *p, size_t n, int prot, int flags, int fd, off64_t at)
{
        mapped(fd, prot, flags);
        return (void *)syscall(SYS_mmap, p, n, prot, flags, fd, at);
}

/* ---- names ------------------------------------------------------------------------------------ */

static int opened(int dir, const char *path, int flags, mode_t mode)
{
        bool unnamed = (flags & O_TMPFILE) == O_TMPFILE, was;
        struct place p;
        int fd;

        if (log_fd < 0 || !(unnamed || flags & (O_CREAT | O_TRUNC)))
                return (int)syscall(SYS_openat, dir, path, flags, mode);
        pthread_mutex_lock(&lock);
        if (unnamed) {
                fd = (int)syscall(SYS_openat, dir, path, flags, mode);
                if (fd >= 0 && ours(fd))
                        note((struct line){.event = EV_CREATE, .a = inode(fd)}, NULL, NULL);
        } else if (place_of(dir, path, &p)) {
                was = exists(&p);
                fd = (int)syscall(SYS_openat, dir, path, flags, mode);
                if (fd >= 0 && !was)
                        note((struct line){.event = EV_CREATE, .a = inode(fd), .b = p.dir}, p.name, NULL);
                else if (fd >= 0 && flags & O_TRUNC)
                        note((struct line){.event = EV_TRUNCATE, .a = inode(fd)}, NULL, NULL);
        } else {
                fd = (int)syscall(SYS_openat, dir, path, flags, mode);
        }
        pthread_mutex_unlock(&lock);
        return fd;
}

#define OPEN(name, params, dir)                                                                                        \
        int name params                                                                                                \
        {                                                                                                              \
                va_list ap;                                                                                            \
                mode_t mode;                                                                                           \
                va_start(ap, flags);                                                                                   \
                mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;                                         \
                va_end(ap);                                                                                            \
                return opened(dir, path, flags, mode);                                                                 \
        }
OPEN(open, (const char *path, int flags, ...), AT_FDCWD)
OPEN(open64, (const char *path, int flags, ...), AT_FDCWD)
OPEN(openat, (int dir, const char *path, int flags, ...), dir)
OPEN(openat64, (int dir, const char *path, int flags, ...), dir)

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
        REAL(linkat);
        struct place p;
        struct stat st;
        int rc;

        pthread_mutex_lock(&lock);
        rc = real(from_dir, from, to_dir, to, flags);
        if (rc == 0 && place_of(to_dir, to, &p) && stat(p.whole, &st) == 0)
                note((struct line){.event = EV_LINK, .a = st.st_ino, .b = p.dir}, p.name, NULL);
        pthread_mutex_unlock(&lock);
        return rc;
}

int link(const char *from, const char *to)
{
        return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
        struct place a, b;
        int rc;

        pthread_mutex_lock(&lock);
        rc = (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
        if (rc == 0 && place_of(from_dir, from, &a) && place_of(to_dir, to, &b))
                note2((struct line){.event = EV_RENAME, .a = a.dir, .b = b.dir}, a.name, b.name, NULL);
        pthread_mutex_unlock(&lock);
        return rc;
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
        return renameat2(from_dir, from, to_dir, to, 0);
}

int rename(const char *from, const char *to)
{
        return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int unlinkat(int dir, const char *path, int flags)
{
        struct place p;
        int rc;

        pthread_mutex_lock(&lock);
        rc = (int)syscall(SYS_unlinkat, dir, path, flags);
        if (rc == 0 && place_of(dir, path, &p))
                note((struct line){.event = EV_UNLINK, .b = p.dir}, p.name, NULL);
        pthread_mutex_unlock(&lock);
        return rc;
}

int unlink(const char *path)
{
        return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
        return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
        struct place p;
        struct stat st;
        int rc;

        pthread_mutex_lock(&lock);
        rc = (int)syscall(SYS_mkdirat, dir, path, mode);
        if (rc == 0 && place_of(dir, path, &p) && stat(p.whole, &st) == 0)
                note((struct line){.event = EV_MKDIR, .a = st.st_ino, .b = p.dir}, p.name, NULL);
        pthread_mutex_unlock(&lock);
        return rc;
}

int mkdir(const char *path, mode_t mode)
{
        return mkdirat(AT_FDCWD, path, mode);
}

/* ---- answers: the promise begins before the first byte leaves ------------------------------------ */

static void answered(const void *p, size_t n)
{
        if (log_fd < 0 || n < 12 || memcmp(p, "HTTP/1.1 ", 9) != 0)
                return;
        pthread_mutex_lock(&lock);
        note((struct line){.event = EV_ANSWER, .ndata = (uint32_t)(n < 2048 ? n : 2048)}, NULL, p);
        pthread_mutex_unlock(&lock);
}

ssize_t send(int fd, const void *p, size_t n, int flags)
{
        REAL(send);
        answered(p, n);
        return real(fd, p, n, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
        REAL(sendmsg);
        if (m->msg_iovlen > 0)
                answered(m->msg_iov[0].iov_base, m->msg_iov[0].iov_len);
        return real(fd, m, flags);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
        REAL(writev);
        if (n > 0)
                answered(v[0].iov_base, v[0].iov_len);
        return real(fd, v, n);
}
