/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thumbnails and previews. The pixels come from a bare memory image, so that
 * no EXIF (places!) and no profile can travel into what is shown to others.
 */
#include "decode/media/media.h"

#define WEBP_QUALITY 75
#define JPEG_QUALITY 82
#define WEBP_EFFORT  2 /* 4, the default, takes half as long again for 2 % fewer bytes */

static VipsImage *wrap(const struct picture *p)
{
        VipsImage *im =
                vips_image_new_from_memory(p->px, (size_t)p->w * p->h * 3, (int)p->w, (int)p->h, 3, VIPS_FORMAT_UCHAR);
        if (im)
                im->Type = VIPS_INTERPRETATION_sRGB;
        return im;
}

int encode_webp(const struct picture *p, void **out, size_t *n, struct err *e)
{
        VipsImage *im = wrap(p);
        int r = im ? vips_webpsave_buffer(im, out, n, "Q", WEBP_QUALITY, "effort", WEBP_EFFORT, "strip", TRUE, NULL)
                   : -1;
        g_clear_object(&im);
        return r ? media_vips_error(e, "cannot write the thumbnail") : 0;
}

int encode_jpeg(const struct picture *p, void **out, size_t *n, struct err *e)
{
        VipsImage *im = wrap(p);
        int r = im ? vips_jpegsave_buffer(im, out, n, "Q", JPEG_QUALITY, "strip", TRUE, NULL) : -1;
        g_clear_object(&im);
        return r ? media_vips_error(e, "cannot write the preview") : 0;
}
