/* SPDX-License-Identifier: Apache-2.0 */
/* What bytes are: one row per format, then the cases that must not be confused. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "sniff/sniff.h"

struct row {
        struct span bytes; /* zeros follow, up to 1,024 bytes */
        const char *name, *mime;
};
#define ROW(lit, ...)                                                                                                  \
        {                                                                                                              \
                {(lit), sizeof(lit) - 1}, __VA_ARGS__                                                                  \
        }

static struct sniff_type look(const void *p, size_t n, const char *name)
{
        struct sniff_input in = {
                .head = {p, n < SNIFF_HEAD ? n : SNIFF_HEAD},
                .tail = {(const char *)p + (n > SNIFF_TAIL ? n - SNIFF_TAIL : 0), n < SNIFF_TAIL ? n : SNIFF_TAIL},
                .size = n,
                .name = span_of(name),
        };
        return sniff(&in);
}

static const struct row binary[] = {
        ROW("\xff\xd8\xff\xe0", "", "image/jpeg"),
        ROW("\x89PNG\r\n\x1a\n", "", "image/png"),
        ROW("GIF87a", "", "image/gif"),
        ROW("GIF89a", "", "image/gif"),
        ROW("RIFF\0\0\0\0WEBPVP8 ", "", "image/webp"),
        ROW("II*\0\x08\0\0\0", "", "image/tiff"),
        ROW("MM\0*\0\0\0\x08", "", "image/tiff"),
        ROW("II+\0\x08\0\0\0", "", "image/tiff"),
        ROW("\0\0\0\x1c"
            "ftypavif\0\0\0\0avifmif1miaf",
            "", "image/avif"),
        ROW("\0\0\0\x18"
            "ftypheic\0\0\0\0mif1heic",
            "", "image/heic"),
        ROW("\0\0\0\x18"
            "ftypmif1\0\0\0\0mif1heic",
            "", "image/heic"),
        ROW("\0\0\0\x18"
            "ftypmif1\0\0\0\0mif1avif",
            "", "image/avif"),
        ROW("\0\0\0\x14"
            "ftypmif1\0\0\0\0mif1",
            "", "image/heif"),
        ROW("BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0", "", "image/bmp"),
        ROW("\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\0\0\0\x16\0\0\0", "", "image/vnd.microsoft.icon"),
        ROW("\0\0\0\x0cJXL \r\n\x87\n", "", "image/jxl"),
        ROW("\xff\x0a\xfa\x7f", "", "image/jxl"),
        ROW("\0\0\0\x0cjP  \r\n\x87\n", "", "image/jp2"),
        ROW("8BPS\0\1", "", "image/vnd.adobe.photoshop"),
        ROW("II*\0\x10\0\0\0CR\2\0", "a.cr2", "image/x-canon-cr2"),
        ROW("II*\0\x08\0\0\0\1\0\x12\xc6\1\0\4\0\0\0\1\4\0\0", "", "image/x-adobe-dng"),
        ROW("MM\0*\0\0\0\x08\0\3\0\xfe\0\4\0\0\0\1\0\0\0\1\1\x0f\0\2\0\0\0\x06\0\0\0\x40\1\x4a\0\4\0\0\0\1\0\0\0\x50"
            "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0NIKON",
            "", "image/x-nikon-nef"),
        ROW("II*\0\x08\0\0\0", "DSC0.ARW", "image/x-sony-arw"),
        ROW("\0\0\0\x18"
            "ftypisom\0\0\0\0isommp42",
            "", "video/mp4"),
        ROW("\0\0\0\x14"
            "ftypqt  \0\0\0\0qt  ",
            "", "video/quicktime"),
        ROW("\0\0\0\x14"
            "ftypM4V \0\0\0\0M4V ",
            "", "video/x-m4v"),
        ROW("\0\0\0\x14"
            "ftyp3gp5\0\0\0\0isom",
            "", "video/3gpp"),
        ROW("\0\0\0\x14"
            "ftypM4A \0\0\0\0M4A ",
            "", "audio/mp4"),
        ROW("\0\0\0\x08wide\0\0\0\0mdat", "", "video/quicktime"),
        ROW("\x1a\x45\xdf\xa3\x9f\x42\x86\x81\1\x42\x82\x84webm", "", "video/webm"),
        ROW("\x1a\x45\xdf\xa3\xa3\x42\x82\x88matroska", "", "video/x-matroska"),
        ROW("RIFF\0\0\0\0AVI LIST", "", "video/x-msvideo"),
        ROW("FLV\1\5", "", "video/x-flv"),
        ROW("\0\0\1\xba\x44", "", "video/mpeg"),
        ROW("OggS\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x2a\x80theora", "", "video/ogg"),
        ROW("OggS\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\x13OpusHead", "", "audio/ogg"),
        ROW("ID3\4\0\0", "", "audio/mpeg"),
        ROW("fLaC\0\0\0\x22", "", "audio/flac"),
        ROW("RIFF\0\0\0\0WAVEfmt ", "", "audio/wav"),
        ROW("FORM\0\0\0\0AIFFCOMM", "", "audio/aiff"),
        ROW("MThd\0\0\0\6\0\1", "", "audio/midi"),
        ROW("%PDF-1.7\n", "", "application/pdf"),
        ROW("{\\rtf1\\ansi", "", "application/rtf"),
        ROW("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
            "W\0o\0r\0d\0D\0o\0c\0u\0m\0e\0n\0t\0",
            "", "application/msword"),
        ROW("\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "a.xls", "application/vnd.ms-excel"),
        ROW("PK\3\4\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\x14\0\0\0\x14\0\0\0\x08\0\0\0mimetypeapplication/epub+zip", "",
            "application/epub+zip"),
        ROW("PK\3\4\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\x27\0\0\0\x27\0\0\0\x08\0\0\0mimetype"
            "application/vnd.oasis.opendocument.text",
            "", "application/vnd.oasis.opendocument.text"),
        ROW("PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x13\0\0\0[Content_Types].xml"
            "PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0f\0\0\0xl/workbook.xml",
            "a.zip", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
        ROW("PK\3\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x05\0\0\0a.txt", "fake.docx", "application/zip"),
        ROW("\x1f\x8b\x08\0", "", "application/gzip"),
        ROW("\xfd"
            "7zXZ\0",
            "", "application/x-xz"),
        ROW("\x28\xb5\x2f\xfd", "", "application/zstd"),
        ROW("BZh9\x31\x41\x59\x26\x53\x59", "", "application/x-bzip2"),
        ROW("7z\xbc\xaf\x27\x1c", "", "application/x-7z-compressed"),
        ROW("Rar!\x1a\x07\1\0", "", "application/vnd.rar"),
        ROW("\x7f"
            "ELF\2\1\1",
            "", "application/x-elf"),
        ROW("SQLite format 3\0", "", "application/vnd.sqlite3"),
        ROW("\0asm\1\0\0\0", "", "application/wasm"),
        ROW("wOF2\0\1\0\0", "", "font/woff2"),
        ROW("\0\1\0\0\0\x0f", "", "font/ttf"),
        ROW("\xde\xad\xbe\xef", "photo.jpg", "application/octet-stream"),
};

static void binary_signatures_are_known(void **state)
{
        (void)state;
        for (size_t i = 0; i < COUNT_OF(binary); i++) {
                char file[1024] = {0};
                memcpy(file, binary[i].bytes.p, binary[i].bytes.n);
                struct sniff_type t = look(file, sizeof file, binary[i].name);
                if (strcmp(t.mime, binary[i].mime))
                        fail_msg("row %zu: %s, not %s", i, t.mime, binary[i].mime);
        }
}

static void text_is_told_apart(void **state)
{
        static const struct {
                const char *text, *name, *mime;
                enum sniff_kind kind;
        } rows[] = {
                {"Hello there.\n", "photo.jpg", "text/plain", SNIFF_DOCUMENT},
                {"GIF is a format, says he.\n", "a.gif", "text/plain", SNIFF_DOCUMENT},
                {"# Title\n", "readme.md", "text/markdown", SNIFF_DOCUMENT},
                {"a,b\n1,2\n", "t.CSV", "text/csv", SNIFF_DOCUMENT},
                {"a,b\n1,2\n", "t.txt", "text/plain", SNIFF_DOCUMENT},
                {"<!DOCTYPE html><p>x", "a.svg", "text/html", SNIFF_DOCUMENT},
                {"<!-- <svg> -->\n<html><svg></svg>", "a.png", "text/html", SNIFF_DOCUMENT},
                {"\xef\xbb\xbf  <HTML>", "", "text/html", SNIFF_DOCUMENT},
                {"<script>alert(1)</script><svg/>", "a.jpg", "text/html", SNIFF_DOCUMENT},
                {"<?xml version=\"1.0\"?>\n<svg xmlns=\"x\"/>", "", "image/svg+xml", SNIFF_IMAGE},
                {"<?xml version=\"1.0\"?><note/>", "", "application/xml", SNIFF_DOCUMENT},
                {"{\"a\": 1}\n", "", "application/json", SNIFF_JSON},
                {" [1, 2]", "x.txt", "application/json", SNIFF_JSON},
                {"{\"a\":1}\n{\"a\":2}\n", "", "application/x-ndjson", SNIFF_JSON},
                {"{not json}", "", "text/plain", SNIFF_DOCUMENT},
                {"[see below] for more", "", "text/plain", SNIFF_DOCUMENT},
                {"\xff\xfeH\0i\0", "", "text/plain", SNIFF_DOCUMENT},
                {"caf\xe9 cr\xe8me, a menu in Latin 1\n", "", "text/plain", SNIFF_DOCUMENT},
        };
        (void)state;
        for (size_t i = 0; i < COUNT_OF(rows); i++) {
                size_t n = i == 16 ? 6 : strlen(rows[i].text);
                struct sniff_type t = look(rows[i].text, n, rows[i].name);
                if (strcmp(t.mime, rows[i].mime) || t.kind != rows[i].kind)
                        fail_msg("%s: %s, not %s", rows[i].text, t.mime, rows[i].mime);
        }
}

static void nothing_is_an_empty_file(void **state)
{
        (void)state;
        struct sniff_type t = look("", 0, "a.jpg");
        assert_string_equal(t.mime, "application/x-empty");
        assert_int_equal(t.kind, SNIFF_FILE);
}

static void frame_sync_needs_a_second_frame(void **state)
{
        (void)state;
        uint8_t file[2048] = {0};
        memcpy(file, "\xff\xfb\x90\x64", 4); /* MPEG 1 layer III, 128 kbit, 44.1 kHz: 417 bytes */
        assert_string_equal(look(file, sizeof file, "").mime, "application/octet-stream");
        memcpy(file + 417, "\xff\xfb\x90\x64", 4);
        memcpy(file + 834, "\xff\xfb\x90\x64", 4);
        assert_string_equal(look(file, sizeof file, "").mime, "audio/mpeg");
}

static void office_files_with_large_first_members_are_found_by_the_tail(void **state)
{
        (void)state;
        static char file[100000];
        static const char end[] =
                "PK\1\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x13\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                "\0\0[Content_Types].xml"
                "PK\1\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x11\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
                "\0\0word/document.xml";
        memset(file, 0, sizeof file);
        memcpy(file, "PK\3\4", 4);
        memcpy(file + sizeof file - sizeof end, end, sizeof end);
        assert_string_equal(look(file, sizeof file, "").extension, "docx");
}

static void any_bytes_give_an_answer(void **state)
{
        (void)state;
        uint64_t seed = 1;
        for (int round = 0; round < 20000; round++) {
                /* a copy of exact size, so that a sanitizer sees one byte too many */
                const struct row *r = &binary[(size_t)round % COUNT_OF(binary)];
                size_t n = (size_t)(seed >> 33) % 200 + 1;
                char *p = mem_alloc(n);
                assert_non_null(p);
                for (size_t i = 0; i < n; i++) {
                        seed = seed * 6364136223846793005u + 1442695040888963407u;
                        p[i] = i < r->bytes.n && seed >> 60 ? r->bytes.p[i] : (char)(seed >> 40);
                }
                struct sniff_type t = look(p, n, "a.bin");
                assert_non_null(t.mime);
                assert_non_null(t.extension);
                mem_free(p);
        }
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(binary_signatures_are_known),
                cmocka_unit_test(text_is_told_apart),
                cmocka_unit_test(nothing_is_an_empty_file),
                cmocka_unit_test(frame_sync_needs_a_second_frame),
                cmocka_unit_test(office_files_with_large_first_members_are_found_by_the_tail),
                cmocka_unit_test(any_bytes_give_an_answer),
        };
        return cmocka_run_group_tests(tests, NULL, NULL);
}
