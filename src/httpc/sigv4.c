/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4, by the description in the S3 API reference ("Authenticating Requests"). libcurl has one of
 * its own, but what it signs differs between versions: 8.14 takes a %2B in a query for a blank.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "httpc/httpc_priv.h"

struct target {
        struct span host, path, query;
};

static int target_of(const char *url, struct target *t, struct err *e)
{
        const char *p = strstr(url, "://");
        *t = (struct target){0};
        if (!p)
                return err_set(e, ERR_INVALID, "cannot sign a URL without a host");
        p += 3;
        t->host = (struct span){p, strcspn(p, "/?#")};
        p += t->host.n;
        t->path = (struct span){p, strcspn(p, "?#")};
        p += t->path.n;
        t->query = *p == '?' ? (struct span){p + 1, strcspn(p + 1, "#")} : (struct span){"", 0};
        if (t->path.n == 0)
                t->path = SPAN("/");
        return t->host.n ? 0 : err_set(e, ERR_INVALID, "cannot sign a URL without a host");
}

static void put_span(struct buf *b, struct span s)
{
        buf_put(b, s.p, s.n);
}

static struct span bytes_of(const struct sha256 *h)
{
        return (struct span){(const char *)h->b, sizeof h->b};
}

/* Date, region, service and a constant, each keyed by what came before. */
static struct sha256 signing_key(const struct httpc_sigv4 *s, const char *date, bool *failed)
{
        struct buf first;
        buf_init(&first, 4096);
        buf_printf(&first, "AWS4%s", s->secret);
        *failed = buf_failed(&first);
        struct sha256 k = hmac_sha256(buf_span(&first), (struct span){date, 8});
        buf_done(&first);
        k = hmac_sha256(bytes_of(&k), span_of(s->region));
        k = hmac_sha256(bytes_of(&k), span_of(s->service));
        return hmac_sha256(bytes_of(&k), SPAN("aws4_request"));
}

int httpc_sign(const struct httpc_sigv4 *s, const char *method, const char *url, const char *payload, struct wall now,
               struct buf *out, struct err *e)
{
        struct target t;
        char date[20], hex[SHA256_TEXT_LEN];
        time_t seconds = (time_t)(now.us / 1000000);
        struct tm tm;
        bool token = s->token && *s->token;
        const char *names = token ? "host;x-amz-content-sha256;x-amz-date;x-amz-security-token"
                                  : "host;x-amz-content-sha256;x-amz-date";
        if (target_of(url, &t, e))
                return -1;
        gmtime_r(&seconds, &tm);
        strftime(date, sizeof date, "%Y%m%dT%H%M%SZ", &tm);

        struct buf canonical, text;
        buf_init(&canonical, 64 << 10);
        buf_printf(&canonical, "%s\n", method);
        put_span(&canonical, t.path);
        buf_putc(&canonical, '\n');
        put_span(&canonical, t.query);
        buf_puts(&canonical, "\nhost:");
        put_span(&canonical, t.host);
        buf_printf(&canonical, "\nx-amz-content-sha256:%s\nx-amz-date:%s\n", payload, date);
        if (token)
                buf_printf(&canonical, "x-amz-security-token:%s\n", s->token);
        buf_printf(&canonical, "\n%s\n%s", names, payload);

        buf_init(&text, 4096);
        buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%.8s/%s/%s/aws4_request\n%s", date, date, s->region, s->service,
                   sha256_format(sha256_of(canonical.p, canonical.n), hex));
        bool failed;
        struct sha256 key = signing_key(s, date, &failed);
        struct sha256 signature = hmac_sha256(bytes_of(&key), buf_span(&text));

        buf_puts(out, "Host: ");
        put_span(out, t.host);
        buf_printf(out, "\nx-amz-date: %s\nx-amz-content-sha256: %s\n", date, payload);
        if (token)
                buf_printf(out, "x-amz-security-token: %s\n", s->token);
        buf_printf(
                out,
                "Authorization: AWS4-HMAC-SHA256 Credential=%s/%.8s/%s/%s/aws4_request, SignedHeaders=%s, Signature=%s",
                s->key, date, s->region, s->service, names, sha256_format(signature, hex));
        failed = failed || buf_failed(out) || buf_failed(&canonical) || buf_failed(&text);
        buf_done(&canonical);
        buf_done(&text);
        return failed ? err_oom(e) : 0;
}
