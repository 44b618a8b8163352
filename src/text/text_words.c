/* SPDX-License-Identifier: Apache-2.0 */
/* Cutting text into words. A word is what letters and digits make together, in any script; CJK punctuation ends one. */
#include "text/text.h"

#define WORD_MAX 128 /* bytes of a word that count */

/* Length of the character at p, and whether words end at it. */
static size_t char_at(const unsigned char *p, bool *apart)
{
        uint32_t c = p[0];
        size_t n = 1;

        if (c < 0x80) {
                *apart = !((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
                return 1;
        }
        if (c >= 0xF0) {
                *apart = false;
                n = 4;
        } else if (c >= 0xE0) {
                c = (c & 0x0FU) << 12 | (p[1] & 0x3FU) << 6 | (p[2] & 0x3FU);
                /* General punctuation, CJK punctuation, variation selectors, full-width punctuation. */
                *apart = (c >= 0x2000 && c <= 0x206F) || (c >= 0x3000 && c <= 0x303F) || (c >= 0xFE00 && c <= 0xFE0F) ||
                         (c >= 0xFF00 && c <= 0xFF0F);
                n = 3;
        } else {
                c = (c & 0x1FU) << 6 | (p[1] & 0x3FU);
                *apart = c <= 0xBF && c != 0xAA && c != 0xB5 && c != 0xBA;
                n = 2;
        }
        return n;
}

bool text_word_next(const char **s, struct span *out)
{
        const char *p = *s;
        bool apart = true;
        size_t n = 0;

        while (*p && (n = char_at((const unsigned char *)p, &apart), apart))
                p += n;
        *out = (struct span){p, 0};
        if (!*p)
                return false;
        while (*p && (n = char_at((const unsigned char *)p, &apart), !apart)) {
                p += n;
                if ((size_t)(p - out->p) <= WORD_MAX)
                        out->n = (size_t)(p - out->p);
        }
        *s = p;
        return true;
}
