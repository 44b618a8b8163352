/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Containers whose first bytes only say "container": what is inside decides.
 * The hard thing is TIFF, which camera RAW formats share down to the byte:
 * IFD0 is walked as far as the head reaches.
 */
#include "sniff/sniff_priv.h"

/* ---- ISO base media (ISO/IEC 14496-12 section 4.3): brands ------------------ */

struct brand {
        char name[5];
        struct sniff_type type;
};

#define B(name, k, m, x)                                                                                               \
        {                                                                                                              \
                name,                                                                                                  \
                {                                                                                                      \
                        SNIFF_##k, m, x                                                                                \
                }                                                                                                      \
        }
/* Still pictures first: a file listing several brands is what the earliest row says. */
static const struct brand brands[] = {
        B("avif", IMAGE, "image/avif", "avif"),       B("heic", IMAGE, "image/heic", "heic"),
        B("heix", IMAGE, "image/heic", "heic"),       B("heim", IMAGE, "image/heic", "heic"),
        B("heis", IMAGE, "image/heic", "heic"),       B("mif1", IMAGE, "image/heif", "heif"),
        B("avis", IMAGE, "image/avif", "avif"),       B("hevc", IMAGE, "image/heic", "heic"),
        B("hevx", IMAGE, "image/heic", "heic"),       B("msf1", IMAGE, "image/heif", "heif"),
        B("crx ", IMAGE, "image/x-canon-cr3", "cr3"), B("M4A ", AUDIO, "audio/mp4", "m4a"),
        B("M4B ", AUDIO, "audio/mp4", "m4b"),         B("M4P ", AUDIO, "audio/mp4", "m4a"),
        B("M4V ", VIDEO, "video/x-m4v", "m4v"),       B("qt  ", VIDEO, "video/quicktime", "mov"),
};

static bool brand_of(struct span h, uint64_t at, struct sniff_type *out)
{
        for (size_t i = 0; i < COUNT_OF(brands); i++) {
                if (has_at(h, at, brands[i].name, 4)) {
                        *out = brands[i].type;
                        return true;
                }
        }
        if (HAS(h, at, "3gp") || HAS(h, at, "3g2")) {
                *out = TYPE(VIDEO, "video/3gpp", "3gp");
                return true;
        }
        return false;
}

static bool sniff_ftyp(struct span h, struct sniff_type *out)
{
        uint64_t end = u32_at(h, 0, true);
        if (!HAS(h, 4, "ftyp") || end < 8 || end > 65536)
                return false;
        if (end > h.n)
                end = h.n;
        struct sniff_type t;
        /* mif1 and msf1 only say "HEIF structure": the codec's brand, if it is listed, is more specific */
        bool major = brand_of(h, 8, &t);
        if (major && strcmp(t.mime, "image/heif")) {
                *out = t;
                return true;
        }
        bool still = major;
        for (uint64_t at = 16; still && at + 4 <= end; at += 4) {
                struct sniff_type c;
                if (brand_of(h, at, &c) && c.kind == SNIFF_IMAGE && strcmp(c.mime, "image/heif")) {
                        *out = c;
                        return true;
                }
        }
        *out = major ? t : TYPE(VIDEO, "video/mp4", "mp4");
        return true;
}

/* ---- RIFF, IFF, EBML, Ogg ----------------------------------------------------- */

static bool sniff_chunked(struct span h, struct sniff_type *out)
{
        bool riff = HAS(h, 0, "RIFF"), form = HAS(h, 0, "FORM");
        if (riff && HAS(h, 8, "WEBP"))
                *out = TYPE(IMAGE, "image/webp", "webp");
        else if ((riff || HAS(h, 0, "RF64")) && HAS(h, 8, "WAVE"))
                *out = TYPE(AUDIO, "audio/wav", "wav");
        else if (riff && HAS(h, 8, "AVI "))
                *out = TYPE(VIDEO, "video/x-msvideo", "avi");
        else if (form && (HAS(h, 8, "AIFF") || HAS(h, 8, "AIFC")))
                *out = TYPE(AUDIO, "audio/aiff", "aiff");
        else
                return false;
        return true;
}

static bool sniff_ebml(struct span h, struct sniff_type *out)
{
        if (!HAS(h, 0, "\x1a\x45\xdf\xa3"))
                return false;
        /* the DocType element (0x4282, RFC 8794 section 11.2.6) lies in the first bytes of the header */
        struct span start = {h.p, h.n < 128 ? h.n : 128};
        if (span_holds(start, "\x42\x82\x84webm"))
                *out = TYPE(VIDEO, "video/webm", "webm");
        else
                *out = TYPE(VIDEO, "video/x-matroska", "mkv");
        return true;
}

static bool sniff_ogg(struct span h, struct sniff_type *out)
{
        if (!HAS(h, 0, "OggS\0"))
                return false;
        struct span page = {h.p, h.n < 512 ? h.n : 512};
        if (span_holds(page, "\x80theora") || span_holds(page, "\x01video"))
                *out = TYPE(VIDEO, "video/ogg", "ogv");
        else if (span_holds(page, "OpusHead"))
                *out = TYPE(AUDIO, "audio/ogg", "opus");
        else
                *out = TYPE(AUDIO, "audio/ogg", "ogg");
        return true;
}

bool sniff_boxes(const struct sniff_input *in, struct sniff_type *out)
{
        struct span h = in->head;
        if (sniff_ftyp(h, out) || sniff_chunked(h, out) || sniff_ebml(h, out) || sniff_ogg(h, out))
                return true;
        /* QuickTime before ftyp existed begins with one of these boxes */
        uint32_t size = u32_at(h, 0, true);
        bool box = HAS(h, 4, "moov") || HAS(h, 4, "mdat") || HAS(h, 4, "wide") || HAS(h, 4, "pnot");
        if (box && (size == 1 || (size >= 8 && size <= in->size))) {
                *out = TYPE(VIDEO, "video/quicktime", "mov");
                return true;
        }
        return false;
}

/* ---- TIFF ------------------------------------------------------------------------ */

struct ifd0 {
        bool dng, sub_ifds, reduced;
        struct span make;
};

/* IFD0 of a classic TIFF as far as the head holds it (TIFF 6.0 section 2). */
static struct ifd0 read_ifd0(struct span h, bool big)
{
        struct ifd0 f = {0};
        uint64_t at = u32_at(h, 4, big);
        uint32_t n = u16_at(h, at, big);
        for (uint32_t i = 0; i < n && at + 14 + 12 * i <= h.n; i++) {
                uint64_t e = at + 2 + 12 * i;
                uint32_t count = u32_at(h, e + 4, big), value = u32_at(h, e + 8, big);
                switch (u16_at(h, e, big)) {
                case 0x00fe: /* NewSubfileType: bit 0, a reduced copy of another picture in the file */
                        f.reduced = value & 1;
                        break;
                case 0x010f:
                        if (count > 4 && value < h.n)
                                f.make = (struct span){h.p + value, count < h.n - value ? count : h.n - value};
                        break;
                case 0x014a:
                        f.sub_ifds = true;
                        break;
                case 0xc612: /* DNGVersion */
                        f.dng = true;
                        break;
                }
        }
        return f;
}

bool sniff_tiff(const struct sniff_input *in, struct sniff_type *out)
{
        struct span h = in->head;
        bool big = HAS(h, 0, "MM\0*") || HAS(h, 0, "MM\0+");
        if (!big && !HAS(h, 0, "II*\0") && !HAS(h, 0, "II+\0"))
                return false;
        *out = TYPE(IMAGE, "image/tiff", "tif");
        if (u16_at(h, 2, big) == 43) /* BigTIFF */
                return true;
        struct ifd0 f = read_ifd0(h, big);
        /* RAW: IFD0 is a small preview, the sensor's data lies in a SubIFD, the maker names itself */
        bool raw = f.sub_ifds && f.reduced;
        if (HAS(h, 8, "CR\2\0"))
                *out = TYPE(IMAGE, "image/x-canon-cr2", "cr2");
        else if (f.dng || sniff_name_ends(in->name, "dng"))
                *out = TYPE(IMAGE, "image/x-adobe-dng", "dng");
        else if ((raw && HAS(f.make, 0, "NIKON")) || sniff_name_ends(in->name, "nef"))
                *out = TYPE(IMAGE, "image/x-nikon-nef", "nef");
        else if ((raw && HAS(f.make, 0, "SONY")) || sniff_name_ends(in->name, "arw"))
                *out = TYPE(IMAGE, "image/x-sony-arw", "arw");
        return true;
}
