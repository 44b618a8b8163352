/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One decode makes everything: the pixels are read once, at the smallest size that serves all wishes, and each
 * product is made from the next larger one: pixels → preview → thumbnail → hash; the models' inputs are made from the
 * pixels.
 */
#include <vips/vips.h>
#include "decode/decode_priv.h"
#include "decode/media/media_priv.h"

#define HASH_FROM  256  /* the picture the hash is taken of when no product is made */
#define SIDE_LIMIT 8192 /* greatest size that a request may ask for */

/* ---- models' inputs ------------------------------------------------------------------ */

/*
 * The central square that the model sees, in pixels of the full picture, read from an image that may have been shrunk
 * on loading.
 */
static int make_input(const struct picture *px, const struct jail_input_wish *w, uint32_t wish,
                      struct decode_output *out, struct err *e)
{
        uint64_t shorter = out->width < out->height ? out->width : out->height;
        uint64_t side = w->crop_num * shorter / w->crop_den;
        side = side < 1 ? 1 : side > shorter ? shorter : side;
        uint64_t left = (out->width - side + 1) / 2, top = (out->height - side + 1) / 2;
        double sx = (double)px->w / out->width, sy = (double)px->h / out->height;
        struct box box = {(double)left * sx, (double)top * sy, (double)side * sx, (double)side * sy};
        struct picture input;
        if (picture_resize(px, box, w->width, w->height, &input, e))
                return -1;
        return decode_output_add(out, (struct jail_entry){.kind = JAIL_INPUT, .wish = wish}, input.px,
                                 (size_t)w->width * w->height * 3, e);
}

static int make_inputs(const struct picture *px, const struct decode_request *want, struct decode_output *out,
                       struct err *e)
{
        int rc = 0;
        for (uint32_t i = 0; i < COUNT_OF(want->input) && !rc; i++)
                if (want->input[i].width)
                        rc = make_input(px, &want->input[i], i, out, e);
        return rc;
}

/* ---- what people see ------------------------------------------------------------------- */

/* Scales the longer side down to at most size; never enlarges. */
static void fit_into(uint32_t full_w, uint32_t full_h, uint32_t size, uint32_t *w, uint32_t *h)
{
        uint32_t longer = full_w > full_h ? full_w : full_h;
        *w = full_w;
        *h = full_h;
        if (longer > size) {
                *w = (uint32_t)(((uint64_t)full_w * size + longer / 2) / longer);
                *h = (uint32_t)(((uint64_t)full_h * size + longer / 2) / longer);
                *w += !*w;
                *h += !*h;
        }
}

/* The most recent of the pictures made from the view, each smaller than the one before. */
struct views {
        struct picture now; /* empty before the first */
        const struct picture *view;
        struct span profile; /* of the view; what is made from it is in sRGB */
        uint32_t full_w, full_h;
};

static int scale_down(struct views *v, uint32_t size, struct err *e)
{
        const struct picture *from = v->now.px ? &v->now : v->view;
        struct picture next;
        uint32_t w, h;
        fit_into(v->full_w, v->full_h, size, &w, &h);
        if (picture_resize(from, (struct box){0, 0, from->w, from->h}, w, h, &next, e))
                return -1;
        if (!v->now.px)
                icc_to_srgb(&next, v->profile);
        picture_done(&v->now);
        v->now = next;
        return 0;
}

static int make_product(const struct picture *p, const struct jail_product_wish *w, uint32_t wish,
                        struct decode_output *out, struct err *e)
{
        void *bytes;
        size_t n;
        if (w->type == JAIL_WEBP ? encode_webp(p, &bytes, &n, e) : encode_jpeg(p, &bytes, &n, e))
                return -1;
        return decode_output_add(out, (struct jail_entry){.kind = JAIL_PRODUCT, .wish = wish}, bytes, n, e);
}

/* Orders the wishes for products, the largest first. */
static size_t order_products(const struct decode_request *want, uint32_t order[JAIL_PRODUCTS_MAX])
{
        size_t n = 0;
        for (uint32_t i = 0; i < JAIL_PRODUCTS_MAX; i++) {
                if (!want->product[i].name[0])
                        continue;
                size_t k = n++;
                for (; k && want->product[order[k - 1]].size < want->product[i].size; k--)
                        order[k] = order[k - 1];
                order[k] = i;
        }
        return n;
}

/* Makes the products, and hash and palette of the smallest picture. */
static int make_views(struct views *v, const struct decode_request *want, struct decode_output *out,
                      struct palette *palette, struct err *e)
{
        uint32_t order[JAIL_PRODUCTS_MAX];
        size_t n = order_products(want, order);
        int rc = n ? 0 : scale_down(v, HASH_FROM, e);
        for (size_t i = 0; i < n && !rc; i++) {
                const struct jail_product_wish *w = &want->product[order[i]];
                rc = scale_down(v, w->size, e);
                if (!rc)
                        rc = make_product(&v->now, w, order[i], out, e);
        }
        if (rc)
                return -1;
        picture_palette(&v->now, palette);
        return picture_phash(&v->now, &out->phash, e);
}

/* ---- all of it --------------------------------------------------------------------------- */

static int make_all(const struct media_file *f, const struct decode_request *want, struct decode_output *out,
                    struct err *e)
{
        struct picture model, view;
        struct palette palette;
        if (media_pixels(f, &model, &view, e))
                return -1;
        /* a picture with a view of its own is in sRGB already */
        struct views v = {.view = view.px ? &view : &model,
                          .profile = view.px ? (struct span){0} : icc_profile(f->im),
                          .full_w = out->width,
                          .full_h = out->height};
        int rc = make_inputs(&model, want, out, e);
        if (!rc)
                rc = make_views(&v, want, out, &palette, e);
        if (!rc) {
                media_meta(f, &palette, &out->meta);
                rc = buf_failed(&out->meta) ? err_oom(e) : 0;
        }
        picture_done(&v.now);
        picture_done(&model);
        picture_done(&view);
        return rc;
}

static int check_wishes(const struct decode_request *want, struct err *e)
{
        bool ok = !want->max_text;
        for (size_t i = 0; i < COUNT_OF(want->product); i++) {
                const struct jail_product_wish *w = &want->product[i];
                if (w->name[0])
                        ok = ok && w->size && w->size <= SIDE_LIMIT && w->type < JAIL_TYPE_COUNT && !w->series;
        }
        for (size_t i = 0; i < COUNT_OF(want->input); i++) {
                const struct jail_input_wish *w = &want->input[i];
                if (w->width)
                        ok = ok && w->width <= SIDE_LIMIT && w->height && w->height <= SIDE_LIMIT && w->crop_num &&
                             w->crop_den && w->part == PART_WHOLE && !w->series && w->tensor == JAIL_RGB8;
        }
        return ok ? 0 : err_set(e, ERR_INVALID, "what was requested cannot be made from a picture");
}

int decode_read_image(int fd, const struct decode_request *want, struct decode_output *out, struct err *e)
{
        struct media_file f;
        if (check_wishes(want, e) || media_open(fd, want, &f, e))
                return -1;
        bool swap = f.orientation >= 5;
        out->width = swap ? f.h : f.w;
        out->height = swap ? f.w : f.h;
        out->pages = f.pages;
        g_strlcpy(out->format, f.format, sizeof out->format);
        int rc = make_all(&f, want, out, e);
        media_close(&f);
        return rc;
}
