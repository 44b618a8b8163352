/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local files of the S3 backend: uploads under way, and copies of objects just read or just written. None has a name,
 * so a crash leaves nothing (objects that wait to be sent have one: storage_s3_back.c). The hard thing is the limit:
 * a copy's bytes are free only when its last reader, maybe a decoder in another process, has closed it. So each
 * reader gets a descriptor of its own with a shared flock, which ends with the descriptor wherever it was passed on
 * to, and a copy is removed only when an exclusive flock succeeds.
 */
#include "storage/storage_s3_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct s3_copy {
        char key[S3_KEY_MAX];
        int fd;
        uint64_t size;
        struct mono until; /* 0: no end */
        struct s3_copy *next;
};

int s3_spool_open(struct s3 *s, struct err *e)
{
        int fd = -1;

        if (dir_make(s->spool_path, e))
                return -1;
        s->spool = open(s->spool_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (s->spool < 0)
                return err_errno(e, errno, "cannot open the spool %.120s", s->spool_path);
        if (s3_spool_file(s, &fd, e))
                return -1;
        fd_close(&fd);
        return 0;
}

int s3_spool_file(struct s3 *s, int *fd, struct err *e)
{
        char name[ID_TEXT_LEN];

        *fd = openat(s->spool, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
        if (*fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT || errno == EINVAL)) {
                *fd = openat(s->spool, id_format(id_new(), name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
                if (*fd >= 0)
                        unlinkat(s->spool, name, 0);
        }
        return *fd >= 0 ? 0 : err_errno(e, errno, "cannot begin a file in the spool %.100s", s->spool_path);
}

/* ---- copies, lock held ------------------------------------------------------------- */

static void forget_copy(struct s3 *s, struct s3_copy **at)
{
        struct s3_copy *c = *at;

        *at = c->next;
        s->used -= c->size;
        s->copied -= c->size;
        s->ncopies--;
        fd_close(&c->fd);
        mem_free(c);
}

/* The copy that was unused for longest and that nobody reads. */
static bool make_room(struct s3 *s)
{
        struct s3_copy **found = NULL;

        for (struct s3_copy **at = &s->copies; *at; at = &(*at)->next) {
                if (flock((*at)->fd, LOCK_EX | LOCK_NB))
                        continue;
                if (found)
                        flock((*found)->fd, LOCK_UN);
                found = at;
        }
        if (!found)
                return false;
        forget_copy(s, found);
        return true;
}

/* To the front, so that the front is the one used last. */
static struct s3_copy *find_copy(struct s3 *s, const char *key)
{
        for (struct s3_copy **at = &s->copies; *at; at = &(*at)->next) {
                struct s3_copy *c = *at;
                if (strcmp(c->key, key) != 0)
                        continue;
                if (c->until.ns && mono_reached(c->until)) {
                        forget_copy(s, at);
                        return NULL;
                }
                *at = c->next;
                c->next = s->copies;
                s->copies = c;
                return c;
        }
        return NULL;
}

/* ---- the bound ------------------------------------------------------------------------ */

int s3_spool_reserve(struct s3 *s, uint64_t mine, uint64_t n, struct err *e)
{
        bool room;

        if (n > s->spool_max || mine > s->spool_max - n)
                return err_set(e, ERR_TOO_LARGE, "the file is larger than the spool, which may hold %llu bytes",
                               (unsigned long long)s->spool_max);
        lock_take(&s->lock);
        /* The use may exceed the limit when waiting objects are from a run with a larger limit. */
        while (s->used + n > s->spool_max && make_room(s)) {
        }
        room = s->used + n <= s->spool_max;
        if (room)
                s->used += n;
        lock_drop(&s->lock);
        return room ? 0
                    : err_set(e, ERR_BUSY, "the spool is full: %llu bytes of files are on their way; try again later",
                              (unsigned long long)s->spool_max);
}

void s3_spool_release(struct s3 *s, uint64_t n)
{
        lock_take(&s->lock);
        assert(n <= s->used);
        s->used -= n;
        lock_drop(&s->lock);
}

void s3_spool_close(struct s3 *s)
{
        while (s->copies)
                forget_copy(s, &s->copies);
        fd_close(&s->spool);
}

/* ---- claims ------------------------------------------------------------------------------ */

void s3_claim(struct s3 *s, struct s3_claim *c, const char *key)
{
        const struct s3_claim *other;

        snprintf(c->key, sizeof c->key, "%s", key);
        lock_take(&s->lock);
        do {
                for (other = s->claims; other && strcmp(other->key, key) != 0; other = other->next) {
                }
                if (other)
                        cond_wait(&s->changed, &s->lock);
        } while (other);
        c->next = s->claims;
        s->claims = c;
        lock_drop(&s->lock);
}

void s3_unclaim(struct s3 *s, struct s3_claim *c)
{
        struct s3_claim **at;

        lock_take(&s->lock);
        for (at = &s->claims; *at != c; at = &(*at)->next) {
        }
        *at = c->next;
        cond_broadcast(&s->changed);
        lock_drop(&s->lock);
}

/* ---- copies -------------------------------------------------------------------------------- */

bool s3_copy_open(struct s3 *s, const char *key, int *fd, uint64_t *size)
{
        struct s3_copy *c;
        char proc[40];

        *fd = -1;
        lock_take(&s->lock);
        c = find_copy(s, key);
        if (c) {
                /* Not dup(): an offset and a lock of its own. */
                snprintf(proc, sizeof proc, "/proc/self/fd/%d", c->fd);
                *fd = open(proc, O_RDONLY | O_CLOEXEC);
                if (*fd >= 0 && flock(*fd, LOCK_SH | LOCK_NB))
                        fd_close(fd);
                *size = c->size;
        }
        lock_drop(&s->lock);
        return *fd >= 0;
}

bool s3_copy_known(struct s3 *s, const char *key)
{
        return find_copy(s, key) != NULL;
}

bool s3_copy_add(struct s3 *s, const char *key, int fd, uint64_t size, struct dur ttl)
{
        struct s3_copy *c = find_copy(s, key) ? NULL : mem_calloc(1, sizeof *c);

        if (!c) {
                s->used -= size;
                return false;
        }
        if (s->ncopies >= S3_COPIES)
                make_room(s);
        snprintf(c->key, sizeof c->key, "%s", key);
        c->fd = fd;
        c->size = size;
        c->until = ttl.ns ? mono_add(mono_now(), ttl) : (struct mono){0};
        c->next = s->copies;
        s->copies = c;
        s->ncopies++;
        s->copied += size;
        return true;
}

void s3_copy_keep(struct s3 *s, const char *key, int fd, uint64_t size, struct dur ttl)
{
        bool kept;

        lock_take(&s->lock);
        kept = s3_copy_add(s, key, fd, size, ttl);
        lock_drop(&s->lock);
        if (!kept)
                fd_close(&fd);
}

void s3_copy_drop(struct s3 *s, const char *key)
{
        size_t n = strlen(key);

        lock_take(&s->lock);
        for (struct s3_copy **at = &s->copies; *at;) {
                if (strncmp((*at)->key, key, n) == 0)
                        forget_copy(s, at);
                else
                        at = &(*at)->next;
        }
        lock_drop(&s->lock);
}
