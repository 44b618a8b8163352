/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From whatever a file stores (grey, palette, 16 bit, float, CMYK, Lab, alpha)
 * to 8-bit RGB, as samples.c does the arithmetic, and upright.
 */
#include "decode/media/media_priv.h"

/* ---- the pipeline up to bytes in memory --------------------------------------------- */

struct raw {
        void *p; /* glib's */
        uint32_t w, h;
        unsigned bands;
        bool cmyk, real; /* real: floats, not bytes */
};

/* Replace *im by what op made of it. next is looked at after op has run, which is an argument too: hence its address.
 */
static int replace_image(VipsImage **im, VipsImage *const *next, int failed)
{
        if (failed)
                return -1;
        g_object_unref(*im);
        *im = *next;
        return 0;
}

static int to_known_space(VipsImage **im)
{
        VipsImage *t = NULL;
        switch ((*im)->Type) {
        case VIPS_INTERPRETATION_LAB:
        case VIPS_INTERPRETATION_LABS:
        case VIPS_INTERPRETATION_LABQ:
        case VIPS_INTERPRETATION_XYZ:
        case VIPS_INTERPRETATION_scRGB:
                if ((*im)->Bands < 3 && (*im)->Type != VIPS_INTERPRETATION_LABQ)
                        return 0;
                return replace_image(im, &t, vips_colourspace(*im, &t, VIPS_INTERPRETATION_sRGB, NULL));
        default:
                return 0;
        }
}

static int to_bands(VipsImage **im, bool cmyk)
{
        VipsImage *t = NULL;
        int bands = (*im)->Bands, keep = cmyk ? 4 : bands > 4 ? 3 : bands;
        return keep == bands ? 0 : replace_image(im, &t, vips_extract_band(*im, &t, 0, "n", keep, NULL));
}

static int to_bytes(VipsImage **im, bool *real)
{
        VipsImage *t = NULL;
        *real = false;
        if ((*im)->BandFmt == VIPS_FORMAT_UCHAR)
                return 0;
        if ((*im)->BandFmt == VIPS_FORMAT_USHORT)
                return replace_image(im, &t, vips_msb(*im, &t, NULL));
        *real = true;
        return replace_image(im, &t, vips_cast_float(*im, &t, NULL));
}

/* Average whole blocks while the rows stream by, so that a large picture never lies in memory as a whole. */
static int to_shrunk(VipsImage **im, const struct media_file *f)
{
        VipsImage *t = NULL;
        int bands = (*im)->Bands;
        if (f->shrunk || f->shrink < 2)
                return 0;
        if (bands == 2 || (bands == 4 && (*im)->Type != VIPS_INTERPRETATION_CMYK)) {
                VipsArrayDouble *white = vips_array_double_newv(1, 255.0);
                int r = replace_image(im, &t, vips_flatten(*im, &t, "background", white, NULL));
                vips_area_unref(VIPS_AREA(white));
                if (r)
                        return -1;
        }
        return replace_image(im, &t, vips_shrink(*im, &t, f->shrink, f->shrink, NULL));
}

static int raw_read(const struct media_file *f, struct raw *raw, struct err *e)
{
        VipsImage *im = f->im;
        size_t n;
        g_object_ref(im);
        *raw = (struct raw){.cmyk = im->Type == VIPS_INTERPRETATION_CMYK && im->Bands >= 4};
        int rc = -1;
        if (im->Coding != VIPS_CODING_NONE && im->Type != VIPS_INTERPRETATION_LABQ)
                rc = err_set(e, ERR_UNSUPPORTED, "the pixel format is not supported");
        else if (to_known_space(&im) || to_bands(&im, raw->cmyk) || to_bytes(&im, &raw->real) || to_shrunk(&im, f) ||
                 !(raw->p = vips_image_write_to_memory(im, &n)))
                rc = media_vips_error(e, "the picture is damaged or cut short");
        else
                rc = 0;
        raw->w = (uint32_t)im->Xsize;
        raw->h = (uint32_t)im->Ysize;
        raw->bands = (unsigned)im->Bands;
        g_object_unref(im);
        return rc;
}

/* ---- to RGB -------------------------------------------------------------------------- */

/* In place where the output is not longer than the input; *raw loses its memory to *out then. */
static int raw_to_rgb(struct raw *raw, struct picture *out, struct err *e)
{
        size_t n = (size_t)raw->w * raw->h;
        if (raw->real) /* in place: a byte never passes the float it came from */
                samples_from_float(raw->p, raw->bands, n, raw->p);
        if (raw->bands >= 3 || raw->real) {
                *out = (struct picture){.px = raw->p, .w = raw->w, .h = raw->h};
                raw->p = NULL;
                if (raw->cmyk)
                        samples_from_cmyk(out->px, n, out->px);
                else
                        samples_blend_white(out->px, raw->bands, n, out->px);
                return 0;
        }
        if (picture_new(out, raw->w, raw->h, e))
                return -1;
        samples_blend_white(raw->p, raw->bands, n, out->px);
        return 0;
}

int media_pixels(const struct media_file *f, struct picture *model, struct picture *view, struct err *e)
{
        struct raw raw;
        *model = *view = (struct picture){0};
        if (raw_read(f, &raw, e)) {
                g_free(raw.p);
                return -1;
        }
        if (raw.cmyk && !raw.real && icc_profile(f->im).n)
                icc_cmyk_to_srgb(raw.p, raw.w, raw.h, icc_profile(f->im), view);
        int rc = raw_to_rgb(&raw, model, e);
        g_free(raw.p);
        if (!rc)
                rc = picture_turn(model, f->orientation, e);
        if (!rc && view->px)
                rc = picture_turn(view, f->orientation, e);
        if (rc) {
                picture_done(model);
                picture_done(view);
        }
        return rc;
}
