/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Settings: one row of config.def each, from which come the struct, the
 * parser, --help and the documentation.
 *
 * A value is looked for in this order: flag, environment, .env file, secret
 * file, default. In the first three, NAME_FILE names a file to read the value
 * from (one trailing newline cut); NAME and NAME_FILE in the same place is an
 * error. An empty value counts as absent.
 */
#ifndef FA_CONFIG_H
#define FA_CONFIG_H

#include "base/base.h"

enum config_setting {
#define SETTING(type, field, name, ...) CONFIG_##name,
#include "config/config.def"
#undef SETTING
        CONFIG_COUNT,
};

enum config_origin {
        ORIGIN_DEFAULT,
        ORIGIN_SECRET, /* /run/secrets or $CREDENTIALS_DIRECTORY */
        ORIGIN_FILE,   /* NAME_FILE, wherever that was given */
        ORIGIN_DOTENV,
        ORIGIN_ENVIRONMENT,
        ORIGIN_FLAG,
};

#define CONFIG_TYPE_STR    const char *
#define CONFIG_TYPE_SECRET const char *
#define CONFIG_TYPE_URL    const char *
#define CONFIG_TYPE_LIST   const char *
#define CONFIG_TYPE_ENUM   const char * /* spelled as in config.def */
#define CONFIG_TYPE_BOOL   bool
#define CONFIG_TYPE_INT    int64_t
#define CONFIG_TYPE_CORES  int64_t
#define CONFIG_TYPE_COUNT  int64_t
#define CONFIG_TYPE_SIZE   int64_t /* bytes */
#define CONFIG_TYPE_FLOAT  double
#define CONFIG_TYPE_DUR    struct dur

/* Read-only once loaded, hence shared by all threads. Strings live until config_done and are never NULL. */
struct config {
#define SETTING(type, field, ...) CONFIG_TYPE_##type field;
#include "config/config.def"
#undef SETTING
        const char *database_path; /* the file that DATABASE_URL names; NULL: it names a PostgreSQL server */

        const char *text[CONFIG_COUNT]; /* the value as it was given, derived defaults filled in */
        uint8_t origin[CONFIG_COUNT];   /* enum config_origin */
        struct arena *mem;
};

struct config_sources {
        const char *const *envp;  /* "NAME=value", NULL at the end; NULL: no environment */
        const char *dotenv;       /* may be absent on disk; ENV_FILE in envp replaces it and must exist; NULL: none */
        const char *const *flags; /* "NAME=value" or "NAME_FILE=path"; unknown names are an error */
        size_t nflags;
        const char *secrets_dir; /* NULL: /run/secrets */
};

/* What the operator should know although the start goes on. */
struct config_report {
        char **warnings; /* one sentence each, owned by the report */
        size_t n, cap;
};
void config_report_init(struct config_report *rep);
void config_report_done(struct config_report *rep);

/*
 * 0 or -1 with the setting, the value and what is allowed in e; secrets are
 * never quoted. On failure c needs no config_done. rep must be initialised and
 * keeps warnings in either case. Relative paths are left as they are.
 */
int config_load(struct config *c, const struct config_sources *src, struct config_report *rep,
                struct err *e) MUST_CHECK;
void config_done(struct config *c);

/* "flag", "environment", ".env", "file", "secret" or "default". */
const char *config_origin_name(const struct config *c, enum config_setting s);

/* NAME=value  # origin, a line each, or one JSON object {"NAME":{"value":…,"origin":…},…}. Secrets show as ********,
 * so do passwords in URLs. */
void config_show(const struct config *c, struct buf *out, bool json);
/* The settings as a Markdown table. */
void config_docs(struct buf *out);

/*
 * The .env grammar: NAME=value, optional "export ", # comments, also after a
 * value and a space; '…' literal; "…" with \n \" \\; a value ends with its
 * line. fn sees each pair in order, its spans only until it returns; -1 from
 * it ends the parse. Errors name the line.
 */
typedef int config_env_fn(void *arg, struct span name, struct span value, struct err *e);
int config_env_parse(struct span text, config_env_fn *fn, void *arg, struct err *e) MUST_CHECK;

#endif
