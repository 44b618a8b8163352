/* SPDX-License-Identifier: Apache-2.0 */
/*
 * API keys and the sessions of browsers. The rules of who may create and revoke which key are checked here, inside
 * the write, so that of two simultaneous requests, on any instances, the second sees the effect of the first.
 */
#include "access/access.h"
#include "catalog/catalog_rules.h"

#include <stdio.h>

#define SESSIONS_MAX 100
#define LIVE(alias)  alias ".revoked = 0 AND (" alias ".expires = 0 OR " alias ".expires > ?1)" /* ?1: now */

/* One write at a time creates or revokes keys. */
static int lock_keys(struct tx *tx, struct err *e)
{
        return db_run(tx->db, e, SQL(tx->db, NULL, "SELECT pg_advisory_xact_lock(6120477350)"), "");
}

struct key_row {
        int64_t n;
        enum key_scope scope;
        char owner[OWNER_MAX + 1];
        struct wall expires;
        bool revoked, live;
};

/* Returns 1 when found, 0 when unknown (or another owner's), -1 on error. */
static int key_load(struct tx *tx, const struct id *id, const char *owner, struct key_row *out, struct err *e)
{
        struct rows *s = db_query(tx->db, e,
                                  "SELECT n, scope, owner, expires, revoked FROM api_key WHERE id = ?1 AND "
                                  "(?2 IS NULL OR owner = ?2)",
                                  "ut", id, owner);
        int rc = s ? db_step(tx->db, s, e) : -1;

        if (rc <= 0)
                return rc;
        *out = (struct key_row){.n = col_i64(s, 0),
                                .scope = (enum key_scope)col_int(s, 1),
                                .expires = col_wall(s, 3),
                                .revoked = col_i64(s, 4) != 0};
        snprintf(out->owner, sizeof out->owner, "%s", or_empty(col_str(s, 2)));
        out->live = !out->revoked && (!out->expires.us || out->expires.us > tx->now.us);
        db_end(s);
        return 1;
}

/* Checks the requesting key, which may have been revoked since the request was admitted. */
static int asker_load(struct tx *tx, const struct id *by, struct key_row *out, struct err *e)
{
        int rc = key_load(tx, by, NULL, out, e);

        if (rc < 0)
                return -1;
        if (rc == 0 || !out->live || out->scope != KEY_ADMIN)
                return err_set(e, ERR_FORBIDDEN, "the key used for this request is no longer an admin key");
        return 0;
}

/* ---- making ----------------------------------------------------------------------------- */

struct create_args {
        const struct new_key *key;
        struct wall *expires;
};

static int check_widening(const struct key_row *by, const struct new_key *k, struct wall *expires, struct err *e)
{
        if (k->scope > by->scope)
                return err_set(e, ERR_FORBIDDEN, "scope: a key cannot create one of a higher scope");
        if (*by->owner && (!k->owner || strcmp(k->owner, by->owner) != 0))
                return err_set(e, ERR_FORBIDDEN, "owner: this key may create keys of '%s' only", by->owner);
        if (!expires->us)
                *expires = by->expires;
        if (by->expires.us && expires->us > by->expires.us)
                return err_set(e, ERR_FORBIDDEN, "expires: a key cannot create one that expires after itself");
        return 0;
}

static int check_numbers(struct tx *tx, const struct new_key *k, struct err *e)
{
        int64_t all, live;

        if (db_int(tx->db, e, &all, "SELECT count(*) FROM api_key", "") < 0 ||
            db_int(tx->db, e, &live, "SELECT count(*) FROM api_key WHERE revoked = 0", "") < 0)
                return -1;
        if (k->first && all > 0)
                return err_set(e, ERR_CONFLICT, "there are keys already: use one of them for this request");
        if (k->alone && all == 0 && (k->scope != KEY_ADMIN || k->owner))
                return err_set(e, ERR_INVALID,
                               "scope: the first key must be an admin's and bound to no owner, since only such a one "
                               "can make the others");
        if (live >= KEYS_MAX)
                return err_set(e, ERR_CONFLICT, "there are already %d keys, the maximum: revoke some", KEYS_MAX);
        return 0;
}

static int do_create(struct tx *tx, void *arg, struct err *e)
{
        struct create_args *g = arg;
        const struct new_key *k = g->key;
        struct wall expires = k->expires;
        struct key_row by;

        if (lock_keys(tx, e) || check_numbers(tx, k, e))
                return -1;
        if (!id_is_nil(k->by) && (asker_load(tx, &k->by, &by, e) || check_widening(&by, k, &expires, e)))
                return -1;
        if (expires.us && expires.us <= tx->now.us)
                return err_set(e, ERR_INVALID, "expires: that time has passed");
        if (db_run(tx->db, e,
                   "INSERT INTO api_key (id, name, prefix, hash, scope, owner, created, created_by, expires) VALUES "
                   "(?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (prefix) DO NOTHING",
                   "utthitltl", &k->id, or_empty(k->name), k->prefix, &k->hash, (int)k->scope, k->owner, tx->now.us,
                   k->actor, expires.us))
                return -1;
        if (db_changes(tx->db) == 0)
                return err_set(e, ERR_STALE, "the prefix is taken");
        if (tx_mark(tx, KEPT_CATALOG, (struct id){{0}}, e))
                return -1;
        if (g->expires)
                *g->expires = expires;
        return 0;
}

int access_key_create(struct catalog *c, const struct new_key *k, struct wall *expires, struct err *e)
{
        struct create_args g = {.key = k, .expires = expires};

        if (k->owner && !owner_valid(span_of(k->owner)))
                return err_set(e, ERR_INVALID, "owner: 1 to 64 of A-Z a-z 0-9 . _ @ -, not beginning with a dot");
        return write_do(c, LANE_RESULT, do_create, &g, e);
}

/* ---- showing ------------------------------------------------------------------------------ */

static int key_read(struct rows *s, struct arena *a, struct api_key *out, struct err *e)
{
        bool ok = true;

        *out = (struct api_key){.id = col_id(s, 0),
                                .name = col_text(a, s, 1, &ok),
                                .owner = col_text(a, s, 2, &ok),
                                .prefix = col_text(a, s, 3, &ok),
                                .scope = (enum key_scope)col_int(s, 4),
                                .created = col_wall(s, 5),
                                .expires = col_wall(s, 6),
                                .last_used = col_wall(s, 7),
                                .revoked = col_wall(s, 8),
                                .created_by = col_text(a, s, 9, &ok),
                                .revoked_by = col_text(a, s, 10, &ok)};
        return ok ? 0 : err_oom(e);
}

#define CHOSEN " FROM api_key WHERE (?1 IS NULL OR owner = ?1) AND (revoked = 0 OR ?2 <> 0)"

static int read_keys(struct db *db, const char *owner, bool revoked, struct arena *a, struct api_key **out, size_t *n,
                     struct err *e)
{
        struct rows *s = db_query(db, e,
                                  "SELECT id, name, owner, prefix, scope, created, expires, last_used, revoked, "
                                  "created_by, revoked_by" CHOSEN " ORDER BY n DESC LIMIT ?3",
                                  "tii", owner, (int)revoked, KEYS_MAX);
        size_t cap = 0;
        int rc = -1;

        while (s && (rc = db_step(db, s, e)) > 0) {
                if (arena_grow(a, out, &cap, *n + 1, sizeof **out, e) || key_read(s, a, &(*out)[*n], e)) {
                        db_end(s);
                        return -1;
                }
                ++*n;
        }
        return rc;
}

int access_key_list(struct catalog *c, const char *owner, bool revoked, struct arena *a, struct api_key **out,
                    size_t *n, uint64_t *total, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int64_t count = 0;
        int rc;

        *out = NULL;
        *n = 0;
        if (!db)
                return -1;
        rc = db_int(db, e, &count, "SELECT count(*)" CHOSEN, "ti", owner, (int)revoked);
        if (rc >= 0)
                rc = read_keys(db, owner, revoked, a, out, n, e);
        *total = (uint64_t)count;
        read_end(c, db, began);
        return rc < 0 ? -1 : 0;
}

/* ---- ending ------------------------------------------------------------------------------- */

static int do_revoke(struct tx *tx, void *arg, struct err *e)
{
        const struct key_end *k = arg;
        struct key_row by, key;
        int64_t others;
        int rc;

        if (lock_keys(tx, e) || (!id_is_nil(k->by) && asker_load(tx, &k->by, &by, e)))
                return -1;
        rc = key_load(tx, &k->id, k->owner, &key, e);
        if (rc <= 0)
                return rc < 0 ? -1 : err_set(e, ERR_NOT_FOUND, "no such key");
        if (key.revoked)
                return 0;
        if (k->alone && key.live && key.scope == KEY_ADMIN && !*key.owner) {
                if (db_int(tx->db, e, &others,
                           "SELECT count(*) FROM api_key k WHERE " LIVE("k") " AND k.scope = ?2 AND k.owner IS NULL "
                                                                             "AND k.n <> ?3",
                           "lil", tx->now.us, (int)KEY_ADMIN, key.n) < 0)
                        return -1;
                if (others == 0)
                        return err_set(e, ERR_CONFLICT,
                                       "this is the last admin key that is bound to no owner: make another one first, "
                                       "or set API_KEY");
        }
        if (db_run(tx->db, e, "UPDATE api_key SET revoked = ?, revoked_by = ? WHERE n = ?", "ltl", tx->now.us, k->actor,
                   key.n))
                return -1;
        return db_run(tx->db, e, "DELETE FROM session WHERE api_key = ?", "l", key.n);
}

int access_key_revoke(struct catalog *c, const struct key_end *k, struct err *e)
{
        struct key_end end = *k;

        return write_do(c, LANE_RESULT, do_revoke, &end, e);
}

/* ---- asking ------------------------------------------------------------------------------- */

int access_keys_exist(struct catalog *c, bool *out, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        int64_t one;
        int rc;

        if (!db)
                return -1;
        rc = db_int(db, e, &one, "SELECT 1 FROM api_key LIMIT 1", "");
        *out = rc > 0;
        read_end(c, db, began);
        return rc < 0 ? -1 : 0;
}

#define MINUTE_US INT64_C(60000000)

/* Columns id, hash, scope, owner, last_used. */
static void known_read(struct db *db, const struct rows *s, struct known_key *out)
{
        *out = (struct known_key){.id = col_id(s, 0)};
        if (col_null(s, 0))
                return;
        out->hash = col_sha(s, 1);
        out->scope = (enum key_scope)col_int(s, 2);
        snprintf(out->owner, sizeof out->owner, "%s", or_empty(col_str(s, 3)));
        out->idle = col_i64(s, 4) < db->now.us - MINUTE_US;
}

int access_key_find(struct catalog *c, const char *prefix, struct known_key *out, struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        struct rows *s;
        int rc;

        if (!db)
                return -1;
        s = db_query(
                db, e,
                "SELECT k.id, k.hash, k.scope, k.owner, k.last_used FROM api_key k WHERE k.prefix = ?2 AND " LIVE("k"),
                "lt", db->now.us, prefix);
        rc = s ? db_step(db, s, e) : -1;
        if (rc > 0) {
                known_read(db, s, out);
                db_end(s);
        }
        read_end(c, db, began);
        return rc;
}

static int do_used(struct tx *tx, void *arg, struct err *e)
{
        return db_run(tx->db, e, "UPDATE api_key SET last_used = ? WHERE id = ? AND last_used < ?", "lul", tx->now.us,
                      (const struct id *)arg, tx->now.us - MINUTE_US);
}

int access_key_used(struct catalog *c, struct id id, struct err *e)
{
        return write_do(c, LANE_BULK, do_used, &id, e);
}

/* ---- sessions ------------------------------------------------------------------------------- */

#define EXPIRED_DELETE(lock)                                                                                           \
        "DELETE FROM session WHERE n IN (SELECT n FROM session WHERE expires <= ? LIMIT 20" lock ")"

static int session_trim(struct tx *tx, const struct id *key, struct err *e)
{
        /* Each new session also removes some expired ones. */
        if (db_run(tx->db, e, SQL(tx->db, EXPIRED_DELETE(""), EXPIRED_DELETE(" FOR UPDATE SKIP LOCKED")), "l",
                   tx->now.us))
                return -1;
        if (!key)
                return db_run(tx->db, e,
                              "DELETE FROM session WHERE api_key IS NULL AND n NOT IN (SELECT n FROM session WHERE "
                              "api_key IS NULL ORDER BY n DESC LIMIT ?)",
                              "i", SESSIONS_MAX);
        return db_run(tx->db, e,
                      "DELETE FROM session WHERE api_key = (SELECT n FROM api_key WHERE id = ?1) AND n NOT IN (SELECT "
                      "s.n FROM session s JOIN api_key k ON k.n = s.api_key WHERE k.id = ?1 ORDER BY s.n DESC LIMIT "
                      "?2)",
                      "ui", key, SESSIONS_MAX);
}

static int do_session_add(struct tx *tx, void *arg, struct err *e)
{
        const struct new_session *s = arg;
        const struct id *key = id_is_nil(s->key) ? NULL : &s->key;
        int64_t expires = wall_add(tx->now, s->lifetime).us;
        int rc;

        if (lock_keys(tx, e))
                return -1;
        if (key)
                rc = db_run(tx->db, e,
                            "INSERT INTO session (hash, api_key, expires) SELECT ?2, k.n, ?3 FROM api_key k WHERE k.id "
                            "= ?4 AND " LIVE("k"),
                            "lhlu", tx->now.us, &s->hash, expires, key);
        else
                rc = db_run(tx->db, e, "INSERT INTO session (hash, proof, expires) VALUES (?, ?, ?)", "hhl", &s->hash,
                            &s->proof, expires);
        if (rc < 0)
                return -1;
        if (db_changes(tx->db) == 0)
                return err_set(e, ERR_NOT_FOUND, "the key is revoked or has expired");
        return session_trim(tx, key, e);
}

int access_session_add(struct catalog *c, const struct new_session *s, struct err *e)
{
        struct new_session add = *s;

        return write_do(c, LANE_RESULT, do_session_add, &add, e);
}

int access_session_find(struct catalog *c, struct sha256 hash, struct known_key *out, struct sha256 *proof,
                        struct err *e)
{
        struct mono began = mono_now();
        struct db *db = read_begin(c, e);
        struct rows *s;
        int rc;

        if (!db)
                return -1;
        s = db_query(
                db, e,
                "SELECT k.id, k.hash, k.scope, k.owner, k.last_used, s.proof FROM session s LEFT JOIN api_key k "
                "ON k.n = s.api_key WHERE s.hash = ?2 AND s.expires > ?1 AND (s.api_key IS NULL OR (" LIVE("k") "))",
                "lh", db->now.us, &hash);
        rc = s ? db_step(db, s, e) : -1;
        if (rc > 0) {
                known_read(db, s, out);
                if (id_is_nil(out->id))
                        *proof = col_sha(s, 5);
                db_end(s);
        }
        read_end(c, db, began);
        return rc;
}

static int do_session_end(struct tx *tx, void *arg, struct err *e)
{
        return db_run(tx->db, e, "DELETE FROM session WHERE hash = ?", "h", (const struct sha256 *)arg);
}

int access_session_end(struct catalog *c, struct sha256 hash, struct err *e)
{
        return write_do(c, LANE_RESULT, do_session_end, &hash, e);
}
