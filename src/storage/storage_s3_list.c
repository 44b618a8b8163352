/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing keys, page by page. The hard thing is to believe a listing no more
 * than is needed: a key that was not asked for, or a page that leads to itself,
 * ends it with an error.
 */
#include "storage/storage_s3_priv.h"

#include <stdio.h>
#include <string.h>

#define TOKEN_MAX 2048
#define KEY_BYTES 2048 /* of any key; the protocol allows 1024 */

/* ---- pages ------------------------------------------------------------------------- */

static void list_query(const struct s3 *s, const char *folder, const char *token, struct buf *q)
{
        buf_reset(q);
        if (*token) {
                buf_puts(q, "continuation-token=");
                httpc_escape(q, token);
                buf_putc(q, '&');
        }
        buf_puts(q, "list-type=2&prefix=");
        httpc_escape(q, s->prefix);
        httpc_escape(q, folder);
}

/* What is in one <Contents>. */
static int read_entry(const struct s3 *s, const char *folder, struct span entry, char key[KEY_BYTES],
                      struct storage_found *f, struct err *e)
{
        struct span size_in = entry, time_in = entry;
        size_t skip = strlen(s->prefix), n = strlen(folder);
        char size[32], when[64];

        if (!s3_xml_next(&entry, "Key", key, KEY_BYTES) || strncmp(key, s->prefix, skip) != 0 ||
            strncmp(key + skip, folder, n) != 0)
                return err_set(e, ERR_UNAVAILABLE, "the object store lists a key under %.80s that was not asked for",
                               folder);
        f->path = key + skip + n;
        f->regular = true;
        if (!s3_xml_next(&size_in, "Size", size, sizeof size) || !span_u64(span_of(size), &f->size) ||
            !s3_xml_next(&time_in, "LastModified", when, sizeof when) || !wall_parse(span_of(when), &f->mtime))
                return err_set(e, ERR_UNAVAILABLE, "the object store did not report size and time of %.100s", key);
        return 0;
}

static int tell_page(const struct s3 *s, const char *folder, struct span page, storage_found_fn *found, void *ctx,
                     struct err *e)
{
        char key[KEY_BYTES];
        struct span entry;
        int rc = 0;

        while (rc == 0 && s3_xml_part(&page, "Contents", &entry)) {
                struct storage_found f = {0};
                rc = read_entry(s, folder, entry, key, &f, e);
                if (rc == 0)
                        rc = found(ctx, &f, e);
        }
        return rc;
}

/* Where the next page begins; "" after the last. */
static int read_token(struct span page, char token[TOKEN_MAX], struct err *e)
{
        char more[8] = "", before[TOKEN_MAX];
        struct span cut = page;

        memcpy(before, token, TOKEN_MAX);
        token[0] = '\0';
        if (!s3_xml_next(&cut, "IsTruncated", more, sizeof more) || strcmp(more, "true") != 0)
                return 0;
        if (!s3_xml_next(&page, "NextContinuationToken", token, TOKEN_MAX) || !*token || strcmp(token, before) == 0)
                return err_set(e, ERR_UNAVAILABLE, "the object store did not report where its listing continues");
        return 0;
}

int s3_list_keys(struct s3 *s, const char *folder, storage_found_fn *found, void *ctx, struct err *e)
{
        char token[TOKEN_MAX] = "";
        struct buf q;
        int rc = 0;

        buf_init(&q, 16384);
        do {
                struct httpc_response r;
                list_query(s, folder, token, &q);
                if (buf_failed(&q)) {
                        rc = err_oom(e);
                        break;
                }
                rc = s3_do(s, &(struct s3_request){.method = "GET", .query = buf_str(&q)}, &r, e);
                if (rc == 0 && r.status != 200)
                        rc = s3_refused(&r, "cannot list", folder, e);
                if (rc == 0)
                        rc = tell_page(s, folder, buf_span(&r.body), found, ctx, e);
                if (rc == 0)
                        rc = read_token(buf_span(&r.body), token, e);
                httpc_response_done(&r);
        } while (rc == 0 && *token);
        buf_done(&q);
        return rc;
}

/* In this order: an object that is sent meanwhile is reported twice rather than not at all. */
int s3_list(struct storage *base, const char *folder, storage_found_fn *found, void *ctx, struct err *e)
{
        struct s3 *s = (struct s3 *)base;
        char under[32];
        int rc = strcmp(folder, "objects") == 0 ? s3_back_list(s, found, ctx, e) : 0;

        snprintf(under, sizeof under, "%s/", folder);
        return rc ? rc : s3_list_keys(s, under, found, ctx, e);
}
