/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The JSON metadata of a picture. A fixed table says which EXIF entries are included and whether they are text or
 * numbers: anything else that a file holds is left out.
 */
#include "decode/media/media_priv.h"

enum tag_kind { TAG_TEXT, TAG_NUMBER };

static const struct {
        const char *field, *key;
        enum tag_kind kind;
} tags[] = {
        {"exif-ifd0-Make", "Make", TAG_TEXT},
        {"exif-ifd0-Model", "Model", TAG_TEXT},
        {"exif-ifd0-Software", "Software", TAG_TEXT},
        {"exif-ifd0-DateTime", "DateTime", TAG_TEXT},
        {"exif-ifd0-Artist", "Artist", TAG_TEXT},
        {"exif-ifd0-Copyright", "Copyright", TAG_TEXT},
        {"exif-ifd0-ImageDescription", "ImageDescription", TAG_TEXT},
        {"exif-ifd2-DateTimeOriginal", "DateTimeOriginal", TAG_TEXT},
        {"exif-ifd2-DateTimeDigitized", "DateTimeDigitized", TAG_TEXT},
        {"exif-ifd2-OffsetTime", "OffsetTime", TAG_TEXT},
        {"exif-ifd2-OffsetTimeOriginal", "OffsetTimeOriginal", TAG_TEXT},
        {"exif-ifd2-SubSecTimeOriginal", "SubSecTimeOriginal", TAG_TEXT},
        {"exif-ifd2-LensMake", "LensMake", TAG_TEXT},
        {"exif-ifd2-LensModel", "LensModel", TAG_TEXT},
        {"exif-ifd2-ExposureTime", "ExposureTime", TAG_NUMBER},
        {"exif-ifd2-FNumber", "FNumber", TAG_NUMBER},
        {"exif-ifd2-ExposureProgram", "ExposureProgram", TAG_NUMBER},
        {"exif-ifd2-ISOSpeedRatings", "ISOSpeedRatings", TAG_NUMBER},
        {"exif-ifd2-ShutterSpeedValue", "ShutterSpeedValue", TAG_NUMBER},
        {"exif-ifd2-ApertureValue", "ApertureValue", TAG_NUMBER},
        {"exif-ifd2-BrightnessValue", "BrightnessValue", TAG_NUMBER},
        {"exif-ifd2-ExposureBiasValue", "ExposureBiasValue", TAG_NUMBER},
        {"exif-ifd2-MaxApertureValue", "MaxApertureValue", TAG_NUMBER},
        {"exif-ifd2-SubjectDistance", "SubjectDistance", TAG_NUMBER},
        {"exif-ifd2-MeteringMode", "MeteringMode", TAG_NUMBER},
        {"exif-ifd2-LightSource", "LightSource", TAG_NUMBER},
        {"exif-ifd2-Flash", "Flash", TAG_NUMBER},
        {"exif-ifd2-FocalLength", "FocalLength", TAG_NUMBER},
        {"exif-ifd2-FocalLengthIn35mmFilm", "FocalLengthIn35mmFilm", TAG_NUMBER},
        {"exif-ifd2-ExposureMode", "ExposureMode", TAG_NUMBER},
        {"exif-ifd2-WhiteBalance", "WhiteBalance", TAG_NUMBER},
        {"exif-ifd2-DigitalZoomRatio", "DigitalZoomRatio", TAG_NUMBER},
        {"exif-ifd2-SceneCaptureType", "SceneCaptureType", TAG_NUMBER},
};

/* The value of an EXIF entry; empty when absent. Lives with im. */
static struct span field_value(VipsImage *im, const char *field)
{
        const char *s;
        if (!vips_image_get_typeof(im, field) || vips_image_get_string(im, field, &s))
                return (struct span){0};
        /* what libvips stores for text in another encoding: there is nothing left to read */
        if (!strcmp(s, "<invalid utf-8 string>"))
                return (struct span){0};
        return exif_value(span_of(s));
}

static void put_tag(struct json_out *j, size_t i, struct span v)
{
        double number;
        if (tags[i].kind == TAG_NUMBER) {
                if (exif_number(v, &number)) {
                        json_key(j, tags[i].key);
                        json_put_num(j, number);
                }
                return;
        }
        struct buf text;
        buf_init(&text, 512);
        exif_clean(v, &text);
        if (text.n) {
                json_key(j, tags[i].key);
                json_put_span(j, buf_span(&text));
        }
        buf_done(&text);
}

static void put_gps(struct json_out *j, VipsImage *im)
{
        double lat, lon, alt;
        if (!exif_degrees(field_value(im, "exif-ifd3-GPSLatitude"), field_value(im, "exif-ifd3-GPSLatitudeRef"),
                          &lat) ||
            !exif_degrees(field_value(im, "exif-ifd3-GPSLongitude"), field_value(im, "exif-ifd3-GPSLongitudeRef"),
                          &lon))
                return;
        json_key(j, "gps");
        json_obj(j);
        json_kv_fixed(j, "latitude", lat, 7);
        json_kv_fixed(j, "longitude", lon, 7);
        if (exif_number(field_value(im, "exif-ifd3-GPSAltitude"), &alt)) {
                struct span ref = field_value(im, "exif-ifd3-GPSAltitudeRef");
                bool below = ref.n && (ref.p[0] == '1' || ref.p[0] == 'B'); /* 1, or libexif's "Below sea level" */
                json_kv_fixed(j, "altitude", below ? -alt : alt, 2);
        }
        json_end(j);
}

static void put_palette(struct json_out *j, const struct palette *p)
{
        json_key(j, "color_palette");
        json_arr(j);
        for (unsigned i = 0; i < p->n; i++) {
                char hex[8];
                g_snprintf(hex, sizeof hex, "#%02x%02x%02x", p->rgb[i][0], p->rgb[i][1], p->rgb[i][2]);
                json_put_str(j, hex);
        }
        json_end(j);
}

void media_meta(const struct media_file *f, const struct palette *palette, struct buf *out)
{
        struct json_out j;
        struct buf icc;
        json_out_init(&j, out);
        json_obj(&j);
        json_key(&j, "exif");
        json_obj(&j);
        for (size_t i = 0; i < COUNT_OF(tags); i++)
                put_tag(&j, i, field_value(f->im, tags[i].field));
        if (vips_image_get_typeof(f->im, "exif-ifd0-Orientation"))
                json_kv_int(&j, "Orientation", f->orientation);
        put_gps(&j, f->im);
        json_end(&j);
        put_palette(&j, palette);
        buf_init(&icc, 1024);
        if (icc_description(icc_profile(f->im), &icc)) {
                json_key(&j, "icc");
                json_put_span(&j, buf_span(&icc));
        }
        buf_done(&icc);
        if (f->pages > 1) {
                json_kv_bool(&j, "animated", true);
                json_kv_int(&j, "frames", f->pages);
        }
        json_end(&j);
}
