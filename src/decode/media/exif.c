/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading the text libvips makes of EXIF entries. Values may hold anything,
 * also the very text that separates value and comment; the only firm ground
 * is that the comment repeats the value.
 */
#include <math.h>
#include <string.h>
#include "decode/media/media_priv.h"

#define TEXT_MAX 256

static bool text_repeats(struct span field, size_t at)
{
        size_t rest = field.n - at - 2, n = at < 200 ? at : 200; /* the comment is cut near 256 bytes */
        return n <= rest && !memcmp(field.p, field.p + at + 2, n);
}

struct span exif_value(struct span field)
{
        size_t first = field.n;
        for (size_t i = 0; i + 1 < field.n; i++) {
                if (field.p[i] != ' ' || field.p[i + 1] != '(')
                        continue;
                if (first == field.n)
                        first = i;
                if (text_repeats(field, i)) {
                        first = i;
                        break;
                }
        }
        return span_trim((struct span){field.p, first});
}

/* Length of the well-formed sequence at p, 0 when there is none. */
static size_t utf8_length(const char *p, size_t n)
{
        uint8_t c = (uint8_t)*p;
        size_t want = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        return want <= n && utf8_valid((struct span){p, want}) ? want : 0;
}

void exif_clean(struct span raw, struct buf *out)
{
        char text[TEXT_MAX];
        size_t n = 0;
        raw = span_trim(raw);
        for (size_t i = 0; i < raw.n;) {
                size_t len = utf8_length(raw.p + i, raw.n - i);
                uint8_t c = (uint8_t)raw.p[i];
                if (c == 0)
                        break;
                /* C1 controls are U+0080 to U+009F: c2 80 to c2 9f */
                bool control = c < 0x20 || c == 0x7f || (len == 2 && c == 0xc2 && (uint8_t)raw.p[i + 1] < 0xa0);
                if (n + (len ? len : 1) > sizeof text)
                        break;
                if (control || !len)
                        text[n++] = control ? ' ' : '?';
                else
                        memcpy(text + n, raw.p + i, len);
                n += control || !len ? 0 : len;
                i += len ? len : 1;
        }
        struct span s = span_trim((struct span){text, n});
        buf_put(out, s.p, s.n);
}

bool exif_number(struct span value, double *out)
{
        struct span rest = span_trim(value), top, bottom;
        bool negative = rest.n && rest.p[0] == '-';
        uint64_t a, b = 1;
        if (negative)
                rest = (struct span){rest.p + 1, rest.n - 1};
        if (!span_cut(&rest, '/', &top) || !span_u64(top, &a))
                return false;
        if (span_cut(&rest, '/', &bottom)) {
                bool below = bottom.n && bottom.p[0] == '-';
                if (below)
                        bottom = (struct span){bottom.p + 1, bottom.n - 1};
                if (!span_u64(bottom, &b) || !b)
                        return false;
                negative ^= below;
        }
        *out = (negative ? -1.0 : 1.0) * (double)a / (double)b;
        return true;
}

bool exif_degrees(struct span value, struct span ref, double *out)
{
        struct span rest = span_trim(value), part;
        double unit = 1, sum = 0;
        int n = 0;
        while (n < 3 && span_cut(&rest, ' ', &part)) {
                double v;
                /* "0/0" stands for "not given" in the seconds of some cameras */
                bool given = exif_number(part, &v);
                if (!n && !given)
                        return false;
                if (given && (v < 0 || v > 360))
                        return false;
                sum += given ? v / unit : 0;
                unit *= 60;
                n++;
        }
        char r = ref.n ? ref.p[0] : 0;
        double most = r == 'N' || r == 'S' ? 90 : 180;
        if (!n || !r || !strchr("NSEW", r) || sum > most)
                return false;
        *out = r == 'S' || r == 'W' ? -sum : sum;
        return true;
}
