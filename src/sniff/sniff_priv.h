/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the two halves of the sniffer: signatures of bytes (sniff.c,
 * sniff_box.c) and everything that is text (sniff_text.c). All readers go
 * through these accessors, which answer 0 outside the input: that is what
 * makes the room total.
 */
#ifndef FA_SNIFF_PRIV_H
#define FA_SNIFF_PRIV_H

#include <string.h>
#include "sniff/sniff.h"

#define TYPE(k, m, x) ((struct sniff_type){.kind = SNIFF_##k, .mime = (m), .extension = (x)})
#define UNKNOWN       TYPE(FILE, "application/octet-stream", "")

static inline uint8_t u8_at(struct span s, uint64_t i)
{
        return i < s.n ? (uint8_t)s.p[i] : 0;
}

static inline uint32_t u16_at(struct span s, uint64_t i, bool big)
{
        uint32_t a = u8_at(s, i), b = u8_at(s, i + 1);
        return big ? a << 8 | b : b << 8 | a;
}

static inline uint32_t u32_at(struct span s, uint64_t i, bool big)
{
        uint32_t a = u16_at(s, i, big), b = u16_at(s, i + 2, big);
        return big ? a << 16 | b : b << 16 | a;
}

/* True when the n bytes of lit stand at offset i, wholly inside. */
static inline bool has_at(struct span s, uint64_t i, const void *lit, size_t n)
{
        return i <= s.n && n <= s.n - i && !memcmp(s.p + i, lit, n);
}
#define HAS(s, i, lit) has_at((s), (i), (lit), sizeof(lit) - 1)

/* True when lit occurs anywhere in s. */
static inline bool span_holds(struct span s, const char *lit)
{
        return s.n && memmem(s.p, s.n, lit, strlen(lit)) != NULL;
}

/* ".ext", case folded */
static inline bool sniff_name_ends(struct span name, const char *ext)
{
        size_t n = strlen(ext);
        if (name.n <= n || name.p[name.n - n - 1] != '.')
                return false;
        return span_ieq((struct span){name.p + name.n - n, n}, ext);
}

bool sniff_boxes(const struct sniff_input *in, struct sniff_type *out);  /* ISO base media, RIFF, EBML, Ogg */
bool sniff_tiff(const struct sniff_input *in, struct sniff_type *out);   /* TIFF and the RAW formats built on it */
bool sniff_zip(const struct sniff_input *in, struct sniff_type *out);    /* ZIP and what hides in it */
bool sniff_ole(const struct sniff_input *in, struct sniff_type *out);    /* the old Office formats */
bool sniff_stream(const struct sniff_input *in, struct sniff_type *out); /* frame-synchronised: MP3, AAC, MPEG-TS */
bool sniff_text(const struct sniff_input *in, struct sniff_type *out);   /* last: anything readable */

#endif
