/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the command line share. The commands are rows of one table
 * (commands.c): parsing, help and suggestions come from it, and a command's
 * run function asks for its options by name.
 */
#ifndef FA_CLI_PRIV_H
#define FA_CLI_PRIV_H

#include "config/config.h"
#include "httpc/httpc.h"
#include "json/json.h"

enum cli_exit { CLI_OK, CLI_FAILED, CLI_USAGE, CLI_PARTIAL, CLI_UNREACHABLE };

/* ---- commands and their arguments (options.c, help.c, commands.c) ------------ */

struct cli;

struct cli_option {
        const char *name; /* without the dashes; NULL ends a table */
        char letter;      /* 0: none */
        const char *arg;  /* what it takes, for the help; NULL: nothing */
        const char *help;
};

struct cli_command {
        const char *name, *summary;
        const char *usage;    /* its words: "PATH…" */
        const char *examples; /* one a line */
        const char *notes;    /* a paragraph after the options; may be NULL */
        const struct cli_option *options;
        size_t min_words, max_words;
        int (*run)(const struct cli *c); /* an enum cli_exit */
};

struct cli_given {
        const struct cli_option *option;
        const char *value; /* NULL for one that takes none */
};

struct cli_syntax { /* all there is to say to the program */
        const struct cli_command *commands;
        size_t ncommands;
        const struct cli_option *globals; /* of every command */
};
extern const struct cli_syntax cli_syntax; /* (commands.c) */

struct cli { /* strings are argv's */
        const struct cli_syntax *syntax;
        const struct cli_command *command;
        const char **words;
        size_t nwords;
        struct cli_given *given;
        size_t ngiven;
};

/* -1: e says what is wrong and what may have been meant. c needs cli_done in either case. */
int cli_parse(struct cli *c, const struct cli_syntax *x, int argc, char **argv, struct err *e) MUST_CHECK;
void cli_done(struct cli *c);
const struct cli_command *cli_command_find(const struct cli_syntax *x, const char *name); /* NULL: none */
/* The name nearest to word among n (by edit distance), NULL when none is near. */
const char *cli_nearest(const char *word, const char *const *names, size_t n);

/* Whether and with what an option was given; the last one counts. Asserts that the command has it. */
bool cli_has(const struct cli *c, const char *name);
const char *cli_value(const struct cli *c, const char *name); /* NULL: not given */
/* The i-th value of a repeatable option, NULL past the last. */
const char *cli_value_at(const struct cli *c, const char *name, size_t i);
/* *out is unchanged when the option is absent; -1 after an error message. */
int cli_number(const struct cli *c, const char *name, double min, double max, double *out) MUST_CHECK;

void help_overview(const struct cli_syntax *x, struct buf *out);
void help_command(const struct cli_syntax *x, const struct cli_command *cmd, struct buf *out);

/* ---- text for people (text.c, table.c) ---------------------------------------- */

/*
 * Terminals obey control characters, and names come from strangers: all that
 * is shown passes through here. Controls, bidirectional overrides and
 * ill-formed UTF-8 become U+FFFD, tabs and line breaks a space.
 */
void text_clean(struct buf *out, struct span s);
size_t text_width(struct span s); /* terminal columns of clean text */
/* Clean text cut to at most width columns, "…" at the end if so. Returns the columns used. */
size_t text_cut(struct buf *out, struct span s, size_t width);
/* The same JSON with every such character as a \u escape. */
void text_clean_json(struct buf *out, struct span json);
void text_bytes(struct buf *out, double bytes);        /* "45.2 MB" */
void text_seconds(struct buf *out, double seconds);    /* "2:05", "1:02:03" */
size_t text_terminal_width(void);                      /* of standard output; 0: no terminal */
bool text_colours(void);                               /* standard output is a terminal and NO_COLOR is not set */
void text_locale(void);                                /* once, before threads */
void complain(const char *fmt, ...) PRINTF_LIKE(1, 2); /* a line on stderr, cleaned */
/* stdout, cleaned as JSON, with a line break. */
void print_json(struct span json);
void print_buf(const struct buf *b); /* stdout, as it is */

struct table;
struct table_column {
        const char *title;
        bool right;  /* aligned so */
        bool shrink; /* may be cut when the terminal is narrow */
};
struct table *cli_table_new(const struct table_column *columns, size_t n) MUST_CHECK; /* NULL: no memory */
void cli_table_free(struct table *t);
void cli_table_put(struct table *t, const char *text); /* the next cell; cleaned, copied; NULL: "" */
void cli_table_putf(struct table *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
size_t cli_table_rows(const struct table *t);
/* width 0: as wide as it gets. Returns -1 when memory ran out anywhere. */
int cli_table_render(const struct table *t, size_t width, bool bold, struct buf *out) MUST_CHECK;
/* To stdout, fitted to it. */
void cli_table_print(const struct table *t);
/* An object's names and values as two columns, never cut; what has members of its own as JSON. */
void print_fields(const struct json *object);

/* ---- files to send (walk.c) ----------------------------------------------------- */

struct walk_rules {
        bool recursive, hidden;
        /* Patterns with a slash match the path below the given folder, others the name; letter case is ignored. */
        const char *const *include;
        size_t ninclude;
        const char *const *exclude;
        size_t nexclude;
};
struct walk_file {
        const char *path;
        uint64_t size;
        const char *problem; /* why the file cannot be sent; NULL: it can */
};
struct walk {
        struct walk_file *files; /* folder by folder, sorted by name */
        size_t n, cap;
        size_t links, others; /* left out: symbolic links leading elsewhere; sockets and the like */
        struct arena *mem;
};
int walk_init(struct walk *w, struct err *e) MUST_CHECK;
void walk_done(struct walk *w);
/*
 * Adds a file, or a folder with its contents. -1 only when memory runs out: a file that cannot be read is added with
 * its problem.
 */
int walk_add(struct walk *w, const char *path, const struct walk_rules *rules, struct err *e) MUST_CHECK;

/* ---- a file to receive (save.c) --------------------------------------------------- */

/*
 * Nothing appears under the final name before save_finish. Where the file system has O_TMPFILE, a killed program
 * leaves nothing behind.
 */
struct save {
        char folder[4096];
        char temp[4200]; /* "" while the file has no name at all */
        int fd;
};
int save_open(struct save *s, const char *folder, struct err *e) MUST_CHECK;
int save_finish(struct save *s, const char *name, bool replace, struct err *e) MUST_CHECK;
void save_abandon(struct save *s); /* after save_finish: does nothing */

/* ---- the settings and the server (client.c) ----------------------------------------- */

/* The configuration as --set and the shorthands change it. The report is the caller's. */
int cli_config(const struct cli *c, struct config *cfg, struct config_report *rep, struct err *e) MUST_CHECK;
/* The same, and shows its warnings and its error. 0 or an exit code; warnings may be NULL. */
int cli_settings(const struct cli *c, struct config *cfg, size_t *warnings) MUST_CHECK;

struct api {
        struct httpc *h;
        char base[512];
        char key[512]; /* the whole header, "" without a key */
        struct httpc_response r;
        struct json *doc; /* of the last answer, NULL when it was no JSON */
        struct err e;     /* of the last call */
};
/* 0, or the exit code after complaining. */
int client_open(struct api *a, const struct cli *c) MUST_CHECK;
int client_clone(struct api *a, const struct api *from, struct err *e) MUST_CHECK; /* for another thread */
void client_close(struct api *a);
/* Any answer is 0 and in a->r and a->doc; -1: a->e. path begins with a slash; q's url and key are filled in. */
int client_send(struct api *a, const char *path, struct httpc_request q) MUST_CHECK;
/* The message of an unsuccessful answer, in one line. */
void client_reason(const struct api *a, struct buf *out);
/* Sends, and prints an error for anything but 2xx. 0 or an exit code. */
int client_call(struct api *a, const char *method, const char *path, struct span body) MUST_CHECK;
int client_get(struct api *a, const char *path) MUST_CHECK;
/* name=value of a query, escaped; "?" or "&" before it as needed. NULL value: nothing. */
void client_query(struct buf *path, const char *name, const char *value);
/* /api/v1/… of a path segment given by the user */
void client_path(struct buf *path, const char *prefix, const char *segment, const char *suffix);
void client_print(const struct api *a); /* the answer as JSON on stdout */

/* Polls a job until it is done; a->doc is the last answer. 0 or an exit code. */
int job_poll(struct api *a, const char *job, bool wait) MUST_CHECK;
int job_exit(const struct json *job); /* done 0, partial 3, failed 1 */

/* ---- the commands --------------------------------------------------------------------- */

int run_serve(const struct cli *c);
int run_worker(const struct cli *c);
int run_doctor(const struct cli *c);
int run_config(const struct cli *c);
int run_health(const struct cli *c);
int run_version(const struct cli *c);
int run_help(const struct cli *c);
int run_ingest(const struct cli *c);
int run_search(const struct cli *c);
int run_list(const struct cli *c);
int run_folders(const struct cli *c);
int run_get(const struct cli *c);
int run_status(const struct cli *c);
int run_dlq(const struct cli *c);
int run_migrate(const struct cli *c);
int run_migrate_catalog(const struct cli *c); /* without a word behind it */
int run_backup(const struct cli *c);
int run_fsck(const struct cli *c);
int run_apikey(const struct cli *c);
int run_rebuild(const struct cli *c);

#endif
