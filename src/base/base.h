/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values and containers that every other room uses. Base includes no other room and knows nothing of files, HTTP or
 * pictures.
 *
 * Conventions of the whole program: a function that can fail returns 0 or -1 and fills the caller's struct err. The
 * function that detects an error sets its message, its callers pass it on. Destructors accept NULL.
 */
#ifndef FA_BASE_H
#define FA_BASE_H

/* Asserts guard against bugs and stay on in every build type, whatever the build system defines. */
#undef NDEBUG
#include <assert.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define MUST_CHECK        __attribute__((warn_unused_result))
#define PRINTF_LIKE(f, a) __attribute__((format(printf, f, a)))
#define COUNT_OF(a)       (sizeof(a) / sizeof((a)[0]))

/* ---- err: a caller-owned error value ---------------------------------- */

enum err_code {
        ERR_NONE,
        ERR_INVALID,     /* the caller's value is wrong: field, value, allowed (400) */
        ERR_FORBIDDEN,   /* the key does not allow it (403) */
        ERR_NOT_FOUND,   /* (404) */
        ERR_CONFLICT,    /* the state does not allow it (409) */
        ERR_TOO_LARGE,   /* a configured limit was passed (413) */
        ERR_UNSUPPORTED, /* a type we do not understand (415) */
        ERR_CORRUPT,     /* bytes that claim a type and are not it (422) */
        ERR_STALE,       /* fencing token no longer holds the lease */
        ERR_BUSY,        /* overloaded, try again later (503) */
        ERR_TIMEOUT,
        ERR_UNAVAILABLE, /* a part we need is not there now (503) */
        ERR_NO_SPACE,    /* ENOSPC or quota (507 is not ours: 503) */
        ERR_CRASHED,     /* a child process died while working for us */
        ERR_STOPPED,     /* it was asked to stop, and did */
        ERR_IO,
        ERR_OOM,
        ERR_INTERNAL,
};

struct err {
        enum err_code code;
        char msg[240]; /* one sentence, no newline, never a secret */
};

/* Fill *e (may be NULL) and return -1, so that "return err_set(...)" reads well. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The same from an errno value: ENOSPC/EDQUOT → ERR_NO_SPACE, ENOENT → ERR_NOT_FOUND, ENOMEM → ERR_OOM, else ERR_IO;
 * the message ends in strerror. */
int err_errno(struct err *e, int errnum, const char *fmt, ...) PRINTF_LIKE(3, 4);
int err_oom(struct err *e);
/* snake_case name, e.g. "not_found"; static storage. */
const char *err_name(enum err_code code);

/* ---- memory ------------------------------------------------------------ */

/* The only allocators the other rooms may call; NULL on failure (tests make the n-th fail). n*size overflow is checked.
 */
void *mem_alloc(size_t n) MUST_CHECK;
void *mem_calloc(size_t n, size_t size) MUST_CHECK;
void *mem_realloc(void *p, size_t n) MUST_CHECK;
char *mem_strdup(const char *s) MUST_CHECK;
void mem_free(void *p);
/* Grow *p so that it holds at least need elements of size elem (doubling); updates *cap. 0 or -1 (old block intact). */
int mem_grow(void **p, size_t *cap, size_t need, size_t elem) MUST_CHECK;
/* Tests: let n more allocations of the process succeed and fail the one after, once. Negative: never (the default). */
void mem_fail_after(long n);

/* ---- span: bytes somebody else owns ------------------------------------- */

struct span {
        const char *p;
        size_t n;
};

#define SPAN(lit) ((struct span){(lit), sizeof(lit) - 1})
struct span span_of(const char *s); /* NULL → empty */
bool span_eq(struct span a, const char *s);
bool span_ieq(struct span a, const char *s); /* ASCII case folded */
struct span span_trim(struct span s);        /* space, tab, CR, LF off both ends */
/* Cut the part before sep off *rest (all of it if sep is absent); false when *rest was already used up. */
bool span_cut(struct span *rest, char sep, struct span *part);
bool span_u64(struct span s, uint64_t *out); /* decimal digits only, no sign, overflow refused */
bool span_f64(struct span s, double *out);   /* locale-free, finite only */
/* True for well-formed UTF-8 (no surrogates, no overlongs); control characters are allowed. */
bool utf8_valid(struct span s);

/* ---- buf: string builder with a mandatory cap and a sticky failure ------ */

struct buf {
        char *p; /* NUL-terminated whenever n > 0 */
        size_t n, cap, max;
        bool failed; /* passed max or ran out of memory; further puts do nothing */
};

void buf_init(struct buf *b, size_t max);
void buf_done(struct buf *b);
void buf_reset(struct buf *b); /* empty, keeps memory, clears failure */
void buf_put(struct buf *b, const void *p, size_t n);
void buf_puts(struct buf *b, const char *s);
void buf_putc(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
void buf_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);
/* "…" with JSON escapes; ill-formed UTF-8 becomes U+FFFD. NULL → null. */
void buf_json_str(struct buf *b, const char *s);
void buf_json_span(struct buf *b, struct span s);
/* Shortest decimal text that reads back equal, with a point whatever the locale; "null" when not finite. */
void buf_num(struct buf *b, double v);
/* Always a valid C string, "" when nothing was put. Owned by b. */
const char *buf_str(const struct buf *b);
static inline bool buf_failed(const struct buf *b)
{
        return b->failed;
}
static inline struct span buf_span(const struct buf *b)
{
        return (struct span){b->p, b->n};
}

/* ---- arena: many small things that die together ------------------------- */

/* Not thread-safe: one request or one task owns it. */
struct arena;
struct arena *arena_new(size_t max_bytes) MUST_CHECK; /* NULL on OOM */
void arena_free(struct arena *a);
/* Zeroed, 16-byte aligned; NULL past max_bytes or on OOM. */
void *arena_alloc(struct arena *a, size_t n) MUST_CHECK;
void *arena_array(struct arena *a, size_t n, size_t size) MUST_CHECK;
/* *p, an array of cap elements (0: none yet), gets room for need; the old one stays in the arena. 0, or ERR_OOM. */
int arena_grow(struct arena *a, void *p, size_t *cap, size_t need, size_t elem, struct err *e) MUST_CHECK;
char *arena_strdup(struct arena *a, const char *s) MUST_CHECK; /* NULL → NULL */
char *arena_strndup(struct arena *a, struct span s) MUST_CHECK;
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3) MUST_CHECK;
size_t arena_used(const struct arena *a);

/* ---- time: three types that do not mix ----------------------------------- */

struct wall { /* microseconds since 1970-01-01 UTC */
        int64_t us;
};
struct mono { /* nanoseconds of CLOCK_MONOTONIC */
        int64_t ns;
};
struct dur { /* nanoseconds */
        int64_t ns;
};

struct wall wall_now(void);
struct mono mono_now(void);
struct dur dur_ms(int64_t ms);
struct dur dur_s(double s);
struct dur mono_since(struct mono then);
double dur_seconds(struct dur d);
struct mono mono_add(struct mono t, struct dur d);
struct wall wall_add(struct wall t, struct dur d);
bool mono_reached(struct mono t); /* now >= t */
void sleep_for(struct dur d);     /* restarts on EINTR */

#define WALL_TEXT_LEN 28
/* RFC 3339 with milliseconds and Z: "2026-01-02T03:04:05.678Z". */
const char *wall_format(struct wall t, char out[WALL_TEXT_LEN]);
/* Accepts RFC 3339 date-times (any fraction, Z or offset) and plain dates (midnight UTC). */
bool wall_parse(struct span s, struct wall *out);
/* An absolute deadline for pthread_cond_timedwait on a CLOCK_MONOTONIC condition. */
struct timespec mono_timespec(struct mono t);

/* ---- id: UUIDv7 (RFC 9562 section 5.7) ----------------------------------- */

struct id {
        uint8_t b[16];
};
#define ID_TEXT_LEN 37
/* Time-ordered, also within a millisecond of one process (12 bits of sub-millisecond time and a counter). */
struct id id_new(void);
bool id_is_nil(struct id i);
bool id_eq(struct id a, struct id b);
int id_cmp(struct id a, struct id b);
const char *id_format(struct id i, char out[ID_TEXT_LEN]);
bool id_parse(struct span s, struct id *out); /* 8-4-4-4-12 hex in either case */
void random_bytes(void *p, size_t n);         /* getrandom; never fails once booted */
uint64_t random_u64(void);                    /* unpredictable, but not meant for comparing secrets */

/* ---- sha256 --------------------------------------------------------------- */

struct sha256 {
        uint8_t b[32];
};
#define SHA256_TEXT_LEN 65
struct sha256_ctx;
struct sha256_ctx *sha256_new(void) MUST_CHECK;
void sha256_update(struct sha256_ctx *c, const void *p, size_t n);
struct sha256 sha256_final(struct sha256_ctx *c); /* the context may be reused after this */
void sha256_free(struct sha256_ctx *c);
struct sha256 sha256_of(const void *p, size_t n);
struct sha256 hmac_sha256(struct span key, struct span text); /* RFC 2104 */
bool sha256_eq(struct sha256 a, struct sha256 b);
const char *sha256_format(struct sha256 h, char out[SHA256_TEXT_LEN]);
bool sha256_parse(struct span s, struct sha256 *out);
bool equal_constant_time(const void *a, const void *b, size_t n);

/* ---- base64 (RFC 4648) ------------------------------------------------------ */

enum base64 { BASE64_PADDED, BASE64_URL /* its own two last digits, no padding */ };
#define BASE64_LEN(n) (((n) + 2) / 3 * 4) /* bytes of text at most */
/* Writes no NUL. The bytes written. */
size_t base64_write(enum base64 kind, const void *bytes, size_t n, char *out);
/* False: not what base64_write gives, or of more than max bytes; out then holds anything. */
bool base64_read(enum base64 kind, struct span text, void *out, size_t max, size_t *n) MUST_CHECK;

/* ---- idmap: struct id → uint32_t, open addressing -------------------------- */

struct idmap;
struct idmap *idmap_new(void) MUST_CHECK;
void idmap_free(struct idmap *m);
int idmap_put(struct idmap *m, struct id key, uint32_t value) MUST_CHECK; /* replaces; -1 on OOM */
bool idmap_get(const struct idmap *m, struct id key, uint32_t *value);

/* ---- lock: a mutex that knows its owner and its rank ------------------------- */

/*
 * Ranks are the lock order: taking a lock whose rank is not greater than the
 * highest this thread holds asserts. The table is the only place that orders locks.
 */
enum lock_rank {
        RANK_APP = 10,
        RANK_ORGANISE_OWNER = 20,
        RANK_SEARCH = 25,
        RANK_WORKER = 30,
        RANK_JAIL = 35,
        RANK_QUEUE = 40,
        RANK_EMBED = 45,
        RANK_CATALOG_INDEX = 50,
        RANK_CATALOG_WRITER = 60,
        RANK_CATALOG_POOL = 65,
        RANK_STORAGE = 70,
        RANK_LIMIT = 75,
        RANK_HTTP = 80,
        RANK_HELPER = 85,
        RANK_METRICS = 90,
        RANK_LOG = 95,
};

struct lock {
        pthread_mutex_t mu;
        const char *name;
        int rank;
        _Atomic(uintptr_t) owner;
};

void lock_init(struct lock *l, const char *name, enum lock_rank rank);
void lock_done(struct lock *l);
void lock_take(struct lock *l);
void lock_drop(struct lock *l);
void lock_assert_held(const struct lock *l);

struct cond { /* CLOCK_MONOTONIC */
        pthread_cond_t cv;
};
void cond_init(struct cond *c);
void cond_done(struct cond *c);
void cond_wait(struct cond *c, struct lock *l);
/* False when the deadline passed. */
bool cond_wait_until(struct cond *c, struct lock *l, struct mono deadline);
void cond_signal(struct cond *c);
void cond_broadcast(struct cond *c);

/* Start a named thread with all signals blocked and a 1 MiB stack. 0 or -1. */
int thread_start(pthread_t *t, const char *name, void *(*run)(void *), void *arg) MUST_CHECK;
/*
 * From now on this thread, and every thread it starts, runs at a lower priority than threads that have not called
 * this.
 */
void thread_stand_back(void);

/*
 * A helper thread that takes over part of a caller's work. It serves one caller at a time, and a caller waits for it
 * only once it has begun, so it costs a busy machine next to nothing.
 */
struct helper;
int helper_open(const char *name, struct helper **out) MUST_CHECK; /* 0 or -1 */
void helper_close(struct helper *h);                               /* not lent at the moment; NULL is fine */
/*
 * Runs fn(arg) on the helper's thread as soon as that is scheduled. False: it is lent already, or h is NULL; nothing
 * will happen.
 */
bool helper_lend(struct helper *h, void (*fn)(void *arg), void *arg) MUST_CHECK;
/* Gives the helper back. True: fn has run to its end. False: fn had not begun and will not run. */
bool helper_end(struct helper *h) MUST_CHECK;

/* ---- fds ------------------------------------------------------------------- */

void fd_close(int *fd); /* closes once, sets -1, keeps errno; -1 is fine */
int fd_write_all(int fd, const void *p, size_t n, struct err *e) MUST_CHECK;
/* Read a whole small file; refuses more than max. The buffer is NUL-terminated, *out is the caller's (mem_free). */
int file_read_all(const char *path, size_t max, char **out, size_t *n, struct err *e) MUST_CHECK;
/* mkdir -p with mode 0700; existing directories are fine. */
int dir_make(const char *path, struct err *e) MUST_CHECK;
int dir_sync(const char *path, struct err *e) MUST_CHECK;
/*
 * Syncs every directory above path, since some may have been made just now; directories that cannot be opened are
 * skipped.
 */
int dir_sync_above(const char *path, struct err *e) MUST_CHECK;

/* ---- fault points ------------------------------------------------------------ */

/*
 * Named places where tests inject faults: FILE_ALLOCATOR_FAULT="storage.link=kill@3,catalog.commit=eio@1"
 *
 * kill sends SIGKILL to the process when it passes for the n-th time. eio and enospc make FAULT() return that errno
 * at the n-th passing and 0 otherwise. stall sleeps for one hour. A line on standard error says that the fault was
 * injected. Without the variable the cost is one relaxed load. Every name has a row in tests/fault/points.mjs, whose
 * test goes through them all.
 */
extern atomic_bool fault_armed;
int fault_hit(const char *name);
void fault_init(void); /* reads the environment, once, in main() */
/* fault is what FAULT() returned: 0, or -1 with that error; what names the step that failed. */
int fault_err(int errnum, const char *what, struct err *e) MUST_CHECK;
#define FAULT(name) (atomic_load_explicit(&fault_armed, memory_order_relaxed) ? fault_hit(name) : 0)

#endif
