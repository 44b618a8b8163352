/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 (RFC 4648). Own code because the reading is strict: one text for one
 * value, where OpenSSL's forgives blanks and stray bits, and knows one alphabet.
 */
#include "base/base_priv.h"

#include <string.h>

static const char digits[][65] = {
        [BASE64_PADDED] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        [BASE64_URL] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

size_t base64_write(enum base64 kind, const void *bytes, size_t n, char *out)
{
        const uint8_t *p = bytes;
        size_t j = 0;

        for (size_t i = 0; i < n; i += 3) {
                size_t have = n - i < 3 ? n - i : 3;
                uint32_t v = (uint32_t)p[i] << 16 | (have > 1 ? (uint32_t)p[i + 1] << 8 : 0) |
                             (have > 2 ? (uint32_t)p[i + 2] : 0);
                for (size_t k = 0; k <= have; k++)
                        out[j++] = digits[kind][v >> (18 - 6 * k) & 63];
                for (size_t k = have; kind == BASE64_PADDED && k < 3; k++)
                        out[j++] = '=';
        }
        return j;
}

static int value_of(enum base64 kind, char c)
{
        return c >= 'A' && c <= 'Z'         ? c - 'A'
               : c >= 'a' && c <= 'z'       ? c - 'a' + 26
               : c >= '0' && c <= '9'       ? c - '0' + 52
               : c && c == digits[kind][62] ? 62
               : c && c == digits[kind][63] ? 63
                                            : -1;
}

bool base64_read(enum base64 kind, struct span text, void *out, size_t max, size_t *n)
{
        uint8_t *to = out;
        uint32_t acc = 0;
        unsigned bits = 0;

        *n = 0;
        if (kind == BASE64_PADDED) {
                if (text.n % 4)
                        return false;
                for (int i = 0; i < 2 && text.n && text.p[text.n - 1] == '='; i++)
                        text.n--;
        }
        for (size_t i = 0; i < text.n; i++) {
                int v = value_of(kind, text.p[i]);
                if (v < 0)
                        return false;
                acc = acc << 6 | (uint32_t)v;
                bits += 6;
                if (bits < 8)
                        continue;
                if (*n == max)
                        return false;
                bits -= 8;
                to[(*n)++] = (uint8_t)(acc >> bits);
        }
        /* What is left over are the zeros of a last digit that was needed. */
        return bits < 6 && (acc & ((1U << bits) - 1)) == 0;
}
