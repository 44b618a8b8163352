/* SPDX-License-Identifier: Apache-2.0 */
/* API keys, and the sessions that are opened with them. */
#ifndef FA_ACCESS_H
#define FA_ACCESS_H

#include "model/model.h"

struct catalog;

#define KEY_PREFIX_LEN 9 /* with the NUL */
#define KEYS_MAX       1000

struct api_key {
        struct id id;
        const char *name, *owner; /* owner NULL: bound to none */
        const char *prefix;
        enum key_scope scope;
        struct wall created, expires, last_used, revoked; /* us 0: never; last_used is up to a minute behind */
        const char *created_by, *revoked_by;
};

struct new_key {
        struct id id;
        const char *name, *owner, *prefix; /* owner NULL: bound to none */
        struct sha256 hash;
        enum key_scope scope;
        struct wall expires;
        struct id by;      /* the key that requests it; nil: API_KEY, or somebody at the machine */
        const char *actor; /* for the record */
        bool first;        /* requested without any key: ERR_CONFLICT when there are keys already */
        bool alone;        /* there is no API_KEY */
};
/*
 * Creates a key. No key can create one with more rights than its own: for another owner, of a higher scope, or living
 * longer (ERR_FORBIDDEN; without an expiry the new key gets its creator's). The first key of a catalog without
 * API_KEY must be an admin key bound to no owner (ERR_INVALID). *expires (may be NULL) receives the resulting expiry.
 * ERR_STALE: the prefix is taken, try another.
 */
int access_key_create(struct catalog *c, const struct new_key *k, struct wall *expires, struct err *e) MUST_CHECK;
/* Lists keys, newest first, at most KEYS_MAX; owner NULL: all. Revoked keys are included only on request. */
int access_key_list(struct catalog *c, const char *owner, bool revoked, struct arena *a, struct api_key **out,
                    size_t *n, uint64_t *total, struct err *e) MUST_CHECK;
struct key_end {
        struct id id, by;  /* by as in new_key */
        const char *owner; /* NULL: any */
        const char *actor;
        bool alone;
};
/*
 * Revokes the key and ends its sessions; doing so again is fine. ERR_NOT_FOUND; ERR_CONFLICT: it is the last key that
 * can create others, and there is no API_KEY.
 */
int access_key_revoke(struct catalog *c, const struct key_end *k, struct err *e) MUST_CHECK;
/* Whether a key exists or ever existed: then the API requires one, even when all are revoked or have expired. */
int access_keys_exist(struct catalog *c, bool *out, struct err *e) MUST_CHECK;

struct known_key { /* a key that is valid at this moment */
        struct id id;
        struct sha256 hash;
        enum key_scope scope;
        char owner[OWNER_MAX + 1]; /* "" bound to none */
        bool idle;                 /* last_used is more than a minute ago */
};
/* Returns 1 when found, 0 when unknown, revoked or expired, -1 on error. */
int access_key_find(struct catalog *c, const char *prefix, struct known_key *out, struct err *e);
/* Sets last_used, at most once a minute. */
int access_key_used(struct catalog *c, struct id id, struct err *e) MUST_CHECK;

struct new_session {
        struct sha256 hash;  /* of the cookie */
        struct id key;       /* nil: of API_KEY */
        struct sha256 proof; /* of API_KEY, where key is nil */
        struct dur lifetime;
};
/* A key has at most 100 sessions: the oldest are removed. ERR_NOT_FOUND when the key is revoked or has expired. */
int access_session_add(struct catalog *c, const struct new_session *s, struct err *e) MUST_CHECK;
/* Like access_key_find; id is nil and *proof filled when the session is of API_KEY. */
int access_session_find(struct catalog *c, struct sha256 hash, struct known_key *out, struct sha256 *proof,
                        struct err *e);
int access_session_end(struct catalog *c, struct sha256 hash, struct err *e) MUST_CHECK; /* none is fine */

#endif
