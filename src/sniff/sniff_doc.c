/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ZIP and OLE documents, and streams that have no header but repeat a sync word. The hard thing is to be sure with
 * little evidence: a ZIP's names may be in the head (local headers) or only in the tail (central directory), and a
 * sync word must be followed by another one where the first frame ends.
 */
#include "sniff/sniff_priv.h"

/* ---- ZIP (APPNOTE 4.3.7 local headers, 4.3.12 central directory) --------------- */

struct zip_kind {
        const char *prefix; /* of a member's name */
        struct sniff_type type;
};

#define OOXML "application/vnd.openxmlformats-officedocument."
static const struct zip_kind ooxml[] = {
        {"word/", {SNIFF_DOCUMENT, OOXML "wordprocessingml.document", "docx"}},
        {"xl/", {SNIFF_DOCUMENT, OOXML "spreadsheetml.sheet", "xlsx"}},
        {"ppt/", {SNIFF_DOCUMENT, OOXML "presentationml.presentation", "pptx"}},
};
/* The first member is named "mimetype" and stored plainly: its contents are the type. */
static const struct zip_kind by_mimetype[] = {
        {"application/vnd.oasis.opendocument.text", {SNIFF_DOCUMENT, "application/vnd.oasis.opendocument.text", "odt"}},
        {"application/vnd.oasis.opendocument.spreadsheet",
         {SNIFF_DOCUMENT, "application/vnd.oasis.opendocument.spreadsheet", "ods"}},
        {"application/vnd.oasis.opendocument.presentation",
         {SNIFF_DOCUMENT, "application/vnd.oasis.opendocument.presentation", "odp"}},
        {"application/epub+zip", {SNIFF_DOCUMENT, "application/epub+zip", "epub"}},
};

/*
 * Every member name that stands behind the mark in s: at header + fixed, its
 * length at header + len_at. True when one of them has a prefix of the table.
 */
static bool zip_names(struct span s, const char *mark, uint64_t len_at, uint64_t fixed, struct sniff_type *out)
{
        bool types = false, found = false;
        for (const char *p = s.p, *end = s.p + s.n; p && (p = memmem(p, (size_t)(end - p), mark, 4)); p += 4) {
                uint64_t at = (uint64_t)(p - s.p);
                uint64_t n = u16_at(s, at + len_at, false);
                if (at + fixed > s.n || n > s.n - at - fixed)
                        continue;
                struct span name = {s.p + at + fixed, n};
                types |= span_eq(name, "[Content_Types].xml");
                for (size_t i = 0; i < COUNT_OF(ooxml) && !found; i++) {
                        if (has_at(name, 0, ooxml[i].prefix, strlen(ooxml[i].prefix))) {
                                *out = ooxml[i].type;
                                found = true;
                        }
                }
        }
        return found && types;
}

bool sniff_zip(const struct sniff_input *in, struct sniff_type *out)
{
        struct span h = in->head;
        if (!HAS(h, 0, "PK\3\4") && !HAS(h, 0, "PK\5\6"))
                return false;
        *out = TYPE(FILE, "application/zip", "zip");
        if (HAS(h, 30, "mimetype")) {
                uint64_t at = 38 + u16_at(h, 28, false);
                uint64_t n = u32_at(h, 18, false);
                for (size_t i = 0; i < COUNT_OF(by_mimetype); i++) {
                        size_t len = strlen(by_mimetype[i].prefix);
                        /* length 0: written with a data descriptor, the size comes later */
                        if ((n == len || !n) && has_at(h, at, by_mimetype[i].prefix, len)) {
                                *out = by_mimetype[i].type;
                                return true;
                        }
                }
        }
        struct sniff_type t;
        if (zip_names(h, "PK\3\4", 26, 30, &t) || (in->tail.n && zip_names(in->tail, "PK\1\2", 28, 46, &t)))
                *out = t;
        else if (sniff_name_ends(in->name, "apk"))
                *out = TYPE(FILE, "application/vnd.android.package-archive", "apk");
        else if (sniff_name_ends(in->name, "jar"))
                *out = TYPE(FILE, "application/java-archive", "jar");
        return true;
}

/* ---- OLE compound files ([MS-CFB] 2.6: names of streams are UTF-16LE) -------------- */

static bool holds_wide(struct span s, const char *name)
{
        char wide[64];
        size_t n = strlen(name);
        for (size_t i = 0; i < n; i++) {
                wide[2 * i] = name[i];
                wide[2 * i + 1] = 0;
        }
        return s.n && memmem(s.p, s.n, wide, 2 * n) != NULL;
}

bool sniff_ole(const struct sniff_input *in, struct sniff_type *out)
{
        static const struct {
                const char *stream, *ext;
                struct sniff_type type;
        } kinds[] = {
                {"WordDocument", "doc", {SNIFF_DOCUMENT, "application/msword", "doc"}},
                {"Workbook", "xls", {SNIFF_DOCUMENT, "application/vnd.ms-excel", "xls"}},
                {"PowerPoint Document", "ppt", {SNIFF_DOCUMENT, "application/vnd.ms-powerpoint", "ppt"}},
        };
        if (!HAS(in->head, 0, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"))
                return false;
        *out = TYPE(FILE, "application/x-ole-storage", "");
        for (size_t i = 0; i < COUNT_OF(kinds); i++) {
                if (holds_wide(in->head, kinds[i].stream) || holds_wide(in->tail, kinds[i].stream)) {
                        *out = kinds[i].type;
                        return true;
                }
        }
        for (size_t i = 0; i < COUNT_OF(kinds); i++)
                if (sniff_name_ends(in->name, kinds[i].ext))
                        *out = kinds[i].type;
        return true;
}

/* ---- streams ------------------------------------------------------------------------ */

/* Bytes of the MPEG layer III frame at i (ISO/IEC 11172-3 section 2.4.2.3), 0 when it is none. */
static uint32_t mp3_frame(struct span h, uint64_t i)
{
        static const uint16_t kbit[2][16] = {
                {0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0},      /* MPEG 2 and 2.5 */
                {0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0}}; /* MPEG 1 */
        static const uint16_t hertz[4][4] = {
                {11025, 12000, 8000, 0}, {0}, {22050, 24000, 16000, 0}, {44100, 48000, 32000, 0}};
        uint32_t w = u32_at(h, i, true);
        uint32_t version = w >> 19 & 3, layer = w >> 17 & 3;
        if (w >> 21 != 0x7ff || version == 1 || layer != 1)
                return 0;
        uint32_t rate = hertz[version][w >> 10 & 3], kb = kbit[version == 3][w >> 12 & 15];
        if (!rate || !kb)
                return 0;
        return (version == 3 ? 144000 : 72000) * kb / rate + (w >> 9 & 1);
}

/* Bytes of the ADTS frame at i (ISO/IEC 13818-7 section 6.2), 0 when it is none. */
static uint32_t adts_frame(struct span h, uint64_t i)
{
        uint32_t w = u32_at(h, i, true);
        if (w >> 20 != 0xfff || (w >> 17 & 3) != 0 || (w >> 10 & 15) > 12)
                return 0;
        uint32_t n = (w & 3) << 11 | (uint32_t)u8_at(h, i + 4) << 3 | u8_at(h, i + 5) >> 5;
        return n > 7 ? n : 0;
}

static bool has_frames(const struct sniff_input *in, uint32_t (*frame)(struct span, uint64_t))
{
        uint64_t first = frame(in->head, 0);
        if (!first)
                return false;
        uint64_t second = frame(in->head, first);
        return second && (first + second + 4 > in->head.n || frame(in->head, first + second));
}

bool sniff_stream(const struct sniff_input *in, struct sniff_type *out)
{
        struct span h = in->head;
        if (has_frames(in, mp3_frame))
                *out = TYPE(AUDIO, "audio/mpeg", "mp3");
        else if (has_frames(in, adts_frame))
                *out = TYPE(AUDIO, "audio/aac", "aac");
        else if (u8_at(h, 0) == 0x47 && u8_at(h, 188) == 0x47 && u8_at(h, 376) == 0x47 && u8_at(h, 564) == 0x47)
                *out = TYPE(VIDEO, "video/mp2t", "ts");
        else if (u8_at(h, 4) == 0x47 && u8_at(h, 196) == 0x47 && u8_at(h, 388) == 0x47 && u8_at(h, 580) == 0x47)
                *out = TYPE(VIDEO, "video/mp2t", "m2ts");
        else
                return false;
        return true;
}
