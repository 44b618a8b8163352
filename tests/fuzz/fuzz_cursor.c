/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cursors: the input once as a client's cursor, which nobody can make up; once
 * as a place in a list, which must come back as it was, and not with a bit
 * changed. The first two bytes say which bit.
 */
#include "catalog/catalog_rules.h"
#include "fuzz.h"

static void as_cursor(struct arena *a, const struct sha256 *secret, struct span s)
{
        struct cursor c;
        struct err e = {0};
        char *text = exact_copy(s);
        int rc = cursor_read(a, secret, 7, text, &c, &e);
        demand(rc == (*text ? -1 : 0));
        demand(rc == 0 || e.code == ERR_INVALID);
        free(text);
}

static void as_place(struct arena *a, const struct sha256 *secret, struct span s, unsigned bit)
{
        struct cursor c = {0}, back;
        struct err e;
        char *text = NULL;
        if (s.n >= 16) {
                memcpy(&c.n, s.p, 8);
                memcpy(&c.key, s.p + 8, 8);
                s = (struct span){s.p + 16, s.n - 16};
        }
        if (s.n)
                c.text = text = exact_copy(s);
        const char *made = cursor_write(a, secret, 7, &c);
        if (made) {
                demand(cursor_read(a, secret, 7, made, &back, &e) == 1);
                demand(back.n == c.n && back.key == c.key && !back.text == !c.text);
                demand(!c.text || strcmp(back.text, c.text) == 0);
                demand(cursor_read(a, secret, 8, made, &back, &e) == -1);
                char *bent = exact_copy(span_of(made));
                bit %= (unsigned)strlen(made) * 8;
                bent[bit / 8] = (char)(bent[bit / 8] ^ 1 << bit % 8);
                if (bent[0])
                        demand(cursor_read(a, secret, 7, bent, &back, &e) == -1);
                free(bent);
        } else {
                demand(s.n > 1024); /* longer than any name */
        }
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const struct sha256 secret = sha256_of("secret", 6);
        struct span s = {(const char *)data, size};
        struct arena *a = arena_new(1 << 20);
        demand(a != NULL);
        as_cursor(a, &secret, s);
        if (size >= 2)
                as_place(a, &secret, (struct span){s.p + 2, s.n - 2}, (unsigned)data[0] << 8 | data[1]);
        arena_free(a);
        return 0;
}
