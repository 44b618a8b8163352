/* SPDX-License-Identifier: Apache-2.0 */
/* The service object, and what kind of asset a file type becomes. */
#include <string.h>

#include "ingest/ingest_priv.h"

int ingest_open(const struct ingest_opts *opts, struct ingest **out, struct err *e)
{
        struct ingest *ing = mem_calloc(1, sizeof *ing);
        if (!ing)
                return err_oom(e);
        ing->o = *opts;
        *out = ing;
        return 0;
}

void ingest_close(struct ingest *ing)
{
        mem_free(ing);
}

static const char *not_analysed(enum sniff_kind kind)
{
        switch (kind) {
        case SNIFF_IMAGE:
                return "this kind of image is stored but not decoded";
        case SNIFF_VIDEO:
                return "videos are stored but not analysed by this version";
        case SNIFF_AUDIO:
                return "audio is stored but not analysed by this version";
        case SNIFF_DOCUMENT:
                return "documents are stored but not read by this version";
        case SNIFF_JSON:
                return "JSON files are stored but not analysed by this version";
        case SNIFF_FILE:
                break;
        }
        return NULL;
}

void ingest_classify(const struct ingest *ing, const struct sniff_type *t, uint64_t size, struct new_asset *out,
                     struct arena *a)
{
        static const struct {
                enum asset_kind kind;
                enum job_type type;
        } map[] = {
                [SNIFF_IMAGE] = {KIND_MEDIA, JOB_IMAGE}, [SNIFF_VIDEO] = {KIND_MEDIA, JOB_VIDEO},
                [SNIFF_AUDIO] = {KIND_FILE, JOB_AUDIO},  [SNIFF_DOCUMENT] = {KIND_DOCUMENT, JOB_DOCUMENT},
                [SNIFF_JSON] = {KIND_FILE, JOB_JSON},    [SNIFF_FILE] = {KIND_FILE, JOB_FILE},
        };
        out->kind = map[t->kind].kind;
        out->type = map[t->kind].type;
        out->content_type = t->mime;
        out->size = size;
        out->has_task = t->raster && size <= ing->o.max_image_bytes;
        if (t->raster && !out->has_task)
                out->analysis_note = arena_printf(a, "larger than MAX_IMAGE_BYTES (%llu bytes)",
                                                  (unsigned long long)ing->o.max_image_bytes);
        else if (!out->has_task)
                out->analysis_note = not_analysed(t->kind);
}
