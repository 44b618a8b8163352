/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 by OpenSSL's own functions rather than through EVP: the same code for
 * this processor, but EVP allocates on the way, also in the middle of a hash, and
 * a hash that can fail for want of memory would make everything fail that takes
 * one. These neither allocate nor fail.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* OpenSSL 3 recommends EVP */
#include "base/base_priv.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

struct sha256_ctx {
        SHA256_CTX state;
};

struct sha256_ctx *sha256_new(void)
{
        struct sha256_ctx *c = mem_alloc(sizeof *c);

        if (c)
                SHA256_Init(&c->state);
        return c;
}

void sha256_update(struct sha256_ctx *c, const void *p, size_t n)
{
        SHA256_Update(&c->state, p, n);
}

struct sha256 sha256_final(struct sha256_ctx *c)
{
        struct sha256 h;

        SHA256_Final(h.b, &c->state);
        SHA256_Init(&c->state);
        return h;
}

void sha256_free(struct sha256_ctx *c)
{
        mem_free(c);
}

struct sha256 sha256_of(const void *p, size_t n)
{
        struct sha256_ctx c;

        SHA256_Init(&c.state);
        sha256_update(&c, p, n);
        return sha256_final(&c);
}

struct sha256 hmac_sha256(struct span key, struct span text)
{
        uint8_t inner[SHA256_CBLOCK] = {0}, outer[SHA256_CBLOCK];
        struct sha256_ctx c;
        struct sha256 h;

        if (key.n > sizeof inner) {
                h = sha256_of(key.p, key.n);
                memcpy(inner, h.b, sizeof h.b);
        } else if (key.n) {
                memcpy(inner, key.p, key.n);
        }
        for (size_t i = 0; i < sizeof inner; i++) {
                outer[i] = inner[i] ^ 0x5c;
                inner[i] ^= 0x36;
        }
        SHA256_Init(&c.state);
        sha256_update(&c, inner, sizeof inner);
        sha256_update(&c, text.p, text.n);
        h = sha256_final(&c);
        sha256_update(&c, outer, sizeof outer);
        sha256_update(&c, h.b, sizeof h.b);
        OPENSSL_cleanse(inner, sizeof inner);
        OPENSSL_cleanse(outer, sizeof outer);
        return sha256_final(&c);
}

bool sha256_eq(struct sha256 a, struct sha256 b)
{
        return memcmp(a.b, b.b, sizeof a.b) == 0;
}

const char *sha256_format(struct sha256 h, char out[SHA256_TEXT_LEN])
{
        hex_write(out, h.b, sizeof h.b);
        return out;
}

bool sha256_parse(struct span s, struct sha256 *out)
{
        struct sha256 h;

        if (s.n != SHA256_TEXT_LEN - 1)
                return false;
        for (size_t i = 0; i < sizeof h.b; i++) {
                int hi = hex_value(s.p[2 * i]), lo = hex_value(s.p[2 * i + 1]);
                if (hi < 0 || lo < 0)
                        return false;
                h.b[i] = (uint8_t)(hi << 4 | lo);
        }
        *out = h;
        return true;
}

bool equal_constant_time(const void *a, const void *b, size_t n)
{
        return n == 0 || CRYPTO_memcmp(a, b, n) == 0;
}
