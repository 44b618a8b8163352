/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The analysis results of a picture as one blob: a line of JSON, a NUL, and the vector as little-endian floats. The
 * blob is a cache: anything unexpected in it means that the results are made again, and is never an error.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ingest/ingest_priv.h"
#include "json/json.h"

void understanding_pack(const struct understanding *u, struct buf *out)
{
        char hex[17];
        struct json_out j;
        snprintf(hex, sizeof hex, "%016llx", (unsigned long long)u->phash);
        json_out_init(&j, out);
        json_obj(&j);
        json_kv_str(&j, "phash", hex);
        json_kv_fixed(&j, "sure", u->sure, 6);
        json_kv_int(&j, "dim", u->dim);
        json_key(&j, "tags");
        json_arr(&j);
        for (size_t i = 0; i < u->ntags; i++) {
                json_arr(&j);
                json_put_str(&j, u->tags[i].name);
                json_put_int(&j, u->tags[i].source);
                json_put_fixed(&j, u->tags[i].confidence, 4);
                json_end(&j);
        }
        json_end(&j);
        json_kv_str(&j, "products", u->products);
        json_kv_raw(&j, "metadata", u->metadata);
        json_end(&j);
        buf_putc(out, '\0');
        buf_put(out, u->vector, u->dim * sizeof(float));
}

static int unpack_tags(const struct json *arr, struct arena *a, struct understanding *u)
{
        size_t n = json_count(arr);
        u->tags = arena_array(a, n ? n : 1, sizeof *u->tags);
        if (!u->tags)
                return -1;
        for (size_t i = 0; i < n; i++) {
                const struct json *t = json_at(arr, i);
                const char *name = json_str(json_at(t, 0));
                int64_t source = json_int(json_at(t, 1));
                if (!name || source < 0 || source >= TAG_SOURCE_COUNT)
                        return -1;
                u->tags[i] =
                        (struct tag){arena_strdup(a, name), (enum tag_source)source, (float)json_num(json_at(t, 2))};
                if (!u->tags[i].name)
                        return -1;
        }
        u->ntags = n;
        return 0;
}

static int unpack_json(const struct json *doc, uint32_t dim, struct arena *a, struct understanding *u)
{
        uint64_t phash = 0;
        const char *hex = json_get_str(doc, "phash", "");
        const struct json *meta = json_get(doc, "metadata");
        unsigned long long v = 0;
        if (sscanf(hex, "%16llx", &v) != 1 || json_get_int(doc, "dim", -1) != dim || !json_is_object(meta))
                return -1;
        phash = v;
        struct buf text;
        buf_init(&text, 1 << 20);
        json_dump(meta, &text);
        u->metadata = buf_failed(&text) ? NULL : arena_strdup(a, buf_str(&text));
        buf_done(&text);
        u->products = arena_strdup(a, json_get_str(doc, "products", STORAGE_PREVIEW " " STORAGE_THUMB));
        u->phash = phash;
        u->sure = (float)json_get_num(doc, "sure", 0);
        u->dim = dim;
        return u->metadata && u->products && products_valid(span_of(u->products))
                       ? unpack_tags(json_get(doc, "tags"), a, u)
                       : -1;
}

int understanding_unpack(struct span blob, uint32_t dim, struct arena *a, struct understanding *u)
{
        const char *nul = blob.n ? memchr(blob.p, '\0', blob.n) : NULL;
        if (!nul || (size_t)(blob.p + blob.n - nul - 1) != dim * sizeof(float))
                return -1;
        struct err e;
        struct json *doc = json_parse((struct span){blob.p, (size_t)(nul - blob.p)}, &e);
        if (!doc)
                return -1;
        int rc = unpack_json(doc, dim, a, u);
        json_free(doc);
        u->vector = rc ? NULL : arena_array(a, dim, sizeof(float));
        if (!u->vector)
                return -1;
        memcpy(u->vector, nul + 1, dim * sizeof(float));
        return 0;
}

static int compare_names(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *products_made(const struct decode_result *d, struct arena *a)
{
        const char **names = arena_array(a, d->nproducts + 1, sizeof *names);
        char list[PRODUCTS_MAX] = "";
        size_t n = 0;
        if (!names)
                return NULL;
        for (size_t i = 0; i < d->nproducts; i++)
                names[i] = d->products[i].name;
        qsort(names, d->nproducts, sizeof *names, compare_names);
        for (size_t i = 0; i < d->nproducts && n < sizeof list; i++)
                n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? " " : "", names[i]);
        return n < sizeof list && products_valid(span_of(list)) ? arena_strdup(a, list) : NULL;
}
