/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursors: the position where a page ended, encrypted and authenticated with the catalog's secret and written in
 * base64url. They are encrypted because they hold row numbers, which count over all owners: two cursors would tell
 * how much others upload in between. Authentication rejects cursors that were changed, made up or taken from another
 * list. It protects nothing else: the query itself restricts rows to an owner.
 *
 * The construction is that of synthetic IVs (RFC 5297) with HMAC for both halves: the same position always gives the
 * same cursor, and there is no random nonce that could repeat.
 */
#include "db/db_page.h"

#define CURSOR_MAX 2048
#define SEAL       16
#define FIXED      (SEAL + 25) /* shape 8, n 8, key 8, is-text 1 */

uint64_t shape_bytes(uint64_t h, const void *p, size_t n)
{
        const unsigned char *b = p;

        h ^= UINT64_C(0xCBF29CE484222325);
        for (size_t i = 0; i < n; i++)
                h = (h ^ b[i]) * UINT64_C(0x100000001B3);
        return h;
}

uint64_t shape_str(uint64_t h, const char *s)
{
        return s ? shape_bytes(h, s, strlen(s) + 1) : shape_bytes(h, "\1\0", 2);
}

uint64_t shape_int(uint64_t h, int64_t v)
{
        return shape_bytes(h, &v, sizeof v);
}

static struct span secret_span(const struct sha256 *secret)
{
        return (struct span){(const char *)secret->b, sizeof secret->b};
}

static void seal_of(const struct sha256 *secret, const unsigned char *raw, size_t n, unsigned char out[SEAL])
{
        char text[CURSOR_MAX + 4] = "seal";
        struct sha256 h;

        memcpy(text + 4, raw + SEAL, n - SEAL);
        h = hmac_sha256(secret_span(secret), (struct span){text, 4 + n - SEAL});
        memcpy(out, h.b, SEAL);
}

/* This function is its own inverse. */
static void veil_bytes(const struct sha256 *secret, unsigned char *raw, size_t n)
{
        char text[4 + SEAL + 1] = "veil";
        struct sha256 h = {{0}};

        memcpy(text + 4, raw, SEAL);
        for (size_t i = 0; SEAL + i < n; i++) {
                if (i % sizeof h.b == 0) {
                        text[4 + SEAL] = (char)(i / sizeof h.b);
                        h = hmac_sha256(secret_span(secret), (struct span){text, sizeof text});
                }
                raw[SEAL + i] ^= h.b[i % sizeof h.b];
        }
}

const char *cursor_write(struct arena *a, const struct sha256 *secret, uint64_t shape, const struct cursor *cur)
{
        unsigned char raw[CURSOR_MAX];
        size_t tn = cur->text ? strlen(cur->text) : 0, n = FIXED + tn;
        char *out;

        if (n > sizeof raw)
                return NULL;
        memcpy(raw + SEAL, &shape, 8);
        memcpy(raw + SEAL + 8, &cur->n, 8);
        memcpy(raw + SEAL + 16, &cur->key, 8);
        raw[SEAL + 24] = cur->text != NULL;
        if (tn)
                memcpy(raw + FIXED, cur->text, tn);
        seal_of(secret, raw, n, raw);
        veil_bytes(secret, raw, n);
        out = arena_alloc(a, BASE64_LEN(n) + 1);
        if (out)
                out[base64_write(BASE64_URL, raw, n, out)] = '\0';
        return out;
}

static int bad_cursor(struct err *e)
{
        return err_set(e, ERR_INVALID, "cursor: not issued for this list");
}

int cursor_read(struct arena *a, const struct sha256 *secret, uint64_t shape, const char *s, struct cursor *out,
                struct err *e)
{
        unsigned char raw[CURSOR_MAX], seal[SEAL];
        uint64_t of;
        size_t n;

        *out = (struct cursor){0};
        if (!s || !*s)
                return 0;
        if (!base64_read(BASE64_URL, span_of(s), raw, sizeof raw, &n) || n < FIXED)
                return bad_cursor(e);
        veil_bytes(secret, raw, n);
        seal_of(secret, raw, n, seal);
        memcpy(&of, raw + SEAL, 8);
        if (!equal_constant_time(seal, raw, SEAL) || of != shape)
                return bad_cursor(e);
        memcpy(&out->n, raw + SEAL + 8, 8);
        memcpy(&out->key, raw + SEAL + 16, 8);
        if (raw[SEAL + 24]) {
                out->text = arena_strndup(a, (struct span){(char *)raw + FIXED, n - FIXED});
                if (!out->text)
                        return err_oom(e);
        }
        return 1;
}
