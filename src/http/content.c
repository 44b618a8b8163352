/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stored bytes as an answer: which part of them, or none because the client has them. Conditions are checked in the
 * order of RFC 9110 section 13.2.2: first the client's copy, then whether its range still refers to the same bytes.
 */
#include "http/http_priv.h"
#include "http/range.h"

#include <string.h>

static bool client_has_it(const struct http_request *r, const struct http_content *c)
{
        const char *list = http_header(r, "If-None-Match");
        const char *since = http_header(r, "If-Modified-Since");
        int64_t then;
        if (list)
                return etag_list_matches(span_of(list), c->etag);
        return since && c->modified.us > 0 && http_date_parse(span_of(since), &then) &&
               c->modified.us / 1000000 <= then;
}

/* If-Range: a strong tag or the exact date; anything else means the whole. */
static bool range_still_valid(const struct http_request *r, const struct http_content *c)
{
        const char *condition = http_header(r, "If-Range");
        int64_t then;
        if (!condition)
                return true;
        if (etag_strong_equal(span_of(condition), c->etag))
                return true;
        return c->modified.us > 0 && http_date_parse(span_of(condition), &then) && c->modified.us / 1000000 == then;
}

static void add_validators(struct http_request *r, const struct http_content *c)
{
        char date[HTTP_DATE_LEN];
        struct buf b;
        buf_init(&b, 1024);
        if (c->etag) {
                buf_printf(&b, "\"%s\"", c->etag);
                http_add_header(r, "ETag", buf_str(&b));
        }
        if (c->modified.us > 0)
                http_add_header(r, "Last-Modified", http_date_format(c->modified, date));
        http_add_header(r, "Cache-Control", c->cache_control ? c->cache_control : "private, no-cache");
        if (buf_failed(&b))
                r->broken = true;
        buf_done(&b);
}

static void add_disposition(struct http_request *r, const struct http_content *c)
{
        /*
         * If the browser opens it as a page of its own, it runs no script and loads nothing else. Browsers wrap films
         * and sound into a page that fetches them again, which fails for a page without an origin.
         */
        static const char bytes[] = "sandbox; default-src 'none'",
                          image[] = "sandbox; default-src 'none'; img-src 'self'; style-src 'unsafe-inline'",
                          film[] = "sandbox allow-same-origin; default-src 'none'; media-src 'self'; style-src "
                                   "'unsafe-inline'";
        bool is_image = c->content_type && !strncmp(c->content_type, "image/", 6);
        struct buf b;
        http_add_header(r, "Content-Security-Policy", c->attachment ? bytes : is_image ? image : film);
        if (!c->filename && !c->attachment)
                return;
        buf_init(&b, 8192);
        disposition_put(&b, c->attachment, c->filename);
        if (buf_failed(&b)) { /* a name too long to send: the type still must be said */
                buf_reset(&b);
                disposition_put(&b, c->attachment, NULL);
        }
        http_add_header(r, "Content-Disposition", buf_str(&b));
        buf_done(&b);
}

static void reply_unsatisfiable(struct http_request *r, uint64_t size)
{
        const char *range = arena_printf(r->arena, "bytes */%llu", (unsigned long long)size);
        if (range)
                http_add_header(r, "Content-Range", range);
        http_reply_error(r, 416, "range_not_satisfiable", NULL, "the range is outside the %llu bytes of the file",
                         (unsigned long long)size);
}

static void add_part(struct http_request *r, uint64_t first, uint64_t length, uint64_t size)
{
        const char *range = arena_printf(r->arena, "bytes %llu-%llu/%llu", (unsigned long long)first,
                                         (unsigned long long)(first + length - 1), (unsigned long long)size);
        if (range)
                http_add_header(r, "Content-Range", range);
        else
                r->broken = true;
}

void http_reply_content(struct http_request *r, const struct http_content *c)
{
        struct reply *p = &r->reply;
        const char *wanted = http_header(r, "Range");
        bool sized = c->size != UINT64_MAX;
        p->content = *c; /* ours from here on, whatever is answered */
        p->has_content = true;
        p->first = 0;
        p->length = c->size;
        enum range_kind kind = RANGE_WHOLE;
        if (wanted && sized && range_still_valid(r, c))
                kind = range_parse(span_of(wanted), c->size, &p->first, &p->length);
        if (client_has_it(r, c)) {
                add_validators(r, c);
                reply_drop(p);
                http_reply(r, 304, NULL, (struct span){0});
                return;
        }
        if (kind == RANGE_UNSATISFIABLE) {
                reply_drop(p);
                reply_unsatisfiable(r, c->size);
                return;
        }
        add_validators(r, c);
        add_disposition(r, c);
        if (sized)
                http_add_header(r, "Accept-Ranges", "bytes");
        if (kind == RANGE_PART)
                add_part(r, p->first, p->length, c->size);
        http_reply(r, kind == RANGE_PART ? 206 : 200, c->content_type, (struct span){0});
}
