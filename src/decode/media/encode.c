/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Thumbnails and previews. The pixels come from a bare memory image, so that no EXIF data (locations!) and no profile
 * can reach the products.
 */
#include "decode/media/media_priv.h"

#define WEBP_QUALITY 75
#define JPEG_QUALITY 82
#define WEBP_EFFORT  2 /* 4, the default, takes half as long again for 2 % fewer bytes */

static VipsImage *wrap_picture(const struct picture *p)
{
        VipsImage *im =
                vips_image_new_from_memory(p->px, (size_t)p->w * p->h * 3, (int)p->w, (int)p->h, 3, VIPS_FORMAT_UCHAR);
        if (im)
                im->Type = VIPS_INTERPRETATION_sRGB;
        return im;
}

/*
 * Even when told to strip, libvips 8.14 writes an EXIF chunk of its own making (and VP8X for it): 200 bytes a
 * thumbnail. Of the chunks (RFC 9649 section 2.3) only the picture's own stays. Returns the new length.
 */
static size_t webp_bare(uint8_t *p, size_t n)
{
        for (size_t at = 12; n >= 20 && at <= n - 8;) {
                size_t len = p[at + 4] | (size_t)p[at + 5] << 8 | (size_t)p[at + 6] << 16 | (size_t)p[at + 7] << 24;
                size_t whole = 8 + len + (len & 1);
                if (whole > n - at)
                        break;
                if (!memcmp(p + at, "VP8 ", 4) || !memcmp(p + at, "VP8L", 4)) {
                        memmove(p + 12, p + at, whole);
                        for (int i = 0; i < 4; i++)
                                p[4 + i] = (uint8_t)((whole + 4) >> (8 * i));
                        return 12 + whole;
                }
                at += whole;
        }
        return n;
}

int encode_webp(const struct picture *p, void **out, size_t *n, struct err *e)
{
        VipsImage *im = wrap_picture(p);
        int r = im ? vips_webpsave_buffer(im, out, n, "Q", WEBP_QUALITY, "effort", WEBP_EFFORT, "strip", TRUE, NULL)
                   : -1;
        g_clear_object(&im);
        if (r)
                return media_vips_error(e, "cannot write the thumbnail");
        *n = webp_bare(*out, *n);
        return 0;
}

int encode_jpeg(const struct picture *p, void **out, size_t *n, struct err *e)
{
        VipsImage *im = wrap_picture(p);
        int r = im ? vips_jpegsave_buffer(im, out, n, "Q", JPEG_QUALITY, "strip", TRUE, NULL) : -1;
        g_clear_object(&im);
        return r ? media_vips_error(e, "cannot write the preview") : 0;
}
