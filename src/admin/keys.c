/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and sessions as this process knows them. The catalog's answer about a key is cached for a few seconds, also
 * "unknown"; so a key revoked by another instance is refused that much later here. Keys are stored by their SHA-256
 * here as well.
 */
#include <stdio.h>
#include <string.h>

#include "admin/admin_priv.h"
#include "access/access.h"
#include "log/log.h"

#define BELIEVED  dur_s(5)
#define SECRET    32 /* random bytes of a key or cookie */
#define COOKIE    "fs_"
#define KEY       "fa_"
#define START_LEN (sizeof KEY - 1 + KEY_PREFIX_LEN - 1) /* "fa_" and the prefix: what may be logged */

static void put_hex(char *out, const uint8_t *p, size_t n)
{
        for (size_t i = 0; i < n; i++)
                snprintf(out + 2 * i, 3, "%02x", p[i]);
}

static bool all_hex(struct span s)
{
        for (size_t i = 0; i < s.n; i++)
                if (!memchr("0123456789abcdef", s.p[i], 16))
                        return false;
        return true;
}

bool key_split(struct span text, char prefix[KEY_PREFIX_LEN])
{
        if (text.n != KEY_TEXT_LEN - 1 || memcmp(text.p, KEY, 3) != 0 || text.p[START_LEN] != '_' ||
            !all_hex((struct span){text.p + 3, KEY_PREFIX_LEN - 1}) ||
            !all_hex((struct span){text.p + START_LEN + 1, (size_t)2 * SECRET}))
                return false;
        memcpy(prefix, text.p + 3, KEY_PREFIX_LEN - 1);
        prefix[KEY_PREFIX_LEN - 1] = '\0';
        return true;
}

int key_make(struct catalog *c, struct new_key *k, char text[KEY_TEXT_LEN], struct wall *expires, struct err *e)
{
        char prefix[KEY_PREFIX_LEN];
        uint8_t raw[(KEY_PREFIX_LEN - 1) / 2 + SECRET];

        for (int tries = 0;; tries++) {
                random_bytes(raw, sizeof raw);
                put_hex(prefix, raw, sizeof raw - SECRET);
                memcpy(text, KEY, 3);
                memcpy(text + 3, prefix, sizeof prefix);
                text[START_LEN] = '_';
                put_hex(text + START_LEN + 1, raw + sizeof raw - SECRET, SECRET);
                k->id = id_new();
                k->prefix = prefix;
                k->hash = sha256_of(text, KEY_TEXT_LEN - 1);
                int rc = access_key_create(c, k, expires, e);
                k->prefix = NULL;
                if (rc == 0) {
                        log_info("keys", "key %.11s was made by %s: scope %s, owner %s", text, k->actor,
                                 key_scope_name(k->scope), k->owner ? k->owner : "any");
                        return 0;
                }
                if (e->code != ERR_STALE || tries == 5) /* of four thousand million prefixes ours was taken */
                        return -1;
        }
}

/* ---- what is believed ---------------------------------------------------------------------- */

int keys_init(struct keys *k, const struct admin_opts *o, struct err *e)
{
        bool exist = false;

        lock_init(&k->lock, "admin.keys", RANK_APP);
        if (access_keys_exist(o->catalog, &exist, e))
                return -1;
        atomic_store(&k->required, exist || *o->api_key);
        atomic_store(&k->look_again, mono_add(mono_now(), BELIEVED).ns);
        return 0;
}

void keys_done(struct keys *k)
{
        lock_done(&k->lock);
}

/*
 * Entries are found by the first bytes of the presented key's hash; a newer entry replaces the older one in its
 * place.
 */
static struct key_entry *entry_of(struct keys *k, const struct sha256 *h)
{
        return &k->entries[h->b[0] % COUNT_OF(k->entries)];
}

static bool recall_key(struct keys *k, const struct sha256 *h, int *known, struct admin_caller *out,
                       uint64_t *generation)
{
        lock_take(&k->lock);
        const struct key_entry *at = entry_of(k, h);
        bool hit = at->until.ns && !mono_reached(at->until) && equal_constant_time(at->hash.b, h->b, sizeof h->b);
        if (hit) {
                *known = at->known;
                *out = at->who;
        }
        *generation = k->generation;
        lock_drop(&k->lock);
        return hit;
}

/* Not stored when a key was revoked meanwhile: the answer may be from before that. */
static void remember_key(struct keys *k, const struct sha256 *h, bool known, const struct admin_caller *who,
                         uint64_t generation)
{
        lock_take(&k->lock);
        if (generation == k->generation)
                *entry_of(k, h) = (struct key_entry){
                        .hash = *h, .until = mono_add(mono_now(), BELIEVED), .known = known, .who = *who};
        lock_drop(&k->lock);
}

static void forget_all(struct keys *k)
{
        lock_take(&k->lock);
        k->generation++;
        memset(k->entries, 0, sizeof k->entries);
        lock_drop(&k->lock);
}

/*
 * Once a key exists, created here or elsewhere, keys are required for good; until then the catalog is asked now and
 * again.
 */
bool admin_keys_required(struct admin *a)
{
        struct keys *k = &a->keys;
        int64_t due = atomic_load(&k->look_again);
        bool exist;
        struct err e;

        if (atomic_load(&k->required))
                return true;
        if (!mono_reached((struct mono){due}) ||
            !atomic_compare_exchange_strong(&k->look_again, &due, mono_add(mono_now(), BELIEVED).ns))
                return false;
        if (access_keys_exist(a->o.catalog, &exist, &e))
                log_warning("keys", "cannot see whether there are keys: %s", e.msg);
        else if (exist)
                atomic_store(&k->required, true);
        return atomic_load(&k->required);
}

/* ---- who is it ------------------------------------------------------------------------------- */

/* Hashes are compared, not keys, so that neither length nor a common beginning shows in the time. */
static bool is_api_key(const struct admin *a, const struct sha256 *h)
{
        struct sha256 want = sha256_of(a->o.api_key, strlen(a->o.api_key));

        return *a->o.api_key && equal_constant_time(h->b, want.b, sizeof want.b);
}

static void fill_env(struct admin_caller *out)
{
        *out = (struct admin_caller){.scope = KEY_ADMIN, .key_id = "env"};
}

static void fill_known(struct admin *a, const struct known_key *k, struct admin_caller *out)
{
        struct err e;

        *out = (struct admin_caller){.scope = k->scope};
        snprintf(out->owner, sizeof out->owner, "%s", k->owner);
        id_format(k->id, out->key_id);
        if (k->idle && access_key_used(a->o.catalog, k->id, &e))
                log_debug("keys", "the last use of key %s is not noted: %s", out->key_id, e.msg);
}

static int ask_session(struct admin *a, struct span cookie, const struct sha256 *h, struct admin_caller *out,
                       struct err *e)
{
        struct sha256 proof, want;
        struct known_key k;
        int rc = access_session_find(a->o.catalog, *h, &k, &proof, e);

        if (rc <= 0)
                return rc;
        if (!id_is_nil(k.id)) {
                fill_known(a, &k, out);
                return 1;
        }
        /* Of API_KEY, while that is the same. */
        want = hmac_sha256(cookie, span_of(a->o.api_key));
        if (!*a->o.api_key || !equal_constant_time(want.b, proof.b, sizeof want.b))
                return 0;
        fill_env(out);
        return 1;
}

static int ask_key(struct admin *a, const char *prefix, const struct sha256 *h, struct admin_caller *out, struct err *e)
{
        struct known_key k;
        int rc = access_key_find(a->o.catalog, prefix, &k, e);

        if (rc <= 0)
                return rc;
        if (!equal_constant_time(k.hash.b, h->b, sizeof h->b))
                return 0;
        fill_known(a, &k, out);
        return 1;
}

int admin_authenticate(struct admin *a, struct span given, struct admin_caller *out, struct err *e)
{
        struct sha256 h = sha256_of(given.p, given.n);
        struct admin_caller who = {0};
        char prefix[KEY_PREFIX_LEN];
        uint64_t generation;
        int known = 0;

        *out = who;
        if (is_api_key(a, &h)) {
                fill_env(out);
                return 1;
        }
        bool key = key_split(given, prefix);
        bool cookie = given.n == COOKIE_TEXT_LEN - 1 && memcmp(given.p, COOKIE, 3) == 0;
        if (!key && !cookie)
                return 0;
        if (!recall_key(&a->keys, &h, &known, &who, &generation)) {
                known = key ? ask_key(a, prefix, &h, &who, e) : ask_session(a, given, &h, &who, e);
                if (known < 0)
                        return -1;
                remember_key(&a->keys, &h, known, &who, generation);
        }
        *out = who;
        if (!known && key)
                snprintf(out->key_id, sizeof out->key_id, KEY "%s", prefix);
        return known;
}

/* ---- changes --------------------------------------------------------------------------------- */

int admin_key_create(struct admin *a, struct new_key *k, char text[KEY_TEXT_LEN], struct wall *expires, struct err *e)
{
        k->alone = !*a->o.api_key;
        if (key_make(a->o.catalog, k, text, expires, e))
                return -1;
        atomic_store(&a->keys.required, true);
        return 0;
}

int admin_key_revoke(struct admin *a, struct key_end *k, struct err *e)
{
        char id[ID_TEXT_LEN];

        k->alone = !*a->o.api_key;
        if (access_key_revoke(a->o.catalog, k, e))
                return -1;
        forget_all(&a->keys);
        log_info("keys", "key %s was revoked by %s", id_format(k->id, id), k->actor);
        return 0;
}

int admin_session_begin(struct admin *a, struct span key, char cookie[COOKIE_TEXT_LEN], struct admin_caller *out,
                        struct err *e)
{
        struct new_session s = {.lifetime = dur_s(SESSION_SECONDS)};
        char prefix[KEY_PREFIX_LEN];
        uint8_t raw[SECRET];
        struct sha256 h = sha256_of(key.p, key.n);
        int known = admin_authenticate(a, key, out, e);

        if (known < 0)
                return -1;
        /* A session cannot be exchanged for another, or it would never end. */
        if (!known || (!key_split(key, prefix) && !is_api_key(a, &h)))
                return err_set(e, ERR_FORBIDDEN, "the API key is not known");
        random_bytes(raw, sizeof raw);
        memcpy(cookie, COOKIE, 3);
        put_hex(cookie + 3, raw, sizeof raw);
        s.hash = sha256_of(cookie, COOKIE_TEXT_LEN - 1);
        if (strcmp(out->key_id, "env") == 0)
                s.proof = hmac_sha256(span_of(cookie), span_of(a->o.api_key));
        else if (!id_parse(span_of(out->key_id), &s.key))
                return err_set(e, ERR_INTERNAL, "a key without an id");
        if (access_session_add(a->o.catalog, &s, e))
                return e->code == ERR_NOT_FOUND ? err_set(e, ERR_FORBIDDEN, "the API key is not known") : -1;
        log_info("keys", "a session of key %s begins", out->key_id);
        return 0;
}

int admin_session_end(struct admin *a, struct span cookie, struct err *e)
{
        if (cookie.n == 0)
                return 0;
        if (access_session_end(a->o.catalog, sha256_of(cookie.p, cookie.n), e))
                return -1;
        forget_all(&a->keys);
        return 0;
}
