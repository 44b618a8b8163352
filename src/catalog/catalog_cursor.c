/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursors: base64url of where a page ended, with a checksum so that a cursor
 * of another list, or a made-up one, is refused instead of starting anywhere.
 * It is no secret and guards nothing: owners are checked by the query itself.
 */
#include "catalog/catalog_priv.h"

#include <string.h>

#define CURSOR_MAX 2048
#define FIXED      33 /* sum 8, shape 8, n 8, key 8, is-text 1 */

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

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
        return shape_bytes(h, &v, sizeof(v));
}

/* The first half of a hash over all but the sum itself, with a constant in front. */
static void sum_of(const unsigned char *raw, size_t n, unsigned char out[8])
{
        unsigned char text[CURSOR_MAX + 16] = "fa-cursor-1";
        struct sha256 h;

        memcpy(text + 11, raw + 8, n - 8);
        h = sha256_of(text, 11 + n - 8);
        memcpy(out, h.b, 8);
}

const char *cursor_write(struct arena *a, uint64_t shape, const struct cursor *cur)
{
        unsigned char raw[CURSOR_MAX];
        size_t tn = cur->text ? strlen(cur->text) : 0, n = FIXED + tn, j = 0;
        char *out;

        if (n > sizeof(raw))
                return NULL;
        memcpy(raw + 8, &shape, 8);
        memcpy(raw + 16, &cur->n, 8);
        memcpy(raw + 24, &cur->key, 8);
        raw[32] = cur->text != NULL;
        if (tn)
                memcpy(raw + FIXED, cur->text, tn);
        sum_of(raw, n, raw);
        out = arena_alloc(a, (n + 2) / 3 * 4 + 1);
        if (!out)
                return NULL;
        for (size_t i = 0; i < n; i += 3) {
                uint32_t v = (uint32_t)raw[i] << 16 | (i + 1 < n ? (uint32_t)raw[i + 1] << 8 : 0) |
                             (i + 2 < n ? raw[i + 2] : 0);
                size_t put = n - i >= 3 ? 4 : n - i + 1;
                for (size_t k = 0; k < put; k++)
                        out[j++] = digits[v >> (18 - 6 * k) & 63];
        }
        return out;
}

static int bad(struct err *e)
{
        return err_set(e, ERR_INVALID, "cursor: not one that this list gave");
}

static size_t decode(const char *s, unsigned char *raw, size_t max)
{
        uint32_t acc = 0;
        unsigned bits = 0;
        size_t n = 0;

        for (; *s; s++) {
                const char *d = strchr(digits, *s);
                if (!d)
                        return 0;
                acc = acc << 6 | (uint32_t)(d - digits);
                bits += 6;
                if (bits >= 8) {
                        if (n == max)
                                return 0;
                        bits -= 8;
                        raw[n++] = (unsigned char)(acc >> bits);
                }
        }
        /* The bits left over must be the zeros that were padded: one text for one cursor. */
        return bits < 6 && (acc & ((1U << bits) - 1)) == 0 ? n : 0;
}

int cursor_read(struct arena *a, uint64_t shape, const char *s, struct cursor *out, struct err *e)
{
        unsigned char raw[CURSOR_MAX], sum[8];
        uint64_t of;
        size_t n;

        *out = (struct cursor){0};
        if (!s || !*s)
                return 0;
        n = decode(s, raw, sizeof(raw));
        if (n < FIXED)
                return bad(e);
        sum_of(raw, n, sum);
        memcpy(&of, raw + 8, 8);
        if (memcmp(sum, raw, 8) != 0 || of != shape)
                return bad(e);
        memcpy(&out->n, raw + 16, 8);
        memcpy(&out->key, raw + 24, 8);
        if (raw[32]) {
                out->text = arena_strndup(a, (struct span){(char *)raw + FIXED, n - FIXED});
                if (!out->text)
                        return err_oom(e);
        }
        return 1;
}

uint64_t filter_shape(const struct asset_filter *f)
{
        uint64_t h = shape_str(0, f->owner);

        h = shape_int(h, f->kinds);
        h = shape_int(h, f->statuses);
        h = f->cluster_id ? shape_bytes(h, f->cluster_id->b, sizeof(f->cluster_id->b)) : shape_int(h, 0);
        for (size_t i = 0; i < f->ntags; i++)
                h = shape_str(h, f->tags[i]);
        h = shape_str(shape_int(h, (int64_t)f->ntags), f->content_type);
        h = f->sha256 ? shape_bytes(h, f->sha256->b, sizeof(f->sha256->b)) : shape_int(h, 0);
        h = shape_str(h, f->name);
        h = shape_int(shape_int(h, f->after.us), f->before.us);
        return shape_int(h, f->trashed);
}
