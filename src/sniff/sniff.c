/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The signature table and the order of questions. The hard thing is the
 * order: strong signatures first, weak ones (two bytes, frame syncs) only with
 * a check of the fields behind them, text last, names never before bytes.
 */
#include "sniff/sniff_priv.h"

struct signature {
        uint16_t offset;
        uint8_t n;
        const char *bytes;
        struct sniff_type type;
};

#define SIG(off, lit, ...)                                                                                             \
        {                                                                                                              \
                (off), sizeof(lit) - 1, (lit), __VA_ARGS__                                                             \
        }
#define T(k, m, x)                                                                                                     \
        {                                                                                                              \
                SNIFF_##k, (m), (x)                                                                                    \
        }
static const struct signature signatures[] = {
        SIG(0, "\xff\xd8\xff", T(IMAGE, "image/jpeg", "jpg")),
        SIG(0, "\x89PNG\r\n\x1a\n", T(IMAGE, "image/png", "png")),
        SIG(0, "GIF87a", T(IMAGE, "image/gif", "gif")),
        SIG(0, "GIF89a", T(IMAGE, "image/gif", "gif")),
        SIG(0, "\0\0\0\x0cJXL \r\n\x87\n", T(IMAGE, "image/jxl", "jxl")),
        SIG(0, "\0\0\0\x0cjP  \r\n\x87\n", T(IMAGE, "image/jp2", "jp2")),
        SIG(0, "\xff\x4f\xff\x51", T(IMAGE, "image/jp2", "j2k")),
        SIG(0, "8BPS\0\1", T(IMAGE, "image/vnd.adobe.photoshop", "psd")),
        SIG(0, "8BPS\0\2", T(IMAGE, "image/vnd.adobe.photoshop", "psb")),
        SIG(0, "FUJIFILMCCD-RAW ", T(IMAGE, "image/x-fuji-raf", "raf")),
        SIG(0, "IIRO\x08\0", T(IMAGE, "image/x-olympus-orf", "orf")),
        SIG(0, "IIRS\x08\0", T(IMAGE, "image/x-olympus-orf", "orf")),
        SIG(0, "IIU\0", T(IMAGE, "image/x-panasonic-rw2", "rw2")),
        SIG(0, "v/1\x01", T(IMAGE, "image/x-exr", "exr")),
        SIG(0, "FLV\1", T(VIDEO, "video/x-flv", "flv")),
        SIG(0, "\0\0\1\xba", T(VIDEO, "video/mpeg", "mpg")),
        SIG(0, "\0\0\1\xb3", T(VIDEO, "video/mpeg", "mpg")),
        SIG(0, "\x30\x26\xb2\x75\x8e\x66\xcf\x11", T(VIDEO, "video/x-ms-asf", "wmv")),
        SIG(0, "ID3\2", T(AUDIO, "audio/mpeg", "mp3")),
        SIG(0, "ID3\3", T(AUDIO, "audio/mpeg", "mp3")),
        SIG(0, "ID3\4", T(AUDIO, "audio/mpeg", "mp3")),
        SIG(0, "fLaC", T(AUDIO, "audio/flac", "flac")),
        SIG(0, "MThd\0\0\0\6", T(AUDIO, "audio/midi", "mid")),
        SIG(0, "#!AMR\n", T(AUDIO, "audio/amr", "amr")),
        SIG(0, "%PDF-", T(DOCUMENT, "application/pdf", "pdf")),
        SIG(0, "{\\rtf", T(DOCUMENT, "application/rtf", "rtf")),
        SIG(0, "%!PS-Adobe", T(DOCUMENT, "application/postscript", "ps")),
        SIG(0, "\x1f\x8b\x08", T(FILE, "application/gzip", "gz")),
        SIG(0,
            "\xfd"
            "7zXZ\0",
            T(FILE, "application/x-xz", "xz")),
        SIG(0, "\x28\xb5\x2f\xfd", T(FILE, "application/zstd", "zst")),
        SIG(0, "\x04\x22\x4d\x18", T(FILE, "application/x-lz4", "lz4")),
        SIG(0, "7z\xbc\xaf\x27\x1c", T(FILE, "application/x-7z-compressed", "7z")),
        SIG(0, "Rar!\x1a\x07", T(FILE, "application/vnd.rar", "rar")),
        SIG(0,
            "\x7f"
            "ELF",
            T(FILE, "application/x-elf", "")),
        SIG(0, "SQLite format 3\0", T(FILE, "application/vnd.sqlite3", "sqlite")),
        SIG(0, "\0asm\1\0\0\0", T(FILE, "application/wasm", "wasm")),
        SIG(0, "wOFF", T(FILE, "font/woff", "woff")),
        SIG(0, "wOF2", T(FILE, "font/woff2", "woff2")),
        SIG(0, "OTTO\0", T(FILE, "font/otf", "otf")),
        SIG(0, "\0\1\0\0\0", T(FILE, "font/ttf", "ttf")),
        SIG(0, "ttcf\0", T(FILE, "font/collection", "ttc")),
        SIG(0, "!<arch>\n", T(FILE, "application/x-archive", "a")),
        SIG(0, "\xca\xfe\xba\xbe\0\0\0", T(FILE, "application/java-vm", "class")),
        SIG(257, "ustar\0", T(FILE, "application/x-tar", "tar")),
        SIG(257, "ustar ", T(FILE, "application/x-tar", "tar")),
};

static bool sniff_signature(struct span head, struct sniff_type *out)
{
        for (size_t i = 0; i < COUNT_OF(signatures); i++) {
                const struct signature *s = &signatures[i];
                if (has_at(head, s->offset, s->bytes, s->n)) {
                        *out = s->type;
                        return true;
                }
        }
        return false;
}

/* Two- and four-byte marks that ordinary data may begin with: believed only with the fields behind them. */
static bool sniff_weak(const struct sniff_input *in, struct sniff_type *out)
{
        struct span h = in->head;
        uint32_t dib = u32_at(h, 14, false);
        if (HAS(h, 0, "BM") && h.n >= 26 && u32_at(h, 6, false) == 0 &&
            (dib == 12 || dib == 40 || dib == 52 || dib == 56 || dib == 64 || dib == 108 || dib == 124)) {
                *out = TYPE(IMAGE, "image/bmp", "bmp");
                return true;
        }
        /* an icon: 1 to 255 entries, the first one's reserved byte 0 and its data behind the directory */
        uint32_t icons = u16_at(h, 4, false);
        if (HAS(h, 0, "\0\0\1\0") && h.n >= 22 && icons >= 1 && icons <= 255 && u8_at(h, 9) == 0 &&
            u32_at(h, 18, false) >= 6 + 16 * icons && u32_at(h, 18, false) < in->size) {
                *out = TYPE(IMAGE, "image/vnd.microsoft.icon", "ico");
                return true;
        }
        if (HAS(h, 0, "\xff\x0a") && h.n >= 12) {
                *out = TYPE(IMAGE, "image/jxl", "jxl");
                return true;
        }
        if (HAS(h, 0, "BZh") && u8_at(h, 3) >= '1' && u8_at(h, 3) <= '9' && HAS(h, 4, "\x31\x41\x59\x26\x53\x59")) {
                *out = TYPE(FILE, "application/x-bzip2", "bz2");
                return true;
        }
        if (HAS(h, 0, "MZ") && h.n >= 64 && u32_at(h, 60, false) >= 64 && u32_at(h, 60, false) < in->size) {
                *out = TYPE(FILE, "application/vnd.microsoft.portable-executable", "exe");
                return true;
        }
        return false;
}

struct sniff_type sniff(const struct sniff_input *in)
{
        struct sniff_type t;
        if (!in->size || !in->head.n)
                return TYPE(FILE, "application/x-empty", "");
        if (sniff_signature(in->head, &t) || sniff_boxes(in, &t) || sniff_tiff(in, &t) || sniff_zip(in, &t) ||
            sniff_ole(in, &t) || sniff_weak(in, &t) || sniff_stream(in, &t) || sniff_text(in, &t))
                return t;
        return UNKNOWN;
}
