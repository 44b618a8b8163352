/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions of an operator: is it healthy, how much is stored, what is broken. It calls the probes that it is given,
 * so that it need not know the inside of any other room.
 */
#ifndef FA_ADMIN_H
#define FA_ADMIN_H

#include "access/access.h"
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
        struct dur trash_after;  /* 0: the trash is never emptied automatically */
        struct dur gc_grace;     /* how long an object is kept after the last asset stopped referring to it */
        struct dur scrub_period; /* within this period every object is read again; 0: only on request */
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

/*
 * Removes the objects that no asset has referred to for gc_grace, unless another instance is doing so. This also
 * happens automatically.
 */
void admin_gc(struct admin *a);

#define SCRUB_SHOWN 500 /* damaged objects in a report */
/* Reads these objects again next, or (NULL) all objects from now on. *found: how many of them exist. */
int admin_scrub(struct admin *a, const struct sha256 *objects, size_t count, size_t *found, struct err *e) MUST_CHECK;
/* The scrub under way, the last finished one, and the damaged objects, as JSON. */
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

/* Whether the API needs a key: API_KEY is set, or a key was ever created. */
bool admin_keys_required(struct admin *a);
/*
 * A key or a session's cookie: 1, 0 unknown (then out->key_id is the part of it that may be logged), -1. The answer
 * may be 5 s old.
 */
int admin_authenticate(struct admin *a, struct span given, struct admin_caller *out, struct err *e);
/* As access_key_create; id, prefix, hash and alone are filled in. text is the key, which cannot be shown again. */
int admin_key_create(struct admin *a, struct new_key *k, char text[KEY_TEXT_LEN], struct wall *expires,
                     struct err *e) MUST_CHECK;
/* As access_key_revoke; alone is filled in. At once here, on other instances within 5 s. */
int admin_key_revoke(struct admin *a, struct key_end *k, struct err *e) MUST_CHECK;
/* A cookie that stands for the key for SESSION_SECONDS. ERR_FORBIDDEN: the key is not valid. */
int admin_session_begin(struct admin *a, struct span key, char cookie[COOKIE_TEXT_LEN], struct admin_caller *out,
                        struct err *e) MUST_CHECK;
int admin_session_end(struct admin *a, struct span cookie, struct err *e) MUST_CHECK; /* an unknown one is fine */

/* Without a server: as admin_key_create, on a catalog that somebody else opened. */
int key_make(struct catalog *c, struct new_key *k, char text[KEY_TEXT_LEN], struct wall *expires,
             struct err *e) MUST_CHECK;
/* True for a text that has the form of a key; its prefix. */
bool key_split(struct span text, char prefix[KEY_PREFIX_LEN]);

#endif
