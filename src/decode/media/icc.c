/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Colour profiles. libvips (lcms) does the conversion; reading a profile's name is done here, and must withstand any
 * bytes.
 */
#include "decode/media/media_priv.h"

static uint32_t read_be32(struct span s, size_t at)
{
        if (s.n < 4 || at > s.n - 4)
                return 0;
        const uint8_t *p = (const uint8_t *)s.p + at;
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* The data of a tag (ICC.1:2010 section 7.3); empty when absent or out of bounds. */
static struct span find_tag(struct span profile, uint32_t signature)
{
        uint32_t n = read_be32(profile, 128);
        for (uint32_t i = 0; i < n && i < 100; i++) {
                size_t at = 132 + 12 * (size_t)i;
                uint32_t from = read_be32(profile, at + 4), len = read_be32(profile, at + 8);
                if (read_be32(profile, at) == signature && from < profile.n && len <= profile.n - from)
                        return (struct span){profile.p + from, len};
        }
        return (struct span){0};
}

static void put_utf16(struct span s, struct buf *out)
{
        for (size_t i = 0; i + 1 < s.n && i < 256; i += 2) {
                uint32_t c = (uint32_t)(uint8_t)s.p[i] << 8 | (uint8_t)s.p[i + 1];
                if (!c)
                        break;
                if (c >= 0xd800 && c < 0xe000)
                        c = '?';
                char u[6];
                buf_put(out, u, (size_t)g_unichar_to_utf8(c, u));
        }
}

bool icc_description(struct span profile, struct buf *out)
{
        struct span d = find_tag(profile, 0x64657363); /* desc */
        uint32_t type = read_be32(d, 0);
        struct buf raw;
        buf_init(&raw, 4096);
        if (type == 0x64657363 && d.n > 12) { /* version 2: ASCII with its length */
                uint32_t n = read_be32(d, 8);
                struct span s = {d.p + 12, n < d.n - 12 ? n : d.n - 12};
                const char *end = s.n ? memchr(s.p, 0, s.n) : NULL;
                if (end)
                        s.n = (size_t)(end - s.p);
                buf_put(&raw, s.p, s.n);
        } else if (type == 0x6d6c7563 && read_be32(d, 8) > 0) { /* version 4: mluc, the first language */
                uint32_t len = read_be32(d, 20), from = read_be32(d, 24);
                if (from < d.n && len <= d.n - from)
                        put_utf16((struct span){d.p + from, len}, &raw);
        }
        size_t before = out->n;
        if (!buf_failed(&raw) && raw.n)
                exif_clean(buf_span(&raw), out);
        buf_done(&raw);
        return out->n > before;
}

struct span icc_profile(VipsImage *im)
{
        const void *p;
        size_t n;
        if (!vips_image_get_typeof(im, VIPS_META_ICC_NAME) || vips_image_get_blob(im, VIPS_META_ICC_NAME, &p, &n) || !n)
                return (struct span){0};
        return (struct span){p, n};
}

static bool is_srgb(struct span profile)
{
        struct buf name;
        buf_init(&name, 1024);
        bool srgb = icc_description(profile, &name) && strstr(buf_str(&name), "sRGB");
        buf_done(&name);
        return srgb;
}

/* bytes through the profile to a new RGB picture; false when the profile does not work for them. */
static bool transform_pixels(const uint8_t *px, uint32_t w, uint32_t h, int bands, struct span profile,
                             struct picture *out)
{
        VipsImage *in, *to = NULL;
        size_t n;
        in = vips_image_new_from_memory(px, (size_t)w * h * (size_t)bands, (int)w, (int)h, bands, VIPS_FORMAT_UCHAR);
        if (!in)
                return false;
        in->Type = bands == 4 ? VIPS_INTERPRETATION_CMYK : VIPS_INTERPRETATION_sRGB;
        vips_image_set_blob_copy(in, VIPS_META_ICC_NAME, profile.p, profile.n);
        *out = (struct picture){.w = w, .h = h};
        if (!vips_icc_transform(in, &to, "srgb", "embedded", TRUE, "intent", VIPS_INTENT_RELATIVE, "depth", 8, NULL) &&
            to->Bands == 3 && to->BandFmt == VIPS_FORMAT_UCHAR)
                out->px = vips_image_write_to_memory(to, &n);
        g_clear_object(&to);
        g_object_unref(in);
        vips_error_clear();
        return out->px != NULL;
}

void icc_to_srgb(struct picture *p, struct span profile)
{
        struct picture out;
        if (!profile.n || is_srgb(profile) ||
            read_be32(profile, 16) != 0x52474220) /* its data colour space must be "RGB " */
                return;
        if (transform_pixels(p->px, p->w, p->h, 3, profile, &out)) {
                picture_done(p);
                *p = out;
        }
}

bool icc_cmyk_to_srgb(const uint8_t *cmyk, uint32_t w, uint32_t h, struct span profile, struct picture *out)
{
        bool ok = read_be32(profile, 16) == 0x434d594b && transform_pixels(cmyk, w, h, 4, profile, out);
        if (!ok)
                *out = (struct picture){0};
        return ok;
}
