/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline of a picture: decode (in the jail) → store the products → embed → place and commit. Results that
 * depend on the bytes alone are cached per object, so that a retry, a duplicate or another owner's copy costs one
 * look-up.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ingest/ingest_priv.h"
#include "catalog/catalog_part.h"
#include "catalog/catalog_task.h"
#include "json/json.h"
#include "metrics/metrics.h"

/* The model's id covers whatever changes with the model. */
static const char *step_version(struct ingest *ing, const struct pipeline *p, struct arena *a)
{
        return arena_printf(a, "%s/%s", p->version, embed_model_id(ing->o.embed));
}

static bool products_present(struct ingest *ing, struct sha256 object, const char *products)
{
        struct span rest = span_of(products), one;
        struct err ignored;
        while (product_next(&rest, &one)) {
                char name[STORAGE_DERIVED_NAME_LEN];
                snprintf(name, sizeof name, "%.*s", (int)one.n, one.p);
                if (storage_has_derived(ing->o.storage, object, name, &ignored) <= 0)
                        return false;
        }
        return *products != '\0';
}

/* Returns 1 when the results are cached, 0 when they must be made, -1 on error. */
static int find_known(struct ingest *ing, const struct pipeline *p, const struct task *t, struct arena *a,
                      struct understanding *u, struct err *e)
{
        struct span blob;
        const char *version = step_version(ing, p, a);
        if (!version)
                return err_oom(e);
        int found = catalog_step_get(ing->o.catalog, t->sha256, t->owner, p->step, version, a, &blob, e);
        if (found <= 0)
                return found;
        if (understanding_unpack(blob, (uint32_t)embed_dim(ing->o.embed), a, u) ||
            !products_present(ing, t->sha256, u->products))
                return 0;
        return 1;
}

/* An unreachable storage, or one that does not have the object yet, is not the file's fault. */
static int without_store(struct worker_run *run, const struct err *e)
{
        run->deferred = e->code == ERR_UNAVAILABLE;
        return -1;
}

struct jail_input_wish ingest_model_input(struct ingest *ing)
{
        struct embed_image_spec s = embed_image_spec(ing->o.embed);
        return (struct jail_input_wish){
                .width = s.width, .height = s.height, .crop_num = s.crop_num, .crop_den = s.crop_den};
}

static int decode_image(struct ingest *ing, struct worker_run *run, struct decode_result *d, struct err *e)
{
        struct mono start = mono_now();
        struct decode_request req = {
                .reader = JAIL_READ_IMAGE,
                .max_pixels = ing->o.max_image_pixels,
                .product = {{.name = STORAGE_THUMB, .type = JAIL_WEBP, .size = ing->o.thumb_size},
                            {.name = STORAGE_PREVIEW, .type = JAIL_JPEG, .size = ing->o.preview_size}},
                .input = {ingest_model_input(ing)},
        };
        int fd;
        run->stage = "decode";
        if (storage_open_object(ing->o.storage, run->task->sha256, run->task->size, &fd, e))
                return without_store(run, e);
        int rc = jail_decode(ing->o.jail, fd, &req, d, e);
        fd_close(&fd);
        metrics_observe(METRIC_STAGE_DURATION, dur_seconds(mono_since(start)), "decode");
        return rc;
}

/* The decoder's JSON may come from a hostile file: it is parsed, and only known members are taken over. */
static bool taken_over(const char *key)
{
        static const char *const keys[] = {"exif", "gps", "color_palette", "icc", "animated", "frames"};
        for (size_t i = 0; i < COUNT_OF(keys); i++)
                if (!strcmp(key, keys[i]))
                        return true;
        return false;
}

static const char *metadata_of(const struct decode_result *d, const struct embed_image_result *r, struct arena *a)
{
        struct err ignored;
        struct json *doc = d->meta.n ? json_parse(d->meta, &ignored) : NULL;
        char hex[17];
        struct buf b;
        struct json_out j;
        snprintf(hex, sizeof hex, "%016llx", (unsigned long long)d->phash);
        buf_init(&b, 256 << 10);
        json_out_init(&j, &b);
        json_obj(&j);
        json_kv_int(&j, "width", d->width);
        json_kv_int(&j, "height", d->height);
        json_kv_str(&j, "format", d->format);
        json_kv_str(&j, "phash", hex);
        const char *category = NULL;
        for (size_t i = 0; i < r->ntags && !category; i++)
                if (r->tags[i].category)
                        category = r->tags[i].name;
        json_kv_str(&j, "primary_category", category);
        for (void *it = json_iter(doc); it; it = json_next(doc, it)) {
                if (!taken_over(json_iter_key(it)))
                        continue;
                json_key(&j, json_iter_key(it));
                struct buf v;
                buf_init(&v, 128 << 10);
                json_dump(json_iter_value(it), &v);
                json_put_raw(&j, buf_failed(&v) ? NULL : buf_str(&v));
                buf_done(&v);
        }
        json_end(&j);
        json_free(doc);
        const char *text = buf_failed(&b) ? NULL : arena_strdup(a, buf_str(&b));
        buf_done(&b);
        return text;
}

static int embed_picture(struct ingest *ing, struct worker_run *run, const struct decode_result *d,
                         struct understanding *u, struct err *e)
{
        struct mono start = mono_now();
        struct embed_image_result r = {0};
        run->stage = "embed";
        u->dim = (uint32_t)embed_dim(ing->o.embed);
        u->vector = r.vector = arena_array(run->arena, u->dim, sizeof(float));
        if (!r.vector)
                return err_oom(e);
        struct span input = decode_result_input(d, 0);
        if (embed_image(ing->o.embed, (const uint8_t *)input.p, input.n, &r, e))
                return -1;
        u->phash = d->phash;
        u->sure = r.sure;
        u->metadata = metadata_of(d, &r, run->arena);
        u->tags = arena_array(run->arena, r.ntags + 1, sizeof *u->tags);
        if (!u->metadata || !u->tags)
                return err_oom(e);
        for (size_t i = 0; i < r.ntags; i++)
                u->tags[i] = (struct tag){r.tags[i].name, TAG_ZERO_SHOT, r.tags[i].confidence};
        u->ntags = r.ntags;
        metrics_observe(METRIC_STAGE_DURATION, dur_seconds(mono_since(start)), "embed");
        return 0;
}

static int store_products(struct ingest *ing, struct worker_run *run, const struct decode_result *d,
                          struct understanding *u, struct err *e)
{
        struct mono start = mono_now();
        run->stage = "store";
        for (size_t i = 0; i < d->nproducts; i++) {
                const struct decode_product *p = &d->products[i];
                if (storage_put_derived(ing->o.storage, run->task->sha256, p->name, p->bytes, e))
                        return without_store(run, e);
        }
        u->products = products_made(d, run->arena);
        if (!u->products)
                return err_oom(e);
        metrics_observe(METRIC_STAGE_DURATION, dur_seconds(mono_since(start)), "store");
        return 0;
}

static int understand_image(struct ingest *ing, struct worker_run *run, struct understanding *u, struct err *e)
{
        struct decode_result d;
        if (decode_image(ing, run, &d, e))
                return -1;
        /* In this order, retries while the storage is unreachable cost no time of the model. */
        int rc = store_products(ing, run, &d, u, e);
        if (rc == 0)
                rc = embed_picture(ing, run, &d, u, e);
        decode_result_done(&d);
        return rc;
}

int image_handle(struct ingest *ing, const struct pipeline *p, struct worker_run *run, struct err *e)
{
        struct understanding u = {0};
        struct buf blob;
        buf_init(&blob, 2 << 20);
        int have = find_known(ing, p, run->task, run->arena, &u, e);
        if (have < 0 || (have == 0 && understand_image(ing, run, &u, e))) {
                buf_done(&blob);
                return -1;
        }
        struct task_result r = {
                .task = run->task,
                .metadata = u.metadata,
                .has_phash = true,
                .phash = u.phash,
                .tags = u.tags,
                .ntags = u.ntags,
                .parts = part_list_whole(&(struct part_room){.part = {0}}, embed_model_id(ing->o.embed), u.vector,
                                         u.dim),
                .products = u.products,
        };
        if (have == 0) {
                understanding_pack(&u, &blob);
                if (!buf_failed(&blob)) {
                        r.step = p->step;
                        r.step_version = step_version(ing, p, run->arena);
                        r.step_data = buf_span(&blob);
                }
        }
        run->stage = "place";
        struct mono start = mono_now();
        int rc = organise_complete(ing->o.organise, &r, u.sure, run->arena, e);
        metrics_observe(METRIC_STAGE_DURATION, dur_seconds(mono_since(start)), "commit");
        buf_done(&blob);
        return rc;
}
