/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SHA-256 through OpenSSL, for its hardware paths. The algorithm is looked up
 * once: the look-up costs more than hashing a small object.
 */
#include "base/base_priv.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

struct sha256_ctx {
        EVP_MD_CTX *evp;
};

static const EVP_MD *algorithm;
static pthread_once_t algorithm_once = PTHREAD_ONCE_INIT;

/* Kept for the life of the process. */
static void find_algorithm(void)
{
        algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
        if (!algorithm)
                algorithm = EVP_sha256();
}

static const EVP_MD *sha256_algorithm(void)
{
        pthread_once(&algorithm_once, find_algorithm);
        return algorithm;
}

struct sha256_ctx *sha256_new(void)
{
        struct sha256_ctx *c = mem_calloc(1, sizeof(*c));

        if (!c)
                return NULL;
        c->evp = EVP_MD_CTX_new();
        if (!c->evp || EVP_DigestInit_ex(c->evp, sha256_algorithm(), NULL) != 1) {
                sha256_free(c);
                return NULL;
        }
        return c;
}

void sha256_update(struct sha256_ctx *c, const void *p, size_t n)
{
        int ok = n == 0 || EVP_DigestUpdate(c->evp, p, n);

        assert(ok);
}

struct sha256 sha256_final(struct sha256_ctx *c)
{
        struct sha256 h;
        int ok = EVP_DigestFinal_ex(c->evp, h.b, NULL) && EVP_DigestInit_ex(c->evp, sha256_algorithm(), NULL);

        assert(ok);
        return h;
}

void sha256_free(struct sha256_ctx *c)
{
        if (!c)
                return;
        EVP_MD_CTX_free(c->evp);
        mem_free(c);
}

struct sha256 hmac_sha256(struct span key, struct span text)
{
        struct sha256 out;

        if (!HMAC(EVP_sha256(), key.p, (int)key.n, (const unsigned char *)text.p, text.n, out.b, NULL))
                abort(); /* no memory or no SHA-256: as in sha256_of */
        return out;
}

struct sha256 sha256_of(const void *p, size_t n)
{
        struct sha256 h;
        int ok = EVP_Digest(n ? p : "", n, h.b, NULL, sha256_algorithm(), NULL);

        assert(ok);
        return h;
}

bool sha256_eq(struct sha256 a, struct sha256 b)
{
        return memcmp(a.b, b.b, sizeof(a.b)) == 0;
}

const char *sha256_format(struct sha256 h, char out[SHA256_TEXT_LEN])
{
        hex_write(out, h.b, sizeof(h.b));
        return out;
}

bool sha256_parse(struct span s, struct sha256 *out)
{
        struct sha256 h;

        if (s.n != SHA256_TEXT_LEN - 1)
                return false;
        for (size_t i = 0; i < sizeof(h.b); i++) {
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
