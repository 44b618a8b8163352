/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a sidecar. The hard thing is what to trust: the hash reveals damage, but anybody can compute one, so the
 * content is checked like a client's request before it enters a catalog.
 */
#include "sidecar/sidecar_priv.h"
#include "catalog/catalog_asset.h"
#include "jobs/jobs.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX    ((size_t)1 << 20)
#define DIM_MAX     8192
#define VECTORS_MAX 64
#define TAGS_MAX    4096
#define LIST_MAX    4096
#define ALIASES_MAX 100000

struct reader {
        struct arena *arena;
        const char *wrong; /* the first member whose value is wrong; NULL none */
        bool oom;
};

/* ---- the frame ---------------------------------------------------------------------- */

static int sidecar_damaged(struct err *e)
{
        return err_set(e, ERR_CORRUPT, "the sidecar is damaged: it is not what was written");
}

static int check_sum(struct span text, struct err *e)
{
        size_t tail = CHECKSUM_BEGIN.n + SHA256_TEXT_LEN - 1 + CHECKSUM_END.n;
        struct sha256 told;
        const char *p;

        if (text.n <= tail)
                return sidecar_damaged(e);
        p = text.p + text.n - tail;
        if (memcmp(p, CHECKSUM_BEGIN.p, CHECKSUM_BEGIN.n) != 0 ||
            memcmp(text.p + text.n - CHECKSUM_END.n, CHECKSUM_END.p, CHECKSUM_END.n) != 0 ||
            !sha256_parse((struct span){p + CHECKSUM_BEGIN.n, SHA256_TEXT_LEN - 1}, &told) ||
            !sha256_eq(told, sha256_of(text.p, text.n - tail)))
                return sidecar_damaged(e);
        return 0;
}

static struct json *open_text(struct span text, const char *what, struct err *e)
{
        struct json *doc;
        int64_t format;

        if (check_sum(text, e))
                return NULL;
        doc = json_parse(text, e);
        if (!doc) {
                sidecar_damaged(e);
                return NULL;
        }
        format = json_get_int(doc, "format", 0);
        if (format > SIDECAR_FORMAT)
                err_set(e, ERR_UNSUPPORTED, "the sidecar has format %lld, this program knows up to %d",
                        (long long)format, SIDECAR_FORMAT);
        else if (format < 1 || strcmp(json_get_str(doc, "sidecar", ""), what) != 0)
                err_set(e, ERR_CORRUPT, "the sidecar is not one of a%s %s", *what == 'a' ? "n" : "", what);
        else
                return doc;
        json_free(doc);
        return NULL;
}

/* ---- values -------------------------------------------------------------------------------- */

static void note_wrong(struct reader *r, const char *name)
{
        if (!r->wrong)
                r->wrong = name;
}

/* A text without NUL; NULL when it is absent or null. */
static const char *text_or_null(struct reader *r, const struct json *o, const char *name, size_t max)
{
        const struct json *v = json_get(o, name);
        struct span s = json_span(v);
        char *copy;

        if (json_is_null(v))
                return NULL;
        if (!json_is_string(v) || s.n > max || (s.n && memchr(s.p, '\0', s.n))) {
                note_wrong(r, name);
                return NULL;
        }
        copy = arena_strndup(r->arena, s);
        r->oom |= !copy;
        return copy;
}

static const char *text_of(struct reader *r, const struct json *o, const char *name, size_t max)
{
        const char *s = text_or_null(r, o, name, max);

        if (!s)
                note_wrong(r, name);
        return s ? s : "";
}

static struct id id_or_nil(struct reader *r, const struct json *v, const char *name)
{
        struct id id = {{0}};

        if (!json_is_null(v) && (!id_parse(json_span(v), &id) || id_is_nil(id)))
                note_wrong(r, name);
        return id;
}

static struct id id_of(struct reader *r, const struct json *o, const char *name)
{
        struct id id = id_or_nil(r, json_get(o, name), name);

        if (id_is_nil(id))
                note_wrong(r, name);
        return id;
}

static int64_t int_of(struct reader *r, const struct json *o, const char *name, int64_t min, int64_t max)
{
        const struct json *v = json_get(o, name);

        if (!json_is_integer(v) || json_int(v) < min || json_int(v) > max) {
                note_wrong(r, name);
                return min;
        }
        return json_int(v);
}

static float num_of(struct reader *r, const struct json *o, const char *name, double min, double max)
{
        const struct json *v = json_get(o, name);

        if (!json_is_number(v) || !(json_num(v) >= min && json_num(v) <= max)) {
                note_wrong(r, name);
                return 0;
        }
        return (float)json_num(v);
}

static bool bool_of(struct reader *r, const struct json *o, const char *name)
{
        const struct json *v = json_get(o, name);

        if (!json_is_bool(v))
                note_wrong(r, name);
        return json_bool(v);
}

/* null is "never" */
static struct wall time_of(struct reader *r, const struct json *o, const char *name)
{
        const struct json *v = json_get(o, name);
        struct wall t = {0};

        if (!json_is_null(v) && (!wall_parse(json_span(v), &t) || t.us <= 0)) {
                note_wrong(r, name);
                t.us = 0;
        }
        return t;
}

static int word_of(struct reader *r, const struct json *o, const char *name, const char *(*word)(int), int n)
{
        const char *s = json_str(json_get(o, name));

        for (int i = 0; s && i < n; i++)
                if (strcmp(word(i), s) == 0)
                        return i;
        note_wrong(r, name);
        return 0;
}

static const char *kind_word(int i)
{
        return asset_kind_name((enum asset_kind)i);
}

static const char *type_word(int i)
{
        return job_type_name((enum job_type)i);
}

static const char *status_word(int i)
{
        return asset_status_name((enum asset_status)i);
}

static const char *source_word(int i)
{
        return tag_source_name((enum tag_source)i);
}

static const char *cluster_word(int i)
{
        return cluster_status_name((enum cluster_status)i);
}

static const char *owner_of(struct reader *r, const struct json *o)
{
        const char *s = text_of(r, o, "owner", OWNER_MAX);

        if (!owner_valid(span_of(s)))
                note_wrong(r, "owner");
        return s;
}

/* Of a folder: any text that is not empty. */
static const char *folder_name_of(struct reader *r, const struct json *o)
{
        const char *s = text_of(r, o, "name", NAME_MAX_BYTES);

        if (!*s)
                note_wrong(r, "name");
        return s;
}

/* A file's name: a name that cleaning would change was never written by this program. */
static const char *filename_of(struct reader *r, const struct json *o)
{
        const char *s = text_of(r, o, "filename", NAME_MAX_BYTES);
        char clean[NAME_MAX_BYTES + 1];
        struct err ignored;

        if (!*s || filename_clean(span_of(s), clean, &ignored) || strcmp(clean, s) != 0)
                note_wrong(r, "filename");
        return s;
}

/* JSON as text; NULL when there is none. */
static const char *object_of(struct reader *r, const struct json *o, const char *name)
{
        const char *s = text_or_null(r, o, name, TEXT_MAX);
        struct err ignored;
        struct json *doc = s ? json_parse(span_of(s), &ignored) : NULL;

        if (s && !json_is_object(doc))
                note_wrong(r, name);
        json_free(doc);
        return s;
}

static const struct json *list_of(struct reader *r, const struct json *o, const char *name, size_t max, size_t *n)
{
        const struct json *v = json_get(o, name);

        *n = json_count(v);
        if (!json_is_array(v) || *n > max) {
                note_wrong(r, name);
                *n = 0;
        }
        return v;
}

static void *array_of(struct reader *r, size_t n, size_t size)
{
        void *p = arena_array(r->arena, n + 1, size);

        r->oom |= !p;
        return p;
}

/* RFC 4648 base64 of little-endian f32; false when it is anything but dim finite numbers. */
static bool vector_read(struct span text, uint32_t dim, float *out)
{
        size_t n = (size_t)dim * sizeof *out, got;

        if (!base64_read(BASE64_PADDED, text, out, n, &got) || got != n)
                return false;
        for (uint32_t i = 0; i < dim; i++)
                if (!__builtin_isfinite(out[i]))
                        return false;
        return true;
}

/* ---- an asset ---------------------------------------------------------------------------------- */

static void read_job(struct reader *r, const struct json *o, struct kept_asset *k)
{
        k->asset.job_id = id_of(r, o, "id");
        k->position = (int)int_of(r, o, "position", 0, INT32_MAX);
        k->job_comments = text_or_null(r, o, "comments", TEXT_MAX);
        k->job_created = time_of(r, o, "created");
        k->job_updated = time_of(r, o, "updated");
        k->job_completed = time_of(r, o, "completed");
}

static void read_cluster(struct reader *r, const struct json *o, struct asset *x)
{
        if (json_is_null(o))
                return;
        x->cluster_id = id_of(r, o, "id");
        x->cluster_name = folder_name_of(r, o);
        x->cluster_provisional = bool_of(r, o, "provisional");
}

static void read_tags(struct reader *r, const struct json *o, struct asset *x)
{
        const struct json *list = list_of(r, o, "tags", TAGS_MAX, &x->ntags);

        x->tags = array_of(r, x->ntags, sizeof *x->tags);
        for (size_t i = 0; x->tags && i < x->ntags; i++) {
                const struct json *t = json_at(list, i);
                x->tags[i] =
                        (struct tag){.name = text_of(r, t, "name", 1024),
                                     .source = (enum tag_source)word_of(r, t, "source", source_word, TAG_SOURCE_COUNT),
                                     .confidence = num_of(r, t, "confidence", 0, 1)};
        }
}

/* Of sources other than the analysis, each once; sidecars of 0.1.0 have no such list. */
static void read_others(struct reader *r, const struct json *o, struct kept_asset *k)
{
        const char *name = "metadata_by_source";
        const struct json *list = json_get(o, name);
        struct err ignored;
        uint32_t seen = 0;

        if (json_is_null(list))
                return;
        list = list_of(r, o, name, TAG_SOURCE_COUNT, &k->nothers);
        k->others = array_of(r, k->nothers, sizeof *k->others);
        for (size_t i = 0; k->others && i < k->nothers; i++) {
                const struct json *x = json_at(list, i);
                struct source_metadata m = {
                        .source = (enum tag_source)word_of(r, x, "source", source_word, TAG_SOURCE_COUNT),
                        .text = text_of(r, x, "metadata", METADATA_MAX)};
                if (metadata_check(&m, &ignored) || (seen >> m.source & 1))
                        note_wrong(r, name);
                seen |= 1u << m.source;
                k->others[i] = m;
        }
}

static void read_vectors(struct reader *r, const struct json *o, struct kept_asset *k)
{
        const struct json *list = list_of(r, o, "embeddings", VECTORS_MAX, &k->nvectors);

        k->vectors = array_of(r, k->nvectors, sizeof *k->vectors);
        for (size_t i = 0; k->vectors && i < k->nvectors; i++) {
                const struct json *v = json_at(list, i);
                uint32_t dim = (uint32_t)int_of(r, v, "dimension", 1, DIM_MAX);
                float *numbers = array_of(r, dim, sizeof *numbers);
                k->vectors[i] = (struct kept_vector){.model = text_of(r, v, "model", 255), .dim = dim, .v = numbers};
                if (!*k->vectors[i].model)
                        note_wrong(r, "model");
                if (numbers && !vector_read(json_span(json_get(v, "vector")), dim, numbers))
                        note_wrong(r, "vector");
        }
}

static void read_lineage(struct reader *r, const struct json *o, struct kept_asset *k)
{
        const struct json *list = list_of(r, o, "lineage", LIST_MAX, &k->nlineage);

        k->lineage = array_of(r, k->nlineage, sizeof *k->lineage);
        for (size_t i = 0; k->lineage && i < k->nlineage; i++) {
                const struct json *l = json_at(list, i);
                k->lineage[i] = (struct lineage_entry){.at = time_of(r, l, "at"),
                                                       .action = text_of(r, l, "action", 64),
                                                       .actor = text_of(r, l, "actor", 256),
                                                       .detail = object_of(r, l, "detail")};
        }
}

static void read_dead(struct reader *r, const struct json *o, struct kept_asset *k)
{
        const struct json *list;
        struct kept_dead *d;

        if (json_is_null(o))
                return;
        d = k->dead = array_of(r, 1, sizeof *d);
        if (!d)
                return;
        d->deliveries = (unsigned)int_of(r, o, "deliveries", 0, INT32_MAX);
        d->errors = (unsigned)int_of(r, o, "errors", 0, INT32_MAX);
        d->crashes = (unsigned)int_of(r, o, "crashes", 0, INT32_MAX);
        list = list_of(r, o, "history", LIST_MAX, &d->nhistory);
        d->history = array_of(r, d->nhistory, sizeof *d->history);
        for (size_t i = 0; d->history && i < d->nhistory; i++) {
                const struct json *h = json_at(list, i);
                d->history[i] = (struct task_error){.stage = text_of(r, h, "stage", 64),
                                                    .code = text_of(r, h, "code", 64),
                                                    .message = text_of(r, h, "message", TEXT_MAX),
                                                    .at = time_of(r, h, "at"),
                                                    .crash = bool_of(r, h, "crash")};
        }
}

static void read_state(struct reader *r, const struct json *o, struct kept_asset *k)
{
        struct asset *x = &k->asset;

        x->kind = (enum asset_kind)word_of(r, o, "kind", kind_word, KIND_COUNT);
        x->type = (enum job_type)word_of(r, o, "type", type_word, JOB_TYPE_COUNT);
        x->status = (enum asset_status)word_of(r, o, "status", status_word, ASSET_STATUS_COUNT);
        if (x->status == ASSET_PROCESSING)
                note_wrong(r, "status");
        x->stage = text_of(r, o, "stage", 64);
        x->error = text_or_null(r, o, "error", TEXT_MAX);
        x->error_code = text_or_null(r, o, "error_code", 64);
        read_dead(r, json_get(o, "dead"), k);
        if (k->dead && x->status != ASSET_FAILED)
                note_wrong(r, "dead");
}

static void read_phash(struct reader *r, const struct json *o, struct kept_asset *k)
{
        const char *s = text_or_null(r, o, "phash", 16);
        unsigned long long v = 0;

        if (!s)
                return;
        if (strlen(s) != 16 || strspn(s, "0123456789abcdef") != 16 || sscanf(s, "%16llx", &v) != 1)
                note_wrong(r, "phash");
        k->has_phash = true;
        k->phash = v;
}

/* Sidecars of 0.1.0 say nothing of products: then a picture with a perceptual hash had these two. */
static void read_products(struct reader *r, const struct json *o, struct kept_asset *k)
{
        const char *s = text_or_null(r, o, "products", PRODUCTS_MAX - 1);

        k->asset.products = s                                               ? s
                            : k->has_phash && k->asset.status == ASSET_DONE ? STORAGE_PREVIEW " " STORAGE_THUMB
                                                                            : "";
        if (!products_valid(span_of(k->asset.products)))
                note_wrong(r, "products");
}

static void read_asset(struct reader *r, const struct json *o, struct kept_asset *k)
{
        struct asset *x = &k->asset;

        x->id = id_of(r, o, "id");
        read_job(r, json_get(o, "job"), k);
        x->owner = owner_of(r, o);
        x->filename = filename_of(r, o);
        x->content_type = text_of(r, o, "content_type", 255);
        read_state(r, o, k);
        if (!sha256_parse(json_span(json_get(o, "sha256")), &x->sha256))
                note_wrong(r, "sha256");
        x->size = (uint64_t)int_of(r, o, "size", 0, INT64_MAX);
        x->created = time_of(r, o, "created");
        x->updated = time_of(r, o, "updated");
        x->trashed = time_of(r, o, "trashed");
        x->comments = text_or_null(r, o, "comments", TEXT_MAX);
        x->analysis_note = text_or_null(r, o, "note", TEXT_MAX);
        read_cluster(r, json_get(o, "cluster"), x);
        x->pinned = bool_of(r, o, "pinned");
        x->cluster_similarity = num_of(r, o, "similarity", -2, 2);
        x->duplicate_of = id_or_nil(r, json_get(o, "duplicate_of"), "duplicate_of");
        read_tags(r, o, x);
        x->metadata = object_of(r, o, "metadata");
        read_others(r, o, k);
        read_phash(r, o, k);
        read_products(r, o, k);
        read_vectors(r, o, k);
        read_lineage(r, o, k);
}

static int read_verdict(const struct reader *r, struct id told, struct id id, struct err *e)
{
        if (r->oom)
                return err_oom(e);
        if (r->wrong)
                return err_set(e, ERR_CORRUPT, "the sidecar's \"%s\" is not what it may be", r->wrong);
        if (!id_eq(told, id))
                return err_set(e, ERR_CORRUPT, "the sidecar is about another id than its name says");
        return 0;
}

int sidecar_read_asset(struct span text, struct id id, struct arena *a, struct kept_asset *out, struct err *e)
{
        struct reader r = {.arena = a};
        struct json *doc = open_text(text, "asset", e);

        *out = (struct kept_asset){0};
        if (!doc)
                return -1;
        read_asset(&r, doc, out);
        json_free(doc);
        return read_verdict(&r, out->asset.id, id, e);
}

/* ---- the others ------------------------------------------------------------------------------------- */

static void read_folder(struct reader *r, const struct json *o, struct kept_folder *k)
{
        struct cluster *f = &k->folder;
        const struct json *list;

        f->id = id_of(r, o, "id");
        f->owner = owner_of(r, o);
        f->name = folder_name_of(r, o);
        f->status = (enum cluster_status)word_of(r, o, "status", cluster_word, CLUSTER_STATUS_COUNT);
        f->threshold = num_of(r, o, "threshold", 0, 1);
        f->locked = bool_of(r, o, "locked");
        f->touched = bool_of(r, o, "touched");
        f->named = bool_of(r, o, "named");
        f->created = time_of(r, o, "created");
        f->updated = time_of(r, o, "updated");
        list = list_of(r, o, "aliases", ALIASES_MAX, &k->naliases);
        k->aliases = array_of(r, k->naliases, sizeof *k->aliases);
        for (size_t i = 0; k->aliases && i < k->naliases; i++) {
                k->aliases[i] = id_or_nil(r, json_at(list, i), "aliases");
                if (id_is_nil(k->aliases[i]))
                        note_wrong(r, "aliases");
        }
}

int sidecar_read_folder(struct span text, struct id id, struct arena *a, struct kept_folder *out, struct err *e)
{
        struct reader r = {.arena = a};
        struct json *doc = open_text(text, "folder", e);

        *out = (struct kept_folder){0};
        if (!doc)
                return -1;
        read_folder(&r, doc, out);
        json_free(doc);
        return read_verdict(&r, out->folder.id, id, e);
}

int sidecar_read_catalog(struct span text, bool *keys, struct err *e)
{
        struct reader r = {.arena = NULL};
        struct json *doc = open_text(text, "catalog", e);

        if (!doc)
                return -1;
        *keys = bool_of(&r, doc, "keys");
        json_free(doc);
        return read_verdict(&r, (struct id){{0}}, (struct id){{0}}, e);
}
