/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client's file name made safe to keep and to show. The hard thing is to
 * drop as little as possible: any language, emoji and odd punctuation stay.
 */
#include "model/model.h"

#include <string.h>

/* C0, DEL and C1 controls (the latter two bytes in UTF-8): none has a place in a name. */
static bool has_control(struct span s)
{
        for (size_t i = 0; i < s.n; i++) {
                unsigned char c = (unsigned char)s.p[i];
                if (c < 0x20 || c == 0x7F)
                        return true;
                if (c == 0xC2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xA0)
                        return true;
        }
        return false;
}

static struct span last_part(struct span s)
{
        for (size_t i = s.n; i > 0; i--)
                if (s.p[i - 1] == '/' || s.p[i - 1] == '\\')
                        return (struct span){s.p + i, s.n - i};
        return s;
}

/* Where to cut so that no character is halved; s is well-formed. */
static size_t cut_at(struct span s, size_t max)
{
        size_t n = s.n;

        if (n <= max)
                return n;
        n = max;
        while (n > 0 && ((unsigned char)s.p[n] & 0xC0) == 0x80)
                n--;
        return n;
}

/* A long name keeps its extension, which people and programs go by. */
static size_t copy_cut(struct span s, char *out)
{
        size_t dot = s.n, head;

        if (s.n > NAME_MAX_BYTES)
                for (size_t i = s.n; i > 0 && s.n - i < 16; i--)
                        if (s.p[i - 1] == '.') {
                                dot = i - 1;
                                break;
                        }
        head = cut_at((struct span){s.p, dot}, NAME_MAX_BYTES - (s.n - dot));
        memcpy(out, s.p, head);
        memcpy(out + head, s.p + dot, s.n - dot);
        return head + (s.n - dot);
}

int filename_clean(struct span raw, char out[NAME_MAX_BYTES + 1], struct err *e)
{
        struct span s;
        size_t n;

        if (!utf8_valid(raw))
                return err_set(e, ERR_INVALID, "filename: not well-formed UTF-8");
        if (has_control(raw))
                return err_set(e, ERR_INVALID, "filename: control characters are not allowed");
        s = span_trim(last_part(raw));
        if (s.n == 0 || span_eq(s, ".") || span_eq(s, ".."))
                s = SPAN("unnamed");
        n = copy_cut(s, out);
        while (n > 0 && out[n - 1] == ' ')
                n--;
        out[n] = '\0';
        return 0;
}
