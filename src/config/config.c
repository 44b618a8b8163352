/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading: every source of values becomes a layer of name and value pairs, then each setting is looked for from the
 * top layer down. All text lives in the configuration's arena.
 */
#include "config/config_priv.h"

#include <stdio.h>
#include <string.h>

#define MEM_MAX      ((size_t)8 << 20)
#define ENV_FILE_MAX ((size_t)1 << 20)

struct entry {
        const char *name, *value;
        struct entry *next; /* given before this one */
};

struct layer {
        enum config_origin origin;
        struct entry *last;
};

struct loader {
        struct config *c;
        const struct config_sources *src;
        struct config_report *rep;
        struct layer flags, environment, dotenv;
};

/* ---- report ------------------------------------------------------------------- */

void config_report_init(struct config_report *rep)
{
        *rep = (struct config_report){0};
}

void config_report_done(struct config_report *rep)
{
        for (size_t i = 0; i < rep->n; i++)
                mem_free(rep->warnings[i]);
        mem_free(rep->warnings);
        *rep = (struct config_report){0};
}

static int add_warning(struct config_report *rep, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);
static int add_warning(struct config_report *rep, struct err *e, const char *fmt, ...)
{
        struct buf b;
        va_list ap;
        int rc = -1;

        buf_init(&b, 1024);
        va_start(ap, fmt);
        buf_vprintf(&b, fmt, ap);
        va_end(ap);
        if (!buf_failed(&b) && mem_grow((void **)&rep->warnings, &rep->cap, rep->n + 1, sizeof(char *)) == 0) {
                rep->warnings[rep->n++] = b.p;
                b.p = NULL; /* the report's now */
                rc = 0;
        }
        buf_done(&b);
        return rc < 0 ? err_oom(e) : 0;
}

/* ---- layers -------------------------------------------------------------------- */

static int add_entry(struct loader *l, struct layer *layer, struct span name, struct span value, struct err *e)
{
        struct entry *entry = arena_alloc(l->c->mem, sizeof *entry);

        if (!entry)
                return err_oom(e);
        entry->name = arena_strndup(l->c->mem, name);
        entry->value = arena_strndup(l->c->mem, value);
        if (!entry->name || !entry->value)
                return err_oom(e);
        entry->next = layer->last;
        layer->last = entry;
        return 0;
}

/* The value given last; NULL when there is none or it is empty. */
static const char *find_in_layer(const struct layer *layer, const char *name)
{
        const struct entry *entry = layer->last;

        while (entry && strcmp(entry->name, name) != 0)
                entry = entry->next;
        return entry && entry->value[0] ? entry->value : NULL;
}

static bool is_known(const char *name)
{
        size_t n = strlen(name);

        for (size_t i = 0; i < CONFIG_COUNT; i++) {
                size_t m = strlen(config_table[i].name);
                if (n >= m && memcmp(name, config_table[i].name, m) == 0 && (n == m || strcmp(name + m, "_FILE") == 0))
                        return true;
        }
        return strcmp(name, "ENV_FILE") == 0;
}

static int read_flags(struct loader *l, struct err *e)
{
        for (size_t i = 0; i < l->src->nflags; i++) {
                struct span value = span_of(l->src->flags[i]), name;

                span_cut(&value, '=', &name);
                if (!value.p)
                        return err_set(e, ERR_INVALID, "%s: allowed is NAME=value", l->src->flags[i]);
                if (add_entry(l, &l->flags, name, value, e))
                        return -1;
                if (!is_known(l->flags.last->name))
                        return err_set(e, ERR_INVALID, "there is no setting %.60s", l->flags.last->name);
        }
        return 0;
}

static int read_environment(struct loader *l, struct err *e)
{
        for (const char *const *p = l->src->envp; p && *p; p++) {
                struct span value = span_of(*p), name;

                span_cut(&value, '=', &name);
                /* Variables of other programs may be huge; those of this program are not. */
                if (value.p && name.n <= 64 && value.n <= CONFIG_VALUE_MAX &&
                    add_entry(l, &l->environment, name, value, e))
                        return -1;
        }
        return 0;
}

static int add_dotenv(void *arg, struct span name, struct span value, struct err *e)
{
        struct loader *l = arg;

        return add_entry(l, &l->dotenv, name, value, e);
}

static int read_dotenv(struct loader *l, struct err *e)
{
        const char *named = find_in_layer(&l->environment, "ENV_FILE"), *path = named ? named : l->src->dotenv;
        struct err why = {0};
        char *text;
        size_t n;
        int rc;

        if (!path)
                return 0;
        if (file_read_all(path, ENV_FILE_MAX, &text, &n, &why)) {
                if (why.code == ERR_NOT_FOUND && !named)
                        return 0;
                return err_set(e, why.code, "%s%s", named ? "ENV_FILE: " : "", why.msg);
        }
        rc = config_env_parse((struct span){text, n}, add_dotenv, l, &why);
        if (rc < 0)
                err_set(e, why.code, "%.80s %s", path, why.msg);
        mem_free(text);
        return rc;
}

/* ---- one setting ---------------------------------------------------------------- */

static int read_value_file(struct loader *l, const char *path, const char **value, struct err *e)
{
        char *text;
        size_t n;
        int rc = 0;

        if (file_read_all(path, CONFIG_VALUE_MAX, &text, &n, e))
                return -1;
        if (n > 0 && text[n - 1] == '\n')
                n--;
        if (n > 0 && text[n - 1] == '\r')
                n--;
        if (memchr(text, '\0', n))
                rc = err_set(e, ERR_INVALID, "%s holds a NUL byte", path);
        if (rc == 0) {
                *value = arena_strndup(l->c->mem, (struct span){text, n});
                if (!*value)
                        rc = err_oom(e);
        }
        mem_free(text);
        return rc;
}

/* 1 with a value, 0 without, -1. */
static int look_in_layer(struct loader *l, const struct layer *layer, const char *name, const char **value,
                         enum config_origin *origin, struct err *e)
{
        const char *direct = find_in_layer(layer, name), *path;
        char name_file[80];
        struct err why = {0};

        snprintf(name_file, sizeof name_file, "%s_FILE", name);
        path = find_in_layer(layer, name_file);
        if (direct && path)
                return err_set(e, ERR_INVALID, "%s and %s are both set; allowed is one of them", name, name_file);
        if (path) {
                if (read_value_file(l, path, value, &why))
                        return err_set(e, why.code, "%s: %s", name_file, why.msg);
                *origin = ORIGIN_FILE;
                return 1;
        }
        *value = direct;
        *origin = layer->origin;
        return direct != NULL;
}

static int look_in_dir(struct loader *l, const char *dir, const char *name, const char **value, struct err *e)
{
        char *path = arena_printf(l->c->mem, "%s/%s", dir, name), *base;
        struct err why = {0};

        if (!path)
                return err_oom(e);
        base = strrchr(path, '/') + 1;
        for (; *base; base++)
                if (*base >= 'A' && *base <= 'Z')
                        *base = (char)(*base | 0x20);
        if (read_value_file(l, path, value, &why) == 0)
                return 1;
        if (why.code == ERR_NOT_FOUND)
                return 0;
        return err_set(e, why.code, "%s: %s", name, why.msg);
}

static int look_for_secret(struct loader *l, const char *name, const char **value, struct err *e)
{
        const char *dir = find_in_layer(&l->environment, "CREDENTIALS_DIRECTORY");
        int rc = dir ? look_in_dir(l, dir, name, value, e) : 0;

        if (rc == 0)
                rc = look_in_dir(l, l->src->secrets_dir ? l->src->secrets_dir : "/run/secrets", name, value, e);
        return rc;
}

static int find_value(struct loader *l, const struct setting *s, const char **value, enum config_origin *origin,
                      struct err *e)
{
        const struct layer *layers[] = {&l->flags, &l->environment, &l->dotenv};
        int rc = 0;

        for (size_t i = 0; rc == 0 && i < COUNT_OF(layers); i++)
                rc = look_in_layer(l, layers[i], s->name, value, origin, e);
        if (rc == 0 && setting_is_secret(s)) {
                rc = look_for_secret(l, s->name, value, e);
                *origin = ORIGIN_SECRET;
        }
        if (rc == 0) {
                *value = s->def;
                *origin = ORIGIN_DEFAULT;
        }
        return rc < 0 ? -1 : 0;
}

static int refuse_value(const struct config *c, const struct setting *s, const char *text, struct err *e)
{
        const char *from = config_origin_name(c, (enum config_setting)(s - config_table));
        struct buf allowed;

        buf_init(&allowed, 256);
        setting_allowed(s, &allowed);
        if (setting_is_secret(s))
                err_set(e, ERR_INVALID, "%s (%s): allowed is %s", s->name, from, buf_str(&allowed));
        else
                err_set(e, ERR_INVALID, "%s is \"%.60s\" (%s): allowed is %s", s->name, text, from, buf_str(&allowed));
        buf_done(&allowed);
        return -1;
}

static int load_setting(struct loader *l, size_t i, struct err *e)
{
        const struct setting *s = &config_table[i];
        enum config_origin origin = ORIGIN_DEFAULT;
        const char *text = NULL;

        if (find_value(l, s, &text, &origin, e))
                return -1;
        if (setting_is_word(s))
                text = arena_strndup(l->c->mem, config_strip_comment(span_of(text)));
        if (!text)
                return err_oom(e);
        /* An empty secret file, or one that holds only a comment, counts as absent. */
        if (text[0] == '\0') {
                text = s->def;
                origin = ORIGIN_DEFAULT;
        }
        l->c->origin[i] = (uint8_t)origin;
        l->c->text[i] = text;
        if (setting_store(s, l->c, text))
                return 0;
        return refuse_value(l->c, s, text, e);
}

/* ---- what concerns more than one setting -------------------------------------------- */

static int derive_setting(struct config *c, enum config_setting i, const char *value, struct err *e)
{
        if (!value)
                return err_oom(e);
        c->text[i] = value;
        return setting_store(&config_table[i], c, value) ? 0 : refuse_value(c, &config_table[i], value, e);
}

static int check_database(struct config *c, struct err *e)
{
        static const char scheme[] = "sqlite:///";
        static const char *const postgres[] = {"postgresql://", "postgres://", "postgresql+psycopg2://"};
        size_t n = sizeof scheme - 1;

        for (size_t i = 0; i < COUNT_OF(postgres); i++)
                if (strncmp(c->database_url, postgres[i], strlen(postgres[i])) == 0)
                        return 0;
        if (strncmp(c->database_url, scheme, n) != 0)
                return err_set(e, ERR_INVALID,
                               "DATABASE_URL: allowed is sqlite:///… or postgresql://… (also postgres://, "
                               "postgresql+psycopg2://)");
        c->database_path = c->database_url + n;
        if (c->database_path[0] == '\0' || strchr(c->database_path, '?'))
                return err_set(e, ERR_INVALID, "DATABASE_URL is \"%.80s\": allowed is sqlite:/// and a file's path",
                               c->database_url);
        return 0;
}

static int check_storage(struct config *c, struct err *e)
{
        if (!c->spool_path[0] &&
            derive_setting(c, CONFIG_SPOOL_PATH, arena_printf(c->mem, "%s/spool", c->data_path), e))
                return -1;
        if (strcmp(c->storage_backend, "fs://") == 0)
                return 0;
        if (strncmp(c->storage_backend, "s3://", 5) != 0)
                return err_set(e, ERR_INVALID, "STORAGE_BACKEND is \"%.80s\": allowed is fs:// or s3://bucket/prefix",
                               c->storage_backend);
        bool lent = c->aws_container_credentials_full_uri[0] || c->aws_container_credentials_relative_uri[0];
        if ((!c->aws_access_key_id[0] || !c->aws_secret_access_key[0]) && !lent)
                return err_set(e, ERR_INVALID,
                               "STORAGE_BACKEND is \"%.80s\": this needs AWS_ACCESS_KEY_ID and "
                               "AWS_SECRET_ACCESS_KEY; fs:// does not",
                               c->storage_backend);
        return 0;
}

static int check_together(struct config *c, struct err *e)
{
        if (!c->database_url[0] &&
            derive_setting(c, CONFIG_DATABASE_URL, arena_printf(c->mem, "sqlite:///%s/catalog.db", c->data_path), e))
                return -1;
        if (!c->storage_path[0] &&
            derive_setting(c, CONFIG_STORAGE_PATH, arena_printf(c->mem, "%s/storage", c->data_path), e))
                return -1;
        if (c->debug && c->origin[CONFIG_LOG_LEVEL] == ORIGIN_DEFAULT &&
            derive_setting(c, CONFIG_LOG_LEVEL, "DEBUG", e))
                return -1;
        if (check_database(c, e) || check_storage(c, e))
                return -1;
        for (size_t i = 0; i < CONFIG_COUNT; i++)
                if (config_table[i].type == SETTING_SECRET && strncmp(c->text[i], "your_", 5) == 0)
                        return err_set(
                                e, ERR_INVALID,
                                "%s is still the example's placeholder: allowed is a secret of your own, or none",
                                config_table[i].name);
        if (c->search_default_limit > c->search_max_limit)
                return err_set(e, ERR_INVALID,
                               "SEARCH_DEFAULT_LIMIT is \"%s\": allowed is at most SEARCH_MAX_LIMIT, %s",
                               c->text[CONFIG_SEARCH_DEFAULT_LIMIT], c->text[CONFIG_SEARCH_MAX_LIMIT]);
        return 0;
}

/* ---- names that are nearly a setting ------------------------------------------------- */

/* Levenshtein's distance, a row of the table at a time; names longer than a row are far from everything. */
static size_t edit_distance(const char *a, const char *b)
{
        size_t row[80], n = strlen(b);

        if (n >= COUNT_OF(row))
                return SIZE_MAX;
        for (size_t j = 0; j <= n; j++)
                row[j] = j;
        for (size_t i = 1; a[i - 1]; i++) {
                size_t diagonal = row[0];
                row[0] = i;
                for (size_t j = 1; j <= n; j++) {
                        size_t best = diagonal + (a[i - 1] != b[j - 1]);
                        diagonal = row[j];
                        if (row[j] + 1 < best)
                                best = row[j] + 1;
                        if (row[j - 1] + 1 < best)
                                best = row[j - 1] + 1;
                        row[j] = best;
                }
        }
        return row[n];
}

/* All programs share the environment, so only the most likely slip is warned about there. */
static int warn_of_slips(struct loader *l, const struct layer *layer, size_t reach, const char *where, struct err *e)
{
        for (const struct entry *entry = layer->last; entry; entry = entry->next) {
                const char *nearest = NULL;
                size_t best = reach + 1;

                if (is_known(entry->name))
                        continue;
                for (size_t i = 0; i < CONFIG_COUNT; i++) {
                        size_t d = edit_distance(entry->name, config_table[i].name);
                        if (d < best) {
                                best = d;
                                nearest = config_table[i].name;
                        }
                }
                if (nearest &&
                    add_warning(l->rep, e, "%s (%s) is no setting; did you mean %s?", entry->name, where, nearest))
                        return -1;
        }
        return 0;
}

static int load_all(struct loader *l, struct err *e)
{
        if (read_flags(l, e) || read_environment(l, e) || read_dotenv(l, e))
                return -1;
        if (warn_of_slips(l, &l->environment, 1, "environment", e) || warn_of_slips(l, &l->dotenv, 2, ".env", e))
                return -1;
        for (size_t i = 0; i < CONFIG_COUNT; i++)
                if (load_setting(l, i, e))
                        return -1;
        return check_together(l->c, e);
}

int config_load(struct config *c, const struct config_sources *src, struct config_report *rep, struct err *e)
{
        struct loader l = {
                .c = c,
                .src = src,
                .rep = rep,
                .flags.origin = ORIGIN_FLAG,
                .environment.origin = ORIGIN_ENVIRONMENT,
                .dotenv.origin = ORIGIN_DOTENV,
        };

        memset(c, 0, sizeof *c);
        c->mem = arena_new(MEM_MAX);
        if (!c->mem)
                return err_oom(e);
        if (load_all(&l, e)) {
                config_done(c);
                return -1;
        }
        return 0;
}

void config_done(struct config *c)
{
        if (!c)
                return;
        arena_free(c->mem);
        memset(c, 0, sizeof *c);
}
