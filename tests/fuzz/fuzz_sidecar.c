/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any text as a sidecar, with a hash that fits, so that what is behind the hash
 * is reached. What is taken must be writable again, and then read as the same.
 */
#include "keep/keep_sidecar.h"
#include "sidecar/sidecar.h"
#include "storage/storage.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The text up to its last brace, and a hash of it. */
static void seal(const uint8_t *data, size_t size, struct buf *b)
{
        char hex[SHA256_TEXT_LEN];

        while (size > 0 && (data[size - 1] == '\n' || data[size - 1] == '}'))
                size--;
        buf_put(b, data, size);
        sha256_format(sha256_of(data, size), hex);
        buf_printf(b, ",\"checksum\":\"%s\"}\n", hex);
}

static struct id id_in(struct span text)
{
        static const char key[] = "\"id\":\"";
        const char *at = text.n ? memmem(text.p, text.n, key, sizeof key - 1) : NULL;
        struct id id = {{0}};

        if (at && (size_t)(text.p + text.n - at) > sizeof key + ID_TEXT_LEN)
                if (!id_parse((struct span){at + sizeof key - 1, ID_TEXT_LEN - 1}, &id))
                        id = (struct id){{0}};
        return id;
}

static void same(const struct buf *a, const struct buf *b)
{
        if (!buf_failed(a) && !buf_failed(b) && (a->n != b->n || memcmp(a->p, b->p, a->n) != 0))
                abort();
}

static void try_asset(struct span text, struct arena *a)
{
        struct kept_asset k, again;
        struct err e;
        struct buf one, two;

        if (sidecar_read_asset(text, id_in(text), a, &k, &e) < 0)
                return;
        buf_init(&one, STORAGE_SIDECAR_MAX);
        buf_init(&two, STORAGE_SIDECAR_MAX);
        sidecar_write_asset(&k, &one);
        if (!buf_failed(&one)) {
                if (sidecar_read_asset(buf_span(&one), k.asset.id, a, &again, &e) == 0)
                        sidecar_write_asset(&again, &two);
                else if (e.code != ERR_OOM)
                        abort();
                if (two.n)
                        same(&one, &two);
        }
        buf_done(&one);
        buf_done(&two);
}

static void try_folder(struct span text, struct arena *a)
{
        struct kept_folder k, again;
        struct err e;
        struct buf one, two;

        if (sidecar_read_folder(text, id_in(text), a, &k, &e) < 0)
                return;
        buf_init(&one, STORAGE_SIDECAR_MAX);
        buf_init(&two, STORAGE_SIDECAR_MAX);
        sidecar_write_folder(&k, &one);
        if (!buf_failed(&one) && sidecar_read_folder(buf_span(&one), k.folder.id, a, &again, &e) == 0) {
                sidecar_write_folder(&again, &two);
                same(&one, &two);
        }
        buf_done(&one);
        buf_done(&two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct arena *a = arena_new(32 << 20);
        struct buf b;
        struct err e;
        bool keys;

        if (!a)
                return 0;
        buf_init(&b, STORAGE_SIDECAR_MAX);
        seal(data, size, &b);
        if (!buf_failed(&b)) {
                try_asset(buf_span(&b), a);
                try_folder(buf_span(&b), a);
                if (sidecar_read_catalog(buf_span(&b), &keys, &e) < 0 && e.code == ERR_NONE)
                        abort();
        }
        buf_done(&b);
        arena_free(a);
        return 0;
}
