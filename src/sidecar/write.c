/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sidecar says. Texts that are JSON already (metadata, details of the
 * history) go in as strings: read back and written again, a number could
 * become another.
 */
#include "sidecar/sidecar_priv.h"
#include "catalog/catalog_asset.h"

#include <stdio.h>
#include <string.h>

/* RFC 4648 base64 of little-endian f32. */
static void vector_write(const float *v, uint32_t dim, struct buf *b)
{
        const uint8_t *p = (const uint8_t *)v;
        size_t n = (size_t)dim * sizeof *v, piece; /* of threes: only the last one is padded */
        char text[1024];

        for (; n; p += piece, n -= piece) {
                piece = n < sizeof text / 4 * 3 ? n : sizeof text / 4 * 3;
                buf_put(b, text, base64_write(BASE64_PADDED, p, piece, text));
        }
}

/* Microseconds, which the API's times do not have. */
static void time_write(struct json_out *j, const char *key, struct wall t)
{
        char text[WALL_TEXT_LEN + 4];
        int64_t us = t.us % 1000;

        if (t.us == 0) {
                json_kv_null(j, key);
                return;
        }
        wall_format(t, text);
        snprintf(text + strlen(text) - 1, 5, "%03dZ", (int)(us < 0 ? us + 1000 : us));
        json_kv_str(j, key, text);
}

static void begin_sidecar(struct json_out *j, struct buf *b, const char *what)
{
        json_out_init(j, b);
        json_obj(j);
        json_kv_int(j, "format", SIDECAR_FORMAT);
        json_kv_str(j, "sidecar", what);
}

static void finish_sidecar(struct json_out *j, struct buf *b)
{
        char hex[SHA256_TEXT_LEN];

        json_end(j);
        if (buf_failed(b))
                return;
        b->n--; /* the brace: the hash goes before it */
        sha256_format(sha256_of(b->p, b->n), hex);
        buf_put(b, CHECKSUM_BEGIN.p, CHECKSUM_BEGIN.n);
        buf_puts(b, hex);
        buf_put(b, CHECKSUM_END.p, CHECKSUM_END.n);
}

/* ---- an asset ------------------------------------------------------------------------- */

static void put_job(struct json_out *j, const struct kept_asset *k)
{
        json_key(j, "job");
        json_obj(j);
        json_kv_id(j, "id", k->asset.job_id);
        json_kv_int(j, "position", k->position);
        json_kv_str(j, "comments", k->job_comments);
        time_write(j, "created", k->job_created);
        time_write(j, "updated", k->job_updated);
        time_write(j, "completed", k->job_completed);
        json_end(j);
}

static void put_cluster(struct json_out *j, const struct asset *x)
{
        json_key(j, "cluster");
        if (id_is_nil(x->cluster_id)) {
                json_put_null(j);
                return;
        }
        json_obj(j);
        json_kv_id(j, "id", x->cluster_id);
        json_kv_str(j, "name", x->cluster_name); /* as it was when this was written; the folder's own sidecar counts */
        json_kv_bool(j, "provisional", x->cluster_provisional);
        json_end(j);
}

static void put_tags(struct json_out *j, const struct asset *x)
{
        json_key(j, "tags");
        json_arr(j);
        for (size_t i = 0; i < x->ntags; i++) {
                json_obj(j);
                json_kv_str(j, "name", x->tags[i].name);
                json_kv_str(j, "source", tag_source_name(x->tags[i].source));
                json_kv_num(j, "confidence", x->tags[i].confidence);
                json_end(j);
        }
        json_end(j);
}

/* Of sources other than the analysis, whose text is "metadata". */
static void put_others(struct json_out *j, const struct kept_asset *k)
{
        json_key(j, "metadata_by_source");
        json_arr(j);
        for (size_t i = 0; i < k->nothers; i++) {
                json_obj(j);
                json_kv_str(j, "source", tag_source_name(k->others[i].source));
                json_kv_str(j, "metadata", k->others[i].text);
                json_end(j);
        }
        json_end(j);
}

static void put_vectors(struct json_out *j, const struct kept_asset *k)
{
        struct buf b;

        json_key(j, "embeddings");
        json_arr(j);
        for (size_t i = 0; i < k->nvectors; i++) {
                buf_init(&b, 1 << 20);
                vector_write(k->vectors[i].v, k->vectors[i].dim, &b);
                json_obj(j);
                json_kv_str(j, "model", k->vectors[i].model);
                json_kv_int(j, "dimension", k->vectors[i].dim);
                json_kv_str(j, "vector", buf_str(&b));
                json_end(j);
                buf_done(&b);
        }
        json_end(j);
}

static void put_lineage(struct json_out *j, const struct kept_asset *k)
{
        json_key(j, "lineage");
        json_arr(j);
        for (size_t i = 0; i < k->nlineage; i++) {
                const struct lineage_entry *l = &k->lineage[i];
                json_obj(j);
                time_write(j, "at", l->at);
                json_kv_str(j, "action", l->action);
                json_kv_str(j, "actor", l->actor);
                if (l->detail)
                        json_kv_str(j, "detail", l->detail);
                json_end(j);
        }
        json_end(j);
}

static void put_dead(struct json_out *j, const struct kept_dead *d)
{
        json_key(j, "dead");
        json_obj(j);
        json_kv_int(j, "deliveries", d->deliveries);
        json_kv_int(j, "errors", d->errors);
        json_kv_int(j, "crashes", d->crashes);
        json_key(j, "history");
        json_arr(j);
        for (size_t i = 0; i < d->nhistory; i++) {
                json_obj(j);
                time_write(j, "at", d->history[i].at);
                json_kv_str(j, "stage", d->history[i].stage);
                json_kv_str(j, "code", d->history[i].code);
                json_kv_str(j, "message", d->history[i].message);
                json_kv_bool(j, "crash", d->history[i].crash);
                json_end(j);
        }
        json_end(j);
        json_end(j);
}

void sidecar_write_asset(const struct kept_asset *k, struct buf *b)
{
        const struct asset *x = &k->asset;
        char hex[SHA256_TEXT_LEN];
        struct json_out j;

        begin_sidecar(&j, b, "asset");
        json_kv_id(&j, "id", x->id);
        put_job(&j, k);
        json_kv_str(&j, "owner", x->owner);
        json_kv_str(&j, "filename", x->filename);
        json_kv_str(&j, "content_type", x->content_type);
        json_kv_str(&j, "kind", asset_kind_name(x->kind));
        json_kv_str(&j, "type", job_type_name(x->type));
        /* Whether somebody was at work on it is of no use to a new catalog. */
        json_kv_str(&j, "status", asset_status_name(x->status == ASSET_PROCESSING ? ASSET_QUEUED : x->status));
        json_kv_str(&j, "stage", x->stage);
        json_kv_str(&j, "error", x->error);
        json_kv_str(&j, "error_code", x->error_code);
        json_kv_str(&j, "sha256", sha256_format(x->sha256, hex));
        json_kv_int(&j, "size", (int64_t)x->size);
        time_write(&j, "created", x->created);
        time_write(&j, "updated", x->updated);
        time_write(&j, "trashed", x->trashed);
        json_kv_str(&j, "comments", x->comments);
        json_kv_str(&j, "note", x->analysis_note);
        put_cluster(&j, x);
        json_kv_bool(&j, "pinned", x->pinned);
        json_kv_num(&j, "similarity", x->cluster_similarity);
        json_kv_id(&j, "duplicate_of", x->duplicate_of);
        put_tags(&j, x);
        json_kv_str(&j, "metadata", x->metadata);
        if (k->nothers)
                put_others(&j, k);
        json_kv_str(&j, "products", x->products);
        if (k->has_phash) {
                snprintf(hex, sizeof hex, "%016llx", (unsigned long long)k->phash);
                json_kv_str(&j, "phash", hex);
        }
        put_vectors(&j, k);
        put_lineage(&j, k);
        if (k->dead)
                put_dead(&j, k->dead);
        finish_sidecar(&j, b);
}

/* ---- the others ---------------------------------------------------------------------------- */

void sidecar_write_folder(const struct kept_folder *k, struct buf *b)
{
        const struct cluster *f = &k->folder;
        struct json_out j;

        begin_sidecar(&j, b, "folder");
        json_kv_id(&j, "id", f->id);
        json_kv_str(&j, "owner", f->owner);
        json_kv_str(&j, "name", f->name);
        json_kv_str(&j, "status", cluster_status_name(f->status));
        json_kv_num(&j, "threshold", f->threshold);
        json_kv_bool(&j, "locked", f->locked);
        json_kv_bool(&j, "touched", f->touched);
        json_kv_bool(&j, "named", f->named);
        time_write(&j, "created", f->created);
        time_write(&j, "updated", f->updated);
        json_key(&j, "aliases");
        json_arr(&j);
        for (size_t i = 0; i < k->naliases; i++)
                json_put_id(&j, k->aliases[i]);
        json_end(&j);
        finish_sidecar(&j, b);
}

void sidecar_write_catalog(bool keys, struct buf *b)
{
        struct json_out j;

        begin_sidecar(&j, b, "catalog");
        json_kv_bool(&j, "keys", keys);
        finish_sidecar(&j, b);
}
