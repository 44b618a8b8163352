/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a descriptor to an image that is not decoded yet. The hard part: the header alone decides whether decoding may
 * begin, so a few bytes that claim gigapixels cost nothing.
 */
#include <sys/stat.h>
#include <unistd.h>
#include "decode/media/media_priv.h"
#include "sniff/sniff.h"

/* ---- which loader -------------------------------------------------------------- */

enum loader { LOAD_JPEG, LOAD_PNG, LOAD_WEBP, LOAD_GIF, LOAD_TIFF, LOAD_HEIF, LOAD_JXL };

/* Modules of libvips may be missing. */
static const char *const operations[] = {
        [LOAD_JPEG] = "jpegload_source", [LOAD_PNG] = "pngload_source",   [LOAD_WEBP] = "webpload_source",
        [LOAD_GIF] = "gifload_source",   [LOAD_TIFF] = "tiffload_source", [LOAD_HEIF] = "heifload_source",
        [LOAD_JXL] = "jxlload_source",
};

static const struct {
        const char *mime, *format;
        enum loader loader;
} loaders[] = {
        {"image/jpeg", "jpeg", LOAD_JPEG}, {"image/png", "png", LOAD_PNG},    {"image/webp", "webp", LOAD_WEBP},
        {"image/gif", "gif", LOAD_GIF},    {"image/tiff", "tiff", LOAD_TIFF}, {"image/heic", "heif", LOAD_HEIF},
        {"image/heif", "heif", LOAD_HEIF}, {"image/avif", "avif", LOAD_HEIF}, {"image/jxl", "jxl", LOAD_JXL},
};

static struct sniff_type sniff_file(int fd, struct err *e)
{
        char head[SNIFF_HEAD], tail[SNIFF_TAIL];
        struct stat st;
        struct sniff_type none = {0};
        if (fstat(fd, &st) || !S_ISREG(st.st_mode)) {
                err_set(e, ERR_INVALID, "not a regular file");
                return none;
        }
        off_t from = st.st_size > SNIFF_TAIL ? st.st_size - SNIFF_TAIL : 0;
        ssize_t nh = pread(fd, head, sizeof head, 0), nt = pread(fd, tail, sizeof tail, from);
        if (nh < 0 || nt < 0) {
                err_errno(e, EIO, "cannot read the file");
                return none;
        }
        struct sniff_input in = {.head = {head, (size_t)nh}, .tail = {tail, (size_t)nt}, .size = (uint64_t)st.st_size};
        return sniff(&in);
}

static int choose_loader(int fd, struct media_file *f, enum loader *loader, struct err *e)
{
        struct sniff_type t = sniff_file(fd, e);
        if (!t.mime)
                return -1;
        for (size_t i = 0; i < COUNT_OF(loaders); i++) {
                if (!strcmp(t.mime, loaders[i].mime)) {
                        if (!vips_type_find("VipsOperation", operations[loaders[i].loader]))
                                return err_set(e, ERR_UNSUPPORTED, "this libvips has no loader for %s", t.mime);
                        g_strlcpy(f->format, loaders[i].format, sizeof f->format);
                        *loader = loaders[i].loader;
                        return 0;
                }
        }
        if (!strcmp(t.mime, "application/x-empty"))
                return err_set(e, ERR_CORRUPT, "the file is empty");
        return err_set(e, ERR_UNSUPPORTED, "not a picture this service decodes: it looks like %s", t.mime);
}

/* Reads the header; pixels are read when they are asked for. */
static VipsImage *load_header(int fd, enum loader loader, unsigned shrink)
{
        VipsSource *src = vips_source_new_from_descriptor(fd);
        VipsImage *im = NULL;
        int r = -1;
        if (!src)
                return NULL;
#define COMMON "access", VIPS_ACCESS_SEQUENTIAL, "fail_on", VIPS_FAIL_ON_TRUNCATED, NULL
        switch (loader) {
        case LOAD_JPEG:
                r = vips_jpegload_source(src, &im, "shrink", (int)shrink, COMMON);
                break;
        case LOAD_PNG:
                r = vips_pngload_source(src, &im, COMMON);
                break;
        case LOAD_WEBP:
                r = vips_webpload_source(src, &im, "scale", 1.0 / shrink, COMMON);
                break;
        case LOAD_GIF:
                r = vips_gifload_source(src, &im, COMMON);
                break;
        case LOAD_TIFF:
                r = vips_tiffload_source(src, &im, COMMON);
                break;
        case LOAD_HEIF:
                r = vips_heifload_source(src, &im, COMMON);
                break;
        case LOAD_JXL:
                r = vips_jxlload_source(src, &im, COMMON);
                break;
        }
#undef COMMON
        g_object_unref(src);
        return r ? NULL : im;
}

/* ---- checks ----------------------------------------------------------------------- */

int media_vips_error(struct err *e, const char *what)
{
        char reason[120];
        const char *text = vips_error_buffer();
        enum err_code code = strstr(text, "out of memory") ? ERR_OOM : ERR_CORRUPT;
        size_t n = 0;
        /* parts of the message may come from the file: keep printable ASCII of the first line */
        for (const char *p = text; *p && *p != '\n' && n + 1 < sizeof reason; p++)
                reason[n++] = *p >= 0x20 && *p < 0x7f ? *p : '?';
        reason[n] = 0;
        vips_error_clear();
        return err_set(e, code, "%s: %s", what, n ? reason : "no reason given");
}

static int check_pixels(const struct media_file *f, uint64_t max, struct err *e)
{
        uint64_t area = (uint64_t)f->w * f->h;
        if (!area || !f->pages)
                return err_set(e, ERR_CORRUPT, "the picture has no pixels (%ux%u)", f->w, f->h);
        if (area > max || f->pages > max / area)
                return err_set(e, ERR_TOO_LARGE,
                               "the picture has %" G_GUINT64_FORMAT
                               " pixels (%ux%u, %u page%s), more than the limit of %" G_GUINT64_FORMAT,
                               area * f->pages, f->w, f->h, f->pages, f->pages == 1 ? "" : "s", max);
        return 0;
}

int media_open(int fd, const struct decode_request *want, struct media_file *f, struct err *e)
{
        enum loader loader = LOAD_JPEG;
        *f = (struct media_file){0};
        if (choose_loader(fd, f, &loader, e))
                return -1;
        f->im = load_header(fd, loader, 1);
        if (!f->im)
                return media_vips_error(e, "the picture's header is damaged");
        f->w = (uint32_t)f->im->Xsize;
        f->h = (uint32_t)f->im->Ysize;
        f->pages = (uint32_t)vips_image_get_n_pages(f->im);
        f->orientation = vips_image_get_orientation(f->im);
        int rc = check_pixels(f, want->max_pixels, e);
        if (!rc) {
                f->shrink = media_shrink(f->w, f->h, want);
                f->shrunk = f->shrink > 1 && (loader == LOAD_JPEG || loader == LOAD_WEBP);
        }
        if (!rc && f->shrunk) {
                g_object_unref(f->im);
                f->im = load_header(fd, loader, f->shrink);
                rc = f->im ? 0 : media_vips_error(e, "the picture is damaged");
        }
        if (rc)
                media_close(f);
        return rc;
}

void media_close(struct media_file *f)
{
        g_clear_object(&f->im);
}
