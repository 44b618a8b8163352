/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to the store, tried again where that can help. The hard thing is
 * to tell three kinds of failure apart: the store's "no", which is an answer;
 * its "not now" or silence, which is worth waiting for; and what failed on this
 * side of the wire, which no store can mend.
 */
#include "storage/storage_s3_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TRIES         5
#define BACKOFF_MS    100 /* doubled each time, and of that a random part */
#define BACKOFF_MAX   5000
#define RETRY_AFTER_S 15 /* a store that asks for a longer pause than this is down */

void s3_object_key(struct sha256 key, char out[S3_KEY_MAX])
{
        char hex[SHA256_TEXT_LEN];

        sha256_format(key, hex);
        snprintf(out, S3_KEY_MAX, "objects/%.2s/%s", hex, hex);
}

void s3_derived_key(struct sha256 key, const char *name, char out[S3_KEY_MAX])
{
        char hex[SHA256_TEXT_LEN];

        sha256_format(key, hex);
        snprintf(out, S3_KEY_MAX, "derived/%.2s/%s/%s", hex, hex, name);
}

/* Percent-encodes all but A-Za-z0-9-._~ and, for paths, the slash. */
static void s3_escape_path(struct buf *out, const char *s)
{
        char one[2] = "";

        for (; *s; s++) {
                one[0] = *s;
                if (*s == '/')
                        buf_putc(out, '/');
                else
                        httpc_escape(out, one);
        }
}

/* ---- connections ---------------------------------------------------------------- */

static int take_handle(struct s3 *s, struct httpc **h, struct err *e)
{
        *h = NULL;
        lock_take(&s->lock);
        if (s->nidle > 0)
                *h = s->idle[--s->nidle];
        lock_drop(&s->lock);
        return *h ? 0 : httpc_new(h, e);
}

static void give_back(struct s3 *s, struct httpc *h)
{
        lock_take(&s->lock);
        if (s->nidle < S3_IDLE_MAX) {
                s->idle[s->nidle++] = h;
                h = NULL;
        }
        lock_drop(&s->lock);
        httpc_free(h);
}

/* ---- one try ---------------------------------------------------------------------- */

static void url_of(const struct s3 *s, const struct s3_request *q, struct buf *url)
{
        buf_puts(url, s->root);
        if (q->key) {
                s3_escape_path(url, s->prefix);
                s3_escape_path(url, q->key);
        }
        if (q->query)
                buf_printf(url, "?%s", q->query);
}

static int try_once(struct s3 *s, struct httpc *h, const struct s3_request *q, const char *url,
                    struct httpc_response *r, struct err *e)
{
        struct s3_identity id;
        struct httpc_sigv4 sign = {.region = s->region,
                                   .service = "s3",
                                   .key = id.key,
                                   .secret = id.secret,
                                   .token = id.token,
                                   .payload = q->payload};
        char range[80];
        const char *headers[1] = {range};
        struct httpc_request hq = {.method = q->method,
                                   .url = url,
                                   .headers = headers,
                                   .nheaders = q->range_n > 0,
                                   .body = q->body,
                                   .body_fd = q->body_fd,
                                   .body_offset = q->offset,
                                   .body_size = q->size,
                                   .sigv4 = &sign,
                                   .keep_headers = true,
                                   .connect_timeout = dur_s(q->probe ? 2 : 5),
                                   .idle_timeout = dur_s(q->probe ? 5 : 30),
                                   .max_body = q->max_body ? q->max_body : S3_BODY_MAX,
                                   .out_fd = q->out_fd};

        snprintf(range, sizeof range, "Range: bytes=%llu-%llu", (unsigned long long)q->range_from,
                 (unsigned long long)(q->range_from + q->range_n - 1));
        *r = (struct httpc_response){.length = -1};
        if (s3_identity_get(s, &id, e))
                return -1;
        if (q->out_fd > 0 && (ftruncate(q->out_fd, 0) || lseek(q->out_fd, 0, SEEK_SET) < 0))
                return err_errno(e, errno, "cannot empty a file of the spool");
        return httpc_do(h, &hq, r, e);
}

/* ---- and again ---------------------------------------------------------------------- */

static bool worth_another(int rc, const struct httpc_response *r, const struct err *e)
{
        if (rc < 0)
                return e->code == ERR_UNAVAILABLE || e->code == ERR_TIMEOUT;
        return r->status == 429 || (r->status >= 500 && r->status != 501);
}

/* False: waiting is not worth it. */
static bool wait_to_retry(unsigned tried, const struct httpc_response *r)
{
        uint64_t most = (uint64_t)BACKOFF_MS << tried, asked;
        int64_t ms;

        if (most > BACKOFF_MAX)
                most = BACKOFF_MAX;
        ms = (int64_t)(random_u64() % (most + 1));
        if (span_u64(span_of(r->retry_after), &asked)) {
                if (asked > RETRY_AFTER_S)
                        return false;
                ms += (int64_t)asked * 1000;
        }
        sleep_for(dur_ms(ms));
        return true;
}

static int give_up(int rc, const struct httpc_response *r, unsigned tried, struct err *e)
{
        struct err why = {.msg = ""};

        if (rc < 0)
                why = *e;
        else
                snprintf(why.msg, sizeof why.msg, "it answers %u", r->status);
        return err_set(e, ERR_UNAVAILABLE, "the object store is not available (%u %s): %.150s", tried,
                       tried == 1 ? "try" : "tries", why.msg);
}

int s3_do(struct s3 *s, const struct s3_request *q, struct httpc_response *r, struct err *e)
{
        unsigned tried = 0, most = q->probe ? 1 : TRIES;
        struct httpc *h = NULL;
        struct err why = {0};
        struct buf url;
        int rc;

        *r = (struct httpc_response){.length = -1};
        buf_init(&url, 8192);
        url_of(s, q, &url);
        rc = buf_failed(&url) ? err_oom(&why) : take_handle(s, &h, &why);
        for (bool again = rc == 0; again;) {
                rc = try_once(s, h, q, buf_str(&url), r, &why);
                again = worth_another(rc, r, &why);
                if (!again)
                        break;
                if (++tried == most || atomic_load(&s->closing) || !wait_to_retry(tried, r)) {
                        rc = give_up(rc, r, tried, &why);
                        break;
                }
                httpc_response_done(r);
        }
        buf_done(&url);
        if (h)
                give_back(s, h);
        if (rc < 0 && e)
                *e = why;
        return rc;
}

/* ---- what an answer means -------------------------------------------------------------- */

int s3_refused(const struct httpc_response *r, const char *what, const char *key, struct err *e)
{
        struct span body = buf_span(&r->body);
        char code[64] = "";
        enum err_code kind = r->status == 404 ? ERR_NOT_FOUND : ERR_UNAVAILABLE;

        s3_xml_next(&body, "Code", code, sizeof code);
        for (char *c = code; *c; c++)
                if ((*c | 32) < 'a' || (*c | 32) > 'z')
                        *c = '?';
        /* A wrong bucket name does not mean that the catalog's objects are gone. */
        if (!strcmp(code, "NoSuchBucket"))
                kind = ERR_UNAVAILABLE;
        return err_set(e, kind, "%s %.100s: the object store answers %u%s%s", what, key, r->status, *code ? " " : "",
                       code);
}

int s3_head(struct s3 *s, const char *key, uint64_t *size, struct err *e)
{
        struct httpc_response r;
        int rc = s3_do(s, &(struct s3_request){.method = "HEAD", .key = key}, &r, e);

        if (rc == 0 && r.status != 200)
                rc = s3_refused(&r, "cannot look at", key, e);
        else if (rc == 0 && r.length < 0)
                rc = err_set(e, ERR_UNAVAILABLE, "the object store did not report the size of %.100s", key);
        else if (rc == 0)
                *size = (uint64_t)r.length;
        httpc_response_done(&r);
        return rc;
}

int s3_remove_key(struct s3 *s, const char *key, struct err *e)
{
        struct httpc_response r;
        int rc = s3_do(s, &(struct s3_request){.method = "DELETE", .key = key}, &r, e);

        if (rc == 0 && r.status != 200 && r.status != 204 && r.status != 404)
                rc = s3_refused(&r, "cannot remove", key, e);
        httpc_response_done(&r);
        return rc;
}
