/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key that requests are signed with: a fixed one, or one that the container's host lends for some hours. The hard
 * thing about the second is never to sign with an expired key, and not to ask for a new one at each request.
 */
#include "storage/storage_s3_priv.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define RENEW_BEFORE_S 300  /* of its end */
#define RENEW_ALWAYS_S 3600 /* used when the answer names no end */
#define ROLE_TRIES     3

/*
 * An unprotected address is trusted only where no other machine can answer it: this machine, and the hosts' own
 * addresses.
 */
static bool may_lend(const char *url)
{
        static const char *const hosts[] = {"127.0.0.1",     "localhost",      "[::1]",
                                            "169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"};

        if (strpbrk(url, "@ \"\\"))
                return false;
        if (strncasecmp(url, "https://", 8) == 0)
                return url[8] != '\0';
        if (strncasecmp(url, "http://", 7) != 0)
                return false;
        for (size_t i = 0; i < COUNT_OF(hosts); i++) {
                size_t n = strlen(hosts[i]);
                if (strncasecmp(url + 7, hosts[i], n) == 0 && strchr(":/", url[7 + n]))
                        return true;
        }
        return false;
}

static bool copy_text(char *out, size_t n, const char *s)
{
        return (size_t)snprintf(out, n, "%s", s ? s : "") < n;
}

int s3_identity_open(struct s3 *s, const struct storage_s3_opts *o, struct err *e)
{
        bool role = o->role_url && *o->role_url;

        if (o->key && *o->key && o->secret && *o->secret) {
                if (!copy_text(s->id.key, sizeof s->id.key, o->key) ||
                    !copy_text(s->id.secret, sizeof s->id.secret, o->secret) ||
                    !copy_text(s->id.token, sizeof s->id.token, o->token))
                        return err_set(e, ERR_INVALID, "the S3 key, its secret or its token is too long");
                return 0;
        }
        if (!role)
                return err_set(e, ERR_INVALID, "S3 storage needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
        if (!may_lend(o->role_url))
                return err_set(e, ERR_INVALID,
                               "the address of the container's credentials is not usable: expected https://, or "
                               "http:// and an address of this host");
        s->role_url = mem_strdup(o->role_url);
        s->role_token = mem_strdup(o->role_token ? o->role_token : "");
        return s->role_url && s->role_token ? 0 : err_oom(e);
}

/* The string that a flat JSON object has under this name. */
static bool json_text(struct span in, const char *name, char *out, size_t n)
{
        char quoted[40];
        size_t len = (size_t)snprintf(quoted, sizeof quoted, "\"%s\"", name), at = 0;
        const char *p = in.n >= len ? memmem(in.p, in.n, quoted, len) : NULL;

        if (!p)
                return false;
        in = span_trim((struct span){p + len, in.n - (size_t)(p + len - in.p)});
        if (in.n == 0 || in.p[0] != ':')
                return false;
        in = span_trim((struct span){in.p + 1, in.n - 1});
        if (in.n == 0 || in.p[0] != '"')
                return false;
        for (size_t i = 1; i < in.n && at + 1 < n; i++) {
                if (in.p[i] == '"') {
                        out[at] = '\0';
                        return at > 0;
                }
                if (in.p[i] == '\\' && (++i == in.n || !strchr("/\\\"", in.p[i])))
                        return false;
                if ((unsigned char)in.p[i] <= ' ' || in.p[i] == 0x7f)
                        return false;
                out[at++] = in.p[i];
        }
        return false;
}

int s3_identity_read(struct span body, struct s3_identity *id, struct err *e)
{
        char until[64];
        struct wall now = wall_now();

        *id = (struct s3_identity){.until = wall_add(now, dur_s(2 * RENEW_ALWAYS_S)),
                                   .renew = wall_add(now, dur_s(RENEW_ALWAYS_S))};
        if (!json_text(body, "AccessKeyId", id->key, sizeof id->key) ||
            !json_text(body, "SecretAccessKey", id->secret, sizeof id->secret))
                return err_set(e, ERR_UNAVAILABLE, "the container's host provides no usable S3 credentials");
        if (!json_text(body, "Token", id->token, sizeof id->token))
                id->token[0] = '\0';
        if (json_text(body, "Expiration", until, sizeof until) && wall_parse(span_of(until), &id->until))
                id->renew = wall_add(id->until, dur_s(-RENEW_BEFORE_S));
        return 0;
}

static int ask_host(struct s3 *s, struct s3_identity *id, struct err *e)
{
        struct httpc_response r;
        struct httpc *h;
        struct buf line;
        int rc = httpc_new(&h, e);

        if (rc < 0)
                return -1;
        buf_init(&line, 16384);
        buf_printf(&line, "Authorization: %s", s->role_token);
        const char *header = buf_str(&line);
        struct httpc_request q = {.method = "GET",
                                  .url = s->role_url,
                                  .headers = &header,
                                  .nheaders = s->role_token[0] != '\0',
                                  .connect_timeout = dur_s(2),
                                  .idle_timeout = dur_s(5),
                                  .max_body = 65536};
        for (int tried = 1;; tried++) {
                rc = httpc_do(h, &q, &r, e);
                bool again = rc < 0 ? e->code == ERR_UNAVAILABLE || e->code == ERR_TIMEOUT : r.status >= 500;
                if (!again || tried == ROLE_TRIES)
                        break;
                httpc_response_done(&r);
                sleep_for(dur_ms((int64_t)(random_u64() % 500)));
        }
        if (rc == 0)
                rc = r.status == 200 ? s3_identity_read(buf_span(&r.body), id, e)
                                     : err_set(e, ERR_UNAVAILABLE,
                                               "the container's host lends no S3 key: it answers %u", r.status);
        httpc_response_done(&r);
        buf_done(&line);
        httpc_free(h);
        return rc;
}

static bool copy_unless(struct s3 *s, struct s3_identity *id, bool stale_is_fine)
{
        struct wall now = wall_now();
        bool good;

        lock_take(&s->lock);
        good = !s->role_url || (stale_is_fine ? now.us < s->id.until.us : now.us < s->id.renew.us);
        if (good)
                *id = s->id;
        lock_drop(&s->lock);
        return good;
}

int s3_identity_get(struct s3 *s, struct s3_identity *id, struct err *e)
{
        struct s3_claim claim;
        struct s3_identity lent;
        int rc = 0;

        if (copy_unless(s, id, false))
                return 0;
        s3_claim(s, &claim, "credentials");
        if (!copy_unless(s, id, false)) {
                struct err why = {0};
                rc = ask_host(s, &lent, &why);
                if (rc == 0) {
                        lock_take(&s->lock);
                        s->id = *id = lent;
                        lock_drop(&s->lock);
                } else if (copy_unless(s, id, true)) {
                        rc = 0; /* good for some minutes yet */
                } else if (e) {
                        *e = why;
                }
        }
        s3_unclaim(s, &claim);
        return rc;
}
