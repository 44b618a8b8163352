/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of objects, one line each, ordered by hash. There may be millions of lines, so lists are only ever read in
 * order, and several are merged on the way.
 */
#include "admin/backup_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BUFFER     ((size_t)64 << 10)
#define LINE_BYTES ((size_t)PRODUCTS_MAX + 128)

/* ---- words ------------------------------------------------------------------------------ */

static void copy_replacing(const char *from, char *to, char old, char new)
{
        size_t i;

        for (i = 0; from[i] && i + 1 < PRODUCTS_MAX; i++)
                to[i] = from[i] == old ? new : from[i];
        to[i] = '\0';
}

void list_set_products(struct list_line *line, const char *products)
{
        copy_replacing(products, line->word, ' ', ',');
}

void list_item(const struct list_line *line, struct objects_item *out)
{
        out->key = line->key;
        out->size = line->size;
        copy_replacing(strcmp(line->word, "picture") == 0 ? STORAGE_PREVIEW "," STORAGE_THUMB : line->word,
                       out->products, ',', ' ');
        /* Other words are no file names with an ending. */
        if (!strchr(out->products, '.') || !products_valid(span_of(out->products)))
                out->products[0] = '\0';
}

/* ---- writing ----------------------------------------------------------------------------- */

struct list_writer {
        char folder[PATH_MAX], name[64], temp[80];
        int dir, fd;
        struct buf held;
};

int list_create(const char *folder, const char *name, struct list_writer **out, struct err *e)
{
        struct list_writer *w = mem_calloc(1, sizeof *w);

        if (!w)
                return err_oom(e);
        w->fd = -1;
        buf_init(&w->held, BUFFER + LINE_BYTES);
        snprintf(w->folder, sizeof w->folder, "%s", folder);
        snprintf(w->name, sizeof w->name, "%s", name);
        snprintf(w->temp, sizeof w->temp, "%s.new", w->name);
        w->dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (w->dir >= 0) {
                unlinkat(w->dir, w->temp, 0);
                w->fd = openat(w->dir, w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        }
        if (w->fd < 0) {
                err_errno(e, errno, "cannot make %.120s/%.40s", folder, name);
                list_abandon(w);
                return -1;
        }
        *out = w;
        return 0;
}

static int flush_held(struct list_writer *w, struct err *e)
{
        int rc = FAULT("backup.list");

        if (rc)
                return err_errno(e, rc, "cannot write %.60s", w->name);
        rc = buf_failed(&w->held) ? err_oom(e) : fd_write_all(w->fd, w->held.p, w->held.n, e);
        buf_reset(&w->held);
        return rc;
}

int list_put(struct list_writer *w, const struct list_line *line, struct err *e)
{
        char hex[SHA256_TEXT_LEN];

        buf_printf(&w->held, "%s %llu%s%s\n", sha256_format(line->key, hex), (unsigned long long)line->size,
                   line->word[0] ? " " : "", line->word);
        return w->held.n >= BUFFER ? flush_held(w, e) : 0;
}

int list_finish(struct list_writer *w, struct err *e)
{
        if (flush_held(w, e))
                return -1;
        if (fsync(w->fd))
                return err_errno(e, errno, "cannot sync %.60s", w->name);
        if (renameat(w->dir, w->temp, w->dir, w->name))
                return err_errno(e, errno, "cannot name %.60s", w->name);
        return fsync(w->dir) && errno != EINVAL ? err_errno(e, errno, "cannot sync the folder %.160s", w->folder) : 0;
}

void list_abandon(struct list_writer *w)
{
        if (!w)
                return;
        fd_close(&w->fd);
        fd_close(&w->dir);
        buf_done(&w->held);
        mem_free(w);
}

/* ---- reading ---------------------------------------------------------------------------------- */

struct list_reader {
        int fd;
        size_t at, n;
        struct sha256 last;
        bool any, ended;
        char path[256], held[BUFFER];
};

int list_open(const char *path, struct list_reader **out, struct err *e)
{
        struct list_reader *r = mem_alloc(sizeof *r);

        if (!r)
                return err_oom(e);
        memset(r, 0, offsetof(struct list_reader, held));
        snprintf(r->path, sizeof r->path, "%s", path);
        r->fd = open(path, O_RDONLY | O_CLOEXEC);
        if (r->fd < 0) {
                err_errno(e, errno, "cannot open %.180s", path);
                list_close(r);
                return -1;
        }
        *out = r;
        return 0;
}

void list_close(struct list_reader *r)
{
        if (!r)
                return;
        fd_close(&r->fd);
        mem_free(r);
}

/* The bytes held are moved to the front, and more are read behind them. */
static int read_more(struct list_reader *r, struct err *e)
{
        ssize_t got;

        memmove(r->held, r->held + r->at, r->n - r->at);
        r->n -= r->at;
        r->at = 0;
        do
                got = read(r->fd, r->held + r->n, BUFFER - r->n);
        while (got < 0 && errno == EINTR);
        if (got < 0)
                return err_errno(e, errno, "cannot read %.180s", r->path);
        r->ended = got == 0;
        r->n += (size_t)got;
        return 0;
}

static bool parse_line(struct span line, struct list_line *out)
{
        struct span part;

        *out = (struct list_line){0};
        if (!span_cut(&line, ' ', &part) || !sha256_parse(part, &out->key) || !span_cut(&line, ' ', &part) ||
            !span_u64(part, &out->size) || line.n >= sizeof out->word)
                return false;
        if (line.n)
                memcpy(out->word, line.p, line.n);
        return true;
}

int list_next(struct list_reader *r, struct list_line *line, struct err *e)
{
        char *end;

        if (r->n - r->at < LINE_BYTES && !r->ended && read_more(r, e))
                return -1;
        if (r->at == r->n)
                return 0;
        end = memchr(r->held + r->at, '\n', r->n - r->at);
        if (!end || !parse_line((struct span){r->held + r->at, (size_t)(end - r->held) - r->at}, line) ||
            (r->any && key_cmp(r->last, line->key) >= 0))
                return err_set(e, ERR_CORRUPT, "%.160s: a line is no object, or not in its place", r->path);
        r->at = (size_t)(end - r->held) + 1;
        r->last = line->key;
        r->any = true;
        return 1;
}

/* ---- several as one ------------------------------------------------------------------------------ */

struct list_merge {
        struct source {
                struct list_reader *r;
                struct list_line line;
                bool has;
        } * sources;
        size_t n, cap;
};

int merge_new(struct list_merge **out, struct err *e)
{
        *out = mem_calloc(1, sizeof **out);
        return *out ? 0 : err_oom(e);
}

static int advance_source(struct source *s, struct err *e)
{
        int rc = list_next(s->r, &s->line, e);

        s->has = rc > 0;
        return rc < 0 ? -1 : 0;
}

int merge_add(struct list_merge *m, const char *path, struct err *e)
{
        struct source s = {0};

        if (mem_grow((void **)&m->sources, &m->cap, m->n + 1, sizeof *m->sources))
                return err_oom(e);
        if (list_open(path, &s.r, e))
                return -1;
        m->sources[m->n++] = s;
        return advance_source(&m->sources[m->n - 1], e);
}

int merge_next(struct list_merge *m, struct list_line *line, struct err *e)
{
        struct source *least = NULL;

        for (size_t i = 0; i < m->n; i++) {
                struct source *s = &m->sources[i];
                if (s->has && (!least || key_cmp(s->line.key, least->line.key) < 0))
                        least = s;
        }
        if (!least)
                return 0;
        *line = least->line;
        for (size_t i = 0; i < m->n; i++)
                if (m->sources[i].has && key_cmp(m->sources[i].line.key, line->key) == 0 &&
                    advance_source(&m->sources[i], e))
                        return -1;
        return 1;
}

void merge_free(struct list_merge *m)
{
        if (!m)
                return;
        for (size_t i = 0; i < m->n; i++)
                list_close(m->sources[i].r);
        mem_free(m->sources);
        mem_free(m);
}
