/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One decode makes everything: the pixels are read once, at the smallest size
 * that serves all products, and each product is derived from the next larger
 * one: pixels → preview → thumbnail → hash; the model's input from the pixels.
 */
#include <sys/mman.h>
#include <unistd.h>
#include <vips/vips.h>
#include <vips/vector.h>
#include "decode/decode.h"
#include "decode/media/media.h"
#include "decode/warmup_files.h"

#define META_MAX   (64 * 1024)
#define HASH_FROM  256  /* the picture the hash is taken of when no thumbnail is made */
#define SIDE_LIMIT 8192 /* of any product a request may ask for */

static void swallow(const char *domain, GLogLevelFlags level, const char *text, void *ctx)
{
        (void)domain, (void)level, (void)text, (void)ctx;
}

int decode_init(const char *program, struct err *e)
{
        /* a hostile file can cause ten thousands of warnings, and writing one opens files */
        g_log_set_default_handler(swallow, NULL);
        if (vips_init(program))
                return err_set(e, ERR_UNAVAILABLE, "libvips does not start");
        /* no code made at run time: it would differ by machine and needs executable memory */
        vips_vector_set_enabled(FALSE);
        vips_cache_set_max(0);
        vips_concurrency_set(1);
        vips_block_untrusted_set(TRUE);
        return 0;
}

/* ---- products --------------------------------------------------------------------- */

/* Long side at most size, never enlarged. */
static void fit(const struct picture *full, uint32_t size, uint32_t *w, uint32_t *h)
{
        uint32_t longer = full->w > full->h ? full->w : full->h;
        *w = full->w;
        *h = full->h;
        if (longer > size) {
                *w = (uint32_t)(((uint64_t)full->w * size + longer / 2) / longer);
                *h = (uint32_t)(((uint64_t)full->h * size + longer / 2) / longer);
                *w += !*w;
                *h += !*h;
        }
}

static int scaled(const struct picture *from, uint32_t w, uint32_t h, struct picture *out, struct err *e)
{
        return picture_resize(from, (struct box){0, 0, from->w, from->h}, w, h, out, e);
}

/* The central square the model looks at, in pixels of the full picture, read from the possibly shrunk one. */
static int make_model_input(const struct picture *px, uint32_t full_w, uint32_t full_h, const struct jail_request *req,
                            struct decode_products *out, struct err *e)
{
        uint64_t shorter = full_w < full_h ? full_w : full_h;
        uint64_t side = req->crop_num * shorter / req->crop_den;
        side = side < 1 ? 1 : side > shorter ? shorter : side;
        uint64_t left = (full_w - side + 1) / 2, top = (full_h - side + 1) / 2;
        double sx = (double)px->w / full_w, sy = (double)px->h / full_h;
        struct box box = {(double)left * sx, (double)top * sy, (double)side * sx, (double)side * sy};
        struct picture input;
        if (picture_resize(px, box, req->model_width, req->model_height, &input, e))
                return -1;
        out->rgb = input.px;
        out->rgb_len = (size_t)req->model_width * req->model_height * 3;
        return 0;
}

struct sizes {
        uint32_t preview_w, preview_h, thumb_w, thumb_h;
};

/* Preview and thumbnail, hash and palette. view is what people should see. */
static int make_views(const struct picture *view, const struct sizes *s, const struct jail_request *req,
                      struct span profile, struct decode_products *out, struct palette *palette, struct err *e)
{
        struct picture large = {0}, small = {0};
        const struct picture *from = view;
        int rc = 0;
        if (req->preview_size) {
                rc = scaled(view, s->preview_w, s->preview_h, &large, e);
                if (!rc) {
                        icc_to_srgb(&large, profile);
                        rc = encode_jpeg(&large, &out->preview, &out->preview_len, e);
                        if (large.w >= s->thumb_w && large.h >= s->thumb_h)
                                from = &large;
                }
        }
        if (!rc)
                rc = scaled(from, s->thumb_w, s->thumb_h, &small, e);
        if (!rc) {
                if (from == view)
                        icc_to_srgb(&small, profile);
                picture_palette(&small, palette);
                rc = picture_phash(&small, &out->phash, e);
        }
        if (!rc && req->thumb_size)
                rc = encode_webp(&small, &out->thumb, &out->thumb_len, e);
        picture_done(&large);
        picture_done(&small);
        return rc;
}

static int make_all(const struct media_file *f, const struct jail_request *req, struct decode_products *out,
                    struct err *e)
{
        struct picture model, view;
        struct palette palette;
        struct sizes s;
        if (media_pixels(f, &model, &view, e))
                return -1;
        struct picture full = {.w = out->width, .h = out->height};
        fit(&full, req->preview_size, &s.preview_w, &s.preview_h);
        fit(&full, req->thumb_size ? req->thumb_size : HASH_FROM, &s.thumb_w, &s.thumb_h);
        int rc = 0;
        if (req->model_width)
                rc = make_model_input(&model, full.w, full.h, req, out, e);
        if (!rc) /* a picture with a view of its own is in sRGB already */
                rc = make_views(view.px ? &view : &model, &s, req, view.px ? (struct span){0} : icc_profile(f->im), out,
                                &palette, e);
        if (!rc) {
                media_meta(f, &palette, &out->meta);
                rc = buf_failed(&out->meta) ? err_oom(e) : 0;
        }
        picture_done(&model);
        picture_done(&view);
        return rc;
}

static int check_request(const struct jail_request *r, struct err *e)
{
        bool ok = r->thumb_size <= SIDE_LIMIT && r->preview_size <= SIDE_LIMIT && r->model_width <= SIDE_LIMIT &&
                  r->model_height <= SIDE_LIMIT;
        if (r->model_width)
                ok = ok && r->model_height && r->crop_den && r->crop_num;
        return ok ? 0 : err_set(e, ERR_INVALID, "a request that makes no sense");
}

int decode_file(int fd, const struct jail_request *req, struct decode_products *out, struct err *e)
{
        struct media_file f;
        *out = (struct decode_products){0};
        buf_init(&out->meta, META_MAX);
        if (check_request(req, e) || media_open(fd, req, &f, e))
                return -1;
        bool swap = f.orientation >= 5;
        out->width = swap ? f.h : f.w;
        out->height = swap ? f.w : f.h;
        out->pages = f.pages;
        g_strlcpy(out->format, f.format, sizeof out->format);
        int rc = make_all(&f, req, out, e);
        media_close(&f);
        if (rc)
                decode_products_done(out);
        vips_error_clear();
        return rc;
}

void decode_products_done(struct decode_products *p)
{
        g_free(p->rgb);
        g_free(p->thumb);
        g_free(p->preview);
        buf_done(&p->meta);
        *p = (struct decode_products){0};
}

/* ---- warm-up ------------------------------------------------------------------------- */

void decode_warm_up_close(struct decode_warm_up *w)
{
        for (size_t i = 0; i < COUNT_OF(w->fd); i++)
                fd_close(&w->fd[i]);
}

int decode_warm_up_open(struct decode_warm_up *w, struct err *e)
{
        for (size_t i = 0; i < COUNT_OF(w->fd); i++)
                w->fd[i] = -1;
        for (size_t i = 0; i < COUNT_OF(w->fd); i++) {
                w->fd[i] = memfd_create("warm-up", MFD_CLOEXEC);
                if (w->fd[i] < 0 || fd_write_all(w->fd[i], warmup_files[i].p, warmup_files[i].n, e)) {
                        decode_warm_up_close(w);
                        return err_set(e, ERR_UNAVAILABLE, "no memory file for the warm-up");
                }
        }
        return 0;
}

int decode_warm_up(const struct decode_warm_up *w, struct err *e)
{
        const struct jail_request req = {.max_pixels = 1 << 20,
                                         .thumb_size = 16,
                                         .preview_size = 24,
                                         .model_width = 16,
                                         .model_height = 16,
                                         .crop_num = 1,
                                         .crop_den = 1};
        for (size_t i = 0; i < COUNT_OF(w->fd); i++) {
                struct decode_products out;
                if (decode_file(w->fd[i], &req, &out, e))
                        return -1;
                decode_products_done(&out);
        }
        return 0;
}
