/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of the API and the sessions that are opened with them. */
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
        struct id by;      /* the key that asks for it; nil: API_KEY, or somebody at the machine */
        const char *actor; /* for the record */
        bool first;        /* asked for without any key: ERR_CONFLICT when there are keys already */
        bool alone;        /* there is no API_KEY */
};
/*
 * No key makes one that may do more than itself: another owner's, of a higher
 * scope, or living longer (ERR_FORBIDDEN; a left-out expiry becomes its own).
 * The first one of a catalog without API_KEY must be an admin's bound to no
 * owner (ERR_INVALID). *expires (may be NULL): what it became. ERR_STALE: the
 * prefix is taken, try another.
 */
int access_key_create(struct catalog *c, const struct new_key *k, struct wall *expires, struct err *e) MUST_CHECK;
/* Newest first, at most KEYS_MAX; owner NULL: all. Revoked ones only on request. */
int access_key_list(struct catalog *c, const char *owner, bool revoked, struct arena *a, struct api_key **out,
                    size_t *n, uint64_t *total, struct err *e) MUST_CHECK;
struct key_end {
        struct id id, by;  /* by as in new_key */
        const char *owner; /* NULL: any */
        const char *actor;
        bool alone;
};
/*
 * Ends the key and its sessions; again is fine. ERR_NOT_FOUND; ERR_CONFLICT: it
 * is the last one that can make others, and there is no API_KEY.
 */
int access_key_revoke(struct catalog *c, const struct key_end *k, struct err *e) MUST_CHECK;
/* Whether there is or was a key: then the API is not open any more, also when all are revoked or have expired. */
int access_keys_exist(struct catalog *c, bool *out, struct err *e) MUST_CHECK;

struct known_key { /* of a key that holds at this moment */
        struct id id;
        struct sha256 hash;
        enum key_scope scope;
        char owner[OWNER_MAX + 1]; /* "" bound to none */
        bool idle;                 /* last_used is more than a minute ago */
};
/* 1, 0 (unknown, revoked, expired), -1. */
int access_key_find(struct catalog *c, const char *prefix, struct known_key *out, struct err *e);
/* Sets last_used, at most once a minute. */
int access_key_used(struct catalog *c, struct id id, struct err *e) MUST_CHECK;

struct new_session {
        struct sha256 hash;  /* of the cookie */
        struct id key;       /* nil: of API_KEY */
        struct sha256 proof; /* of API_KEY, where key is nil */
        struct dur lifetime;
};
/* A key has at most 100: the oldest give way. ERR_NOT_FOUND when the key is revoked or has expired. */
int access_session_add(struct catalog *c, const struct new_session *s, struct err *e) MUST_CHECK;
/* As access_key_find; id nil and *proof filled when it is of API_KEY. */
int access_session_find(struct catalog *c, struct sha256 hash, struct known_key *out, struct sha256 *proof,
                        struct err *e);
int access_session_end(struct catalog *c, struct sha256 hash, struct err *e) MUST_CHECK; /* none is fine */

#endif
