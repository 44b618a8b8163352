/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kinds of files that this program analyses, one row each. A new kind is a row here and its handler; what a file
 * is (sniff) and which products it has (a column of the object) are facts that no other code derives again.
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "catalog/catalog_asset.h"
#include "ingest/ingest_priv.h"

#define LIMIT(member, setting) offsetof(struct ingest_opts, member), setting

static const char *const image_types[] = {"image/jpeg", "image/png",  "image/webp", "image/gif", "image/tiff",
                                          "image/heic", "image/heif", "image/avif", "image/jxl"};
static const struct product image_products[] = {{STORAGE_PREVIEW, "image/jpeg"}, {STORAGE_THUMB, "image/webp"}};

static const struct pipeline pipelines[] = {
        {
                .job = JOB_IMAGE,
                .types = image_types,
                .ntypes = COUNT_OF(image_types),
                LIMIT(max_image_bytes, "MAX_IMAGE_BYTES"),
                .step = "image",
                .version = "1",
                .products = image_products,
                .nproducts = COUNT_OF(image_products),
                .handle = image_handle,
        },
};

const struct pipeline *pipeline_of(const char *media_type)
{
        for (size_t i = 0; i < COUNT_OF(pipelines); i++)
                for (size_t k = 0; k < pipelines[i].ntypes; k++)
                        if (!strcmp(pipelines[i].types[k], media_type))
                                return &pipelines[i];
        return NULL;
}

/* Bytes. */
static uint64_t pipeline_limit(const struct pipeline *p, const struct ingest_opts *o)
{
        uint64_t limit;
        memcpy(&limit, (const char *)o + p->limit_at, sizeof limit);
        return limit;
}

const char *ingest_product_type(const char *name)
{
        for (size_t i = 0; i < COUNT_OF(pipelines); i++)
                for (size_t k = 0; k < pipelines[i].nproducts; k++)
                        if (!strcmp(pipelines[i].products[k].name, name))
                                return pipelines[i].products[k].media_type;
        return NULL;
}

bool ingest_understands(enum job_type job)
{
        for (size_t i = 0; i < COUNT_OF(pipelines); i++)
                if (pipelines[i].job == job)
                        return true;
        return false;
}

int ingest_handle(void *ctx, struct worker_run *run, struct err *e)
{
        const struct pipeline *p = pipeline_of(run->task->content_type);
        if (!p)
                return err_set(e, ERR_UNSUPPORTED, "this version does not analyse %s", run->task->content_type);
        return p->handle(ctx, p, run, e);
}

/* ---- what becomes of a file ------------------------------------------------------- */

/* The reason why a file has no task, or NULL where nobody expects one. */
static const char *why_not_analysed(const struct ingest *ing, enum sniff_kind kind, const struct pipeline *p,
                                    struct arena *a)
{
        static const char *const reasons[] = {
                [SNIFF_IMAGE] = "this kind of image is stored but not decoded",
                [SNIFF_VIDEO] = "videos are stored but not analysed by this version",
                [SNIFF_AUDIO] = "audio is stored but not analysed by this version",
                [SNIFF_DOCUMENT] = "documents are stored but not read by this version",
                [SNIFF_JSON] = "JSON files are stored but not analysed by this version",
                [SNIFF_FILE] = NULL,
        };
        return p ? arena_printf(a, "larger than %s (%llu bytes)", p->limit_name,
                                (unsigned long long)pipeline_limit(p, &ing->o))
                 : reasons[kind];
}

void pipeline_classify(const struct ingest *ing, const struct sniff_type *t, uint64_t size, struct new_asset *out,
                       struct arena *a)
{
        static const struct {
                enum asset_kind kind;
                enum job_type job;
        } kinds[] = {
                [SNIFF_IMAGE] = {KIND_MEDIA, JOB_IMAGE}, [SNIFF_VIDEO] = {KIND_MEDIA, JOB_VIDEO},
                [SNIFF_AUDIO] = {KIND_FILE, JOB_AUDIO},  [SNIFF_DOCUMENT] = {KIND_DOCUMENT, JOB_DOCUMENT},
                [SNIFF_JSON] = {KIND_FILE, JOB_JSON},    [SNIFF_FILE] = {KIND_FILE, JOB_FILE},
        };
        const struct pipeline *p = pipeline_of(t->mime);
        out->kind = kinds[t->kind].kind;
        out->type = p ? p->job : kinds[t->kind].job;
        out->content_type = t->mime;
        out->size = size;
        out->purposes = p && size <= pipeline_limit(p, &ing->o) ? 1u << PURPOSE_ANALYSE : 0;
        if (!out->purposes)
                out->analysis_note = why_not_analysed(ing, t->kind, p, a);
}

/* ---- once more ---------------------------------------------------------------------- */

int ingest_reprocess(struct ingest *ing, struct id id, const char *owner, const char *actor, struct err *e)
{
        struct arena *a = arena_new(1 << 20);
        const struct pipeline *p;
        struct asset asset;
        int rc;
        if (!a)
                return err_oom(e);
        rc = catalog_asset_get(ing->o.catalog, id, owner, a, &asset, e);
        p = rc ? NULL : pipeline_of(asset.content_type);
        if (!rc && !p)
                rc = err_set(e, ERR_UNSUPPORTED, "this version does not analyse files of type %s", asset.content_type);
        if (!rc && asset.size > pipeline_limit(p, &ing->o))
                rc = err_set(e, ERR_UNSUPPORTED, "the file is larger than %s (%llu bytes)", p->limit_name,
                             (unsigned long long)pipeline_limit(p, &ing->o));
        if (!rc)
                rc = catalog_asset_reprocess(ing->o.catalog, id, owner, &p->job, actor, e);
        if (!rc)
                queue_wake(ing->o.queue, PURPOSE_ANALYSE, 1);
        arena_free(a);
        return rc;
}
