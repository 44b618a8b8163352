/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preloaded into the server by tests/fault: makes the n-th call of one
 * kind fail, once, when it touches a file below FAULT_ROOT (allocations: any).
 * What is to fail stands in a small file that both sides map, so that one
 * server lives through hundreds of faults. The hard thing is to be invisible
 * otherwise: nothing here allocates, and the path of a descriptor is looked up
 * only while something is armed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum op {
        OP_NONE,
        OP_WRITE,
        OP_FSYNC,
        OP_LINK,
        OP_RENAME,
        OP_OPEN,
        OP_CLOSE,
        OP_TRUNCATE,
        OP_ALLOC,
        OP_READ,
        OP_UNLINK,
        OP_MKDIR,
        OP_STAT,
};

#define DIE (-9) /* instead of an error: SIGKILL, before the call is made */

/* tests/fault/faults.test.mjs writes the same layout. */
struct control {
        _Atomic int32_t op;    /* enum op; NONE: nothing is armed */
        _Atomic int32_t error; /* errno; 0 for OP_WRITE and OP_READ: a short one; DIE */
        _Atomic int32_t left;  /* calls until the one that fails; 1 is the next */
        _Atomic int32_t hits;  /* how many failed */
};

static struct control *control;
static const char *root;
static size_t root_len;

__attribute__((constructor)) static void start(void)
{
        const char *path = getenv("FAULT_CONTROL");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        void *p = fd >= 0 ? mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;

        root = getenv("FAULT_ROOT");
        root_len = root ? strlen(root) : 0;
        if (p != MAP_FAILED && root_len)
                control = p;
        if (fd >= 0)
                close(fd);
        /* The decoder is not what is tested here. */
        unsetenv("LD_PRELOAD");
}

static bool below_root(const char *path)
{
        return path && strncmp(path, root, root_len) == 0;
}

static bool fd_below_root(int fd)
{
        char name[40], path[256];
        ssize_t n;

        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        n = readlink(name, path, sizeof path - 1);
        path[n > 0 ? n : 0] = '\0';
        return below_root(path);
}

static bool armed(enum op op)
{
        return control && atomic_load_explicit(&control->op, memory_order_relaxed) == (int32_t)op;
}

/* Whether this very call is the one; its errno through *error. */
static bool chosen(int *error)
{
        if (atomic_fetch_sub(&control->left, 1) != 1)
                return false;
        atomic_fetch_add(&control->hits, 1);
        *error = atomic_load(&control->error);
        if (*error == DIE)
                kill(getpid(), SIGKILL);
        return true;
}

static bool fails_fd(enum op op, int fd, int *error)
{
        return armed(op) && fd_below_root(fd) && chosen(error);
}

static bool fails_path(enum op op, const char *path, int *error)
{
        return armed(op) && below_root(path) && chosen(error);
}

/* The C library's own function of that name. */
#define REAL(name)                                                                                                     \
        static __typeof__(name) *real;                                                                                 \
        if (!real)                                                                                                     \
        *(void **)&real = dlsym(RTLD_NEXT, #name)

#define FAIL_FD(op, fd, ...)                                                                                           \
        do {                                                                                                           \
                int error_;                                                                                            \
                if (fails_fd(op, fd, &error_)) {                                                                       \
                        errno = error_;                                                                                \
                        return __VA_ARGS__;                                                                            \
                }                                                                                                      \
        } while (0)
#define FAIL_PATH(op, path)                                                                                            \
        do {                                                                                                           \
                int error_;                                                                                            \
                if (fails_path(op, path, &error_)) {                                                                   \
                        errno = error_;                                                                                \
                        return -1;                                                                                     \
                }                                                                                                      \
        } while (0)

/* ---- writing: an error, or half of it when the error is 0 ------------------------------ */

static bool write_fails(int fd, size_t *n)
{
        int error;

        if (!fails_fd(OP_WRITE, fd, &error))
                return false;
        if (error == 0 && *n > 1) {
                *n /= 2;
                return false;
        }
        errno = error ? error : EIO;
        return true;
}

ssize_t write(int fd, const void *p, size_t n)
{
        REAL(write);
        return write_fails(fd, &n) ? -1 : real(fd, p, n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
        REAL(pwrite);
        return write_fails(fd, &n) ? -1 : real(fd, p, n, at);
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
        REAL(pwrite64);
        return write_fails(fd, &n) ? -1 : real(fd, p, n, at);
}

ssize_t writev(int fd, const struct iovec *v, int n)
{
        REAL(writev);
        size_t whole = 1; /* not shortened: an error instead */
        return write_fails(fd, &whole) ? -1 : real(fd, v, n);
}

int ftruncate(int fd, off_t n)
{
        REAL(ftruncate);
        FAIL_FD(OP_TRUNCATE, fd, -1);
        return real(fd, n);
}

int ftruncate64(int fd, off64_t n)
{
        REAL(ftruncate64);
        FAIL_FD(OP_TRUNCATE, fd, -1);
        return real(fd, n);
}

int fallocate(int fd, int mode, off_t at, off_t n)
{
        REAL(fallocate);
        FAIL_FD(OP_TRUNCATE, fd, -1);
        return real(fd, mode, at, n);
}

/* ---- reading: an error, or half of it when the error is 0 ------------------------------- */

static bool read_fails(int fd, size_t *n)
{
        int error;

        if (!fails_fd(OP_READ, fd, &error))
                return false;
        if (error == 0 && *n > 1) {
                *n /= 2;
                return false;
        }
        errno = error ? error : EIO;
        return true;
}

ssize_t read(int fd, void *p, size_t n)
{
        REAL(read);
        return read_fails(fd, &n) ? -1 : real(fd, p, n);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
        REAL(pread);
        return read_fails(fd, &n) ? -1 : real(fd, p, n, at);
}

ssize_t pread64(int fd, void *p, size_t n, off64_t at)
{
        REAL(pread64);
        return read_fails(fd, &n) ? -1 : real(fd, p, n, at);
}

ssize_t sendfile64(int to, int fd, off64_t *at, size_t n)
{
        REAL(sendfile64);
        return read_fails(fd, &n) ? -1 : real(to, fd, at, n);
}

int fstat(int fd, struct stat *st)
{
        REAL(fstat);
        FAIL_FD(OP_STAT, fd, -1);
        return real(fd, st);
}

int fstat64(int fd, struct stat64 *st)
{
        REAL(fstat64);
        FAIL_FD(OP_STAT, fd, -1);
        return real(fd, st);
}

int stat(const char *path, struct stat *st)
{
        REAL(stat);
        FAIL_PATH(OP_STAT, path);
        return real(path, st);
}

int stat64(const char *path, struct stat64 *st)
{
        REAL(stat64);
        FAIL_PATH(OP_STAT, path);
        return real(path, st);
}

/* ---- making it last ----------------------------------------------------------------------- */

int fsync(int fd)
{
        REAL(fsync);
        FAIL_FD(OP_FSYNC, fd, -1);
        return real(fd);
}

int fdatasync(int fd)
{
        REAL(fdatasync);
        FAIL_FD(OP_FSYNC, fd, -1);
        return real(fd);
}

/* ---- names ---------------------------------------------------------------------------------- */

int link(const char *from, const char *to)
{
        REAL(link);
        FAIL_PATH(OP_LINK, to);
        return real(from, to);
}

/* Relative to a folder's descriptor, or absolute. */
static bool at_fails(enum op op, int dir, const char *path, int *error)
{
        if (!armed(op))
                return false;
        return (path[0] == '/' ? below_root(path) : fd_below_root(dir)) && chosen(error);
}

int fstatat(int dir, const char *path, struct stat *st, int flags)
{
        REAL(fstatat);
        int error;
        if (at_fails(OP_STAT, dir, path, &error)) {
                errno = error;
                return -1;
        }
        return real(dir, path, st, flags);
}

int unlink(const char *path)
{
        REAL(unlink);
        FAIL_PATH(OP_UNLINK, path);
        return real(path);
}

int unlinkat(int dir, const char *path, int flags)
{
        REAL(unlinkat);
        int error;
        if (at_fails(OP_UNLINK, dir, path, &error)) {
                errno = error;
                return -1;
        }
        return real(dir, path, flags);
}

int mkdirat(int dir, const char *path, mode_t mode)
{
        REAL(mkdirat);
        int error;
        if (at_fails(OP_MKDIR, dir, path, &error)) {
                errno = error;
                return -1;
        }
        return real(dir, path, mode);
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
        REAL(linkat);
        int error;
        if (at_fails(OP_LINK, to_dir, to, &error)) {
                errno = error;
                return -1;
        }
        return real(from_dir, from, to_dir, to, flags);
}

int rename(const char *from, const char *to)
{
        REAL(rename);
        FAIL_PATH(OP_RENAME, to);
        return real(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
        REAL(renameat);
        int error;
        if (at_fails(OP_RENAME, to_dir, to, &error)) {
                errno = error;
                return -1;
        }
        return real(from_dir, from, to_dir, to);
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
        REAL(renameat2);
        int error;
        if (at_fails(OP_RENAME, to_dir, to, &error)) {
                errno = error;
                return -1;
        }
        return real(from_dir, from, to_dir, to, flags);
}

/* ---- descriptors ------------------------------------------------------------------------------ */

#define OPEN(name)                                                                                                     \
        int name(const char *path, int flags, ...)                                                                     \
        {                                                                                                              \
                static int (*real)(const char *, int, ...);                                                            \
                va_list ap;                                                                                            \
                mode_t mode;                                                                                           \
                if (!real)                                                                                             \
                        *(void **)&real = dlsym(RTLD_NEXT, #name);                                                     \
                va_start(ap, flags);                                                                                   \
                mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;                                         \
                va_end(ap);                                                                                            \
                FAIL_PATH(OP_OPEN, path);                                                                              \
                return real(path, flags, mode);                                                                        \
        }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                                   \
        int name(int dir, const char *path, int flags, ...)                                                            \
        {                                                                                                              \
                static int (*real)(int, const char *, int, ...);                                                       \
                va_list ap;                                                                                            \
                mode_t mode;                                                                                           \
                int error;                                                                                             \
                if (!real)                                                                                             \
                        *(void **)&real = dlsym(RTLD_NEXT, #name);                                                     \
                va_start(ap, flags);                                                                                   \
                mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(ap, mode_t) : 0;                                         \
                va_end(ap);                                                                                            \
                if (at_fails(OP_OPEN, dir, path, &error)) {                                                            \
                        errno = error;                                                                                 \
                        return -1;                                                                                     \
                }                                                                                                      \
                return real(dir, path, flags, mode);                                                                   \
        }
OPENAT(openat)
OPENAT(openat64)

/* The descriptor is gone all the same, as Linux has it. */
int close(int fd)
{
        REAL(close);
        int error;
        bool fails = fails_fd(OP_CLOSE, fd, &error);
        int rc = real(fd);
        if (!fails)
                return rc;
        errno = error;
        return -1;
}

/* ---- memory ----------------------------------------------------------------------------------- */

/* glibc's own entry points, since dlsym itself allocates. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);

/*
 * Two that are not ours to mend: ONNX Runtime reads wild pointers when an
 * allocation of its own fails (the server has no other C++ in it), and the
 * dynamic linker ends the process when it has no memory for a thread's variables.
 */
static bool of_others(const void *caller)
{
        Dl_info in;

        return dladdr(caller, &in) && in.dli_fname &&
               (strstr(in.dli_fname, "onnxruntime") || strstr(in.dli_fname, "libstdc++") ||
                strstr(in.dli_fname, "ld-linux"));
}

static bool alloc_fails(const void *caller)
{
        int ignored;

        return armed(OP_ALLOC) && !of_others(caller) && chosen(&ignored);
}

void *malloc(size_t n)
{
        if (alloc_fails(__builtin_return_address(0))) {
                errno = ENOMEM;
                return NULL;
        }
        return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
        if (alloc_fails(__builtin_return_address(0))) {
                errno = ENOMEM;
                return NULL;
        }
        return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
        if (alloc_fails(__builtin_return_address(0))) {
                errno = ENOMEM;
                return NULL;
        }
        return __libc_realloc(p, n);
}

void *__libc_memalign(size_t align, size_t n);

void *aligned_alloc(size_t align, size_t n)
{
        if (alloc_fails(__builtin_return_address(0))) {
                errno = ENOMEM;
                return NULL;
        }
        return __libc_memalign(align, n);
}

int posix_memalign(void **out, size_t align, size_t n)
{
        void *p = alloc_fails(__builtin_return_address(0)) ? NULL : __libc_memalign(align, n);

        if (!p)
                return ENOMEM;
        *out = p;
        return 0;
}
