/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files below the paths a user names, in an order that is the same every
 * time. The hard thing is symbolic links: a folder behind one is never entered
 * (loops), a file behind one is taken only while it lies below the folder that
 * was named, so that an upload of ~/Pictures cannot carry off /etc.
 */
#include "cli/cli_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_DEPTH 128
#define MAX_BYTES ((size_t)2 << 30)

struct walker {
        struct walk *w;
        const struct walk_rules *rules;
        char root[PATH_MAX]; /* resolved; what links may point into */
        size_t prefix;       /* of the path as given, with its slash */
        struct err *e;
};

int walk_init(struct walk *w, struct err *e)
{
        *w = (struct walk){.mem = arena_new(MAX_BYTES)};
        return w->mem ? 0 : err_oom(e);
}

void walk_done(struct walk *w)
{
        arena_free(w->mem);
        mem_free(w->files);
        *w = (struct walk){0};
}

static int add_file(struct walk *w, const char *path, uint64_t size, const char *problem, struct err *e)
{
        char *copy = arena_strdup(w->mem, path);
        char *why = arena_strdup(w->mem, problem);

        if (!copy || (problem && !why) || mem_grow((void **)&w->files, &w->cap, w->n + 1, sizeof *w->files))
                return err_oom(e);
        w->files[w->n++] = (struct walk_file){copy, size, why};
        return 0;
}

static bool matches_glob(const struct walker *k, const char *pattern, const char *path)
{
        const char *name = strrchr(path, '/');

        if (strchr(pattern, '/'))
                return fnmatch(pattern, path + k->prefix, FNM_CASEFOLD | FNM_PATHNAME) == 0;
        return fnmatch(pattern, name ? name + 1 : path, FNM_CASEFOLD) == 0;
}

static bool is_wanted(const struct walker *k, const char *path, bool folder)
{
        for (size_t i = 0; i < k->rules->nexclude; i++)
                if (matches_glob(k, k->rules->exclude[i], path))
                        return false;
        for (size_t i = 0; !folder && i < k->rules->ninclude; i++)
                if (matches_glob(k, k->rules->include[i], path))
                        return true;
        return folder || k->rules->ninclude == 0;
}

static bool leads_inside(const struct walker *k, const char *path, struct stat *st)
{
        char target[PATH_MAX];
        size_t n = strlen(k->root);

        if (!realpath(path, target) || stat(path, st) || !S_ISREG(st->st_mode))
                return false;
        return strncmp(target, k->root, n) == 0 && (target[n] == '/' || strcmp(k->root, "/") == 0);
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(char *const *)a, *(char *const *)b);
}

struct names {
        char **names;
        size_t n, cap;
};

static void names_done(struct names *l)
{
        for (size_t i = 0; i < l->n; i++)
                mem_free(l->names[i]);
        mem_free(l->names);
}

/* Sorted. The folder is closed before its children are visited: depth costs no descriptors. */
static int names_read(const struct walker *k, const char *folder, struct names *l, int *errnum)
{
        DIR *d = opendir(folder);
        int rc = 0;

        *errnum = d ? 0 : errno;
        while (d && rc == 0) {
                struct dirent *entry;
                char *copy;
                errno = 0;
                entry = readdir(d);
                if (!entry) {
                        *errnum = errno;
                        break;
                }
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
                    (entry->d_name[0] == '.' && !k->rules->hidden))
                        continue;
                copy = mem_strdup(entry->d_name);
                if (!copy || mem_grow((void **)&l->names, &l->cap, l->n + 1, sizeof *l->names)) {
                        mem_free(copy);
                        rc = err_oom(k->e);
                } else {
                        l->names[l->n++] = copy;
                }
        }
        if (d)
                closedir(d);
        if (l->n > 0)
                qsort(l->names, l->n, sizeof *l->names, compare_names);
        return rc;
}

static int visit_folder(struct walker *k, const char *folder, size_t depth);

static int visit_path(struct walker *k, const char *path, size_t depth)
{
        struct stat st;

        if (lstat(path, &st))
                return errno == ENOENT ? 0 : add_file(k->w, path, 0, strerror(errno), k->e);
        if (!is_wanted(k, path, S_ISDIR(st.st_mode)))
                return 0;
        if (S_ISDIR(st.st_mode))
                return k->rules->recursive ? visit_folder(k, path, depth + 1) : 0;
        if (S_ISLNK(st.st_mode) && !leads_inside(k, path, &st)) {
                k->w->links++;
                return 0;
        }
        if (!S_ISREG(st.st_mode)) {
                k->w->others++;
                return 0;
        }
        return add_file(k->w, path, (uint64_t)st.st_size, access(path, R_OK) == 0 ? NULL : strerror(errno), k->e);
}

static int visit_folder(struct walker *k, const char *folder, size_t depth)
{
        struct names l = {0};
        struct buf path;
        int errnum = 0, rc;

        if (depth > MAX_DEPTH)
                return add_file(k->w, folder, 0, "the folders are nested too deep", k->e);
        rc = names_read(k, folder, &l, &errnum);
        if (rc == 0 && errnum)
                rc = add_file(k->w, folder, 0, strerror(errnum), k->e);
        buf_init(&path, (size_t)PATH_MAX * 2);
        for (size_t i = 0; rc == 0 && i < l.n; i++) {
                buf_reset(&path);
                buf_printf(&path, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/", l.names[i]);
                rc = buf_failed(&path) ? err_oom(k->e) : visit_path(k, buf_str(&path), depth);
        }
        buf_done(&path);
        names_done(&l);
        return rc;
}

int walk_add(struct walk *w, const char *path, const struct walk_rules *rules, struct err *e)
{
        struct walker k = {.w = w, .rules = rules, .e = e};
        struct stat st;
        size_t n = strlen(path);

        /* A path that the user names is followed and taken, even if hidden; only an empty name means nothing. */
        if (n == 0 || stat(path, &st))
                return add_file(w, path, 0, strerror(n == 0 ? ENOENT : errno), e);
        if (S_ISREG(st.st_mode))
                return add_file(w, path, (uint64_t)st.st_size, access(path, R_OK) == 0 ? NULL : strerror(errno), e);
        if (!S_ISDIR(st.st_mode))
                return add_file(w, path, 0, "neither a file nor a folder", e);
        if (!realpath(path, k.root))
                return add_file(w, path, 0, strerror(errno), e);
        k.prefix = n + (path[n - 1] == '/' ? 0 : 1);
        return visit_folder(&k, path, 0);
}
