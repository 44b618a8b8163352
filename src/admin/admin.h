/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an operator asks: is it healthy, how much is there, what is broken. It
 * walks status probes it is given, so that it needs to know no room's inside.
 */
#ifndef FA_ADMIN_H
#define FA_ADMIN_H

#include "catalog/catalog_key.h"
#include "model/model.h"

struct admin;
struct storage;

struct admin_opts {
        struct catalog *catalog;
        struct storage *storage;
        const struct status_probe
                *probes; /* database, storage, workers, queue, model, vlm, jail: in the order of the answer */
        size_t nprobes;
        void (*config_json)(void *ctx, struct buf *out); /* effective settings with origins, secrets masked */
        void *ctx;
        const char *api_key;     /* an admin's key besides those of the catalog; "" none */
        const char *instance;    /* this process's name among those that share the catalog */
        struct dur trash_after;  /* 0: the trash is never emptied by itself */
        struct dur gc_grace;     /* how long an object stays that no asset refers to */
        struct dur scrub_period; /* within which every object is read again; 0: only on request */
        uint64_t scrub_rate;     /* bytes a second, unless the period asks for more */
};

int admin_open(const struct admin_opts *opts, struct admin **out, struct err *e) MUST_CHECK;
void admin_close(struct admin *a); /* NULL is fine */

/* From now on not ready: a drain has begun. */
void admin_drain(struct admin *a);
/* The answer of /health; returns false when unhealthy. */
bool admin_health(struct admin *a, struct buf *out);
/* The answer of /ready; returns whether ready. */
bool admin_ready(struct admin *a, struct buf *out);
/* Counts of everything, owner NULL: all. */
int admin_stats(struct admin *a, const char *owner, struct buf *out, struct err *e) MUST_CHECK;
void admin_config(struct admin *a, struct buf *out);
/* Refresh the gauges that come from the catalog and the process; at most once a second however often it is called. */
void admin_collect(struct admin *a);

/* Removes now what no asset has referred to for gc_grace, unless another instance is at it. Also done by itself. */
void admin_gc(struct admin *a);

#define SCRUB_SHOWN 500 /* damaged objects in a report */
/* Read these objects again next, or (NULL) all of them from now on. *found: how many of these there are. */
int admin_scrub(struct admin *a, const struct sha256 *objects, size_t count, size_t *found, struct err *e) MUST_CHECK;
/* The pass under way, the last one, and what is damaged, as JSON. */
int admin_scrub_report(struct admin *a, struct buf *out, struct err *e) MUST_CHECK;

/* ---- keys of the API ---------------------------------------------------------------------------- */

#define KEY_TEXT_LEN    77 /* "fa_", 8 hexadecimal digits to find it by, "_", 64 that are secret, NUL */
#define SESSION_SECONDS 43200
#define COOKIE_TEXT_LEN 68 /* "fs_", 64 hexadecimal digits, NUL */

struct admin_caller {
        enum key_scope scope;
        char owner[OWNER_MAX + 1]; /* "": bound to none */
        char key_id[ID_TEXT_LEN];  /* "env": API_KEY */
};

/* Whether the API is closed to those without a key: there is API_KEY, or a key was ever made. */
bool admin_keys_required(struct admin *a);
/* A key or a session's cookie: 1, 0 unknown (then out->key_id is what of it may be logged), -1. May be 5 s behind. */
int admin_authenticate(struct admin *a, struct span given, struct admin_caller *out, struct err *e);
/* As catalog_key_create; id, prefix, hash and alone are filled in. text is the key, which nobody can show again. */
int admin_key_create(struct admin *a, struct new_key *k, char text[KEY_TEXT_LEN], struct wall *expires,
                     struct err *e) MUST_CHECK;
/* As catalog_key_revoke; alone is filled in. At once here, on other instances within 5 s. */
int admin_key_revoke(struct admin *a, struct key_end *k, struct err *e) MUST_CHECK;
/* A cookie that stands for the key for SESSION_SECONDS. ERR_FORBIDDEN: not a key that holds. */
int admin_session_begin(struct admin *a, struct span key, char cookie[COOKIE_TEXT_LEN], struct admin_caller *out,
                        struct err *e) MUST_CHECK;
int admin_session_end(struct admin *a, struct span cookie, struct err *e) MUST_CHECK; /* an unknown one is fine */

/* Without a server: as admin_key_create, on a catalog that somebody else opened. */
int key_make(struct catalog *c, struct new_key *k, char text[KEY_TEXT_LEN], struct wall *expires,
             struct err *e) MUST_CHECK;
/* True for a text that has the form of a key; its prefix. */
bool key_split(struct span text, char prefix[KEY_PREFIX_LEN]);

#endif
