/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The composition root: opens every room in order, wires them, runs, and
 * closes in reverse. The only room besides cli that sees the configuration.
 */
#ifndef FA_APP_H
#define FA_APP_H

#include "base/base.h"

struct app;
struct config;

/*
 * SERVE answers the API and processes tasks. WORK only processes tasks, for instances elsewhere that share the
 * catalog, and answers probes where APP_PORT is set.
 */
enum app_role { APP_SERVE, APP_WORK };

/*
 * Opens everything and listens. On failure all that was opened is closed again. stop is asked while the catalog is
 * brought up to date, which may take long: once it says true, that ends, and the start with it, by ERR_STOPPED.
 */
int app_start(const struct config *c, enum app_role role, bool (*stop)(void *ctx), struct app **out,
              struct err *e) MUST_CHECK;
uint16_t app_port(const struct app *a); /* 0: it does not listen */
/* Stop accepting, drain within SHUTDOWN_GRACE, close. NULL is fine. */
void app_stop(struct app *a);

/* Keys in the form that people write. */
struct app_key {
        const char *name, *scope, *owner, *expires; /* owner NULL: bound to none; expires RFC 3339, NULL: never */
        char id[37], key[80];                       /* the answer */
};
/*
 * Makes a key in the catalog itself, without a server: the way in when there is no key yet, or none that is still
 * known. An embedded catalog must not be in use.
 */
int app_key_create(const struct config *c, struct app_key *k, struct err *e) MUST_CHECK;

/* Where the program's own files are: beside the executable, in ../share/file-allocator and ../lib/file-allocator. */
struct app_paths {
        char share[512], lib[512], decoder[512];
};
void app_paths_find(struct app_paths *p);

/* What `doctor` prints: checks that need no running server (paths, model files, runtime, decoder, disk, fsync). */
struct app_check {
        const char *name;
        char result[8]; /* "ok", "warn", "fail" */
        char detail[240];
};
size_t app_doctor(const struct config *c, struct app_check *out, size_t max);

#endif
