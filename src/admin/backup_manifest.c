/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The manifest: the contents of a backup, with a hash of every file. The manifest's own hash stands in a file beside
 * it, in the form that sha256sum -c reads. It is read years later, by other versions of the program, from a disk that
 * nobody looked after: no value in it is trusted that does not have the right form.
 */
#include "admin/backup_priv.h"

#include <stdio.h>
#include <string.h>

/* ---- writing ------------------------------------------------------------------------------- */

#define AT(field) offsetof(struct backup_info, field)

static const struct count {
        const char *name;
        size_t at; /* of a uint64_t in struct backup_info */
} COUNTS[] = {
        {"files", AT(files)},     {"trash", AT(trash)}, {"folders", AT(folders)}, {"tasks", AT(tasks)},
        {"failed", AT(failed)},   {"keys", AT(keys)},   {"objects", AT(objects)}, {"object_bytes", AT(object_bytes)},
        {"missing", AT(missing)}, {"gone", AT(gone)},
};
#define NCOUNTS (sizeof COUNTS / sizeof *COUNTS)

static uint64_t *count_in(const struct backup_info *b, size_t i)
{
        return (uint64_t *)((char *)b + COUNTS[i].at);
}

void backup_put_counts(struct json_out *j, const struct backup_info *b)
{
        for (size_t i = 0; i < NCOUNTS; i++)
                json_kv_u64(j, COUNTS[i].name, *count_in(b, i));
}

static void put_files(struct json_out *j, const struct manifest *m)
{
        char hex[SHA256_TEXT_LEN];

        json_key(j, "files");
        json_arr(j);
        for (size_t i = 0; i < m->nfiles; i++) {
                json_obj(j);
                json_kv_str(j, "name", m->files[i].name);
                json_kv_u64(j, "size", m->files[i].size);
                json_kv_str(j, "sha256", sha256_format(m->files[i].hash, hex));
                json_end(j);
        }
        json_end(j);
}

static void put_tables(struct json_out *j, const struct keep_backup *c)
{
        json_key(j, "tables");
        json_arr(j);
        for (size_t i = 0; i < c->ntables; i++) {
                json_obj(j);
                json_kv_str(j, "name", c->tables[i].name);
                json_kv_str(j, "columns", c->tables[i].columns);
                json_kv_str(j, "order", c->tables[i].order);
                json_kv_u64(j, "rows", c->tables[i].rows);
                json_end(j);
        }
        json_end(j);
}

static void put_manifest(const struct manifest *m, struct buf *out)
{
        const struct backup_info *b = &m->info;
        struct json_out j;

        json_out_init(&j, out);
        json_obj(&j);
        json_kv_int(&j, "format", BACKUP_FORMAT);
        json_kv_str(&j, "name", b->name);
        json_kv_str(&j, "program", b->program);
        json_kv_wall(&j, "taken", b->taken);
        json_kv_str(&j, "engine", b->engine);
        json_kv_int(&j, "schema_version", b->schema_version);
        json_kv_int(&j, "origin", m->catalog.origin);
        json_kv_bool(&j, "complete", b->complete);
        json_kv_bool(&j, "derived", b->derived);
        json_key(&j, "counts");
        json_obj(&j);
        backup_put_counts(&j, b);
        json_end(&j);
        put_tables(&j, &m->catalog);
        put_files(&j, m);
        json_end(&j);
        buf_putc(out, '\n');
}

int backup_manifest_write(const struct backup_dir *d, const struct manifest *m, struct err *e)
{
        char folder[PATH_MAX], sum[SHA256_TEXT_LEN + 32], hex[SHA256_TEXT_LEN];
        struct buf b;
        int rc, n;

        backup_path(folder, d, m->info.name, NULL);
        buf_init(&b, MANIFEST_MAX);
        put_manifest(m, &b);
        n = snprintf(sum, sizeof sum, "%s  " MANIFEST "\n", sha256_format(sha256_of(b.p, b.n), hex));
        rc = buf_failed(&b) ? err_oom(e) : 0;
        if (rc == 0)
                rc = backup_write_file(folder, MANIFEST_SUM, (struct span){sum, (size_t)n}, e);
        if (rc == 0)
                rc = backup_write_file(folder, MANIFEST, buf_span(&b), e);
        buf_done(&b);
        return rc;
}

/* ---- reading ----------------------------------------------------------------------------------- */

static bool is_plain(const char *s, const char *allowed)
{
        return *s && s[strspn(s, allowed)] == '\0';
}

static bool read_str(const struct json *obj, const char *key, char *out, size_t max)
{
        const char *s = json_get_str(obj, key, "");

        return *s && (size_t)snprintf(out, max, "%s", s) < max;
}

static uint64_t read_u64(const struct json *obj, const char *key)
{
        int64_t v = json_get_int(obj, key, 0);

        return v > 0 ? (uint64_t)v : 0;
}

#define LETTERS "abcdefghijklmnopqrstuvwxyz_0123456789"

static bool read_tables(const struct json *doc, struct keep_backup *c)
{
        const struct json *all = json_get(doc, "tables");

        if (!json_is_array(all) || json_count(all) > KEEP_BACKUP_TABLES)
                return false;
        for (c->ntables = 0; c->ntables < json_count(all); c->ntables++) {
                struct keep_backup_table *t = &c->tables[c->ntables];
                const struct json *x = json_at(all, c->ntables);
                if (!read_str(x, "name", t->name, sizeof t->name) || !is_plain(t->name, LETTERS) ||
                    !read_str(x, "columns", t->columns, sizeof t->columns) || !is_plain(t->columns, LETTERS ", ") ||
                    !read_str(x, "order", t->order, sizeof t->order) || !is_plain(t->order, LETTERS ", "))
                        return false;
                t->rows = read_u64(x, "rows");
        }
        return true;
}

static bool read_files(const struct json *doc, struct manifest *m)
{
        const struct json *all = json_get(doc, "files");

        if (!json_is_array(all) || json_count(all) > FILES_MAX)
                return false;
        for (m->nfiles = 0; m->nfiles < json_count(all); m->nfiles++) {
                struct backup_file *f = &m->files[m->nfiles];
                const struct json *x = json_at(all, m->nfiles);
                if (!read_str(x, "name", f->name, sizeof f->name) || !is_plain(f->name, LETTERS ".") ||
                    !sha256_parse(json_span(json_get(x, "sha256")), &f->hash))
                        return false;
                f->size = read_u64(x, "size");
        }
        return backup_manifest_file(m, OBJECTS_LIST) && backup_manifest_file(m, ABSENT_LIST);
}

/* A table's hash is that of its file; for SQLite the file stands for the first table. */
static bool join_hashes(struct manifest *m)
{
        struct keep_backup *c = &m->catalog;
        const struct backup_file *f;
        char name[80];

        c->engine = strcmp(m->info.engine, "sqlite") == 0 ? "sqlite" : "postgresql";
        if (strcmp(c->engine, m->info.engine) != 0)
                return false;
        if (strcmp(c->engine, "sqlite") == 0) {
                f = backup_manifest_file(m, KEEP_BACKUP_FILE);
                if (f)
                        c->tables[0].hash = f->hash;
                return f && c->ntables == 0;
        }
        for (size_t i = 0; i < c->ntables; i++) {
                snprintf(name, sizeof name, "%s" KEEP_BACKUP_SUFFIX, c->tables[i].name);
                f = backup_manifest_file(m, name);
                if (!f)
                        return false;
                c->tables[i].hash = f->hash;
        }
        return c->ntables > 0;
}

static bool read_all(const struct json *doc, const char *name, struct manifest *m)
{
        struct backup_info *b = &m->info;
        const struct json *n = json_get(doc, "counts");

        for (size_t i = 0; i < NCOUNTS; i++)
                *count_in(b, i) = read_u64(n, COUNTS[i].name);
        b->complete = json_get_bool(doc, "complete", false);
        b->derived = json_get_bool(doc, "derived", false);
        b->schema_version = (int)json_get_int(doc, "schema_version", 0);
        m->catalog.schema_version = b->schema_version;
        m->catalog.origin = json_get_int(doc, "origin", 0);
        m->catalog.files = b->files;
        m->catalog.trash = b->trash;
        return read_str(doc, "name", b->name, sizeof b->name) && strcmp(b->name, name) == 0 &&
               read_str(doc, "program", b->program, sizeof b->program) &&
               read_str(doc, "engine", b->engine, sizeof b->engine) &&
               wall_parse(json_span(json_get(doc, "taken")), &b->taken) && b->schema_version > 0 &&
               read_tables(doc, &m->catalog) && read_files(doc, m) && join_hashes(m);
}

static int parse_manifest(struct span text, const char *name, struct manifest *m, struct err *e)
{
        struct json *doc = json_parse(text, e);
        int64_t format = doc ? json_get_int(doc, "format", 0) : 0;
        int rc = 0;

        if (!doc)
                return err_set(e, ERR_CORRUPT, "backup %s: " MANIFEST " is no JSON", name);
        if (format > BACKUP_FORMAT)
                rc = err_set(e, ERR_CONFLICT,
                             "backup %s has format %lld, this program knows up to %d: use the program that made it, or "
                             "a newer one",
                             name, (long long)format, BACKUP_FORMAT);
        else if (format < 1 || !read_all(doc, name, m))
                rc = err_set(e, ERR_CORRUPT, "backup %s: " MANIFEST " does not say what a manifest says", name);
        json_free(doc);
        return rc;
}

static int check_sum(const struct backup_dir *d, const char *name, struct span text, struct manifest *m, struct err *e)
{
        char path[PATH_MAX], *sum = NULL, hex[SHA256_TEXT_LEN], want[SHA256_TEXT_LEN + 32];
        struct err why;
        size_t n = 0;
        bool same;

        m->hash = sha256_of(text.p, text.n);
        backup_path(path, d, name, MANIFEST_SUM);
        if (file_read_all(path, 4096, &sum, &n, &why))
                return err_set(e, ERR_CORRUPT, "backup %s: " MANIFEST_SUM ": %.120s", name, why.msg);
        snprintf(want, sizeof want, "%s  " MANIFEST "\n", sha256_format(m->hash, hex));
        same = span_eq((struct span){sum, n}, want);
        mem_free(sum);
        return same ? 0
                    : err_set(e, ERR_CORRUPT,
                              "backup %s: " MANIFEST " is damaged: it is not what " MANIFEST_SUM " says", name);
}

int backup_manifest_read(const struct backup_dir *d, const char *name, struct manifest *m, struct err *e)
{
        char path[PATH_MAX], *text = NULL;
        struct err why;
        size_t n;
        int rc;

        *m = (struct manifest){0};
        backup_path(path, d, name, MANIFEST);
        if (file_read_all(path, MANIFEST_MAX, &text, &n, &why))
                return why.code == ERR_NOT_FOUND
                               ? err_set(e, ERR_NOT_FOUND, "there is no backup %s, or it was never finished", name)
                               : err_set(e, why.code, "backup %s: %.150s", name, why.msg);
        rc = check_sum(d, name, (struct span){text, n}, m, e);
        if (rc == 0)
                rc = parse_manifest((struct span){text, n}, name, m, e);
        mem_free(text);
        return rc;
}

const struct backup_file *backup_manifest_file(const struct manifest *m, const char *name)
{
        for (size_t i = 0; i < m->nfiles; i++)
                if (strcmp(m->files[i].name, name) == 0)
                        return &m->files[i];
        return NULL;
}

/* ---- what it says, held against what is there ------------------------------------------------------ */

static void complain_of(backup_say_fn *say, void *ctx, uint64_t *wrong, const char *name, const char *what)
{
        char line[320];

        ++*wrong;
        snprintf(line, sizeof line, "backup %s: %s", name, what);
        if (say)
                say(ctx, line);
}

int backup_manifest_check_files(const struct backup_dir *d, const struct manifest *m, backup_say_fn *say, void *ctx,
                                uint64_t *wrong, struct err *e)
{
        for (size_t i = 0; i < m->nfiles; i++) {
                const struct backup_file *f = &m->files[i];
                char path[PATH_MAX], line[160];
                struct sha256 hash;
                struct err why;
                uint64_t size;
                backup_path(path, d, m->info.name, f->name);
                if (keep_backup_hash(path, &hash, &size, &why)) {
                        if (why.code == ERR_OOM) {
                                *e = why;
                                return -1;
                        }
                        snprintf(line, sizeof line, "%s: %s", f->name,
                                 why.code == ERR_NOT_FOUND ? "is missing" : "cannot be read");
                } else if (size != f->size) {
                        snprintf(line, sizeof line, "%s has %llu bytes instead of %llu", f->name,
                                 (unsigned long long)size, (unsigned long long)f->size);
                } else if (!sha256_eq(hash, f->hash)) {
                        snprintf(line, sizeof line, "%s is damaged: its bytes are not those that were written",
                                 f->name);
                } else {
                        continue;
                }
                complain_of(say, ctx, wrong, m->info.name, line);
        }
        return 0;
}

struct compare {
        const struct manifest *m;
        struct list_merge *lists;
        struct list_line line;
        bool has;
        backup_say_fn *say;
        void *ctx;
        uint64_t *wrong;
};

static int next_line(struct compare *k, struct err *e)
{
        int rc = merge_next(k->lists, &k->line, e);

        k->has = rc > 0;
        return rc < 0 ? -1 : 0;
}

static void report_odd(struct compare *k, struct sha256 key, const char *what)
{
        char hex[SHA256_TEXT_LEN], line[160];

        snprintf(line, sizeof line, "object %s %s", sha256_format(key, hex), what);
        complain_of(k->say, k->ctx, k->wrong, k->m->info.name, line);
}

/*
 * An object that the catalog knows: the lists must have it too, and before it no object that the catalog does not
 * know.
 */
static int compare_known(void *ctx, const struct keep_backup_object *o, struct err *e)
{
        struct compare *k = ctx;
        struct sha256 key = o->key;

        while (k->has && key_cmp(k->line.key, key) < 0) {
                report_odd(k, k->line.key, "is in the list and not in the catalog");
                if (next_line(k, e))
                        return -1;
        }
        if (!k->has || key_cmp(k->line.key, key) != 0) {
                report_odd(k, key, "is in the catalog and not in the list");
                return 0;
        }
        if (k->line.size != o->size)
                report_odd(k, key, "has another size in the catalog than in the list");
        return next_line(k, e);
}

int backup_manifest_check_objects(const struct backup_dir *d, const struct manifest *m, backup_say_fn *say, void *ctx,
                                  uint64_t *wrong, struct err *e)
{
        struct compare k = {.m = m, .say = say, .ctx = ctx, .wrong = wrong};
        char folder[PATH_MAX], present[PATH_MAX], absent[PATH_MAX];
        int rc = merge_new(&k.lists, e);

        backup_path(folder, d, m->info.name, NULL);
        backup_path(present, d, m->info.name, OBJECTS_LIST);
        backup_path(absent, d, m->info.name, ABSENT_LIST);
        if (rc == 0)
                rc = merge_add(k.lists, present, e) || merge_add(k.lists, absent, e) || next_line(&k, e) ||
                                     keep_backup_objects(&m->catalog, folder, compare_known, &k, e)
                             ? -1
                             : 0;
        while (rc == 0 && k.has) {
                report_odd(&k, k.line.key, "is in the list and not in the catalog");
                rc = next_line(&k, e);
        }
        merge_free(k.lists);
        return rc;
}
