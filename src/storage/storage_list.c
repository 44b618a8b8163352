/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names below the storage: which ones are allowed, and what a found name means. The hard thing is that both
 * directions must agree exactly, or a file that nobody can ask for would be taken for a good one: a found file counts
 * only if it has exactly the name under which it would be written.
 */
#include "storage/storage_priv.h"

#include <stdio.h>
#include <string.h>

/* ---- sidecars --------------------------------------------------------------------- */

const char *storage_asset_sidecar(struct id asset, char out[STORAGE_SIDECAR_NAME_LEN])
{
        char text[ID_TEXT_LEN];

        /* By the last byte, which is random: an id begins with the time. */
        snprintf(out, STORAGE_SIDECAR_NAME_LEN, "assets/%02x/%s.json", asset.b[15], id_format(asset, text));
        return out;
}

const char *storage_folder_sidecar(struct id folder, char out[STORAGE_SIDECAR_NAME_LEN])
{
        char text[ID_TEXT_LEN];

        snprintf(out, STORAGE_SIDECAR_NAME_LEN, "folders/%s.json", id_format(folder, text));
        return out;
}

bool storage_sidecar_parse(struct span name, bool *folder, struct id *id)
{
        static const char end[] = ".json";
        const char *slash = name.n ? memrchr(name.p, '/', name.n) : NULL;
        char want[STORAGE_SIDECAR_NAME_LEN];
        struct span stem;

        *id = (struct id){{0}};
        *folder = false;
        if (!slash)
                return span_eq(name, STORAGE_CATALOG_SIDECAR);
        stem = (struct span){slash + 1, name.n - (size_t)(slash + 1 - name.p)};
        if (stem.n < sizeof end || !id_parse((struct span){stem.p, stem.n - (sizeof end - 1)}, id))
                return false;
        *folder = name.p[0] == 'f';
        return span_eq(name, *folder ? storage_folder_sidecar(*id, want) : storage_asset_sidecar(*id, want));
}

static int check_name(const char *name, struct err *e)
{
        struct id id;
        bool folder;

        if (storage_sidecar_parse(span_of(name), &folder, &id))
                return 0;
        return err_set(e, ERR_INVALID,
                       "\"%.64s\" cannot name a sidecar: expected assets/<last byte>/<id>.json, folders/<id>.json "
                       "or " STORAGE_CATALOG_SIDECAR,
                       name);
}

int storage_get_sidecar(struct storage *s, const char *name, struct buf *out, struct err *e)
{
        return check_name(name, e) ? -1 : s->ops->get_sidecar(s, name, out, e);
}

/* ---- batches ------------------------------------------------------------------------ */

int storage_batch_begin(struct storage *s, struct storage_batch **out, struct err *e)
{
        *out = NULL;
        if (s->ops->batch_begin(s, out, e))
                return -1;
        (*out)->storage = s;
        return 0;
}

static int take_entry(struct storage_batch *b, const char *name, struct err *e)
{
        assert(!b->over && b->n < STORAGE_BATCH_MAX);
        if (check_name(name, e))
                return -1;
        b->n++;
        return 0;
}

/* A sidecar that was written in part must not get its name. */
static int note_failure(struct storage_batch *b, int rc)
{
        b->failed |= rc < 0;
        return rc;
}

int storage_batch_put(struct storage_batch *b, const char *name, struct span bytes, struct err *e)
{
        if (bytes.n > STORAGE_SIDECAR_MAX)
                return err_set(e, ERR_TOO_LARGE, "the sidecar %s would have %zu bytes, more than %zu", name, bytes.n,
                               STORAGE_SIDECAR_MAX);
        return take_entry(b, name, e) ? -1 : note_failure(b, b->storage->ops->batch_put(b, name, bytes, e));
}

int storage_batch_remove(struct storage_batch *b, const char *name, struct err *e)
{
        return take_entry(b, name, e) ? -1 : note_failure(b, b->storage->ops->batch_remove(b, name, e));
}

int storage_batch_commit(struct storage_batch *b, struct err *e)
{
        assert(!b->over);
        b->over = true;
        if (b->failed)
                return err_set(e, ERR_IO, "this batch of sidecars failed before");
        return b->n ? b->storage->ops->batch_commit(b, e) : 0;
}

void storage_batch_end(struct storage_batch *b)
{
        if (b)
                b->storage->ops->batch_end(b);
}

/* ---- listing ------------------------------------------------------------------------- */

/* Without slashes and without a leading dot there is no way out of the object's own directory. */
bool storage_derived_named(const char *name)
{
        size_t n = strlen(name);

        return n > 0 && n < STORAGE_DERIVED_NAME_LEN && name[0] != '.' &&
               strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n;
}

struct listing {
        enum storage_area area;
        storage_item_fn *fn;
        void *ctx;
};

/* "aa/<sha256>", with more behind a slash for a derived file. */
static bool parse_hash(struct span path, struct sha256 *key, struct span *rest)
{
        struct span shard, hash;
        char hex[SHA256_TEXT_LEN];

        if (!span_cut(&path, '/', &shard) || !span_cut(&path, '/', &hash) || !sha256_parse(hash, key))
                return false;
        sha256_format(*key, hex);
        *rest = path;
        return span_eq(hash, hex) && shard.n == 2 && memcmp(shard.p, hex, 2) == 0;
}

static bool parse_item(enum storage_area area, const char *path, struct storage_item *item)
{
        struct span rest = {0};

        if (area == STORAGE_SIDECARS)
                return storage_sidecar_parse(span_of(path), &item->folder, &item->id);
        if (!parse_hash(span_of(path), &item->sha256, &rest))
                return false;
        item->name = path + 2 + 1;
        if (area == STORAGE_OBJECTS)
                return strlen(item->name) == SHA256_TEXT_LEN - 1;
        item->name = rest.n ? rest.p : "";
        return storage_derived_named(item->name);
}

static int tell_item(void *ctx, const struct storage_found *f, struct err *e)
{
        struct listing *l = ctx;
        struct storage_item item = {.name = f->path, .size = f->size, .mtime = f->mtime};

        item.stray = !f->regular || !parse_item(l->area, f->path, &item);
        if (item.stray)
                item.name = f->path;
        return l->fn(l->ctx, &item, e);
}

int storage_list(struct storage *s, enum storage_area area, storage_item_fn *fn, void *ctx, struct err *e)
{
        static const char *const folders[] = {
                [STORAGE_OBJECTS] = "objects", [STORAGE_DERIVED] = "derived", [STORAGE_SIDECARS] = "sidecar"};
        struct listing l = {.area = area, .fn = fn, .ctx = ctx};

        return s->ops->list(s, folders[area], tell_item, &l, e);
}
