/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, and the sessions that browsers exchange them for. */
#include <stdio.h>
#include <string.h>

#include "api/api_priv.h"
#include "access/access.h"
#include "log/log.h"

#define NAME_LIMIT 100

_Static_assert((int)KEY_READ == HTTP_SCOPE_READ && (int)KEY_WRITE == HTTP_SCOPE_WRITE &&
                       (int)KEY_ADMIN == HTTP_SCOPE_ADMIN,
               "a key's scope is a route's");

int api_authenticate(void *ctx, struct span key, struct http_caller *out)
{
        const struct api *a = ctx;
        struct admin_caller who;
        struct err e;
        int known = admin_authenticate(a->o.admin, key, &who, &e);

        if (known < 0)
                log_warning("api", "a key cannot be checked: %s", e.msg);
        *out = (struct http_caller){.scope = (enum http_scope)who.scope};
        snprintf(out->owner, sizeof out->owner, "%s", who.owner);
        snprintf(out->key_id, sizeof out->key_id, "%s", who.key_id);
        return known;
}

bool api_keys_required(void *ctx)
{
        return admin_keys_required(((const struct api *)ctx)->o.admin);
}

/* The key that asks; nil for API_KEY and where none is needed. */
static struct id asking_key(const struct http_request *r)
{
        struct id id;
        return id_parse(span_of(http_caller(r)->key_id), &id) ? id : (struct id){{0}};
}

/* ---- showing --------------------------------------------------------------------------------- */

static void put_time(struct json_out *j, const char *name, struct wall t)
{
        if (t.us)
                json_kv_wall(j, name, t);
        else
                json_kv_null(j, name);
}

static void view_key(struct json_out *j, const struct api_key *k)
{
        json_obj(j);
        json_kv_id(j, "id", k->id);
        json_kv_str(j, "name", k->name);
        json_kv_str(j, "prefix", k->prefix);
        json_kv_str(j, "scope", key_scope_name(k->scope));
        json_kv_str(j, "owner", k->owner);
        json_kv_wall(j, "created_at", k->created);
        json_kv_str(j, "created_by", k->created_by);
        put_time(j, "expires_at", k->expires);
        put_time(j, "last_used_at", k->last_used);
        put_time(j, "revoked_at", k->revoked);
        json_kv_str(j, "revoked_by", k->revoked_by);
        json_end(j);
}

void get_keys(struct http_request *r)
{
        struct api_key *keys;
        size_t n;
        uint64_t total;
        bool revoked;
        struct err e;
        struct buf b;
        struct json_out j;
        if (!arg_bool(r, "revoked", false, &revoked))
                return;
        if (access_key_list(api_of(r)->o.catalog, bound_owner(r), revoked, http_arena(r), &keys, &n, &total, &e)) {
                http_reply_err(r, &e);
                return;
        }
        answer_begin(&j, &b);
        json_obj(&j);
        json_key(&j, "keys");
        json_arr(&j);
        for (size_t i = 0; i < n; i++)
                view_key(&j, &keys[i]);
        json_end(&j);
        json_kv_int(&j, "total", (int64_t)total);
        json_end(&j);
        answer_end(r, 200, &b);
}

/* ---- making and ending ------------------------------------------------------------------------- */

static bool refuse_key(struct http_request *r, const char *text)
{
        http_reply_error(r, 400, "invalid", NULL, "%s", text);
        return false;
}

/* A text, or nothing for null and absent. */
static bool text_of(struct http_request *r, const struct json *doc, const char *name, struct span *out)
{
        const struct json *v = json_get(doc, name);
        *out = json_span(v);
        if (!v || json_is_null(v) || (json_is_string(v) && out->n && !memchr(out->p, '\0', out->n)))
                return true;
        http_reply_error(r, 400, "invalid", NULL, "%s: must be a string that is not empty", name);
        return false;
}

static bool wish_of(struct http_request *r, const struct json *doc, struct new_key *k)
{
        struct span name, owner, scope, expires;
        if (!body_members(r, doc, "name,owner,scope,expires") || !text_of(r, doc, "name", &name) ||
            !text_of(r, doc, "owner", &owner) || !text_of(r, doc, "scope", &scope) ||
            !text_of(r, doc, "expires", &expires))
                return false;
        k->scope = KEY_READ;
        if (scope.n && !key_scope_parse(scope, &k->scope))
                return refuse_key(r, "scope: must be read, write or admin, or several with commas between");
        if (expires.n && !wall_parse(expires, &k->expires))
                return refuse_key(r, "expires: must be an RFC 3339 time such as 2027-01-31T12:00:00Z");
        if (name.n > NAME_LIMIT)
                return refuse_key(r, "name: must be at most 100 bytes");
        if (owner.n && !owner_valid(owner))
                return refuse_key(r, "owner: must be 1-64 of A-Z a-z 0-9 . _ @ - and not begin with a dot");
        k->name = arena_strndup(http_arena(r), name);
        k->owner = owner.n ? arena_strndup(http_arena(r), owner) : bound_owner(r);
        return true;
}

static void reply_made(struct http_request *r, const struct new_key *k, const char *text, struct wall expires)
{
        struct buf b;
        struct json_out j;
        answer_begin(&j, &b);
        json_obj(&j);
        json_kv_id(&j, "id", k->id);
        json_kv_str(&j, "key", text);
        json_kv_str(&j, "name", k->name);
        json_kv_str(&j, "scope", key_scope_name(k->scope));
        json_kv_str(&j, "owner", k->owner);
        put_time(&j, "expires_at", expires);
        json_kv_str(&j, "note",
                    k->first ? "Keep the key: it is shown only now. From now on every request needs a key."
                             : "Keep the key: it is shown only now.");
        json_end(&j);
        http_add_header(r, "Cache-Control", "no-store");
        answer_end(r, 201, &b);
}

void post_key(struct http_request *r)
{
        struct new_key k = {.by = asking_key(r), .actor = actor_of(r), .first = !*http_caller(r)->key_id};
        char text[KEY_TEXT_LEN];
        struct wall expires;
        struct err e;
        struct json *doc = body_object(r);
        if (!doc)
                return;
        bool ok = wish_of(r, doc, &k);
        json_free(doc);
        if (!ok)
                return;
        if (k.first && !http_is_local(r)) {
                http_reply_error(r, 403, "not_local", NULL,
                                 "the first key can only be made on the server's own machine: there, run "
                                 "file-allocator apikey create --scope admin");
                return;
        }
        if (admin_key_create(api_of(r)->o.admin, &k, text, &expires, &e))
                http_reply_err(r, &e);
        else
                reply_made(r, &k, text, expires);
}

void delete_key(struct http_request *r)
{
        struct key_end k = {.by = asking_key(r), .owner = bound_owner(r), .actor = actor_of(r)};
        struct err e;
        if (!arg_id(r, "id", &k.id))
                return;
        if (admin_key_revoke(api_of(r)->o.admin, &k, &e))
                http_reply_err(r, &e);
        else
                http_reply(r, 204, NULL, (struct span){0});
}

/* ---- sessions ---------------------------------------------------------------------------------- */

/*
 * The cookie is Secure whenever the browser's page was loaded over TLS, as the browser itself says: the flag only
 * ever restricts where the cookie is sent, so lying gains nothing.
 */
static void set_cookie(struct http_request *r, const char *value, int seconds)
{
        const char *origin = http_header(r, "Origin"), *proto = http_header(r, "X-Forwarded-Proto");
        bool secure = (origin && !strncasecmp(origin, "https://", 8)) || (proto && !strcasecmp(proto, "https"));
        char text[COOKIE_TEXT_LEN + 100];
        snprintf(text, sizeof text, HTTP_SESSION_COOKIE "=%s; Path=/; Max-Age=%d; HttpOnly; SameSite=Strict%s", value,
                 seconds, secure ? "; Secure" : "");
        http_add_header(r, "Set-Cookie", text);
        http_add_header(r, "Cache-Control", "no-store");
}

/* The key in the body, else the one in the header. */
static bool key_of(struct http_request *r, struct json *doc, struct span *key)
{
        const char *header = http_header(r, "X-API-Key"), *bearer = http_header(r, "Authorization");
        if (!body_members(r, doc, "key") || !text_of(r, doc, "key", key))
                return false;
        if (!key->n && header)
                *key = span_trim(span_of(header));
        else if (!key->n && bearer && !strncasecmp(bearer, "Bearer ", 7))
                *key = span_trim(span_of(bearer + 7));
        return true;
}

static void begin_session(struct http_request *r, struct span key)
{
        char cookie[COOKIE_TEXT_LEN], prefix[KEY_PREFIX_LEN] = "";
        struct admin_caller who;
        struct err e;
        struct buf b;
        struct json_out j;
        if (admin_session_begin(api_of(r)->o.admin, key, cookie, &who, &e)) {
                if (e.code != ERR_FORBIDDEN) {
                        http_reply_err(r, &e);
                        return;
                }
                char shown[KEY_PREFIX_LEN + 3] = ""; /* in the form in which the gate shows it */
                if (key_split(key, prefix))
                        snprintf(shown, sizeof shown, "fa_%s", prefix);
                http_key_refused(r, shown);
                http_reply_error(r, 401, "unauthorized", NULL, "%s", e.msg);
                return;
        }
        set_cookie(r, cookie, SESSION_SECONDS);
        answer_begin(&j, &b);
        json_obj(&j);
        json_kv_str(&j, "key_id", who.key_id);
        json_kv_str(&j, "scope", key_scope_name(who.scope));
        json_kv_str(&j, "owner", *who.owner ? who.owner : NULL);
        json_kv_wall(&j, "expires_at", wall_add(wall_now(), dur_s(SESSION_SECONDS)));
        json_end(&j);
        answer_end(r, 201, &b);
}

void post_session(struct http_request *r)
{
        struct span key;
        struct json *doc = body_object(r);
        if (!doc)
                return;
        if (key_of(r, doc, &key)) {
                if (key.n)
                        begin_session(r, key);
                else
                        http_reply_error(r, 401, "unauthorized", NULL,
                                         "an API key is needed: {\"key\": …} or X-API-Key");
        }
        json_free(doc);
}

void delete_session(struct http_request *r)
{
        struct err e;
        if (admin_session_end(api_of(r)->o.admin, http_session(r), &e)) {
                http_reply_err(r, &e);
                return;
        }
        set_cookie(r, "", 0);
        http_reply(r, 204, NULL, (struct span){0});
}
