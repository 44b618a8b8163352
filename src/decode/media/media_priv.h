/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures inside the decoder: opening a file safely, getting its pixels as
 * upright 8-bit RGB, and what is made of them. Memory of pixels is glib's
 * (g_free), because libvips hands most of it out. Functions of this folder
 * return 0 or -1 with a message fit for the person who uploaded the file.
 */
#ifndef FA_DECODE_MEDIA_PRIV_H
#define FA_DECODE_MEDIA_PRIV_H

#include <vips/vips.h>
#include "base/base.h"
#include "jail/protocol.h"
#include "json/json.h"

/* ---- picture.c ------------------------------------------------------------------ */

/* Rows top-down, three bytes a pixel, no padding. */
struct picture {
        uint8_t *px;
        uint32_t w, h;
};
void picture_done(struct picture *p);
/* Uninitialised pixels. */
int picture_new(struct picture *p, uint32_t w, uint32_t h, struct err *e) MUST_CHECK;

/* ---- load.c: from a descriptor to a lazy image ------------------------------- */

struct media_file {
        VipsImage *im;   /* not decoded yet; already shrunk when shrink > 1 and the format can */
        char format[16]; /* of the reply */
        uint32_t w, h;   /* of the file, before orientation */
        uint32_t pages;
        int orientation; /* EXIF 1 to 8 */
        unsigned shrink; /* whole factor that leaves enough pixels for every product */
        bool shrunk;     /* the loader does it */
};
int media_open(int fd, const struct decode_request *want, struct media_file *f, struct err *e) MUST_CHECK;
void media_close(struct media_file *f);
/* ERR_CORRUPT with libvips' reason made printable, or ERR_OOM. Clears libvips' buffer. */
int media_vips_error(struct err *e, const char *what);

/* ---- shrink.c --------------------------------------------------------------------- */

/* The largest whole factor that keeps every model's crop and every product above its size. Pure. */
unsigned media_shrink(uint32_t w, uint32_t h, const struct decode_request *want);

/* ---- pixels.c: from a lazy image to RGB --------------------------------------- */

/*
 * model: colours as stored (profiles ignored), alpha over white. view: what
 * people should see where that differs (CMYK with a profile); else empty.
 * Both upright.
 */
int media_pixels(const struct media_file *f, struct picture *model, struct picture *view, struct err *e) MUST_CHECK;

/* ---- samples.c: arithmetic, pure --------------------------------------------------- */

/* bands 1 to 4; may work in place */
void samples_blend_white(const uint8_t *in, unsigned bands, size_t n, uint8_t *rgb);
void samples_from_cmyk(const uint8_t *in, size_t n, uint8_t *rgb);                /* may work in place */
void samples_from_float(const float *in, unsigned bands, size_t n, uint8_t *out); /* scaled to 0..255 by its range */

/* ---- turn.c --------------------------------------------------------------------- */

/* Turn upright by an EXIF orientation (2 to 8; others leave it). Replaces *p. */
int picture_turn(struct picture *p, int orientation, struct err *e) MUST_CHECK;

/* ---- resize.c ---------------------------------------------------------------------- */

struct box {
        double x, y, w, h; /* in source pixels; the filter may reach beyond it */
};
/* Separable triangle filter with antialiasing, horizontal pass first, 8-bit in between; bit-exact with Pillow's. */
int picture_resize(const struct picture *in, struct box box, uint32_t w, uint32_t h, struct picture *out,
                   struct err *e) MUST_CHECK;

/* ---- icc.c -------------------------------------------------------------------------- */

/* The profile's description into out as UTF-8; false when there is none to read. Pure, total. */
bool icc_description(struct span profile, struct buf *out);
/* The embedded profile, empty when absent. Lives with im. */
struct span icc_profile(VipsImage *im);
/* Convert *p (RGB) in place from the profile to sRGB. A profile that does not work leaves it as it is. */
void icc_to_srgb(struct picture *p, struct span profile);
/* The same from CMYK; false when the profile does not work. */
bool icc_cmyk_to_srgb(const uint8_t *cmyk, uint32_t w, uint32_t h, struct span profile, struct picture *out);

/* ---- phash.c, palette.c --------------------------------------------------------------- */

int picture_phash(const struct picture *p, uint64_t *hash, struct err *e) MUST_CHECK;
struct palette {
        unsigned n;
        uint8_t rgb[5][3]; /* most frequent first */
};
void picture_palette(const struct picture *p, struct palette *out);

/* ---- exif.c: text that libvips made of EXIF; pure, total --------------------------------- */

/* libvips writes "value (value, type, n components, m bytes)": the value. */
struct span exif_value(struct span field);
/* At most 256 bytes of well-formed UTF-8, control characters to spaces, trimmed. */
void exif_clean(struct span raw, struct buf *out);
bool exif_number(struct span value, double *out); /* "28/10", "100", "-1/3" */
/* "48/1 30/1 0/1" and "N" to signed decimal degrees. */
bool exif_degrees(struct span value, struct span ref, double *out);

/* ---- meta.c, encode.c ----------------------------------------------------------------------- */

void media_meta(const struct media_file *f, const struct palette *palette, struct buf *out);
/* *out is glib's (g_free). */
int encode_webp(const struct picture *p, void **out, size_t *n, struct err *e) MUST_CHECK;
int encode_jpeg(const struct picture *p, void **out, size_t *n, struct err *e) MUST_CHECK;

#endif
